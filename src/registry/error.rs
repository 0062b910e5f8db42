//! Why a family could not be registered.

use crate::name::NameError;
use std::fmt;

/// Why a family could not be registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterError {
    /// The name of the family as it was to be, with its namespace.
    pub family: String,
    /// What is wrong.
    pub kind: RegisterErrorKind,
}

/// What is wrong with a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterErrorKind {
    /// The family's name is no metric name.
    Name(NameError),
    /// A label's name is no label name.
    Label {
        /// The label.
        label: String,
        /// What is wrong with it.
        error: NameError,
    },
    /// The label is given twice (perhaps once as a constant label, or alike but
    /// for characters that a reader of classic names sees as underscores).
    DuplicateLabel {
        /// The label.
        label: String,
    },
    /// Both families need this name: for their samples in some format and
    /// escaping, or because OpenMetrics keeps it for their type (`_created`,
    /// whether shown or not).
    Clash {
        /// The name, as it would stand on the page.
        name: String,
        /// The family that has it.
        with: String,
    },
    /// The label that tells the states apart is called as the state set, and
    /// this name can't be a label's for each reader.
    StateLabel,
    /// The name does not end in the unit.
    Unit {
        /// The unit.
        unit: String,
    },
    /// The unit has characters that a unit can't have in OpenMetrics.
    UnitCharacters {
        /// The unit.
        unit: String,
    },
    /// A family of this kind has no unit.
    UnitNotAllowed,
    /// A reading of a cell has fewer or more numbers than the lines show: the
    /// options are not of the same cells as the shape or the states.
    Width {
        /// Numbers that the lines show.
        shown: usize,
        /// Numbers of a reading.
        read: usize,
    },
    /// The lines are not such as a family of this kind has, or their bounds or
    /// quantiles are out of range or not ascending.
    Shape,
    /// A state set has no states, or more than 64.
    States {
        /// How many it was to have.
        count: usize,
    },
    /// A state set has a state twice.
    DuplicateState {
        /// The state.
        state: String,
    },
    /// A single series was asked for, of a family that has labels.
    Labelled,
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't register {:?}: ", self.family)?;
        match &self.kind {
            RegisterErrorKind::Name(error) => error.fmt(f),
            RegisterErrorKind::Label { label, error } => write!(f, "label {label:?}: {error}"),
            RegisterErrorKind::DuplicateLabel { label } => {
                write!(f, "label {label:?} is given twice")
            }
            RegisterErrorKind::Clash { name, with } => write!(
                f,
                "the name {name:?} is taken, by the family {with:?}: rename one or unregister the other"
            ),
            RegisterErrorKind::StateLabel => f.write_str(
                "a state set's name is also a label's: it can't have a colon, nor begin with two \
                 underscores or with what is written so where it is escaped",
            ),
            RegisterErrorKind::Unit { unit } => {
                write!(f, "the name must end in its unit, \"_{unit}\"")
            }
            RegisterErrorKind::UnitCharacters { unit } => write!(
                f,
                "the unit {unit:?} can't be written: use letters, digits and underscores"
            ),
            RegisterErrorKind::UnitNotAllowed => {
                f.write_str("an info or a state set has no unit: leave it out")
            }
            RegisterErrorKind::Width { shown, read } => write!(
                f,
                "its lines show {shown} numbers, but its cells read {read}: give options for as many"
            ),
            RegisterErrorKind::Shape => f.write_str(
                "its shape is not one of its kind: let Metric::shape and Metric::KIND agree, and \
                 bounds or quantiles ascend",
            ),
            RegisterErrorKind::States { count } => {
                write!(f, "a state set has 1 to 64 states, not {count}")
            }
            RegisterErrorKind::DuplicateState { state } => {
                write!(f, "state {state:?} is given twice")
            }
            RegisterErrorKind::Labelled => {
                f.write_str("it has labels: register it as a family and ask that for a series")
            }
        }
    }
}

impl std::error::Error for RegisterError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            RegisterErrorKind::Name(error) | RegisterErrorKind::Label { error, .. } => Some(error),
            _ => None,
        }
    }
}
