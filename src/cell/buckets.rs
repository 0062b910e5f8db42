//! The bounds of a histogram's buckets, validated once.

use std::sync::Arc;

use super::OptionsError;

/// The finite upper bounds of a histogram's buckets: ascending, without
/// duplicates. The `+Inf` bucket is always there and is not listed.
///
/// Cheap to clone: the series of a family share one copy.
///
/// ```
/// use stethoscope::cell::Buckets;
///
/// let sizes = Buckets::exponential(1024.0, 4.0, 3)?;
/// assert_eq!(sizes.bounds(), [1024.0, 4096.0, 16384.0]);
/// assert!(Buckets::new([1.0, 1.0]).is_err());
/// # Ok::<(), stethoscope::cell::OptionsError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets(Arc<[f64]>);

impl Buckets {
    /// Buckets with these upper bounds (each included in its bucket).
    ///
    /// # Errors
    /// A bound that is NaN, infinite, or not greater than the one before.
    pub fn new(bounds: impl IntoIterator<Item = f64>) -> Result<Self, OptionsError> {
        // Adding 0 turns -0 into 0: one way to write a bound.
        let bounds: Arc<[f64]> = bounds.into_iter().map(|bound| bound + 0.0).collect();
        if let Some(index) = bounds.iter().position(|bound| !bound.is_finite()) {
            return Err(OptionsError::BoundNotFinite { index });
        }
        if let Some(index) = bounds.windows(2).position(|pair| pair[0] >= pair[1]) {
            return Err(OptionsError::BoundNotAscending { index: index + 1 });
        }
        Ok(Self(bounds))
    }

    /// `count` bounds, the first `start` and each `width` above the last.
    ///
    /// # Errors
    /// `width` is not finite or not above 0, or the bounds leave the range
    /// where an `f64` can tell them apart.
    pub fn linear(start: f64, width: f64, count: usize) -> Result<Self, OptionsError> {
        if !(width > 0.0 && width.is_finite()) {
            return Err(OptionsError::BoundsNotGrowing);
        }
        Self::new((0..count).map(|i| start + width * i as f64))
    }

    /// `count` bounds, the first `start` and each `factor` times the last.
    ///
    /// # Errors
    /// `start` is not finite or not above 0, `factor` is not finite or not
    /// above 1, or the bounds leave the range of an `f64`.
    pub fn exponential(start: f64, factor: f64, count: usize) -> Result<Self, OptionsError> {
        let grows = start > 0.0 && factor > 1.0 && factor.is_finite();
        if !grows {
            return Err(OptionsError::BoundsNotGrowing);
        }
        // Multiplied step by step: powers of two and ten stay as short as they
        // are written for as long as they are exact.
        Self::new(std::iter::successors(Some(start), |last| Some(last * factor)).take(count))
    }

    /// The finite bounds, ascending.
    pub fn bounds(&self) -> &[f64] {
        &self.0
    }

    /// The bucket of a value that is not NaN: the number of bounds below it.
    pub(super) fn index(&self, value: f64) -> usize {
        if self.0.len() <= LINEAR {
            self.0.iter().filter(|&&bound| bound < value).count()
        } else {
            self.0.partition_point(|&bound| bound < value)
        }
    }
}

/// Up to so many bounds, comparing with all of them (two at a time, without a
/// branch) beats halving.
const LINEAR: usize = 32;

impl Default for Buckets {
    /// What Prometheus clients use for the latency of a network service, in
    /// seconds: from 5 ms to 10 s.
    fn default() -> Self {
        Self(Arc::new([
            0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
        ]))
    }
}
