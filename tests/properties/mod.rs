//! What must hold for any bytes at all, each told as a function that panics
//! where it does not. The tests run them over generated cases and over the kept
//! corpus; the fuzz targets, over whatever a fuzzer comes up with.

#![allow(dead_code, unreachable_pub)] // each includer calls those it is about

pub mod dice;
pub mod escaping;
pub mod negotiation;
pub mod numbers;
pub mod parsing;
pub mod round_trip;
