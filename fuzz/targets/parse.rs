//! No page upsets the parser; strict readers accept what lenient ones do.

#![no_main]

#[path = "../../tests/properties/mod.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::parsing::hold(bytes));
