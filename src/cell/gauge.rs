//! Gauges: values that go up and down.

use super::Cell;
use crate::sync::{AtomicI64, AtomicU64, Ordering};

/// An `i64` that goes up and down, shared by any number of writers.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: i64) {
        // Relaxed: the value publishes nothing but itself.
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Cell for Gauge {
    type Options = ();

    fn new((): &()) -> Self {
        Self::default()
    }

    fn width((): &()) -> usize {
        1
    }

    fn read(&self, into: &mut [u64]) {
        into[0] = self.get() as u64;
    }
}

/// An `f64` that goes up and down, shared by any number of writers.
#[derive(Debug)]
pub struct FloatGauge(AtomicU64);

impl FloatGauge {
    /// Sets the value.
    pub fn set(&self, value: f64) {
        // Relaxed: the value publishes nothing but itself.
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

impl Cell for FloatGauge {
    type Options = ();

    fn new((): &()) -> Self {
        Self(AtomicU64::new(0f64.to_bits()))
    }

    fn width((): &()) -> usize {
        1
    }

    fn read(&self, into: &mut [u64]) {
        into[0] = self.get().to_bits();
    }
}
