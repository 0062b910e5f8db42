//! Native histograms: buckets that need no bounds, because their widths grow with
//! the values.
//!
//! An observation adds its value to the sum, then counts up its bucket with
//! `Release`; then, if there are any, its classic bucket. A reading goes the other
//! way: the classic buckets, the native ones with `Acquire`, the sum. So no classic
//! count is ahead of the native ones, and the sum includes everything that was
//! counted. The count is the total of the native buckets that were read: servers
//! refuse a whole page for a histogram in which the two differ.
//!
//! `scale` says how the resolution is lowered while others observe.

mod index;
mod options;
mod reading;
mod scale;

pub use options::{NativeHistogramOptions, NativeHistogramOptionsBuilder};
pub use reading::NativeReading;

use std::fmt;
use std::ops::Deref;

use super::stripe::stripes;
use super::{
    AtomicF64, Cell, ExemplarLabels, SingleWriter, SupportsExemplars, WithExemplars, Writer,
    single_writer_reads,
};
use crate::sync::{AtomicU64, Ordering, thread_slot, zeroed_words};
pub(super) use scale::Geometry;
use scale::Side;

/// Counts observations in buckets of a fixed relative width, shared by any number
/// of writers.
///
/// Prometheus stores such a native (sparse, exponential) histogram as one series,
/// and estimates its quantiles within the width of a bucket: 9 % in the default
/// schema, 3. It needs no bounds. If the values spread over more buckets than
/// [allowed](NativeHistogramOptionsBuilder::max_buckets), the schema is lowered,
/// which merges pairs of buckets; it is never raised.
///
/// Servers read native histograms from protobuf pages
/// ([`Format::Protobuf`](crate::exposition::Format::Protobuf)), which the endpoint sends
/// to those that ask for them. OpenMetrics 2.0 has native histograms as well. Other pages
/// show a classic histogram: with the
/// [classic buckets](NativeHistogramOptionsBuilder::classic) of the options, or with the
/// `+Inf` bucket alone.
///
/// - NaN is not a measurement and is ignored.
/// - Values up to 2^-128 are counted in the zero bucket, those beyond all finite
///   numbers in the bucket after that of the greatest.
/// - Negative values have buckets of their own if the options
///   [say so](NativeHistogramOptionsBuilder::negative_values). Otherwise they are
///   counted in the zero bucket and add 0 to the sum, so that the sum stays a
///   counter.
///
/// An observation takes no lock, waits for nothing and allocates nothing, also
/// where it lowers the schema. With the default options a histogram takes 10 KiB, of
/// which memory pages that were never written are not resident.
///
/// ```
/// use stethoscope::Registry;
/// use stethoscope::cell::NativeHistogramOptions;
///
/// let registry = Registry::new();
/// let options = NativeHistogramOptions::default();
/// let seconds = registry.native_histogram("latency_seconds", "Time to answer.", options)?;
/// seconds.observe(0.1);
/// seconds.observe(30.0);
/// assert_eq!((seconds.count(), seconds.sum()), (2, 30.1));
/// # Ok::<(), stethoscope::RegisterError>(())
/// ```
pub struct NativeHistogram(Shards);

impl NativeHistogram {
    /// Creates a histogram without observations.
    #[must_use]
    pub fn new(options: &NativeHistogramOptions) -> Self {
        Self(Shards::new(1, options, options.geometry()))
    }

    /// Creates a histogram whose sides have this size.
    #[cfg(all(test, loom))]
    pub(super) fn with_geometry(options: &NativeHistogramOptions, geometry: Geometry) -> Self {
        Self(Shards::new(1, options, geometry))
    }

    /// Counts `value` in its bucket and adds it to the sum. NaN is ignored.
    #[inline]
    pub fn observe(&self, value: f64) {
        self.0.observe::<SharedShard>(self.0.shard(0), value);
    }

    /// Returns the number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.count()
    }

    /// Returns the sum of the observations. It includes at least those in a
    /// [`count`](Self::count) that was taken before.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.0.sum()
    }

    /// Returns the options that this histogram was created with.
    #[must_use]
    pub fn options(&self) -> &NativeHistogramOptions {
        &self.0.options
    }
}

