//! The error of looking up or adding a series.

use std::fmt;

/// The reason why a family has no series with the given label values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SeriesError {
    /// The number of values differs from the number of the family's labels.
    LabelCount {
        /// The number of the family's labels.
        expected: usize,
        /// The number of values.
        found: usize,
    },
    /// The family has reached its cap. Refused series are counted in
    /// `stethoscope_series_refused_total{family="…"}`.
    Full {
        /// The cap.
        max_series: usize,
    },
    /// The label values are longer than 4 GiB together.
    TooLong,
    /// The name of a label of a mixed family is not a classic label name, or it is
    /// reserved.
    LabelName {
        /// The index of the label, counted from 0.
        index: usize,
    },
    /// A label of a mixed family is given twice.
    DuplicateLabel {
        /// The index of the second one, counted from 0.
        index: usize,
    },
    /// A series with these label values exists already.
    AlreadyExists,
    /// The cell to insert has other options than the family.
    OtherOptions,
}

impl fmt::Display for SeriesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LabelCount { expected, found } => {
                write!(f, "expected {expected} label values, found {found}")
            }
            Self::Full { max_series } => write!(
                f,
                "the family has reached its limit of {max_series} series: remove some, or raise \
                 the limit with max_series"
            ),
            Self::TooLong => f.write_str("the label values are longer than 4 GiB together"),
            Self::LabelName { index } => write!(
                f,
                "invalid name of label {index}: expected letters, digits and underscores, \
                 beginning with a letter or one underscore"
            ),
            Self::DuplicateLabel { index } => write!(
                f,
                "label {index} has the name of an earlier one: give each name once"
            ),
            Self::AlreadyExists => f.write_str(
                "a series with these label values exists already: remove it first, or use `with`",
            ),
            Self::OtherOptions => f.write_str(
                "the cell was made with other options than the family: make both with the same",
            ),
        }
    }
}

impl std::error::Error for SeriesError {}
