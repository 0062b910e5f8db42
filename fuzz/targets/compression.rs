//! A compressed page is the plain page.

#![no_main]

#[allow(dead_code, reason = "the tests ask more of it")]
#[path = "../../tests/properties/compression.rs"]
mod compression;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| compression::holds(bytes));
