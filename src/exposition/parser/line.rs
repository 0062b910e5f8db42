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

#![allow(unsafe_code)] // one conversion, in `Lexer::sample`

use super::error::{Error, ErrorKind};
use super::event::{Event, Labels, MetricType, Name, Piece, Places, Sample, Timestamp};
use super::{Mode, Options};
use crate::exposition::Format;
use crate::exposition::escape::{unescape_help, unescape_label};
use crate::exposition::number;
use crate::exposition::scan;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::str;

type Result<T> = std::result::Result<T, Error>;

/// The longest line of which samples can keep the places.
const LONGEST_LINE: usize = u32::MAX as usize;

/// Where names in quotes may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quoted {
    Nowhere,
    /// The metric's name first in the braces.
    First,
    /// The metric's name anywhere in the braces.
    Anywhere,
}

/// What a format and a mode allow.
#[derive(Clone, Copy, Debug)]
struct Rules {
    openmetrics: bool,
    quoted: Quoted,
    /// A `\` before any character.
    unknown_escapes: bool,
    /// A HELP that ends in a lone `\`.
    open_escape: bool,
    trailing_comma: bool,
    missing_comma: bool,
    missing_newline: bool,
    /// Label names that begin with `__`, but for `__name__`.
    reserved_labels: bool,
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

/// Reads lines; knows nothing of a page but whether its `# EOF` has come.
#[derive(Clone, Debug)]
pub(super) struct Lexer {
    rules: Rules,
    max_line: usize,
    ended: bool,
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

