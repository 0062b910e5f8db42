//! Words that are allocated and freed within extents, which never move.
//!
//! ```text
//! extent 0 (from the file's start)          extent 1
//! ┌────────┬───────┬──────┬──────────┐      ┌──────────────────┐
//! │ header │ chunk │ slab │ free run │      │ free run         │
//! └────────┴───────┴──────┴──────────┘      └──────────────────┘
//! ```

use super::format::{LINE, MAX_WORDS};
use crate::sync::AtomicU64;
use std::collections::BTreeMap;
use std::time::Instant;

/// The source of extents: a file, or memory in tests.
pub(super) trait Backing {
    /// Appends at least so many zeroed words to the segment, whose words begin a
    /// cache line. `None` if there is no room.
    fn grow(&mut self, at_least: usize) -> Option<&'static [AtomicU64]>;

    /// Returns the time until which a forked child may be copying the log, if that is
    /// to come.
    fn copied_until(&self) -> Option<Instant> {
        None
    }
}

struct Extent {
    /// The offset of its first word in the segment.
    first: usize,
    words: &'static [AtomicU64],
}

/// An allocator of zeroed words, in whole cache lines.
pub(super) struct Arena<B> {
    backing: B,
    /// Sorted by offset, without gaps.
    extents: Vec<Extent>,
    /// INVARIANT: the words of each run are zero. Offset to length; runs within an
    /// extent do not touch each other.
    free: BTreeMap<usize, usize>,
}

impl<B: Backing> Arena<B> {
    pub(super) fn new(backing: B) -> Self {
        Self {
            backing,
            extents: Vec::new(),
            free: BTreeMap::new(),
        }
    }

    #[cfg(not(loom))]
    pub(super) fn backing(&mut self) -> &mut B {
        &mut self.backing
    }

    /// Returns the time until which a forked child may be copying the log, if that is
    /// to come.
    pub(super) fn copied_until(&self) -> Option<Instant> {
        self.backing.copied_until()
    }

    /// Returns the number of words of all extents.
    pub(super) fn len(&self) -> usize {
        self.extents
            .last()
            .map_or(0, |last| last.first + last.words.len())
    }

    /// Returns the words of an allocation.
    pub(super) fn words(&self, offset: usize, len: usize) -> &'static [AtomicU64] {
        let index = self
            .extents
            .partition_point(|extent| extent.first <= offset)
            - 1;
        let extent = &self.extents[index];
        &extent.words[offset - extent.first..][..len]
    }

    /// Allocates zeroed words. Their number is a multiple of a cache line.
    pub(super) fn allocate(&mut self, len: usize) -> Option<usize> {
        debug_assert!(len > 0 && len.is_multiple_of(LINE));
        let offset = match self.best_fit(len) {
            Some(offset) => offset,
            None => {
                self.grow(len)?;
                self.best_fit(len)?
            }
        };
        let run = self.free.remove(&offset)?;
        if run > len {
            self.free.insert(offset + len, run - len);
        }
        Some(offset)
    }

    /// Allocates zeroed words: `wanted` of them, or fewer, but at least so many, if that
    /// uses up a run at hand. Returns their number, too.
    pub(super) fn allocate_at_least(
        &mut self,
        least: usize,
        wanted: usize,
    ) -> Option<(usize, usize)> {
        let longest = self.free.values().copied().max().unwrap_or(0);
        let len = match longest {
            run if (least..wanted).contains(&run) => run,
            _ => wanted,
        };
        self.allocate(len).map(|offset| (offset, len))
    }

    /// Returns the offset of the shortest free run that is long enough.
    fn best_fit(&self, len: usize) -> Option<usize> {
        let fitting = self.free.iter().filter(|(_, run)| **run >= len);
        fitting
            .min_by_key(|(_, run)| **run)
            .map(|(offset, _)| *offset)
    }

    fn grow(&mut self, len: usize) -> Option<()> {
        let first = self.len();
        let words = self.backing.grow(len)?;
        if first + words.len() > MAX_WORDS {
            return None;
        }
        self.extents.push(Extent { first, words });
        self.free.insert(first, words.len());
        Some(())
    }

    /// Frees an allocation, or a part of one, whose words are zero.
    pub(super) fn free(&mut self, offset: usize, len: usize) {
        let (mut offset, mut len) = (offset, len);
        let begins_extent = |at: usize| self.extents.iter().any(|extent| extent.first == at);
        if let Some((&before, &run)) = self.free.range(..offset).next_back()
            && before + run == offset
            && !begins_extent(offset)
        {
            (offset, len) = (before, run + len);
        }
        if !begins_extent(offset + len)
            && let Some(run) = self.free.remove(&(offset + len))
        {
            len += run;
        }
        self.free.insert(offset, len);
    }

    /// Returns the number of free words.
    #[cfg(test)]
    pub(super) fn free_words(&self) -> usize {
        self.free.values().sum()
    }
}
