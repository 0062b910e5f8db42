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
    /// Both families would have a line of this name.
    Clash {
        /// The name on the page.
        name: String,
        /// The family that has it.
        with: String,
    },
    /// The name does not end in the unit.
    Unit {
        /// The unit.
        unit: String,
    },
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
                "{name:?} is already on the page, by the family {with:?}: rename one or unregister the other"
            ),
            RegisterErrorKind::Unit { unit } => {
                write!(f, "the name must end in its unit, \"_{unit}\"")
            }
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
