//! See `lmserver_fuzz::sse_decoder`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lmserver_fuzz::sse_decoder::check(data));
