//! Cells that exist before they are registered: shared by an `Arc`, or static.

use super::{Metric, Shape};
use crate::MetricType;
use crate::cell::{
    Buckets, Cell, Counter, Exemplar, FloatCounter, FloatGauge, Gauge, Histogram, Info,
    NativeHistogram, NativeHistogramOptions, NativeReading, ShardedHistogram,
    ShardedNativeHistogram, StaticBuckets, StaticHistogram, StripedCounter,
};
use std::sync::Arc;

/// A cell that can become a series after it was made.
pub trait ExistingCell: Metric {
    /// Returns options that the cell could have been made with.
    fn options(&self) -> Self::Options;
}

/// Implements [`ExistingCell`] for cells without options.
macro_rules! without_options {
    ($($cell:ty),*) => {$(
        impl ExistingCell for $cell {
            fn options(&self) {}
        }
    )*};
}

without_options!(
    Counter,
    StripedCounter,
    FloatCounter,
    Gauge,
    FloatGauge,
    Info
);

impl ExistingCell for Histogram {
    fn options(&self) -> Buckets {
        self.buckets().clone()
    }
}

impl ExistingCell for ShardedHistogram {
    fn options(&self) -> Buckets {
        self.buckets().clone()
    }
}

impl ExistingCell for NativeHistogram {
    fn options(&self) -> NativeHistogramOptions {
        self.options().clone()
    }
}

impl ExistingCell for ShardedNativeHistogram {
    fn options(&self) -> NativeHistogramOptions {
        self.options().clone()
    }
}

impl<const N: usize> ExistingCell for StaticHistogram<N> {
    fn options(&self) -> StaticBuckets<N> {
        *self.buckets()
    }
}

/// Implements the traits of a cell for a pointer to one.
macro_rules! pointer {
    ($($pointer:ty: $make:expr;)*) => {$(
        impl<C: Cell> Cell for $pointer {
            type Options = C::Options;

            fn from_options(options: &C::Options) -> Self {
                $make(C::from_options(options))
            }

            fn width(options: &C::Options) -> usize {
                C::width(options)
            }

            fn read(&self, into: &mut [u64]) {
                C::read(self, into);
            }

            fn read_native(&self, into: &mut NativeReading) -> bool {
                C::read_native(self, into)
            }

            fn exemplars(options: &C::Options) -> usize {
                C::exemplars(options)
            }

            fn exemplar(&self, index: usize, into: &mut Exemplar) -> bool {
                C::exemplar(self, index, into)
            }
        }

        impl<C: Metric> Metric for $pointer {
            const TYPE: MetricType = C::TYPE;

            fn shape(options: &C::Options) -> Shape {
                C::shape(options)
            }
        }

        impl<C: ExistingCell> ExistingCell for $pointer {
            fn options(&self) -> C::Options {
                C::options(self)
            }
        }
    )*};
}

pointer! {
    Arc<C>: Arc::new;
    // A cell that `Family::with` makes is never freed.
    &'static C: |cell| &*Box::leak(Box::new(cell));
}
