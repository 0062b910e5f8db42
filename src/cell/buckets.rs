//! The bounds of a histogram's buckets, validated once, and the search for the
//! bucket of a value.
//!
//! The highest bits of a positive `f64` (its exponent, and as many bits of its
//! fraction as needed) divide the numbers into intervals that hold at most one
//! bound each. A table gives the number of bounds below each interval, and one
//! comparison decides about the bound inside. There is no loop, and no branch
//! that depends on the value, for twelve bounds or for a thousand. With twelve,
//! comparing with all of them (vectorised) took 1.5 times as long and binary
//! search 2.2 times; with 256, they took 20 and 5 times as long.

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
pub struct Buckets(Arc<Search>);

impl Buckets {
    /// Creates buckets with these upper bounds. Each bucket includes its bound.
    ///
    /// # Errors
    /// A bound is NaN, infinite, or not greater than the one before it.
    pub fn new(bounds: impl IntoIterator<Item = f64>) -> Result<Self, OptionsError> {
        // Adding 0 turns -0 into 0, so that a bound has one spelling.
        let bounds: Vec<f64> = bounds.into_iter().map(|bound| bound + 0.0).collect();
        if let Some(index) = bounds.iter().position(|bound| !bound.is_finite()) {
            return Err(OptionsError::BoundNotFinite { index });
        }
        if let Some(index) = bounds.windows(2).position(|pair| pair[0] >= pair[1]) {
            return Err(OptionsError::BoundNotAscending { index: index + 1 });
        }
        Ok(Self(Arc::new(Search::new(bounds))))
    }

    /// Creates `count` bounds: the first is `start`, and each is `width` above
    /// the one before.
    ///
    /// # Errors
    /// `width` is not finite or not greater than 0, or the bounds leave the range
    /// in which an `f64` can tell them apart.
    pub fn linear(start: f64, width: f64, count: usize) -> Result<Self, OptionsError> {
        if !(width > 0.0 && width.is_finite()) {
            return Err(OptionsError::BoundsNotGrowing);
        }
        Self::new((0..count).map(|i| start + width * i as f64))
    }

    /// Creates `count` bounds: the first is `start`, and each is `factor` times
    /// the one before.
    ///
    /// # Errors
    /// `start` is not finite or not greater than 0, `factor` is not finite or not
    /// greater than 1, or the bounds leave the range of an `f64`.
    pub fn exponential(start: f64, factor: f64, count: usize) -> Result<Self, OptionsError> {
        let grows = start > 0.0 && factor > 1.0 && factor.is_finite();
        if !grows {
            return Err(OptionsError::BoundsNotGrowing);
        }
        // Multiplied step by step, so that powers of two and ten stay as short
        // as they are written for as long as they are exact.
        Self::new(std::iter::successors(Some(start), |last| Some(last * factor)).take(count))
    }

    /// Creates `count` bounds from `min` to `max`, each about the same factor
    /// above the one before.
    ///
    /// The bounds between the ends are rounded to as few decimal digits as leave
    /// the factors nearly equal, so that they read well on a page.
    ///
    /// ```
    /// use stethoscope::cell::Buckets;
    ///
    /// let seconds = Buckets::exponential_range(0.001, 1.0, 7)?;
    /// assert_eq!(seconds.bounds(), [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0]);
    /// # Ok::<(), stethoscope::cell::OptionsError>(())
    /// ```
    ///
    /// # Errors
    /// `min` is not greater than 0, `max` is not finite or not greater than `min`,
    /// `count` is less than 2, or there are fewer numbers than that between them.
    pub fn exponential_range(min: f64, max: f64, count: usize) -> Result<Self, OptionsError> {
        let grows = min > 0.0 && min < max && max.is_finite() && count >= 2;
        if !grows {
            return Err(OptionsError::BoundsNotGrowing);
        }
        // As a difference of logarithms: the quotient of the ends may overflow.
        let step = (max.ln() - min.ln()) / (count - 1) as f64;
        let exact = |i: usize| (min.ln() + step * i as f64).exp();
        // 17 digits tell all numbers apart, so the last turn rounds nothing.
        let digits = (1..17).find(|&digits| {
            (1..count - 1).all(|i| {
                let moved = (round_to_digits(exact(i), digits) / exact(i)).ln();
                moved.abs() <= step / 20.0
            })
        });
        let inner = (1..count - 1).map(|i| round_to_digits(exact(i), digits.unwrap_or(17)));
        Self::new([min].into_iter().chain(inner).chain([max]))
    }

    /// Returns the finite bounds, ascending.
    #[must_use]
    pub fn bounds(&self) -> &[f64] {
        self.0.bounds()
    }

