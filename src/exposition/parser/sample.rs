//! The general path for samples: every spelling that a format and mode allow.
//!
//! Most samples are read by [`fast_path`]. A line that it does not accept, and
//! every line with an error, is read here from its beginning.

use super::error::ErrorKind;
use super::event::{Sample, Timestamp};
use super::fast_path;
use super::labels::{LabelSpans, ParsedLabels, Span};
use super::lexer::{Lexer, Quoted};
use super::lookahead::{Lookahead, Result, fail};
use crate::exposition::number;
use crate::exposition::scan;
use smallvec::SmallVec;
use std::str;

/// The text before a start time, its blank included.
const START_TIME: &[u8] = b" st@";

impl Lexer {
    /// Reads the sample at the start of the window and returns the position of its
    /// newline.
    #[allow(unsafe_code)]
    #[inline(always)]
    pub(super) fn sample<'a>(
        &self,
        window: Lookahead<'a>,
        sample: &mut Sample<'a>,
    ) -> Result<usize> {
        let value_end = match fast_path::series_and_value(window.0, sample) {
            Some(end) => end,
            None => self.series_and_value(window, sample)?,
        };
        sample.timestamp = None;
        sample.exemplar = 0;
        sample.start_time = 0;
        let end = match window.peek(value_end) {
            b'\n' => value_end,
            _ => self.tail(window, value_end, sample)?,
        };
        let line = &window.0[..end];
        debug_assert!(str::from_utf8(line).is_ok());
        // SAFETY: every byte up to `end` was read by one of three kinds of steps.
        // Blanks, punctuation, numbers and the characters of names were compared
        // with ASCII, byte by byte or by class. Quoted texts were checked: the fast
        // path accepts ASCII only, `quoted` checks that the text is UTF-8. So
        // the line is a concatenation of valid UTF-8.
        sample.line = unsafe { str::from_utf8_unchecked(line) };
        sample.indent = 0;
        Ok(end)
    }

    /// Reads the name, labels and value, and returns the position after the value.
    #[inline(never)]
    pub(super) fn series_and_value(
        &self,
        window: Lookahead<'_>,
        sample: &mut Sample<'_>,
    ) -> Result<usize> {
        sample.prev_text = &[];
        let mut at = scan::metric_name_end(window.0, 0);
        let mut name = (at > 0).then_some(Span::new(0, at, false));
        if matches!(window.peek(at), b' ' | b'\t') && !self.rules.openmetrics {
            // Blanks may stand between a name and its braces.
            let brace = window.skip_blanks(at);
            if window.peek(brace) == b'{' {
                at = brace;
            }
        }
        sample.labels = 0;
        sample.label_spans = LabelSpans::UNKNOWN;
        if window.peek(at) == b'{' {
            sample.labels = at as u32 + 1;
            at = self.labels(window, at + 1, Some(&mut name))?;
            // Text needs no blank between a brace and the value.
            at = if self.rules.openmetrics || window.peek(at) == b' ' {
                self.separator(window, at)?
            } else {
                self.blanks(window, at)?
            };
        } else if at > 0 && !matches!(window.peek(at), b' ' | b'\t' | b'\n') {
            return fail(ErrorKind::BadNameCharacter, at);
        } else {
            at = self.separator(window, at)?;
        }
        let Some(name) = name else {
            return fail(ErrorKind::NoName, 0);
        };
        sample.name = name;
        let (value, end) = match window.peek(at) {
            b'{' if self.rules.composite => (f64::NAN, window.composite(at)?),
            _ => window.number(at)?,
        };
        sample.value_text = Span::new(at, end, false);
        sample.value = value;
        Ok(end)
    }

    /// Reads what follows a value (a timestamp, an exemplar, blanks) and returns
    /// the position of the newline.
    #[inline(never)]
    fn tail(&self, window: Lookahead<'_>, at: usize, sample: &mut Sample<'_>) -> Result<usize> {
        if !matches!(window.peek(at), b' ' | b'\t') {
            return fail(ErrorKind::BadValue, at);
        }
        if !self.rules.openmetrics {
            return text_tail(window, at, sample);
        }
        let (timestamp, at) = self.seconds(window, at)?;
        sample.timestamp = timestamp.map(Timestamp::Seconds);
        let at = self.start_time(window, at, sample)?;
        if window.peek(at) == b'\n' {
            return Ok(at);
        }
        let mut at = self.exemplar(window, at, &mut sample.exemplar)?;
        while self.rules.composite && window.peek(at) == b' ' {
            at = self.exemplar(window, at, &mut 0)?;
        }
        if window.peek(at) != b'\n' {
            return fail(ErrorKind::ExpectedEnd, at);
        }
        Ok(at)
    }

    /// Reads a blank and a start time at `at`, if there is one, and returns the position
    /// after it.
    fn start_time(
        &self,
        window: Lookahead<'_>,
        at: usize,
        sample: &mut Sample<'_>,
    ) -> Result<usize> {
        let start = at + START_TIME.len();
        if !self.rules.composite || window.0.get(at..start) != Some(START_TIME) {
            return Ok(at);
        }
        let end = window.token_end(start);
        if number::parse_seconds(&window.0[start..end]).is_none() {
            return fail(ErrorKind::BadStartTime, start);
        }
        sample.start_time = start as u32;
        Ok(end)
    }

    /// Reads a blank and an exemplar at `at`, and returns the position after it. The
    /// position of its first label becomes `labels`.
    fn exemplar(&self, window: Lookahead<'_>, at: usize, labels: &mut u32) -> Result<usize> {
        let at = self.separator(window, at)?;
        if window.peek(at) != b'#' {
            return fail(ErrorKind::ExpectedEnd, at);
        }
        if !matches!(window.peek(at + 1), b' ' | b'\t' | b'{') {
            return fail(ErrorKind::ExemplarWithoutBraces, at);
        }
        let at = self.separator(window, at + 1)?;
        if window.peek(at) != b'{' {
            return fail(ErrorKind::ExemplarWithoutBraces, at);
        }
        *labels = at as u32 + 1;
        let at = self.labels(window, at + 1, None)?;
        let at = self.separator(window, at)?;
        let (_, mut at) = window.number(at)?;
        let end = at;
        match window.peek(at) {
            b'\n' => {}
            b' ' => (_, at) = self.seconds(window, at)?,
            _ => return fail(ErrorKind::BadValue, at),
        }
        if self.rules.composite && at == end {
            return fail(ErrorKind::ExemplarWithoutTime, at);
        }
        Ok(at)
    }

    /// Reads a blank and an OpenMetrics timestamp at `at`. Returns no timestamp,
    /// and `at` itself, if a blank and a hash stand there, or a start time.
    fn seconds(&self, window: Lookahead<'_>, at: usize) -> Result<(Option<f64>, usize)> {
        let start = self.separator(window, at)?;
        let is_start_time = self.rules.composite && window.0[at..].starts_with(START_TIME);
        if window.peek(start) == b'#' || is_start_time {
            return Ok((None, at));
        }
        let end = window.token_end(start);
        match number::parse_seconds(&window.0[start..end]) {
            Some(seconds) => Ok((Some(seconds), end)),
            None => fail(ErrorKind::BadTimestamp, start),
        }
    }

    /// Reads labels from after the opening brace to after the closing one. A quoted
    /// name among them becomes `metric`, if one is allowed here.
    fn labels(
        &self,
        window: Lookahead<'_>,
        first: usize,
        mut metric: Option<&mut Option<Span>>,
    ) -> Result<usize> {
        let mut labels = 0;
        let mut at = self.blanks(window, first)?;
        if window.peek(at) == b'}' {
            return Ok(at + 1);
        }
        loop {
            let start = at;
            let quoted = window.peek(at) == b'"';
            let name = if quoted {
                self.quoted_name(window, at)?
            } else {
                let end = scan::label_name_end(window.0, at);
                if end == at || window.peek(at).is_ascii_digit() {
                    return no_label(window, at);
                }
                Span::new(start, end, false)
            };
            at = self.blanks(window, name.end() + usize::from(quoted))?;
            match (window.peek(at), &mut metric) {
                (b'=', _) => {
                    at = self.blanks(window, at + 1)?;
                    if window.peek(at) != b'"' {
                        return fail(ErrorKind::ExpectedQuote, at);
                    }
                    at = self.quoted(window, at)?.end() + 1;
                    labels += 1;
                }
                (b',' | b'}', Some(metric)) if quoted => {
                    if metric.is_some() {
                        return fail(ErrorKind::SecondName, start);
                    }
                    if labels > 0 && self.rules.quoted != Quoted::Anywhere {
                        return fail(ErrorKind::QuotedName, start);
                    }
                    **metric = Some(name);
                }
                (b',' | b'}' | b'"' | b'\n', _) => return fail(ErrorKind::ExpectedEquals, at),
                _ if quoted || window.peek(at - 1) == b' ' => {
                    return fail(ErrorKind::ExpectedEquals, at);
                }
                _ => return fail(ErrorKind::BadNameCharacter, at),
            }
            at = self.blanks(window, at)?;
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
        self.check_names(window, first, at + 1)?;
        Ok(at + 1)
    }

    /// Reads a quoted name at `at`.
    pub(super) fn quoted_name(&self, window: Lookahead<'_>, at: usize) -> Result<Span> {
        if self.rules.quoted == Quoted::Nowhere {
            return fail(ErrorKind::QuotedName, at);
        }
        let name = self.quoted(window, at)?;
        if name.start() == name.end() {
            return fail(ErrorKind::EmptyName, at);
        }
        Ok(name)
    }

    /// Reads a quoted text at `at` and checks that it is UTF-8.
    fn quoted(&self, window: Lookahead<'_>, at: usize) -> Result<Span> {
        let start = at + 1;
        let mut end = scan::quoted_end(window.0, start).at;
        let mut escaped = false;
        while window.peek(end) == b'\\' {
            escaped = true;
            let known = matches!(window.peek(end + 1), b'\\' | b'"' | b'n');
            if !known && window.peek(end + 1) != b'\n' && !self.rules.unknown_escapes {
                return fail(ErrorKind::UnknownEscape, end);
            }
            // The character of an unknown escape is still to be checked.
            end = scan::quoted_end(window.0, end + 1 + usize::from(known)).at;
        }
        if window.peek(end) != b'"' {
            return fail(ErrorKind::UnclosedQuote, at);
        }
        window.utf8(start, end)?;
        Ok(Span::new(start, end, escaped))
    }

    /// Checks that the names of the labels just read are allowed and distinct. Does
    /// not look at the rest of the line: the fast path does not either, and both
    /// paths must find the same error first.
    fn check_names(&self, window: Lookahead<'_>, first: usize, end: usize) -> Result<()> {
        let line = window.utf8(0, end)?;
        let mut labels = ParsedLabels::new(line, first as u32, &LabelSpans::UNKNOWN);
        let mut names = SmallVec::<[_; 8]>::new();
        while let Some((name, _)) = labels.search() {
            let text = name.unescaped(line);
            if text == "__name__" || (text.starts_with("__") && !self.rules.reserved_labels) {
                return fail(ErrorKind::ReservedLabel, name.start());
            }
            names.push((text, name.start()));
        }
        names.sort_unstable();
        let duplicates = names.windows(2).filter(|two| two[0].0 == two[1].0);
        match duplicates.map(|two| two[1].1).min() {
            Some(start) => fail(ErrorKind::DuplicateLabel, start),
            None => Ok(()),
        }
    }
}

