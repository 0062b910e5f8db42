//! A family compiled to text: everything but the values is ready.
//!
//! ```text
//! head    # HELP … # TYPE …
//! text    name{a="x"} 17\nname{a="y"} 4\n··   the lines as last shown, in blocks
//!         └─── gap ──┘  └──── gap ───┘   └ slack
//! lines   gap, value                          their lengths in the text
//! shown   17, 4                               the numbers in the text
//! ```
//!
//! Everything that depends on names and labels is rendered and escaped once,
//! when a series joins. A block whose numbers are still those that it shows is
//! copied to the page as it is; otherwise what lies between the changed values
//! is, and the block becomes what the page has got.
//!
//! The text is one array, and read from its beginning to its end with hardly a
//! hole: with room for the longest values in each block (512 bytes or more),
//! and with an array for each block, what foresees memory accesses lost the
//! thread, and 100,000 lines took up to 1.5 times as long. A record of its own
//! for each line, with a slot for its value, was as fast when every value had
//! changed, but took 1.7 times as long when few had.

use super::escape::{escape_help, quote};
use super::format::Escaping;
use super::name_scheme::{written_label_name, written_metric_name};
use super::number::{self, MAX_LEN, SCRATCH};
use crate::MetricType;
use crate::cell::Number;
use crate::family::{Change, Column, Shape, Source, ends_in_unit};
use crate::label::LabelValues;
use crate::name;
use std::sync::Arc;

/// Lines in a block, unless one series has more. Fewer cost more calls, more
/// cost more walking where a few values have changed.
const BLOCK: usize = 32;

/// Bytes by which a block may grow before the text is laid anew.
const SLACK: usize = 64;

/// Where the lines of some series are in the text.
pub(super) struct Block {
    pub(super) start: usize,
    /// Bytes of the lines on the page written last.
    pub(super) len: usize,
    /// Bytes up to the next block.
    pub(super) room: usize,
    /// Bytes of the lines at most, whatever the values.
    pub(super) longest: usize,
    /// Bytes behind the last value.
    tail: usize,
}

/// A line of the page.
#[derive(Clone, Copy)]
pub(super) struct Line {
    /// Bytes between the value before this one, or the beginning of the block,
    /// and the value.
    pub(super) gap: u32,
    /// Bytes of the value.
    pub(super) value: u32,
}

/// One line of each series of a family: what a row's number becomes.
pub(super) struct Template {
    /// Where in the row the number is.
    pub(super) index: usize,
    pub(super) number: Number,
    /// Whether the line may have an exemplar.
    pub(super) exemplar: bool,
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
    /// Metadata.
    pub(super) head: Vec<u8>,
    pub(super) templates: Vec<Template>,
    /// Numbers in a row.
    pub(super) width: usize,
    /// Series in a block; the last may have fewer.
    pub(super) per_block: usize,
    pub(super) blocks: Vec<Block>,
    pub(super) text: Vec<u8>,
    pub(super) lines: Vec<Line>,
    /// The numbers that the text shows, in rows.
    pub(super) shown: Vec<u64>,
    /// Whether the lines of a series end with `_created` in this dialect.
    created: bool,
    /// Whether lines of this family may have exemplars in this dialect.
    pub(super) exemplars: bool,
    /// Whether the lines of some block are longer than its room: the text is
    /// not what the page shows until it is laid anew.
    pub(super) outgrown: bool,
    dialect: Dialect,
    /// The labels that all series share, rendered.
    const_labels: Vec<u8>,
    label_names: Vec<String>,
}

/// What decides how a series is written, beside its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) openmetrics: bool,
    pub(super) escaping: Escaping,
}

impl FamilyLines {
    /// An empty layout; `bare_name` says whether OpenMetrics may call the family
    /// by its name without suffix, because nobody else has that name.
    pub(super) fn new(source: Arc<dyn Source>, dialect: Dialect, bare_name: bool) -> Self {
        let descriptor = source.descriptor();
        let label_name = |name: &str| label_name(name, dialect.escaping);
        let mut const_labels = Vec::new();
        for (name, value) in &descriptor.const_labels {
            push_label(&label_name(name), value, &mut const_labels);
        }
        let label_names = descriptor
            .label_names
            .iter()
            .map(|name| label_name(name))
            .collect();
        let templates = templates(source.as_ref(), dialect);
        let mut family = Self {
            column: Arc::clone(&source).column(),
            head: Vec::new(),
            width: source.width(),
            per_block: (BLOCK / templates.len()).max(1),
            templates,
            blocks: Vec::new(),
            text: Vec::new(),
            lines: Vec::new(),
            shown: Vec::new(),
            created: false,
            exemplars: false,
            outgrown: false,
            dialect,
            const_labels,
            label_names,
            full_name: descriptor.full_name(),
            source,
        };
        family.set_head(bare_name);
        family
    }