/// A [`NativeHistogram`] for many threads that observe without pause. Each thread
/// writes to a shard of its own, and a reading adds the shards up.
///
/// It guarantees what a [`NativeHistogram`] does. On two cores it takes six times the
/// memory of one, and more on more.
///
/// Do not update it in a signal handler: a handler that interrupts an update of
/// the same histogram may undo it.
///
/// ```
/// use stethoscope::cell::{NativeHistogramOptions, ShardedNativeHistogram};
///
/// let seconds = ShardedNativeHistogram::new(&NativeHistogramOptions::default());
/// std::thread::scope(|threads| {
///     for _ in 0..8 {
///         threads.spawn(|| (0..1000).for_each(|_| seconds.observe(0.5)));
///     }
/// });
/// assert_eq!((seconds.count(), seconds.sum()), (8000, 4000.0));
/// ```
pub struct ShardedNativeHistogram {
    /// First `exclusive` shards, each written by the one thread whose slot is its
    /// index, then half as many that the other threads share.
    shards: Shards,
    /// A power of two.
    exclusive: usize,
}

impl ShardedNativeHistogram {
    /// Creates a histogram without observations.
    #[must_use]
    pub fn new(options: &NativeHistogramOptions) -> Self {
        Self::with_shards(stripes(), options, options.geometry())
    }

    /// Creates a histogram with so many exclusive shards, which must be a power
    /// of two from 2 on.
    pub(super) fn with_shards(
        shards: usize,
        options: &NativeHistogramOptions,
        geometry: Geometry,
    ) -> Self {
        Self {
            shards: Shards::new(shards + shards / 2, options, geometry),
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
        if slot < self.exclusive {
            self.shards
                .observe::<ExclusiveShard>(self.shards.shard(slot), value);
        } else {
            let shared = slot & (self.exclusive / 2 - 1);
            let shard = self.shards.shard(self.exclusive + shared);
            self.shards.observe::<SharedShard>(shard, value);
        }
    }

    /// Returns the number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.shards.count()
    }

    /// Returns the sum of the observations. It includes at least those in a
    /// [`count`](Self::count) that was taken before.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.shards.sum()
    }

    /// Returns the options that this histogram was created with.
    #[must_use]
    pub fn options(&self) -> &NativeHistogramOptions {
        &self.shards.options
    }
}

/// Implements the traits of both histograms. `$shards` is their field.
macro_rules! native_histogram {
    ($($histogram:ident: $shards:tt,)*) => {$(
        impl Default for $histogram {
            /// A histogram with the [default options](NativeHistogramOptions::default).
            fn default() -> Self {
                Self::new(&NativeHistogramOptions::default())
            }
        }

        impl fmt::Debug for $histogram {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($histogram))
                    .field("options", self.options())
                    .field("count", &self.count())
                    .field("sum", &self.sum())
                    .finish()
            }
        }

        /// A row is the row of a classic histogram: one cumulative count for each
        /// classic bucket, one for `+Inf` (all `u64`), and the sum (`f64`).
        impl Cell for $histogram {
            type Options = NativeHistogramOptions;

            fn from_options(options: &NativeHistogramOptions) -> Self {
                Self::new(options)
            }

            fn width(options: &NativeHistogramOptions) -> usize {
                options.classic_bounds().len() + 2
            }

            fn read(&self, into: &mut [u64]) {
                self.$shards.read(into);
            }

            fn read_native(&self, into: &mut NativeReading) -> bool {
                self.$shards.read_native(into);
                true
            }
        }

        impl SupportsExemplars for $histogram {
            fn supported_exemplars(options: &NativeHistogramOptions) -> usize {
                options.classic_bounds().len() + 1
            }
        }

        impl WithExemplars<$histogram> {
            /// Observes `value` and records it as the exemplar of its classic bucket,
            /// or of `+Inf` if there are none. NaN is ignored.
            pub fn observe_with_exemplar(&self, value: f64, labels: &ExemplarLabels) {
                if value.is_nan() {
                    return;
                }
                self.observe(value);
                self.record_exemplar(self.options().classic_bucket(value), value, labels);
            }
        }
    )*};
}

native_histogram! {
    NativeHistogram: 0,
    ShardedNativeHistogram: shards,
}

single_writer_reads!(NativeHistogram {
    "Returns the number of observations." count: u64,
    "Returns the sum of the observations." sum: f64,
});

impl<H: Deref<Target = SingleWriter<NativeHistogram>>> Writer<NativeHistogram, H> {
    /// Counts `value` in its bucket and adds it to the sum. NaN is ignored.
    #[inline]
    pub fn observe(&self, value: f64) {
        let shards = &self.cell().0;
        shards.observe::<ExclusiveShard>(shards.shard(0), value);
    }
}

