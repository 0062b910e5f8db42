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
use super::{AtomicF64, Buckets, Cell, ExemplarLabels, SingleWriter, WithExemplars, Writer};
use crate::sync::{AtomicU64, Ordering, thread_slot};

/// Counts observations by bucket, shared by any number of writers.
///
/// - NaN is not a measurement and is ignored.
/// - The infinities are counted. The sum becomes infinite and stays so: the
///   opposite infinity does not turn it into NaN.
/// - Negative values are counted. They are added to the sum only if there is a
///   bound below 0: without one the sum is a counter, which may not fall. (With
///   one, OpenMetrics pages show neither sum nor count.)
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
    lines: Box<[Line]>,
}

impl Histogram {
    /// Creates a histogram without observations.
    #[must_use]
    pub fn new(buckets: &Buckets) -> Self {
        Self {
            buckets: buckets.clone(),
            lines: lines(lines_per_shard(buckets)),
        }
    }

    /// Counts `value` in its bucket and adds it to the sum. NaN is ignored.
    #[inline]
    pub fn observe(&self, value: f64) {
        if !value.is_nan() {
            let summand = value.max(self.buckets.least_summand());
            self.shard().add(self.buckets.index(value), summand);
        }
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
        Shard(&self.lines)
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
}

impl SingleWriter<Histogram> {
    /// Returns the number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.cell().count()
    }

    /// Returns the sum of the observations.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.cell().sum()
    }
}

impl<H: Deref<Target = SingleWriter<Histogram>>> Writer<Histogram, H> {
    /// Counts `value` in its bucket and adds it to the sum. NaN is ignored.
    #[inline]
    pub fn observe(&self, value: f64) {
        let histogram = self.cell();
        if !value.is_nan() {
            let summand = value.max(histogram.buckets.least_summand());
            let bucket = histogram.buckets.index(value);
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
    /// The shards, one after the other: first `exclusive` ones, each written by
    /// the one thread whose slot is its index, then half as many that the other
    /// threads share.
    lines: Box<[Line]>,
    lines_per_shard: usize,
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
    pub(super) fn with_shards(shards: usize, buckets: &Buckets) -> Self {
        let lines_per_shard = lines_per_shard(buckets);
        Self {
            buckets: buckets.clone(),
            lines: lines(lines_per_shard * (shards + shards / 2)),
            lines_per_shard,
            exclusive: shards,
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
        if value.is_nan() {
            return;
        }
        let bucket = self.buckets.index(value);
        let summand = value.max(self.buckets.least_summand());
        if slot < self.exclusive {
            self.shard(slot).add_exclusive(bucket, summand);
        } else {
            let shared = slot & (self.exclusive / 2 - 1);
            self.shard(self.exclusive + shared).add(bucket, summand);
        }
    }

    /// Returns the number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        count(self.shards(), &self.buckets)
    }

    /// Returns the sum of the observations. It includes at least those in a
    /// [`count`](Self::count) that was taken before.
    #[must_use]
    pub fn sum(&self) -> f64 {
        sum(self.shards())
    }

    /// Returns the bounds that this histogram was created with.
    #[must_use]
    pub fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    #[inline]
    fn shard(&self, index: usize) -> Shard<'_> {
        Shard(&self.lines[index * self.lines_per_shard..][..self.lines_per_shard])
    }

    fn shards(&self) -> impl Iterator<Item = Shard<'_>> + Clone {
        self.lines.chunks_exact(self.lines_per_shard).map(Shard)
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
        read(self.shards(), into);
    }
}

impl WithExemplars<Histogram> {
    /// Observes `value` and records it as the exemplar of its bucket. NaN is
    /// ignored.
    pub fn observe_with_exemplar(&self, value: f64, labels: &ExemplarLabels) {
        if !value.is_nan() {
            self.observe(value);
            self.record_exemplar(self.buckets.index(value), value, labels);
        }
    }
}

impl WithExemplars<ShardedHistogram> {
    /// Observes `value` and records it as the exemplar of its bucket. NaN is
    /// ignored.
    pub fn observe_with_exemplar(&self, value: f64, labels: &ExemplarLabels) {
        if !value.is_nan() {
            self.observe(value);
            self.record_exemplar(self.buckets.index(value), value, labels);
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
    let sums = shards
        .into_iter()
        // Relaxed: ordered after the loads of the counts, which are Acquire.
        .map(|shard| shard.sum().load(Ordering::Relaxed));
    sums.fold(0.0, add_without_nan)
}

/// Adds two numbers, of which the second has no effect if it is infinite and the
/// first is the opposite infinity.
#[inline]
pub(super) fn add_without_nan(sum: f64, value: f64) -> f64 {
    let next = sum + value;
    if next.is_nan() { sum } else { next }
}

/// The words of a cache line.
const WORDS: usize = 8;

/// A cache line of counts. Aligned, so that histograms that were allocated side
/// by side do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([AtomicU64; WORDS]);

/// The lines that hold a sum and a count for each bucket.
fn lines_per_shard(buckets: &Buckets) -> usize {
    let counts = buckets.bounds().len() + 1;
    (1 + counts).div_ceil(WORDS)
}

fn lines(count: usize) -> Box<[Line]> {
    (0..count).map(|_| Line::default()).collect()
}

/// A sum, and a count for each bucket: in the first word, and the words after it.
#[derive(Clone, Copy)]
struct Shard<'a>(&'a [Line]);

impl<'a> Shard<'a> {
    #[inline]
    fn sum(self) -> AtomicF64<&'a AtomicU64> {
        AtomicF64::of(&self.0[0].0[0])
    }

    #[inline]
    fn count(self, bucket: usize) -> &'a AtomicU64 {
        let word = 1 + bucket;
        &self.0[word / WORDS].0[word % WORDS]
    }

    #[inline]
    fn add(self, bucket: usize, summand: f64) {
        self.sum().update(|sum| Some(add_without_nan(sum, summand)));
        // Release: pairs with the Acquire in `read`; see the top of the file.
        self.count(bucket).fetch_add(1, Ordering::Release);
    }

    /// Like `add`, by plain loads and stores: for a shard that one thread at a
    /// time writes.
    #[inline]
    fn add_exclusive(self, bucket: usize, summand: f64) {
        self.sum()
            .update_exclusive(|sum| add_without_nan(sum, summand));
        let count = self.count(bucket);
        // Relaxed: the owner reads its own writes. Release: as in `add`.
        let current = count.load(Ordering::Relaxed);
        count.store(current + 1, Ordering::Release);
    }
}
