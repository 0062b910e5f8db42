//! What a family is, beside its values: name, help, unit, labels, and the
//! shape of a series.

use crate::MetricType;
use crate::cell::Number;
use crate::name::is_classic_metric_name;
use crate::name::scheme::{Escaping, written_metric_name};

/// What the row of numbers that a cell reads means.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Shape {
    /// One sample a series: the first number of the row.
    Single(Number),
    /// Cumulative counts of the buckets up to each bound and of all, the sum.
    Histogram {
        /// The finite upper bounds, ascending.
        bounds: Vec<f64>,
    },
    /// A value for each quantile, the sum, the count.
    Summary {
        /// The quantiles, from 0 to 1.
        quantiles: Vec<f64>,
    },
    /// A 0 or 1 for each state.
    StateSet {
        /// The names of the states.
        states: Vec<String>,
    },
}

impl Shape {
    /// How many numbers it gives a meaning.
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Single(_) => 1,
            Self::Histogram { bounds } => bounds.len() + 2,
            Self::Summary { quantiles } => quantiles.len() + 2,
            Self::StateSet { states } => states.len(),
        }
    }

    /// Whether lines of this shape can be those of a family of this kind.
    pub(crate) fn is_of(&self, metric_type: MetricType) -> bool {
        let ascend = |numbers: &[f64]| numbers.is_sorted_by(|a, b| a < b);
        match self {
            Self::Single(_) => matches!(
                metric_type,
                MetricType::Counter | MetricType::Gauge | MetricType::Info | MetricType::Unknown
            ),
            Self::Histogram { bounds } => {
                metric_type == MetricType::Histogram
                    && ascend(bounds)
                    && bounds.iter().all(|bound| bound.is_finite())
            }
            Self::Summary { quantiles } => {
                metric_type == MetricType::Summary
                    && ascend(quantiles)
                    && quantiles
                        .iter()
                        .all(|quantile| (0.0..=1.0).contains(quantile))
            }
            Self::StateSet { .. } => metric_type == MetricType::StateSet,
        }
    }
}

/// A family's name, help, unit, labels and shape. Fixed at registration.
#[derive(Clone, Debug)]
pub struct Descriptor {
    /// With namespace, without the suffix that its kind adds (`_total`, `_info`).
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) unit: Option<String>,
    pub(crate) metric_type: MetricType,
    pub(crate) shape: Shape,
    pub(crate) label_names: Vec<String>,
    pub(crate) const_labels: Vec<(String, String)>,
    /// Whether `_created` is shown.
    pub(crate) created: bool,
}

/// Whether a name ends in a unit as OpenMetrics wants it.
pub(crate) fn ends_in_unit(name: &str, unit: &str) -> bool {
    name.strip_suffix(unit)
        .is_some_and(|rest| rest.ends_with('_'))
}

impl Descriptor {
    /// The name as it stands in the text format: with the suffix.
    pub fn full_name(&self) -> String {
        format!("{}{}", self.name, self.metric_type.name_suffix())
    }

    /// What the family is for, as it was registered.
    pub fn help(&self) -> &str {
        &self.help
    }

    /// The type.
    pub fn metric_type(&self) -> MetricType {
        self.metric_type
    }

    /// The unit, if one was given; the name ends in it.
    pub fn unit(&self) -> Option<&str> {
        self.unit.as_deref()
    }

    /// The names of the labels that tell the series apart.
    pub fn label_names(&self) -> &[String] {
        &self.label_names
    }

    /// Whether the family needs the name with this suffix. The others it can do
    /// without: it is then called by its full name in OpenMetrics, too, as of a
    /// type that keeps no more.
    fn needs(&self, suffix: &str) -> bool {
        let own = self.metric_type.name_suffix();
        own.is_empty() || suffix == own || (self.created && suffix == "_created")
    }

    /// The names that no other family may have on the family's pages in this
    /// escaping: those that it needs, or those that it can do without.
    pub(crate) fn names(&self, escaping: Escaping, needed: bool) -> impl Iterator<Item = String> {
        let name = written_metric_name(&self.name, escaping);
        self.metric_type
            .reserved_suffixes()
            .iter()
            .filter(move |suffix| self.needs(suffix) == needed)
            .map(move |suffix| format!("{name}{suffix}"))
    }

    /// Every name that the family needs on some page: of its samples in any
    /// format, as each escaping writes them, and what OpenMetrics keeps for its
    /// type. No two families may share one.
    pub(crate) fn claims(&self) -> Vec<String> {
        let escapings = match is_classic_metric_name(&self.name) {
            // All write it alike.
            true => &[Escaping::AllowUtf8][..],
            false => &Escaping::ALL,
        };
        escapings
            .iter()
            .flat_map(|escaping| self.names(*escaping, true))
            .collect()
    }
}
