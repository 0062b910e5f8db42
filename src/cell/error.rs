//! The error of the options that a cell is created with.

use std::fmt;

/// The reason why options were refused. Indices count from 0.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum OptionsError {
    /// A bucket bound is NaN or infinite.
    BoundNotFinite {
        /// The index of the bound.
        index: usize,
    },
    /// A bucket bound is not greater than the one before it.
    BoundNotAscending {
        /// The index of the bound.
        index: usize,
    },
    /// Linear or exponential bounds cannot be made from these numbers.
    BoundsNotGrowing,
    /// A quantile is NaN, or outside of 0 to 1.
    QuantileOutOfRange {
        /// The index of the quantile, in the order they were given.
        index: usize,
    },
    /// The same quantile was given twice.
    DuplicateQuantile {
        /// The quantile.
        quantile: f64,
    },
    /// A summary has no quantile.
    NoQuantile,
    /// The low end of a range is not positive and normal, or not less than its
    /// high end.
    RangeNotPositive,
    /// A range has more octaves than a cell can hold.
    RangeTooWide {
        /// The octaves that the range touches, each from one power of two to the
        /// next: up to one more than its doublings.
        octaves: usize,
        /// The maximum.
        limit: usize,
    },
    /// A window has no slices, or more than a cell can hold.
    WindowSlices {
        /// The maximum.
        limit: usize,
    },
    /// A window's slices are shorter than a millisecond or longer than a year.
    WindowLength,
    /// The schema of a native histogram is out of range.
    Schema {
        /// The schema.
        schema: i32,
    },
    /// A native histogram has too few buckets for all numbers, or more than a cell
    /// can hold.
    NativeBuckets {
        /// The minimum.
        least: usize,
        /// The maximum.
        limit: usize,
    },
    /// A state set has no states, or more than a cell can hold.
    States {
        /// The maximum.
        limit: usize,
    },
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BoundNotFinite { index } => write!(
                f,
                "bucket bound no. {} is not finite: leave it out (the +Inf bucket is always there)",
                index + 1
            ),
            Self::BoundNotAscending { index } => write!(
                f,
                "bucket bound no. {} is not greater than the one before: sort the bounds and remove \
                 duplicates",
                index + 1
            ),
            Self::BoundsNotGrowing => f.write_str(
                "bucket bounds do not grow: linear bounds need a finite width above 0, exponential \
                 bounds a start above 0 and a finite factor above 1, and a range of them a minimum \
                 above 0, a greater finite maximum, and a count of at least 2",
            ),
            Self::QuantileOutOfRange { index } => write!(
                f,
                "quantile no. {} is not between 0 and 1: the median, for example, is 0.5",
                index + 1
            ),
            Self::DuplicateQuantile { quantile } => {
                write!(f, "quantile {quantile} is given twice: give each once")
            }
            Self::NoQuantile => f.write_str("expected at least one quantile, for example 0.5"),
            Self::RangeNotPositive => f.write_str(
                "expected a range of values from a positive number to a greater finite one",
            ),
            Self::RangeTooWide { octaves, limit } => write!(
                f,
                "a range of values that touches {octaves} octaves is too wide: narrow it to at most \
                 {} doublings",
                limit.saturating_sub(1)
            ),
            Self::WindowSlices { limit } => {
                write!(f, "expected a window of 1 to {limit} slices, for example 6")
            }
            Self::WindowLength => {
                f.write_str("expected slices of a window to last from a millisecond to a year")
            }
            Self::Schema { schema } => write!(
                f,
                "schema {schema} is not between -4 and 8: 3, for example, has buckets 9 % wide"
            ),
            Self::NativeBuckets { least, limit } => write!(
                f,
                "expected a native histogram of {least} to {limit} buckets, for example 160"
            ),
            Self::States { limit } => write!(f, "expected a state set of 1 to {limit} states"),
        }
    }
}

impl std::error::Error for OptionsError {}
