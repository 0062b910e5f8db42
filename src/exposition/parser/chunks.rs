//! A page that arrives in pieces.
//!
//! Whole lines are read where they are, in the piece they came in; only a line
//! that a cut divides is put together in a buffer, which therefore never holds
//! more than the longest line allowed.

use super::Options;
use super::error::{Error, Excerpt};
use super::event::{Event, LentEvent, Sample};
use super::lexer::{Lexer, Seen};
use crate::exposition::scan;

/// Reads a page in pieces: the same events and errors as
/// [`parse`](super::parse) gives for the whole, wherever it is cut.
///
/// Holds at most one line, of at most [`Options::max_line`] bytes.
///
/// ```
/// use stethoscope::exposition::{Format, parser::{Chunks, Event, LentEvent, Line}};
///
/// let mut samples = 0;
/// let mut count = |_: Line<'_>, event: LentEvent<'_>| {
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
    /// The beginning of a line whose end has not come.
    carry: Vec<u8>,
    /// Where in the page the text begins that is read next.
    offset: usize,
    /// Lines before that.
    lines: usize,
    last_sample: LastSample,
    failure: Option<(Error, Excerpt)>,
}

/// The line of an event.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The byte of the page at which it begins, from 0.
    pub offset: usize,
    /// Which one it is, from 1.
    pub number: usize,
    /// The line, its newline included.
    pub text: &'a [u8],
}

/// The sample that an error is about which was found behind it.
#[derive(Debug, Default)]
struct LastSample {
    /// The byte of the page at which it begins.
    offset: usize,
    /// Lines before it.
    lines: usize,
    /// The line, if its piece is gone.
    text: Vec<u8>,
}

impl Chunks {
    /// A reader before the first piece.
    pub fn new(options: impl Into<Options>) -> Self {
        Self {
            lexer: Lexer::new(&options.into()),
            carry: Vec::new(),
            offset: 0,
            lines: 0,
            last_sample: LastSample::default(),
            failure: None,
        }
    }

    /// Reads the next piece and calls `each` with every event that is complete,
    /// and the line that it stands on. An error of `each`
    /// ends the reading as an error of the page does; after it, every call
    /// returns it again.
    pub fn push(
        &mut self,
        piece: &[u8],
        mut each: impl FnMut(Line<'_>, LentEvent<'_>) -> Result<(), Error>,
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

    /// Reads the line that has no newline, if there is one, and sees whether
    /// the page is complete.
    pub fn finish(
        &mut self,
        mut each: impl FnMut(Line<'_>, LentEvent<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.check()?;
        self.read_carry(&mut each)?;
        let end = self.offset;
        match self.lexer.end(end) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.fail(error, b"", self.lines)),
        }
    }

    /// Shows an error of this page: one that ended the reading with its line,
    /// one that was found of the complete page with what is still known of it.
    pub fn show(&self, error: &Error) -> Excerpt {
        match &self.failure {
            Some((failure, excerpt)) if failure == error => excerpt.clone(),
            _ => self.excerpt_of(*error, b"", self.lines),
        }
    }

    fn check(&self) -> Result<(), Error> {
        self.failure
            .as_ref()
            .map_or(Ok(()), |(error, _)| Err(*error))
    }

    /// Takes over at most `len` bytes of a line, and no more than it may have
    /// and one; returns what follows.
    fn carry_on<'p>(&mut self, piece: &'p [u8], len: usize) -> &'p [u8] {
        let room = self.lexer.max_line() + 1 - self.carry.len();
        let (taken, rest) = piece.split_at(len.min(room));
        self.carry.extend_from_slice(taken);
        rest
    }

    fn read_carry(
        &mut self,
        each: &mut impl FnMut(Line<'_>, LentEvent<'_>) -> Result<(), Error>,
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
        each: &mut impl FnMut(Line<'_>, LentEvent<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut sample = Sample::EMPTY;
        let mut at = 0;
        let mut lines = self.lines;
        let mut last = None;
        while at < text.len() {
            let start = at;
            let read = self.lexer.line(text, &mut at, &mut sample);
            let seen = match read.map(Seen::event) {
                Ok(None) => Ok(()),
                Ok(Some(event)) => {
                    let is_sample = matches!(event, Event::Sample(()));
                    let line = Line {
                        offset: self.offset + start,
                        number: lines + 1,
                        text: &text[start..at],
                    };
                    let seen = each(line, event.map(|()| &sample));
                    if is_sample && seen.is_ok() {
                        last = Some((start, lines));
                    }
                    seen
                }
                Err(error) => Err(error.moved(self.offset)),
            };
            if let Err(error) = seen {
                return Err(self.fail(error, text, self.lines));
            }
            lines += 1;
        }
        if let Some((start, lines)) = last {
            let end = scan::line_end(text, start);
            self.last_sample.offset = self.offset + start;
            self.last_sample.lines = lines;
            self.last_sample.text.clear();
            self.last_sample.text.extend_from_slice(&text[start..end]);
        }
        self.offset += text.len();
        self.lines = lines;
        Ok(())
    }

    #[cold]
    fn fail(&mut self, error: Error, text: &[u8], lines: usize) -> Error {
        self.failure = Some((error, self.excerpt_of(error, text, lines)));
        error
    }

    /// `text` begins at `self.offset`, behind as many lines.
    fn excerpt_of(&self, error: Error, text: &[u8], lines: usize) -> Excerpt {
        let (text, from, lines) = match error.offset() {
            offset if offset >= self.offset => (text, self.offset, lines),
            _ => {
                let LastSample {
                    offset,
                    lines,
                    text,
                } = &self.last_sample;
                (&text[..], *offset, *lines)
            }
        };
        let here = Error::new(error.kind(), error.offset().saturating_sub(from));
        here.show(text).below(lines)
    }
}
