//! Properties that hold for any bytes: functions that panic if they do not.
//!
//! The tests run them over generated cases and over the kept corpus, the fuzz targets
//! over a fuzzer's bytes.

#![allow(dead_code, unreachable_pub)] // each includer calls some of them

pub mod choices;
pub mod escaping;
pub mod negotiation;
pub mod numbers;
pub mod parsing;
pub mod round_trip;
