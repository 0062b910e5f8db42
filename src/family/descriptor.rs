//! The description of a family: name, help, unit, labels, and the shape of its
//! series.

use super::series::label_pairs;
use crate::MetricType;
use crate::cell::Number;
use crate::label::LabelValues;
use crate::name::is_classic_metric_name;
use crate::name::{Escaping, written_label_name, written_metric_name};
use std::borrow::Cow;

/// Precedes the name of a label that would otherwise stand twice in a line.
const EXPORTED: &str = "exported_";

/// Returns how often `exported_` precedes a name, and the rest of the name.
fn exported_prefixes(name: &str) -> (usize, &str) {
    let root = name.trim_start_matches(EXPORTED);
    ((name.len() - root.len()) / EXPORTED.len(), root)
}

/// The meaning of the row of numbers that a cell reads.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Shape {
    /// One sample per series: the first number of the row.
    Single(Number),
    /// Cumulative counts of the buckets, then of all observations, then the sum.
    Histogram {
        /// The finite upper bounds, ascending.
        bounds: Vec<f64>,
    },
    /// A row like that of a histogram, and a reading by
    /// [`Cell::read_native`](crate::cell::Cell::read_native).
    NativeHistogram {
        /// The finite upper bounds of the classic buckets, ascending.
        bounds: Vec<f64>,
        /// Observations below 0 are subtracted from the sum, which may fall.
        negative_values: bool,
    },
    /// A value for each quantile, then the sum, then the count.
    Summary {
        /// The quantiles, from 0 to 1.
        quantiles: Vec<f64>,
        /// True if values and sum may be negative. OpenMetrics has no such summary:
        /// there the family is a gauge of the quantiles alone.
        signed: bool,
    },
    /// A 0 or 1 for each state.
    StateSet {
        /// The names of the states.
        states: Vec<String>,
    },
}

impl Shape {
    /// Returns how many numbers it gives a meaning.
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Single(_) => 1,
            Self::Histogram { bounds } | Self::NativeHistogram { bounds, .. } => bounds.len() + 2,
            Self::Summary { quantiles, .. } => quantiles.len() + 2,
            Self::StateSet { states } => states.len(),
        }
    }

    /// Returns true if a family of this type may have series of this shape.
    pub(crate) fn is_valid_for(&self, metric_type: MetricType) -> bool {
        let is_ascending = |numbers: &[f64]| numbers.is_sorted_by(|a, b| a < b);
        match self {
            Self::Single(_) => matches!(
                metric_type,
                MetricType::Counter | MetricType::Gauge | MetricType::Info | MetricType::Unknown
            ),
            Self::Histogram { bounds } | Self::NativeHistogram { bounds, .. } => {
                metric_type == MetricType::Histogram
                    && is_ascending(bounds)
                    && bounds.iter().all(|bound| bound.is_finite())
            }
            Self::Summary { quantiles, .. } => {
                metric_type == MetricType::Summary
                    && is_ascending(quantiles)
                    && quantiles
                        .iter()
                        .all(|quantile| (0.0..=1.0).contains(quantile))
            }
            Self::StateSet { .. } => metric_type == MetricType::StateSet,
        }
    }
}

/// The name, help, unit, labels and shape of a family, fixed at registration.
#[derive(Clone, Debug)]
pub struct Descriptor {
    /// With namespace, without the suffix that the type adds (`_total`, `_info`).
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) unit: Option<String>,
    pub(crate) metric_type: MetricType,
    pub(crate) shape: Shape,
    pub(crate) label_names: Vec<String>,
    pub(crate) const_labels: Vec<(String, String)>,
    /// True if `_created` is shown.
    pub(crate) created: bool,
    /// True for a mixed family. It has no label names: the values of a series
    /// alternate with the names of their labels, which are classic.
    pub(crate) mixed: bool,
    /// True if no series is ever removed: arrays of handles refer to them.
    pub(crate) permanent: bool,
}

/// Returns true if the name ends in the unit as OpenMetrics requires.
pub(crate) fn ends_in_unit(name: &str, unit: &str) -> bool {
    name.strip_suffix(unit)
        .is_some_and(|rest| rest.ends_with('_'))
}

