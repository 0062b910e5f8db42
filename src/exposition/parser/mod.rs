//! Parses a page into events that borrow from its text.
//!
//! ```text
//! page ──> Lexer, a line at a time ──> Event: Help, Type, Unit, Comment, Sample, Eof
//!            │                           └── name, labels, value, timestamp, exemplar
//!            └── Error: kind and byte offset; position and excerpt on demand
//! ```
//!
//! [`parse`] reads a complete text, [`Chunks`] one that arrives in pieces. Both
//! check each line by itself; [`validate`](super::validate) checks whether the
//! lines of a page fit together.
//!
//! Text is copied only where an escape changes it, and samples of up to eight
//! labels cause no allocation.
//!
//! ```
//! use stethoscope::exposition::{Format, parser::{Event, parse}};
//!
//! let page = "# TYPE tasks gauge\ntasks{state=\"executing\"} 3\n";
//! for event in parse(page, Format::Text) {
//!     if let Event::Sample(sample) = event? {
//!         assert_eq!(sample.name(), "tasks");
//!         assert_eq!(sample.label("state").as_deref(), Some("executing"));
//!         assert_eq!(sample.value(), 3.0);
//!     }
//! }
//! # Ok::<_, stethoscope::exposition::parser::Error>(())
//! ```

mod chunks;
mod composite;
mod error;
mod event;
mod fast_path;
mod labels;
mod lexer;
mod line;
mod lookahead;
mod metadata;
mod sample;

pub use chunks::Chunks;
pub use composite::{CompositeValue, NativeBuckets};
pub(super) use error::messages;
pub use error::{Error, ErrorKind, Excerpt, Position, is_unprintable};
pub use event::{Event, EventRef, ParsedExemplar, Sample, Timestamp};
pub use labels::{Label, ParsedLabels};
pub use line::Line;

use super::{ContentType, Escaping, Format};
use lexer::{Lexer, LineKind};

/// The strictness with which a page is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// Accepts only what the standard allows.
    #[default]
    Strict,
    /// Accepts what the Prometheus server accepts, which includes all that strict
    /// mode accepts.
    Lenient,
}

/// Options for reading a page.
///
/// ```
/// use stethoscope::exposition::{Format, parser::Options};
///
/// let options = Options::strict(Format::OpenMetrics)
///     .with_quoted_names(true)
///     .with_max_line(64 << 10);
/// assert_eq!(options.max_line, 65_536);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The format of the page.
    pub format: Format,
    /// The strictness with which the page is read.
    pub mode: Mode,
    /// True if strict OpenMetrics 1.0 accepts quoted names, which its standard does not
    /// have. OpenMetrics 2.0 always does. Strict text accepts them in 1.0.0 and not in
    /// 0.0.4; lenient mode always does.
    pub quoted_names: bool,
    /// The longest line, in bytes without its newline. [`Chunks`] buffers up to
    /// one line, and reading a line may allocate a small multiple of its length.
    /// Values above [`Options::MAX_LINE_LENIENT`] have no effect.
    pub max_line: usize,
    /// The bytes that a [`Validator`](super::validate::Validator) may allocate to
    /// remember families and series. A page that needs more is refused with
    /// [`ErrorKind::MemoryLimit`]. Lenient mode remembers nothing.
    pub max_memory: usize,
}

impl Options {
    /// The default line limit of strict mode: 1 MiB.
    pub const MAX_LINE: usize = 1 << 20;

    /// The default line limit of lenient mode: 2 GiB, because the Prometheus
    /// server has no line limit.
    pub const MAX_LINE_LENIENT: usize = lexer::LONGEST_LINE;

    /// The default of [`max_memory`](Self::max_memory): 256 MiB, enough for some
    /// eight million series in a family or two million families.
    pub const MAX_MEMORY: usize = 256 << 20;

    /// Returns the options of strict mode.
    #[must_use]
    pub fn strict(format: Format) -> Self {
        Self {
            format,
            mode: Mode::Strict,
            quoted_names: false,
            max_line: Self::MAX_LINE,
            max_memory: Self::MAX_MEMORY,
        }
    }

    /// Returns the options of lenient mode.
    #[must_use]
    pub fn lenient(format: Format) -> Self {
        Self {
            mode: Mode::Lenient,
            max_line: Self::MAX_LINE_LENIENT,
            ..Self::strict(format)
        }
    }

