//! Removing series that have not changed for some time.

use super::{Inner, Metric};
use crate::hash::{PI, fold_multiply};
use crate::sync::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The reading of a series that an earlier call has seen.
pub(super) struct Reading {
    /// The series' ordinal.
    ordinal: u64,
    /// A digest of the numbers.
    digest: u64,
    /// The first call that saw these numbers.
    since: Instant,
}

impl<C: Metric> Inner<C> {
    /// Removes the series whose reading has been the same for `age`, as far as
    /// the calls up to `now` have seen. Returns their number.
    pub(super) fn remove_stale(&self, age: Duration, now: Instant) -> usize {
        let mut row = vec![0; C::width(&self.options)];
        let mut known = std::mem::take(&mut self.table.write().readings)
            .into_iter()
            .peekable();
        let mut readings = Vec::new();
        let removed = self.retain(|series| {
            series.cell.read(&mut row);
            let digest = digest(&row);
            // Both are sorted by ordinal; those in between have been removed.
            while known.next_if(|old| old.ordinal < series.ordinal).is_some() {}
            let since = match known.next_if(|old| old.ordinal == series.ordinal) {
                Some(old) if old.digest == digest => old.since,
                _ => now,
            };
            let keep = now.saturating_duration_since(since) < age || since == now;
            if keep {
                readings.push(Reading {
                    ordinal: series.ordinal,
                    digest,
                    since,
                });
            }
            keep
        });
        self.table.write().readings = readings;
        removed
    }

    /// Removes stale series, if the family expires them and it is time to look.
    pub(super) fn expire(&self, now: Instant) {
        if let Some(expiry) = &self.expiry
            && expiry.is_due(now)
        {
            self.remove_stale(expiry.age, now);
        }
    }
}

/// The expiry of a family's series.
pub(super) struct Expiry {
    age: Duration,
    start: Instant,
    /// The time of the next look at the series, in nanoseconds since `start`.
    due: AtomicU64,
}

impl Expiry {
    pub(super) fn new(age: Duration) -> Self {
        Self {
            age,
            start: Instant::now(),
            due: AtomicU64::new(0),
        }
    }

    /// Returns true once in a fraction of the age. Takes no lock.
    fn is_due(&self, now: Instant) -> bool {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let now = nanos(now.saturating_duration_since(self.start));
        // Relaxed, both: of several scrapers at once, one looks at the series.
        let due = self.due.load(Ordering::Relaxed);
        let next = now.saturating_add(nanos(self.age / LOOKS_PER_AGE));
        now >= due
            && self
                .due
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

/// The number of times that `expire_after` compares readings within the age. A
/// series expires at most a quarter of the age late.
const LOOKS_PER_AGE: u32 = 4;

/// Digests a reading, to recognise it at the next look.
fn digest(row: &[u64]) -> u64 {
    row.iter()
        .fold(PI[1], |digest, &bits| fold_multiply(digest ^ bits, PI[0]))
}
