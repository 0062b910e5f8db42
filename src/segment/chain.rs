//! The chunks of a log, and the places of its records.

use super::arena::{Arena, Backing};
use super::format::{self, CHUNK_TAG, LINE, MAX_RECORD, MAX_WORDS, NEXT_CHUNK_WORDS, chunk};
use crate::sync::{AtomicU64, Ordering};

/// The words of the shortest chunk, its header included.
pub(super) const MIN_CHUNK: usize = if cfg!(loom) { 40 } else { 1024 };

/// The offset and length of a live record in the log, and the state of a slot, in one
/// word: there is one for each series.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Location(u64);

impl Location {
    const LEN_SHIFT: u32 = 40;
    const MAX_LEN: u64 = (1 << 22) - 1;
    /// From `place` to `release`.
    pub(super) const HELD: u64 = 1 << 62;
    /// The removal could not be published for lack of room.
    pub(super) const DOOMED: u64 = 1 << 63;
    const FLAGS: u64 = Self::HELD | Self::DOOMED;

    pub(super) fn new(offset: usize, len: usize) -> Self {
        const {
            assert!(MAX_WORDS <= 1 << Self::LEN_SHIFT && MAX_RECORD as u64 <= Self::MAX_LEN);
        }
        Self(offset as u64 | (len as u64) << Self::LEN_SHIFT)
    }

    /// Returns the offset, 0 if there is no record.
    pub(super) fn offset(self) -> usize {
        (self.0 & ((1 << Self::LEN_SHIFT) - 1)) as usize
    }

    pub(super) fn len(self) -> usize {
        (self.0 >> Self::LEN_SHIFT & Self::MAX_LEN) as usize
    }

    pub(super) fn exists(self) -> bool {
        self.offset() != 0
    }

    /// Forgets the record, and keeps the state. Returns the length.
    pub(super) fn forget(&mut self) -> usize {
        let len = self.len();
        self.0 &= Self::FLAGS;
        len
    }

    /// Takes over the place of a record, and keeps the state.
    pub(super) fn move_to(&mut self, record: Self) {
        self.0 = self.0 & Self::FLAGS | record.0;
    }

    pub(super) fn has(self, flag: u64) -> bool {
        self.0 & flag != 0
    }

    pub(super) fn set(&mut self, flag: u64, value: bool) {
        self.0 = self.0 & !flag | if value { flag } else { 0 };
    }
}

/// A chain of chunks.
#[derive(Default)]
pub(super) struct Chain {
    /// Offset and length of each chunk.
    pub(super) chunks: Vec<(usize, usize)>,
    /// The committed words of the last chunk.
    pub(super) used: usize,
    /// The words of all chunks.
    pub(super) words: usize,
    /// The number of compactions before it.
    pub(super) number: u64,
}

impl Chain {
    /// A chain of one empty chunk. `None` if there is no room.
    pub(super) fn start<B: Backing>(arena: &mut Arena<B>, number: u64) -> Option<Self> {
        let mut chain = Self {
            number,
            ..Self::default()
        };
        chain.add_chunk(arena, MIN_CHUNK, MIN_CHUNK)?;
        chain.used = chunk::HEADER;
        Some(chain)
    }

    /// Adds an empty chunk, which no other refers to yet.
    fn add_chunk<B: Backing>(
        &mut self,
        arena: &mut Arena<B>,
        least: usize,
        wanted: usize,
    ) -> Option<usize> {
        let (offset, len) = arena.allocate_at_least(least, wanted)?;
        let words = arena.words(offset, len);
        // Relaxed, all: published by the root, or by the commit of the record that
        // refers to the chunk.
        words[chunk::TAG].store(CHUNK_TAG, Ordering::Relaxed);
        words[chunk::LENGTH].store(len as u64, Ordering::Relaxed);
        words[chunk::COMMITTED].store(chunk::HEADER as u64, Ordering::Relaxed);
        self.chunks.push((offset, len));
        self.words += len;
        Some(offset)
    }

    /// Returns true if the last chunk has room for the record.
    pub(super) fn has_room(&self, record: &[u64]) -> bool {
        let (_, len) = self.chunks[self.chunks.len() - 1];
        self.used + record.len() + NEXT_CHUNK_WORDS <= len
    }

    /// Appends and publishes a record. A new chunk has `chunk_len` words, or fewer
    /// where these fill a gap.
    pub(super) fn append<B: Backing>(
        &mut self,
        arena: &mut Arena<B>,
        record: &[u64],
        chunk_len: usize,
    ) -> Option<Location> {
        let (last, _) = self.chunks[self.chunks.len() - 1];
        let mut at = last + self.used;
        if self.has_room(record) {
            write(arena, at, record);
            self.used += record.len();
            commit(arena, last, self.used);
        } else {
            let needed = chunk::HEADER + record.len() + NEXT_CHUNK_WORDS;
            let least = needed.max(MIN_CHUNK).next_multiple_of(LINE);
            let wanted = needed.max(chunk_len).next_multiple_of(LINE);
            let next = self.add_chunk(arena, least, wanted)?;
            let used = chunk::HEADER + record.len();
            write(arena, next + chunk::HEADER, record);
            commit(arena, next, used);
            // Publishes the chunk and the record in it at once.
            write(arena, at, &format::encode_next_chunk(next));
            commit(arena, last, self.used + NEXT_CHUNK_WORDS);
            at = next + chunk::HEADER;
            self.used = used;
        }
        Some(Location::new(at, record.len()))
    }

    /// Commits all that was appended, where the words of the last chunk may be another
    /// process's.
    #[cfg(not(loom))]
    pub(super) fn commit_again<B: Backing>(&self, arena: &Arena<B>) {
        let (last, _) = self.chunks[self.chunks.len() - 1];
        commit(arena, last, self.used);
    }

    /// Zeroes and frees the chunks, which no reader reaches any more.
    pub(super) fn free<B: Backing>(self, arena: &mut Arena<B>) {
        for (offset, len) in self.chunks {
            // Loom would try each subset of words that a reader may see zeroed. The
            // header is enough to tell it.
            let zeroed = if cfg!(loom) { chunk::HEADER } else { len };
            zero(arena.words(offset, zeroed));
            arena.free(offset, len);
        }
    }
}

fn write<B: Backing>(arena: &Arena<B>, offset: usize, record: &[u64]) {
    for (word, value) in arena.words(offset, record.len()).iter().zip(record) {
        // Relaxed: published by the commit.
        word.store(*value, Ordering::Relaxed);
    }
}

fn commit<B: Backing>(arena: &Arena<B>, chunk: usize, used: usize) {
    // Release: a reader that acquires the number sees the words that it counts.
    arena.words(chunk, chunk::HEADER)[chunk::COMMITTED].store(used as u64, Ordering::Release);
}

/// Zeroes words that no reader looks for any more.
pub(super) fn zero(words: &[AtomicU64]) {
    for word in words {
        // Relaxed: ordered by the fence before; see the top of `log.rs`.
        word.store(0, Ordering::Relaxed);
    }
}
