//! See `lmserver_fuzz::provider_anthropic`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lmserver_fuzz::provider_anthropic::check(data));