    /// Reads the line that begins at `*at` and moves `*at` behind it. A sample is
    /// put into `sample`. `None` is a blank line. All lines but the text's last
    /// are whole.
    #[inline]
    pub(super) fn line<'a>(
        &mut self,
        text: &'a [u8],
        at: &mut usize,
        sample: &mut Sample<'a>,
    ) -> Result<Option<Event<'a, ()>>> {
        // A sample is not passed on as a value, from call to call: it is made
        // where it stays, which takes half the time.
        if begins_name(text[*at]) {
            self.sample_at(text, at, sample)?;
            return Ok(Some(Event::Sample(())));
        }
        self.other_at(text, at, sample)
    }

    #[inline(never)]
    fn sample_at<'a>(&self, text: &'a [u8], at: &mut usize, sample: &mut Sample<'a>) -> Result<()> {
        let (window, whole) = self.window(&text[*at..]);
        match self.sample(window, sample) {
            Ok(end) if end < window.0.len() => {
                *at += end + 1;
                Ok(())
            }
            Ok(end) => self.last_line(end, whole, at),
            Err(error) => Err(refused(window, whole, error).moved(*at)),
        }
    }

    #[inline(never)]
    fn other_at<'a>(
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
            Err(error) => Err(refused(window, whole, error).moved(*at)),
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
                match self.sample(Window(&window.0[at..]), sample) {
                    Ok(end) => {
                        sample.indent = at as u32;
                        Ok((Some(Event::Sample(())), at + end))
                    }
                    Err(error) => Err(error.moved(at)),
                }
            }
            _ => fail(ErrorKind::ExpectedName, at),
        }
    }

    /// Passes blanks and tabs, which OpenMetrics does not have.
    #[inline]
    fn blanks(&self, window: Window<'_>, at: usize) -> Result<usize> {
        match window.peek(at) {
            b' ' | b'\t' => self.more_blanks(window, at),
            _ => Ok(at),
        }
    }

    #[cold]
    fn more_blanks(&self, window: Window<'_>, at: usize) -> Result<usize> {
        if self.rules.openmetrics {
            return fail(ErrorKind::UnexpectedBlank, at);
        }
        Ok(window.skip_blanks(at))
    }

    /// Passes what stands before a value or a timestamp: exactly one blank in
    /// OpenMetrics, any number of blanks and tabs in text.
    #[inline]
    fn separator(&self, window: Window<'_>, at: usize) -> Result<usize> {
        if window.peek(at) != b' ' {
            return self.odd_separator(window, at);
        }
        match window.peek(at + 1) {
            b' ' | b'\t' => self.more_blanks(window, at + 1),
            _ => Ok(at + 1),
        }
    }

    #[cold]
    fn odd_separator(&self, window: Window<'_>, at: usize) -> Result<usize> {
        match window.peek(at) {
            b'\t' => self.more_blanks(window, at),
            _ => fail(ErrorKind::ExpectedBlank, at),
        }
    }

    // ------------------------------------------------------------ metadata

    /// `# HELP name text`, `# TYPE name type`, or a comment.
    fn text_metadata<'a>(
        &self,
        window: Window<'a>,
        hash: usize,
    ) -> Result<(Option<Event<'a, ()>>, usize)> {
        let keyword = window.skip_blanks(hash + 1);
        let after = keyword + 4;
        let name = window.skip_blanks(after);
        let is_metadata = keyword > hash + 1
            && matches!(window.0.get(keyword..after), Some(b"HELP" | b"TYPE"))
            && name > after
            && window.peek(name) != b'\n';
        if !is_metadata {
            let end = scan::line_end(window.0, hash);
            let text = &window.0[hash + 1..end];
            return Ok((Some(Event::Comment { text }), end));
        }
        let (name, at) = self.metadata_name(window, name)?;
        if !matches!(window.peek(at), b' ' | b'\t' | b'\n') {
            return fail(ErrorKind::BadMetadataName, at);
        }
        let event = if window.0[keyword] == b'H' {
            // One blank separates; what follows belongs to the text, as the
            // Prometheus server reads it.
            let start = at + usize::from(window.peek(at) != b'\n');
            let (text, end) = self.help(window, start)?;
            (Event::Help { name, text }, end)
        } else {
            let word = window.skip_blanks(at);
            let end = scan::label_name_end(window.0, word);
            let Some(kind) = MetricType::read(&window.0[word..end], false) else {
                return fail(ErrorKind::BadType, word);
            };
            let line_end = window.skip_blanks(end);
            if window.peek(line_end) != b'\n' {
                return fail(ErrorKind::BadType, word);
            }
            (Event::Type { name, kind }, line_end)
        };
        Ok((Some(event.0), event.1))
    }

    /// `# HELP name text`, `# TYPE name type`, `# UNIT name unit` or `# EOF`.
    fn openmetrics_metadata<'a>(
        &mut self,
        window: Window<'a>,
    ) -> Result<(Option<Event<'a, ()>>, usize)> {
        let keyword = window.0.get(..7).unwrap_or(window.0);
        if window.0.starts_with(b"# EOF") {
            if window.peek(5) != b'\n' {
                return fail(ErrorKind::AfterEof, 5);
            }
            self.ended = true;
            return Ok((Some(Event::Eof), 5));
        }
        if !matches!(keyword, b"# HELP " | b"# TYPE " | b"# UNIT ") {
            return fail(ErrorKind::Comment, 0);
        }
        let (name, at) = self.metadata_name(window, keyword.len())?;
        if window.peek(at) != b' ' {
            return fail(ErrorKind::ExpectedBlank, at);
        }
        let start = at + 1;
        let (event, end) = match keyword[2] {
            b'H' => {
                let (text, end) = self.help(window, start)?;
                (Event::Help { name, text }, end)
            }
            b'T' => {
                let end = scan::line_end(window.0, start);
                match MetricType::read(&window.0[start..end], true) {
                    Some(kind) => (Event::Type { name, kind }, end),
                    None => return fail(ErrorKind::BadType, start),
                }
            }
            _ => {
                let end = scan::metric_name_end(window.0, start);
                if window.peek(end) != b'\n' {
                    return fail(ErrorKind::BadUnit, end);
                }
                let unit = str::from_utf8(&window.0[start..end]).expect("names are ASCII");
                let family = name.strip_suffix(unit);
                if !unit.is_empty() && !family.is_some_and(|family| family.ends_with('_')) {
                    return fail(ErrorKind::UnitNotInName, start);
                }
                (Event::Unit { name, unit }, end)
            }
        };
        Ok((Some(event), end))
    }

    /// The name in a metadata line, and the place behind it.
    fn metadata_name<'a>(&self, window: Window<'a>, at: usize) -> Result<(Cow<'a, str>, usize)> {
        if window.peek(at) == b'"' {
            let (name, end) = self.quoted_name(window, at)?;
            return Ok((window.unescaped(name), end));
        }
        let end = scan::metric_name_end(window.0, at);
        if end == at || window.peek(at).is_ascii_digit() {
            return fail(ErrorKind::BadMetadataName, at);
        }
        let name = str::from_utf8(&window.0[at..end]).expect("names are ASCII");
        Ok((Cow::Borrowed(name), end))
    }

    /// The text of a HELP line, and the place of its newline.
    fn help<'a>(&self, window: Window<'a>, start: usize) -> Result<(Cow<'a, str>, usize)> {
        let mut at = start;
        let mut escaped = false;
        let end = loop {
            at = scan::help_end(window.0, at).at;
            if window.0.get(at) != Some(&b'\\') {
                break at;
            }
            escaped = true;
            let known = match window.peek(at + 1) {
                b'\\' | b'n' => true,
                b'"' => self.rules.openmetrics,
                b'\n' if !self.rules.open_escape => return fail(ErrorKind::UnknownEscape, at),
                _ => false,
            };
            if !known && !self.rules.unknown_escapes {
                return fail(ErrorKind::UnknownEscape, at);
            }
            at += 1 + usize::from(known);
        };
        let raw = window.utf8(start, end)?;
        let text = if escaped {
            unescape_help(raw, self.rules.openmetrics)
        } else {
            Cow::Borrowed(raw)
        };
        Ok((text, end))
    }

    // -------------------------------------------------------------- sample

    /// A sample with which the window begins, and the place of its newline.
    #[inline]
    fn sample<'a>(&self, window: Window<'a>, sample: &mut Sample<'a>) -> Result<usize> {
        if self.ended {
            return fail(ErrorKind::AfterEof, 0);
        }
        let mut at = scan::metric_name_end(window.0, 0);
        let mut name = (at > 0).then_some(Name::Plain(at as u32));
        if matches!(window.peek(at), b' ' | b'\t') && !self.rules.openmetrics {
            // Blanks may stand between a name and its braces.
            let brace = window.skip_blanks(at);
            if window.peek(brace) == b'{' {
                at = brace;
            }
        }
        let mut labels = 0;
        sample.places.known = 0;
        sample.places.all = true;
        if window.peek(at) == b'{' {
            labels = at as u32 + 1;
            at = self.labels(window, at + 1, &mut sample.places, &mut name, true)?;
            // Text needs no blank between a brace and the value.
            at = if self.rules.openmetrics || window.peek(at) == b' ' {
                self.separator(window, at)?
            } else {
                self.blanks(window, at)?
            };
        } else {
            at = self.separator(window, at)?;
        }
        let Some(name) = name else {
            return fail(ErrorKind::NoName, 0);
        };
        let (value, end) = window.number(at)?;
        let value_text = (at as u32, end as u32);
        let tail = match window.peek(end) {
            b'\n' => Tail {
                timestamp: None,
                exemplar: 0,
                end,
            },
            _ => self.tail(window, end)?,
        };
        let line = &window.0[..tail.end];
        debug_assert!(str::from_utf8(line).is_ok());
        // SAFETY: these bytes are tokens that were each compared with ASCII,
        // byte by byte or by class, and texts in quotes, which `quoted` found to
        // be UTF-8.
        let line = unsafe { str::from_utf8_unchecked(line) };
        sample.line = line;
        sample.indent = 0;
        sample.name = name;
        sample.labels = labels;
        sample.exemplar = tail.exemplar;
        sample.value_text = value_text;
        sample.value = value;
        sample.timestamp = tail.timestamp;
        Ok(tail.end)
    }

    /// What follows a value: a timestamp, an exemplar, blanks.
    #[inline(never)]
    fn tail(&self, window: Window<'_>, at: usize) -> Result<Tail> {
        if !matches!(window.peek(at), b' ' | b'\t') {
            return fail(ErrorKind::BadValue, at);
        }
        if !self.rules.openmetrics {
            return text_tail(window, at);
        }
        let (timestamp, at) = self.seconds(window, at)?;
        let timestamp = timestamp.map(Timestamp::Seconds);
        let mut tail = Tail {
            timestamp,
            exemplar: 0,
            end: at,
        };
        if window.peek(at) == b'\n' {
            return Ok(tail);
        }
        let at = self.separator(window, at)?;
        if window.peek(at) != b'#' {
            return fail(ErrorKind::ExpectedEnd, at);
        }
        let at = self.separator(window, at + 1)?;
        if window.peek(at) != b'{' {
            return fail(ErrorKind::BadLabelName, at);
        }
        tail.exemplar = at as u32 + 1;
        let mut places = Places::UNKNOWN;
        let at = self.labels(window, at + 1, &mut places, &mut None, false)?;
        let at = self.separator(window, at)?;
        let (_, mut at) = window.number(at)?;
        match window.peek(at) {
            b'\n' => {}
            b' ' => (_, at) = self.seconds(window, at)?,
            _ => return fail(ErrorKind::BadValue, at),
        }
        if window.peek(at) != b'\n' {
            return fail(ErrorKind::ExpectedEnd, at);
        }
        tail.end = at;
        Ok(tail)
    }

    /// A blank and a timestamp of OpenMetrics at `at`; none where a blank and a
    /// hash stand, which are left to be read.
    fn seconds(&self, window: Window<'_>, at: usize) -> Result<(Option<f64>, usize)> {
        let start = self.separator(window, at)?;
        if window.peek(start) == b'#' {
            return Ok((None, at));
        }
        let end = window.token_end(start);
        match number::parse_seconds(&window.0[start..end]) {
            Some(seconds) => Ok((Some(seconds), end)),
            None => fail(ErrorKind::BadTimestamp, start),
        }
    }

    // -------------------------------------------------------------- labels

    /// Labels from behind the opening brace to behind the closing one. A quoted
    /// name among them becomes `name` where `named` says that one may stand
    /// here.
    #[inline]
    fn labels(
        &self,
        window: Window<'_>,
        first: usize,
        places: &mut Places,
        name: &mut Option<Name>,
        named: bool,
    ) -> Result<usize> {
        let mut labels = 0;
        // Where the next label begins if no blank comes before it.
        let mut plain = first;
        let mut at = self.blanks(window, first)?;
        if window.peek(at) == b'}' {
            return Ok(at + 1);
        }
        loop {
            let start = at;
            let mut end = scan::label_name_end(window.0, at);
            let mut label = Piece {
                start,
                end,
                escaped: false,
            };
            let quoted = window.peek(at) == b'"';
            if quoted {
                (label, end) = self.quoted_name(window, at)?;
            } else if end == at || window.peek(at).is_ascii_digit() {
                return no_label(window, at);
            }
            at = end;
            // What is seldom there is asked for where what should be there is
            // not, here and below.
            if window.peek(at) != b'=' {
                at = self.blanks(window, at)?;
            }
            if window.peek(at) == b'=' {
                at += 1;
                if window.peek(at) != b'"' {
                    at = self.blanks(window, at)?;
                    if window.peek(at) != b'"' {
                        return fail(ErrorKind::ExpectedQuote, at);
                    }
                }
                let (value, behind) = self.quoted(window, at)?;
                let known = start == plain && value.start == end + 2 && labels < 8;
                if let (true, Ok(value_end)) =
                    (known && !quoted && !value.escaped, u16::try_from(value.end))
                {
                    places.ends[labels] = (end as u16, value_end);
                    places.known += 1;
                    plain = behind + 1;
                } else {
                    plain = usize::MAX;
                }
                labels += 1;
                at = behind;
            } else {
                at = self.blanks(window, at)?;
                if !named || !quoted || !matches!(window.peek(at), b',' | b'}') {
                    return fail(ErrorKind::ExpectedEquals, at);
                }
                self.check_metric_name(start, name, labels == 0)?;
                *name = Some(Name::Quoted {
                    start: label.start as u32,
                    end: label.end as u32,
                    escaped: label.escaped,
                });
                plain = usize::MAX;
            }
            if !matches!(window.peek(at), b',' | b'}') {
                at = self.blanks(window, at)?;
            }
            match window.peek(at) {
                b'}' => break,
                b',' => {
                    at = self.blanks(window, at + 1)?;
                    if window.peek(at) == b'}' {
                        if !self.rules.trailing_comma {
                            return fail(ErrorKind::TrailingComma, at);
                        }
                        break;
                    }
                }
                _ if self.rules.missing_comma => {}
                _ => return fail(ErrorKind::ExpectedComma, at),
            }
        }
        places.all = usize::from(places.known) == labels;
        if places.all {
            self.check_places(window, first, places)?;
        } else {
            self.check_names(window, first)?;
        }
        Ok(at + 1)
    }

    /// Whether a metric's name may stand in quotes at `at`.
    #[cold]
    fn check_metric_name(&self, at: usize, name: &Option<Name>, first: bool) -> Result<()> {
        if name.is_some() {
            return fail(ErrorKind::SecondName, at);
        }
        if !first && self.rules.quoted != Quoted::Anywhere {
            return fail(ErrorKind::QuotedName, at);
        }
        Ok(())
    }

    /// A name in quotes at `at`, and the place behind it.
    #[cold]
    fn quoted_name(&self, window: Window<'_>, at: usize) -> Result<(Piece, usize)> {
        if self.rules.quoted == Quoted::Nowhere {
            return fail(ErrorKind::QuotedName, at);
        }
        let (name, end) = self.quoted(window, at)?;
        if name.start == name.end {
            return fail(ErrorKind::EmptyName, at);
        }
        Ok((name, end))
    }

    /// A text in quotes at `at`, found to be UTF-8, and the place behind it.
    #[inline]
    fn quoted(&self, window: Window<'_>, at: usize) -> Result<(Piece, usize)> {
        let start = at + 1;
        let found = scan::quoted_end(window.0, start);
        if window.peek(found.at) == b'"' && !found.non_ascii {
            let piece = Piece {
                start,
                end: found.at,
                escaped: false,
            };
            return Ok((piece, found.at + 1));
        }
        self.odd_quoted(window, start, found.at)
    }

    /// A text in quotes that has more to it than ASCII; nothing up to `end` ends
    /// it or is an escape.
    #[inline(never)]
    fn odd_quoted(
        &self,
        window: Window<'_>,
        start: usize,
        mut end: usize,
    ) -> Result<(Piece, usize)> {
        let mut escaped = false;
        while window.peek(end) == b'\\' {
            escaped = true;
            let known = matches!(window.peek(end + 1), b'\\' | b'"' | b'n');
            if !known && window.peek(end + 1) != b'\n' && !self.rules.unknown_escapes {
                return fail(ErrorKind::UnknownEscape, end);
            }
            // Of an unknown escape the character is still to be looked at.
            end = scan::quoted_end(window.0, end + 1 + usize::from(known)).at;
        }
        if window.peek(end) != b'"' {
            return fail(ErrorKind::UnclosedQuote, start - 1);
        }
        window.utf8(start, end)?;
        let piece = Piece {
            start,
            end,
            escaped,
        };
        Ok((piece, end + 1))
    }

    /// Whether the labels' names are allowed and distinct, all their places
    /// being known.
    #[inline]
    fn check_places(&self, window: Window<'_>, first: usize, places: &Places) -> Result<()> {
        let known = &places.ends[..usize::from(places.known)];
        let name = |index: usize| {
            let start = match index {
                0 => first,
                _ => usize::from(known[index - 1].1) + 2,
            };
            &window.0[start..usize::from(known[index].0)]
        };
        for index in 0..known.len() {
            let this = name(index);
            if this.starts_with(b"__") || (0..index).any(|earlier| name(earlier) == this) {
                return self.check_names(window, first);
            }
        }
        Ok(())
    }

    /// Whether the labels' names are allowed and distinct, however they are
    /// written.
    #[cold]
    fn check_names(&self, window: Window<'_>, first: usize) -> Result<()> {
        let line = window.utf8(0, scan::line_end(window.0, 0))?;
        let mut labels = Labels::new(line, first as u32, Places::UNKNOWN);
        let mut names = SmallVec::<[_; 8]>::new();
        while let Some((name, _)) = labels.search() {
            let text = name.of(line);
            if text == "__name__" || (text.starts_with("__") && !self.rules.reserved_labels) {
                return fail(ErrorKind::ReservedLabel, name.start);
            }
            names.push((text, name.start));
        }
        names.sort_unstable();
        let twins = names.windows(2).filter(|two| two[0].0 == two[1].0);
        match twins.map(|two| two[1].1).min() {
            Some(start) => fail(ErrorKind::DuplicateLabel, start),
            None => Ok(()),
        }
    }
}