    /// Renders the metadata.
    pub(super) fn set_head(&mut self, bare_name: bool) {
        self.head = head(self.source.as_ref(), self.dialect, bare_name);
        // A counter that must be of unknown type there may have none.
        self.exemplars = self.dialect.openmetrics && bare_name && self.source.exemplars() > 0;
        // Nor may its series say there when they were made.
        let created = self.dialect.openmetrics && bare_name && self.source.descriptor().created;
        if created != self.created {
            self.created = created;
            self.start_over();
        }
    }

    /// Bytes of the page that the family takes at most.
    pub(super) fn room(&self) -> usize {
        self.head.len() + self.longest()
    }

    fn longest(&self) -> usize {
        self.blocks.iter().map(|block| block.longest).sum()
    }

    /// Takes over what has changed in the family.
    pub(super) fn refresh(&mut self) {
        match self.column.refresh() {
            Change::None => {}
            Change::Appended => self.complete(),
            Change::Rebuilt => self.start_over(),
        }
    }

    /// Renders all series of the column.
    #[cold]
    pub(super) fn start_over(&mut self) {
        self.blocks.clear();
        self.text.clear();
        self.lines.clear();
        self.shown.clear();
        self.outgrown = false;
        self.complete();
    }

    /// Renders the series of the column that are not laid out yet.
    fn complete(&mut self) {
        if let Some(last) = self.blocks.last() {
            self.text.truncate(last.start + last.len);
        }
        let known = self.shown.len() / self.width;
        let mut labels = Vec::new();
        for series in known..self.column.len() {
            if series.is_multiple_of(self.per_block) {
                self.close_block();
                self.blocks.push(Block {
                    start: self.text.len(),
                    len: 0,
                    room: 0,
                    longest: 0,
                    tail: 0,
                });
            }
            self.append(series, &mut labels);
        }
        self.close_block();
        if known == 0 {
            self.lines.shrink_to_fit();
            self.shown.shrink_to_fit();
            self.text.shrink_to_fit();
        }
        // What is not used of it yet is only reserved.
        let most = self.longest() + self.blocks.len() * SLACK;
        self.text.reserve_exact(most - self.text.len());
    }

    /// Renders a series at the end of the last block, each value as 0.
    fn append(&mut self, series: usize, labels: &mut Vec<u8>) {
        let before = self.text.len();
        labels.clear();
        labels.extend_from_slice(&self.const_labels);
        push_labels(&self.label_names, self.column.labels(series), labels);
        let block = self.blocks.last_mut().expect("one is open");
        for template in &self.templates {
            let value_before = self.text.len() - block.tail;
            template.render(labels, &mut self.text);
            // A line beyond 4 GiB cannot be: label values end there.
            let gap = (self.text.len() - value_before) as u32;
            self.lines.push(Line { gap, value: 1 });
            self.text.extend_from_slice(b"0\n");
            block.tail = 1;
        }
        // All bits 0 is the number 0 in each kind.
        self.shown.resize(self.shown.len() + self.width, 0);
        if self.created {
            let before = self.text.len();
            let name = sample_name(self.source.as_ref(), self.dialect.escaping, "_created");
            render(&name, labels, &[], &mut self.text);
            let created = number::print_f64(self.column.created(series));
            self.text.extend_from_slice(created.as_bytes());
            self.text.push(b'\n');
            block.tail += self.text.len() - before;
        }
        block.longest += self.text.len() - before + self.templates.len() * (MAX_LEN - 1);
    }

    /// Ends the last block, if there is one.
    fn close_block(&mut self) {
        if let Some(block) = self.blocks.last_mut() {
            block.len = self.text.len() - block.start;
            block.room = block.len + SLACK;
            self.text.resize(block.start + block.room, 0);
        }
    }

