//! The rule by which gauges are merged, and its name.

use std::fmt;
use std::str::FromStr;

/// The rule by which the gauges of several processes become one.
///
/// Gauges of processes that have died are not shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GaugeRule {
    /// A series for each process, told apart by the label `process`: the name of the
    /// segment's file, without extension.
    #[default]
    PerProcess,
    /// The sum.
    Sum,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The value of the process that has begun last.
    Last,
}

/// The error of a text that is not the name of a [`GaugeRule`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GaugeRuleError {
    text: String,
}

impl fmt::Display for GaugeRuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "unknown rule {:?}: expected per-process, sum, min, max or last",
            self.text
        )
    }
}

impl std::error::Error for GaugeRuleError {}

impl FromStr for GaugeRule {
    type Err = GaugeRuleError;

    /// Parses `per-process`, `sum`, `min`, `max` or `last`.
    ///
    /// ```
    /// use stethoscope::segment::GaugeRule;
    /// assert_eq!("per-process".parse(), Ok(GaugeRule::PerProcess));
    /// assert_eq!("max".parse(), Ok(GaugeRule::Max));
    /// assert!("mean".parse::<GaugeRule>().is_err());
    /// ```
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "per-process" => Ok(Self::PerProcess),
            "sum" => Ok(Self::Sum),
            "min" => Ok(Self::Min),
            "max" => Ok(Self::Max),
            "last" => Ok(Self::Last),
            _ => Err(GaugeRuleError {
                text: text.to_owned(),
            }),
        }
    }
}
