//! Gauges: values that go up and down.

use std::ops::Deref;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{AtomicF64, SingleWriter, Writer};
use crate::sync::{AtomicI64, Ordering, Padded};

/// An `i64` that goes up and down, shared by any number of writers.
///
/// ```
/// use stethoscope::cell::{Cell, Gauge};
///
/// let open = Gauge::new(&());
/// open.inc();
/// open.add(4);
/// open.dec();
/// assert_eq!(open.get(), 4);
/// ```
#[derive(Debug, Default)]
pub struct Gauge(Padded<AtomicI64>);

impl Gauge {
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
    pub fn set_to_at_least(&self, value: i64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }

    /// Sets the value to the time of day, in whole seconds since 1970 (UTC).
    pub fn set_to_current_time(&self) {
        self.set(seconds_since_1970() as i64);
    }

    /// The value now.
    #[inline]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl SingleWriter<Gauge> {
    /// The value now.
    #[inline]
    pub fn get(&self) -> i64 {
        self.cell().get()
    }
}

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

    /// Sets the value to the time of day, in whole seconds since 1970 (UTC).
    pub fn set_to_current_time(&self) {
        self.cell().set_to_current_time();
    }
}

/// An `f64` that goes up and down, shared by any number of writers.
///
/// Any number may be set, NaN and the infinities among them; adding follows
/// IEEE 754.
///
/// ```
/// use stethoscope::cell::{Cell, FloatGauge};
///
/// let load = FloatGauge::new(&());
/// load.set(0.5);
/// load.sub(0.125);
/// assert_eq!(load.get(), 0.375);
/// ```
#[derive(Debug, Default)]
pub struct FloatGauge(Padded<AtomicF64>);

impl FloatGauge {
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

    /// Raises the value to `value` if it is less; NaN on either side changes
    /// nothing.
    pub fn set_to_at_least(&self, value: f64) {
        self.0.raise(value);
    }

    /// Sets the value to the time of day, in seconds since 1970 (UTC).
    pub fn set_to_current_time(&self) {
        self.set(seconds_since_1970());
    }

    /// The value now.
    #[inline]
    pub fn get(&self) -> f64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl SingleWriter<FloatGauge> {
    /// The value now.
    #[inline]
    pub fn get(&self) -> f64 {
        self.cell().get()
    }
}

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
        self.cell().0.update_owned(|now| now + amount);
    }

    /// Subtracts `amount`.
    #[inline]
    pub fn sub(&self, amount: f64) {
        self.add(-amount);
    }

    /// Sets the value to the time of day, in seconds since 1970 (UTC).
    pub fn set_to_current_time(&self) {
        self.cell().set_to_current_time();
    }
}

/// The time of day; negative on a clock that stands before 1970.
pub(super) fn seconds_since_1970() -> f64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}