/// What a line says behind its value.
struct Tail {
    timestamp: Option<Timestamp>,
    /// Where the first label of the exemplar begins; 0 without one.
    exemplar: u32,
    /// The place of the newline.
    end: usize,
}

/// Blanks, perhaps with a timestamp among them.
fn text_tail(window: Window<'_>, at: usize) -> Result<Tail> {
    let start = window.skip_blanks(at);
    let token_end = window.token_end(start);
    let mut timestamp = None;
    if start < token_end {
        let Some(millis) = number::parse_millis(&window.0[start..token_end]) else {
            return fail(ErrorKind::BadTimestamp, start);
        };
        timestamp = Some(Timestamp::Millis(millis));
    }
    let end = window.skip_blanks(token_end);
    if window.peek(end) != b'\n' {
        return fail(ErrorKind::ExpectedEnd, end);
    }
    Ok(Tail {
        timestamp,
        exemplar: 0,
        end,
    })
}

/// No label's name begins at `at`.
#[cold]
fn no_label<T>(window: Window<'_>, at: usize) -> Result<T> {
    match window.peek(at) {
        b',' => fail(ErrorKind::TrailingComma, at),
        _ => fail(ErrorKind::BadLabelName, at),
    }
}

/// What is wrong with a window's line, unless that it is too long: then nothing
/// else that was found of it counts.
#[cold]
fn refused(window: Window<'_>, whole: bool, error: Error) -> Error {
    if !whole && scan::line_end(window.0, 0) == window.0.len() {
        return Error::new(ErrorKind::LineTooLong, 0);
    }
    error
}

