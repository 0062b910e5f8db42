//! The text of a family that does not depend on values: metadata, sample names
//! and labels, rendered and escaped for one dialect.

use super::escape::{Quotes, escape_help, quote};
use super::format::Escaping;
use super::number;
use crate::MetricType;
use crate::cell::Number;
use crate::family::{Descriptor, Shape, Source, ends_in_unit};
use crate::label::LabelValues;
use crate::name;
use crate::name::{written_label_name, written_metric_name};

/// The properties of a page that decide how a series is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) openmetrics: bool,
    pub(super) escaping: Escaping,
}

impl Dialect {
    /// Returns true for summaries whose values may be negative, which OpenMetrics
    /// does not have. They are shown as a gauge of the quantiles, without sum and
    /// count.
    pub(super) fn shows_as_gauge(self, descriptor: &Descriptor) -> bool {
        self.openmetrics && matches!(descriptor.shape, Shape::Summary { signed: true, .. })
    }

    /// Formats the value of an `le` or `quantile` label as other exporters of this
    /// format do: `1.0` in OpenMetrics, `1` in the Prometheus text format.
    /// Prometheus 2.x takes another spelling for another series.
    fn format_bound(self, bound: f64) -> number::FormattedNumber {
        match self.openmetrics {
            true => number::format_bound(bound),
            false => number::format_go(bound),
        }
    }
}

/// One line of each series of a family, and the number of its row that the line
/// shows.
pub(super) struct Template {
    index: usize,
    number: Number,
    has_exemplar: bool,
    name: SampleName,
    /// A label of the line beside those of the series, rendered: `le="0.1"`.
    extra: Vec<u8>,
}

/// A sample's name as it stands in the text.
enum SampleName {
    /// `name{labels} value`
    Plain(String),
    /// `{"name",labels} value`
    Quoted(String),
}

impl Template {
    /// The position of the line's number in the row of a series.
    #[inline(always)]
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// The type of the line's number.
    #[inline(always)]
    pub(super) fn number(&self) -> Number {
        self.number
    }

    /// Returns true if the line may have an exemplar.
    pub(super) fn has_exemplar(&self) -> bool {
        self.has_exemplar
    }

    /// Appends the text before the value. `labels` are those of the series,
    /// rendered.
    pub(super) fn render(&self, labels: &[u8], into: &mut Vec<u8>) {
        self.name.render(labels, &self.extra, into);
    }
}

impl SampleName {
    /// Makes the family's name with a suffix. The suffix is not escaped, or
    /// readers would not recognise it: under dots `_bucket` would become
    /// `__bucket`.
    fn new(source: &dyn Source, escaping: Escaping, suffix: &str) -> Self {
        let name = written_metric_name(&source.descriptor().name, escaping).into_owned() + suffix;
        match name::is_classic_metric_name(&name) {
            true => Self::Plain(name),
            false => Self::Quoted(quoted(&name)),
        }
    }

    /// Appends everything before a value. `labels` and `extra` are `a="x",b="y"`.
    fn render(&self, labels: &[u8], extra: &[u8], into: &mut Vec<u8>) {
        let labelled = !(labels.is_empty() && extra.is_empty());
        match self {
            Self::Plain(name) => {
                into.extend_from_slice(name.as_bytes());
                if labelled {
                    into.push(b'{');
                }
            }
            Self::Quoted(name) => {
                into.push(b'{');
                into.extend_from_slice(name.as_bytes());
                if labelled {
                    into.push(b',');
                }
            }
        }
        into.extend_from_slice(labels);
        if !labels.is_empty() && !extra.is_empty() {
            into.push(b',');
        }
        into.extend_from_slice(extra);
        if labelled || matches!(self, Self::Quoted(_)) {
            into.push(b'}');
        }
        into.push(b' ');
    }
}

/// Renders the labels that all series of a family share.
pub(super) fn const_labels(source: &dyn Source, escaping: Escaping) -> Vec<u8> {
    let mut labels = Vec::new();
    for (name, value) in &source.descriptor().const_labels {
        push_label(&label_name(name, escaping), value, &mut labels);
    }
    labels
}

