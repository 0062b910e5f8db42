//! Parses a page that arrives in pieces.
//!
//! Whole lines are parsed in the piece that they came in. Only a line that spans
//! pieces is copied to a buffer, which therefore never holds more than the longest
//! line allowed.

use super::Options;
use super::error::{Error, Excerpt};
use super::event::{EventRef, Sample};
use super::lexer::Lexer;
use super::line::Line;
use crate::exposition::scan;

/// A parser for a page that arrives in pieces. It finds the same events and errors
/// as [`parse`](super::parse), wherever the page is cut.
///
/// Buffers at most one line, of at most [`Options::max_line`] bytes.
///
/// ```
/// use stethoscope::exposition::{Format, parser::{Chunks, Event, EventRef, Line}};
///
/// let mut samples = 0;
/// let mut count = |_: Line<'_>, event: EventRef<'_, '_>| {
///     samples += usize::from(matches!(event, Event::Sample(_)));
///     Ok(())
/// };
/// let mut chunks = Chunks::new(Format::Text);
/// for piece in ["up 1\nload{cpu=", "\"0\"} 0.5\n"] {
///     chunks.push(piece.as_bytes(), &mut count)?;
/// }
/// chunks.finish(&mut count)?;
/// assert_eq!(samples, 2);
/// # Ok::<_, stethoscope::exposition::parser::Error>(())
/// ```
#[derive(Debug)]
pub struct Chunks {
    lexer: Lexer,
    /// The start of a line whose end has not arrived yet.
    carry: Vec<u8>,
    /// The offset in the page of the text that is read next.
    offset: usize,
    /// The number of lines before `offset`.
    lines: usize,
    failure: Option<(Error, Option<Excerpt>)>,
}

impl Chunks {
    /// Creates a parser for the first piece.
    pub fn new(options: impl Into<Options>) -> Self {
        Self {
            lexer: Lexer::new(&options.into()),
            carry: Vec::new(),
            offset: 0,
            lines: 0,
            failure: None,
        }
    }

    /// Parses the next piece and calls `each` with every event that is complete,
    /// and its line.
    ///
    /// # Errors
    ///
    /// Returns the first error of the page or of `each`. Every later call returns
    /// it again.
    pub fn push(
        &mut self,
        piece: &[u8],
        mut each: impl FnMut(Line<'_>, EventRef<'_, '_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.check()?;
        let mut piece = piece;
        if !self.carry.is_empty() {
            let line_end = scan::line_end(piece, 0);
            let ends = line_end < piece.len();
            piece = self.carry_on(piece, line_end + usize::from(ends));
            if !ends && self.carry.len() <= self.lexer.max_line() {
                return Ok(());
            }
            self.read_carry(&mut each)?;
        }
        let whole_lines = piece.iter().rposition(|&byte| byte == b'\n');
        let (lines, rest) = piece.split_at(whole_lines.map_or(0, |newline| newline + 1));
        self.read(lines, &mut each)?;
        self.carry_on(rest, rest.len());
        if self.carry.len() > self.lexer.max_line() {
            self.read_carry(&mut each)?;
        }
        Ok(())
    }

    /// Parses the last line if it has no newline, and checks that the page is
    /// complete.
    ///
    /// # Errors
    ///
    /// Returns the first error of the page or of `each`.
    pub fn finish(
        &mut self,
        mut each: impl FnMut(Line<'_>, EventRef<'_, '_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.check()?;
        self.read_carry(&mut each)?;
        let end = self.offset;
        match self.lexer.end(end) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.fail(error, b"")),
        }
    }

    /// Returns an error of this page with its line.
    ///
    /// Returns `None` if the line is gone: a
    /// [`Validator`](super::super::validate::Validator) finds some errors of a
    /// metric only after its last line. Ask
    /// [`Validator::excerpt`](super::super::validate::Validator::excerpt) first.
    pub fn excerpt(&self, error: &Error) -> Option<Excerpt> {
        match &self.failure {
            Some((failure, excerpt)) if failure == error => excerpt.clone(),
            _ => self.excerpt_in(*error, b""),
        }
    }

    fn check(&self) -> Result<(), Error> {
        self.failure
            .as_ref()
            .map_or(Ok(()), |(error, _)| Err(*error))
    }

    /// Appends at most `len` bytes to the buffered line, and no more than one byte
    /// beyond the limit. Returns the rest of the piece.
    fn carry_on<'p>(&mut self, piece: &'p [u8], len: usize) -> &'p [u8] {
        let room = self.lexer.max_line() + 1 - self.carry.len();
        let (taken, rest) = piece.split_at(len.min(room));
        self.carry.extend_from_slice(taken);
        rest
    }

    fn read_carry(
        &mut self,
        each: &mut impl FnMut(Line<'_>, EventRef<'_, '_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut carry = std::mem::take(&mut self.carry);
        self.read(&carry, each)?;
        carry.clear();
        self.carry = carry;
        Ok(())
    }

    fn read(
        &mut self,
        text: &[u8],
        each: &mut impl FnMut(Line<'_>, EventRef<'_, '_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut sample = Sample::EMPTY;
        let mut at = 0;
        let mut lines = self.lines;
        while at < text.len() {
            let start = at;
            lines += 1;
            let result = match self.lexer.line(text, &mut at, &mut sample) {
                Ok(kind) => match kind.event() {
                    None => Ok(()),
                    Some(event) => {
                        let line = Line {
                            offset: self.offset + start,
                            number: lines,
                            text: &text[start..at],
                        };
                        each(line, event.map(|()| &sample))
                    }
                },
                Err(error) => Err(error.with_base(self.offset)),
            };
            if let Err(error) = result {
                return Err(self.fail(error, text));
            }
        }
        self.offset += text.len();
        self.lines = lines;
        Ok(())
    }

    #[cold]
    fn fail(&mut self, error: Error, text: &[u8]) -> Error {
        self.failure = Some((error, self.excerpt_in(error, text)));
        error
    }

    /// Makes the excerpt of an error in `text`, which begins at `self.offset`.
    fn excerpt_in(&self, error: Error, text: &[u8]) -> Option<Excerpt> {
        let at = error.offset().checked_sub(self.offset)?;
        let here = Error::new(error.kind(), at);
        Some(here.display_in(text).offset_lines(self.lines))
    }
}
