//! The contents of a registry are restored from its pages.

#![no_main]

#[path = "../../tests/properties/mod.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::round_trip::a_registry_comes_back(bytes));
