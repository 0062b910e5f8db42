//! Gauges: values that go up and down.

use std::ops::Deref;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{AtomicF64, SingleWriter, Writer, single_writer_reads};
use crate::sync::{AtomicI64, Ordering, const_fn};

/// An `i64` that goes up and down, shared by any number of writers.
///
/// ```
/// use stethoscope::cell::Gauge;
///
/// static OPEN: Gauge = Gauge::new();
///
/// OPEN.inc();
/// OPEN.add(4);
/// OPEN.dec();
/// assert_eq!(OPEN.get(), 4);
/// ```
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Gauge(AtomicI64);

impl Gauge {
    const_fn! {
        /// Creates a gauge that stands at 0.
        #[must_use]
        pub fn new() -> Self {
            Self(AtomicI64::new(0))
        }
    }

    /// Sets the value.
    #[inline]
    pub fn set(&self, value: i64) {
        // Relaxed, here and below: the value publishes nothing but itself.
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Subtracts one.
    #[inline]
    pub fn dec(&self) {
        self.sub(1);
    }

    /// Adds `n`, wrapping at the ends of `i64`.
    #[inline]
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Subtracts `n`, wrapping at the ends of `i64`.
    #[inline]
    pub fn sub(&self, n: i64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    /// Raises the value to `value` if it is less.
    pub fn raise_to(&self, value: i64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }

    /// Sets the value to the current Unix time, in whole seconds.
    pub fn set_to_current_time(&self) {
        self.set(unix_seconds() as i64);
    }

    /// Adds one now, and subtracts it when the returned guard is dropped: on
    /// return, on `?`, on panic, and when the future that holds it is cancelled.
    ///
    /// For a guard that borrows nothing, use [`GaugeGuard::new`] with a family's
    /// handle or an `Arc`.
    ///
    /// ```
    /// use stethoscope::cell::Gauge;
    ///
    /// static IN_FLIGHT: Gauge = Gauge::new();
    ///
    /// {
    ///     let _in_flight = IN_FLIGHT.track();
    ///     assert_eq!(IN_FLIGHT.get(), 1);
    /// }
    /// assert_eq!(IN_FLIGHT.get(), 0);
    /// ```
    pub fn track(&self) -> GaugeGuard<&Self> {
        GaugeGuard::new(self)
    }

    /// Returns the current value.
    #[inline]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

single_writer_reads!(Gauge {
    "Returns the current value." get: i64,
});

impl<H: Deref<Target = SingleWriter<Gauge>>> Writer<Gauge, H> {
    /// Sets the value.
    #[inline]
    pub fn set(&self, value: i64) {
        self.cell().set(value);
    }

    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1);
    }

    /// Subtracts one.
    #[inline]
    pub fn dec(&self) {
        self.sub(1);
    }

    /// Adds `n`, wrapping at the ends of `i64`.
    #[inline]
    pub fn add(&self, n: i64) {
        self.set(self.cell().get().wrapping_add(n));
    }

    /// Subtracts `n`, wrapping at the ends of `i64`.
    #[inline]
    pub fn sub(&self, n: i64) {
        self.set(self.cell().get().wrapping_sub(n));
    }

    /// Sets the value to the current Unix time, in whole seconds.
    pub fn set_to_current_time(&self) {
        self.cell().set_to_current_time();
    }
}

/// Keeps a [`Gauge`] one higher until it is dropped.
///
/// Holds the gauge through `H`: a reference, an `Arc`, or a family's handle.
/// [`Gauge::track`] is the short form for a reference.
///
/// ```
/// use stethoscope::Registry;
/// use stethoscope::cell::GaugeGuard;
///
/// let registry = Registry::new();
/// let jobs = registry.gauge("jobs", "Jobs that are running.")?;
/// let guard = GaugeGuard::new(jobs.clone());
/// let job = std::thread::spawn(move || drop(guard));
/// job.join().unwrap();
/// assert_eq!(jobs.get(), 0);
/// # Ok::<(), stethoscope::RegisterError>(())
/// ```
#[must_use = "a guard that is dropped at once tracks nothing"]
#[derive(Debug)]
pub struct GaugeGuard<H: Deref<Target = Gauge>>(H);

impl<H: Deref<Target = Gauge>> GaugeGuard<H> {
    /// Adds one to the gauge.
    pub fn new(gauge: H) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl<H: Deref<Target = Gauge>> Drop for GaugeGuard<H> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// An `f64` that goes up and down, shared by any number of writers.
///
/// Any number may be set, including NaN and the infinities; additions follow
/// IEEE 754.
///
/// ```
/// use stethoscope::cell::FloatGauge;
///
/// static LOAD: FloatGauge = FloatGauge::new();
///
/// LOAD.set(0.5);
/// LOAD.sub(0.125);
/// assert_eq!(LOAD.get(), 0.375);
/// ```
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct FloatGauge(AtomicF64);

impl FloatGauge {
    const_fn! {
        /// Creates a gauge that stands at 0.
        #[must_use]
        pub fn new() -> Self {
            Self(AtomicF64::new(0.0))
        }
    }

    /// Sets the value.
    #[inline]
    pub fn set(&self, value: f64) {
        // Relaxed, here and below: the value publishes nothing but itself.
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1.0);
    }

    /// Subtracts one.
    #[inline]
    pub fn dec(&self) {
        self.sub(1.0);
    }

    /// Adds `amount`.
    #[inline]
    pub fn add(&self, amount: f64) {
        self.0.add(amount);
    }

    /// Subtracts `amount`.
    #[inline]
    pub fn sub(&self, amount: f64) {
        self.0.add(-amount);
    }

    /// Raises the value to `value` if it is less. If either is NaN, nothing
    /// changes.
    pub fn raise_to(&self, value: f64) {
        self.0.raise(value);
    }

    /// Sets the value to the current Unix time, in seconds.
    pub fn set_to_current_time(&self) {
        self.set(unix_seconds());
    }

    /// Returns the current value.
    #[inline]
    pub fn get(&self) -> f64 {
        self.0.load(Ordering::Relaxed)
    }
}

single_writer_reads!(FloatGauge {
    "Returns the current value." get: f64,
});

impl<H: Deref<Target = SingleWriter<FloatGauge>>> Writer<FloatGauge, H> {
    /// Sets the value.
    #[inline]
    pub fn set(&self, value: f64) {
        self.cell().set(value);
    }

    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.add(1.0);
    }

    /// Subtracts one.
    #[inline]
    pub fn dec(&self) {
        self.add(-1.0);
    }

    /// Adds `amount`.
    #[inline]
    pub fn add(&self, amount: f64) {
        self.cell().0.update_exclusive(|current| current + amount);
    }

    /// Subtracts `amount`.
    #[inline]
    pub fn sub(&self, amount: f64) {
        self.add(-amount);
    }

    /// Sets the value to the current Unix time, in seconds.
    pub fn set_to_current_time(&self) {
        self.cell().set_to_current_time();
    }
}

/// Returns the current Unix time in seconds; negative if the clock stands before
/// 1970.
pub(super) fn unix_seconds() -> f64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}
