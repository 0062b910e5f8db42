//! A family compiled to lines: prefixes ready, cells in scrape order.
//!
//! ```text
//! heads    # HELP … # TYPE …             one a format
//! arena    name{a="x"} 17\n·········     one record a line: prefix, then a slot
//!          └── prefix ┘└──── slot ────┘  of 32 bytes with the value as last shown
//! lines    offset, prefix, len, bits     bits: the value that the slot shows
//! ```
//!
//! Everything that depends on names and labels is rendered and escaped once,
//! when a series joins. The sample lines are the same in every format, so one
//! arena serves all; what differs stands in the heads.

use super::escape::{escape_help, quote};
use super::format::{Escaping, Format};
use super::name_scheme::{escape_label_name, escape_name};
use super::number::{self, MAX_LEN, SCRATCH};
use crate::cell::Number;
use crate::family::{Change, Column, Kind, Shape, Source};
use crate::label::LabelValues;
use crate::name;
use std::sync::Arc;

/// Room for a value and its newline, copied as a whole whatever the value.
pub(super) const SLOT: usize = SCRATCH;
const _: () = assert!(MAX_LEN < SLOT);

/// A line of the page.
#[derive(Clone, Copy)]
pub(super) struct Line {
    /// The value that the slot shows.
    pub(super) bits: u64,
    /// Where the record begins in the arena.
    pub(super) offset: usize,
    /// Bytes before the value.
    pub(super) prefix: u32,
    /// Bytes of the whole line, with its newline.
    pub(super) len: u32,
}

/// One line of each series of a family: what a row's number becomes.
pub(super) struct Template {
    /// Where in the row the number is.
    pub(super) index: usize,
    pub(super) number: Number,
    /// The sample's name, escaped, quoted if need be.
    name: SampleName,
    /// The label that this line has beside the series' own: `le="0.1"`.
    extra: Vec<u8>,
}

/// A sample's name as it stands in the text.
enum SampleName {
    /// `name{labels} value`
    Plain(String),
    /// `{"name",labels} value`
    Quoted(String),
}

/// A family as it is laid out for scrapes.
pub(super) struct FamilyLines {
    pub(super) source: Arc<dyn Source>,
    /// As in the text format.
    pub(super) full_name: String,
    pub(super) column: Box<dyn Column>,
    /// Metadata, by `Format as usize`.
    pub(super) heads: [Vec<u8>; 3],
    pub(super) templates: Vec<Template>,
    /// Numbers in a row.
    pub(super) width: usize,
    pub(super) lines: Vec<Line>,
    /// The records, and `SLOT` bytes behind the last.
    pub(super) arena: Vec<u8>,
    /// The longest that a line can get.
    pub(super) longest: usize,
    /// `name_created{labels} time\n` of each series; none if not shown.
    pub(super) created: Vec<Vec<u8>>,
    escaping: Escaping,
    /// The labels that all series share, rendered.
    const_labels: Vec<u8>,
    label_names: Vec<String>,
}

impl FamilyLines {
    /// An empty layout; `bare_name` says whether OpenMetrics may call the family
    /// by its name without suffix, because nobody else has that name.
    pub(super) fn new(source: Arc<dyn Source>, escaping: Escaping, bare_name: bool) -> Self {
        let descriptor = source.descriptor();
        let label_name = |name: &str| written_label_name(name, escaping);
        let mut const_labels = Vec::new();
        for (name, value) in &descriptor.const_labels {
            push_label(&label_name(name), value, &mut const_labels);
        }
        let label_names = descriptor
            .label_names
            .iter()
            .map(|name| label_name(name))
            .collect();
        let mut lines = Self {
            column: Arc::clone(&source).column(),
            heads: [Vec::new(), Vec::new(), Vec::new()],
            templates: templates(source.as_ref(), escaping),
            width: source.width(),
            lines: Vec::new(),
            arena: vec![0; SLOT],
            longest: 0,
            created: Vec::new(),
            escaping,
            const_labels,
            label_names,
            full_name: descriptor.full_name(),
            source,
        };
        lines.set_heads(bare_name);
        lines
    }

    /// Renders the metadata.
    pub(super) fn set_heads(&mut self, bare_name: bool) {
        self.heads = [Format::Text, Format::Text1, Format::OpenMetrics]
            .map(|format| head(self.source.as_ref(), format, self.escaping, bare_name));
    }

