//! The error of a registration.

use crate::Family;
use crate::family::{Metric, Source};
use crate::name::NameError;
use std::fmt;
use std::sync::Arc;

/// The reason why a family was not registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterError {
    family: String,
    kind: RegisterErrorKind,
    existing: Option<Existing>,
}

/// The registered family of the name.
#[derive(Clone)]
struct Existing(Arc<dyn Source>);

impl fmt::Debug for Existing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.descriptor().fmt(f)
    }
}

impl PartialEq for Existing {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Existing {}

impl RegisterError {
    pub(super) fn new(family: impl Into<String>, kind: RegisterErrorKind) -> Self {
        Self {
            family: family.into(),
            kind,
            existing: None,
        }
    }

    /// Adds the registered family of the name.
    pub(super) fn with_existing(self, existing: Option<Arc<dyn Source>>) -> Self {
        let existing = existing.map(Existing);
        Self { existing, ..self }
    }

    /// Returns the name that the family was to have, with its namespace.
    #[must_use]
    pub fn family(&self) -> &str {
        &self.family
    }

    /// Returns the fault.
    #[must_use]
    pub fn kind(&self) -> &RegisterErrorKind {
        &self.kind
    }
}

impl RegisterError {
    /// Returns the registered family of the name, if the kind is
    /// [`AlreadyRegistered`](RegisterErrorKind::AlreadyRegistered), its cells are of
    /// type `C`, and it is not a mixed family.
    ///
    /// ```
    /// # use stethoscope::{Registry, cell::Counter};
    /// # let registry = Registry::new();
    /// registry.counter("retries_total", "Retries.")?.inc();
    /// let error = registry.counter("retries_total", "Retries.").unwrap_err();
    /// let retries = error.existing::<Counter>().expect("counters").with(())?;
    /// assert_eq!(retries.get(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn existing<C: Metric>(&self) -> Option<Family<C>> {
        let Existing(source) = self.existing.as_ref()?;
        match source.descriptor().mixed {
            true => None,
            false => Family::from_source(source),
        }
    }
}

/// The fault of a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterErrorKind {
    /// The name is not a valid metric name.
    Name(NameError),
    /// The name of a label is not valid.
    Label {
        /// The label.
        label: String,
        /// The fault of its name.
        error: NameError,
    },
    /// Two labels have the same name, or names that some escaping writes alike.
    /// Constant labels count.
    DuplicateLabel {
        /// The label.
        label: String,
    },
    /// A family of this name is registered.
    AlreadyRegistered,
    /// Another family requires one of the names that this family requires, for its
    /// samples in some format and escaping, or because OpenMetrics reserves it.
    ///
    /// OpenMetrics reserves `x_created` for a counter `x`, for example. A counter
    /// or an info gives way to a family of such a name: its OpenMetrics type is
    /// `unknown` then (a gauge for an info). Histograms and summaries, and
    /// counters with created timestamps, do not give way: they refuse the name, or
    /// are refused.
    NameTaken {
        /// The name.
        name: String,
        /// The family that has it.
        by: String,
    },
    /// A state set has a name that is not a valid label name in every escaping.
    StateLabel,
    /// The name does not end in the unit.
    Unit {
        /// The unit.
        unit: String,
    },
    /// The unit contains characters that OpenMetrics does not allow in units.
    UnitCharacters {
        /// The unit.
        unit: String,
    },
    /// A family of this type has no unit.
    UnitNotAllowed,
    /// A reading of the cell has fewer or more numbers than the family's lines
    /// show: the options do not belong to the shape or to the states.
    Width {
        /// The number of numbers that the lines show.
        shown: usize,
        /// The number of numbers of a reading.
        read: usize,
    },
    /// The shape is not one for the family's type, or its bounds or quantiles are
    /// out of range or not ascending.
    Shape,
    /// A state set has no states, or more than 64.
    States {
        /// The number of states.
        count: usize,
    },
    /// A state set has the same state twice.
    DuplicateState {
        /// The state.
        state: String,
    },
    /// Labels were given to a family that has none, or names them elsewhere: a single
    /// series, a mixed family, a typed family.
    HasLabels,
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot register {:?}: ", self.family)?;
        match (&self.kind, &self.existing) {
            (RegisterErrorKind::AlreadyRegistered, Some(Existing(source))) => {
                let descriptor = source.descriptor();
                let metric_type = descriptor.metric_type().type_word(true);
                write!(
                    f,
                    "a family of this name is registered already (type {metric_type}, labels {:?}): \
                     share it with get_or_register, which needs the same cells, labels and unit, or \
                     unregister it first",
                    descriptor.label_names()
                )
            }
            (kind, _) => kind.fmt(f),
        }
    }
}

impl fmt::Display for RegisterErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::Label { label, error } => write!(f, "label {label:?}: {error}"),
            Self::DuplicateLabel { label } => write!(f, "label {label:?} is given twice"),
            Self::AlreadyRegistered => f.write_str(
                "a family of this name is registered already: use get_or_register to share it, or \
                 unregister it first",
            ),
            Self::NameTaken { name, by } => write!(
                f,
                "the name {name:?} is taken by the family {by:?}: rename one, or unregister the \
                 other"
            ),
            Self::StateLabel => f.write_str(
                "the name of a state set is also used as a label name: it must be a valid label \
                 name in every escaping (no colon, no leading \"__\")",
            ),
            Self::Unit { unit } => write!(f, "the name must end in the unit: \"_{unit}\""),
            Self::UnitCharacters { unit } => write!(
                f,
                "invalid unit {unit:?}: expected letters, digits and underscores"
            ),
            Self::UnitNotAllowed => {
                f.write_str("an info or a state set cannot have a unit: leave it out")
            }
            Self::Width { shown, read } => write!(
                f,
                "the cell must read the {shown} numbers that the lines show, but reads {read}: \
                 give options for as many"
            ),
            Self::Shape => f.write_str(
                "invalid shape: Metric::shape must agree with Metric::TYPE, and bounds or \
                 quantiles must ascend",
            ),
            Self::States { count } => write!(f, "expected 1 to 64 states, found {count}"),
            Self::DuplicateState { state } => write!(f, "state {state:?} is given twice"),
            Self::HasLabels => f.write_str(
                "labels were given, which a single series does not have, and a mixed or typed \
                 family names elsewhere: call register, then with(…) on the family",
            ),
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