#[inline]
fn begins_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte == b':'
}

#[cold]
fn fail<T>(kind: ErrorKind, at: usize) -> Result<T> {
    Err(Error::new(kind, at))
}

/// What the lexer sees of a text: the line, and perhaps more.
#[derive(Clone, Copy)]
struct Window<'a>(&'a [u8]);

impl<'a> Window<'a> {
    /// The byte at `at`; at the end, the newline that should be there.
    #[inline(always)]
    fn peek(self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or(b'\n')
    }

    fn skip_blanks(self, mut at: usize) -> usize {
        while matches!(self.peek(at), b' ' | b'\t') {
            at += 1;
        }
        at
    }

    /// The next blank, tab or newline.
    fn token_end(self, mut at: usize) -> usize {
        while !matches!(self.peek(at), b' ' | b'\t' | b'\n') {
            at += 1;
        }
        at
    }

    /// A number at `at`, and the place behind it.
    #[inline]
    fn number(self, at: usize) -> Result<(f64, usize)> {
        match number::parse_prefix(&self.0[at..]) {
            Some((value, len)) => Ok((value, at + len)),
            None => fail(ErrorKind::BadValue, at),
        }
    }

    #[inline]
    fn of(self, piece: Piece) -> &'a [u8] {
        &self.0[piece.start..piece.end]
    }

    /// A piece that was found to be UTF-8.
    fn unescaped(self, piece: Piece) -> Cow<'a, str> {
        let raw = str::from_utf8(self.of(piece)).expect("checked when it was read");
        if piece.escaped {
            unescape_label(raw)
        } else {
            Cow::Borrowed(raw)
        }
    }

    fn utf8(self, start: usize, end: usize) -> Result<&'a str> {
        str::from_utf8(&self.0[start..end])
            .map_err(|error| Error::new(ErrorKind::InvalidUtf8, start + error.valid_up_to()))
    }
}
