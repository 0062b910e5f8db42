//! A sample, whatever its format and mode allow: the long way.
//!
//! Most samples need not come here: [`plain`] reads what a machine wrote. What
//! it does not take, and every error, is read again here from the beginning of
//! the line.

#![allow(unsafe_code)] // one conversion, in `Lexer::sample`

use super::error::ErrorKind;
use super::event::{Sample, Timestamp};
use super::fast_path;
use super::labels::{Labels, Piece, Places};
use super::lexer::{Lexer, Quoted, Result, Window, fail};
use crate::exposition::number;
use crate::exposition::scan;
use smallvec::SmallVec;
use std::str;

impl Lexer {
    /// A sample with which the window begins, and the place of its newline.
    #[inline(always)]
    pub(super) fn sample<'a>(&self, window: Window<'a>, sample: &mut Sample<'a>) -> Result<usize> {
        let value_end = match fast_path::series_and_value(window.0, sample) {
            Some(end) => end,
            None => self.series_and_value(window, sample)?,
        };
        sample.timestamp = None;
        sample.exemplar = 0;
        let end = match window.peek(value_end) {
            b'\n' => value_end,
            _ => self.tail(window, value_end, sample)?,
        };
        let line = &window.0[..end];
        debug_assert!(str::from_utf8(line).is_ok());
        // SAFETY: these bytes are tokens that were each compared with ASCII,
        // byte by byte or by class, and texts in quotes, which `plain` found to
        // be ASCII and `quoted` to be UTF-8.
        sample.line = unsafe { str::from_utf8_unchecked(line) };
        sample.indent = 0;
        Ok(end)
    }

    /// All up to the value, and the place behind it.
    #[inline(never)]
    pub(super) fn series_and_value(
        &self,
        window: Window<'_>,
        sample: &mut Sample<'_>,
    ) -> Result<usize> {
        sample.rest = &[];
        let mut at = scan::metric_name_end(window.0, 0);
        let mut name = (at > 0).then_some(Piece::new(0, at, false));
        if matches!(window.peek(at), b' ' | b'\t') && !self.rules.openmetrics {
            // Blanks may stand between a name and its braces.
            let brace = window.skip_blanks(at);
            if window.peek(brace) == b'{' {
                at = brace;
            }
        }
        sample.labels = 0;
        sample.places = Places::UNKNOWN;
        if window.peek(at) == b'{' {
            sample.labels = at as u32 + 1;
            at = self.labels(window, at + 1, Some(&mut name))?;
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
        sample.name = name;
        let (value, end) = window.number(at)?;
        sample.value_text = Piece::new(at, end, false);
        sample.value = value;
        Ok(end)
    }

    /// What follows a value: a timestamp, an exemplar, blanks. Gives the place
    /// of the newline.
    #[inline(never)]
    fn tail(&self, window: Window<'_>, at: usize, sample: &mut Sample<'_>) -> Result<usize> {
        if !matches!(window.peek(at), b' ' | b'\t') {
            return fail(ErrorKind::BadValue, at);
        }
        if !self.rules.openmetrics {
            return text_tail(window, at, sample);
        }
        let (timestamp, at) = self.seconds(window, at)?;
        sample.timestamp = timestamp.map(Timestamp::Seconds);
        if window.peek(at) == b'\n' {
            return Ok(at);
        }
        let at = self.separator(window, at)?;
        if window.peek(at) != b'#' {
            return fail(ErrorKind::ExpectedEnd, at);
        }
        let at = self.separator(window, at + 1)?;
        if window.peek(at) != b'{' {
            return fail(ErrorKind::BadLabelName, at);
        }
        sample.exemplar = at as u32 + 1;
        let at = self.labels(window, at + 1, None)?;
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
        Ok(at)
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

    /// Labels from behind the opening brace to behind the closing one. A quoted
    /// name among them becomes `metric`, if one may stand here.
    fn labels(
        &self,
        window: Window<'_>,
        first: usize,
        mut metric: Option<&mut Option<Piece>>,
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
                Piece::new(start, end, false)
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
                _ => return fail(ErrorKind::ExpectedEquals, at),
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

    /// A name in quotes at `at`.
    pub(super) fn quoted_name(&self, window: Window<'_>, at: usize) -> Result<Piece> {
        if self.rules.quoted == Quoted::Nowhere {
            return fail(ErrorKind::QuotedName, at);
        }
        let name = self.quoted(window, at)?;
        if name.start() == name.end() {
            return fail(ErrorKind::EmptyName, at);
        }
        Ok(name)
    }

    /// A text in quotes at `at`, found to be UTF-8.
    fn quoted(&self, window: Window<'_>, at: usize) -> Result<Piece> {
        let start = at + 1;
        let mut end = scan::quoted_end(window.0, start).at;
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
            return fail(ErrorKind::UnclosedQuote, at);
        }
        window.utf8(start, end)?;
        Ok(Piece::new(start, end, escaped))
    }

    /// Whether the names of labels that were read are allowed and distinct. What
    /// stands behind them is not looked at: `plain` doesn't, and what is wrong
    /// there is the same whichever way a sample went.
    fn check_names(&self, window: Window<'_>, first: usize, end: usize) -> Result<()> {
        let line = window.utf8(0, end)?;
        let mut labels = Labels::new(line, first as u32, &Places::UNKNOWN);
        let mut names = SmallVec::<[_; 8]>::new();
        while let Some((name, _)) = labels.search() {
            let text = name.of(line);
            if text == "__name__" || (text.starts_with("__") && !self.rules.reserved_labels) {
                return fail(ErrorKind::ReservedLabel, name.start());
            }
            names.push((text, name.start()));
        }
        names.sort_unstable();
        let twins = names.windows(2).filter(|two| two[0].0 == two[1].0);
        match twins.map(|two| two[1].1).min() {
            Some(start) => fail(ErrorKind::DuplicateLabel, start),
            None => Ok(()),
        }
    }
}

/// Blanks behind a value in text, perhaps with a timestamp among them.
fn text_tail(window: Window<'_>, at: usize, sample: &mut Sample<'_>) -> Result<usize> {
    let start = window.skip_blanks(at);
    let token_end = window.token_end(start);
    if start < token_end {
        let Some(millis) = number::parse_millis(&window.0[start..token_end]) else {
            return fail(ErrorKind::BadTimestamp, start);
        };
        sample.timestamp = Some(Timestamp::Millis(millis));
    }
    let end = window.skip_blanks(token_end);
    if window.peek(end) != b'\n' {
        return fail(ErrorKind::ExpectedEnd, end);
    }
    Ok(end)
}

/// No label's name begins at `at`.
fn no_label<T>(window: Window<'_>, at: usize) -> Result<T> {
    match window.peek(at) {
        b',' => fail(ErrorKind::TrailingComma, at),
        _ => fail(ErrorKind::BadLabelName, at),
    }
}
