//! Quantiles over a sliding window, without a lock.
//!
//! Each slice of the window counts observations by size. The bin of a value is
//! read straight off its bits: the exponent and the six highest bits of the
//! fraction number the bins, 64 to an octave, each 1/64 to 1/127 as wide as the
//! values in it. A bin represents its values by the point that is off by the same
//! ratio from both ends: at most 1/129 < 0.8 %.
//!
//! An observation counts its bin up, marks the bin's chunk (64 bins, four cache
//! lines) as touched, and adds to the sum and the count since the cell was made.
//! A reading merges the touched chunks of the slices in the window, and finds the
//! chunk of each quantile and then its bin. Clearing a slice visits the touched
//! chunks only.

use std::sync::Arc;
use std::time::Instant;

use super::buckets::at_least;
use super::ring::{Ring, RingView, Slice};
use super::{AtomicF64, Cell, OptionsError, Window};
use crate::sync::{AtomicU32, AtomicU64, Ordering, Padded, zeroed};

/// Bits of the fraction that number the bins of an octave. Models use two bins,
/// since loom keeps a history of each.
const FRACTION_BITS: u32 = if cfg!(loom) { 1 } else { 6 };
/// Bits of an `f64` below those.
const SHIFT: u32 = 52 - FRACTION_BITS;
/// Bins of a chunk, and of an octave.
const CHUNK: usize = 1 << FRACTION_BITS;
/// Chunks that a slice can hold, one bit each in `BinCounts::touched`.
const CHUNKS: usize = 256;

/// The quantiles of a [`Quantile`] cell, its window, and the range of its values.
///
/// ```
/// use std::time::Duration;
/// use stethoscope::cell::{QuantileOptions, Window};
///
/// let options = QuantileOptions::builder([0.5, 0.99])
///     .window(Window::new(Duration::from_secs(300), 5)?)
///     .range(1e-6, 3600.0)
///     .build()?;
/// assert_eq!(options.quantiles(), [0.5, 0.99]);
/// # Ok::<(), stethoscope::cell::OptionsError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct QuantileOptions {
    quantiles: Arc<[f64]>,
    window: Window,
    bins: Bins,
    keep_last: bool,
}

impl QuantileOptions {
    /// Creates options with these quantiles and defaults for everything else.
    ///
    /// # Errors
    /// There is no quantile, one is not in 0 to 1, or one is given twice.
    pub fn new(quantiles: impl IntoIterator<Item = f64>) -> Result<Self, OptionsError> {
        Self::builder(quantiles).build()
    }

    /// Starts building options with these quantiles, over a window of one minute,
    /// of values from 0.9e-9 (a nanosecond in seconds) to 1.7e13.
    ///
    /// Quantiles run from 0 (the minimum) to 1 (the maximum); 0.5 is the median.
    /// They are shown in ascending order.
    pub fn builder(quantiles: impl IntoIterator<Item = f64>) -> QuantileOptionsBuilder {
        QuantileOptionsBuilder {
            // Adding 0 turns -0 into 0.
            quantiles: quantiles.into_iter().map(|q| q + 0.0).collect(),
            window: Window::default(),
            range: None,
            negative_values: false,
            keep_last: false,
        }
    }

    /// Returns the quantiles, ascending.
    #[must_use]
    pub fn quantiles(&self) -> &[f64] {
        &self.quantiles
    }

    /// Returns true if negative values are told apart, and quantiles and sum may
    /// therefore be negative.
    #[must_use]
    pub fn has_negative_values(&self) -> bool {
        self.bins.signed()
    }

    /// Returns the least value that may be added to the sum.
    fn least_summand(&self) -> f64 {
        if self.bins.signed() {
            f64::NEG_INFINITY
        } else {
            0.0
        }
    }
}

impl Default for QuantileOptions {
    /// The median, and 0.9 and 0.99.
    fn default() -> Self {
        Self {
            quantiles: Arc::new([0.5, 0.9, 0.99]),
            window: Window::default(),
            bins: Bins::default(),
            keep_last: false,
        }
    }
}

