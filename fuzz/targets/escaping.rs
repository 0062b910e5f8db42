//! Escaped text is restored, from a value and from a page.

#![no_main]

#[path = "../../tests/properties/mod.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::escaping::hold(bytes));
