//! A native histogram as it was read.

use super::index::{MAX_SCHEMA, ZERO_THRESHOLD, coarser, upper_bound};
use super::scale::Side;

/// The buckets of a native histogram at one moment.
///
/// Its default is an empty histogram. Read one with
/// [`Cell::read_native`](crate::cell::Cell::read_native); the buffers are reused
/// by the next reading.
///
/// ```
/// use stethoscope::cell::{Cell, NativeHistogram, NativeReading};
///
/// let histogram = NativeHistogram::default();
/// histogram.observe(1.0);
/// histogram.observe(1.05);
///
/// let mut reading = NativeReading::default();
/// histogram.read_native(&mut reading);
/// assert_eq!((reading.count(), reading.sum()), (2, 2.05));
/// // Schema 3 has eight buckets from one power of two to the next.
/// assert_eq!(reading.schema(), 3);
/// assert!(reading.positive().eq([(0, 1), (1, 1)]));
/// assert_eq!(reading.upper_bound(0), 1.0);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NativeReading {
    /// The schemas from 8 down to that of the buckets; irrelevant if there are none.
    steps: u32,
    zero: u64,
    sum: f64,
    positive: DenseBuckets,
    negative: DenseBuckets,
}

/// The buckets of one side, without gaps.
#[derive(Clone, Debug, Default, PartialEq)]
struct DenseBuckets {
    /// The index of the first bucket.
    first: i32,
    counts: Vec<u64>,
}

impl NativeReading {
    /// The greatest absolute value that is counted in the zero bucket: 2^-128.
    pub const ZERO_THRESHOLD: f64 = ZERO_THRESHOLD;

    /// Returns the resolution: there are 2^schema buckets from one power of two to
    /// the next. From -4 to 8.
    #[must_use]
    pub fn schema(&self) -> i32 {
        MAX_SCHEMA - self.steps as i32
    }

    /// Returns the number of observations: the sum of all buckets.
    #[must_use]
    pub fn count(&self) -> u64 {
        let sides = [&self.positive, &self.negative];
        let counts = sides.into_iter().flat_map(|side| &side.counts);
        self.zero + counts.sum::<u64>()
    }

    /// Returns the sum of the observations.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// Returns the number of observations in the zero bucket.
    #[must_use]
    pub fn zero_count(&self) -> u64 {
        self.zero
    }

    /// Returns the index and the count of each bucket of positive values, in
    /// ascending order. Buckets without observations are left out.
    pub fn positive(&self) -> impl Iterator<Item = (i32, u64)> {
        self.positive.populated()
    }

    /// Returns the index and the count of each bucket of negative values, by
    /// ascending absolute values.
    pub fn negative(&self) -> impl Iterator<Item = (i32, u64)> {
        self.negative.populated()
    }

    /// Returns the upper bound of the bucket with this index, which is included.
    /// The lower bound is the upper bound of the bucket before.
    #[must_use]
    pub fn upper_bound(&self, index: i32) -> f64 {
        upper_bound(self.schema(), index)
    }

    /// Makes this the reading of some shards. `sides` are the positive side of each,
    /// and the negative one if there is one. The sum and the zero bucket are set by
    /// the caller. `finest` says how much coarser than schema 8 the first levels are.
    ///
    /// The buckets are lowered to the coarsest schema of a side, and further until
    /// no side has more than `max_buckets`. Since ranges and schemas only ever
    /// develop one way, so do those of later readings.
    pub(super) fn read_sides<'a>(
        &mut self,
        sides: impl Iterator<Item = [Option<Side<'a>>; 2]> + Clone,
        finest: u32,
        max_buckets: usize,
    ) {
        let mut steps = finest;
        let unions = loop {
            let mut unions = [None; 2];
            let mut coarsest = steps;
            for sides in sides.clone() {
                for (union, side) in unions.iter_mut().zip(sides) {
                    let Some((from, range)) = side.and_then(Side::range) else {
                        continue;
                    };
                    coarsest = coarsest.max(from);
                    let by = coarsest - from;
                    let (first, last) = (coarser(range.first(), by), coarser(range.last(), by));
                    let (least, greatest) = union.unwrap_or((first, last));
                    *union = Some((least.min(first), greatest.max(last)));
                }
            }
            let is_fit = |union: &Option<(i32, i32)>| {
                union.is_none_or(|(first, last)| ((last - first) as usize) < max_buckets)
            };
            if coarsest > steps {
                steps = coarsest;
            } else if unions.iter().all(is_fit) {
                break unions;
            } else {
                steps += 1;
            }
        };
        self.steps = steps;
        let buckets = [&mut self.positive, &mut self.negative];
        for (which, (into, union)) in buckets.into_iter().zip(unions).enumerate() {
            into.reset(union.map_or(0..0, |(first, last)| first..last + 1));
            for side in sides.clone().filter_map(|sides| sides[which]) {
                side.read(|from, index, count| {
                    // A level that came up after the ranges were read has only
                    // observations that are newer than this reading.
                    if let Some(by) = steps.checked_sub(from) {
                        into.add(coarser(index, by), count);
                    }
                });
            }
        }
    }

    pub(super) fn set_zero(&mut self, count: u64) {
        self.zero = count;
    }

    pub(super) fn set_sum(&mut self, sum: f64) {
        self.sum = sum;
    }

    /// Makes this an empty histogram, and keeps the buffers.
    pub(crate) fn clear(&mut self) {
        self.steps = 0;
        self.zero = 0;
        self.sum = 0.0;
        self.positive.reset(0..0);
        self.negative.reset(0..0);
    }
}

impl DenseBuckets {
    /// Makes all counts 0, for buckets with these indices.
    fn reset(&mut self, indices: std::ops::Range<i32>) {
        self.first = indices.start;
        self.counts.clear();
        self.counts.resize(indices.len(), 0);
    }

    /// Adds to a bucket, unless it came up after the range was read.
    fn add(&mut self, index: i32, count: u64) {
        let position = usize::try_from(index - self.first).ok();
        if let Some(total) = position.and_then(|position| self.counts.get_mut(position)) {
            *total += count;
        }
    }

    fn populated(&self) -> impl Iterator<Item = (i32, u64)> {
        let counts = (self.first..).zip(self.counts.iter().copied());
        counts.filter(|(_, count)| *count > 0)
    }
}
