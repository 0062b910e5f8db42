//! What a family is, beside its values: name, help, unit, labels, and the
//! shape of a series.

use crate::cell::Number;
use crate::name;

/// The type of a family, in the terms of the data model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of observations in buckets, and their sum.
    Histogram,
    /// Quantiles of observations, their sum and count.
    Summary,
    /// Text that seldom changes, as labels of a 1.
    Info,
    /// Which of a few states are on.
    StateSet,
    /// Nothing is promised.
    Unknown,
}

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

/// A family's name, help, unit, labels and shape. Fixed at registration.
#[derive(Clone, Debug)]
pub struct Descriptor {
    /// With namespace, without the suffix that its kind adds (`_total`, `_info`).
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) unit: Option<String>,
    pub(crate) kind: Kind,
    pub(crate) shape: Shape,
    pub(crate) label_names: Vec<String>,
    pub(crate) const_labels: Vec<(String, String)>,
    /// Whether `_created` is shown.
    pub(crate) created: bool,
}

impl Descriptor {
    /// The suffix that every sample of this kind carries, and that belongs to
    /// the family's name in the text format but not in OpenMetrics.
    pub(crate) fn suffix(&self) -> &'static str {
        match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            _ => "",
        }
    }

    /// The name as it stands in the text format: with the suffix.
    pub fn full_name(&self) -> String {
        format!("{}{}", self.name, self.suffix())
    }

    /// What the family is for, as it was registered.
    pub fn help(&self) -> &str {
        &self.help
    }

    /// The type.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The unit, if one was given; the name ends in it.
    pub fn unit(&self) -> Option<&str> {
        self.unit.as_deref()
    }

    /// The names of the labels that tell the series apart.
    pub fn label_names(&self) -> &[String] {
        &self.label_names
    }

    /// Every name that appears on a page for this family, as a sample's or in
    /// metadata that cannot give way. No two families may share one.
    pub(crate) fn claims(&self) -> Vec<String> {
        let suffixes: &[&str] = match self.kind {
            Kind::Counter => &["_total"],
            Kind::Info => &["_info"],
            Kind::Histogram => &["", "_bucket", "_sum", "_count"],
            Kind::Summary => &["", "_sum", "_count"],
            Kind::Gauge | Kind::StateSet | Kind::Unknown => &[""],
        };
        let created = if self.created { &["_created"][..] } else { &[] };
        // As the least able reader sees them: `a.b` and `a_b` are one name there.
        let name = name::underscored(&self.name);
        suffixes
            .iter()
            .chain(created)
            .map(|suffix| format!("{name}{suffix}"))
            .collect()
    }
}
