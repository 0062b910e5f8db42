//! Quantiles over a sliding window, without a lock.
//!
//! Each slice of the window counts observations by size. Where a value is
//! counted is read straight off its bits: the exponent and the six highest
//! bits of the fraction number the bins, 64 to an octave, each 1/64 to 1/127
//! as wide as the values in it. A bin answers for all its values with the
//! point that is off by the same ratio from both ends: at most 1/129 < 0.8 %.
//!
//! An observation counts its bin up, marks the bin's chunk (64 bins, four
//! cache lines) as touched, and adds to the sum and the count of all time.
//! A reading merges the touched chunks of the slices in the window, and finds
//! the chunk of each quantile and then its bin. Clearing a slice costs what
//! was touched, too.

use std::sync::Arc;
use std::time::Instant;

use super::ring::{Ring, Slice, View};
use super::{AtomicF64, Cell, OptionsError, Window};
use crate::sync::{AtomicU32, AtomicU64, Ordering, Padded, zeroed};

/// Bits of the fraction that number the bins of an octave. Models make do with
/// two bins: loom keeps a history of each.
const FRACTION_BITS: u32 = if cfg!(loom) { 1 } else { 6 };
/// Bits of an `f64` below those.
const SHIFT: u32 = 52 - FRACTION_BITS;
/// Bins of a chunk, and of an octave.
const CHUNK: usize = 1 << FRACTION_BITS;
/// Chunks a slice can hold, one bit each in `Counts::touched`.
const CHUNKS: usize = 256;

/// Which quantiles are shown, over which window, of values in which range.
///
/// ```
/// use std::time::Duration;
/// use stethoscope::cell::{QuantileOptions, Window};
///
/// let options = QuantileOptions::new([0.5, 0.99])?
///     .window(Window::new(Duration::from_secs(300), 5)?)
///     .range(1e-6, 3600.0)?;
/// assert_eq!(options.quantiles(), [0.5, 0.99]);
/// # Ok::<(), stethoscope::cell::OptionsError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct QuantileOptions {
    quantiles: Arc<[f64]>,
    window: Window,
    bins: Bins,
}

impl QuantileOptions {
    /// These quantiles, over the window of a minute, of values from 0.9e-9
    /// (a nanosecond in seconds) to 1.7e13.
    ///
    /// Quantiles run from 0 (the least) to 1 (the greatest); 0.5 is the
    /// median. They are shown in ascending order.
    ///
    /// # Errors
    /// No quantile, one out of range, or one given twice.
    pub fn new(quantiles: impl IntoIterator<Item = f64>) -> Result<Self, OptionsError> {
        // Adding 0 turns -0 into 0.
        let mut quantiles: Vec<f64> = quantiles.into_iter().map(|q| q + 0.0).collect();
        if quantiles.is_empty() {
            return Err(OptionsError::NoQuantile);
        }
        if let Some(index) = quantiles.iter().position(|q| !(0.0..=1.0).contains(q)) {
            return Err(OptionsError::QuantileOutOfRange { index });
        }
        quantiles.sort_by(f64::total_cmp);
        if let Some(pair) = quantiles.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(OptionsError::QuantileTwice { quantile: pair[0] });
        }
        Ok(Self {
            quantiles: quantiles.into(),
            window: Window::default(),
            bins: Bins::default(),
        })
    }

    /// Over this window.
    pub fn window(mut self, window: Window) -> Self {
        self.window = window;
        self
    }

    /// Of values from `low` to `high`, both positive.
    ///
    /// What is less than `low`, zero and negative values among it, is counted
    /// as 0; what is greater than `high` as `high` (within the error). Each
    /// doubling between them takes 256 bytes a slot of the window.
    ///
    /// # Errors
    /// `low` is not positive and normal, `high` is not greater and finite, or
    /// there are more than 254 doublings between them (126 if values may be
    /// negative).
    pub fn range(mut self, low: f64, high: f64) -> Result<Self, OptionsError> {
        self.bins = Bins::new(low, high, self.bins.signed())?;
        Ok(self)
    }

    /// Negative values are counted like positive ones, and not as 0. Takes
    /// twice the memory.
    ///
    /// Strict readers of OpenMetrics refuse a summary with a negative quantile or
    /// sum. A [gauge](crate::registry::FamilyBuilder::as_gauge) may be negative
    /// everywhere.
    ///
    /// # Errors
    /// There are more than 126 doublings in the range.
    pub fn negative_values(mut self) -> Result<Self, OptionsError> {
        self.bins = Bins::new(self.bins.low(), self.bins.high(), true)?;
        Ok(self)
    }

    /// The quantiles, ascending.
    pub fn quantiles(&self) -> &[f64] {
        &self.quantiles
    }
}

impl Default for QuantileOptions {
    /// The median, and 0.9 and 0.99.
    fn default() -> Self {
        Self {
            quantiles: Arc::new([0.5, 0.9, 0.99]),
            window: Window::default(),
            bins: Bins::default(),
        }
    }
}

