//! The text of a family that does not depend on values: metadata, sample names
//! and labels, rendered and escaped for one dialect.

use super::escape::{Quotes, escape_help, quote, quote_bytes};
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
    pub(super) version: Version,
    pub(super) escaping: Escaping,
}

/// The text formats, as far as they differ in more than escaping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Text,
    OpenMetrics1,
    OpenMetrics2,
}

impl Dialect {
    /// Returns true for both versions of OpenMetrics.
    pub(super) fn is_openmetrics(self) -> bool {
        self.version != Version::Text
    }

    /// Returns true if a line shows a whole metric: the values of a histogram or a
    /// summary together, and the time of its creation.
    pub(super) fn is_composite(self) -> bool {
        self.version == Version::OpenMetrics2
    }

    /// Returns true for summaries whose values may be negative, which OpenMetrics
    /// does not have. They are shown as a gauge of the quantiles, without sum and
    /// count.
    pub(super) fn shows_as_gauge(self, descriptor: &Descriptor) -> bool {
        self.is_openmetrics() && matches!(descriptor.shape, Shape::Summary { signed: true, .. })
    }

    /// Formats the value of an `le` or `quantile` label as other exporters of this
    /// format do: `1.0` in OpenMetrics, `1` in the Prometheus text format.
    /// Prometheus 2.x takes another spelling for another series.
    fn format_bound(self, bound: f64) -> number::FormattedNumber {
        match self.is_openmetrics() {
            true => number::format_bound(bound),
            false => number::format_go(bound),
        }
    }
}

/// A value of each series of a family, with the text around it. In most formats that is
/// a line.
pub(super) struct Template {
    content: ValueContent,
    /// The position of the value's number in the row of a series.
    index: usize,
    number: Number,
    /// The name and labels, for the first value of a line.
    name: Option<SampleName>,
    /// A label of the line beside those of the series, rendered: `le="0.1"`.
    extra: Vec<u8>,
    /// The text between the name, or the value before, and the value.
    lead: Vec<u8>,
    /// The time of creation follows the lead.
    starts_before: bool,
    /// The text after the value.
    trail: Vec<u8>,
}

/// The text of a value.
pub(super) enum ValueContent {
    /// A number, which is patched in its place.
    Number,
    /// A number, then its exemplar if it has one.
    WithExemplar,
    /// The exemplars of the first so many numbers, and the end of the line.
    Exemplars(usize),
    /// The fields of a native histogram. The bounds of its classic buckets are rendered,
    /// with a colon; the last is `+Inf` if there are any.
    Native(Vec<Vec<u8>>),
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

    /// The text of the value.
    pub(super) fn content(&self) -> &ValueContent {
        &self.content
    }

    /// The value as it is laid out: `0`, or an end of line without exemplars.
    pub(super) fn initial(&self) -> &'static [u8; 1] {
        match self.content {
            ValueContent::Exemplars(_) => b"\n",
            _ => b"0",
        }
    }

    /// Appends the text before the value. `labels` are those of the series, rendered,
    /// and `start` is the time of its creation, rendered.
    pub(super) fn render(&self, labels: &[u8], start: &[u8], into: &mut Vec<u8>) {
        if let Some(name) = &self.name {
            name.render(labels, &self.extra, into);
        }
        push_short(&self.lead, into);
        if self.starts_before {
            into.extend_from_slice(start);
        }
    }

    /// Returns true if the line of the value ends with it.
    pub(super) fn ends_line(&self) -> bool {
        matches!(self.content, ValueContent::Exemplars(_)) || self.trail.ends_with(b"\n")
    }

    /// The text after the value.
    pub(super) fn trail(&self) -> &[u8] {
        &self.trail
    }

    /// A number in the middle of a line, after `lead`.
    fn inner(index: usize, number: Number, lead: Vec<u8>) -> Self {
        Self {
            content: ValueContent::Number,
            index,
            number,
            name: None,
            extra: Vec::new(),
            lead,
            starts_before: false,
            trail: Vec::new(),
        }
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

/// Appends text that is mostly empty or one byte: calling the C library's copy for it
/// takes longer than the rest of a line.
#[inline]
pub(super) fn push_short(text: &[u8], into: &mut Vec<u8>) {
    match text {
        [] => {}
        [byte] => into.push(*byte),
        _ => into.extend_from_slice(text),
    }
}

/// Renders the labels that all series of a family share.
pub(super) fn const_labels(source: &dyn Source, escaping: Escaping) -> Vec<u8> {
    let mut labels = Vec::new();
    for (name, value) in &source.descriptor().const_labels {
        push_label(&label_name(name, escaping), value.as_bytes(), &mut labels);
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
            let name = source.descriptor().mixed_label_name(name);
            push_label(&name, value.as_bytes(), into);
        }
    }
    for (name, value) in names.iter().zip(values.bytes()) {
        push_label(name, value, into);
    }
}

