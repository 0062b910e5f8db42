//! Metric and label names, validated once by the rules of the Prometheus data
//! model. Everything behind registration may rely on them. How a reader gets
//! those that it could not take is [`scheme`]'s business.

pub mod scheme;

use std::fmt;

/// Which names a registry takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NameRules {
    /// `[a-zA-Z_:][a-zA-Z0-9_:]*` for metrics, without the colon for labels:
    /// what every reader understands.
    #[default]
    Classic,
    /// Any non-empty UTF-8. Readers that cannot take such names get them
    /// escaped, as negotiated.
    Utf8,
}

/// What is wrong with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// The name has no characters.
    Empty,
    /// A character that has no place in a classic name, and its byte offset.
    Character {
        /// The character.
        found: char,
        /// Its byte offset in the name.
        at: usize,
    },
    /// The name is one that the format or the server keeps for itself.
    Reserved,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a name can't be empty"),
            Self::Character { found, at } => write!(
                f,
                "{found:?} at byte {at} can't be in a name: use letters, digits and underscores, \
                 not beginning with a digit, or allow UTF-8 names"
            ),
            Self::Reserved => f.write_str("this name is reserved, choose another"),
        }
    }
}

impl std::error::Error for NameError {}

/// Whether every reader takes `name` as a metric name.
pub fn is_classic_metric_name(name: &str) -> bool {
    check_classic(name, true).is_ok()
}

/// Whether every reader takes `name` as a label name.
pub fn is_classic_label_name(name: &str) -> bool {
    check_classic(name, false).is_ok()
}

/// Checks the name of a metric.
pub fn check_metric_name(name: &str, rules: NameRules) -> Result<(), NameError> {
    match rules {
        NameRules::Classic => check_classic(name, true),
        NameRules::Utf8 if name.is_empty() => Err(NameError::Empty),
        NameRules::Utf8 => Ok(()),
    }
}

/// Checks the name of a label. Names that begin with `__` belong to the server.
pub fn check_label_name(name: &str, rules: NameRules) -> Result<(), NameError> {
    if name.starts_with("__") {
        return Err(NameError::Reserved);
    }
    match rules {
        NameRules::Classic => check_classic(name, false),
        NameRules::Utf8 if name.is_empty() => Err(NameError::Empty),
        NameRules::Utf8 => Ok(()),
    }
}

fn check_classic(name: &str, colon: bool) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    for (at, found) in name.char_indices() {
        let fits = found.is_ascii_alphabetic()
            || found == '_'
            || (colon && found == ':')
            || (at > 0 && found.is_ascii_digit());
        if !fits {
            return Err(NameError::Character { found, at });
        }
    }
    Ok(())
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
    fn a_bad_name_is_refused_with_its_place() {
        let refused = |name| check_metric_name(name, NameRules::Classic).unwrap_err();
        assert_eq!(refused(""), NameError::Empty);
        assert_eq!(refused("9a"), NameError::Character { found: '9', at: 0 });
        assert_eq!(refused("aé"), NameError::Character { found: 'é', at: 1 });
        assert_eq!(refused("a b"), NameError::Character { found: ' ', at: 1 });
        assert_eq!(refused("a\n"), NameError::Character { found: '\n', at: 1 });
    }

    #[test]
    fn utf8_names_are_taken_on_request_only() {
        assert!(check_metric_name("http.größe", NameRules::Utf8).is_ok());
        assert!(check_metric_name("http.größe", NameRules::Classic).is_err());
        assert_eq!(
            check_metric_name("", NameRules::Utf8),
            Err(NameError::Empty)
        );
    }

    #[test]
    fn labels_of_the_server_are_reserved() {
        for rules in [NameRules::Classic, NameRules::Utf8] {
            assert_eq!(
                check_label_name("__name__", rules),
                Err(NameError::Reserved)
            );
            assert_eq!(check_label_name("_name", rules), Ok(()));
        }
    }
}
