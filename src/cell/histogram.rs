//! Histograms: how often values fell at or below fixed bounds.
//!
//! An observation is two steps: its value is added to the sum, then its bucket
//! is counted up (`Release`). A reading goes the other way: first every bucket
//! (`Acquire`), then the sum. Whatever a reading has counted is therefore in
//! the sum it shows, and the count, being the total of the buckets it read,
//! cannot differ from the `+Inf` bucket.

use std::ops::Deref;

use super::stripe::stripes;
use super::{AtomicF64, Buckets, Cell, ExemplarLabels, SingleWriter, WithExemplars, Writer};
use crate::sync::{AtomicU64, Ordering, Padded, thread_number};

/// Counts observations by bucket, shared by any number of writers.
///
/// NaN is not a measurement and is ignored: one would turn the sum into NaN
/// for as long as the process lives. The infinities are counted, and the sum
/// becomes what IEEE 754 makes of them. Strict readers of OpenMetrics refuse a
/// sum that is negative or NaN: see [`Registry::histogram`](crate::Registry::histogram).
///
/// A reading is one cumulative count for each finite bound, one for `+Inf`
/// (all `u64`), and the sum (`f64`). The sum is never behind the counts beside
/// it; it may be ahead by observations that were on their way.
///
/// ```
/// use stethoscope::cell::{Buckets, Cell, Histogram};
///
/// let buckets = Buckets::new([0.1, 1.0])?;
/// let seconds = Histogram::new(&buckets);
/// seconds.observe(0.1);
/// seconds.observe(0.5);
/// seconds.observe(30.0);
/// let mut reading = [0; 4];
/// seconds.read(&mut reading);
/// assert_eq!(reading[..3], [1, 2, 3]);
/// assert_eq!(f64::from_bits(reading[3]), 30.6);
/// # Ok::<(), stethoscope::cell::OptionsError>(())
/// ```
#[derive(Debug)]
pub struct Histogram {
    buckets: Buckets,
    tally: Tally,
}

impl Histogram {
    /// Counts `value` in its bucket and adds it to the sum. NaN is ignored.
    #[inline]
    pub fn observe(&self, value: f64) {
        if !value.is_nan() {
            self.tally.add(self.buckets.index(value), value);
        }
    }
}

impl Cell for Histogram {
    type Options = Buckets;

    fn new(buckets: &Buckets) -> Self {
        Self {
            buckets: buckets.clone(),
            tally: Tally::new(buckets),
        }
    }

    fn width(buckets: &Buckets) -> usize {
        buckets.bounds().len() + 2
    }

    fn read(&self, into: &mut [u64]) {
        read([&self.tally].into_iter(), into);
    }
}

impl<H: Deref<Target = SingleWriter<Histogram>>> Writer<Histogram, H> {
    /// Counts `value` in its bucket and adds it to the sum. NaN is ignored.
    #[inline]
    pub fn observe(&self, value: f64) {
        let Histogram { buckets, tally } = self.cell();
        if !value.is_nan() {
            tally.add_owned(buckets.index(value), value);
        }
    }
}

/// A [`Histogram`] for many threads that observe without pause: each has a
/// shard of its own to write to, and a reading adds the shards up.
///
/// It promises what a histogram promises. On two cores it takes six times the
/// memory of one, and more on more. Not for signal handlers: one that
/// interrupts an update of the same histogram may undo it.
///
/// ```
/// use stethoscope::cell::{Buckets, Cell, ShardedHistogram};
///
/// let buckets = Buckets::new([0.1])?;
/// let seconds = ShardedHistogram::new(&buckets);
/// std::thread::scope(|threads| {
///     for _ in 0..8 {
///         threads.spawn(|| (0..1000).for_each(|_| seconds.observe(0.5)));
///     }
/// });
/// let mut reading = [0; 3];
/// seconds.read(&mut reading);
/// assert_eq!(reading, [0, 8000, 4000f64.to_bits()]);
/// # Ok::<(), stethoscope::cell::OptionsError>(())
/// ```
#[derive(Debug)]
pub struct ShardedHistogram {
    buckets: Buckets,
    /// Each written by the one thread with its number.
    own: Box<[Tally]>,
    /// Written by threads whose number is beyond the shards.
    shared: Box<[Tally]>,
}

