//! An atomic `f64`, kept as its bits: what float counters, float gauges and
//! sums are made of.

use crate::sync::{AtomicU64, Ordering};

/// Starts at 0, whose bits are all 0.
#[derive(Debug, Default)]
pub(super) struct AtomicF64(AtomicU64);

impl AtomicF64 {
    #[inline]
    pub(super) fn new(value: f64) -> Self {
        Self(AtomicU64::new(value.to_bits()))
    }

    #[inline]
    pub(super) fn load(&self, order: Ordering) -> f64 {
        f64::from_bits(self.0.load(order))
    }

    #[inline]
    pub(super) fn store(&self, value: f64, order: Ordering) {
        self.0.store(value.to_bits(), order);
    }

    /// Adds `value`.
    ///
    /// Relaxed in all: a sum publishes nothing but itself. A cell that shows
    /// it beside a count orders the two through the count.
    #[inline]
    pub(super) fn add(&self, value: f64) {
        self.update(|now| Some(now + value));
    }

    /// Replaces the value by what `next` makes of it, by a plain load and
    /// store: for a value that one thread at a time writes.
    #[inline]
    pub(super) fn update_owned(&self, next: impl Fn(f64) -> f64) {
        // Relaxed: as in `add`; the owner reads what it wrote itself.
        self.store(next(self.load(Ordering::Relaxed)), Ordering::Relaxed);
    }

    /// Raises the value to `value` if it is less. A value that is NaN raises
    /// nothing.
    #[inline]
    pub(super) fn raise(&self, value: f64) {
        self.update(|now| (value > now).then_some(value));
    }

    /// Replaces the value by what `next` makes of it, until no other thread
    /// came between, or `next` has nothing to change.
    #[inline]
    pub(super) fn update(&self, next: impl Fn(f64) -> Option<f64>) {
        // Relaxed: as in `add`. The exchange compares the value itself, so a
        // stale first load costs a turn and nothing else.
        let mut now = self.0.load(Ordering::Relaxed);
        while let Some(wanted) = next(f64::from_bits(now)) {
            match self.0.compare_exchange_weak(
                now,
                wanted.to_bits(),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(other) => now = other,
            }
        }
    }
}
