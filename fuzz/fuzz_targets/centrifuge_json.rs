//! See `lmserver_fuzz::centrifuge_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lmserver_fuzz::centrifuge_json::check(data));
