//! Escaping of names for readers that only know the classic alphabet
//! `[a-zA-Z_:][a-zA-Z0-9_:]*`, and the reverse.
//!
//! A page is written in one [`Escaping`]: names that need it go through
//! [`escape_name`] or [`escape_label_name`] once, when their line is laid out.
//! [`unescape_name`] is the reverse: exact for [`Escaping::Values`], approximate for
//! [`Escaping::Dots`], and the identity for the others.
//!
//! Two differences from the client library for Go: the alphabet of label names has
//! no colon, and `a__dot__b` is `a_dot_b` escaped with dots.
//!
//! Different names may be escaped to the same one (`a.b` and `a_b` by
//! [`Escaping::Underscores`]). A registry refuses the second of them.

use super::characters::Alphabet;
use super::{is_classic_label_name, is_classic_metric_name};
use std::borrow::Cow;
use std::fmt::Write as _;

/// A scheme for writing names that are not `[a-zA-Z_:][a-zA-Z0-9_:]*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Escaping {
    /// Every other character becomes an underscore.
    #[default]
    Underscores,
    /// Names are not changed, but quoted if necessary.
    AllowUtf8,
    /// `.` becomes `_dot_`, `_` becomes `__`, every other character `__`.
    Dots,
    /// The name is prefixed with `U__`; `_` becomes `__`, every other character
    /// `_hex_`.
    Values,
}

impl Escaping {
    /// Every scheme.
    pub(crate) const ALL: [Self; 4] =
        [Self::Underscores, Self::AllowUtf8, Self::Dots, Self::Values];
}

/// The prefix of a name that [`Escaping::Values`] has escaped.
const VALUES_PREFIX: &str = "U__";
/// The length of the greatest code point in hexadecimal, `10ffff`.
const MAX_HEX_DIGITS: usize = 6;

/// Escapes a metric name.
///
/// The result is in the classic alphabet `[a-zA-Z_:][a-zA-Z0-9_:]*`, except for
/// [`Escaping::AllowUtf8`], which does not change names. A name that needs no change
/// is borrowed.
///
/// ```
/// use stethoscope::{exposition::Escaping, name::escape_name};
/// assert_eq!(escape_name("http.status", Escaping::Underscores), "http_status");
/// assert_eq!(escape_name("http.status", Escaping::Dots), "http_dot_status");
/// assert_eq!(escape_name("http.status", Escaping::Values), "U__http_2e_status");
/// assert_eq!(escape_name("http.status", Escaping::AllowUtf8), "http.status");
/// ```
pub fn escape_name(name: &str, escaping: Escaping) -> Cow<'_, str> {
    escape(name, escaping, Alphabet::Metric)
}

/// Escapes a label name: like [`escape_name`], but the classic alphabet of label
/// names has no colon.
///
/// ```
/// use stethoscope::{exposition::Escaping, name::escape_label_name};
/// assert_eq!(escape_label_name("zone:a", Escaping::Underscores), "zone_a");
/// ```
pub fn escape_label_name(name: &str, escaping: Escaping) -> Cow<'_, str> {
    escape(name, escaping, Alphabet::Label)
}

/// Returns a metric's name as pages in this escaping show it: classic names are
/// not changed.
pub(crate) fn written_metric_name(name: &str, escaping: Escaping) -> Cow<'_, str> {
    match is_classic_metric_name(name) {
        true => Cow::Borrowed(name),
        false => escape_name(name, escaping),
    }
}

/// Returns a label's name as pages in this escaping show it: classic names are not
/// changed. If the escaped name began with two underscores, which readers reserve, it
/// begins with one.
pub(crate) fn written_label_name(name: &str, escaping: Escaping) -> Cow<'_, str> {
    if is_classic_label_name(name) {
        return Cow::Borrowed(name);
    }
    let escaped = escape_label_name(name, escaping);
    match escaped.starts_with("__") {
        true => Cow::Owned(format!("_{}", escaped.trim_start_matches('_'))),
        false => escaped,
    }
}

