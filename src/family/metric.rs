//! What the numbers of each kind of cell mean.

use super::descriptor::Shape;
use crate::MetricType;
use crate::cell::{
    Buckets, Cell, Counter, FloatCounter, FloatGauge, Gauge, Histogram, Info, Number, Quantile,
    ShardedHistogram, SingleWriter, StateSet, States, StaticBuckets, StaticHistogram,
    StripedCounter, SupportsExemplars, WindowMax, WithExemplars,
};

/// A cell that can be a family's: it says what its numbers mean.
///
/// The cells of this crate are; a cell of one's own may be, too.
pub trait Metric: Cell {
    /// The type of a family of these.
    const TYPE: MetricType;

    /// The meaning of a reading.
    fn shape(options: &Self::Options) -> Shape;
}

/// Cells that are one number.
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

/// As of the cell that has the one writer.
impl<C: Metric> Metric for SingleWriter<C> {
    const TYPE: MetricType = C::TYPE;

    fn shape(options: &C::Options) -> Shape {
        C::shape(options)
    }
}

/// As of the cell that has exemplars beside it.
impl<C: Metric + SupportsExemplars> Metric for WithExemplars<C> {
    const TYPE: MetricType = C::TYPE;

    fn shape(options: &C::Options) -> Shape {
        C::shape(options)
    }
}

/// The states by their number; a family's builder takes their names.
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
        }
    }
}
