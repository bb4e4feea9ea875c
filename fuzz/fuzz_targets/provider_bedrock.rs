//! See `lmserver_fuzz::provider_bedrock`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lmserver_fuzz::provider_bedrock::check(data));
