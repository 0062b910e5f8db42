//! Histograms: how often values fell at or below fixed bounds.
//!
//! An observation first adds its value to the sum, then counts up its bucket
//! with `Release`. A reading goes the other way: it loads every bucket with
//! `Acquire`, then the sum. The sum therefore includes everything that the
//! reading has counted. The count is the total of the buckets that were read, so
//! it cannot differ from the `+Inf` bucket.
//!
//! The sum stands in the same cache line as the first counts. A thread that has
//! won the exchange on a contended sum then owns the line that it counts in, too.

use std::ops::Deref;

use super::stripe::stripes;
use super::{
    AtomicF64, Buckets, Cell, ExemplarLabels, SingleWriter, WithExemplars, Writer,
    single_writer_reads,
};
use crate::sync::{AtomicU64, Ordering, thread_slot};

/// Counts observations by bucket, shared by any number of writers.
///
/// - NaN is not a measurement and is ignored.
/// - Negative values are counted, and add 0 to the sum unless there is a bound below
///   0: without one the sum is a counter, which may not fall. (With one, OpenMetrics
///   pages show neither sum nor count.)
/// - The infinities are counted. They are added to the sum as IEEE 754 has it.
///
/// A reading is one cumulative count for each finite bound, one for `+Inf`
/// (all `u64`), and the sum (`f64`). The sum never lags behind the counts beside
/// it. It may be ahead by observations that are being made.
///
/// ```
/// use stethoscope::cell::{Buckets, Histogram};
///
/// let buckets = Buckets::new([0.1, 1.0])?;
/// let seconds = Histogram::new(&buckets);
/// seconds.observe(0.1);
/// seconds.observe(0.5);
/// seconds.observe(30.0);
/// assert_eq!(seconds.count(), 3);
/// assert_eq!(seconds.sum(), 30.6);
/// # Ok::<(), stethoscope::cell::OptionsError>(())
/// ```
#[derive(Debug)]
pub struct Histogram {
    buckets: Buckets,
    words: ShardWords,
}

impl Histogram {
    /// Creates a histogram without observations.
    #[must_use]
    pub fn new(buckets: &Buckets) -> Self {
        Self {
            buckets: buckets.clone(),
            words: ShardWords::new(1, buckets),
        }
    }

    /// Counts `value` in its bucket and adds it to the sum. NaN is ignored.
    #[inline]
    pub fn observe(&self, value: f64) {
        if let Some((bucket, summand)) = self.buckets.locate(value) {
            self.shard().add(bucket, summand);
        }
    }

    /// Adds observations that were made elsewhere, for example in another process: how
    /// many fell in each bucket, not cumulative, the last of them above all bounds, and
    /// their sum. Returns false, and adds nothing, if there are not as many buckets.
    ///
    /// ```
    /// # use stethoscope::cell::{Buckets, Histogram};
    /// let seconds = Histogram::new(&Buckets::new([0.1, 1.0])?);
    /// assert!(seconds.add_counts(&[0, 2, 1], 31.2));
    /// assert_eq!((seconds.count(), seconds.sum()), (3, 31.2));
    /// assert!(!seconds.add_counts(&[1], 0.0));
    /// # Ok::<(), stethoscope::cell::OptionsError>(())
    /// ```
    pub fn add_counts(&self, counts: &[u64], sum: f64) -> bool {
        if counts.len() != self.buckets.bounds().len() + 1 {
            return false;
        }
        let shard = self.shard();
        // The sum first, as in `observe`.
        shard.sum().add(sum);
        for (bucket, count) in counts.iter().enumerate() {
            // Release: pairs with the Acquire in `read`; see the top of the file.
            shard.count(bucket).fetch_add(*count, Ordering::Release);
        }
        true
    }

