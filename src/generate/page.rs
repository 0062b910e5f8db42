//! Valid pages, line by line.

use super::choices::Choices;
use crate::exposition::{ContentType, Escaping, Format};

/// A page as lines, so that a fault can be put into one of them.
pub(super) struct PageLines {
    pub(super) lines: Vec<PageLine>,
}

/// A line of a page, without its end.
#[derive(Clone)]
pub(super) struct PageLine {
    pub(super) text: String,
    pub(super) kind: PageLineKind,
    /// The number of its family.
    pub(super) family: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageLineKind {
    /// A comment or an empty line.
    Comment,
    Help,
    Type,
    Unit,
    Sample(SampleParts),
    /// `# EOF`
    End,
}

/// The parts of a sample's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SampleParts {
    pub(super) role: Role,
    /// Where the first label begins and ends, if there is one.
    pub(super) label: Option<(usize, usize)>,
    /// Where the value begins and ends.
    pub(super) value: (usize, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    CounterTotal,
    Bucket,
    LastBucket,
    Count,
    /// A composite value of a histogram.
    CompositeHistogram,
    Other,
}

impl PageLines {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        let mut page = String::new();
        for line in self.lines {
            page.push_str(&line.text);
            page.push('\n');
        }
        page.into_bytes()
    }
}

pub(super) fn generate(choices: &mut Choices<'_, '_>, content_type: ContentType) -> PageLines {
    let mut writer = PageWriter {
        openmetrics: content_type.format.is_openmetrics(),
        composite: content_type.format == Format::OpenMetrics2,
        quotes: content_type.format != Format::Text && content_type.escaping == Escaping::AllowUtf8,
        choices,
        lines: Vec::new(),
        family: 0,
    };
    for family in 0..1 + writer.choices.below(5) {
        writer.family = family;
        writer.write_family();
    }
    if writer.openmetrics {
        writer.push("# EOF".to_owned(), PageLineKind::End);
    }
    PageLines {
        lines: writer.lines,
    }
}

struct PageWriter<'w, 'a, 'b> {
    choices: &'w mut Choices<'a, 'b>,
    openmetrics: bool,
    /// A sample is a whole metric, as in OpenMetrics 2.0.
    composite: bool,
    /// Names may be any text, in quotes.
    quotes: bool,
    lines: Vec<PageLine>,
    family: usize,
}

/// The labels of a series, with what its samples share.
struct LabelledSeries {
    labels: Vec<(String, String)>,
    timestamp: String,
}

const BOUNDS: [(&str, f64); 5] = [
    ("0.005", 0.005),
    ("0.1", 0.1),
    ("1.0", 1.0),
    ("2.5", 2.5),
    ("1e+06", 1e6),
];

