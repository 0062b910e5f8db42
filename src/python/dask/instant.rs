//! "How long ago", shared between threads without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A moment that one thread sets and others measure from.
#[derive(Debug)]
pub(super) struct Moment {
    origin: Instant,
    /// Nanoseconds since the origin.
    nanos: AtomicU64,
}

impl Moment {
    pub(super) fn now() -> Self {
        Self {
            origin: Instant::now(),
            nanos: AtomicU64::new(0),
        }
    }

    pub(super) fn set_now(&self) {
        let nanos = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // Relaxed: the moment publishes nothing but itself.
        self.nanos.store(nanos, Ordering::Relaxed);
    }

    pub(super) fn seconds_ago(&self) -> f64 {
        // Relaxed: as above.
        let then = Duration::from_nanos(self.nanos.load(Ordering::Relaxed));
        self.origin.elapsed().saturating_sub(then).as_secs_f64()
    }
}
