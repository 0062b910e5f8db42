//! Whatever is in a segment, pages are valid and other processes count as they do.

#![no_main]

#[path = "../../tests/properties/segments.rs"]
mod segments;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| segments::hold(bytes));