impl ShardedHistogram {
    /// `shards` is a power of two from 2 on.
    pub(super) fn with_shards(shards: usize, buckets: &Buckets) -> Self {
        let tallies = |count| (0..count).map(|_| Tally::new(buckets)).collect();
        Self {
            buckets: buckets.clone(),
            own: tallies(shards),
            shared: tallies(shards / 2),
        }
    }

    /// Counts `value` in its bucket and adds it to the sum. NaN is ignored.
    #[inline]
    pub fn observe(&self, value: f64) {
        self.add(thread_number(), value);
    }

    #[inline]
    pub(super) fn add(&self, thread: usize, value: f64) {
        if value.is_nan() {
            return;
        }
        let bucket = self.buckets.index(value);
        match self.own.get(thread) {
            Some(shard) => shard.add_owned(bucket, value),
            None => self.shared[thread & (self.shared.len() - 1)].add(bucket, value),
        }
    }
}

impl Cell for ShardedHistogram {
    type Options = Buckets;

    fn new(buckets: &Buckets) -> Self {
        Self::with_shards(stripes(), buckets)
    }

    fn width(buckets: &Buckets) -> usize {
        Histogram::width(buckets)
    }

    fn read(&self, into: &mut [u64]) {
        read(self.own.iter().chain(&self.shared), into);
    }
}

impl WithExemplars<Histogram> {
    /// Observes `value`, and keeps it as the exemplar of its bucket. NaN is
    /// ignored.
    pub fn observe_with_exemplar(&self, value: f64, labels: &ExemplarLabels) {
        if !value.is_nan() {
            self.observe(value);
            self.keep(self.buckets.index(value), value, labels);
        }
    }
}

impl WithExemplars<ShardedHistogram> {
    /// Observes `value`, and keeps it as the exemplar of its bucket. NaN is
    /// ignored.
    pub fn observe_with_exemplar(&self, value: f64, labels: &ExemplarLabels) {
        if !value.is_nan() {
            self.observe(value);
            self.keep(self.buckets.index(value), value, labels);
        }
    }
}

/// Writes the cumulative counts and the sum of all `tallies`.
fn read<'a>(tallies: impl Iterator<Item = &'a Tally> + Clone, into: &mut [u64]) {
    let [counts @ .., sum] = into else {
        unreachable!("a histogram is at least two numbers wide");
    };
    let mut total = 0;
    for (bucket, cumulative) in counts.iter_mut().enumerate() {
        for tally in tallies.clone() {
            // Acquire: pairs with the Release in `Tally::add`. The sum read
            // below holds every observation that is counted here.
            total += tally.count(bucket).load(Ordering::Acquire);
        }
        *cumulative = total;
    }
    // Relaxed: ordered behind the loads above, which are Acquire.
    *sum = tallies
        .map(|tally| tally.sum.load(Ordering::Relaxed))
        .sum::<f64>()
        .to_bits();
}

/// Counts that share a cache line.
const LINE: usize = 8;

/// A sum, and a count for each bucket, on cache lines of their own.
#[derive(Debug)]
#[repr(align(64))]
struct Tally {
    sum: AtomicF64,
    counts: Box<[Padded<[AtomicU64; LINE]>]>,
}

impl Tally {
    fn new(buckets: &Buckets) -> Self {
        let counts = buckets.bounds().len() + 1;
        Self {
            sum: AtomicF64::default(),
            counts: (0..counts.div_ceil(LINE))
                .map(|_| Padded::default())
                .collect(),
        }
    }

    fn count(&self, bucket: usize) -> &AtomicU64 {
        &self.counts[bucket / LINE][bucket % LINE]
    }

    fn add(&self, bucket: usize, value: f64) {
        self.sum.add(value);
        // Release: pairs with the Acquire in `read`; see the top of the file.
        self.count(bucket).fetch_add(1, Ordering::Release);
    }

    /// Like `add`, by plain loads and stores: for a tally that one thread at a
    /// time writes.
    #[inline]
    fn add_owned(&self, bucket: usize, value: f64) {
        self.sum.update_owned(|now| now + value);
        let count = self.count(bucket);
        // Relaxed: the owner reads what it wrote itself. Release: as in `add`.
        let now = count.load(Ordering::Relaxed);
        count.store(now + 1, Ordering::Release);
    }
}