/// Unescapes a name.
///
/// [`Escaping::Values`] is exact; a name that is not in that scheme, or violates its
/// rules anywhere, is returned unchanged. [`Escaping::Dots`] restores underscores and
/// dots; other characters remain the underscores that they became. The other schemes
/// cannot be reversed, and return the name unchanged.
///
/// ```
/// use stethoscope::{exposition::Escaping, name::unescape_name};
/// assert_eq!(unescape_name("U__a_2e_b", Escaping::Values), "a.b");
/// assert_eq!(unescape_name("U__a_2e", Escaping::Values), "U__a_2e");
/// assert_eq!(unescape_name("a_dot_b__total", Escaping::Dots), "a.b_total");
/// ```
pub fn unescape_name(name: &str, escaping: Escaping) -> Cow<'_, str> {
    match escaping {
        Escaping::Underscores | Escaping::AllowUtf8 => Cow::Borrowed(name),
        Escaping::Dots if name.contains('_') => Cow::Owned(unescape_dots(name)),
        Escaping::Dots => Cow::Borrowed(name),
        Escaping::Values => match name.strip_prefix(VALUES_PREFIX).and_then(unescape_values) {
            Some(plain) => Cow::Owned(plain),
            None => Cow::Borrowed(name),
        },
    }
}

fn escape(name: &str, escaping: Escaping, alphabet: Alphabet) -> Cow<'_, str> {
    let is_unchanged = match escaping {
        Escaping::AllowUtf8 => true,
        // This scheme doubles underscores, to distinguish them from others.
        Escaping::Dots => name.is_empty(),
        Escaping::Underscores | Escaping::Values => name
            .char_indices()
            .all(|(at, character)| alphabet.contains(character, at == 0)),
    };
    if is_unchanged {
        return Cow::Borrowed(name);
    }

    let mut escaped = String::with_capacity(name.len() * 2 + VALUES_PREFIX.len());
    if escaping == Escaping::Values {
        escaped.push_str(VALUES_PREFIX);
    }
    for (at, character) in name.char_indices() {
        match (escaping, character) {
            (Escaping::Dots | Escaping::Values, '_') => escaped.push_str("__"),
            (Escaping::Dots, '.') => escaped.push_str("_dot_"),
            (_, character) if alphabet.contains(character, at == 0) => escaped.push(character),
            (Escaping::Dots, _) => escaped.push_str("__"),
            (Escaping::Values, character) => {
                write!(escaped, "_{:x}_", u32::from(character))
                    .expect("writing to a String cannot fail");
            }
            (_, _) => escaped.push('_'),
        }
    }
    Cow::Owned(escaped)
}

/// Unescapes from left to right: replacing every `_dot_` first would find one in
/// the middle of `a__dot__b`, which is `a_dot_b`.
fn unescape_dots(escaped: &str) -> String {
    let mut plain = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.find('_') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let (character, len) = match rest {
            _ if rest.starts_with("__") => ('_', "__".len()),
            _ if rest.starts_with("_dot_") => ('.', "_dot_".len()),
            _ => ('_', "_".len()),
        };
        plain.push(character);
        rest = &rest[len..];
    }
    plain.push_str(rest);
    plain
}