    /// Returns the number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        count([self.shard()], &self.buckets)
    }

    /// Returns the sum of the observations. It includes at least those in a
    /// [`count`](Self::count) that was taken before.
    #[must_use]
    pub fn sum(&self) -> f64 {
        sum([self.shard()])
    }

    /// Returns the bounds that this histogram was created with.
    #[must_use]
    pub fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    #[inline]
    fn shard(&self) -> Shard<'_> {
        self.words.single()
    }
}

impl Default for Histogram {
    /// A histogram with the [default buckets](Buckets::default).
    fn default() -> Self {
        Self::new(&Buckets::default())
    }
}

impl Cell for Histogram {
    type Options = Buckets;

    fn from_options(buckets: &Buckets) -> Self {
        Self::new(buckets)
    }

    fn width(buckets: &Buckets) -> usize {
        buckets.bounds().len() + 2
    }

    fn read(&self, into: &mut [u64]) {
        read([self.shard()].into_iter(), into);
    }

    #[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
    fn placement() -> Option<super::Placement<Self>> {
        Some(super::Placement {
            encoding: super::Encoding::Histogram,
            parts: 1,
            #[allow(unsafe_code)]
            place: |buckets, words| {
                super::Placed::Beside(Self {
                    buckets: buckets.clone(),
                    // SAFETY: the duties of `Placement::place`.
                    words: unsafe { ShardWords::borrowed(words, 1) },
                })
            },
        })
    }
}

single_writer_reads!(Histogram {
    "Returns the number of observations." count: u64,
    "Returns the sum of the observations." sum: f64,
});

impl<H: Deref<Target = SingleWriter<Histogram>>> Writer<Histogram, H> {
    /// Counts `value` in its bucket and adds it to the sum. NaN is ignored.
    #[inline]
    pub fn observe(&self, value: f64) {
        let histogram = self.cell();
        if let Some((bucket, summand)) = histogram.buckets.locate(value) {
            histogram.shard().add_exclusive(bucket, summand);
        }
    }
}

/// A [`Histogram`] for many threads that observe without pause. Each thread
/// writes to a shard of its own, and a reading adds the shards up.
///
/// It guarantees what a [`Histogram`] does. On two cores it takes six times the
/// memory of one, and more on more.
///
/// Do not update it in a signal handler: a handler that interrupts an update of
/// the same histogram may undo it.
///
/// ```
/// use stethoscope::cell::{Buckets, ShardedHistogram};
///
/// let buckets = Buckets::new([0.1])?;
/// let seconds = ShardedHistogram::new(&buckets);
/// std::thread::scope(|threads| {
///     for _ in 0..8 {
///         threads.spawn(|| (0..1000).for_each(|_| seconds.observe(0.5)));
///     }
/// });
/// assert_eq!((seconds.count(), seconds.sum()), (8000, 4000.0));
/// # Ok::<(), stethoscope::cell::OptionsError>(())
/// ```
#[derive(Debug)]
pub struct ShardedHistogram {
    buckets: Buckets,
    /// First `exclusive` shards, each written by the one thread whose slot is its
    /// index, then half as many that the other threads share.
    words: ShardWords,
    /// A power of two.
    exclusive: usize,
}

impl ShardedHistogram {
    /// Creates a histogram without observations.
    #[must_use]
    pub fn new(buckets: &Buckets) -> Self {
        Self::with_shards(stripes(), buckets)
    }

    /// Creates a histogram with so many exclusive shards, which must be a power
    /// of two from 2 on.
    pub(super) fn with_shards(exclusive: usize, buckets: &Buckets) -> Self {
        Self {
            buckets: buckets.clone(),
            words: ShardWords::new(shards(exclusive), buckets),
            exclusive,
        }
    }

    /// Counts `value` in its bucket and adds it to the sum. NaN is ignored.
    #[inline]
    pub fn observe(&self, value: f64) {
        self.add(thread_slot(), value);
    }

