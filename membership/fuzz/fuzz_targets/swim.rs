#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hobnob_membership_fuzz::swim::check(bytes));
