//! The lexer: one line in, one event out.
//!
//! ```text
//! line     = blanks? (comment | metadata | sample)? newline
//! metadata = "#" ("HELP" | "TYPE" | "UNIT") name text
//! sample   = name labels? value timestamp? exemplar?
//!          | "{" quoted-name ("," label)* "}" value timestamp? exemplar?
//! labels   = "{" (label ("," label)*)? "}"
//! label    = name "=" quoted
//! exemplar = "#" labels value timestamp?
//! ```
//!
//! Three formats in two modes differ in what may stand between these tokens and
//! in which of them there are; [`Rules`] has a switch for each. The way of a
//! line that a machine wrote, `name{label="value"} 1`, asks none of them: a
//! switch is asked where something else is found than such a line has.
//!
//! The lexer sees a window of the text that begins with the line and ends at
//! the longest that a line may be. Each of its steps takes a place in the window
//! and gives back the place behind what it read; at the window's end it sees a
//! newline, so that no step asks for the end by itself.
//!
//! The steps of metadata and of samples have files of their own.

#![allow(unsafe_code)] // one conversion, in `Window::ascii`

use super::error::{Error, ErrorKind};
use super::event::{Event, Sample};
use super::fast_path::{self, Metadata};
use super::{Mode, Options};
use crate::exposition::Format;
use crate::exposition::number;
use crate::exposition::scan;
use std::borrow::Cow;
use std::str;

pub(super) type Result<T> = std::result::Result<T, Error>;

/// The longest line of which samples can keep the places.
const LONGEST_LINE: usize = i32::MAX as usize;

/// Where names in quotes may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quoted {
    Nowhere,
    /// The metric's name first in the braces.
    First,
    /// The metric's name anywhere in the braces.
    Anywhere,
}

/// What a format and a mode allow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) openmetrics: bool,
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
        let openmetrics = options.format == Format::OpenMetrics;
        let quoted = match options.format {
            _ if lenient => Quoted::Anywhere,
            Format::Text1 => Quoted::First,
            Format::OpenMetrics if options.quoted_names => Quoted::First,
            Format::Text | Format::OpenMetrics => Quoted::Nowhere,
        };
        Self {
            openmetrics,
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

/// What a line is. A sample is elsewhere; metadata that went the short way stand
/// apart, for an event that several ways lead to is copied where they meet.
pub(super) enum Seen<'a, S> {
    Sample,
    Metadata(Event<'a, S>),
    /// A blank line is no event.
    Other(Option<Event<'a, ()>>),
}

impl<'a> Seen<'a, ()> {
    pub(super) fn event(self) -> Option<Event<'a, ()>> {
        match self {
            Self::Sample => Some(Event::Sample(())),
            Self::Metadata(event) => Some(event),
            Self::Other(event) => event,
        }
    }
}

/// Reads lines; knows nothing of a page but whether its `# EOF` has come.
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

    /// Reads the line that begins at `*at` and moves `*at` behind it. All lines but
    /// the text's last are whole.
    ///
    /// A sample is put into `sample`, not passed on as a value from call to call:
    /// made where it stays, it takes half the time.
    #[inline(always)]
    pub(super) fn line<'a, S>(
        &mut self,
        text: &'a [u8],
        at: &mut usize,
        sample: &mut Sample<'a>,
    ) -> Result<Seen<'a, S>> {
        if !self.ended {
            if begins_name(text[*at]) {
                return match self.sample_at(text, at, sample) {
                    Ok(()) => Ok(Seen::Sample),
                    Err(error) => Err(error),
                };
            }
            if let Some(event) = self.metadata_at(text, at) {
                return Ok(Seen::Metadata(event));
            }
        }
        match self.other_at(text, at, sample) {
            Ok(event) => Ok(Seen::Other(event)),
            Err(error) => Err(error),
        }
    }

    /// A line of metadata, if it goes the short way.
    #[inline(always)]
    fn metadata_at<'a, S>(&self, text: &'a [u8], at: &mut usize) -> Option<Event<'a, S>> {
        let window = self.window(&text[*at..]).0;
        let found = fast_path::metadata(window.0)?;
        let end = found.end as usize;
        let name_end = found.name_end as usize;
        *at += end + 1;
        let name = Cow::Borrowed(window.ascii(Metadata::NAME, name_end));
        Some(match found.kind {
            Some(kind) => Event::Type {
                name,
                metric_type: kind,
            },
            None => Event::Help {
                name,
                text: Cow::Borrowed(window.ascii(name_end + 1, end)),
            },
        })
    }

    /// A line that begins with the name of a sample.
    #[inline(never)]
    fn sample_at<'a>(&self, text: &'a [u8], at: &mut usize, sample: &mut Sample<'a>) -> Result<()> {
        let (window, whole) = self.window(&text[*at..]);
        match self.sample(window, sample) {
            Ok(end) if end < window.0.len() => {
                *at += end + 1;
                Ok(())
            }
            Ok(end) => self.last_line(end, whole, at),
            Err(error) => Err(refused(window, whole, error, sample).moved(*at)),
        }
    }

    /// Any other line.
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
            // Blanks at a page's end are no line.
            Ok((event @ (None | Some(Event::Eof)), end)) if whole => {
                *at += end;
                Ok(event)
            }
            Ok((event, end)) => self.last_line(end, whole, at).map(|()| event),
            Err(error) => Err(refused(window, whole, error, sample).moved(*at)),
        }
    }

    /// As much of the rest of a text as a line may take, and whether that is all
    /// of it.
    #[inline]
    fn window<'a>(&self, rest: &'a [u8]) -> (Window<'a>, bool) {
        match rest.get(..=self.max_line) {
            Some(window) => (Window(window), false),
            None => (Window(rest), true),
        }
    }

    /// A line whose newline is not in the window: `whole` if there is none.
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

    /// What a text lacks that ends at `at`.
    pub(super) fn end(&self, at: usize) -> Result<()> {
        if self.rules.openmetrics && !self.ended {
            return fail(ErrorKind::MissingEof, at);
        }
        Ok(())
    }

    /// A line that does not begin with a name.
    fn other<'a>(
        &mut self,
        window: Window<'a>,
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
            byte if byte == b'{' || begins_name(byte) => {
                let end = self.indented_sample(window, at, sample)?;
                Ok((Some(Event::Sample(())), end))
            }
            _ => fail(ErrorKind::ExpectedName, at),
        }
    }

    /// A sample behind blanks, or one whose name is in braces.
    #[inline(never)]
    fn indented_sample<'a>(
        &self,
        window: Window<'a>,
        at: usize,
        sample: &mut Sample<'a>,
    ) -> Result<usize> {
        match self.sample(Window(&window.0[at..]), sample) {
            Ok(end) => {
                sample.indent = at as u32;
                Ok(at + end)
            }
            Err(error) => Err(error.moved(at)),
        }
    }

    /// Passes blanks and tabs, which OpenMetrics does not have.
    #[inline]
    pub(super) fn blanks(&self, window: Window<'_>, at: usize) -> Result<usize> {
        match window.peek(at) {
            b' ' | b'\t' => self.more_blanks(window, at),
            _ => Ok(at),
        }
    }

    #[cold]
    pub(super) fn more_blanks(&self, window: Window<'_>, at: usize) -> Result<usize> {
        if self.rules.openmetrics {
            return fail(ErrorKind::UnexpectedBlank, at);
        }
        Ok(window.skip_blanks(at))
    }

    /// Passes what stands before a value or a timestamp: exactly one blank in
    /// OpenMetrics, any number of blanks and tabs in text.
    #[inline]
    pub(super) fn separator(&self, window: Window<'_>, at: usize) -> Result<usize> {
        if window.peek(at) != b' ' {
            return self.odd_separator(window, at);
        }
        match window.peek(at + 1) {
            b' ' | b'\t' => self.more_blanks(window, at + 1),
            _ => Ok(at + 1),
        }
    }

    #[cold]
    pub(super) fn odd_separator(&self, window: Window<'_>, at: usize) -> Result<usize> {
        match window.peek(at) {
            b'\t' => self.more_blanks(window, at),
            _ => fail(ErrorKind::ExpectedBlank, at),
        }
    }
}

