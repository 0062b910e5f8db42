//! Metric and label names: their rules, and how a page escapes them.
//!
//! Names are validated once, when a family is registered, by the rules of the
//! Prometheus data model. A scraper that only knows the *classic* alphabet
//! `[a-zA-Z_:][a-zA-Z0-9_:]*` gets other names in an escaping, see [`Escaping`].

mod characters;
pub(crate) mod escaping;

#[cfg(feature = "parse")]
pub(crate) use characters::begins_metric_name;
pub(crate) use characters::{is_in_label_name, is_in_metric_name, is_unit};
pub(crate) use escaping::{Escaping, written_label_name, written_metric_name};
pub use escaping::{escape_label_name, escape_name, unescape_name};

use characters::Alphabet;
use std::fmt;

/// The names that a registry accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameRules {
    /// `[a-zA-Z_:][a-zA-Z0-9_:]*` for metrics, and the same without the colon for
    /// labels. Every reader understands them.
    #[default]
    Classic,
    /// Any UTF-8 that is not empty. Readers that do not support such names get them
    /// escaped, as negotiated.
    Utf8,
}

/// The fault of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// The name is empty.
    Empty,
    /// The name contains a character that a classic name cannot have at this
    /// place.
    Character {
        /// The character.
        found: char,
        /// Its byte offset in the name.
        at: usize,
    },
    /// The name is reserved by the format or by the server.
    Reserved,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a name cannot be empty"),
            Self::Character { found, at } => write!(
                f,
                "invalid character {found:?} at byte {at} of the name: expected letters, digits \
                 and underscores, not beginning with a digit (or allow UTF-8 names)"
            ),
            Self::Reserved => f.write_str("the name is reserved: choose another"),
        }
    }
}

impl std::error::Error for NameError {}

/// Returns true if every reader accepts `name` as a metric name.
#[must_use]
pub fn is_classic_metric_name(name: &str) -> bool {
    check_classic(name, Alphabet::Metric).is_ok()
}

/// Returns true if every reader accepts `name` as a label name.
#[must_use]
pub fn is_classic_label_name(name: &str) -> bool {
    check_classic(name, Alphabet::Label).is_ok()
}

/// Checks the name of a metric.
///
/// # Errors
/// If the rules do not allow the name.
pub fn check_metric_name(name: &str, rules: NameRules) -> Result<(), NameError> {
    check(name, rules, Alphabet::Metric)
}

/// Checks the name of a label. Names that begin with `__` are reserved by the
/// server.
///
/// # Errors
/// If the rules do not allow the name, or it is reserved.
pub fn check_label_name(name: &str, rules: NameRules) -> Result<(), NameError> {
    if name.starts_with("__") {
        return Err(NameError::Reserved);
    }
    check(name, rules, Alphabet::Label)
}

fn check(name: &str, rules: NameRules, alphabet: Alphabet) -> Result<(), NameError> {
    match rules {
        NameRules::Classic => check_classic(name, alphabet),
        NameRules::Utf8 if name.is_empty() => Err(NameError::Empty),
        NameRules::Utf8 => Ok(()),
    }
}

fn check_classic(name: &str, alphabet: Alphabet) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    let mut characters = name.char_indices();
    match characters.find(|(at, character)| !alphabet.contains(*character, *at == 0)) {
        Some((at, found)) => Err(NameError::Character { found, at }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classic_names_are_letters_digits_and_underscores() {
        for name in ["a", "_", "A9", "dask_worker_tasks", "a__b"] {
            assert_eq!(
                check_metric_name(name, NameRules::Classic),
                Ok(()),
                "{name}"
            );
            assert!(is_classic_label_name(name), "{name}");
        }
        assert!(is_classic_metric_name("job:rate5m"));
        assert!(!is_classic_label_name("job:rate5m"));
    }

    #[test]
    fn invalid_name_is_refused_with_the_position() {
        let refused = |name| check_metric_name(name, NameRules::Classic).unwrap_err();
        assert_eq!(refused(""), NameError::Empty);
        assert_eq!(refused("9a"), NameError::Character { found: '9', at: 0 });
        assert_eq!(refused("aé"), NameError::Character { found: 'é', at: 1 });
        assert_eq!(refused("a b"), NameError::Character { found: ' ', at: 1 });
        assert_eq!(refused("a\n"), NameError::Character { found: '\n', at: 1 });
    }

    #[test]
    fn utf8_names_are_accepted_on_request_only() {
        assert!(check_metric_name("http.größe", NameRules::Utf8).is_ok());
        assert!(check_metric_name("http.größe", NameRules::Classic).is_err());
        assert_eq!(
            check_metric_name("", NameRules::Utf8),
            Err(NameError::Empty)
        );
    }

    #[test]
    fn label_names_with_two_leading_underscores_are_reserved() {
        for rules in [NameRules::Classic, NameRules::Utf8] {
            assert_eq!(
                check_label_name("__name__", rules),
                Err(NameError::Reserved)
            );
            assert_eq!(check_label_name("_name", rules), Ok(()));
        }
    }
}