    /// Returns the index of the bucket that `value` falls into, which is the number of
    /// bounds below it, and the number to add to the sum. `None` for NaN.
    #[inline]
    pub(super) fn locate(&self, value: f64) -> Option<(usize, f64)> {
        self.0.locate(value)
    }
}

impl Default for Buckets {
    /// The usual bounds of Prometheus clients for the latency of a network
    /// service, in seconds: from 5 ms to 10 s.
    fn default() -> Self {
        Self(Arc::new(Search::new(vec![
            0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
        ])))
    }
}

/// Rounds a positive number to so many significant decimal digits.
fn round_to_digits(value: f64, digits: usize) -> f64 {
    let text = format!("{value:.*e}", digits - 1);
    text.parse().expect("a number that was just formatted")
}

/// Returns the least value that an observation adds to the sum of a histogram
/// with these bounds.
///
/// Without a bound below 0, negative observations are not expected, and they add 0:
/// the sum is then a counter, as Prometheus' `rate` and OpenMetrics take it to be,
/// and never NaN, since -Inf is not added. With one, the sum may fall, and
/// OpenMetrics pages leave it out.
pub(super) const fn least_summand(bounds: &[f64]) -> f64 {
    match bounds {
        [first, ..] if *first < 0.0 => f64::NEG_INFINITY,
        _ => 0.0,
    }
}

/// Returns the greater of a value, which must not be NaN, and the least summand. In
/// one instruction, unlike `f64::max`.
#[inline]
pub(super) fn at_least(least_summand: f64, value: f64) -> f64 {
    if value < least_summand {
        least_summand
    } else {
        value
    }
}

/// The most intervals of a table: 8 KiB, which the series of a family share.
const MAX_INTERVALS: usize = 4096;

#[derive(Debug, PartialEq)]
struct Search {
    /// The bounds, and +Inf.
    bounds: Box<[f64]>,
    least_summand: f64,
    /// The number of low bits that a positive number is shifted by to get its
    /// interval.
    shift: u32,
    /// The interval of the least positive bound.
    first: u64,
    /// The number of bounds below each interval from `first` to that of the
    /// greatest bound, and below all intervals after it. Empty where bounds are
    /// so close together that a table would be too large.
    table: Box<[u16]>,
}

impl Search {
    fn new(mut bounds: Vec<f64>) -> Self {
        let nonpositive = bounds.partition_point(|&bound| bound <= 0.0);
        let table = (0..=12).find_map(|bits| table(&bounds, nonpositive, 52 - bits));
        let (shift, first, table) = table.unwrap_or_default();
        let least_summand = least_summand(&bounds);
        bounds.push(f64::INFINITY);
        Self {
            bounds: bounds.into(),
            least_summand,
            shift,
            first,
            table,
        }
    }

    fn bounds(&self) -> &[f64] {
        &self.bounds[..self.bounds.len() - 1]
    }

    #[inline]
    fn locate(&self, value: f64) -> Option<(usize, f64)> {
        match self.table.len().checked_sub(1) {
            // Neither NaN nor less than any least summand.
            Some(last) if value > 0.0 => {
                let interval = (value.to_bits() >> self.shift).saturating_sub(self.first);
                let below = usize::from(self.table[(interval as usize).min(last)]);
                Some((below + usize::from(self.bounds[below] < value), value))
            }
            _ if value.is_nan() => None,
            _ => {
                let summand = at_least(self.least_summand, value);
                Some((self.binary_search(value), summand))
            }
        }
    }

    /// The search without a table. Out of line, so that the rest is inlined; it returns
    /// in a register, since a result in memory made observations take 2.5 times as long.
    #[inline(never)]
    fn binary_search(&self, value: f64) -> usize {
        self.bounds().partition_point(|&bound| bound < value)
    }
}

/// Returns the shift, the first interval and the table, unless two bounds share
/// an interval or the table is too large.
fn table(bounds: &[f64], nonpositive: usize, shift: u32) -> Option<(u32, u64, Box<[u16]>)> {
    let intervals: Vec<u64> = bounds[nonpositive..]
        .iter()
        .map(|bound| bound.to_bits() >> shift)
        .collect();
    let first = intervals.first().copied().unwrap_or(0);
    let length = intervals.last().map_or(0, |last| last - first + 1) as usize + 1;
    let crowded = intervals.windows(2).any(|pair| pair[0] == pair[1]);
    if crowded || length > MAX_INTERVALS || bounds.len() > usize::from(u16::MAX) {
        return None;
    }
    let below =
        |interval: u64| (nonpositive + intervals.partition_point(|&bound| bound < interval)) as u16;
    let table = (first..).take(length).map(below).collect();
    Some((shift, first, table))
}
