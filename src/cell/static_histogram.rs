//! Histograms whose bounds are constants, for statics.

use super::buckets::{at_least, least_summand};
use super::{AtomicF64, Cell};
use crate::sync::{AtomicU64, Ordering, const_fn};

/// The `N` finite upper bounds of a [`StaticHistogram`], ascending.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StaticBuckets<const N: usize>([f64; N]);

impl<const N: usize> StaticBuckets<N> {
    /// Creates buckets with these upper bounds. Each bucket includes its bound;
    /// the `+Inf` bucket is always there and is not listed.
    ///
    /// # Panics
    /// If a bound is NaN, infinite, or not greater than the one before it. In a
    /// constant or a static, this is a compile-time error.
    #[must_use]
    pub const fn new(bounds: [f64; N]) -> Self {
        let mut index = 0;
        while index < N {
            assert!(bounds[index].is_finite(), "bucket bounds must be finite");
            assert!(
                index == 0 || bounds[index - 1] < bounds[index],
                "bucket bounds must be ascending, without duplicates"
            );
            index += 1;
        }
        Self(bounds)
    }

    /// Returns the finite bounds, ascending.
    #[must_use]
    pub const fn bounds(&self) -> &[f64; N] {
        &self.0
    }
}

/// A [`Histogram`](super::Histogram) with `N` constant bounds, which can be a
/// `static`.
///
/// ```
/// use stethoscope::cell::StaticHistogram;
///
/// static SECONDS: StaticHistogram<3> = StaticHistogram::new([0.01, 0.1, 1.0]);
///
/// SECONDS.observe(0.05);
/// SECONDS.observe(2.5);
/// assert_eq!((SECONDS.count(), SECONDS.sum()), (2, 2.55));
/// ```
///
/// It guarantees what a histogram does. Bounds and counts are stored in place, so
/// creating it allocates nothing. An observation compares with all bounds, which
/// is as fast up to some sixteen of them and slower beyond.
#[derive(Debug)]
pub struct StaticHistogram<const N: usize> {
    sum: AtomicF64,
    counts: [AtomicU64; N],
    /// The count of values above all bounds.
    above: AtomicU64,
    buckets: StaticBuckets<N>,
    least_summand: f64,
}

impl<const N: usize> StaticHistogram<N> {
    const_fn! {
        /// Creates a histogram without observations, with these upper bounds.
        ///
        /// # Panics
        /// If a bound is NaN, infinite, or not greater than the one before it. In
        /// a constant or a static, this is a compile-time error.
        #[must_use]
        pub fn new(bounds: [f64; N]) -> Self {
            Self {
                sum: AtomicF64::new(0.0),
                counts: zeros(),
                above: AtomicU64::new(0),
                buckets: StaticBuckets::new(bounds),
                least_summand: least_summand(&bounds),
            }
        }
    }

    /// Counts `value` in its bucket and adds it to the sum. NaN is ignored.
    #[inline]
    pub fn observe(&self, value: f64) {
        if value.is_nan() {
            return;
        }
        self.sum.add(at_least(self.least_summand, value));
        // Without a branch, so that it is vectorised.
        let below = |sum, &bound: &f64| sum + usize::from(bound < value);
        let bucket = self.buckets.0.iter().fold(0, below);
        // Release: pairs with the Acquire in `counts`; see `histogram.rs`.
        self.counts
            .get(bucket)
            .unwrap_or(&self.above)
            .fetch_add(1, Ordering::Release);
    }

    /// Returns the number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts().sum()
    }

    /// Returns the sum of the observations. It includes at least those in a
    /// [`count`](Self::count) that was taken before.
    #[must_use]
    pub fn sum(&self) -> f64 {
        // Relaxed: ordered after the loads of the counts, which are Acquire.
        self.sum.load(Ordering::Relaxed)
    }

    /// Returns the bounds that this histogram was created with.
    #[must_use]
    pub const fn buckets(&self) -> &StaticBuckets<N> {
        &self.buckets
    }

    /// The count of each bucket, `+Inf` last.
    fn counts(&self) -> impl Iterator<Item = u64> {
        // Acquire: pairs with the Release in `observe`. A sum that is read after
        // it includes what was counted.
        self.counts
            .iter()
            .chain([&self.above])
            .map(|count| count.load(Ordering::Acquire))
    }
}

#[cfg(not(loom))]
const fn zeros<const N: usize>() -> [AtomicU64; N] {
    [const { AtomicU64::new(0) }; N]
}

#[cfg(loom)]
fn zeros<const N: usize>() -> [AtomicU64; N] {
    std::array::from_fn(|_| AtomicU64::new(0))
}

impl<const N: usize> Cell for StaticHistogram<N> {
    type Options = StaticBuckets<N>;

    fn from_options(buckets: &StaticBuckets<N>) -> Self {
        Self::new(buckets.0)
    }

    fn width(_: &StaticBuckets<N>) -> usize {
        N + 2
    }

    fn read(&self, into: &mut [u64]) {
        let mut total = 0;
        for (cumulative, count) in into.iter_mut().zip(self.counts()) {
            total += count;
            *cumulative = total;
        }
        into[N + 1] = self.sum().to_bits();
    }
}
