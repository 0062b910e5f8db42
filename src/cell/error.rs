//! What can be wrong with the options a cell is made with.

use std::fmt;

/// Why options were refused: what is wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum OptionsError {
    /// A bucket bound is NaN or infinite.
    BoundNotFinite {
        /// Position of the bound, from 0.
        index: usize,
    },
    /// A bucket bound is not greater than the one before it.
    BoundNotAscending {
        /// Position of the bound, from 0.
        index: usize,
    },
    /// Linear or exponential bounds cannot be made from these numbers.
    BoundsNotGrowing,
    /// A quantile is NaN, or outside of 0 to 1.
    QuantileOutOfRange {
        /// Position of the quantile as it was given, from 0.
        index: usize,
    },
    /// The same quantile was given twice.
    QuantileTwice {
        /// The quantile.
        quantile: f64,
    },
    /// A summary without any quantile.
    NoQuantile,
    /// A range whose low end is not positive and normal, or not below its
    /// high end.
    RangeNotPositive,
    /// A range of more octaves than a cell can hold.
    RangeTooWide {
        /// Octaves that the range touches, each from one power of two to the
        /// next: up to one more than its doublings.
        octaves: usize,
        /// Octaves there may be.
        limit: usize,
    },
    /// A window of no slices, or of more than a cell can hold.
    WindowSlices {
        /// Slices there may be.
        limit: usize,
    },
    /// A window whose slices are shorter than a millisecond or longer than a
    /// year.
    WindowLength,
    /// A state set of no states, or of more than a cell can hold.
    States {
        /// States there may be.
        limit: usize,
    },
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BoundNotFinite { index } => write!(
                f,
                "the bucket bound at place {} is not finite: leave it out, the +Inf bucket is always there",
                index + 1
            ),
            Self::BoundNotAscending { index } => write!(
                f,
                "the bucket bound at place {} is not greater than the one before: sort the bounds, \
                 without duplicates",
                index + 1
            ),
            Self::BoundsNotGrowing => f.write_str(
                "bucket bounds do not grow: linear ones need a finite width above 0, \
                 exponential ones a finite start above 0 and a finite factor above 1",
            ),
            Self::QuantileOutOfRange { index } => {
                write!(
                    f,
                    "the quantile at place {} is not between 0 and 1: write the median as 0.5",
                    index + 1
                )
            }
            Self::QuantileTwice { quantile } => {
                write!(f, "quantile {quantile} was given twice: give each once")
            }
            Self::NoQuantile => f.write_str("no quantile was given: give at least one, such as 0.5"),
            Self::RangeNotPositive => f.write_str(
                "the range of a quantile cell must run from a positive number to a greater finite one",
            ),
            Self::RangeTooWide { octaves, limit } => write!(
                f,
                "a range that touches {octaves} octaves is too wide: narrow it to at most {} doublings",
                limit.saturating_sub(1)
            ),
            Self::WindowSlices { limit } => {
                write!(f, "a window has 1 to {limit} slices: six are usual")
            }
            Self::WindowLength => {
                f.write_str("a slice of a window lasts from a millisecond to a year")
            }
            Self::States { limit } => write!(f, "a state set has 1 to {limit} states"),
        }
    }
}

impl std::error::Error for OptionsError {}