    /// Lays the text anew, from the lines on a page, where some block has
    /// outgrown its room. Allocates nothing: none outgrows its longest values.
    #[cold]
    pub(super) fn lay(&mut self, mut page: &[u8]) {
        self.text.clear();
        for block in &mut self.blocks {
            let lines;
            (lines, page) = page.split_at(block.len);
            block.start = self.text.len();
            if block.room < block.len {
                block.room = block.len + SLACK;
            }
            self.text.extend_from_slice(lines);
            self.text.resize(block.start + block.room, 0);
        }
        self.outgrown = false;
    }
}

/// Prints a value; how long it is.
#[inline(always)]
pub(super) fn print(number: Number, bits: u64, into: &mut [u8; SCRATCH]) -> usize {
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

/// A label's name as it stands before `=`.
fn label_name(label: &str, escaping: Escaping) -> String {
    let written = written_label_name(label, escaping);
    match name::is_classic_label_name(&written) {
        true => written.into_owned(),
        false => quoted(&written),
    }
}

/// The family's name with a suffix. The suffix is not escaped, or readers would
/// not know it: under dots `_bucket` would become `__bucket`.
fn sample_name(source: &dyn Source, escaping: Escaping, suffix: &str) -> SampleName {
    let written = written_metric_name(&source.descriptor().name, escaping).into_owned() + suffix;
    match name::is_classic_metric_name(&written) {
        true => SampleName::Plain(written),
        false => SampleName::Quoted(quoted(&written)),
    }
}

fn templates(source: &dyn Source, dialect: Dialect) -> Vec<Template> {
    let descriptor = source.descriptor();
    let escaping = dialect.escaping;
    let template = |index, number, suffix: &str, label: Option<(&str, &str)>| {
        let mut extra = Vec::new();
        if let Some((name, value)) = label {
            push_label(&label_name(name, escaping), value, &mut extra);
        }
        Template {
            index,
            number,
            exemplar: index < source.exemplars() && matches!(suffix, "_total" | "_bucket"),
            name: sample_name(source, escaping, suffix),
            extra,
        }
    };
    match &descriptor.shape {
        Shape::Single(number) => vec![template(
            0,
            *number,
            descriptor.metric_type.name_suffix(),
            None,
        )],
        Shape::Histogram { bounds } => {
            let inf = bounds.len();
            let bucket = |(index, bound): (usize, f64)| {
                let le = number::print_bound(bound);
                template(index, Number::U64, "_bucket", Some(("le", le.as_str())))
            };
            let all = bounds.iter().copied().chain([f64::INFINITY]);
            let mut lines: Vec<Template> = all.enumerate().map(bucket).collect();
            // A sum that may fall is none to OpenMetrics, and a count does not
            // stand without one.
            let negative = bounds.first().is_some_and(|bound| *bound < 0.0);
            if negative && dialect.openmetrics {
                return lines;
            }
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
fn head(source: &dyn Source, dialect: Dialect, bare_name: bool) -> Vec<u8> {
    let descriptor = source.descriptor();
    let openmetrics = dialect.openmetrics;
    // OpenMetrics calls a counter `x` whose sample is `x_total`. Where another
    // family is called `x`, the sample is still valid, as of unknown type.
    let bare = openmetrics && bare_name;
    let suffix = if bare {
        ""
    } else {
        descriptor.metric_type.name_suffix()
    };
    let (SampleName::Plain(name) | SampleName::Quoted(name)) =
        sample_name(source, dialect.escaping, suffix);
    let shown_type = match descriptor.metric_type {
        MetricType::Counter if openmetrics && !bare => MetricType::Unknown,
        MetricType::Info if !bare => MetricType::Gauge,
        MetricType::StateSet if !openmetrics => MetricType::Gauge,
        metric_type => metric_type,
    };
    let type_word = shown_type.type_word(openmetrics);
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
    escape_help(&descriptor.help, openmetrics, &mut help);
    if !openmetrics && !help.is_empty() {
        metadata("HELP", &help);
    }
    metadata("TYPE", type_word.as_bytes());
    if openmetrics {
        // Where the name does not end in it, as written, there is none.
        if let Some(unit) = descriptor.unit()
            && (bare || descriptor.metric_type.name_suffix().is_empty())
            && ends_in_unit(
                &written_metric_name(&descriptor.name, dialect.escaping),
                unit,
            )
        {
            metadata("UNIT", unit.as_bytes());
        }
        if !help.is_empty() {
            metadata("HELP", &help);
        }
    }
    head
}
