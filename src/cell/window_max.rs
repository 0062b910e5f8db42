//! The maximum over a sliding window.

use std::time::Instant;

use super::ring::{Ring, Slice};
use super::{AtomicF64, Cell, Window};
use crate::sync::Ordering;

/// The greatest value of a sliding window, shared by any number of writers.
/// Reading does not reset it: two scrapers see the same maximum.
///
/// A reading is one `f64`. It is NaN until something is observed. After a window
/// without observations, it is the maximum of the last slice that had any. NaN is
/// not a measurement and is ignored.
///
/// ```
/// use std::time::{Duration, Instant};
/// use stethoscope::cell::{Cell, Window, WindowMax};
///
/// let now = Instant::now();
/// let tick = WindowMax::new_at(&Window::default(), now);
/// assert!(tick.get_at(now).is_nan());
/// tick.observe_at(1.5, now);
/// tick.observe_at(0.02, now);
/// assert_eq!(tick.get_at(now), 1.5);
/// tick.observe_at(0.03, now + Duration::from_secs(90));
/// assert_eq!(tick.get_at(now + Duration::from_secs(90)), 0.03);
/// # Ok::<(), stethoscope::cell::OptionsError>(())
/// ```
#[derive(Debug)]
pub struct WindowMax {
    ring: Ring<Maximum>,
}

/// The maximum of one slice; -inf if it is empty.
#[derive(Debug)]
struct Maximum(AtomicF64);

impl Slice for Maximum {
    fn clear(&self) {
        // Release: as `Slice` asks.
        self.0.store(f64::NEG_INFINITY, Ordering::Release);
    }
}

impl WindowMax {
    /// Creates a cell without observations.
    #[must_use]
    pub fn new(window: &Window) -> Self {
        Self::new_at(window, Instant::now())
    }

    /// Creates a cell whose first slice begins at `start`, for callers that
    /// control the clock.
    #[must_use]
    pub fn new_at(window: &Window, start: Instant) -> Self {
        let empty = || Maximum(AtomicF64::new(f64::NEG_INFINITY));
        Self {
            ring: Ring::new(*window, start, empty),
        }
    }

    /// Observes `value` now. NaN and -inf, which cannot be a maximum, are ignored.
    pub fn observe(&self, value: f64) {
        self.observe_at(value, Instant::now());
    }

    /// Observes `value` at `at`, so that one reading of the clock can serve several
    /// cells. NaN and -inf are ignored.
    ///
    /// An instant before the latest one that was observed counts as that one.
    #[inline]
    pub fn observe_at(&self, value: f64, at: Instant) {
        // Checked before the ring is turned: turning it forgets what is older than
        // the window, which is shown until something is observed.
        if value > f64::NEG_INFINITY {
            self.ring.newest(at).0.raise(value);
        }
    }

    /// Returns the maximum of the window that ends now.
    #[must_use]
    pub fn get(&self) -> f64 {
        self.get_at(Instant::now())
    }

    /// Returns the maximum of the window that ends at `at`.
    #[must_use]
    pub fn get_at(&self, at: Instant) -> f64 {
        let maximum = self.ring.read(at, |view| {
            let mut maximum = f64::NEG_INFINITY;
            for (slice, in_window) in view.slices() {
                if !in_window && maximum > f64::NEG_INFINITY {
                    break;
                }
                // Relaxed: `Ring::read` checks that nothing was cleared.
                maximum = maximum.max(slice.0.load(Ordering::Relaxed));
            }
            maximum
        });
        if maximum == f64::NEG_INFINITY {
            f64::NAN
        } else {
            maximum
        }
    }
}

impl Cell for WindowMax {
    type Options = Window;

    fn from_options(window: &Window) -> Self {
        Self::new(window)
    }

    fn width(_: &Window) -> usize {
        1
    }

    fn read(&self, into: &mut [u64]) {
        into[0] = self.get().to_bits();
    }
}
