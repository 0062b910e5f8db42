//! The lexer: one line in, one event out.
//!
//! ```text
//! line     = blanks? (comment | metadata | sample)? newline
//! metadata = "#" ("HELP" | "TYPE" | "UNIT") name text
//! sample   = series value timestamp? start? exemplar*
//! series   = name labels? | "{" quoted-name ("," label)* "}"
//! labels   = "{" (label ("," label)*)? "}"
//! label    = name "=" quoted
//! start    = "st@" timestamp
//! exemplar = "#" labels value timestamp?
//! ```
//!
//! Four formats in two modes differ in which tokens there are and in what may
//! stand between them; [`Rules`] has a flag for each difference. In pseudo-code:
//!
//! ```text
//! line(text, at):
//!     if the first byte can begin a name:
//!         fast_path::series_and_value, or on None self.series_and_value
//!         a newline follows?  done  :  tail (timestamp, exemplar, blanks)
//!     else if fast_path::metadata recognises the line: done
//!     else other: blank line | "#" metadata or comment | indented or braced sample
//! ```
//!
//! The fast path recognises the lines that programs write, `name{label="v"} 1`,
//! and checks no flag. The general path reads everything else; it checks a flag
//! only after it has met a byte that such a line does not have.
//!
//! The lexer works on a window of the text that begins with the line and is one
//! byte longer than the longest line allowed. Each step takes a position in the
//! window and returns the position after what it read. Reading past the window
//! gives a newline, so that no step has to check for the end.
//!
//! The steps for metadata and samples are in `metadata.rs` and `sample.rs`.

use super::error::{Error, ErrorKind};
use super::event::{Event, Sample};
use super::fast_path::{self, Metadata};
use super::lookahead::{Lookahead, Result, fail};
use super::{Mode, Options};
use crate::exposition::Format;
use crate::exposition::scan;
use crate::name::begins_metric_name;
use std::borrow::Cow;

/// The longest line whose positions fit a [`Span`](super::labels::Span).
pub(super) const LONGEST_LINE: usize = i32::MAX as usize;

/// The places where quoted names are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quoted {
    Nowhere,
    /// The metric name, first in the braces.
    First,
    /// The metric name, anywhere in the braces.
    Anywhere,
}

/// The differences between formats and modes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) openmetrics: bool,
    /// Composite values, start times and any number of exemplars.
    pub(super) composite: bool,
    pub(super) quoted: Quoted,
    /// A `\` before any character.
    pub(super) unknown_escapes: bool,
    /// A HELP that ends in a lone `\`.
    pub(super) open_escape: bool,
    pub(super) trailing_comma: bool,
    pub(super) missing_comma: bool,
    pub(super) missing_newline: bool,
    /// Label names that begin with `__`, but for `__name__`.
    pub(super) reserved_labels: bool,
}

impl Rules {
    fn new(options: &Options) -> Self {
        let lenient = options.mode == Mode::Lenient;
        let openmetrics = options.format.is_openmetrics();
        let quoted = match options.format {
            _ if lenient => Quoted::Anywhere,
            Format::Text1 | Format::OpenMetrics2 => Quoted::First,
            Format::OpenMetrics if options.quoted_names => Quoted::First,
            Format::Text | Format::OpenMetrics | Format::Protobuf => Quoted::Nowhere,
        };
        Self {
            openmetrics,
            composite: options.format == Format::OpenMetrics2,
            quoted,
            unknown_escapes: lenient || openmetrics,
            open_escape: lenient,
            trailing_comma: lenient || !openmetrics,
            missing_comma: lenient && !openmetrics,
            missing_newline: lenient && !openmetrics,
            reserved_labels: lenient || !openmetrics,
        }
    }
}

/// The kind of a line that was read. A sample is stored by the caller. Metadata
/// from the fast path has a variant of its own: an event that two code paths
/// produce is copied where they join.
pub(super) enum LineKind<'a, S> {
    Sample,
    Metadata(Event<'a, S>),
    /// Any other line; `None` for a blank one.
    Other(Option<Event<'a, ()>>),
}

impl<'a> LineKind<'a, ()> {
    pub(super) fn event(self) -> Option<Event<'a, ()>> {
        match self {
            Self::Sample => Some(Event::Sample(())),
            Self::Metadata(event) => Some(event),
            Self::Other(event) => event,
        }
    }
}