impl PageWriter<'_, '_, '_> {
    fn push(&mut self, text: String, kind: PageLineKind) {
        self.lines.push(PageLine {
            text,
            kind,
            family: self.family,
        });
    }

    /// Writes metadata and samples. The number in the name keeps families apart.
    fn write_family(&mut self) {
        const WORDS: [&str; 6] = ["a", "requests", "_x", "a:b", "http_server", "A9"];
        const ANY_WORDS: [&str; 4] = ["größe", "a.b c", "{}", "x\"\\\n"];
        const TYPES: [&str; 5] = ["counter", "gauge", "histogram", "summary", "untyped"];
        const OPENMETRICS_TYPES: [&str; 8] = [
            "counter",
            "gauge",
            "histogram",
            "summary",
            "unknown",
            "info",
            "stateset",
            "gaugehistogram",
        ];
        let family_type = match self.openmetrics {
            true => self.choices.of(&OPENMETRICS_TYPES),
            false => self.choices.of(&TYPES),
        };
        // The name of a state set is a label name, too.
        let word = match self.quotes && family_type != "stateset" && self.choices.rarely(3) {
            true => self.choices.of(&ANY_WORDS),
            false if family_type == "stateset" => "state",
            false => self.choices.of(&WORDS),
        };
        let mut name = format!("{word}_{}", self.family);
        let has_unit = self.openmetrics
            && !matches!(family_type, "info" | "stateset")
            && self.choices.rarely(3);
        if has_unit {
            name.push_str("_seconds");
        }
        if self.composite {
            name.push_str(match family_type {
                "info" => "_info",
                "counter" => self.choices.of(&["_total", ""]),
                _ => "",
            });
        }
        self.write_metadata(&name, family_type, has_unit);
        let labelled = self.choices.below(4);
        for index in 0..1 + self.choices.below(3) {
            let series = self.series(index, labelled);
            match self.composite {
                true => self.write_composite(&name, family_type, &series),
                false => self.write_series(&name, family_type, &series),
            }
            if self.choices.rarely(8) {
                self.write_comment();
            }
        }
    }

    fn write_metadata(&mut self, name: &str, family_type: &str, has_unit: bool) {
        let quoted = self.metadata_name(name, family_type);
        let mut lines = vec![(PageLineKind::Type, format!("# TYPE {quoted} {family_type}"))];
        let is_untyped = matches!(family_type, "untyped" | "unknown");
        if is_untyped && !has_unit && self.choices.below(2) == 1 {
            lines.clear();
        }
        if has_unit {
            lines.push((PageLineKind::Unit, format!("# UNIT {quoted} seconds")));
        }
        let mut help = self
            .choices
            .text()
            .replace('\\', "\\\\")
            .replace('\n', "\\n");
        if self.openmetrics {
            help = help.replace('"', "\\\"");
        }
        if !help.is_empty() {
            lines.push((PageLineKind::Help, format!("# HELP {quoted} {help}")));
        }
        let first = self.choices.below(lines.len().max(1));
        lines.rotate_left(first);
        for (kind, text) in lines {
            self.push(text, kind);
        }
    }

    /// Returns the name as metadata has it.
    fn metadata_name(&self, name: &str, family_type: &str) -> String {
        // A counter is called after its sample in the text formats.
        let suffix = match family_type {
            "counter" if !self.openmetrics => "_total",
            _ => "",
        };
        let name = format!("{name}{suffix}");
        match crate::name::is_classic_metric_name(&name) {
            true => name,
            false => quote(&name),
        }
    }

    /// Writes a comment or an empty line, which OpenMetrics does not have.
    fn write_comment(&mut self) {
        if !self.openmetrics {
            let text = self
                .choices
                .of(&["", "# a comment", "#", "# TYPES of things"]);
            self.push(text.to_owned(), PageLineKind::Comment);
        }
    }

    /// Chooses the labels of a series: the first tells it from the others.
    fn series(&mut self, index: usize, labelled: usize) -> LabelledSeries {
        const NAMES: [&str; 4] = ["code", "path", "_p", "a9"];
        let mut labels = Vec::new();
        if index > 0 || labelled > 0 {
            labels.push(("n".to_owned(), index.to_string()));
        }
        for name in &NAMES[..labelled] {
            labels.push((name.to_string(), self.choices.text()));
        }
        let timestamp = match (self.choices.rarely(4), self.openmetrics) {
            (false, _) => String::new(),
            (true, true) => self.choices.of(&[" 1700000000", " 1.5", " 0"]).to_owned(),
            (true, false) => self.choices.of(&[" 1700000000123", " 0"]).to_owned(),
        };
        LabelledSeries { labels, timestamp }
    }

    fn write_series(&mut self, name: &str, family_type: &str, series: &LabelledSeries) {
        match family_type {
            "counter" => {
                let value = self.positive();
                let sample = self.sample(name, "_total", None, series, &value, Role::CounterTotal);
                let exemplar = self.exemplar(1.0);
                self.push(sample.0 + &exemplar, sample.1);
                self.write_created(name, series);
            }
            "histogram" | "gaugehistogram" => self.write_histogram(name, family_type, series),
            "summary" => self.write_summary(name, series),
            "info" => self.write_sample(name, "_info", None, series, "1"),
            "stateset" => {
                for state in ["on", "off"] {
                    let value = self.choices.of(&["0", "1"]);
                    self.write_sample(name, "", Some((name, state)), series, value);
                }
            }
            _ => {
                let value = self.number();
                self.write_sample(name, "", None, series, &value);
            }
        }
    }

    fn write_histogram(&mut self, name: &str, family_type: &str, series: &LabelledSeries) {
        let (sum, count) = match family_type {
            "histogram" => ("_sum", "_count"),
            _ => ("_gsum", "_gcount"),
        };
        let mut observed = 0;
        for (text, bound) in &BOUNDS[..self.choices.below(BOUNDS.len() + 1)] {
            observed += self.choices.below(1000);
            let value = observed.to_string();
            let label = Some(("le", *text));
            let sample = self.sample(name, "_bucket", label, series, &value, Role::Bucket);
            let exemplar = self.exemplar(*bound);
            self.push(sample.0 + &exemplar, sample.1);
        }
        observed += self.choices.below(1000);
        let value = observed.to_string();
        let label = Some(("le", "+Inf"));
        let sample = self.sample(name, "_bucket", label, series, &value, Role::LastBucket);
        self.push(sample.0, sample.1);
        let count = self.sample(name, count, None, series, &value, Role::Count);
        let total = self.positive();
        let sum = self.sample(name, sum, None, series, &total, Role::Other);
        let pair = match self.choices.below(2) {
            0 => [sum, count],
            _ => [count, sum],
        };
        for (text, kind) in pair {
            self.push(text, kind);
        }
        if family_type == "histogram" {
            self.write_created(name, series);
        }
    }

    fn write_summary(&mut self, name: &str, series: &LabelledSeries) {
        for quantile in &["0.5", "0.9", "0.99"][..self.choices.below(4)] {
            let value = self.positive();
            self.write_sample(name, "", Some(("quantile", quantile)), series, &value);
        }
        let (sum, count) = (self.positive(), self.choices.below(1000).to_string());
        self.write_sample(name, "_sum", None, series, &sum);
        self.write_sample(name, "_count", None, series, &count);
        self.write_created(name, series);
    }

    fn write_created(&mut self, name: &str, series: &LabelledSeries) {
        if self.openmetrics && self.choices.rarely(3) {
            self.write_sample(name, "_created", None, series, "1699999999.5");
        }
    }

    /// Writes a metric of OpenMetrics 2.0.
    fn write_composite(&mut self, name: &str, family_type: &str, series: &LabelledSeries) {
        let (value, role) = match family_type {
            // Its name has the suffix.
            "info" => return self.write_sample(name, "", None, series, "1"),
            "stateset" | "gauge" => return self.write_series(name, family_type, series),
            "counter" => (self.positive(), Role::CounterTotal),
            "summary" => (self.composite_summary(), Role::Other),
            "histogram" => (self.composite_histogram(""), Role::CompositeHistogram),
            "gaugehistogram" => (self.composite_histogram("g"), Role::CompositeHistogram),
            _ => match self.choices.below(4) {
                0 => (self.composite_histogram(""), Role::CompositeHistogram),
                1 => (self.composite_summary(), Role::Other),
                _ => (self.number(), Role::Other),
            },
        };
        let (mut text, kind) = self.sample(name, "", None, series, &value, role);
        if family_type != "gaugehistogram" && self.choices.below(2) == 1 {
            text += self
                .choices
                .of(&[" st@1600000000.5", " st@-1", " st@1.6e9"]);
        }
        for _ in 0..self.choices.below(3) {
            text += &self.exemplar(1.0);
        }
        self.push(text, kind);
    }

    fn composite_summary(&mut self) -> String {
        let (count, sum) = (self.choices.below(1000), self.positive());
        let quantiles = ["0", "0.5", "9e-1", "1.0"];
        let quantiles = &quantiles[self.choices.below(quantiles.len() + 1)..];
        let quantiles = quantiles.iter().map(|quantile| {
            let value = match self.choices.rarely(4) {
                true => "NaN".to_owned(),
                false => self.positive(),
            };
            format!("{quantile}:{value}")
        });
        let quantiles: Vec<String> = quantiles.collect();
        format!(
            "{{count:{count},sum:{sum},quantile:[{}]}}",
            quantiles.join(",")
        )
    }

    /// Returns a histogram with classic buckets, native ones, or both. `gauge` is before
    /// the names of count and sum.
    fn composite_histogram(&mut self, gauge: &str) -> String {
        let which = self.choices.below(3);
        let (native, mut count) = match which {
            0 => (String::new(), 0),
            _ => self.native_buckets(),
        };
        let mut classic = String::new();
        if which != 1 {
            let mut observed = 0;
            let mut buckets = Vec::new();
            if self.choices.rarely(4) {
                buckets.push("-Inf:0".to_owned());
            }
            let finite = self.choices.below(BOUNDS.len() + 1);
            if which == 0 {
                count = self.choices.below(5000);
            }
            for (bound, _) in &BOUNDS[..finite] {
                observed += self.choices.below(count - observed + 1);
                buckets.push(format!("{bound}:{observed}"));
            }
            buckets.push(format!("+Inf:{count}"));
            classic = format!(",bucket:[{}]", buckets.join(","));
        }
        let sum = self.number();
        format!("{{{gauge}count:{count},{gauge}sum:{sum}{native}{classic}}}")
    }

    /// Returns the fields of native buckets, and their total.
    fn native_buckets(&mut self) -> (String, usize) {
        let schema = self.choices.of(&["-4", "0", "3", "8"]);
        let mut total = self.choices.below(3);
        let mut fields = format!(
            ",schema:{schema},zero_threshold:{},zero_count:{total}",
            self.choices.of(&["0", "1e-128", "0.001"])
        );
        for side in ["negative", "positive"] {
            let (mut spans, mut buckets) = (Vec::new(), Vec::new());
            for span in 0..self.choices.below(3) {
                let offset = match span {
                    0 => self.choices.of(&["-7", "0", "3", "+2"]),
                    _ => self.choices.of(&["0", "1", "5"]),
                };
                let length = 1 + self.choices.below(3);
                spans.push(format!("{offset}:{length}"));
                for _ in 0..length {
                    let count = self.choices.below(100);
                    total += count;
                    buckets.push(count.to_string());
                }
            }
            if !spans.is_empty() || self.choices.rarely(8) {
                let (spans, buckets) = (spans.join(","), buckets.join(","));
                fields += &format!(",{side}_spans:[{spans}],{side}_buckets:[{buckets}]");
            }
        }
        (fields, total)
    }

    fn write_sample(
        &mut self,
        name: &str,
        suffix: &str,
        extra: Option<(&str, &str)>,
        series: &LabelledSeries,
        value: &str,
    ) {
        let (text, kind) = self.sample(name, suffix, extra, series, value, Role::Other);
        self.push(text, kind);
    }

    /// Returns the line of a sample without exemplar.
    fn sample(
        &mut self,
        name: &str,
        suffix: &str,
        extra: Option<(&str, &str)>,
        series: &LabelledSeries,
        value: &str,
        role: Role,
    ) -> (String, PageLineKind) {
        let mut labels: Vec<String> = series
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={}", quote(value)))
            .collect();
        if let Some((name, value)) = extra {
            let place = self.choices.below(labels.len() + 1);
            labels.insert(place, format!("{name}={}", quote(value)));
        }
        let name = format!("{name}{suffix}");
        let (mut text, quoted) = match crate::name::is_classic_metric_name(&name) {
            true => (name, None),
            false => (String::new(), Some(quote(&name))),
        };
        let mut first = None;
        if quoted.is_some() || !labels.is_empty() {
            text.push('{');
            text += self.blank();
            text += quoted.as_deref().unwrap_or_default();
            for (index, label) in labels.iter().enumerate() {
                if index > 0 || quoted.is_some() {
                    text += ",";
                    text += self.blank();
                }
                first = first.or(Some((text.len(), text.len() + label.len())));
                text += label;
            }
            if !self.openmetrics && self.choices.rarely(8) {
                text.push(',');
            }
            text += self.blank();
            text.push('}');
        }
        text.push(' ');
        text += self.blank();
        let begin = text.len();
        text += value;
        let sample = SampleParts {
            role,
            label: first,
            value: (begin, text.len()),
        };
        text += &series.timestamp;
        (text, PageLineKind::Sample(sample))
    }

    /// Returns blanks where the text formats allow them.
    fn blank(&mut self) -> &'static str {
        match !self.openmetrics && self.choices.rarely(8) {
            true => self.choices.of(&[" ", "\t", "  "]),
            false => "",
        }
    }

    /// Returns an exemplar of at most this value, or nothing.
    fn exemplar(&mut self, most: f64) -> String {
        if !self.openmetrics || !self.choices.rarely(4) {
            return String::new();
        }
        let labels = match self.choices.below(3) {
            0 => String::new(),
            1 => format!("trace_id=\"{:016x}\"", self.choices.bits()),
            _ => format!("a={},b=\"\"", quote(&self.choices.text())),
        };
        let timestamp = match self.composite {
            true => " 1700000000.25",
            false => self.choices.of(&["", " 1700000000.25"]),
        };
        format!(" # {{{labels}}} {}{timestamp}", most / 2.0)
    }

    /// Returns a number in any spelling.
    fn number(&mut self) -> String {
        match self.choices.below(3) {
            0 => self
                .choices
                .of(&["NaN", "+Inf", "-Inf", "-0", "-1.5e-300", "-3"])
                .to_owned(),
            _ => self.positive(),
        }
    }

    /// Returns a finite number that is not negative.
    fn positive(&mut self) -> String {
        match self.choices.below(3) {
            0 => self
                .choices
                .of(&[
                    "0",
                    "1",
                    "0.1",
                    "1e3",
                    "1E-3",
                    "+5",
                    ".5",
                    "5.",
                    "1.5e+10",
                    "9007199254740993",
                ])
                .to_owned(),
            1 => self.choices.below(1_000_000).to_string(),
            _ => {
                let any = f64::from_bits(self.choices.bits()).abs();
                let number = if any.is_finite() { any } else { 1.0 };
                format!("{number:e}")
            }
        }
    }
}

fn quote(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('"', "\\\"");
    format!("\"{escaped}\"")
}
