//! Handles as instruments of the facade.

use crate::Handle;
use crate::cell::{Counter, FloatGauge, Histogram, NativeHistogram, Quantile};
use metrics::{CounterFn, GaugeFn, HistogramFn};

impl CounterFn for Handle<Counter> {
    #[inline]
    fn increment(&self, value: u64) {
        self.inc_by(value);
    }

    #[inline]
    fn absolute(&self, value: u64) {
        self.raise_to(value);
    }
}

impl GaugeFn for Handle<FloatGauge> {
    #[inline]
    fn increment(&self, value: f64) {
        self.add(value);
    }

    #[inline]
    fn decrement(&self, value: f64) {
        self.sub(value);
    }

    #[inline]
    fn set(&self, value: f64) {
        FloatGauge::set(self, value);
    }
}

impl HistogramFn for Handle<Histogram> {
    #[inline]
    fn record(&self, value: f64) {
        self.observe(value);
    }
}

impl HistogramFn for Handle<Quantile> {
    #[inline]
    fn record(&self, value: f64) {
        self.observe(value);
    }
}

impl HistogramFn for Handle<NativeHistogram> {
    #[inline]
    fn record(&self, value: f64) {
        self.observe(value);
    }
}
