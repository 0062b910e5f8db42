//! A page that is read and written again says the same.

#![no_main]

#[path = "../../tests/properties/mod.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::round_trip::a_page_is_rewritten(bytes));
