//! One side of a native histogram: buckets whose schema is lowered when their
//! range grows too wide. No observation waits for that, and no count ever moves.
//!
//! A side has a *level* for each schema from the finest that was asked for down to
//! -4. A level has a ring of counts, which the indices of its buckets take in turn,
//! and one word for the range of indices that it has counted so far:
//!
//! ```text
//! level            2
//! range of level 0    open ── widened ── closed       final
//! range of level 1             absent ── open ── ... ── closed
//! range of level 2                              absent ── open ── widened
//! ```
//!
//! An observation loads the level and its range. In nearly all cases its index is
//! within, and one addition to the count follows. Otherwise it widens the range by
//! an exchange. A range that would be wider than the ring is closed instead: a
//! closed range is never widened again, so it is the same for all who see it. It
//! seeds the range of the next level, in which each index stands for two of the
//! level before, and the level is raised.
//!
//! Observations that still have an old level in hand count there, if the range
//! includes their index; otherwise they find it closed, and help. A reading adds up
//! all levels. The range of the last level includes those of all before, so the
//! reading has no more buckets than a ring has counts, and its schema is never
//! raised.

use super::index::coarser;
use crate::sync::{AtomicU64, Ordering};

/// The size of a side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::cell) struct Geometry {
    /// How much coarser than schema 8 the first level is.
    pub(in crate::cell) steps: u32,
    /// The number of levels. The last one has room for all values.
    pub(in crate::cell) levels: usize,
    /// The number of counts of a level, at most [`MAX_RING`].
    pub(in crate::cell) ring: usize,
}

/// The greatest ring whose ranges fit into a word.
pub(super) const MAX_RING: usize = 1 << Range::WIDTH_BITS;

/// A side of a histogram, in words that are 0 at first.
#[derive(Clone, Copy)]
pub(super) struct Side<'a> {
    /// The words that the rest are positions of. Not slices of them: each would be
    /// checked at each observation.
    pub(super) words: &'a [AtomicU64],
    /// The index of the current level, which only goes up; then the range of each level.
    pub(super) header: usize,
    /// The first word of the first ring.
    pub(super) first: usize,
    /// Words from one ring to the next.
    pub(super) stride: usize,
    pub(super) geometry: Geometry,
}

impl<'a> Side<'a> {
    /// Returns the count of the bucket with this index in schema 8. If the range of
    /// the current level does not include it, returns the level, for
    /// [`count_outside`](Self::count_outside).
    #[inline]
    pub(super) fn count(self, finest: i32) -> Result<&'a AtomicU64, usize> {
        // Acquire: pairs with the Release in `close`. The range of the level has
        // been seeded.
        let level = self.level().load(Ordering::Acquire) as usize;
        let index = coarser(finest, self.geometry.steps + level as u32);
        // Relaxed: a range is only a promise that readings look there. Whatever
        // this thread has seen, a reading that comes after it sees as well.
        let word = self.range_word(level).load(Ordering::Relaxed);
        match Range::from_word(word).and_then(|range| range.slot(index, self.geometry.ring)) {
            Some(slot) => Ok(self.slot(level, slot)),
            None => Err(level),
        }
    }

    #[inline]
    fn level(self) -> &'a AtomicU64 {
        &self.words[self.header]
    }

    #[inline]
    fn range_word(self, level: usize) -> &'a AtomicU64 {
        &self.words[self.header + 1 + level]
    }

    #[inline]
    fn slot(self, level: usize, slot: usize) -> &'a AtomicU64 {
        &self.words[self.first + level * self.stride + slot]
    }

    /// Widens the range of a level by an index, or goes on to the next level.
    ///
    /// Each turn that fails has let another one widen or close the same range,
    /// which is possible only as often as a ring has counts.
    pub(super) fn count_outside(self, mut level: usize, finest: i32) -> &'a AtomicU64 {
        let Geometry { steps, ring, .. } = self.geometry;
        loop {
            let index = coarser(finest, steps + level as u32);
            let word = self.range_word(level);
            // Relaxed, here and below: as in `count`. An exchange compares the
            // range itself.
            let seen = word.load(Ordering::Relaxed);
            let widened = match Range::from_word(seen) {
                None => Range::of(index),
                Some(range) => {
                    if let Some(slot) = range.slot(index, ring) {
                        return self.slot(level, slot);
                    }
                    if range.closed {
                        level = self.close(level, range);
                        continue;
                    }
                    match range.including(index) {
                        wider if wider.len() <= ring => wider,
                        _ => Range {
                            closed: true,
                            ..range
                        },
                    }
                }
            };
            let order = Ordering::Relaxed;
            // The next turn looks again, whether it is this exchange that succeeded
            // or another.
            let _ = word.compare_exchange(seen, widened.to_word(), order, order);
        }
    }

    /// Makes the level after one with a closed range the current one, and returns
    /// it.
    fn close(self, level: usize, closed: Range) -> usize {
        let next = level + 1;
        // Relaxed, both: if another thread has been here, it has seeded the same
        // range, since a closed range does not change.
        let _ = self.range_word(next).compare_exchange(
            0,
            closed.coarser().to_word(),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        // Release: pairs with the Acquire in `count` and `levels`. The level may be
        // further already.
        self.level().fetch_max(next as u64, Ordering::Release);
        next
    }

    /// Returns each level that may have counts, with its range.
    pub(super) fn levels(self) -> impl Iterator<Item = (usize, Range)> + use<'a> {
        // Acquire: pairs with the Release in `close`. The ranges of the levels
        // before are closed, and that of this level is seeded.
        let current = self.level().load(Ordering::Acquire) as usize;
        // Relaxed: as in `count`.
        let range = |word: &AtomicU64| Range::from_word(word.load(Ordering::Relaxed));
        let ranges = self.words[self.header + 1..][..=current].iter();
        let ranges = ranges.map(range).enumerate();
        ranges.filter_map(|(level, range)| Some((level, range?)))
    }

    /// Returns how much coarser than schema 8 the current level is, and its range.
    pub(super) fn range(self) -> Option<(u32, Range)> {
        let (level, range) = self.levels().last()?;
        Some((self.geometry.steps + level as u32, range))
    }

    /// Calls `each` with the buckets that were read: how much coarser than schema 8
    /// a bucket is, its index, and its count.
    pub(super) fn read(self, mut each: impl FnMut(u32, i32, u64)) {
        for (level, range) in self.levels() {
            for index in range.first()..=range.last() {
                let slot = range.slot(index, self.geometry.ring);
                let slot = slot.expect("a range includes the indices from first to last");
                // Acquire: pairs with the Release of the observation, whose summand
                // is then in the sum.
                let count = self.slot(level, slot).load(Ordering::Acquire);
                each(self.geometry.steps + level as u32, index, count);
            }
        }
    }
}