/// Renders the names of the labels that distinguish the series of a family.
pub(super) fn label_names(source: &dyn Source, escaping: Escaping) -> Vec<String> {
    let names = &source.descriptor().label_names;
    names
        .iter()
        .map(|name| label_name(name, escaping))
        .collect()
}

/// Appends the labels of a series to those that are there. `names` are rendered.
pub(super) fn push_labels(
    source: &dyn Source,
    names: &[String],
    values: &LabelValues,
    into: &mut Vec<u8>,
) {
    if source.descriptor().mixed {
        let mut rest = values.iter();
        while let (Some(name), Some(value)) = (rest.next(), rest.next()) {
            push_label(&source.descriptor().mixed_label_name(name), value, into);
        }
    }
    for (name, value) in names.iter().zip(values.iter()) {
        push_label(name, value, into);
    }
}

/// Appends `name="value"`, after a comma if it is not the first.
fn push_label(written_name: &str, value: &str, into: &mut Vec<u8>) {
    if !into.is_empty() {
        into.push(b',');
    }
    into.extend_from_slice(written_name.as_bytes());
    into.push(b'=');
    quote(value, into);
}

fn quoted(name: &str) -> String {
    let mut quoted = Vec::new();
    quote(name, &mut quoted);
    String::from_utf8(quoted).expect("escaping UTF-8 gives UTF-8")
}

/// Returns a label's name as it stands before `=`.
fn label_name(label: &str, escaping: Escaping) -> String {
    let written = written_label_name(label, escaping);
    match name::is_classic_label_name(&written) {
        true => written.into_owned(),
        false => quoted(&written),
    }
}

/// Appends the line that says when a series was created.
pub(super) fn push_created(
    source: &dyn Source,
    escaping: Escaping,
    labels: &[u8],
    created: f64,
    into: &mut Vec<u8>,
) {
    SampleName::new(source, escaping, "_created").render(labels, &[], into);
    into.extend_from_slice(number::format_f64(created).as_bytes());
    into.push(b'\n');
}

/// Returns the lines of each series of a family, in page order.
pub(super) fn templates(source: &dyn Source, dialect: Dialect) -> Vec<Template> {
    let descriptor = source.descriptor();
    match &descriptor.shape {
        Shape::Single(number) => {
            let suffix = descriptor.metric_type.name_suffix();
            vec![template(source, dialect, 0, *number, suffix, None)]
        }
        Shape::Histogram { bounds } => {
            let sum_may_fall = bounds.first().is_some_and(|bound| *bound < 0.0);
            histogram_templates(source, dialect, bounds, sum_may_fall)
        }
        Shape::NativeHistogram {
            bounds,
            negative_values,
        } => {
            let sum_may_fall = *negative_values || bounds.first().is_some_and(|b| *b < 0.0);
            histogram_templates(source, dialect, bounds, sum_may_fall)
        }
        Shape::Summary { quantiles, .. } => summary_templates(source, dialect, quantiles),
        Shape::StateSet { states } => {
            let state = |(index, state): (usize, &String)| {
                let label = Some((&*descriptor.name, &**state));
                template(source, dialect, index, Number::U64, "", label)
            };
            states.iter().enumerate().map(state).collect()
        }
    }
}

fn template(
    source: &dyn Source,
    dialect: Dialect,
    index: usize,
    number: Number,
    suffix: &str,
    label: Option<(&str, &str)>,
) -> Template {
    let mut extra = Vec::new();
    if let Some((name, value)) = label {
        push_label(&label_name(name, dialect.escaping), value, &mut extra);
    }
    Template {
        index,
        number,
        has_exemplar: index < source.exemplars() && matches!(suffix, "_total" | "_bucket"),
        name: SampleName::new(source, dialect.escaping, suffix),
        extra,
    }
}