    /// Observes `value` as the thread with this slot.
    #[inline]
    pub(super) fn add(&self, slot: usize, value: f64) {
        let Some((bucket, summand)) = self.buckets.locate(value) else {
            return;
        };
        if slot < self.exclusive {
            self.words.shard(slot).add_exclusive(bucket, summand);
        } else {
            let shared = slot & (self.exclusive / 2 - 1);
            self.words
                .shard(self.exclusive + shared)
                .add(bucket, summand);
        }
    }

    /// Returns the number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        count(self.words.shards(), &self.buckets)
    }

    /// Returns the sum of the observations. It includes at least those in a
    /// [`count`](Self::count) that was taken before.
    #[must_use]
    pub fn sum(&self) -> f64 {
        sum(self.words.shards())
    }

    /// Returns the bounds that this histogram was created with.
    #[must_use]
    pub fn buckets(&self) -> &Buckets {
        &self.buckets
    }
}

impl Default for ShardedHistogram {
    /// A histogram with the [default buckets](Buckets::default).
    fn default() -> Self {
        Self::new(&Buckets::default())
    }
}

impl Cell for ShardedHistogram {
    type Options = Buckets;

    fn from_options(buckets: &Buckets) -> Self {
        Self::new(buckets)
    }

    fn width(buckets: &Buckets) -> usize {
        Histogram::width(buckets)
    }

    fn read(&self, into: &mut [u64]) {
        read(self.words.shards(), into);
    }

    #[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
    fn placement() -> Option<super::Placement<Self>> {
        Some(super::Placement {
            encoding: super::Encoding::Histogram,
            parts: shards(stripes()),
            #[allow(unsafe_code)]
            place: |buckets, words| {
                let exclusive = stripes();
                super::Placed::Beside(Self {
                    buckets: buckets.clone(),
                    // SAFETY: the duties of `Placement::place`.
                    words: unsafe { ShardWords::borrowed(words, shards(exclusive)) },
                    exclusive,
                })
            },
        })
    }
}

/// Returns the number of all shards, of which so many are exclusive.
fn shards(exclusive: usize) -> usize {
    exclusive + exclusive / 2
}

impl WithExemplars<Histogram> {
    /// Observes `value` and records it as the exemplar of its bucket. NaN is
    /// ignored.
    pub fn observe_with_exemplar(&self, value: f64, labels: &ExemplarLabels) {
        if let Some((bucket, _)) = self.buckets.locate(value) {
            self.observe(value);
            self.record_exemplar(bucket, value, labels);
        }
    }
}

impl WithExemplars<ShardedHistogram> {
    /// Observes `value` and records it as the exemplar of its bucket. NaN is
    /// ignored.
    pub fn observe_with_exemplar(&self, value: f64, labels: &ExemplarLabels) {
        if let Some((bucket, _)) = self.buckets.locate(value) {
            self.observe(value);
            self.record_exemplar(bucket, value, labels);
        }
    }
}

/// Writes the cumulative counts and the sum of all `shards`.
fn read<'a>(shards: impl Iterator<Item = Shard<'a>> + Clone, into: &mut [u64]) {
    let [counts @ .., total_sum] = into else {
        unreachable!("a histogram is at least two numbers wide");
    };
    let mut total = 0;
    for (bucket, cumulative) in counts.iter_mut().enumerate() {
        for shard in shards.clone() {
            // Acquire: pairs with the Release in `Shard::add`. The sum read below
            // includes every observation that is counted here.
            total += shard.count(bucket).load(Ordering::Acquire);
        }
        *cumulative = total;
    }
    *total_sum = sum(shards).to_bits();
}

/// Returns the number of observations in all `shards`.
fn count<'a>(shards: impl IntoIterator<Item = Shard<'a>>, buckets: &Buckets) -> u64 {
    let of_shard = |shard: Shard<'_>| -> u64 {
        (0..=buckets.bounds().len())
            // Acquire: as in `read`.
            .map(|bucket| shard.count(bucket).load(Ordering::Acquire))
            .sum()
    };
    shards.into_iter().map(of_shard).sum()
}