/// Reads lines. Its only state is whether `# EOF` has been read.
#[derive(Clone, Debug)]
pub(super) struct Lexer {
    pub(super) rules: Rules,
    max_line: usize,
    pub(super) ended: bool,
}

impl Lexer {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            rules: Rules::new(options),
            max_line: options.max_line.min(LONGEST_LINE),
            ended: false,
        }
    }

    pub(super) fn max_line(&self) -> usize {
        self.max_line
    }

    /// Reads the line at `*at` and advances `*at` past it. Only the last line of
    /// `text` may lack its newline.
    ///
    /// A sample is written to `sample` instead of being returned: building it in
    /// place takes half the time.
    #[inline(always)]
    pub(super) fn line<'a, S>(
        &mut self,
        text: &'a [u8],
        at: &mut usize,
        sample: &mut Sample<'a>,
    ) -> Result<LineKind<'a, S>> {
        if !self.ended {
            if begins_metric_name(text[*at]) {
                return match self.sample_at(text, at, sample) {
                    Ok(()) => Ok(LineKind::Sample),
                    Err(error) => Err(error),
                };
            }
            if let Some(event) = self.metadata_at(text, at) {
                return Ok(LineKind::Metadata(event));
            }
        }
        match self.other_at(text, at, sample) {
            Ok(event) => Ok(LineKind::Other(event)),
            Err(error) => Err(error),
        }
    }

    /// Reads a metadata line by the fast path.
    #[allow(unsafe_code)]
    #[inline(always)]
    fn metadata_at<'a, S>(&self, text: &'a [u8], at: &mut usize) -> Option<Event<'a, S>> {
        let window = self.window(&text[*at..]).0;
        let found = fast_path::metadata(window.0)?;
        let end = found.end as usize;
        let name_end = found.name_end as usize;
        *at += end + 1;
        // SAFETY: the fast path accepts a line only if its name consists of the
        // ASCII characters of names.
        let name = unsafe { window.ascii_unchecked(Metadata::NAME, name_end) };
        Some(match found.metric_type {
            Some(metric_type) => Event::Type {
                name: Cow::Borrowed(name),
                metric_type,
            },
            None => Event::Help {
                name: Cow::Borrowed(name),
                // SAFETY: the fast path accepts a HELP only if its text is ASCII.
                text: Cow::Borrowed(unsafe { window.ascii_unchecked(name_end + 1, end) }),
            },
        })
    }

    /// Reads a line that begins with the name of a sample.
    #[inline(never)]
    fn sample_at<'a>(&self, text: &'a [u8], at: &mut usize, sample: &mut Sample<'a>) -> Result<()> {
        let (window, whole) = self.window(&text[*at..]);
        match self.sample(window, sample) {
            Ok(end) if end < window.0.len() => {
                *at += end + 1;
                Ok(())
            }
            Ok(end) => self.last_line(end, whole, at),
            Err(error) => Err(refused(window, whole, error, sample).with_base(*at)),
        }
    }

    /// Reads any other line.
    #[inline(never)]
    pub(super) fn other_at<'a>(
        &mut self,
        text: &'a [u8],
        at: &mut usize,
        sample: &mut Sample<'a>,
    ) -> Result<Option<Event<'a, ()>>> {
        let (window, whole) = self.window(&text[*at..]);
        match self.other(window, sample) {
            Ok((event, end)) if end < window.0.len() => {
                *at += end + 1;
                Ok(event)
            }
            // Blanks at the end of a page are not a line.
            Ok((event @ (None | Some(Event::Eof)), end)) if whole => {
                *at += end;
                Ok(event)
            }
            Ok((event, end)) => self.last_line(end, whole, at).map(|()| event),
            Err(error) => Err(refused(window, whole, error, sample).with_base(*at)),
        }
    }

    /// Returns the window at the start of `rest`, and whether it holds all of it.
    #[inline]
    fn window<'a>(&self, rest: &'a [u8]) -> (Lookahead<'a>, bool) {
        match rest.get(..=self.max_line) {
            Some(window) => (Lookahead(window), false),
            None => (Lookahead(rest), true),
        }
    }

    /// Handles a line without a newline in the window. `whole` says that the text
    /// ends there.
    #[cold]
    fn last_line(&self, end: usize, whole: bool, at: &mut usize) -> Result<()> {
        if !whole {
            return fail(ErrorKind::LineTooLong, *at);
        }
        *at += end;
        if !self.rules.missing_newline {
            return fail(ErrorKind::MissingNewline, *at);
        }
        Ok(())
    }

    /// Checks that the text may end at `at`.
    pub(super) fn end(&self, at: usize) -> Result<()> {
        if self.rules.openmetrics && !self.ended {
            return fail(ErrorKind::MissingEof, at);
        }
        Ok(())
    }

    /// Reads a line that does not begin with a name.
    fn other<'a>(
        &mut self,
        window: Lookahead<'a>,
        sample: &mut Sample<'a>,
    ) -> Result<(Option<Event<'a, ()>>, usize)> {
        if self.ended {
            return fail(ErrorKind::AfterEof, 0);
        }
        let at = self.blanks(window, 0)?;
        match window.peek(at) {
            b'\n' if self.rules.openmetrics => fail(ErrorKind::UnexpectedBlank, at),
            b'\n' => Ok((None, at)),
            b'#' if self.rules.openmetrics => self.openmetrics_metadata(window),
            b'#' => self.text_metadata(window, at),
            byte if byte == b'{' || begins_metric_name(byte) => {
                let end = self.indented_sample(window, at, sample)?;
                Ok((Some(Event::Sample(())), end))
            }
            _ => fail(ErrorKind::ExpectedName, at),
        }
    }

    /// Reads a sample after blanks, or one whose name is in braces.
    #[inline(never)]
    fn indented_sample<'a>(
        &self,
        window: Lookahead<'a>,
        at: usize,
        sample: &mut Sample<'a>,
    ) -> Result<usize> {
        match self.sample(Lookahead(&window.0[at..]), sample) {
            Ok(end) => {
                sample.indent = at as u32;
                Ok(at + end)
            }
            Err(error) => Err(error.with_base(at)),
        }
    }

    /// Skips blanks and tabs, which OpenMetrics does not allow.
    #[inline]
    pub(super) fn blanks(&self, window: Lookahead<'_>, at: usize) -> Result<usize> {
        match window.peek(at) {
            b' ' | b'\t' => self.more_blanks(window, at),
            _ => Ok(at),
        }
    }

    #[cold]
    pub(super) fn more_blanks(&self, window: Lookahead<'_>, at: usize) -> Result<usize> {
        if self.rules.openmetrics {
            return fail(ErrorKind::UnexpectedBlank, at);
        }
        Ok(window.skip_blanks(at))
    }

    /// Skips the separator before a value or a timestamp: exactly one blank in
    /// OpenMetrics, one or more blanks and tabs in text.
    #[inline]
    pub(super) fn separator(&self, window: Lookahead<'_>, at: usize) -> Result<usize> {
        if window.peek(at) != b' ' {
            return self.odd_separator(window, at);
        }
        match window.peek(at + 1) {
            b' ' | b'\t' => self.more_blanks(window, at + 1),
            _ => Ok(at + 1),
        }
    }

    #[cold]
    pub(super) fn odd_separator(&self, window: Lookahead<'_>, at: usize) -> Result<usize> {
        match window.peek(at) {
            b'\t' => self.more_blanks(window, at),
            b'\n' => fail(ErrorKind::MissingValue, at),
            _ => fail(ErrorKind::ExpectedBlank, at),
        }
    }
}

/// Returns the error of a window's line: that it is too long, if so, because then
/// the line was not read to its end. Resets `sample`, whose positions are of a line
/// that it does not hold.
#[cold]
fn refused(window: Lookahead<'_>, whole: bool, error: Error, sample: &mut Sample<'_>) -> Error {
    *sample = Sample::EMPTY;
    if !whole && scan::line_end(window.0, 0) == window.0.len() {
        return Error::new(ErrorKind::LineTooLong, 0);
    }
    error
}
