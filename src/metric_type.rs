//! The types of metric families, and the suffixes that go with each.

/// The type of a metric family.
///
/// ```
/// use stethoscope::{MetricType, Registry};
///
/// let registry = Registry::new();
/// let jobs = registry.counter_family("jobs_total", "Jobs.", ["queue"])?;
/// assert_eq!(jobs.descriptor().metric_type(), MetricType::Counter);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MetricType {
    /// A total that only goes up.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// Counts of observations in buckets, and their sum.
    Histogram,
    /// Quantiles of observations, their sum and count.
    Summary,
    /// Counts in buckets that can also go down. OpenMetrics only.
    GaugeHistogram,
    /// Text that seldom changes, as the labels of a sample that is 1. A gauge in
    /// the text formats.
    Info,
    /// A 0 or 1 for each of a few states. A gauge in the text formats.
    StateSet,
    /// A value without a promise: `untyped` in the text formats, `unknown` in
    /// OpenMetrics. The type of a family without a TYPE line.
    #[default]
    Unknown,
}

/// The part that a sample plays in its metric, by the suffix of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SampleRole {
    /// The value itself: no suffix.
    Value,
    Total,
    Created,
    Bucket,
    Count,
    Sum,
    Info,
}

impl SampleRole {
    /// Returns the role's bit in a set of roles.
    #[cfg(feature = "parse")]
    pub(crate) fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl MetricType {
    /// Returns the word of a TYPE line, in the text formats or in OpenMetrics.
    pub fn type_word(self, openmetrics: bool) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::GaugeHistogram => "gaugehistogram",
            Self::Info => "info",
            Self::StateSet => "stateset",
            Self::Unknown if openmetrics => "unknown",
            Self::Unknown => "untyped",
        }
    }

    /// Parses the word of a TYPE line.
    #[cfg(feature = "parse")]
    #[inline]
    pub(crate) fn from_type_word(word: &[u8], openmetrics: bool) -> Option<Self> {
        Some(match (word, openmetrics) {
            (b"counter", _) => Self::Counter,
            (b"gauge", _) => Self::Gauge,
            (b"histogram", _) => Self::Histogram,
            (b"summary", _) => Self::Summary,
            (b"untyped", false) | (b"unknown", true) => Self::Unknown,
            (b"gaugehistogram", true) => Self::GaugeHistogram,
            (b"info", true) => Self::Info,
            (b"stateset", true) => Self::StateSet,
            _ => return None,
        })
    }

    /// Returns the suffix that every sample of this type carries, and that
    /// belongs to the family's name in the text formats but not in OpenMetrics.
    pub fn name_suffix(self) -> &'static str {
        match self {
            Self::Counter => "_total",
            Self::Info => "_info",
            _ => "",
        }
    }

    /// Returns true if OpenMetrics allows a family of this type to have a unit.
    pub(crate) fn may_have_unit(self) -> bool {
        !matches!(self, Self::Info | Self::StateSet)
    }

    /// Returns true if OpenMetrics has a `_created` sample for series of this type.
    pub(crate) fn may_have_created(self) -> bool {
        self.reserved_suffixes().contains(&"_created")
    }

    /// Returns the suffixes that OpenMetrics reserves for a family of this type,
    /// whether its samples use them or not.
    pub(crate) fn reserved_suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Counter => &["", "_total", "_created"],
            Self::Info => &["", "_info"],
            Self::Histogram => &["", "_bucket", "_sum", "_count", "_created"],
            Self::GaugeHistogram => &["", "_bucket", "_gsum", "_gcount"],
            Self::Summary => &["", "_sum", "_count", "_created"],
            Self::Gauge | Self::StateSet | Self::Unknown => &[""],
        }
    }

    /// Returns the suffixes that the names of the family's samples may end in.
    pub fn sample_suffixes(self, openmetrics: bool) -> impl Iterator<Item = &'static str> {
        let roles = self.sample_roles(openmetrics);
        roles.iter().map(|(suffix, _)| *suffix)
    }

    /// Returns each suffix of a sample's name with the role that it stands for.
    pub(crate) fn sample_roles(self, openmetrics: bool) -> &'static [(&'static str, SampleRole)] {
        use SampleRole::{Bucket, Count, Created, Info, Sum, Total, Value};
        match (self, openmetrics) {
            (Self::Histogram, false) => &[("_bucket", Bucket), ("_sum", Sum), ("_count", Count)],
            (Self::Summary, false) => &[("", Value), ("_sum", Sum), ("_count", Count)],
            (Self::Counter, true) => &[("_total", Total), ("_created", Created)],
            (Self::Histogram, true) => &[
                ("_bucket", Bucket),
                ("_sum", Sum),
                ("_count", Count),
                ("_created", Created),
            ],
            (Self::Summary, true) => &[
                ("", Value),
                ("_sum", Sum),
                ("_count", Count),
                ("_created", Created),
            ],
            (Self::GaugeHistogram, true) => {
                &[("_bucket", Bucket), ("_gsum", Sum), ("_gcount", Count)]
            }
            (Self::Info, true) => &[("_info", Info)],
            _ => &[("", Value)],
        }
    }
}
