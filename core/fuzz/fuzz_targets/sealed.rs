//! libFuzzer's door to the function of this name; see `samenspraak_tests::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| samenspraak_tests::fuzz::run_or_abort("sealed", input));
