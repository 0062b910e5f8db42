//! Lines that begin with `#`: HELP, TYPE, UNIT, comments and EOF.

use super::error::ErrorKind;
use super::event::Event;
use super::lexer::Lexer;
use super::lookahead::{Lookahead, Result, fail};
use crate::MetricType;
use crate::exposition::escape::{Quotes, unescape_help};
use crate::exposition::scan;
use crate::name::begins_metric_name;
use std::borrow::Cow;
use std::str;

impl Lexer {
    /// Reads `# HELP name text`, `# TYPE name type`, or a comment.
    #[inline]
    pub(super) fn text_metadata<'a>(
        &self,
        window: Lookahead<'a>,
        hash: usize,
    ) -> Result<(Option<Event<'a, ()>>, usize)> {
        let Some((is_help, name)) = text_keyword(window, hash) else {
            let end = scan::line_end(window.0, hash);
            let text = &window.0[hash + 1..end];
            return Ok((Some(Event::Comment { text }), end));
        };
        let (name, at) = self.metadata_name(window, name)?;
        if !matches!(window.peek(at), b' ' | b'\t' | b'\n') {
            return fail(ErrorKind::BadNameCharacter, at);
        }
        if is_help {
            // One blank separates; further ones belong to the text, as the
            // Prometheus server reads it.
            let start = at + usize::from(window.peek(at) != b'\n');
            let (text, end) = self.help(window, start)?;
            return Ok((Some(Event::Help { name, text }), end));
        }
        let word = window.skip_blanks(at);
        let word_end = scan::label_name_end(window.0, word);
        let end = window.skip_blanks(word_end);
        match MetricType::from_type_word(&window.0[word..word_end], false) {
            Some(kind) if window.peek(end) == b'\n' => Ok((
                Some(Event::Type {
                    name,
                    metric_type: kind,
                }),
                end,
            )),
            _ => fail(ErrorKind::BadType, word),
        }
    }

    /// Reads `# HELP name text`, `# TYPE name type`, `# UNIT name unit` or `# EOF`.
    pub(super) fn openmetrics_metadata<'a>(
        &mut self,
        window: Lookahead<'a>,
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
        match window.peek(at) {
            b' ' => {}
            b'\t' | b'\n' => return fail(ErrorKind::ExpectedBlank, at),
            _ => return fail(ErrorKind::BadNameCharacter, at),
        }
        let start = at + 1;
        let (event, end) = match keyword[2] {
            b'H' => {
                let (text, end) = self.help(window, start)?;
                (Event::Help { name, text }, end)
            }
            b'T' => {
                let end = scan::line_end(window.0, start);
                match MetricType::from_type_word(&window.0[start..end], true) {
                    Some(kind) => (
                        Event::Type {
                            name,
                            metric_type: kind,
                        },
                        end,
                    ),
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
                let is_suffix = family.is_some_and(|family| family.ends_with('_'));
                // OpenMetrics 2.0 recommends the suffix.
                if !unit.is_empty() && !is_suffix && !self.rules.composite {
                    return fail(ErrorKind::UnitNotInName, start);
                }
                (Event::Unit { name, unit }, end)
            }
        };
        Ok((Some(event), end))
    }

    /// Reads the name in a metadata line and returns it with the position after it.
    #[allow(unsafe_code)]
    #[inline(always)]
    fn metadata_name<'a>(&self, window: Lookahead<'a>, at: usize) -> Result<(Cow<'a, str>, usize)> {
        if !begins_metric_name(window.peek(at)) {
            return self.quoted_metadata_name(window, at);
        }
        let end = scan::metric_name_end(window.0, at);
        // SAFETY: `metric_name_end` stops at the first byte outside `[a-zA-Z0-9_:]`.
        let name = unsafe { window.ascii_unchecked(at, end) };
        Ok((Cow::Borrowed(name), end))
    }

    #[cold]
    fn quoted_metadata_name<'a>(
        &self,
        window: Lookahead<'a>,
        at: usize,
    ) -> Result<(Cow<'a, str>, usize)> {
        if window.peek(at) != b'"' {
            return fail(ErrorKind::BadMetadataName, at);
        }
        let name = self.quoted_name(window, at)?;
        let line = window.utf8(0, name.end())?;
        Ok((name.unescaped(line), name.end() + 1))
    }

    /// Reads the text of a HELP line and returns it with the position of its
    /// newline.
    #[inline(always)]
    fn help<'a>(&self, window: Lookahead<'a>, start: usize) -> Result<(Cow<'a, str>, usize)> {
        let found = scan::help_end(window.0, start);
        if window.peek(found.at) == b'\\' {
            return self.escaped_help(window, start, found.at);
        }
        let text = window.utf8(start, found.at)?;
        Ok((Cow::Borrowed(text), found.at))
    }

    /// Continues [`help`](Self::help) at the first backslash, `at`.
    #[cold]
    fn escaped_help<'a>(
        &self,
        window: Lookahead<'a>,
        start: usize,
        mut at: usize,
    ) -> Result<(Cow<'a, str>, usize)> {
        while window.peek(at) == b'\\' {
            let known = match window.peek(at + 1) {
                b'\\' | b'n' => true,
                b'"' => self.rules.openmetrics,
                b'\n' if !self.rules.open_escape => return fail(ErrorKind::UnknownEscape, at),
                _ => false,
            };
            if !known && !self.rules.unknown_escapes {
                return fail(ErrorKind::UnknownEscape, at);
            }
            at = scan::help_end(window.0, at + 1 + usize::from(known)).at;
        }
        let raw = window.utf8(start, at)?;
        let quotes = match self.rules.openmetrics {
            true => Quotes::Escaped,
            false => Quotes::Literal,
        };
        Ok((unescape_help(raw, quotes), at))
    }
}

/// Reads the keyword after the `#`. Returns whether it is HELP (else TYPE) and the
/// start of the name, or `None` for a comment.
#[inline]
fn text_keyword(window: Lookahead<'_>, hash: usize) -> Option<(bool, usize)> {
    // The usual spelling.
    match window.0.get(hash..)?.first_chunk() {
        Some(b"# HELP ") if begins_metric_name(window.peek(hash + 7)) => {
            return Some((true, hash + 7));
        }
        Some(b"# TYPE ") if begins_metric_name(window.peek(hash + 7)) => {
            return Some((false, hash + 7));
        }
        _ => {}
    }
    let keyword = window.skip_blanks(hash + 1);
    let after = keyword + 4;
    let name = window.skip_blanks(after);
    let is_help = match window.0.get(keyword..after)? {
        b"HELP" => true,
        b"TYPE" => false,
        _ => return None,
    };
    let is_metadata = keyword > hash + 1 && name > after && window.peek(name) != b'\n';
    is_metadata.then_some((is_help, name))
}
