//! A page read back: text in, borrowed events out. `writer.rs`'s mirror.
//!
//! ```text
//! page ──> Lexer, a line at a time ──> Event: Help, Type, Unit, Comment, Sample, Eof
//!            │                           └── name, labels, value, timestamp, exemplar
//!            └── Error: kind and byte; its place and its line when asked for
//! ```
//!
//! [`parse`] reads a text that is all there, [`Chunks`] one that arrives in
//! pieces. Both say what each line says and no more: whether the lines make
//! sense together is for [`validate`](super::validate).
//!
//! Events borrow from the text. Nothing is copied but what an escape changes,
//! and nothing is allocated for samples of up to eight labels.
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
mod error;
mod event;
mod fast_path;
mod labels;
mod lexer;
mod metadata;
mod sample;

pub use chunks::{Chunks, Line};
pub(super) use error::kinds;
pub use error::{Error, ErrorKind, Excerpt, Place};
pub use event::{Event, Exemplar, LentEvent, Sample, Timestamp};
pub use labels::{Label, Labels};

use super::{ContentType, Escaping, Format};
use lexer::{Lexer, Seen};

/// How closely a page must keep to its format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// By the words of the standard.
    #[default]
    Strict,
    /// As the Prometheus server reads: all that strict accepts, and more.
    Lenient,
}

/// How a page is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The format of the page.
    pub format: Format,
    /// How closely it must keep to it.
    pub mode: Mode,
    /// Whether strict OpenMetrics takes names in quotes, which its 1.0 standard
    /// does not have. Strict text takes them in 1.0.0 and not in 0.0.4; lenient
    /// readers take them always.
    pub quoted_names: bool,
    /// The longest line, in bytes without its newline: what a reader of pieces
    /// may have to hold, and what one line may have it allocate a small
    /// multiple of. At most 2 GiB.
    pub max_line: usize,
}

impl Options {
    /// The longest line if nothing else is said: 1 MiB.
    pub const MAX_LINE: usize = 1 << 20;

    /// By the words of the standard.
    pub fn strict(format: Format) -> Self {
        Self {
            format,
            mode: Mode::Strict,
            quoted_names: false,
            max_line: Self::MAX_LINE,
        }
    }

    /// As the Prometheus server reads.
    pub fn lenient(format: Format) -> Self {
        Self {
            mode: Mode::Lenient,
            ..Self::strict(format)
        }
    }
}

impl From<Format> for Options {
    /// Strict.
    fn from(format: Format) -> Self {
        Self::strict(format)
    }
}

impl From<ContentType> for Options {
    /// Strict, with quoted names where they were negotiated.
    fn from(content_type: ContentType) -> Self {
        Self {
            quoted_names: content_type.escaping == Escaping::AllowUtf8,
            ..Self::strict(content_type.format)
        }
    }
}

/// Reads a page. [`Format`] and [`ContentType`] stand for their strict
/// [`Options`].
pub fn parse<'a, T: AsRef<[u8]> + ?Sized>(page: &'a T, options: impl Into<Options>) -> Parser<'a> {
    Parser {
        text: page.as_ref(),
        at: 0,
        line: 0,
        lexer: Lexer::new(&options.into()),
        sample: Sample::EMPTY,
        done: false,
    }
}

/// The events of a page: an iterator, and a lender for who counts nanoseconds.
/// After an error there are no more.
#[derive(Clone, Debug)]
pub struct Parser<'a> {
    text: &'a [u8],
    /// Where the next line begins.
    at: usize,
    /// Where the last event's line begins.
    line: usize,
    lexer: Lexer,
    sample: Sample<'a>,
    done: bool,
}

impl<'a> Parser<'a> {
    /// The next event, and the byte at which its line begins. A sample stays in
    /// the parser and is lent: to copy each out of it, as [`Iterator::next`]
    /// does, takes up to a sixth of the time of reading.
    #[inline(always)] // so that the event need not be built for its reader to take it apart
    #[allow(clippy::type_complexity)] // an iterator's item, lent
    pub fn lend(&mut self) -> Option<Result<(usize, Event<'a, &Sample<'a>>), Error>> {
        while self.at < self.text.len() && !self.done {
            self.line = self.at;
            match (self.lexer).line(self.text, &mut self.at, &mut self.sample) {
                Ok(Seen::Sample) => return Some(Ok((self.line, Event::Sample(&self.sample)))),
                Ok(Seen::Metadata(event)) => return Some(Ok((self.line, event))),
                Ok(Seen::Other(Some(event))) => {
                    return Some(Ok((self.line, event.map(|()| &self.sample))));
                }
                Ok(Seen::Other(None)) => {}
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
        self.end().map(Err)
    }

    /// The byte at which the line of the last event begins.
    pub fn offset(&self) -> usize {
        self.line
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
        let lent = self.lend()?;
        Some(lent.map(|(_, event)| event.map(Sample::clone)))
    }
}

impl std::iter::FusedIterator for Parser<'_> {}
