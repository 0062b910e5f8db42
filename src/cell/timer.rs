//! Time spent, observed in seconds.

use std::ops::Deref;
use std::time::{Duration, Instant};

use super::{Histogram, Quantile, ShardedHistogram, SingleWriter, WindowMax, Writer};

/// What takes observations, and so the time of a [`Timer`].
pub trait Observe {
    /// Takes `value` into account, as of `at` where the cell has a window.
    fn observe_at(&self, value: f64, at: Instant);
}

impl Observe for Histogram {
    fn observe_at(&self, value: f64, _: Instant) {
        self.observe(value);
    }
}

impl Observe for ShardedHistogram {
    fn observe_at(&self, value: f64, _: Instant) {
        self.observe(value);
    }
}

impl<H: Deref<Target = SingleWriter<Histogram>>> Observe for Writer<Histogram, H> {
    fn observe_at(&self, value: f64, _: Instant) {
        self.observe(value);
    }
}

impl Observe for Quantile {
    fn observe_at(&self, value: f64, at: Instant) {
        Quantile::observe_at(self, value, at);
    }
}

impl Observe for WindowMax {
    fn observe_at(&self, value: f64, at: Instant) {
        WindowMax::observe_at(self, value, at);
    }
}

/// Observes the time from its start until it is stopped or dropped, in seconds,
/// through `H`: a reference, or a family's handle.
///
/// ```
/// use stethoscope::Registry;
/// use stethoscope::cell::{Buckets, Histogram, Timer};
///
/// let registry = Registry::new();
/// let seconds = registry
///     .family::<Histogram>("query_seconds", "Time a query took.")
///     .options(Buckets::exponential(0.001, 10.0, 4)?)
///     .register()?
///     .with([])?;
/// {
///     let _timer = Timer::start(&*seconds);
///     // The query: observed however this block is left.
/// }
/// let timer = Timer::start(seconds.clone());
/// let took = timer.stop();
/// Timer::start(&*seconds).stop_and_discard();
/// let page = registry.scraper().scrape(stethoscope::exposition::Format::Text).to_vec();
/// assert!(String::from_utf8(page)?.contains("query_seconds_count 2\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a timer that is dropped at once observes no time"]
#[derive(Debug)]
pub struct Timer<H: Deref<Target: Observe>> {
    /// None once the time was observed or discarded.
    handle: Option<H>,
    start: Instant,
}

impl<H: Deref<Target: Observe>> Timer<H> {
    /// Starts now.
    pub fn start(handle: H) -> Self {
        Self {
            handle: Some(handle),
            start: Instant::now(),
        }
    }

    /// The time until now.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Observes the time until now, and returns it.
    pub fn stop(mut self) -> Duration {
        self.observe()
    }

    /// Returns the time until now, without observing it.
    pub fn stop_and_discard(mut self) -> Duration {
        self.handle = None;
        self.elapsed()
    }

    fn observe(&mut self) -> Duration {
        let now = Instant::now();
        let time = now.saturating_duration_since(self.start);
        if let Some(handle) = self.handle.take() {
            handle.observe_at(time.as_secs_f64(), now);
        }
        time
    }
}

impl<H: Deref<Target: Observe>> Drop for Timer<H> {
    fn drop(&mut self) {
        if self.handle.is_some() {
            self.observe();
        }
    }
}
