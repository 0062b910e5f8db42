//! The writer of a segment: families, series, and the log that describes them.
//!
//! The log is a chain of chunks. A record is written after the committed words of
//! the last chunk, and is published by one store of `COMMITTED` with `Release`. A
//! process that dies before that store has not written the record.
//!
//! Records of what was removed are dropped by a *compaction*, once they are a fifth
//! of the log: the live records are written into a new chain, and the header's
//! `ROOT` is swapped. Cells never move.
//!
//! Words are reused only after the record or the root that gives them up was published,
//! with a `Release` fence in between. A reader that has copied a reused word sees that
//! record or root after an `Acquire` fence.

use super::arena::{Arena, Backing};
use super::chain::{Chain, Location, MIN_CHUNK, zero};
use super::format::{self, FamilyRecord, HEADER, header};
use crate::sync::{AtomicU64, Ordering, fence};
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// The slots of a family's first slab, and of its largest.
const MIN_SLOTS: usize = if cfg!(loom) { 2 } else { 4 };
const MAX_SLOTS: usize = 4096;

/// The words of a series above which a family begins with one slot.
const LARGE: usize = 64;

/// The chunks that are filled after a failed compaction before the next attempt.
const CHUNKS_UNTIL_RETRY: usize = 16;

struct Slab {
    record: Location,
    offset: usize,
    /// The slot of its first series.
    first: usize,
    slots: usize,
}

struct LoggedFamily {
    record: Location,
    words: usize,
    /// The word of a series that does not change, if there is one.
    constant_word: Option<usize>,
    stride: usize,
    slabs: Vec<Slab>,
    /// The record of each series, and the state of its slot.
    slots: Vec<Location>,
    free: Vec<u32>,
    held: usize,
    /// True once the family was removed. It is forgotten with its last handle.
    removed: bool,
}

impl LoggedFamily {
    /// Returns the words of a slot.
    fn cell<B: Backing>(&self, arena: &Arena<B>, slot: usize) -> &'static [AtomicU64] {
        if self.words == 0 {
            return &[];
        }
        let index = self.slabs.partition_point(|slab| slab.first <= slot) - 1;
        let slab = &self.slabs[index];
        let offset = slab.offset + (slot - slab.first) * self.stride;
        arena.words(offset, self.words)
    }

    fn zero_slot<B: Backing>(&self, arena: &Arena<B>, slot: usize) {
        // Release: pairs with the Acquire fence of a reader, between its copy of
        // the words and its last look at the log; see the top of the file.
        fence(Ordering::Release);
        zero(self.cell(arena, slot));
    }
}

/// A removal that could not be published for lack of room.
enum Doomed {
    Series { family: u64, slot: usize },
    Family(u64),
}

/// Writes a segment. One thread at a time.
pub(super) struct Log<B> {
    arena: Arena<B>,
    header: &'static [AtomicU64],
    chain: Chain,
    /// The words of the live records.
    live: usize,
    compactions: u64,
    /// Logs that were replaced while a forked child may have been copying them, until
    /// when.
    retired: VecDeque<(Instant, Chain)>,
    /// The attempts to compact that are still to be skipped.
    skipped_compactions: usize,
    families: BTreeMap<u64, LoggedFamily>,
    next_family: u64,
    doomed: VecDeque<Doomed>,
    /// The buffer of the last record, for the next one.
    memory: Vec<u64>,
}

impl<B: Backing> Log<B> {
    /// Begins a segment in an arena that has no extent yet. `None` if there is no
    /// room.
    pub(super) fn new(mut arena: Arena<B>) -> Option<Self> {
        let offset = arena.allocate(HEADER)?;
        debug_assert_eq!(offset, 0, "the header comes first");
        let header = arena.words(0, HEADER);
        let chain = Chain::start(&mut arena, 0)?;
        let root = format::root(0, chain.chunks[0].0);
        // Relaxed: published by the magic, which the owner stores last.
        header[header::ROOT].store(root, Ordering::Relaxed);
        Some(Self {
            arena,
            header,
            chain,
            live: 0,
            compactions: 0,
            retired: VecDeque::new(),
            skipped_compactions: 0,
            families: BTreeMap::new(),
            next_family: 1,
            doomed: VecDeque::new(),
            memory: Vec::new(),
        })
    }

