//! An atomic `f64`, kept as its bits: the basis of float counters, float gauges
//! and sums.

use std::borrow::Borrow;

use crate::sync::{AtomicU64, Ordering, const_fn, pause};

/// An atomic `f64`, in a word that it owns or borrows. Its default is 0, whose
/// bits are all 0.
#[derive(Clone, Copy, Debug, Default)]
#[repr(transparent)]
pub(super) struct AtomicF64<W = AtomicU64>(W);

/// Pauses after the first lost exchange, and at most. A thread that has lost
/// leaves the cache line to the winner, which then makes many updates at the
/// price of an uncontended one. With two threads observing into one histogram an
/// update took 12 ns with 64 pauses, 15 with 32 to 256, 43 with 4 to 64, and 62
/// without any; a single thread takes 4.6 ns either way.
const FIRST_PAUSE: u32 = 32;
const LONGEST_PAUSE: u32 = 256;

impl AtomicF64 {
    const_fn! {
        pub(super) fn new(value: f64) -> Self {
            Self(AtomicU64::new(value.to_bits()))
        }
    }
}

impl<'w> AtomicF64<&'w AtomicU64> {
    /// Uses `word`, which holds the bits of an `f64`.
    #[inline]
    pub(super) fn of(word: &'w AtomicU64) -> Self {
        Self(word)
    }
}

impl<W: Borrow<AtomicU64>> AtomicF64<W> {
    #[inline]
    fn word(&self) -> &AtomicU64 {
        self.0.borrow()
    }

    #[inline]
    pub(super) fn load(&self, order: Ordering) -> f64 {
        f64::from_bits(self.word().load(order))
    }

    #[inline]
    pub(super) fn store(&self, value: f64, order: Ordering) {
        self.word().store(value.to_bits(), order);
    }

    /// Adds `value`.
    ///
    /// All orderings are Relaxed: a sum publishes nothing but itself. A cell that
    /// shows it beside a count orders the two through the count.
    #[inline]
    pub(super) fn add(&self, value: f64) {
        self.update(|current| Some(current + value));
    }

    /// Adds `value`, and returns true, unless another thread has changed the value
    /// meanwhile. That is what [`add_contended`](Self::add_contended) is for.
    #[inline]
    pub(super) fn try_add(&self, value: f64) -> bool {
        self.try_update(|current| Some(current + value))
    }

    /// Adds `value` after another thread has won the last exchange: pauses first.
    pub(super) fn add_contended(&self, value: f64) {
        self.update_contended(|current| Some(current + value));
    }

    /// Replaces the value by `next` of it with a plain load and store. For a
    /// value that one thread at a time writes.
    #[inline]
    pub(super) fn update_exclusive(&self, next: impl Fn(f64) -> f64) {
        // Relaxed: as in `add`; the owner reads its own writes.
        self.store(next(self.load(Ordering::Relaxed)), Ordering::Relaxed);
    }

    /// Raises the value to `value` if it is less. NaN raises nothing.
    #[inline]
    pub(super) fn raise(&self, value: f64) {
        self.update(|current| (value > current).then_some(value));
    }

    /// Replaces the value by `next` of it, unless that is `None`.
    ///
    /// Lock-free: an exchange is lost only to another thread's update.
    #[inline]
    pub(super) fn update(&self, next: impl Fn(f64) -> Option<f64>) {
        if !self.try_update(&next) {
            self.update_contended(next);
        }
    }

    /// Returns true if the update is done, and false if it lost against another.
    #[inline]
    fn try_update(&self, next: impl Fn(f64) -> Option<f64>) -> bool {
        // Relaxed: as in `add`. The exchange compares the value itself, so a
        // stale load costs a turn and nothing else.
        let current = self.word().load(Ordering::Relaxed);
        next(f64::from_bits(current)).is_none_or(|next| {
            self.word()
                .compare_exchange(
                    current,
                    next.to_bits(),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
        })
    }

    #[cold]
    fn update_contended(&self, next: impl Fn(f64) -> Option<f64>) {
        let mut turns = FIRST_PAUSE;
        loop {
            pause(turns);
            turns = (2 * turns).min(LONGEST_PAUSE);
            if self.try_update(&next) {
                return;
            }
        }
    }
}
