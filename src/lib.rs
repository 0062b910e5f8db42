//! A zero-allocation Prometheus exposition engine.

#[allow(dead_code, unused_imports)]
mod sync;

pub mod cell;
pub mod exposition;
