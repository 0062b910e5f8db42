//! The form of histograms by their name.

use crate::cell::{Buckets, NativeHistogramOptions, QuantileOptions};

/// The form that a histogram of the facade takes on the page.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Histograms {
    /// A histogram with these buckets.
    Buckets(Buckets),
    /// A summary with quantiles over a sliding window.
    Quantiles(QuantileOptions),
    /// A native histogram.
    Native(NativeHistogramOptions),
}

impl From<Buckets> for Histograms {
    fn from(buckets: Buckets) -> Self {
        Self::Buckets(buckets)
    }
}

impl From<QuantileOptions> for Histograms {
    fn from(options: QuantileOptions) -> Self {
        Self::Quantiles(options)
    }
}

impl From<NativeHistogramOptions> for Histograms {
    fn from(options: NativeHistogramOptions) -> Self {
        Self::Native(options)
    }
}

/// A pattern of names, compared with the name in the macro and with the name on the
/// page, without the registry's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Matcher {
    /// The whole name.
    Full(String),
    /// The beginning of the name.
    Prefix(String),
    /// The end of the name.
    Suffix(String),
}

impl Matcher {
    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Full(full) => name == full,
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()),
            Self::Suffix(suffix) => name.ends_with(suffix.as_str()),
        }
    }

    /// The position among the kinds of patterns: the least is asked first.
    fn rank(&self) -> u8 {
        match self {
            Self::Full(_) => 0,
            Self::Prefix(_) => 1,
            Self::Suffix(_) => 2,
        }
    }
}

/// The forms of all histograms.
#[derive(Clone, Debug)]
pub(super) struct HistogramRules {
    /// Sorted by rank.
    rules: Vec<(Matcher, Histograms)>,
    default: Histograms,
}

impl Default for HistogramRules {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            default: Buckets::default().into(),
        }
    }
}

impl HistogramRules {
    pub(super) fn add(&mut self, names: Matcher, form: Histograms) {
        let rank = names.rank();
        let at = self
            .rules
            .partition_point(|(other, _)| other.rank() <= rank);
        self.rules.insert(at, (names, form));
    }

    pub(super) fn set_default(&mut self, form: Histograms) {
        self.default = form;
    }

    /// Returns the form of a histogram, by its name in the macro and on the page.
    pub(super) fn form(&self, given: &str, written: &str) -> &Histograms {
        let matches =
            |(names, _): &&(Matcher, Histograms)| names.matches(given) || names.matches(written);
        match self.rules.iter().find(matches) {
            Some((_, form)) => form,
            None => &self.default,
        }
    }
}
