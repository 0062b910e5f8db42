//! Printed numbers are read back, and nothing outside the grammar is accepted.

#![no_main]

#[path = "../../tests/properties/mod.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::numbers::hold(bytes));