    /// Takes over what has changed in the family.
    pub(super) fn refresh(&mut self) {
        match self.column.refresh() {
            Change::None => return,
            Change::Appended => {}
            Change::Rebuilt => {
                self.lines.clear();
                self.arena.clear();
                self.arena.resize(SLOT, 0);
                self.longest = 0;
                self.created.clear();
            }
        }
        let known = self.lines.len() / self.templates.len();
        self.arena.truncate(self.arena.len() - SLOT);
        let mut labels = Vec::new();
        for series in known..self.column.len() {
            labels.clear();
            labels.extend_from_slice(&self.const_labels);
            push_labels(&self.label_names, self.column.labels(series), &mut labels);
            for template in &self.templates {
                let offset = self.arena.len();
                template.render(&labels, &mut self.arena);
                let prefix = self.arena.len() - offset;
                self.arena.resize(offset + prefix + SLOT, 0);
                // All bits 0 is the number 0 in each kind, and shown as such.
                self.arena[offset + prefix..][..2].copy_from_slice(b"0\n");
                self.longest = self.longest.max(prefix + SLOT);
                // A line beyond 4 GiB cannot be: label values end there.
                let (prefix, len) = (prefix as u32, prefix as u32 + 2);
                self.lines.push(Line {
                    bits: 0,
                    offset,
                    prefix,
                    len,
                });
            }
            if self.source.descriptor().created {
                self.created
                    .push(self.created_line(&labels, self.column.created(series)));
            }
        }
        self.arena.extend_from_slice(&[0; SLOT]);
    }

    fn created_line(&self, labels: &[u8], created: f64) -> Vec<u8> {
        let name = sample_name(self.source.as_ref(), self.escaping, "_created");
        let mut line = Vec::new();
        render(&name, labels, &[], &mut line);
        let mut text = [0; SLOT];
        let len = print(Number::F64, created.to_bits(), &mut text);
        line.extend_from_slice(&text[..len]);
        line.push(b'\n');
        line
    }
}

/// Prints a value; how long it is.
#[inline]
pub(super) fn print(number: Number, bits: u64, into: &mut [u8; SLOT]) -> usize {
    match number {
        Number::U64 => number::print_u64_into(bits, into),
        Number::I64 => number::print_i64_into(bits as i64, into),
        Number::F64 => number::print_f64_into(f64::from_bits(bits), into),
    }
}

impl Template {
    fn render(&self, labels: &[u8], into: &mut Vec<u8>) {
        render(&self.name, labels, &self.extra, into);
    }
}