/// Words in a cache line.
const LINE: usize = 8;

/// The counts of one or more shards, each from the beginning of a cache line on.
///
/// ```text
/// a shard   sum │ zero │ level, ranges of each side │ classic counts │ rings
/// rings     level 0: positive, negative │ level 1: positive, negative │ ...
/// ```
///
/// The rings of coarse levels come last, and stay untouched where they are not
/// needed.
struct Shards {
    options: NativeHistogramOptions,
    geometry: Geometry,
    words: Box<[AtomicU64]>,
    /// The first word that begins a cache line.
    start: usize,
    per_shard: usize,
    /// The position of the first ring in a shard.
    rings: usize,
    /// Words from the rings of one level to those of the next.
    stride: usize,
}

/// Positions of words in a shard.
const SUM: usize = 0;
const ZERO: usize = 1;
/// The level of the positive side, before its ranges; those of the negative side
/// follow.
const SIDES: usize = 2;

/// The updates of a shard's words, for one writer or for several.
trait Writing {
    /// Adds to a sum. Returns false, and adds nothing, if another thread has changed it
    /// meanwhile.
    fn try_add(sum: AtomicF64<&AtomicU64>, summand: f64) -> bool;

    /// Counts one observation.
    fn increment(count: &AtomicU64);
}

/// A shard that any thread may write.
struct SharedShard;

impl Writing for SharedShard {
    #[inline]
    fn try_add(sum: AtomicF64<&AtomicU64>, summand: f64) -> bool {
        sum.try_add(summand)
    }

    #[inline]
    fn increment(count: &AtomicU64) {
        // Release: pairs with the Acquire of readings; see the top of the file.
        count.fetch_add(1, Ordering::Release);
    }
}

/// A shard that one thread at a time writes, by plain loads and stores.
struct ExclusiveShard;

impl Writing for ExclusiveShard {
    #[inline]
    fn try_add(sum: AtomicF64<&AtomicU64>, summand: f64) -> bool {
        sum.update_exclusive(|current| current + summand);
        true
    }

    #[inline]
    fn increment(count: &AtomicU64) {
        // Relaxed: the owner reads its own writes. Release: as above.
        let current = count.load(Ordering::Relaxed);
        count.store(current + 1, Ordering::Release);
    }
}

impl Shards {
    fn new(shards: usize, options: &NativeHistogramOptions, geometry: Geometry) -> Self {
        let rings = rings_at(options, geometry);
        let stride = sides(options) * geometry.ring;
        let per_shard = rings + geometry.levels * stride;
        let per_shard = per_shard.next_multiple_of(LINE);
        let words = zeroed_words(shards * per_shard + LINE - 1);
        let offset = words.as_ptr().cast::<u8>().align_offset(64);
        Self {
            options: options.clone(),
            geometry,
            // In bounds even if the offset cannot be determined.
            start: (offset / size_of::<u64>()).min(LINE - 1),
            words,
            per_shard,
            rings,
            stride,
        }
    }

    /// Counts `value` in a shard.
    ///
    /// A positive value whose bucket is in the range is counted here. Whatever else
    /// there is to do is the last call, so that nothing of the caller has to be kept in
    /// memory: a load after a locked instruction waits for it. Restoring registers took
    /// 1.3 ns of 7.2.
    #[inline]
    fn observe<W: Writing>(&self, shard: &[AtomicU64], value: f64) {
        // The bucket is found before the sum is changed: the loads after an atomic
        // addition wait for it.
        if let Some(finest) = index::finest_of_usual(value)
            && let Some(count) = self.positive(shard).usual_count(finest)
        {
            if !W::try_add(sum(shard), value) {
                return self.observe_contended::<W>(shard, value, count);
            }
            W::increment(count);
            if self.options.has_classic() {
                self.count_classic::<W>(shard, value);
            }
        } else {
            self.observe_other::<W>(shard, value);
        }
    }

    /// Observes a value whose bucket was found, after losing the sum to another thread.
    #[cold]
    #[inline(never)]
    fn observe_contended<W: Writing>(&self, shard: &[AtomicU64], value: f64, count: &AtomicU64) {
        sum(shard).add_contended(value);
        W::increment(count);
        self.count_classic::<W>(shard, value);
    }