/// Unescapes the part of a name after `U__`. Returns `None` if it violates the rules:
/// a character outside the classic alphabet, an unclosed `_`, a number that is not a
/// code point, too many digits.
fn unescape_values(escaped: &str) -> Option<String> {
    let mut plain = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(character) = rest.chars().next() {
        if character != '_' {
            if !Alphabet::Metric.contains(character, false) {
                return None;
            }
            plain.push(character);
            rest = &rest[1..];
            continue;
        }
        let (digits, after) = rest[1..].split_once('_')?;
        if digits.is_empty() {
            plain.push('_');
        } else if digits.len() <= MAX_HEX_DIGITS && digits.bytes().all(|d| d.is_ascii_hexdigit()) {
            plain.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
        } else {
            return None;
        }
        rest = after;
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLASSIC_SCHEMES: [Escaping; 3] =
        [Escaping::Underscores, Escaping::Dots, Escaping::Values];

    fn is_classic(name: &str) -> bool {
        name.char_indices()
            .all(|(at, character)| Alphabet::Metric.contains(character, at == 0))
    }

    #[test]
    fn classic_name_is_escaped_only_by_dots() {
        for name in ["a", "_a9", "node:cpu:rate5m", "http_requests_total"] {
            assert_eq!(escape_name(name, Escaping::Underscores), name);
            assert_eq!(escape_name(name, Escaping::Values), name);
        }
        assert_eq!(escape_name("a_total", Escaping::Dots), "a__total");
    }

    #[test]
    fn other_characters_are_escaped_by_each_scheme() {
        let cases = [
            (
                "queue.depth_max",
                "queue_depth_max",
                "queue_dot_depth__max",
                "U__queue_2e_depth__max",
            ),
            ("3rd", "_rd", "__rd", "U___33_rd"),
            ("größe", "gr__e", "gr____e", "U__gr_f6__df_e"),
            ("a b", "a_b", "a__b", "U__a_20_b"),
            ("🩺", "_", "__", "U___1fa7a_"),
        ];
        for (name, underscores, dots, values) in cases {
            assert_eq!(escape_name(name, Escaping::Underscores), underscores);
            assert_eq!(escape_name(name, Escaping::Dots), dots);
            assert_eq!(escape_name(name, Escaping::Values), values);
            assert_eq!(escape_name(name, Escaping::AllowUtf8), name);
        }
    }

    #[test]
    fn colon_is_escaped_in_label_names_only() {
        assert_eq!(escape_name("a:b", Escaping::Values), "a:b");
        assert_eq!(escape_label_name("a:b", Escaping::Values), "U__a_3a_b");
        assert_eq!(escape_label_name("a:b", Escaping::Dots), "a__b");
        assert_eq!(escape_label_name("a_b", Escaping::Underscores), "a_b");
    }

    #[test]
    fn name_that_violates_the_rules_of_values_is_not_unescaped() {
        for name in [
            "plain_name",
            "U_a_2e_b",
            "U__open_2e",
            "U__lone_",
            "U__not hex_20_",
            "U__surrogate_d800_",
            "U__too_large_110000_",
            "U__leading_zeros_000002e_",
            "U__sign_+2e_",
            "U__é",
        ] {
            assert_eq!(unescape_name(name, Escaping::Values), name);
        }
        assert_eq!(
            unescape_name("U__UPPER_2E_case", Escaping::Values),
            "UPPER.case"
        );
    }

    proptest! {
        #[test]
        fn escaped_name_is_classic_and_values_can_be_unescaped(name in "\\PC{1,12}") {
            for escaping in CLASSIC_SCHEMES {
                prop_assert!(is_classic(&escape_name(&name, escaping)));
            }
            // A classic name that looks escaped is not marked as plain by the scheme.
            prop_assume!(!(is_classic(&name) && name.starts_with(VALUES_PREFIX)));
            let escaped = escape_name(&name, Escaping::Values);
            let back = unescape_name(&escaped, Escaping::Values);
            prop_assert_eq!(back.as_ref(), name.as_str());
        }

        #[test]
        fn dots_can_be_unescaped_if_all_other_characters_are_classic(name in "[a-zA-Z]{1,4}([._]{1,3}(dot|[a-z0-9:]{0,3})){0,4}") {
            let escaped = escape_name(&name, Escaping::Dots);
            let back = unescape_name(&escaped, Escaping::Dots);
            prop_assert_eq!(back.as_ref(), name.as_str());
        }

        #[test]
        fn unescaping_never_panics(name in "\\PC{0,24}") {
            unescape_name(&name, Escaping::Values);
            unescape_name(&name, Escaping::Dots);
        }
    }
}