    /// Returns the words of the header.
    pub(super) fn header(&self) -> &'static [AtomicU64] {
        self.header
    }

    #[cfg(not(loom))]
    pub(super) fn backing(&mut self) -> &mut B {
        self.arena.backing()
    }

    /// Returns offset and length of the words that the segment of a forked child
    /// begins with: all but the values, and the magic word.
    #[cfg(not(loom))]
    pub(super) fn words_of_child(&self) -> Vec<(usize, usize)> {
        let mut words = vec![(header::MAGIC + 1, HEADER - 1)];
        words.extend(&self.chain.chunks);
        if let Some((_, len)) = words.last_mut() {
            // A record of the parent's may follow already.
            *len = self.chain.used;
        }
        for family in self.families.values() {
            if let Some(constant) = family.constant_word {
                let slots = family.slabs.iter().flat_map(|slab| {
                    (0..slab.slots).map(|slot| slab.offset + slot * family.stride)
                });
                words.extend(slots.map(|offset| (offset + constant, 1)));
            }
        }
        words
    }

    /// Returns true if the header still says that the log was not freed. If it does not
    /// after a forked child's copy, the child has copied words that are others now.
    #[cfg(not(loom))]
    pub(super) fn is_intact(header: &[AtomicU64], log: u64) -> bool {
        // Relaxed: after the Acquire fence at the end of the copy.
        header[header::FREED].load(Ordering::Relaxed) <= log
    }

    /// Returns the number of the log: that of the compactions before it.
    #[cfg(not(loom))]
    pub(super) fn number(&self) -> u64 {
        self.chain.number
    }

    /// Returns the root, as this process has stored it.
    #[cfg(not(loom))]
    pub(super) fn root(&self) -> u64 {
        format::root(self.compactions, self.chain.chunks[0].0)
    }

    /// Makes the log end where it ended at the fork, in the child.
    #[cfg(not(loom))]
    pub(super) fn cut_in_child(&mut self) {
        for (_, chain) in std::mem::take(&mut self.retired) {
            // Its words are zero in the child.
            chain.free(&mut self.arena);
        }
        self.chain.commit_again(&self.arena);
    }

    /// Adds a family. Returns its number, or `None` if it does not fit.
    pub(super) fn add_family(&mut self, family: &FamilyRecord) -> Option<u64> {
        self.publish_doomed();
        let id = self.next_family;
        let record = self.append_live(&family.encode(id)?)?;
        self.next_family += 1;
        self.families.insert(
            id,
            LoggedFamily {
                record,
                words: family.words_of_cell(),
                constant_word: family.encoding.constant_word(),
                stride: family.stride(),
                slabs: Vec::new(),
                slots: Vec::new(),
                free: Vec::new(),
                held: 0,
                removed: false,
            },
        );
        Some(id)
    }

    /// Adds a series. Returns its slot, and what `begin` makes of its words, which
    /// are zero; `None` if it does not fit.
    ///
    /// The slot is the caller's until [`release`](Self::release). `begin` may store
    /// to the words before the series is published.
    pub(super) fn place<T>(
        &mut self,
        family: u64,
        ordinal: u64,
        created: f64,
        labels: &[&str],
        begin: impl FnOnce(&'static [AtomicU64]) -> T,
    ) -> Option<(usize, T)> {
        self.publish_doomed();
        let state = self.families.get(&family).filter(|state| !state.removed)?;
        if state.free.is_empty() {
            self.add_slots(family)?;
        }
        let state = &self.families[&family];
        let slot = *state.free.last()? as usize;
        let words = state.cell(&self.arena, slot);
        let memory = std::mem::take(&mut self.memory);
        let record = format::encode_series(memory, family, slot, ordinal, created, labels)?;
        let begun = begin(words);
        let appended = self.append_live(&record);
        self.memory = record;
        let Some(record) = appended else {
            // Relaxed: no reader looks at the words of a free slot.
            zero(words);
            return None;
        };
        let state = self.families.get_mut(&family)?;
        state.free.pop();
        state.held += 1;
        state.slots[slot] = record;
        state.slots[slot].set(Location::HELD, true);
        Some((slot, begun))
    }

    /// Removes a series from the log. Its slot is still the caller's.
    pub(super) fn remove_series(&mut self, family: u64, slot: usize) {
        self.publish_doomed();
        let Some(state) = self
            .families
            .get_mut(&family)
            .filter(|state| !state.removed)
        else {
            return;
        };
        let state = &mut state.slots[slot];
        if state.exists() && !state.has(Location::DOOMED) {
            state.set(Location::DOOMED, true);
            self.doomed.push_back(Doomed::Series { family, slot });
            self.publish_doomed();
        }
    }

    /// Removes a family and its series from the log. The slots of its series are
    /// still the caller's.
    pub(super) fn remove_family(&mut self, family: u64) {
        self.publish_doomed();
        let state = self.families.get_mut(&family);
        if let Some(state) = state.filter(|state| !state.removed) {
            state.removed = true;
            self.doomed.push_back(Doomed::Family(family));
            self.publish_doomed();
        }
    }

    /// Gives a slot back, after the last update of its words. The series of a slot
    /// that was not removed stays in the log, with its last values.
    pub(super) fn release(&mut self, family: u64, slot: usize) {
        self.publish_doomed();
        let Some(state) = self.families.get_mut(&family) else {
            return;
        };
        state.slots[slot].set(Location::HELD, false);
        state.held -= 1;
        self.reuse_slot(family, slot);
    }

    /// Publishes the removals that there was no room for, in order.
    fn publish_doomed(&mut self) {
        while let Some(next) = self.doomed.front() {
            let memory = std::mem::take(&mut self.memory);
            let record = match *next {
                Doomed::Series { family, slot } => {
                    format::encode_remove_series(memory, family, slot)
                }
                Doomed::Family(family) => format::encode_remove_family(family),
            };
            // A compaction on the way leaves out what is doomed. The record is then
            // about something unknown, which a reader skips.
            let appended = self.append(&record);
            self.memory = record;
            if appended.is_none() {
                return;
            }
            match self.doomed.pop_front() {
                Some(Doomed::Series { family, slot }) => self.forget_series(family, slot),
                Some(Doomed::Family(family)) => self.forget_family(family),
                None => {}
            }
        }
    }

    /// Forgets the record of a series whose removal was published.
    fn forget_series(&mut self, family: u64, slot: usize) {
        let Some(state) = self.families.get_mut(&family) else {
            return;
        };
        let slot_state = &mut state.slots[slot];
        slot_state.set(Location::DOOMED, false);
        self.live -= slot_state.forget();
        self.reuse_slot(family, slot);
    }

    fn forget_family(&mut self, family: u64) {
        let Some(state) = self.families.get_mut(&family) else {
            return;
        };
        let mut live = state.record.forget();
        for slab in &mut state.slabs {
            live += slab.record.forget();
        }
        let mut unused = Vec::new();
        for (index, slot) in state.slots.iter_mut().enumerate() {
            if slot.exists() {
                live += slot.forget();
                slot.set(Location::DOOMED, false);
                if !slot.has(Location::HELD) {
                    unused.push(index);
                }
            }
        }
        self.live -= live;
        // All of them are zero before the slabs are freed.
        for slot in unused {
            state.zero_slot(&self.arena, slot);
        }
        self.free_slabs(family);
    }

    /// Zeroes a slot and makes it free, unless it is in use.
    fn reuse_slot(&mut self, family: u64, slot: usize) {
        let Some(state) = self.families.get_mut(&family) else {
            return;
        };
        if state.slots[slot].has(Location::HELD) || state.slots[slot].exists() {
            return;
        }
        state.zero_slot(&self.arena, slot);
        state.free.push(slot as u32);
        if state.removed {
            self.free_slabs(family);
        }
    }

    /// Frees the words of a family that was removed, if nothing uses them.
    fn free_slabs(&mut self, family: u64) {
        let state = &self.families[&family];
        let is_gone = state.removed && !state.record.exists() && state.held == 0;
        if is_gone && let Some(state) = self.families.remove(&family) {
            // Release: as in `zero_slot`, for slots that no series has used.
            fence(Ordering::Release);
            for slab in state.slabs {
                self.arena.free(slab.offset, slab.slots * state.stride);
            }
        }
    }

    /// Makes room for more series of a family.
    fn add_slots(&mut self, family: u64) -> Option<()> {
        let state = &self.families[&family];
        let (first, stride) = (state.slots.len(), state.stride);
        // One for large cells: there are often few.
        let least = if stride > LARGE { 1 } else { MIN_SLOTS };
        let slots = first.clamp(least, MAX_SLOTS);
        u32::try_from(first + slots).ok()?;
        if stride > 0 {
            let offset = self.arena.allocate(slots * stride)?;
            let record = format::encode_slab(family, first, slots, offset);
            let Some(record) = self.append_live(&record) else {
                self.arena.free(offset, slots * stride);
                return None;
            };
            self.families.get_mut(&family)?.slabs.push(Slab {
                record,
                offset,
                first,
                slots,
            });
        }
        let state = self.families.get_mut(&family)?;
        state.slots.reserve_exact(slots);
        state.slots.resize(first + slots, Location::default());
        state
            .free
            .extend((first as u32..(first + slots) as u32).rev());
        Some(())
    }

    fn append_live(&mut self, record: &[u64]) -> Option<Location> {
        let location = self.append(record)?;
        self.live += record.len();
        Some(location)
    }

    /// Appends a record, after a compaction if the last chunk is full and the log
    /// has enough garbage.
    fn append(&mut self, record: &[u64]) -> Option<Location> {
        let is_garbage = self.live * 5 <= self.chain.words * 4;
        if !self.chain.has_room(record) {
            self.free_retired();
        }
        if !self.chain.has_room(record) && is_garbage {
            match self.skipped_compactions.checked_sub(1) {
                Some(left) => self.skipped_compactions = left,
                None => {
                    if self.compact().is_none() {
                        self.skipped_compactions = CHUNKS_UNTIL_RETRY;
                    }
                }
            }
        }
        let chunk_len = MIN_CHUNK.max(self.live / 32);
        self.chain.append(&mut self.arena, record, chunk_len)
    }

    /// Writes the live records into a new chain and makes it the log. `None` if
    /// there is no room for it.
    fn compact(&mut self) -> Option<()> {
        let mut chain = Chain::start(&mut self.arena, self.compactions + 1)?;
        let chunk_len = MIN_CHUNK.max(self.live / 32);
        let mut moved = Vec::new();
        for location in live_records(&mut self.families) {
            let record: Vec<u64> = self
                .arena
                .words(location.offset(), location.len())
                .iter()
                // Relaxed: written by this thread, or by one that has held the lock.
                .map(|word| word.load(Ordering::Relaxed))
                .collect();
            match chain.append(&mut self.arena, &record, chunk_len) {
                Some(copy) => moved.push(copy),
                None => {
                    chain.free(&mut self.arena);
                    return None;
                }
            }
        }
        for (location, copy) in live_records(&mut self.families).zip(moved) {
            location.move_to(copy);
        }
        self.compactions += 1;
        let root = format::root(self.compactions, chain.chunks[0].0);
        // Release: a reader that acquires the root sees the chain.
        self.header[header::ROOT].store(root, Ordering::Release);
        let old = std::mem::replace(&mut self.chain, chain);
        match self.arena.copied_until() {
            Some(until) => self.retired.push_back((until, old)),
            None => self.free(old),
        }
        Some(())
    }

    /// Frees the logs that no forked child is copying any more.
    fn free_retired(&mut self) {
        while let Some((until, _)) = self.retired.front()
            && *until <= Instant::now()
            && let Some((_, chain)) = self.retired.pop_front()
        {
            self.free(chain);
        }
    }

    fn free(&mut self, chain: Chain) {
        // Relaxed: ordered by the fence.
        // Chains may be freed out of turn.
        let freed = self.header[header::FREED].load(Ordering::Relaxed);
        self.header[header::FREED].store(freed.max(chain.number + 1), Ordering::Relaxed);
        // Release: pairs with the Acquire fence of a reader between its copy of the
        // old chain and its second look at the root, and with that of a forked child.
        fence(Ordering::Release);
        chain.free(&mut self.arena);
    }

    /// Returns the number of words of the log, and how many of them are live.
    #[cfg(test)]
    pub(super) fn log_words(&self) -> (usize, usize) {
        (self.chain.words, self.live)
    }

    #[cfg(test)]
    #[cfg_attr(loom, allow(dead_code, reason = "models read at any time"))]
    pub(super) fn has_doomed(&self) -> bool {
        !self.doomed.is_empty()
    }

    /// Returns true if a series and its removal fit into the last chunk.
    #[cfg(all(test, loom))]
    pub(super) fn has_room_for_a_series(&self) -> bool {
        self.chain.has_room(&[0; 7 + 3])
    }

    #[cfg(test)]
    pub(super) fn compactions(&self) -> u64 {
        self.compactions
    }

    /// Checks that allocated and free words add up to the arena.
    #[cfg(test)]
    pub(super) fn assert_consistent(&self) {
        let slabs: usize = (self.families.values())
            .flat_map(|family| family.slabs.iter().map(|slab| slab.slots * family.stride))
            .sum();
        let retired: usize = self.retired.iter().map(|(_, chain)| chain.words).sum();
        let used = HEADER + self.chain.words + retired + slabs;
        assert_eq!(used + self.arena.free_words(), self.arena.len());
        let live: usize = self
            .families
            .values()
            .flat_map(|family| {
                let slabs = family.slabs.iter().map(|slab| slab.record);
                let series = family.slots.iter().copied();
                slabs.chain(series).chain([family.record])
            })
            .map(Location::len)
            .sum();
        assert_eq!(live, self.live);
    }
}

/// Returns the live records that are not doomed, each after those that it needs.
fn live_records(families: &mut BTreeMap<u64, LoggedFamily>) -> impl Iterator<Item = &mut Location> {
    families
        .values_mut()
        .filter(|family| !family.removed)
        .flat_map(|family| {
            let slabs = family.slabs.iter_mut().map(|slab| &mut slab.record);
            let series = family
                .slots
                .iter_mut()
                .filter(|slot| slot.exists() && !slot.has(Location::DOOMED));
            std::iter::once(&mut family.record)
                .chain(slabs)
                .chain(series)
        })
}