/// Appends `name="value"`, after a comma if it is not the first.
fn push_label(written_name: &str, value: &[u8], into: &mut Vec<u8>) {
    if !into.is_empty() {
        into.push(b',');
    }
    into.extend_from_slice(written_name.as_bytes());
    into.push(b'=');
    quote_bytes(value, into);
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

/// Appends when a series was created, as it stands on the series' own line.
pub(super) fn push_start(created: f64, into: &mut Vec<u8>) {
    into.extend_from_slice(b" st@");
    into.extend_from_slice(number::format_f64(created).as_bytes());
}

/// Returns the values of each series of a family, in page order.
pub(super) fn templates(source: &dyn Source, dialect: Dialect) -> Vec<Template> {
    let descriptor = source.descriptor();
    let is_composite = dialect.is_composite() && descriptor.metric_type.may_have_created();
    if is_composite && !dialect.shows_as_gauge(descriptor) {
        return composite_templates(source, dialect);
    }
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
        push_label(
            &label_name(name, dialect.escaping),
            value.as_bytes(),
            &mut extra,
        );
    }
    let has_exemplar = dialect.version == Version::OpenMetrics1
        && index < source.exemplars()
        && matches!(suffix, "_total" | "_bucket");
    Template {
        content: match has_exemplar {
            true => ValueContent::WithExemplar,
            false => ValueContent::Number,
        },
        name: Some(SampleName::new(source, dialect.escaping, suffix)),
        extra,
        trail: b"\n".to_vec(),
        ..Template::inner(index, number, Vec::new())
    }
}

/// Returns the values on the line of a counter, a histogram or a summary in OpenMetrics
/// 2.0, which ends with the time of its creation and its exemplars.
fn composite_templates(source: &dyn Source, dialect: Dialect) -> Vec<Template> {
    let descriptor = source.descriptor();
    let bound = |lead: &str, bound: f64| {
        let bound = dialect.format_bound(bound);
        [lead, bound.as_str(), ":"].concat().into_bytes()
    };
    let (mut values, close) = match &descriptor.shape {
        Shape::Histogram { bounds } => {
            let inf = bounds.len();
            let mut values = vec![
                // The count is the last bucket, so they can never disagree.
                Template::inner(inf, Number::U64, b"{count:".to_vec()),
                Template::inner(inf + 1, Number::F64, b",sum:".to_vec()),
            ];
            let all = bounds.iter().copied().chain([f64::INFINITY]);
            values.extend(all.enumerate().map(|(index, upper)| {
                let lead = if index == 0 { ",bucket:[" } else { "," };
                Template::inner(index, Number::U64, bound(lead, upper))
            }));
            (values, "]}")
        }
        Shape::NativeHistogram { bounds, .. } => {
            // A histogram without classic buckets has no `+Inf` bucket either.
            let infinity = (!bounds.is_empty()).then_some(f64::INFINITY);
            let all = bounds.iter().copied().chain(infinity);
            let content = ValueContent::Native(all.map(|upper| bound("", upper)).collect());
            let native = Template {
                content,
                ..Template::inner(0, Number::U64, b"{".to_vec())
            };
            (vec![native], "}")
        }
        Shape::Summary { quantiles, .. } => {
            let sum = quantiles.len();
            let mut values = vec![
                Template::inner(sum + 1, Number::U64, b"{count:".to_vec()),
                Template::inner(sum, Number::F64, b",sum:".to_vec()),
            ];
            values.extend(quantiles.iter().enumerate().map(|(index, quantile)| {
                let lead = if index == 0 { ",quantile:[" } else { "," };
                Template::inner(index, Number::F64, bound(lead, *quantile))
            }));
            let close = match quantiles.is_empty() {
                true => ",quantile:[]}",
                false => "]}",
            };
            (values, close)
        }
        Shape::Single(number) => (vec![Template::inner(0, *number, Vec::new())], ""),
        Shape::StateSet { .. } => unreachable!("the time of its creation is not shown"),
    };
    let suffix = descriptor.metric_type.name_suffix();
    values[0].name = Some(SampleName::new(source, dialect.escaping, suffix));
    // The time of creation and the end of the line follow the last value.
    match source.exemplars() {
        0 => values.last_mut().expect("there is a value").trail = close.as_bytes().to_vec(),
        exemplars => values.push(Template {
            content: ValueContent::Exemplars(exemplars),
            starts_before: true,
            ..Template::inner(0, Number::U64, close.as_bytes().to_vec())
        }),
    }
    values
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
    if sum_may_fall && dialect.is_openmetrics() {
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
    let openmetrics = dialect.is_openmetrics();
    // OpenMetrics 1.0 calls a counter `x` whose sample is `x_total`. Where another
    // family is called `x`, the sample is still valid, as of unknown type. In 2.0 the
    // family is called as its samples are.
    let full = dialect.is_composite();
    let base = openmetrics && base_name && !full;
    let own_suffix = descriptor.metric_type.name_suffix();
    let suffix = if base { "" } else { own_suffix };
    let (SampleName::Plain(name) | SampleName::Quoted(name)) =
        SampleName::new(source, dialect.escaping, suffix);
    let shown_type = match descriptor.metric_type {
        MetricType::Counter if openmetrics && !base && !full => MetricType::Unknown,
        MetricType::Info if !base && !full => MetricType::Gauge,
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
            && (base || full || own_suffix.is_empty())
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
