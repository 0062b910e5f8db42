//! The maximum over a sliding window.

use std::time::Instant;

use super::ring::{Ring, Slice};
use super::{AtomicF64, Cell, Window};
use crate::sync::{Ordering, Padded};

/// The greatest value of a sliding window, shared by any number of writers.
/// Reading never resets it: two scrapers see the same maximum.
///
/// A reading is one `f64`. It is NaN while nothing was ever observed; while
/// nothing happened for a whole window, it is the maximum of the last slice in
/// which something did. NaN is not a measurement and is ignored.
///
/// ```
/// use std::time::{Duration, Instant};
/// use stethoscope::cell::{Cell, Window, WindowMax};
///
/// let tick = WindowMax::new(&Window::default());
/// assert!(tick.get().is_nan());
/// let now = Instant::now();
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

/// The maximum of one slice; -inf while there is none.
#[derive(Debug)]
struct Maximum(Padded<AtomicF64>);

impl Slice for Maximum {
    fn clear(&self) {
        // Release: as `Slice` asks.
        self.0.store(f64::NEG_INFINITY, Ordering::Release);
    }
}

impl WindowMax {
    /// Takes `value` into account, as of now. NaN and -inf, which are no maximum,
    /// are ignored.
    pub fn observe(&self, value: f64) {
        self.observe_at(value, Instant::now());
    }

    /// Takes `value` into account, as of `at`: one reading of the clock may
    /// serve several cells.
    ///
    /// An instant that lies before what was observed last counts as that.
    #[inline]
    pub fn observe_at(&self, value: f64, at: Instant) {
        // Before the ring is turned: that forgets what was before the window,
        // which is shown as long as nothing is observed.
        if value > f64::NEG_INFINITY {
            self.ring.newest(at).0.raise(value);
        }
    }

    /// The maximum now.
    pub fn get(&self) -> f64 {
        self.get_at(Instant::now())
    }

    /// The maximum of the window that ends at `at`.
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

    fn new(window: &Window) -> Self {
        Self {
            ring: Ring::new(*window, || {
                Maximum(Padded(AtomicF64::new(f64::NEG_INFINITY)))
            }),
        }
    }

    fn width(_: &Window) -> usize {
        1
    }

    fn read(&self, into: &mut [u64]) {
        into[0] = self.get().to_bits();
    }
}
