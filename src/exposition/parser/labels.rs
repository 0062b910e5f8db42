//! The labels of a sample, found again on its line: by the places that the lexer
//! left of those that it read the short way, by searching for the others.

#![allow(unsafe_code)] // one conversion, in `ascii`

use crate::exposition::escape::unescape_label;
use crate::exposition::scan;
use std::borrow::Cow;
use std::fmt;

/// A label of a sample or an exemplar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label<'a> {
    /// The name.
    pub name: Cow<'a, str>,
    /// The value, unescaped.
    pub value: Cow<'a, str>,
}

/// The labels of a sample or an exemplar, in their order on the page.
#[derive(Clone)]
pub struct Labels<'a, 's> {
    line: &'a str,
    /// Behind the brace, a comma or a label; where a label begins as long as
    /// the ends of the next one are known.
    at: usize,
    next: u8,
    places: &'s Places,
}

impl<'a, 's> Labels<'a, 's> {
    #[inline]
    pub(super) fn new(line: &'a str, at: u32, places: &'s Places) -> Self {
        let at = if at == 0 { line.len() } else { at as usize };
        let next = 0;
        Self {
            line,
            at,
            next,
            places,
        }
    }

    /// The next label, if its ends are known: its name and `name="value`, as
    /// they are written.
    #[inline]
    pub(in crate::exposition) fn next_known(&mut self) -> Option<(&'a str, &'a str)> {
        if self.next >= self.places.known {
            return None;
        }
        let ends = self.places.ends[usize::from(self.next & 7)];
        let (name_end, value_end) = (ends.name(), ends.value());
        let name = ascii(self.line, self.at, name_end);
        let written = ascii(self.line, self.at, value_end);
        self.next += 1;
        // Behind the quote and the comma.
        self.at = value_end + 2;
        Some((name, written))
    }

    /// The place behind the closing brace.
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
            name: name.of(self.line),
            value: value.of(self.line),
        })
    }

    /// The next label, wherever it is.
    #[inline(never)]
    pub(super) fn search(&mut self) -> Option<(Piece, Piece)> {
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
                    (Piece::new(start, end, false), end)
                }
            };
            let equals = self.skip_blanks(end);
            if self.peek(equals) != b'=' {
                // The name of the metric, in quotes among its labels.
                self.at = equals;
                continue;
            }
            let value = self.quoted(self.skip_blanks(equals + 1));
            self.at = value.end() + 1;
            return Some((name, value));
        }
    }

    /// The text in quotes at `at`.
    fn quoted(&self, at: usize) -> Piece {
        let bytes = self.line.as_bytes();
        let start = at + 1;
        let mut end = scan::quoted_end(bytes, start).at;
        let escaped = self.peek(end) == b'\\';
        while self.peek(end) == b'\\' {
            // Whatever the escape, its next byte ends nothing.
            end = scan::quoted_end(bytes, end + 2).at;
        }
        Piece::new(start, end, escaped)
    }
}

impl<'a> Iterator for Labels<'a, '_> {
    type Item = Label<'a>;

    #[inline(always)] // so that nobody has to ask whether a borrowed text is owned
    fn next(&mut self) -> Option<Label<'a>> {
        if let Some((name, written)) = self.next_known() {
            return Some(Label {
                name: Cow::Borrowed(name),
                value: Cow::Borrowed(ascii(written, name.len() + 2, written.len())),
            });
        }
        if self.places.all {
            return None;
        }
        self.search_label()
    }
}

/// A part of a text that is known to be ASCII there.
#[inline]
fn ascii(text: &str, start: usize, end: usize) -> &str {
    let bytes = &text.as_bytes()[start..end];
    debug_assert!(bytes.is_ascii());
    // SAFETY: places are known of labels that `plain` read on this very line, and
    // found to be ASCII to their last byte.
    unsafe { std::str::from_utf8_unchecked(bytes) }
}

impl std::iter::FusedIterator for Labels<'_, '_> {}

impl PartialEq for Labels<'_, '_> {
    /// Whether both have the same labels in the same order, however written.
    fn eq(&self, other: &Self) -> bool {
        self.clone().eq(other.clone())
    }
}

impl fmt::Debug for Labels<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.clone().map(|label| (label.name, label.value));
        f.debug_map().entries(labels).finish()
    }
}

/// Where the labels of a sample end that went the short way: they need not be
/// searched again.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub(super) known: u8,
    /// Whether the labels whose ends are known are all.
    pub(super) all: bool,
    pub(super) ends: [Ends; 8],
}

/// Where a label's name ends, and its value before the quote: two places in one
/// word, which is stored and loaded as a whole.
#[derive(Clone, Copy)]
pub(super) struct Ends(u32);

impl Ends {
    /// None of a line that is too long for it.
    #[inline]
    pub(super) fn new(name: usize, value: usize) -> Option<Self> {
        // The value ends behind the name.
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

impl Places {
    pub(super) const UNKNOWN: Self = Self {
        known: 0,
        all: false,
        ends: [Ends(0); 8],
    };
}

/// A text of a line, unescaped if it must be.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    // No line is longer than that.
    start: u32,
    end: u32,
    escaped: bool,
}

impl Piece {
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

    /// The text as it is written.
    #[inline]
    pub(super) fn written(self, line: &str) -> &str {
        &line[self.start()..self.end()]
    }

    #[inline]
    pub(super) fn of(self, line: &str) -> Cow<'_, str> {
        let written = self.written(line);
        if self.escaped {
            unescape_label(written)
        } else {
            Cow::Borrowed(written)
        }
    }
}
