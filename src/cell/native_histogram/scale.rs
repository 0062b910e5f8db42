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
    /// The schemas from 8 down to that of the first level.
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
    /// The position of the current level, which only goes up; the range of each level is
    /// after it.
    pub(super) header: usize,
    /// The first word of the first ring.
    pub(super) first: usize,
    /// Words from one ring to the next.
    pub(super) stride: usize,
    pub(super) geometry: Geometry,
}

impl<'a> Side<'a> {
    /// Returns the count of the bucket with this index in schema 8, if the range of
    /// the current level includes it. Needs `words` and `header` alone: all else is in
    /// the word of the level.
    #[inline]
    pub(super) fn usual_count(self, finest: i32) -> Option<&'a AtomicU64> {
        // Acquire: pairs with the Release in `close`. The range of the level has
        // been seeded.
        let level = self.level().load(Ordering::Acquire);
        if level == 0 {
            return None;
        }
        let level = Level::from_word(level);
        // Relaxed: a range is only a promise that readings look there. Whatever
        // this thread has seen, a reading that comes after it sees as well.
        let range = self.range_word(level.number).load(Ordering::Relaxed);
        let range = Range::from_word(range)?;
        let slot = range.slot(coarser(finest, level.steps), level.ring)?;
        Some(&self.words[level.first + slot])
    }

    /// Returns the count of the bucket with this index in schema 8. Widens the range of
    /// a level, or goes on to the next one, if it has to.
    pub(super) fn count(self, finest: i32) -> &'a AtomicU64 {
        // Acquire, both: as in `usual_count`. The word of the first level publishes
        // nothing.
        let mut level = self.level().load(Ordering::Acquire);
        if level == 0 {
            let first = self.level_at(0).to_word();
            level = self.level().fetch_max(first, Ordering::Acquire).max(first);
        }
        self.count_from(Level::from_word(level).number, finest)
    }

    /// The word of a level.
    fn level_at(self, number: usize) -> Level {
        Level {
            number,
            steps: self.geometry.steps + number as u32,
            ring: self.geometry.ring,
            first: self.first + number * self.stride,
        }
    }

    /// The current level.
    #[inline]
    fn level(self) -> &'a AtomicU64 {
        &self.words[self.header]
    }

    #[inline]
    fn range_word(self, level: usize) -> &'a AtomicU64 {
        &self.words[self.header + 1 + level]
    }

    fn slot(self, level: usize, slot: usize) -> &'a AtomicU64 {
        &self.words[self.first + level * self.stride + slot]
    }

    /// Returns the count of the bucket with this index, in a level or one of those
    /// after it.
    ///
    /// Each turn that fails has let another one widen or close the same range,
    /// which is possible only as often as a ring has counts.
    fn count_from(self, mut level: usize, finest: i32) -> &'a AtomicU64 {
        let Geometry { steps, ring, .. } = self.geometry;
        loop {
            let index = coarser(finest, steps + level as u32);
            let word = self.range_word(level);
            // Relaxed, here and below: as in `usual_count`. An exchange compares the
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
        // Release: pairs with the Acquire in `usual_count`, `count` and `levels`. The level may be
        // further already.
        let level = self.level_at(next).to_word();
        self.level().fetch_max(level, Ordering::Release);
        next
    }

    /// Returns each level that may have counts, with its range.
    pub(super) fn levels(self) -> impl Iterator<Item = (usize, Range)> + use<'a> {
        // Acquire: pairs with the Release in `close`. The ranges of the levels
        // before are closed, and that of this level is seeded.
        let current = Level::from_word(self.level().load(Ordering::Acquire)).number;
        // Relaxed: as in `usual_count`.
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

/// A level, packed into one word with all that an observation needs of it: each value
/// loaded or multiplied by itself would keep a register busy. A later level has a greater
/// word.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Level {
    number: usize,
    /// The schemas from 8 down to that of the level.
    steps: u32,
    /// The number of its counts.
    ring: usize,
    /// The position of its first count.
    first: usize,
}

impl Level {
    const STEPS: u32 = 4;
    const RING: u32 = 8;
    const FIRST: u32 = 32;

    /// Unpacks a level. The word 0 has only the number: that of the first level, before
    /// anything was observed.
    #[inline]
    fn from_word(word: u64) -> Self {
        Self {
            number: word as usize & 0xf,
            steps: (word >> Self::STEPS) as u32 & 0xf,
            ring: (word >> Self::RING) as usize & 0xff_ffff,
            first: (word >> Self::FIRST) as usize,
        }
    }

    fn to_word(self) -> u64 {
        self.number as u64
            | u64::from(self.steps) << Self::STEPS
            | (self.ring as u64) << Self::RING
            | (self.first as u64) << Self::FIRST
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
        fn level_survives_its_word(
            number in 0usize..13, steps in 0u32..13, ring in 1usize..=MAX_RING, first in 1usize..1 << 20,
        ) {
            let level = Level { number, steps, ring, first };
            prop_assert_eq!(Level::from_word(level.to_word()), level);
            let next = Level { number: number + 1, steps: steps + 1, first: first + ring, ring };
            prop_assert!(next.to_word() > level.to_word());
        }

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
