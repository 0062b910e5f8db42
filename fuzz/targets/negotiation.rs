//! Any Accept header gets an answer that stands by itself.

#![no_main]

#[path = "../../tests/properties/mod.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::negotiation::hold(bytes));