/// What is wrong with a window's line, unless that it is too long: then nothing
/// else that was found of it counts. A sample that was begun is emptied, for the
/// places in it are of a line that it does not have.
#[cold]
fn refused(window: Window<'_>, whole: bool, error: Error, sample: &mut Sample<'_>) -> Error {
    *sample = Sample::EMPTY;
    if !whole && scan::line_end(window.0, 0) == window.0.len() {
        return Error::new(ErrorKind::LineTooLong, 0);
    }
    error
}

#[inline]
pub(super) fn begins_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte == b':'
}

#[cold]
pub(super) fn fail<T>(kind: ErrorKind, at: usize) -> Result<T> {
    Err(Error::new(kind, at))
}

/// What the lexer sees of a text: the line, and perhaps more.
#[derive(Clone, Copy)]
pub(super) struct Window<'a>(pub(super) &'a [u8]);

impl<'a> Window<'a> {
    /// The byte at `at`; at the end, the newline that should be there.
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

    /// The next blank, tab or newline.
    pub(super) fn token_end(self, mut at: usize) -> usize {
        while !matches!(self.peek(at), b' ' | b'\t' | b'\n') {
            at += 1;
        }
        at
    }

    /// A number at `at`, and the place behind it.
    #[inline]
    pub(super) fn number(self, at: usize) -> Result<(f64, usize)> {
        match number::parse_prefix(&self.0[at..]) {
            Some((value, len)) => Ok((value, at + len)),
            None => fail(ErrorKind::BadValue, at),
        }
    }

    /// A text in which a scan found nothing beyond ASCII.
    #[inline]
    pub(super) fn ascii(self, start: usize, end: usize) -> &'a str {
        let bytes = &self.0[start..end];
        debug_assert!(bytes.is_ascii());
        // SAFETY: who asks has scanned it.
        unsafe { str::from_utf8_unchecked(bytes) }
    }

    pub(super) fn utf8(self, start: usize, end: usize) -> Result<&'a str> {
        str::from_utf8(&self.0[start..end])
            .map_err(|error| Error::new(ErrorKind::InvalidUtf8, start + error.valid_up_to()))
    }
}
