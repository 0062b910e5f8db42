//! Timers: elapsed time, observed in seconds.

use std::ops::Deref;
use std::time::{Duration, Instant};

use super::{
    ExemplarLabels, Histogram, NativeHistogram, Quantile, ShardedHistogram, ShardedNativeHistogram,
    SingleWriter, StaticHistogram, WindowMax, WithExemplars, Writer,
};

/// A cell that takes observations, and so the time of a [`Timer`].
pub trait Observe {
    /// Observes `value`, as of `at` if the cell has a window.
    fn observe_at(&self, value: f64, at: Instant);
}

/// A cell that takes observations with an exemplar.
pub trait ObserveWithExemplar: Observe {
    /// Observes `value` and records it as the exemplar of its bucket.
    fn observe_with_exemplar(&self, value: f64, labels: &ExemplarLabels);
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

impl Observe for NativeHistogram {
    fn observe_at(&self, value: f64, _: Instant) {
        self.observe(value);
    }
}

impl Observe for ShardedNativeHistogram {
    fn observe_at(&self, value: f64, _: Instant) {
        self.observe(value);
    }
}

impl<const N: usize> Observe for StaticHistogram<N> {
    fn observe_at(&self, value: f64, _: Instant) {
        self.observe(value);
    }
}

impl<H: Deref<Target = SingleWriter<Histogram>>> Observe for Writer<Histogram, H> {
    fn observe_at(&self, value: f64, _: Instant) {
        self.observe(value);
    }
}

impl<H: Deref<Target = SingleWriter<NativeHistogram>>> Observe for Writer<NativeHistogram, H> {
    fn observe_at(&self, value: f64, _: Instant) {
        self.observe(value);
    }
}

impl<C: Observe> Observe for WithExemplars<C> {
    fn observe_at(&self, value: f64, at: Instant) {
        C::observe_at(self, value, at);
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

impl ObserveWithExemplar for WithExemplars<Histogram> {
    fn observe_with_exemplar(&self, value: f64, labels: &ExemplarLabels) {
        WithExemplars::<Histogram>::observe_with_exemplar(self, value, labels);
    }
}

impl ObserveWithExemplar for WithExemplars<ShardedHistogram> {
    fn observe_with_exemplar(&self, value: f64, labels: &ExemplarLabels) {
        WithExemplars::<ShardedHistogram>::observe_with_exemplar(self, value, labels);
    }
}

impl ObserveWithExemplar for WithExemplars<NativeHistogram> {
    fn observe_with_exemplar(&self, value: f64, labels: &ExemplarLabels) {
        WithExemplars::<NativeHistogram>::observe_with_exemplar(self, value, labels);
    }
}

impl ObserveWithExemplar for WithExemplars<ShardedNativeHistogram> {
    fn observe_with_exemplar(&self, value: f64, labels: &ExemplarLabels) {
        WithExemplars::<ShardedNativeHistogram>::observe_with_exemplar(self, value, labels);
    }
}

/// Observes the time from its start until it is stopped or dropped, in seconds.
///
/// Holds the cell through `H`: a reference, or a family's handle. Each timer is a
/// value of its own, so timers of one cell may be nested, and may run in any
/// number of threads at once.
///
/// ```
/// use stethoscope::Registry;
/// use stethoscope::cell::{Buckets, Timer};
///
/// let registry = Registry::new();
/// let buckets = Buckets::exponential(0.001, 10.0, 4)?;
/// let seconds = registry.histogram("query_seconds", "Time a query took.", buckets)?;
/// {
///     let _timer = Timer::start(&*seconds);
///     // The query. It is observed however this block is left.
/// }
/// let timer = Timer::start(seconds.clone());
/// let elapsed = timer.stop();
/// Timer::start(&*seconds).stop_and_discard();
/// assert_eq!(seconds.count(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a timer that is dropped at once observes no time"]
#[derive(Debug)]
pub struct Timer<H: Deref<Target: Observe>> {
    /// `None` once the time was observed or discarded.
    handle: Option<H>,
    start: Instant,
}

impl<H: Deref<Target: Observe>> Timer<H> {
    /// Starts a timer.
    pub fn start(handle: H) -> Self {
        Self {
            handle: Some(handle),
            start: Instant::now(),
        }
    }

    /// Returns the time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Observes the time since the start, and returns it.
    pub fn stop(mut self) -> Duration {
        self.observe()
    }

    /// Returns the time since the start, without observing it.
    pub fn stop_and_discard(mut self) -> Duration {
        self.handle = None;
        self.elapsed()
    }

    fn observe(&mut self) -> Duration {
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(self.start);
        if let Some(handle) = self.handle.take() {
            handle.observe_at(elapsed.as_secs_f64(), now);
        }
        elapsed
    }
}

impl<H: Deref<Target: ObserveWithExemplar>> Timer<H> {
    /// Observes the time since the start, records it as the exemplar of its
    /// bucket, and returns it.
    ///
    /// ```
    /// use stethoscope::cell::{Buckets, Cell, ExemplarLabels, Histogram, Timer, WithExemplars};
    ///
    /// let seconds = WithExemplars::<Histogram>::from_options(&Buckets::default());
    /// let timer = Timer::start(&seconds);
    /// let trace = ExemplarLabels::new([("trace_id", "4bf92f35")])?;
    /// timer.stop_with_exemplar(&trace);
    /// assert_eq!(seconds.count(), 1);
    /// # Ok::<(), stethoscope::ExemplarError>(())
    /// ```
    pub fn stop_with_exemplar(mut self, labels: &ExemplarLabels) -> Duration {
        let elapsed = self.elapsed();
        if let Some(handle) = self.handle.take() {
            handle.observe_with_exemplar(elapsed.as_secs_f64(), labels);
        }
        elapsed
    }
}

impl<H: Deref<Target: Observe>> Drop for Timer<H> {
    fn drop(&mut self) {
        if self.handle.is_some() {
            self.observe();
        }
    }
}