/// Builds [`QuantileOptions`].
#[derive(Clone, Debug)]
#[must_use = "options are made by `build`"]
pub struct QuantileOptionsBuilder {
    quantiles: Vec<f64>,
    window: Window,
    range: Option<(f64, f64)>,
    negative_values: bool,
    keep_last: bool,
}

impl QuantileOptionsBuilder {
    /// Sets the window. The default is one minute, in six slices.
    pub fn window(mut self, window: Window) -> Self {
        self.window = window;
        self
    }

    /// Sets the range of values, from `low` to `high`, both positive.
    ///
    /// Values less than `low`, including 0 and negative ones, are counted as 0;
    /// values greater than `high` are counted as `high` (within the error). Each
    /// doubling between them takes 256 bytes a slot of the window.
    pub fn range(mut self, low: f64, high: f64) -> Self {
        self.range = Some((low, high));
        self
    }

    /// Counts negative values by their size, and not as 0. Takes twice the memory.
    ///
    /// OpenMetrics has no summary with negative values: there the family is a gauge
    /// of the quantiles, without sum and count.
    pub fn negative_values(mut self) -> Self {
        self.negative_values = true;
        self
    }

    /// After a window without observations, shows the quantiles of the last slice
    /// that had any. The default is NaN, as in client_golang and client_java.
    pub fn keep_last(mut self) -> Self {
        self.keep_last = true;
        self
    }

    /// Checks the options.
    ///
    /// # Errors
    /// - There is no quantile, one is not in 0 to 1, or one is given twice.
    /// - The range's `low` is not positive and normal, or `high` is not greater
    ///   than `low` and finite.
    /// - There are more than 254 doublings in the range, or 126 if values may be
    ///   negative.
    pub fn build(self) -> Result<QuantileOptions, OptionsError> {
        Ok(QuantileOptions {
            quantiles: checked_quantiles(self.quantiles)?.into(),
            window: self.window,
            bins: match (self.range, self.negative_values) {
                (None, false) => Bins::default(),
                (None, true) => Bins::new(Bins::default().low(), Bins::default().high(), true)?,
                (Some((low, high)), signed) => Bins::new(low, high, signed)?,
            },
            keep_last: self.keep_last,
        })
    }
}

/// Returns the quantiles in ascending order.
fn checked_quantiles(mut quantiles: Vec<f64>) -> Result<Vec<f64>, OptionsError> {
    if quantiles.is_empty() {
        return Err(OptionsError::NoQuantile);
    }
    if let Some(index) = quantiles.iter().position(|q| !(0.0..=1.0).contains(q)) {
        return Err(OptionsError::QuantileOutOfRange { index });
    }
    quantiles.sort_by(f64::total_cmp);
    match quantiles.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(OptionsError::DuplicateQuantile { quantile: pair[0] }),
        None => Ok(quantiles),
    }
}

/// The mapping of values to bins. `zero` is the bin of 0; greater values are above
/// it and, if there are bins for them, negative ones below.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bins {
    /// The shifted bits of the least positive value with a bin of its own.
    first: u64,
    /// The number of bins of positive values.
    positive: usize,
    zero: usize,
}

impl Default for Bins {
    /// 74 octaves, from 2^-30 to 2^44.
    fn default() -> Self {
        Self {
            first: (1023 - 30) << FRACTION_BITS,
            positive: 74 << FRACTION_BITS,
            zero: 0,
        }
    }
}

impl Bins {
    pub(super) fn new(low: f64, high: f64, signed: bool) -> Result<Self, OptionsError> {
        if !(low.is_normal() && low > 0.0 && low < high && high < f64::MAX) {
            return Err(OptionsError::RangeNotPositive);
        }
        let octaves = (high.to_bits() >> 52) + 1 - (low.to_bits() >> 52);
        let octaves = octaves as usize;
        // All bins and that of 0 must fit into the chunks.
        let limit = if signed { CHUNKS / 2 - 1 } else { CHUNKS - 1 };
        if octaves > limit {
            return Err(OptionsError::RangeTooWide { octaves, limit });
        }
        let positive = octaves << FRACTION_BITS;
        Ok(Self {
            first: low.to_bits() >> 52 << FRACTION_BITS,
            positive,
            zero: if signed { positive } else { 0 },
        })
    }

