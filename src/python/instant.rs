//! An instant that is shared between threads without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// An instant that one thread sets and others measure from.
#[derive(Debug)]
pub(crate) struct AtomicInstant {
    origin: Instant,
    /// Nanoseconds since the origin.
    nanos: AtomicU64,
}

impl AtomicInstant {
    /// The instant of this call.
    pub(crate) fn now() -> Self {
        Self {
            origin: Instant::now(),
            nanos: AtomicU64::new(0),
        }
    }

    /// Moves it to the instant of this call.
    pub(crate) fn set_now(&self) {
        let nanos = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // Relaxed: the instant publishes nothing but itself.
        self.nanos.store(nanos, Ordering::Relaxed);
    }

    /// Returns the seconds that have passed since.
    pub(crate) fn seconds_ago(&self) -> f64 {
        // Relaxed: as above.
        let then = Duration::from_nanos(self.nanos.load(Ordering::Relaxed));
        self.origin.elapsed().saturating_sub(then).as_secs_f64()
    }
}
