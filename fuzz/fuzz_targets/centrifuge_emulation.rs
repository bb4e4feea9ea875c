//! See `lmserver_fuzz::centrifuge_emulation`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lmserver_fuzz::centrifuge_emulation::check(data));
