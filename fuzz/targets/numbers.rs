//! What is printed is read back; only the grammar is read.

#![no_main]

#[path = "../../tests/properties/mod.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::numbers::hold(bytes));
