//! See `lmserver_fuzz::centrifuge_protobuf`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lmserver_fuzz::centrifuge_protobuf::check(data));
