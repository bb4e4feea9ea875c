//! See `lmserver_fuzz::provider_openai_responses`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lmserver_fuzz::provider_openai_responses::check(data));
