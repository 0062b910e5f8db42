//! Monotone counters.
//!
//! [`Counter`] counts in whole numbers, [`FloatCounter`] adds up what comes in
//! fractions (seconds, mostly). Both are one word on a cache line of its own,
//! and both can mirror a count that lives elsewhere.

use super::{AtomicF64, Cell};
use crate::sync::{AtomicU64, Ordering, Padded};

/// A `u64` that only goes up, shared by any number of writers.
///
/// ```
/// use stethoscope::cell::{Cell, Counter};
///
/// let requests = Counter::new(&());
/// requests.inc();
/// requests.inc_by(2);
/// assert_eq!(requests.get(), 3);
/// ```
#[derive(Debug, Default)]
pub struct Counter(Padded<AtomicU64>);

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

    /// Raises the count to `n` if it is less: the mirror of a source that
    /// counts by itself, such as the kernel. It stays monotone whichever order
    /// its readings arrive in.
    pub fn set_to_at_least(&self, n: u64) {
        // Relaxed: as in `inc_by`.
        self.0.fetch_max(n, Ordering::Relaxed);
    }

    /// The count now.
    pub fn get(&self) -> u64 {
        // Relaxed: as in `inc_by`.
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

/// An `f64` that only goes up, shared by any number of writers.
///
/// Monotone is the promise, so what would break it is ignored: an increment
/// that is negative, NaN or infinite changes nothing. The sum stops at
/// `f64::MAX`.
///
/// ```
/// use stethoscope::cell::{Cell, FloatCounter};
///
/// let seconds = FloatCounter::new(&());
/// seconds.inc_by(0.25);
/// seconds.inc_by(-1.0);
/// seconds.inc_by(f64::NAN);
/// assert_eq!(seconds.get(), 0.25);
/// ```
#[derive(Debug, Default)]
pub struct FloatCounter(Padded<AtomicF64>);

impl FloatCounter {
    /// Adds one.
    pub fn inc(&self) {
        self.inc_by(1.0);
    }

    /// Adds `amount`; ignored unless it is finite and above 0.
    pub fn inc_by(&self, amount: f64) {
        if is_increment(amount) {
            self.0.update(|now| Some(sum(now, amount)));
        }
    }

    /// Raises the sum to `total` if it is less: the mirror of a source that
    /// adds up by itself, such as CPU seconds. Ignored where `total` is NaN or
    /// infinite.
    pub fn set_to_at_least(&self, total: f64) {
        if total.is_finite() {
            self.0.raise(total);
        }
    }

    /// The sum now.
    pub fn get(&self) -> f64 {
        // Relaxed: the sum publishes nothing but itself.
        self.0.load(Ordering::Relaxed)
    }
}

fn is_increment(amount: f64) -> bool {
    amount > 0.0 && amount < f64::INFINITY
}

fn sum(now: f64, amount: f64) -> f64 {
    (now + amount).min(f64::MAX)
}

impl Cell for FloatCounter {
    type Options = ();

    fn new((): &()) -> Self {
        Self::default()
    }

    fn width((): &()) -> usize {
        1
    }

    fn read(&self, into: &mut [u64]) {
        into[0] = self.get().to_bits();
    }
}
