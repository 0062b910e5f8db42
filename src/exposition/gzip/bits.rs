//! A buffer that bits are appended to, least significant bit first, as deflate
//! wants them.

use crate::exposition::HighWater;

/// The most bits of one [`BitWriter::put`] between two flushes.
pub(super) const MAX_PUT: u32 = 56;

/// Bytes that a writer may touch beyond those that it has written.
const OVERRUN: usize = 8;

/// Bits written so far, kept from one page to the next for reuse.
#[derive(Default)]
pub(super) struct BitBuffer {
    /// As long as the longest output so far; only the first bytes are meant.
    bytes: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, Default)]
pub(super) struct State {
    /// Whole bytes written.
    position: usize,
    /// The bits after them.
    bits: u64,
    /// INVARIANT: below 8, except between a put and its flush.
    count: u32,
}

impl State {
    /// Number of bits written.
    pub(super) fn bits_written(self) -> usize {
        self.position * 8 + self.count as usize
    }
}

impl BitBuffer {
    /// Forgets the output, and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.state = State::default();
    }

    /// Number of bits written.
    pub(super) fn len(&self) -> usize {
        self.state.bits_written()
    }

    /// Forgets the output, and frees the memory if it is much more than the latest
    /// outputs took.
    pub(super) fn trim(&mut self, lengths: &HighWater) {
        self.clear();
        lengths.trim(&mut self.bytes);
    }

    /// Writes with room for `bytes` more bytes.
    #[inline]
    pub(super) fn write<R>(
        &mut self,
        bytes: usize,
        write: impl FnOnce(&mut BitWriter<'_>) -> R,
    ) -> R {
        let needed = self.state.position + bytes + 2 * OVERRUN;
        if self.bytes.len() < needed {
            self.grow(needed);
        }
        let mut writer = BitWriter {
            bytes: &mut self.bytes,
            state: self.state,
        };
        let result = write(&mut writer);
        self.state = writer.state;
        result
    }

    #[cold]
    fn grow(&mut self, needed: usize) {
        self.bytes.resize(needed + needed / 4, 0);
    }

    /// Appends a few bits.
    pub(super) fn put(&mut self, bits: u64, count: u32) {
        self.write(8, |writer| {
            writer.put(bits, count);
            writer.flush();
        });
    }

    /// Appends bits of another buffer.
    pub(super) fn copy(&mut self, from: &BitBuffer, start: usize, len: usize) {
        self.write(len / 8 + 1, |writer| {
            let (mut at, end) = (start, start + len);
            while at < end {
                let word = from.bytes[at / 8..][..8].try_into().expect("eight bytes");
                let bits = u64::from_le_bytes(word) >> (at % 8);
                let count = (end - at).min(MAX_PUT as usize);
                writer.put(bits & ((1 << count) - 1), count as u32);
                writer.flush();
                at += count;
            }
        });
    }

    /// Goes back to an earlier state.
    pub(super) fn rewind(&mut self, state: State) {
        self.state = state;
    }

    /// The present state, for [`rewind`](Self::rewind).
    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Pads the output to whole bytes, and returns them.
    pub(super) fn finish(&mut self) -> &[u8] {
        let count = self.state.count;
        self.put(0, (8 - count) % 8);
        &self.bytes[..self.state.position]
    }
}

/// Appends bits to a buffer with room for them.
pub(super) struct BitWriter<'a> {
    bytes: &'a mut [u8],
    state: State,
}

impl BitWriter<'_> {
    /// Appends bits, at most [`MAX_PUT`] until the next flush. Those above
    /// `count` are 0.
    #[inline(always)]
    pub(super) fn put(&mut self, bits: u64, count: u32) {
        self.state.bits |= bits << self.state.count;
        self.state.count += count;
    }

    /// Moves whole bytes to the buffer.
    #[inline(always)]
    pub(super) fn flush(&mut self) {
        let State {
            position,
            bits,
            count,
        } = self.state;
        self.bytes[position..position + 8].copy_from_slice(&bits.to_le_bytes());
        self.state = State {
            position: position + (count >> 3) as usize,
            bits: bits >> (count & 56),
            count: count & 7,
        };
    }
}