/// Renders everything before a value. `labels` and `extra` are `a="x",b="y"`.
fn render(name: &SampleName, labels: &[u8], extra: &[u8], into: &mut Vec<u8>) {
    let labelled = !(labels.is_empty() && extra.is_empty());
    match name {
        SampleName::Plain(name) => {
            into.extend_from_slice(name.as_bytes());
            if labelled {
                into.push(b'{');
            }
        }
        SampleName::Quoted(name) => {
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
    if labelled || matches!(name, SampleName::Quoted(_)) {
        into.push(b'}');
    }
    into.push(b' ');
}

fn push_labels(names: &[String], values: &LabelValues, into: &mut Vec<u8>) {
    for (name, value) in names.iter().zip(values.iter()) {
        push_label(name, value, into);
    }
}

/// Appends `name="value"`, behind a comma if it is not the first.
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

fn written_label_name(label: &str, escaping: Escaping) -> String {
    if name::is_classic_label_name(label) {
        label.to_owned()
    } else if escaping == Escaping::AllowUtf8 {
        quoted(label)
    } else {
        escape_label_name(label, escaping).into_owned()
    }
}

/// A metric's name as it stands in metadata and, unless quoted, before labels.
fn written_name(metric: &str, escaping: Escaping) -> SampleName {
    if name::is_classic_metric_name(metric) {
        SampleName::Plain(metric.to_owned())
    } else if escaping == Escaping::AllowUtf8 {
        SampleName::Quoted(quoted(metric))
    } else {
        SampleName::Plain(escape_name(metric, escaping).into_owned())
    }
}

/// The family's name with a suffix. The suffix is not escaped, or readers would
/// not know it: under dots `_bucket` would become `__bucket`.
fn sample_name(source: &dyn Source, escaping: Escaping, suffix: &str) -> SampleName {
    let name = &source.descriptor().name;
    match written_name(name, escaping) {
        SampleName::Plain(written) => SampleName::Plain(written + suffix),
        SampleName::Quoted(_) => SampleName::Quoted(quoted(&format!("{name}{suffix}"))),
    }
}

fn templates(source: &dyn Source, escaping: Escaping) -> Vec<Template> {
    let descriptor = source.descriptor();
    let template = |index, number, suffix: &str, label: Option<(&str, &str)>| {
        let mut extra = Vec::new();
        if let Some((name, value)) = label {
            push_label(&written_label_name(name, escaping), value, &mut extra);
        }
        Template {
            index,
            number,
            name: sample_name(source, escaping, suffix),
            extra,
        }
    };
    match &descriptor.shape {
        Shape::Single(number) => vec![template(0, *number, descriptor.suffix(), None)],
        Shape::Histogram { bounds } => {
            let inf = bounds.len();
            let bucket = |(index, bound): (usize, f64)| {
                let le = number::print_bound(bound);
                template(index, Number::U64, "_bucket", Some(("le", le.as_str())))
            };
            let all = bounds.iter().copied().chain([f64::INFINITY]);
            let mut lines: Vec<Template> = all.enumerate().map(bucket).collect();
            lines.push(template(inf + 1, Number::F64, "_sum", None));
            // The count is the last bucket, so they can never disagree.
            lines.push(template(inf, Number::U64, "_count", None));
            lines
        }
        Shape::Summary { quantiles } => {
            let quantile = |(index, quantile): (usize, &f64)| {
                let text = number::print_bound(*quantile);
                template(index, Number::F64, "", Some(("quantile", text.as_str())))
            };
            let mut lines: Vec<Template> = quantiles.iter().enumerate().map(quantile).collect();
            lines.push(template(quantiles.len(), Number::F64, "_sum", None));
            lines.push(template(quantiles.len() + 1, Number::U64, "_count", None));
            lines
        }
        Shape::StateSet { states } => states
            .iter()
            .enumerate()
            .map(|(index, state)| template(index, Number::U64, "", Some((&descriptor.name, state))))
            .collect(),
    }
}

/// `# HELP` and `# TYPE`, in the order and the words of the format.
fn head(source: &dyn Source, format: Format, escaping: Escaping, bare_name: bool) -> Vec<u8> {
    let descriptor = source.descriptor();
    let open_metrics = format == Format::OpenMetrics;
    // OpenMetrics calls a counter `x` whose sample is `x_total`. Where another
    // family is called `x`, the sample is still valid, as of unknown type.
    let bare = open_metrics && bare_name;
    let suffix = if bare { "" } else { descriptor.suffix() };
    let (SampleName::Plain(name) | SampleName::Quoted(name)) =
        sample_name(source, escaping, suffix);
    let kind = match descriptor.kind {
        Kind::Counter if open_metrics && !bare => "unknown",
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
        Kind::Summary => "summary",
        Kind::Info if bare => "info",
        Kind::StateSet if open_metrics => "stateset",
        Kind::Info | Kind::StateSet => "gauge",
        Kind::Unknown if open_metrics => "unknown",
        Kind::Unknown => "untyped",
    };
    let mut head = Vec::new();
    let mut metadata = |keyword: &str, text: &[u8]| {
        for part in [
            b"# ",
            keyword.as_bytes(),
            b" ",
            name.as_bytes(),
            b" ",
            text,
            b"\n",
        ] {
            head.extend_from_slice(part);
        }
    };
    let mut help = Vec::new();
    escape_help(&descriptor.help, open_metrics, &mut help);
    if !open_metrics && !help.is_empty() {
        metadata("HELP", &help);
    }
    metadata("TYPE", kind.as_bytes());
    if open_metrics {
        if let Some(unit) = descriptor.unit()
            && (bare || descriptor.suffix().is_empty())
        {
            metadata("UNIT", unit.as_bytes());
        }
        if !help.is_empty() {
            metadata("HELP", &help);
        }
    }
    head
}