/// Returns the sum of the observations in all `shards`.
fn sum<'a>(shards: impl IntoIterator<Item = Shard<'a>>) -> f64 {
    shards
        .into_iter()
        // Relaxed: ordered after the loads of the counts, which are Acquire.
        .map(|shard| shard.sum().load(Ordering::Relaxed))
        .fold(0.0, |sum, of_shard| sum + of_shard)
}

/// The number of words in a cache line.
const LINE: usize = 8;

#[cfg(not(all(feature = "segment", target_os = "linux", not(loom))))]
type Memory = Box<[AtomicU64]>;
#[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
type Memory = super::placement::CellWords;

/// The sums and counts of one or more shards, each from the beginning of a cache
/// line on, so that histograms and shards side by side do not slow each other down.
#[derive(Debug)]
struct ShardWords {
    words: Memory,
    /// The first word that begins a cache line.
    start: usize,
    /// The number of words of a shard: whole cache lines.
    per_shard: usize,
}

impl ShardWords {
    fn new(shards: usize, buckets: &Buckets) -> Self {
        let counts = buckets.bounds().len() + 1;
        let per_shard = (1 + counts).next_multiple_of(LINE);
        let words: Memory = (0..shards * per_shard + LINE - 1)
            .map(|_| AtomicU64::new(0))
            .collect();
        // In bytes, of which a multiple of eight is missing to a whole line.
        let offset = words.as_ptr().cast::<u8>().align_offset(64);
        Self {
            // In bounds even if the offset cannot be determined.
            start: (offset / size_of::<u64>()).min(LINE - 1),
            words,
            per_shard,
        }
    }

    /// The words of so many shards, which begin a cache line.
    ///
    /// # Safety
    /// They must be valid for as long as the result exists.
    #[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
    #[allow(unsafe_code)]
    unsafe fn borrowed(words: &'static [AtomicU64], shards: usize) -> Self {
        Self {
            start: 0,
            per_shard: words.len() / shards,
            // SAFETY: the caller's duty.
            words: unsafe { Memory::borrowed(words) },
        }
    }

    /// The only shard.
    #[inline]
    fn single(&self) -> Shard<'_> {
        Shard {
            words: &self.words,
            first: self.start,
        }
    }

    #[inline]
    fn shard(&self, index: usize) -> Shard<'_> {
        Shard {
            words: &self.words,
            first: self.start + index * self.per_shard,
        }
    }

    fn shards(&self) -> impl Iterator<Item = Shard<'_>> + Clone {
        (0..self.words.len() / self.per_shard).map(|index| self.shard(index))
    }
}

/// A sum, in the first word, and a count for each bucket in the words after it.
#[derive(Clone, Copy)]
struct Shard<'a> {
    words: &'a [AtomicU64],
    first: usize,
}

impl<'a> Shard<'a> {
    #[inline]
    fn sum(self) -> AtomicF64<&'a AtomicU64> {
        AtomicF64::of(&self.words[self.first])
    }

    #[inline]
    fn count(self, bucket: usize) -> &'a AtomicU64 {
        &self.words[self.first + 1 + bucket]
    }

    #[inline]
    fn add(self, bucket: usize, summand: f64) {
        self.sum().add(summand);
        // Release: pairs with the Acquire in `read`; see the top of the file.
        self.count(bucket).fetch_add(1, Ordering::Release);
    }

    /// Like `add`, by plain loads and stores: for a shard that one thread at a
    /// time writes.
    #[inline]
    fn add_exclusive(self, bucket: usize, summand: f64) {
        self.sum().update_exclusive(|sum| sum + summand);
        let count = self.count(bucket);
        // Relaxed: the owner reads its own writes. Release: as in `add`.
        let current = count.load(Ordering::Relaxed);
        count.store(current + 1, Ordering::Release);
    }
}