impl Descriptor {
    /// Returns the name as the text format shows it: with the suffix.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}{}", self.name, self.metric_type.name_suffix())
    }

    /// Returns the help text.
    #[must_use]
    pub fn help(&self) -> &str {
        &self.help
    }

    /// Returns the type.
    #[must_use]
    pub fn metric_type(&self) -> MetricType {
        self.metric_type
    }

    /// Returns the unit, if one was given. The name ends in it.
    #[must_use]
    pub fn unit(&self) -> Option<&str> {
        self.unit.as_deref()
    }

    /// Returns the names of the labels whose values distinguish the series.
    #[must_use]
    pub fn label_names(&self) -> &[String] {
        &self.label_names
    }

    /// Returns the label that the lines have in addition to those of the series.
    pub(crate) fn added_label(&self) -> Option<&str> {
        match self.shape {
            Shape::Histogram { .. } | Shape::NativeHistogram { .. } => Some("le"),
            Shape::Summary { .. } => Some("quantile"),
            Shape::StateSet { .. } => Some(&self.name),
            Shape::Single(_) => None,
        }
    }

    /// Returns the name under which a page shows the label `name` of a mixed
    /// family.
    ///
    /// A name that the family's constant labels or its lines need gets the prefix
    /// `exported_`, as in Prometheus, and so do names that differ from it in such
    /// prefixes only. No two names are shown alike.
    pub(crate) fn mixed_label_name<'n>(&self, name: &'n str) -> Cow<'n, str> {
        let const_labels = self.const_labels.iter().map(|(label, _)| label.as_str());
        let taken = const_labels.chain(self.added_label()).flat_map(|label| {
            let written = |escaping| written_label_name(label, escaping);
            Escaping::ALL.into_iter().map(written)
        });
        let (prefixes, root) = exported_prefixes(name);
        let same_root = taken.filter_map(|label| {
            let (prefixes, other) = exported_prefixes(&label);
            (other == root).then_some(prefixes)
        });
        let range = same_root.fold(None, |range: Option<(usize, usize)>, taken| {
            let (least, most) = range.unwrap_or((taken, taken));
            Some((least.min(taken), most.max(taken)))
        });
        match range {
            Some((least, most)) if prefixes >= least => {
                Cow::Owned(EXPORTED.repeat(most + 1 - least) + name)
            }
            _ => Cow::Borrowed(name),
        }
    }

    /// Returns the labels of a series as a page shows them, constant labels first.
    pub(crate) fn shown_labels<'a>(
        &'a self,
        values: &'a LabelValues,
    ) -> impl Iterator<Item = (Cow<'a, str>, &'a str)> {
        let shown_name = |name: &'a str| match self.mixed {
            true => self.mixed_label_name(name),
            false => Cow::Borrowed(name),
        };
        let own = label_pairs(&self.label_names, values);
        self.const_labels()
            .map(|(name, value)| (Cow::Borrowed(name), value))
            .chain(own.map(move |(name, value)| (shown_name(name), value)))
    }

    /// Returns the labels that all series share.
    pub fn const_labels(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.const_labels
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns true if the family requires its name with this suffix. It can do
    /// without the other names: OpenMetrics then calls it by its full name, as a
    /// family of a type that reserves no other.
    fn requires(&self, suffix: &str) -> bool {
        let own = self.metric_type.name_suffix();
        own.is_empty() || suffix == own || (self.created && suffix == "_created")
    }

    /// Returns the names that no other family may have on pages in this escaping,
    /// because this family requires them.
    pub(crate) fn required_names(&self, escaping: Escaping) -> impl Iterator<Item = String> {
        self.names(escaping, true)
    }

    /// Returns the names that OpenMetrics reserves for the family, but that it can
    /// do without.
    pub(crate) fn optional_names(&self, escaping: Escaping) -> impl Iterator<Item = String> {
        self.names(escaping, false)
    }

    fn names(&self, escaping: Escaping, required: bool) -> impl Iterator<Item = String> {
        let name = written_metric_name(&self.name, escaping);
        self.metric_type
            .reserved_suffixes()
            .iter()
            .filter(move |suffix| self.requires(suffix) == required)
            .map(move |suffix| format!("{name}{suffix}"))
    }

    /// Returns every name that the family requires on some page: the names of its
    /// samples in any format, as each escaping writes them, and those that
    /// OpenMetrics reserves for its type. No two families may share one.
    pub(crate) fn reserved_names(&self) -> Vec<String> {
        let escapings = match is_classic_metric_name(&self.name) {
            // Every escaping writes it alike.
            true => &[Escaping::AllowUtf8][..],
            false => &Escaping::ALL,
        };
        escapings
            .iter()
            .flat_map(|escaping| self.required_names(*escaping))
            .collect()
    }

    /// Returns true if a family with this description can stand for one with the
    /// other: all but the help is equal.
    pub(crate) fn is_interchangeable(&self, other: &Self) -> bool {
        self.name == other.name
            && self.unit == other.unit
            && self.metric_type == other.metric_type
            && self.shape == other.shape
            && self.label_names == other.label_names
            && self.const_labels == other.const_labels
            && self.created == other.created
            && self.mixed == other.mixed
            && self.permanent == other.permanent
    }
}
