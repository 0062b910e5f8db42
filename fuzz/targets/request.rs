//! No request upsets the listener's reading, wherever it is cut.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| stethoscope::endpoint::check_request_reading(bytes));
