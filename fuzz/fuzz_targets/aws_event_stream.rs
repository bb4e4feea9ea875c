//! See `lmserver_fuzz::aws_event_stream`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lmserver_fuzz::aws_event_stream::check(data));
