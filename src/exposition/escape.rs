//! Escaping and unescaping of label values, quoted names and HELP texts.
//!
//! | character | label value, quoted name | HELP, OpenMetrics | HELP, text |
//! |---|---|---|---|
//! | `\` | `\\` | `\\` | `\\` |
//! | newline | `\n` | `\n` | `\n` |
//! | `"` | `\"` | `\"` | as it is |
//!
//! Escaping then unescaping gives the text back. Unescaping keeps a `\` before
//! any other character, or at the end, as it is: no writer of the formats writes
//! one, and the parser decides whether to accept it.

use super::scan::{Found, help_end, quoted_end};
use std::borrow::Cow;

/// Treatment of double quotes in a HELP text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Quotes {
    /// Written as `\"`, as OpenMetrics requires.
    Escaped,
    /// Written as they are, as the text formats require.
    Literal,
}

/// Appends a label value or a name, escaped, without its quotes.
pub fn escape_label(value: &str, into: &mut Vec<u8>) {
    escape(value.as_bytes(), quoted_end, into);
}

/// Appends a label value or a name in quotes.
pub fn quote(value: &str, into: &mut Vec<u8>) {
    quote_bytes(value.as_bytes(), into);
}

/// Like [`quote`], of bytes that are known to be UTF-8.
pub(super) fn quote_bytes(value: &[u8], into: &mut Vec<u8>) {
    into.push(b'"');
    escape(value, quoted_end, into);
    into.push(b'"');
}

/// Unescapes a label value or a name that stood between quotes. Copies only
/// where there is something to unescape.
///
/// ```
/// use stethoscope::exposition::escape::{escape_label, unescape_label};
///
/// let mut escaped = Vec::new();
/// escape_label("a \"b\"\n", &mut escaped);
/// assert_eq!(escaped, br#"a \"b\"\n"#);
/// assert_eq!(unescape_label(r#"a \"b\"\n"#), "a \"b\"\n");
/// ```
pub fn unescape_label(escaped: &str) -> Cow<'_, str> {
    unescape(escaped, Quotes::Escaped)
}

/// Appends a HELP text, escaped.
pub fn escape_help(help: &str, quotes: Quotes, into: &mut Vec<u8>) {
    match quotes {
        Quotes::Escaped => escape(help.as_bytes(), quoted_end, into),
        Quotes::Literal => escape(help.as_bytes(), help_end, into),
    }
}

/// Unescapes a HELP text. Copies only where there is something to unescape.
pub fn unescape_help(escaped: &str, quotes: Quotes) -> Cow<'_, str> {
    unescape(escaped, quotes)
}

#[inline]
fn escape(text: &[u8], find: impl Fn(&[u8], usize) -> Found, into: &mut Vec<u8>) {
    let mut from = 0;
    loop {
        let at = find(text, from).at;
        into.extend_from_slice(&text[from..at]);
        match text.get(at) {
            None => return,
            Some(b'\n') => into.extend_from_slice(b"\\n"),
            Some(&special) => into.extend_from_slice(&[b'\\', special]),
        }
        from = at + 1;
    }
}

fn unescape(escaped: &str, quotes: Quotes) -> Cow<'_, str> {
    let Some((before, mut rest)) = escaped.split_once('\\') else {
        return Cow::Borrowed(escaped);
    };
    let mut text = String::with_capacity(escaped.len());
    text.push_str(before);
    loop {
        // `rest` follows a backslash.
        let (character, known) = match rest.as_bytes().first() {
            Some(b'\\') => ('\\', true),
            Some(b'n') => ('\n', true),
            Some(b'"') if quotes == Quotes::Escaped => ('"', true),
            _ => ('\\', false),
        };
        text.push(character);
        rest = &rest[usize::from(known)..];
        match rest.split_once('\\') {
            Some((before, after)) => {
                text.push_str(before);
                rest = after;
            }
            None => {
                text.push_str(rest);
                return Cow::Owned(text);
            }
        }
    }
}