    fn signed(&self) -> bool {
        self.zero > 0
    }

    fn low(&self) -> f64 {
        f64::from_bits(self.first << SHIFT)
    }

    fn high(&self) -> f64 {
        f64::from_bits((self.first + self.positive as u64 - 1) << SHIFT)
    }

    fn chunks(&self) -> usize {
        (self.zero + 1 + self.positive).div_ceil(CHUNK)
    }

    /// Returns the bin of a value, which must not be NaN.
    fn index(&self, value: f64) -> usize {
        let key = value.abs().to_bits() >> SHIFT;
        // 0 below the range, else the number of the bin from 1 on.
        let size = (key + 1)
            .saturating_sub(self.first)
            .min(self.positive as u64) as usize;
        if value < 0.0 {
            self.zero.saturating_sub(size)
        } else {
            self.zero + size
        }
    }

    /// Returns the number that represents the values of a bin.
    fn value(&self, index: usize) -> f64 {
        let size = index.abs_diff(self.zero) as u64;
        if size == 0 {
            return 0.0;
        }
        let key = self.first + size - 1;
        let (low, high) = (
            f64::from_bits(key << SHIFT),
            // The last bin of all ends at infinity.
            f64::from_bits((key + 1) << SHIFT).min(f64::MAX),
        );
        // 2 low high / (low + high), in an order that cannot overflow: its
        // ratio to either end differs from 1 by the same amount.
        let value = low * (2.0 / (1.0 + low / high));
        if index < self.zero { -value } else { value }
    }
}

/// The counts of one slice: how many values fell into each bin.
#[derive(Debug)]
pub(super) struct BinCounts {
    /// A bit for each chunk in which a bin may not be 0.
    touched: [AtomicU64; CHUNKS / 64],
    bins: Box<[AtomicU32]>,
}

/// The count of a full bin. Far enough below 2^32 that it cannot overflow, however
/// many threads add to it at once.
const FULL: u32 = 1 << 31;

impl BinCounts {
    pub(super) fn new(bins: &Bins) -> Self {
        Self {
            touched: std::array::from_fn(|_| AtomicU64::new(0)),
            bins: zeroed(bins.chunks() * CHUNK),
        }
    }

    pub(super) fn count(&self, index: usize) {
        let bin = &self.bins[index];
        // Acquire: pairs with the Release of `clear`. If this adds to a bin
        // that was just cleared, the load below sees its chunk unmarked.
        if bin.fetch_add(1, Ordering::Acquire) >= FULL {
            bin.fetch_sub(1, Ordering::Relaxed);
        }
        let chunk = index / CHUNK;
        let (touched, bit) = (&self.touched[chunk / 64], 1 << (chunk % 64));
        // Relaxed, both: a reader that misses the mark misses an observation
        // that is still being made.
        if touched.load(Ordering::Relaxed) & bit == 0 {
            touched.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Returns true if the chunk of a bin is marked.
    #[cfg(all(test, loom))]
    pub(super) fn is_marked(&self, index: usize) -> bool {
        let chunk = index / CHUNK;
        self.touched[chunk / 64].load(Ordering::Relaxed) >> (chunk % 64) & 1 == 1
    }

    #[cfg(all(test, loom))]
    pub(super) fn is_empty(&self, index: usize) -> bool {
        self.bins[index].load(Ordering::Relaxed) == 0
    }

    fn bins(&self, chunk: usize) -> &[AtomicU32] {
        &self.bins[chunk * CHUNK..][..CHUNK]
    }
}

/// Returns the positions of the bits that are set.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(bit)
    })
}

impl Slice for BinCounts {
    fn clear(&self) {
        // The marks go first, and a writer counts before it looks at the mark:
        // one that counts in a bin after this cleared it finds no mark and
        // makes one, so nothing is ever left in a bin without a mark.
        for (i, touched) in self.touched.iter().enumerate() {
            // Release: as `Slice` asks.
            for bit in bits(touched.swap(0, Ordering::Release)) {
                for bin in self.bins(i * 64 + bit) {
                    // Release: as `Slice` asks, and for `count`. A swap, because
                    // loom does not know that no store can come between the two
                    // halves of an addition.
                    bin.swap(0, Ordering::Release);
                }
            }
        }
    }
}

