//! The labels of a sample, found again on its line.
//!
//! The fast path leaves the positions of the labels that it read; all other
//! labels are searched on the line, which the lexer has found to be well-formed.

use crate::exposition::escape::unescape_label;
use crate::exposition::scan;
use std::borrow::Cow;
use std::fmt;

/// A label of a sample or an exemplar.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Label<'a> {
    /// The name.
    pub name: Cow<'a, str>,
    /// The value, unescaped.
    pub value: Cow<'a, str>,
}

/// An iterator over the labels of a sample or an exemplar, in their order on the
/// page.
#[derive(Clone)]
pub struct ParsedLabels<'a, 's> {
    line: &'a str,
    /// The start of the next label if its end is known; else a byte after the
    /// opening brace, a comma or a label.
    at: usize,
    next: u8,
    spans: &'s LabelSpans,
}

impl<'a, 's> ParsedLabels<'a, 's> {
    #[inline]
    pub(super) fn new(line: &'a str, at: u32, spans: &'s LabelSpans) -> Self {
        let at = if at == 0 { line.len() } else { at as usize };
        let next = 0;
        Self {
            line,
            at,
            next,
            spans,
        }
    }

    /// Creates an iterator over the labels that begin at byte `at` of a well-formed
    /// text.
    pub(in crate::exposition) fn searched(line: &'a str, at: u32) -> Self {
        Self::new(line, at.min(line.len() as u32), &LabelSpans::UNKNOWN)
    }

    /// Returns the next label if its position is known: its name and
    /// `name="value`, as they are written.
    #[inline(always)]
    pub(in crate::exposition) fn next_known(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let (start, end) = self.next_end()?;
        let line = self.line.as_bytes();
        Some((&line[start..end.name()], &line[start..end.value()]))
    }

    /// Returns the start and the end of the next label if its position is known.
    #[inline(always)]
    fn next_end(&mut self) -> Option<(usize, LabelEnd)> {
        if self.next >= self.spans.known {
            return None;
        }
        let end = self.spans.ends[usize::from(self.next & 7)];
        let start = self.at;
        self.next += 1;
        // After the quote and the comma.
        self.at = end.value() + 2;
        Some((start, end))
    }

    /// Returns the position after the closing brace.
    pub(super) fn end(mut self) -> usize {
        while self.search().is_some() {}
        self.at + 1
    }

    /// The byte at `at`; at the end, a closing brace.
    #[inline]
    fn peek(&self, at: usize) -> u8 {
        self.line.as_bytes().get(at).copied().unwrap_or(b'}')
    }

    #[inline]
    fn skip_blanks(&self, mut at: usize) -> usize {
        while matches!(self.peek(at), b' ' | b'\t') {
            at += 1;
        }
        at
    }

    #[inline(never)]
    fn search_label(&mut self) -> Option<Label<'a>> {
        let (name, value) = self.search()?;
        Some(Label {
            name: name.unescaped(self.line),
            value: value.unescaped(self.line),
        })
    }

    /// Searches the line for the next label and returns its name and value.
    #[inline(never)]
    pub(super) fn search(&mut self) -> Option<(Span, Span)> {
        loop {
            while matches!(self.peek(self.at), b',' | b' ' | b'\t') {
                self.at += 1;
            }
            let start = self.at;
            let (name, end) = match self.peek(start) {
                b'}' => return None,
                b'"' => {
                    let name = self.quoted(start);
                    (name, name.end() + 1)
                }
                _ => {
                    let end = scan::label_name_end(self.line.as_bytes(), start);
                    (Span::new(start, end, false), end)
                }
            };
            let equals = self.skip_blanks(end);
            if self.peek(equals) != b'=' {
                // The metric's name, quoted among its labels.
                self.at = equals;
                continue;
            }
            let value = self.quoted(self.skip_blanks(equals + 1));
            self.at = value.end() + 1;
            return Some((name, value));
        }
    }

    /// The quoted text at `at`.
    fn quoted(&self, at: usize) -> Span {
        let bytes = self.line.as_bytes();
        let start = at + 1;
        let mut end = scan::quoted_end(bytes, start).at;
        let escaped = self.peek(end) == b'\\';
        while self.peek(end) == b'\\' {
            // The byte after a backslash never ends the text.
            end = scan::quoted_end(bytes, end + 2).at;
        }
        Span::new(start, end, escaped)
    }
}

impl<'a> Iterator for ParsedLabels<'a, '_> {
    type Item = Label<'a>;

    #[inline(always)] // so that callers see that the known labels are borrowed
    fn next(&mut self) -> Option<Label<'a>> {
        if let Some((start, end)) = self.next_end() {
            return Some(Label {
                name: Cow::Borrowed(&self.line[start..end.name()]),
                value: Cow::Borrowed(&self.line[end.name() + 2..end.value()]),
            });
        }
        if self.spans.all {
            return None;
        }
        self.search_label()
    }
}

impl std::iter::FusedIterator for ParsedLabels<'_, '_> {}

impl PartialEq for ParsedLabels<'_, '_> {
    /// Compares the labels in their order, however they are written.
    fn eq(&self, other: &Self) -> bool {
        self.clone().eq(other.clone())
    }
}

impl fmt::Debug for ParsedLabels<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.clone().map(|label| (label.name, label.value));
        f.debug_map().entries(labels).finish()
    }
}

/// The positions of labels that the fast path read, so that they need not be
/// searched again. They are of the line of the sample that holds them.
#[derive(Clone, Copy)]
pub(super) struct LabelSpans {
    pub(super) known: u8,
    /// True if the sample has no label beside the `known` ones.
    pub(super) all: bool,
    pub(super) ends: [LabelEnd; 8],
}

/// The end of a label's name and the end of its value, before the quote. Both are
/// in one word, which is stored and loaded as a whole.
#[derive(Clone, Copy)]
pub(super) struct LabelEnd(u32);

impl LabelEnd {
    /// Returns `None` if the line is too long for it.
    #[inline]
    pub(super) fn new(name: usize, value: usize) -> Option<Self> {
        // The value ends after the name.
        let value = u16::try_from(value).ok()?;
        Some(Self(u32::from(value) << 16 | name as u32))
    }

    #[inline]
    pub(super) fn name(self) -> usize {
        (self.0 & 0xffff) as usize
    }

    #[inline]
    pub(super) fn value(self) -> usize {
        (self.0 >> 16) as usize
    }
}

impl LabelSpans {
    pub(super) const UNKNOWN: Self = Self {
        known: 0,
        all: false,
        ends: [LabelEnd(0); 8],
    };
}

/// A part of a line, and whether it has escapes.
#[derive(Clone, Copy)]
pub(super) struct Span {
    // `LONGEST_LINE` fits.
    start: u32,
    end: u32,
    escaped: bool,
}

impl Span {
    pub(super) const EMPTY: Self = Self {
        start: 0,
        end: 0,
        escaped: false,
    };

    #[inline]
    pub(super) fn new(start: usize, end: usize, escaped: bool) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
            escaped,
        }
    }

    #[inline]
    pub(super) fn start(self) -> usize {
        self.start as usize
    }

    #[inline]
    pub(super) fn end(self) -> usize {
        self.end as usize
    }

    /// Returns the text as it is written.
    #[inline]
    pub(super) fn written(self, line: &str) -> &str {
        &line[self.start()..self.end()]
    }

    #[inline]
    pub(super) fn unescaped(self, line: &str) -> Cow<'_, str> {
        let written = self.written(line);
        if self.escaped {
            unescape_label(written)
        } else {
            Cow::Borrowed(written)
        }
    }
}
