//! Lints of protobuf pages. Each family is written as text, which the linter of the
//! engine reads.

use super::{DecodedFamily, DecodedMetric, MetricValue, ObservationCount};
use std::collections::HashSet;
use std::fmt::Display;
use stethoscope::MetricType;
use stethoscope::exposition::Format;
use stethoscope::exposition::escape::{Quotes, escape_help, quote};
use stethoscope::exposition::number::{format_bound, format_go};
use stethoscope::exposition::parser::{Options, parse};
use stethoscope::exposition::validate::{self, Lint, Warning};
use stethoscope::name::is_classic_metric_name;

/// Checks a page family by family.
pub(in super::super) struct ProtobufLinter {
    linter: validate::Linter,
    options: Options,
}

/// Returns the message of a lint for pages that have neither lines nor quotes.
pub(in super::super) fn message(lint: Lint) -> String {
    match lint {
        Lint::QuotedName => "Prometheus 2 refuses a page that has a name with other characters \
                             than letters, digits, _ and :"
            .to_owned(),
        other => other.to_string(),
    }
}

impl ProtobufLinter {
    pub(in super::super) fn new() -> Self {
        // Leniently, since nobody has validated the histograms.
        let options = Options::lenient(Format::Text1).with_quoted_names(true);
        Self {
            linter: validate::Linter::new(options),
            options,
        }
    }

    /// Checks the next family, and calls `warn` with each warning. The positions of
    /// warnings mean nothing.
    pub(in super::super) fn visit(
        &mut self,
        family: &DecodedFamily,
        mut warn: impl FnMut(&Warning),
    ) {
        let text = text_of(family);
        let mut once = HashSet::new();
        let mut each = |warning: Warning| {
            // One of each line.
            if warning.lint() != Lint::QuotedName || once.insert(Lint::QuotedName) {
                warn(&warning);
            }
        };
        let mut parser = parse(&text, self.options.with_max_line(usize::MAX));
        // The text of a family that was read has no errors; what would follow one is
        // not checked.
        while let Some(Ok((line, event))) = parser.next_ref() {
            self.linter.visit(line, &event, &mut each);
        }
        self.linter.end(&mut each);
    }
}

fn text_of(family: &DecodedFamily) -> Vec<u8> {
    let mut text = Text {
        family,
        bytes: Vec::new(),
    };
    text.write_metadata();
    for metric in &family.metrics {
        text.write_metric(metric);
    }
    text.bytes
}

struct Text<'a> {
    family: &'a DecodedFamily,
    bytes: Vec<u8>,
}

impl Text<'_> {
    fn write_metadata(&mut self) {
        let name = &self.family.name;
        let push_name = |bytes: &mut Vec<u8>| match is_classic_metric_name(name) {
            true => bytes.extend_from_slice(name.as_bytes()),
            false => quote(name, bytes),
        };
        if !self.family.help.is_empty() {
            self.bytes.extend_from_slice(b"# HELP ");
            push_name(&mut self.bytes);
            self.bytes.push(b' ');
            escape_help(&self.family.help, Quotes::Literal, &mut self.bytes);
            self.bytes.push(b'\n');
        }
        let word = match self.family.metric_type {
            MetricType::GaugeHistogram => MetricType::Histogram,
            other => other,
        };
        self.bytes.extend_from_slice(b"# TYPE ");
        push_name(&mut self.bytes);
        self.bytes.push(b' ');
        self.bytes
            .extend_from_slice(word.type_word(false).as_bytes());
        self.bytes.push(b'\n');
    }

    fn write_metric(&mut self, metric: &DecodedMetric) {
        match &metric.value {
            MetricValue::Single(value, _) => self.write_sample(metric, "", None, &go(*value)),
            MetricValue::Summary(summary) => {
                for (quantile, value) in &summary.quantiles {
                    self.write_sample(metric, "", Some(("quantile", *quantile)), &go(*value));
                }
                self.write_sample(metric, "_sum", None, &go(summary.sum));
                self.write_sample(metric, "_count", None, &summary.count);
            }
            MetricValue::Histogram(histogram) => {
                let mut last = None;
                for bucket in &histogram.buckets {
                    let label = Some(("le", bucket.bound));
                    self.write_sample(metric, "_bucket", label, &decimal(bucket.count));
                    last = Some(bucket.bound);
                }
                let count = decimal(histogram.count);
                // It may be left out.
                if last != Some(f64::INFINITY) {
                    let label = Some(("le", f64::INFINITY));
                    self.write_sample(metric, "_bucket", label, &count);
                }
                self.write_sample(metric, "_sum", None, &go(histogram.sum));
                self.write_sample(metric, "_count", None, &count);
            }
        }
    }

    fn write_sample(
        &mut self,
        metric: &DecodedMetric,
        suffix: &str,
        added: Option<(&str, f64)>,
        value: &dyn Display,
    ) {
        let name = format!("{}{suffix}", self.family.name);
        let bytes = &mut self.bytes;
        let is_plain = is_classic_metric_name(&name);
        if is_plain {
            bytes.extend_from_slice(name.as_bytes());
        }
        bytes.push(b'{');
        if !is_plain {
            quote(&name, bytes);
        }
        let added = added.map(|(name, value)| (name, format_bound(value)));
        let added = added.as_ref().map(|(name, value)| (*name, value.as_str()));
        let labels = metric
            .labels
            .iter()
            .map(|(name, value)| (&**name, &**value));
        for (label, value) in labels.chain(added) {
            if bytes.last() != Some(&b'{') {
                bytes.push(b',');
            }
            // A colon is for metric names only.
            match is_classic_metric_name(label) && !label.contains(':') {
                true => bytes.extend_from_slice(label.as_bytes()),
                false => quote(label, bytes),
            }
            bytes.push(b'=');
            quote(value, bytes);
        }
        let timestamp = match metric.timestamp_ms {
            // A text page has none before 1970.
            Some(time @ 1..) => format!(" {time}"),
            _ => String::new(),
        };
        bytes.extend_from_slice(format!("}} {value}{timestamp}\n").as_bytes());
    }
}

fn go(value: f64) -> String {
    format_go(value).as_str().to_owned()
}

fn decimal(count: ObservationCount) -> String {
    count.to_string()
}
