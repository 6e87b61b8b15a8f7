#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| whimbrel_fuzz::check("policy", text));
