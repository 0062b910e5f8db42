//! The text before the lexer, and the steps that need no format.

use super::error::{Error, ErrorKind};
use crate::exposition::number;
use std::str;

pub(super) type Result<T> = std::result::Result<T, Error>;

#[cold]
pub(super) fn fail<T>(kind: ErrorKind, at: usize) -> Result<T> {
    Err(Error::new(kind, at))
}

/// The part of a text that the lexer works on: the line, and possibly more.
#[derive(Clone, Copy)]
pub(super) struct Lookahead<'a>(pub(super) &'a [u8]);

impl<'a> Lookahead<'a> {
    /// The byte at `at`; past the end, a newline.
    #[inline(always)]
    pub(super) fn peek(self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or(b'\n')
    }

    pub(super) fn skip_blanks(self, mut at: usize) -> usize {
        while matches!(self.peek(at), b' ' | b'\t') {
            at += 1;
        }
        at
    }

    /// Returns the position of the next blank, tab or newline.
    pub(super) fn token_end(self, mut at: usize) -> usize {
        while !matches!(self.peek(at), b' ' | b'\t' | b'\n') {
            at += 1;
        }
        at
    }

    /// Reads a number at `at` and returns it with the position after it.
    #[inline]
    pub(super) fn number(self, at: usize) -> Result<(f64, usize)> {
        match number::parse_prefix(&self.0[at..]) {
            Some((value, len)) => Ok((value, at + len)),
            None => fail(ErrorKind::BadValue, at),
        }
    }

    /// Returns a part of the window as text, without checking its encoding.
    ///
    /// # Safety
    ///
    /// `self.0[start..end]` must be ASCII.
    #[allow(unsafe_code)]
    #[inline]
    pub(super) unsafe fn ascii_unchecked(self, start: usize, end: usize) -> &'a str {
        let bytes = &self.0[start..end];
        debug_assert!(bytes.is_ascii());
        // SAFETY: the caller vouches that the bytes are ASCII.
        unsafe { str::from_utf8_unchecked(bytes) }
    }

    pub(super) fn utf8(self, start: usize, end: usize) -> Result<&'a str> {
        str::from_utf8(&self.0[start..end])
            .map_err(|error| Error::new(ErrorKind::InvalidUtf8, start + error.valid_up_to()))
    }
}
