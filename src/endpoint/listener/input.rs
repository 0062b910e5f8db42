//! The bytes of requests that a connection has received.
//!
//! A request for the host's own server must be handed over with every byte that
//! belongs to it. So bytes stay in the kernel until they are known to belong to a
//! request of ours, and are moved to the connection's buffer then: as many
//! requests as there are, and the beginning of another. The kernel's buffer has
//! to be emptied, since the rest of a segment keeps all of its memory, and with it
//! the client's window closed.

use super::document::Document;
use super::request::{Recipient, head_end, recipient};
use crate::endpoint::error_response::ErrorResponse;

/// A buffer with room for more than this is freed when it is empty.
const KEPT_CAPACITY: usize = 4096;

/// Received bytes that have not been answered. INVARIANT: if there is a handler
/// for other requests, the bytes begin with a request of ours, and every request
/// in them is ours.
#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    /// The bytes before this belong to requests that were answered.
    start: usize,
    /// The bytes from `start` that are known not to end a head.
    scanned: usize,
}

impl Input {
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Appends bytes that were received.
    pub(super) fn push(&mut self, received: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(received);
    }

    /// Returns how many of the bytes that follow belong to requests of ours.
    pub(super) fn ours_in(&mut self, following: &[u8], documents: &[Document]) -> usize {
        if self.is_empty() && recipient(following, documents) != Recipient::Ours {
            return 0;
        }
        let before = self.bytes.len();
        self.bytes.extend_from_slice(following);
        let mut at = self.start;
        let mut scanned = self.scanned;
        let ours_end = loop {
            match head_end(&self.bytes[at..], scanned) {
                Ok(Some(end)) => at += end,
                // The rest belongs to the head that is incomplete or invalid.
                Ok(None) | Err(_) => break self.bytes.len(),
            }
            scanned = 0;
            if recipient(&self.bytes[at..], documents) != Recipient::Ours {
                break at;
            }
        };
        self.bytes.truncate(before);
        // A head that ends before `before` would have been taken already.
        ours_end.saturating_sub(before)
    }

    /// Finds the end of the first head. Returns `None` if it is incomplete.
    pub(super) fn head_end(&mut self) -> Result<Option<usize>, ErrorResponse> {
        let end = head_end(self.bytes(), self.scanned)?;
        if end.is_none() {
            self.scanned = self.len();
        }
        Ok(end)
    }

    /// The first head, which is this long.
    pub(super) fn head_mut(&mut self, len: usize) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + len]
    }

    /// Drops the first head, which is this long.
    pub(super) fn consume(&mut self, len: usize) {
        self.start += len;
        self.scanned = 0;
        if self.is_empty() {
            self.bytes.clear();
            self.start = 0;
            if self.bytes.capacity() > KEPT_CAPACITY {
                self.bytes = Vec::new();
            }
        }
    }

    /// Empties the buffer, so that another connection can use it.
    pub(super) fn reset(&mut self) {
        self.consume(self.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
    const THEIRS: &[u8] = b"GET /status HTTP/1.1\r\nHost: a\r\n\r\n";

    #[test]
    fn bytes_of_our_requests_are_taken_and_no_others() {
        let mut input = Input::default();
        assert_eq!(input.ours_in(THEIRS, &[]), 0);
        assert_eq!(input.ours_in(b"GET /m", &[]), 0);
        assert_eq!(input.ours_in(OURS, &[]), OURS.len());
        let many = [OURS, OURS, THEIRS, OURS].concat();
        assert_eq!(input.ours_in(&many, &[]), 2 * OURS.len());
        let undecided = [OURS, b"GET /metr"].concat();
        assert_eq!(input.ours_in(&undecided, &[]), OURS.len());
        let incomplete = [OURS, &OURS[..20]].concat();
        assert_eq!(input.ours_in(&incomplete, &[]), incomplete.len());
        assert!(input.is_empty());
    }

    #[test]
    fn requests_cut_anywhere_are_taken_to_their_ends() {
        let stream = [OURS, OURS, THEIRS].concat();
        for first in 0..stream.len() {
            let mut input = Input::default();
            let mut taken = 0;
            for seen in [first, stream.len()] {
                let ours = input.ours_in(&stream[taken..seen], &[]);
                input.push(&stream[taken..taken + ours]);
                taken += ours;
            }
            assert_eq!(taken, 2 * OURS.len(), "after {first} bytes");
            for _ in 0..2 {
                assert_eq!(input.head_end(), Ok(Some(OURS.len())));
                input.consume(OURS.len());
            }
            assert!(input.is_empty());
        }
    }

    #[test]
    fn large_buffer_is_freed_when_it_is_empty() {
        let mut input = Input::default();
        input.push(&[b'x'; 2 * KEPT_CAPACITY]);
        input.reset();
        assert!(input.is_empty() && input.bytes.capacity() == 0);
    }
}