/// Quantiles of the values seen in a sliding window, shared by any number of
/// writers.
///
/// A quantile q of n values is the ceil(q n)-th least of them, shown with an
/// error of at most 1 % of its size. A reading is one `f64` for each quantile,
/// then the sum (`f64`) and the count (`u64`) since the cell was made.
///
/// - Quantiles are NaN while the window holds no observation. With
///   [`keep_last`](QuantileOptionsBuilder::keep_last), they are then those of the
///   last slice that had any.
/// - NaN is not a measurement and is ignored.
/// - The infinities count as the ends of the range. They are added to the sum as IEEE
///   754 has it.
/// - Negative values count as 0, in the quantiles and in the sum, unless the
///   options [say otherwise](QuantileOptionsBuilder::negative_values).
/// - At most 2^31 values of one size are counted in a slice.
///
/// With the default window and range a cell takes 152 kB of address space. Only
/// the pages that were written to are ever resident, typically a third. An update
/// reads the clock once; pass the time to [`observe_at`](Self::observe_at) if you
/// have it.
///
/// ```
/// use stethoscope::cell::{Cell, Quantile, QuantileOptions};
///
/// let seconds = Quantile::new(&QuantileOptions::new([0.5])?);
/// for value in [0.021, 0.020, 3.0] {
///     seconds.observe(value);
/// }
/// let mut reading = [0; 3];
/// seconds.read(&mut reading);
/// let median = f64::from_bits(reading[0]);
/// assert!((median - 0.021).abs() <= 0.01 * 0.021);
/// assert_eq!(seconds.count(), 3);
/// # Ok::<(), stethoscope::cell::OptionsError>(())
/// ```
#[derive(Debug)]
pub struct Quantile {
    options: QuantileOptions,
    ring: Ring<BinCounts>,
    /// Written by every update, and so kept away from the rest.
    totals: Padded<Totals>,
}

/// The sum and the count since the cell was made.
#[derive(Debug, Default)]
struct Totals {
    sum: AtomicF64,
    count: AtomicU64,
}

impl Quantile {
    /// Creates a cell without observations.
    #[must_use]
    pub fn new(options: &QuantileOptions) -> Self {
        Self::new_at(options, Instant::now())
    }

    /// Creates a cell whose first slice begins at `start`, for callers that
    /// control the clock.
    #[must_use]
    pub fn new_at(options: &QuantileOptions, start: Instant) -> Self {
        Self {
            options: options.clone(),
            ring: Ring::new(options.window, start, || BinCounts::new(&options.bins)),
            totals: Padded::default(),
        }
    }

    /// Observes `value` now. NaN is ignored.
    pub fn observe(&self, value: f64) {
        self.observe_at(value, Instant::now());
    }

    /// Observes `value` at `at`, so that one reading of the clock can serve several
    /// cells. NaN is ignored.
    ///
    /// An instant before the latest one that was observed counts as that one.
    #[inline]
    pub fn observe_at(&self, value: f64, at: Instant) {
        if value.is_nan() {
            return;
        }
        self.ring.newest(at).count(self.options.bins.index(value));
        let summand = at_least(self.options.least_summand(), value);
        self.totals.sum.add(summand);
        // Release: pairs with the Acquire in `count`. A reader that sees the count
        // sees the sum and the bin.
        self.totals.count.fetch_add(1, Ordering::Release);
    }

    /// Returns the number of observations since the cell was made.
    #[must_use]
    pub fn count(&self) -> u64 {
        // Acquire: pairs with the Release in `observe_at`.
        self.totals.count.load(Ordering::Acquire)
    }

    /// Returns the sum of the observations since the cell was made. It includes at
    /// least those in a [`count`](Self::count) that was taken before.
    #[must_use]
    pub fn sum(&self) -> f64 {
        // Relaxed: ordered after the load of the count.
        self.totals.sum.load(Ordering::Relaxed)
    }

