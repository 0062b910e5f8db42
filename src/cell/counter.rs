//! Monotone counters.

use super::Cell;
use crate::sync::{AtomicU64, Ordering};

/// A `u64` that only goes up, shared by any number of writers.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.inc_by(1);
    }

    /// Adds `n`, wrapping at 2^64.
    pub fn inc_by(&self, n: u64) {
        // Relaxed: the count publishes nothing but itself.
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Cell for Counter {
    type Options = ();

    fn new((): &()) -> Self {
        Self::default()
    }

    fn width((): &()) -> usize {
        1
    }

    fn read(&self, into: &mut [u64]) {
        into[0] = self.get();
    }
}