fn histogram_templates(
    source: &dyn Source,
    dialect: Dialect,
    bounds: &[f64],
    sum_may_fall: bool,
) -> Vec<Template> {
    let inf = bounds.len();
    let all = bounds.iter().copied().chain([f64::INFINITY]);
    let bucket = |(index, bound): (usize, f64)| {
        let le = dialect.format_bound(bound);
        let label = Some(("le", le.as_str()));
        template(source, dialect, index, Number::U64, "_bucket", label)
    };
    let mut lines: Vec<Template> = all.enumerate().map(bucket).collect();
    // OpenMetrics allows no sum that may fall, and no count without a sum.
    if sum_may_fall && dialect.openmetrics {
        return lines;
    }
    lines.push(template(
        source,
        dialect,
        inf + 1,
        Number::F64,
        "_sum",
        None,
    ));
    // The count is the last bucket, so they can never disagree.
    lines.push(template(source, dialect, inf, Number::U64, "_count", None));
    lines
}

fn summary_templates(source: &dyn Source, dialect: Dialect, quantiles: &[f64]) -> Vec<Template> {
    let sum = quantiles.len();
    let quantile = |(index, quantile): (usize, &f64)| {
        let text = dialect.format_bound(*quantile);
        let label = Some(("quantile", text.as_str()));
        template(source, dialect, index, Number::F64, "", label)
    };
    let mut lines: Vec<Template> = quantiles.iter().enumerate().map(quantile).collect();
    if dialect.shows_as_gauge(source.descriptor()) {
        return lines;
    }
    lines.push(template(source, dialect, sum, Number::F64, "_sum", None));
    lines.push(template(
        source,
        dialect,
        sum + 1,
        Number::U64,
        "_count",
        None,
    ));
    lines
}

/// Returns `# HELP` and `# TYPE`, in the order and the words of the dialect.
///
/// `base_name` says that OpenMetrics may call the family by its name without
/// suffix, because no other family has that name.
pub(super) fn head(source: &dyn Source, dialect: Dialect, base_name: bool) -> Vec<u8> {
    let descriptor = source.descriptor();
    let openmetrics = dialect.openmetrics;
    // OpenMetrics calls a counter `x` whose sample is `x_total`. Where another
    // family is called `x`, the sample is still valid, as of unknown type.
    let base = openmetrics && base_name;
    let own_suffix = descriptor.metric_type.name_suffix();
    let suffix = if base { "" } else { own_suffix };
    let (SampleName::Plain(name) | SampleName::Quoted(name)) =
        SampleName::new(source, dialect.escaping, suffix);
    let shown_type = match descriptor.metric_type {
        MetricType::Counter if openmetrics && !base => MetricType::Unknown,
        MetricType::Info if !base => MetricType::Gauge,
        MetricType::Summary if dialect.shows_as_gauge(descriptor) => MetricType::Gauge,
        MetricType::StateSet if !openmetrics => MetricType::Gauge,
        metric_type => metric_type,
    };
    let type_word = shown_type.type_word(openmetrics);
    let mut head = Vec::new();
    let mut metadata = |keyword: &str, text: &[u8]| {
        let keyword = keyword.as_bytes();
        for part in [b"# ", keyword, b" ", name.as_bytes(), b" ", text, b"\n"] {
            head.extend_from_slice(part);
        }
    };
    let mut help = Vec::new();
    let quotes = if openmetrics {
        Quotes::Escaped
    } else {
        Quotes::Literal
    };
    escape_help(&descriptor.help, quotes, &mut help);
    if !openmetrics && !help.is_empty() {
        metadata("HELP", &help);
    }
    metadata("TYPE", type_word.as_bytes());
    if openmetrics {
        // A name that does not end in the unit, as it is written, may have none.
        let written = written_metric_name(&descriptor.name, dialect.escaping);
        if let Some(unit) = descriptor.unit()
            && (base || own_suffix.is_empty())
            && ends_in_unit(&written, unit)
        {
            metadata("UNIT", unit.as_bytes());
        }
        if !help.is_empty() {
            metadata("HELP", &help);
        }
    }
    head
}