/// Reads the blanks after a value in text, and a timestamp among them.
fn text_tail(window: Lookahead<'_>, at: usize, sample: &mut Sample<'_>) -> Result<usize> {
    let start = window.skip_blanks(at);
    let token_end = window.token_end(start);
    if start < token_end {
        let Some(millis) = number::parse_millis(&window.0[start..token_end]) else {
            return match window.peek(start) {
                b'#' => fail(ErrorKind::ExemplarInText, start),
                _ => fail(ErrorKind::BadTimestamp, start),
            };
        };
        sample.timestamp = Some(Timestamp::Millis(millis));
    }
    let end = window.skip_blanks(token_end);
    match window.peek(end) {
        b'\n' => Ok(end),
        b'#' => fail(ErrorKind::ExemplarInText, end),
        _ => fail(ErrorKind::ExpectedEnd, end),
    }
}

/// The error where a label name should begin at `at`.
fn no_label<T>(window: Lookahead<'_>, at: usize) -> Result<T> {
    match window.peek(at) {
        b',' => fail(ErrorKind::TrailingComma, at),
        b'\n' | b'}' | b'=' => fail(ErrorKind::BadLabelName, at),
        byte if byte.is_ascii_digit() => fail(ErrorKind::BadLabelName, at),
        _ => fail(ErrorKind::BadNameCharacter, at),
    }
}