    /// Writes the reading of the window that ends at `at`, as [`Cell::read`] does
    /// for the current time.
    ///
    /// # Panics
    /// If `into` is shorter than the [width](Cell::width) of a reading.
    pub fn read_at(&self, at: Instant, into: &mut [u64]) {
        let [quantiles @ .., sum, count] = into else {
            panic!("a summary is at least two numbers wide");
        };
        *count = self.count();
        *sum = self.sum().to_bits();
        self.ring.read(at, |view| {
            let mut merged = MergedWindow::new(view, self.options.keep_last);
            for (q, shown) in self.options.quantiles.iter().zip(&mut *quantiles) {
                let value = match merged.bin(*q) {
                    Some(bin) => self.options.bins.value(bin),
                    None => f64::NAN,
                };
                *shown = value.to_bits();
            }
        });
    }
}

impl Cell for Quantile {
    type Options = QuantileOptions;

    fn from_options(options: &QuantileOptions) -> Self {
        Self::new(options)
    }

    fn width(options: &QuantileOptions) -> usize {
        options.quantiles.len() + 2
    }

    fn read(&self, into: &mut [u64]) {
        self.read_at(Instant::now(), into);
    }
}

/// The slices of a window, merged chunk by chunk.
struct MergedWindow<'a> {
    view: RingView<'a, BinCounts>,
    /// The number of slices of the view that were merged.
    slices: usize,
    values: u64,
    /// The number of values in each chunk.
    chunks: [u64; CHUNKS],
    /// The chunk whose bins were merged last, and the number of values below it.
    chunk: usize,
    below: u64,
    bins: Option<[u64; CHUNK]>,
}

impl<'a> MergedWindow<'a> {
    /// Merges the slices in the window. If they hold nothing and `keep_last` is set,
    /// goes on to the latest slice that holds something.
    fn new(view: RingView<'a, BinCounts>, keep_last: bool) -> Self {
        let mut merged = Self {
            view,
            slices: 0,
            values: 0,
            chunks: [0; CHUNKS],
            chunk: 0,
            below: 0,
            bins: None,
        };
        for (slice, in_window) in view.slices() {
            if !in_window && (merged.values > 0 || !keep_last) {
                break;
            }
            merged.slices += 1;
            for (i, touched) in slice.touched.iter().enumerate() {
                // Relaxed, here and below: `Ring::read` checks that nothing
                // was cleared.
                for bit in bits(touched.load(Ordering::Relaxed)) {
                    let chunk = i * 64 + bit;
                    let bins = slice.bins(chunk).iter();
                    let values: u64 = bins.map(|bin| u64::from(bin.load(Ordering::Relaxed))).sum();
                    merged.chunks[chunk] += values;
                    merged.values += values;
                }
            }
        }
        merged
    }

    /// Returns the bin of quantile `q`, or `None` if there are no values. `q` must
    /// not be less than in the call before.
    fn bin(&mut self, q: f64) -> Option<usize> {
        if self.values == 0 {
            return None;
        }
        let rank = ((q * self.values as f64).ceil() as u64).clamp(1, self.values);
        while self.below + self.chunks[self.chunk] < rank {
            self.below += self.chunks[self.chunk];
            self.chunk += 1;
            self.bins = None;
        }
        let (view, slices, chunk) = (self.view, self.slices, self.chunk);
        // Read once for all quantiles in the chunk, so that they stay in order while
        // writers go on.
        let bins = self.bins.get_or_insert_with(|| {
            std::array::from_fn(|i| {
                let slices = view.slices().take(slices);
                slices
                    .map(|(slice, _)| u64::from(slice.bins(chunk)[i].load(Ordering::Relaxed)))
                    .sum()
            })
        });
        let mut upto = self.below;
        let bin = bins.iter().position(|values| {
            upto += values;
            upto >= rank
        });
        // No bin reaches the rank only if a slice was cleared since it was counted,
        // in the last attempt of `Ring::read`. The highest bin that still holds a
        // value is then the closest.
        let bin = bin.or_else(|| bins.iter().rposition(|values| *values > 0));
        Some(chunk * CHUNK + bin.unwrap_or(0))
    }
}
