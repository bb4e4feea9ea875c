//! See `lmserver_fuzz::provider_ollama`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lmserver_fuzz::provider_ollama::check(data));
