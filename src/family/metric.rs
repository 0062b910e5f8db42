//! The types of the families that each cell makes.

use super::descriptor::Shape;
use crate::MetricType;
use crate::cell::{
    Buckets, Cell, Counter, FloatCounter, FloatGauge, Gauge, Histogram, Info, NativeHistogram,
    NativeHistogramOptions, Number, Quantile, ShardedHistogram, ShardedNativeHistogram,
    SingleWriter, StateSet, States, StaticBuckets, StaticHistogram, StripedCounter,
    SupportsExemplars, WindowMax, WithExemplars,
};

/// A cell that a family can be made of: it defines what its numbers mean.
///
/// All cells of this crate implement it. Implement it, and
/// [`Cell`], for a cell of your own.
pub trait Metric: Cell {
    /// The type of a family of these cells.
    const TYPE: MetricType;

    /// Returns the meaning of a reading.
    fn shape(options: &Self::Options) -> Shape;
}

/// Implements [`Metric`] for cells that are one number.
macro_rules! single {
    ($($cell:ty: $metric_type:ident of $number:ident,)*) => {$(
        impl Metric for $cell {
            const TYPE: MetricType = MetricType::$metric_type;

            fn shape(_: &Self::Options) -> Shape {
                Shape::Single(Number::$number)
            }
        }
    )*};
}

single! {
    Counter: Counter of U64,
    StripedCounter: Counter of U64,
    FloatCounter: Counter of F64,
    Gauge: Gauge of I64,
    FloatGauge: Gauge of F64,
    WindowMax: Gauge of F64,
    Info: Info of U64,
}

impl Metric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;

    fn shape(buckets: &Buckets) -> Shape {
        Shape::Histogram {
            bounds: buckets.bounds().to_vec(),
        }
    }
}

impl Metric for ShardedHistogram {
    const TYPE: MetricType = Histogram::TYPE;

    fn shape(buckets: &Buckets) -> Shape {
        Histogram::shape(buckets)
    }
}

impl<const N: usize> Metric for StaticHistogram<N> {
    const TYPE: MetricType = Histogram::TYPE;

    fn shape(buckets: &StaticBuckets<N>) -> Shape {
        Shape::Histogram {
            bounds: buckets.bounds().to_vec(),
        }
    }
}

impl Metric for NativeHistogram {
    const TYPE: MetricType = MetricType::Histogram;

    fn shape(options: &NativeHistogramOptions) -> Shape {
        Shape::NativeHistogram {
            bounds: options.classic_bounds().to_vec(),
            negative_values: options.has_negative_values(),
        }
    }
}

impl Metric for ShardedNativeHistogram {
    const TYPE: MetricType = NativeHistogram::TYPE;

    fn shape(options: &NativeHistogramOptions) -> Shape {
        NativeHistogram::shape(options)
    }
}

/// The type is that of the cell with one writer.
impl<C: Metric> Metric for SingleWriter<C> {
    const TYPE: MetricType = C::TYPE;

    fn shape(options: &C::Options) -> Shape {
        C::shape(options)
    }
}

/// The type is that of the cell with exemplars.
impl<C: Metric + SupportsExemplars> Metric for WithExemplars<C> {
    const TYPE: MetricType = C::TYPE;

    fn shape(options: &C::Options) -> Shape {
        C::shape(options)
    }
}

/// The names of the states are their numbers, unless a family's builder is given names.
impl Metric for StateSet {
    const TYPE: MetricType = MetricType::StateSet;

    fn shape(states: &States) -> Shape {
        Shape::StateSet {
            states: (0..states.count()).map(|state| state.to_string()).collect(),
        }
    }
}

impl Metric for Quantile {
    const TYPE: MetricType = MetricType::Summary;

    fn shape(options: &Self::Options) -> Shape {
        Shape::Summary {
            quantiles: options.quantiles().to_vec(),
            signed: options.has_negative_values(),
        }
    }
}