/// How values are mapped to bins: `zero` is the bin of 0, greater values are
/// above it and, if there are bins for them, negative ones below.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bins {
    /// The bits, shifted, of the least positive value with a bin of its own.
    first: u64,
    /// Bins of positive values.
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

    /// The bin of a value that is not NaN.
    fn index(&self, value: f64) -> usize {
        let key = value.abs().to_bits() >> SHIFT;
        // 0 below the range, or the number of the bin from 1 on.
        let size = (key + 1)
            .saturating_sub(self.first)
            .min(self.positive as u64) as usize;
        if value < 0.0 {
            self.zero.saturating_sub(size)
        } else {
            self.zero + size
        }
    }

    /// What a bin answers for its values.
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

/// How many values of each size one slice has seen.
#[derive(Debug)]
pub(super) struct Counts {
    /// A bit for each chunk in which a bin may not be 0.
    touched: Padded<[AtomicU64; CHUNKS / 64]>,
    bins: Box<[AtomicU32]>,
}

/// A bin that stands so high is full. Far enough below 2^32 for every thread
/// there may be to be on its way past it.
const FULL: u32 = 1 << 31;

impl Counts {
    pub(super) fn new(bins: &Bins) -> Self {
        Self {
            touched: Padded::default(),
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

    /// Whether the chunk of a bin is marked.
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

/// The positions of the bits that are set.
fn bits(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(bit)
    })
}

impl Slice for Counts {
    fn clear(&self) {
        // The marks go first, and a writer counts before it looks at the mark:
        // one that counts in a bin after this cleared it finds no mark and
        // makes one, so nothing is ever left in a bin without a mark.
        for (i, touched) in self.touched.iter().enumerate() {
            // Release: as `Slice` asks.
            for bit in bits(touched.swap(0, Ordering::Release)) {
                for bin in self.bins(i * 64 + bit) {
                    // Release: as `Slice` asks, and for `count`. A swap, for
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
/// then the sum (`f64`) and the count (`u64`) of all time.
///
/// Quantiles are NaN while nothing was ever observed. While nothing happens
/// for a whole window, they are those of the last slice in which something
/// did. A value of NaN is not a measurement and is ignored; the infinities
/// count as the ends of the range, and the sum becomes what IEEE 754 makes of
/// them. At most 2^31 values of one size are counted in a slice.
///
/// With the default window and range a cell takes 152 kB of address space, of
/// which only the pages that were written to are ever resident: typically a
/// third. An update takes one reading of the clock; pass the time to
/// [`observe_at`](Self::observe_at) if you have it.
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
/// assert_eq!(reading[2], 3);
/// # Ok::<(), stethoscope::cell::OptionsError>(())
/// ```
#[derive(Debug)]
pub struct Quantile {
    options: QuantileOptions,
    ring: Ring<Counts>,
    ever: Padded<Ever>,
}

/// What was seen since the cell was made.
#[derive(Debug, Default)]
struct Ever {
    sum: AtomicF64,
    count: AtomicU64,
}

impl Quantile {
    /// Takes `value` into account, as of now. NaN is ignored.
    pub fn observe(&self, value: f64) {
        self.observe_at(value, Instant::now());
    }

    /// Takes `value` into account, as of `at`: one reading of the clock may
    /// serve several cells.
    ///
    /// An instant that lies before what was observed last counts as that.
    #[inline]
    pub fn observe_at(&self, value: f64, at: Instant) {
        if value.is_nan() {
            return;
        }
        self.ring.newest(at).count(self.options.bins.index(value));
        self.ever.sum.add(value);
        // Release: pairs with the Acquire in `read_at`. Who sees the count
        // sees the sum and the bin.
        self.ever.count.fetch_add(1, Ordering::Release);
    }

    /// Writes the reading of the window that ends at `at`, as
    /// [`Cell::read`] does for now.
    pub fn read_at(&self, at: Instant, into: &mut [u64]) {
        let [quantiles @ .., sum, count] = into else {
            unreachable!("a summary is at least two numbers wide");
        };
        // Acquire: pairs with the Release in `observe_at`.
        *count = self.ever.count.load(Ordering::Acquire);
        // Relaxed: ordered behind the count.
        *sum = self.ever.sum.load(Ordering::Relaxed).to_bits();
        self.ring.read(at, |view| {
            let mut merged = Merged::new(view);
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

    fn new(options: &QuantileOptions) -> Self {
        Self {
            options: options.clone(),
            ring: Ring::new(options.window, || Counts::new(&options.bins)),
            ever: Padded::default(),
        }
    }

    fn width(options: &QuantileOptions) -> usize {
        options.quantiles.len() + 2
    }

    fn read(&self, into: &mut [u64]) {
        self.read_at(Instant::now(), into);
    }
}

/// The slices of a window, put together chunk by chunk.
struct Merged<'a> {
    view: View<'a, Counts>,
    /// How many slices of the view are taken.
    slices: usize,
    values: u64,
    /// The values in each chunk.
    chunks: [u64; CHUNKS],
    /// The chunk whose bins were merged last, and the values in those below.
    chunk: usize,
    below: u64,
    bins: Option<[u64; CHUNK]>,
}

impl<'a> Merged<'a> {
    fn new(view: View<'a, Counts>) -> Self {
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
            if !in_window && merged.values > 0 {
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

    /// The bin of quantile `q`, which is not less than the one asked for
    /// before; none where there are no values.
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
        // Read once for all quantiles in the chunk: they stay in order though
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
        // None has so many only if a slice was cleared since it was counted.
        Some(chunk * CHUNK + bin.unwrap_or(CHUNK - 1))
    }
}