/// The range of the indices that a level has counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    /// The index that was there first. Its count is the first of the ring.
    anchor: i32,
    /// Indices below the anchor.
    below: u32,
    /// Indices above the anchor.
    above: u32,
    closed: bool,
}

impl Range {
    const WIDTH_BITS: u32 = 14;
    const BELOW: u32 = 32;
    const ABOVE: u32 = Self::BELOW + Self::WIDTH_BITS;
    const CLOSED: u64 = 1 << 62;
    const PRESENT: u64 = 1 << 63;

    fn of(index: i32) -> Self {
        Self {
            anchor: index,
            below: 0,
            above: 0,
            closed: false,
        }
    }

    /// Unpacks a range. The word 0 is none.
    #[inline]
    fn from_word(word: u64) -> Option<Self> {
        let width = |from| (word >> from) as u32 & ((1 << Self::WIDTH_BITS) - 1);
        (word != 0).then_some(Self {
            anchor: word as u32 as i32,
            below: width(Self::BELOW),
            above: width(Self::ABOVE),
            closed: word & Self::CLOSED != 0,
        })
    }

    fn to_word(self) -> u64 {
        let closed = if self.closed { Self::CLOSED } else { 0 };
        Self::PRESENT
            | closed
            | u64::from(self.above) << Self::ABOVE
            | u64::from(self.below) << Self::BELOW
            | u64::from(self.anchor as u32)
    }

    pub(super) fn first(self) -> i32 {
        self.anchor - self.below as i32
    }

    pub(super) fn last(self) -> i32 {
        self.anchor + self.above as i32
    }

    fn len(self) -> usize {
        (self.below + self.above) as usize + 1
    }

    /// Returns the position of an index in the ring, if the range includes it.
    #[inline]
    fn slot(self, index: i32, ring: usize) -> Option<usize> {
        let offset = index - self.anchor;
        let is_included = offset.wrapping_add(self.below as i32) as u32 <= self.below + self.above;
        // A range is at most as long as the ring: no two indices share a position.
        // Without a branch: values on both sides of the anchor are as likely.
        let slot = offset + (ring as i32 & offset >> 31);
        is_included.then_some(slot as usize)
    }

    fn including(self, index: i32) -> Self {
        Self {
            below: self
                .below
                .max(self.anchor.saturating_sub(index).max(0) as u32),
            above: self
                .above
                .max(index.saturating_sub(self.anchor).max(0) as u32),
            ..self
        }
    }

    /// Returns the range, open, in the next coarser schema.
    fn coarser(self) -> Self {
        let anchor = coarser(self.anchor, 1);
        Self {
            anchor,
            below: (anchor - coarser(self.first(), 1)) as u32,
            above: (coarser(self.last(), 1) - anchor) as u32,
            closed: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn range_survives_its_word(
            anchor in -300_000i32..300_000, below in 0u32..16_384, above in 0u32..16_384, closed: bool,
        ) {
            let range = Range { anchor, below, above, closed };
            prop_assert_eq!(Range::from_word(range.to_word()), Some(range));
        }

        #[test]
        fn coarser_range_includes_the_coarser_indices(
            anchor in -300_000i32..300_000, below in 0u32..200, above in 0u32..200,
        ) {
            let range = Range { anchor, below, above, closed: true };
            let next = range.coarser();
            prop_assert!(next.len() <= range.len() / 2 + 1);
            prop_assert_eq!(next.first(), coarser(range.first(), 1));
            prop_assert_eq!(next.last(), coarser(range.last(), 1));
            prop_assert!(!next.closed);
        }
    }
}