    /// Sets [`mode`](Self::mode), and [`max_line`](Self::max_line) to that mode's
    /// default.
    #[must_use]
    pub fn with_mode(self, mode: Mode) -> Self {
        let max_line = match mode {
            Mode::Strict => Self::MAX_LINE,
            Mode::Lenient => Self::MAX_LINE_LENIENT,
        };
        Self {
            mode,
            max_line,
            ..self
        }
    }

    /// Sets [`quoted_names`](Self::quoted_names).
    #[must_use]
    pub fn with_quoted_names(self, quoted_names: bool) -> Self {
        Self {
            quoted_names,
            ..self
        }
    }

    /// Sets [`max_line`](Self::max_line).
    #[must_use]
    pub fn with_max_line(self, max_line: usize) -> Self {
        Self { max_line, ..self }
    }

    /// Sets [`max_memory`](Self::max_memory).
    #[must_use]
    pub fn with_max_memory(self, max_memory: usize) -> Self {
        Self { max_memory, ..self }
    }
}

impl From<Format> for Options {
    /// Returns the options of strict mode.
    fn from(format: Format) -> Self {
        Self::strict(format)
    }
}

impl From<ContentType> for Options {
    /// Returns the options of strict mode, with quoted names if they were
    /// negotiated.
    fn from(content_type: ContentType) -> Self {
        Self {
            quoted_names: content_type.escaping == Escaping::AllowUtf8,
            ..Self::strict(content_type.format)
        }
    }
}

/// Parses a page. A [`Format`] or [`ContentType`] stands for its strict
/// [`Options`].
pub fn parse<'a, T: AsRef<[u8]> + ?Sized>(page: &'a T, options: impl Into<Options>) -> Parser<'a> {
    Parser {
        text: page.as_ref(),
        at: 0,
        line: 0,
        lines: 0,
        lexer: Lexer::new(&options.into()),
        sample: Sample::EMPTY,
        done: false,
    }
}

/// An iterator over the events of a page. It ends after the first error.
#[derive(Clone, Debug)]
pub struct Parser<'a> {
    text: &'a [u8],
    /// The start of the next line.
    at: usize,
    /// The start of the last event's line.
    line: usize,
    /// The number of lines read.
    lines: usize,
    lexer: Lexer,
    sample: Sample<'a>,
    done: bool,
}

impl<'a> Parser<'a> {
    /// Returns the next event and its line. Unlike [`Iterator::next`] it lends the
    /// sample instead of copying it, which saves up to a sixth of the time.
    ///
    /// # Errors
    ///
    /// Returns the error of the page, once; then `None`.
    #[inline(always)] // so that the caller's match needs no event in memory
    pub fn next_ref(&mut self) -> Option<Result<(Line<'a>, EventRef<'a, '_>), Error>> {
        while self.at < self.text.len() && !self.done {
            self.line = self.at;
            self.lines += 1;
            match (self.lexer).line(self.text, &mut self.at, &mut self.sample) {
                Ok(LineKind::Sample) => {
                    return Some(Ok((self.last_line(), Event::Sample(&self.sample))));
                }
                Ok(LineKind::Metadata(event)) => return Some(Ok((self.last_line(), event))),
                Ok(LineKind::Other(Some(event))) => {
                    return Some(Ok((self.last_line(), event.map(|()| &self.sample))));
                }
                Ok(LineKind::Other(None)) => {}
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
        self.end().map(Err)
    }

    /// Returns the offset of the last event's line.
    pub fn offset(&self) -> usize {
        self.line
    }

    #[inline]
    fn last_line(&self) -> Line<'a> {
        Line {
            offset: self.line,
            number: self.lines,
            text: self.text.get(self.line..self.at).unwrap_or_default(),
        }
    }

    #[cold]
    fn end(&mut self) -> Option<Error> {
        if std::mem::replace(&mut self.done, true) {
            return None;
        }
        self.lexer.end(self.at).err()
    }
}

impl<'a> Iterator for Parser<'a> {
    type Item = Result<Event<'a>, Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_ref()?;
        Some(next.map(|(_, event)| event.map(Sample::clone)))
    }
}

impl std::iter::FusedIterator for Parser<'_> {}