    /// Observes any value.
    #[inline(never)]
    fn observe_other<W: Writing>(&self, shard: &[AtomicU64], value: f64) {
        if value.is_nan() {
            return;
        }
        let has_negative = self.options.has_negative_values();
        let count = match value.abs() > NativeReading::ZERO_THRESHOLD {
            true if value > 0.0 => self.positive(shard).count(index::finest(value)),
            true if has_negative => self.side(shard, 1).count(index::finest(-value)),
            _ => &shard[ZERO],
        };
        let summand = if has_negative { value } else { value.max(0.0) };
        if !W::try_add(sum(shard), summand) {
            sum(shard).add_contended(summand);
        }
        W::increment(count);
        self.count_classic::<W>(shard, value);
    }

    /// Counts a value in its classic bucket, if there are any.
    #[inline(never)]
    fn count_classic<W: Writing>(&self, shard: &[AtomicU64], value: f64) {
        if let Some(bucket) = self.options.finite_classic_bucket(value) {
            W::increment(&shard[self.classic_at() + bucket]);
        }
    }

    /// The words of a shard.
    #[inline]
    fn shard(&self, shard: usize) -> &[AtomicU64] {
        &self.words[self.start + shard * self.per_shard..][..self.per_shard]
    }

    fn shards(&self) -> impl Iterator<Item = &[AtomicU64]> + Clone {
        (0..self.words.len() / self.per_shard).map(|shard| self.shard(shard))
    }

    /// The positive side of a shard.
    #[inline]
    fn positive<'a>(&self, shard: &'a [AtomicU64]) -> Side<'a> {
        self.side(shard, 0)
    }

    /// The positive side of a shard, or the negative one.
    #[inline]
    fn side<'a>(&self, shard: &'a [AtomicU64], which: usize) -> Side<'a> {
        Side {
            words: shard,
            header: SIDES + which * (1 + self.geometry.levels),
            first: self.rings + which * self.geometry.ring,
            stride: self.stride,
            geometry: self.geometry,
        }
    }

    /// The sides of each shard.
    fn sides(&self) -> impl Iterator<Item = [Option<Side<'_>>; 2]> + Clone {
        let has_negative = self.options.has_negative_values();
        self.shards().map(move |shard| {
            let negative = has_negative.then(|| self.side(shard, 1));
            [Some(self.positive(shard)), negative]
        })
    }

    /// Returns the sum of a word of each shard.
    fn total(&self, position: usize) -> u64 {
        self.shards()
            // Acquire: pairs with the Release of the observation; see the top of the
            // file.
            .map(|shard| shard[position].load(Ordering::Acquire))
            .sum()
    }

    fn count(&self) -> u64 {
        let mut count = self.total(ZERO);
        for side in self.sides().flatten().flatten() {
            side.read(|_, _, counted| count += counted);
        }
        count
    }

    fn sum(&self) -> f64 {
        self.shards()
            // Relaxed: ordered after the loads of the counts, which are Acquire.
            .map(|shard| sum(shard).load(Ordering::Relaxed))
            .fold(0.0, |sum, of_shard| sum + of_shard)
    }

    fn read(&self, into: &mut [u64]) {
        let [classic @ .., count, sum] = into else {
            unreachable!("a histogram is at least two numbers wide");
        };
        let mut cumulative = 0;
        for (bucket, into) in classic.iter_mut().enumerate() {
            cumulative += self.total(self.classic_at() + bucket);
            *into = cumulative;
        }
        *count = self.count();
        *sum = self.sum().to_bits();
    }

    fn read_native(&self, into: &mut NativeReading) {
        into.set_zero(self.total(ZERO));
        into.read_sides(self.sides(), self.geometry.steps, self.geometry.ring);
        into.set_sum(self.sum());
    }

    /// The position of the classic counts in a shard.
    fn classic_at(&self) -> usize {
        SIDES + sides(&self.options) * (1 + self.geometry.levels)
    }
}

/// The sum of a shard.
#[inline]
fn sum(shard: &[AtomicU64]) -> AtomicF64<&AtomicU64> {
    AtomicF64::of(&shard[SUM])
}

/// The number of sides of a shard.
fn sides(options: &NativeHistogramOptions) -> usize {
    1 + usize::from(options.has_negative_values())
}

/// The position of the first ring in a shard.
fn rings_at(options: &NativeHistogramOptions, geometry: Geometry) -> usize {
    let header = SIDES + sides(options) * (1 + geometry.levels) + options.classic_bounds().len();
    header.next_multiple_of(LINE)
}
