//! The bounds of a histogram's buckets, validated once, and the way from a
//! value to its bucket.
//!
//! The highest bits of a positive `f64` (its exponent, and of its fraction as
//! many bits as are needed) cut the numbers into cells, of which each holds at
//! most one bound. A table says for each cell how many bounds lie below it, and
//! one comparison decides about the bound inside: no loop, and no branch that
//! depends on the value, for twelve bounds or for a thousand. With twelve,
//! comparing with all of them (vectorised) took 1.5 times as long and halving
//! 2.2 times, with 256 they took 20 and 5 times as long.

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
    /// Buckets with these upper bounds (each included in its bucket).
    ///
    /// # Errors
    /// A bound that is NaN, infinite, or not greater than the one before.
    pub fn new(bounds: impl IntoIterator<Item = f64>) -> Result<Self, OptionsError> {
        // Adding 0 turns -0 into 0: one way to write a bound.
        let bounds: Vec<f64> = bounds.into_iter().map(|bound| bound + 0.0).collect();
        if let Some(index) = bounds.iter().position(|bound| !bound.is_finite()) {
            return Err(OptionsError::BoundNotFinite { index });
        }
        if let Some(index) = bounds.windows(2).position(|pair| pair[0] >= pair[1]) {
            return Err(OptionsError::BoundNotAscending { index: index + 1 });
        }
        Ok(Self(Arc::new(Search::new(bounds))))
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
        self.0.bounds()
    }

    /// The bucket of a value that is not NaN: the number of bounds below it.
    #[inline]
    pub(super) fn index(&self, value: f64) -> usize {
        self.0.index(value)
    }
}

impl Default for Buckets {
    /// What Prometheus clients use for the latency of a network service, in
    /// seconds: from 5 ms to 10 s.
    fn default() -> Self {
        Self(Arc::new(Search::new(vec![
            0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
        ])))
    }
}

/// Cells of a table at most: 8 KiB, which the series of a family share.
const CELLS: usize = 4096;

#[derive(Debug, PartialEq)]
struct Search {
    /// The bounds, and +Inf.
    bounds: Box<[f64]>,
    /// Of a positive number, the bits that are left out to get its cell.
    shift: u32,
    /// The cell of the least positive bound.
    first: u64,
    /// The number of bounds below each cell from `first` to that of the
    /// greatest bound, and below all cells after it. Empty where bounds are so
    /// close together that a table would be too large.
    table: Box<[u16]>,
}

impl Search {
    fn new(mut bounds: Vec<f64>) -> Self {
        let nonpositive = bounds.partition_point(|&bound| bound <= 0.0);
        let table = (0..=12).find_map(|bits| table(&bounds, nonpositive, 52 - bits));
        let (shift, first, table) = table.unwrap_or_default();
        bounds.push(f64::INFINITY);
        Self {
            bounds: bounds.into(),
            shift,
            first,
            table,
        }
    }

    fn bounds(&self) -> &[f64] {
        &self.bounds[..self.bounds.len() - 1]
    }

    #[inline]
    fn index(&self, value: f64) -> usize {
        match self.table.len().checked_sub(1) {
            Some(last) if value > 0.0 => {
                let cell = (value.to_bits() >> self.shift).saturating_sub(self.first);
                let below = usize::from(self.table[(cell as usize).min(last)]);
                below + usize::from(self.bounds[below] < value)
            }
            _ => self.halve(value),
        }
    }

    /// Where the table does not help. Out of line, so that the rest is inlined.
    #[inline(never)]
    fn halve(&self, value: f64) -> usize {
        self.bounds().partition_point(|&bound| bound < value)
    }
}

/// The shift, the first cell, and the table with one bound a cell, if there is
/// one small enough.
fn table(bounds: &[f64], nonpositive: usize, shift: u32) -> Option<(u32, u64, Box<[u16]>)> {
    let cells: Vec<u64> = bounds[nonpositive..]
        .iter()
        .map(|bound| bound.to_bits() >> shift)
        .collect();
    let first = cells.first().copied().unwrap_or(0);
    let length = cells.last().map_or(0, |last| last - first + 1) as usize + 1;
    let crowded = cells.windows(2).any(|pair| pair[0] == pair[1]);
    if crowded || length > CELLS || bounds.len() > usize::from(u16::MAX) {
        return None;
    }
    let below = |cell: u64| (nonpositive + cells.partition_point(|&bound| bound < cell)) as u16;
    let table = (first..).take(length).map(below).collect();
    Some((shift, first, table))
}
