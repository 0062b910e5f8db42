//! Sorts the samples of a family into rows of numbers, one row a series.

use super::{Collected, Sample};
use std::collections::HashMap;
use stethoscope::MetricType;
use stethoscope::cell::Exemplar;

/// A family as the engine has it: a heading, and rows of the same width.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Table {
    /// Without the suffix that the type adds.
    pub(super) name: String,
    pub(super) help: String,
    pub(super) unit: String,
    pub(super) metric_type: MetricType,
    pub(super) label_names: Vec<String>,
    /// The bounds of a histogram but for `+Inf`, or the quantiles of a summary.
    pub(super) bounds: Vec<f64>,
    /// The states of a state set.
    pub(super) states: Vec<String>,
    /// Whether the series say when they were made.
    pub(super) created: bool,
    /// Whether a row of it has an exemplar.
    pub(super) exemplars: bool,
    pub(super) rows: Vec<Row>,
}

/// One series.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    /// In the order of the table's label names.
    pub(super) labels: Vec<String>,
    /// The bits of each number, as the table's type has them.
    pub(super) numbers: Vec<u64>,
    /// Seconds since the epoch.
    pub(super) created: Option<f64>,
    /// By the number that they belong to.
    pub(super) exemplars: Vec<(usize, Box<Exemplar>)>,
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.labels == other.labels && self.numbers == other.numbers
    }
}

/// A series on its way into a row: its samples, by the part that they play.
#[derive(Default)]
struct Parts {
    labels: Vec<(String, String)>,
    /// By bound, quantile or state, in the order in which they came.
    keyed: Vec<(String, f64, Option<Box<Exemplar>>)>,
    value: Option<(f64, Option<Box<Exemplar>>)>,
    sum: Option<f64>,
    count: Option<f64>,
    created: Option<f64>,
}

/// The part that a sample plays in its series.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Value,
    Keyed,
    Sum,
    Count,
    Created,
}

impl Table {
    /// Sorts a family into tables.
    ///
    /// There is one, of the family's type, if the samples are those that the
    /// type has. Otherwise there is one of unknown type for each sample name.
    pub(super) fn sort(mut collected: Collected) -> Vec<Self> {
        if collected.samples.is_empty() {
            return Vec::new();
        }
        if let Some(table) = Self::typed(&mut collected) {
            return vec![table];
        }
        let mut by_name: Vec<(String, Vec<Sample>)> = Vec::new();
        for sample in collected.samples {
            match by_name.iter_mut().find(|(name, _)| *name == sample.name) {
                Some((_, samples)) => samples.push(sample),
                None => by_name.push((sample.name.clone(), vec![sample])),
            }
        }
        let unknown = |(name, samples)| {
            let mut family = Collected {
                name,
                help: collected.help.clone(),
                unit: String::new(),
                metric_type: "unknown".to_owned(),
                samples,
            };
            Self::typed(&mut family)
        };
        by_name.into_iter().filter_map(unknown).collect()
    }

    /// The name as it stands in the text format.
    pub(super) fn full_name(&self) -> String {
        format!("{}{}", self.name, self.metric_type.name_suffix())
    }

    /// Takes the samples as those of the family's own type. `None`, and the
    /// samples left where they are, if they are not.
    fn typed(collected: &mut Collected) -> Option<Self> {
        let metric_type = match collected.metric_type.as_str() {
            "counter" => MetricType::Counter,
            "gauge" => MetricType::Gauge,
            "histogram" => MetricType::Histogram,
            "summary" => MetricType::Summary,
            "info" => MetricType::Info,
            "stateset" => MetricType::StateSet,
            "unknown" | "untyped" => MetricType::Unknown,
            _ => return None,
        };
        let name = &collected.name;
        let part = |sample: &Sample| part(metric_type, sample.name.strip_prefix(name.as_str())?);
        let parts: Option<Vec<Part>> = collected.samples.iter().map(part).collect();
        let key_label = match metric_type {
            MetricType::Histogram => "le",
            MetricType::Summary => "quantile",
            _ => name.as_str(),
        };
        let mut series = group(&collected.samples, &parts?, key_label)?;

        let keys: Vec<String> = series.first().map_or_else(Vec::new, |first| {
            first.keyed.iter().map(|(key, ..)| key.clone()).collect()
        });
        let keys_agree = series
            .iter()
            .all(|parts| parts.keyed.iter().map(|(key, ..)| key).eq(&keys));
        if !keys_agree {
            return None;
        }
        let mut table = Self {
            name: name.clone(),
            help: collected.help.clone(),
            unit: unit(name, &collected.unit, metric_type),
            metric_type,
            label_names: label_names(&series),
            bounds: Vec::new(),
            states: Vec::new(),
            created: series.iter().any(|parts| parts.created.is_some()),
            exemplars: collected.samples.iter().any(|s| s.exemplar.is_some()),
            rows: Vec::new(),
        };
        table.set_keys(keys)?;
        let rows: Option<Vec<Row>> = series.iter_mut().map(|parts| table.row(parts)).collect();
        table.rows = rows?;
        Some(table)
    }

    fn set_keys(&mut self, keys: Vec<String>) -> Option<()> {
        match self.metric_type {
            MetricType::StateSet => self.states = keys,
            MetricType::Histogram | MetricType::Summary => {
                let numbers: Option<Vec<f64>> = keys.iter().map(|key| number(key)).collect();
                self.bounds = numbers?;
                if self.metric_type == MetricType::Histogram
                    && self.bounds.pop() != Some(f64::INFINITY)
                {
                    return None;
                }
                if !self.bounds.is_sorted_by(|a, b| a < b) {
                    return None;
                }
            }
            _ => {}
        }
        Some(())
    }

    /// `None` if a part is missing that the type cannot do without.
    fn row(&self, parts: &mut Parts) -> Option<Row> {
        let mut row = Row {
            labels: self.label_values(&parts.labels),
            created: parts.created,
            ..Row::default()
        };
        let mut keep = |index, exemplar: &mut Option<Box<Exemplar>>| {
            row.exemplars.extend(exemplar.take().map(|it| (index, it)));
        };
        row.numbers = match self.metric_type {
            MetricType::Histogram => {
                let mut counts = Vec::with_capacity(parts.keyed.len() + 1);
                for (index, (_, count, exemplar)) in parts.keyed.iter_mut().enumerate() {
                    counts.push(whole(*count)?);
                    keep(index, exemplar);
                }
                if !counts.is_sorted() {
                    return None;
                }
                // Below 0, prometheus_client shows no sum.
                counts.push(parts.sum.unwrap_or(f64::NAN).to_bits());
                counts
            }
            MetricType::Summary => {
                let quantiles = parts.keyed.iter().map(|(_, value, _)| value.to_bits());
                quantiles
                    .chain([parts.sum?.to_bits(), whole(parts.count?)?])
                    .collect()
            }
            MetricType::StateSet => {
                let states = parts
                    .keyed
                    .iter()
                    .map(|(_, value, _)| u64::from(*value != 0.0));
                states.collect()
            }
            _ => {
                let (value, exemplar) = parts.value.as_mut()?;
                keep(0, exemplar);
                vec![value.to_bits()]
            }
        };
        Some(row)
    }

    /// A label that a series does not have is empty, which to Prometheus is
    /// the same.
    fn label_values(&self, labels: &[(String, String)]) -> Vec<String> {
        let value = |name: &String| labels.iter().find(|(label, _)| label == name);
        self.label_names
            .iter()
            .map(|name| value(name).map_or_else(String::new, |(_, value)| value.clone()))
            .collect()
    }
}

fn part(metric_type: MetricType, suffix: &str) -> Option<Part> {
    Some(match (metric_type, suffix) {
        (MetricType::Counter, "_total") | (MetricType::Info, "_info") => Part::Value,
        (MetricType::Gauge | MetricType::Unknown, "") => Part::Value,
        (MetricType::Histogram, "_bucket") => Part::Keyed,
        (MetricType::Summary | MetricType::StateSet, "") => Part::Keyed,
        (MetricType::Histogram | MetricType::Summary, "_sum") => Part::Sum,
        (MetricType::Histogram | MetricType::Summary, "_count") => Part::Count,
        (MetricType::Counter | MetricType::Histogram | MetricType::Summary, "_created") => {
            Part::Created
        }
        _ => return None,
    })
}

/// Puts samples of the same series together. `None` if a part is there twice,
/// or a key is missing.
fn group(samples: &[Sample], parts: &[Part], key_label: &str) -> Option<Vec<Parts>> {
    let mut series: Vec<Parts> = Vec::new();
    let mut places: HashMap<Vec<(&str, &str)>, usize> = HashMap::new();
    for (sample, part) in samples.iter().zip(parts) {
        let is_key = |name: &str| *part == Part::Keyed && name == key_label;
        let mut identity: Vec<(&str, &str)> = Vec::with_capacity(sample.labels.len());
        let mut key = None;
        for (name, value) in &sample.labels {
            match is_key(name) {
                true => key = Some(value.clone()),
                false => identity.push((name, value)),
            }
        }
        identity.sort_unstable();
        let place = *places.entry(identity).or_insert_with(|| {
            let labels = sample.labels.iter().filter(|(name, _)| !is_key(name));
            series.push(Parts {
                labels: labels.cloned().collect(),
                ..Parts::default()
            });
            series.len() - 1
        });
        let parts = &mut series[place];
        let value = sample.value;
        let taken = match part {
            Part::Value => parts
                .value
                .replace((value, sample.exemplar.clone()))
                .is_some(),
            Part::Keyed => {
                parts.keyed.push((key?, value, sample.exemplar.clone()));
                false
            }
            Part::Sum => parts.sum.replace(value).is_some(),
            Part::Count => parts.count.replace(value).is_some(),
            Part::Created => parts.created.replace(value).is_some(),
        };
        if taken {
            return None;
        }
    }
    Some(series)
}

/// The names of all labels, in the order in which they came.
fn label_names(series: &[Parts]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (name, _) in series.iter().flat_map(|parts| &parts.labels) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// The unit, where the engine takes it.
fn unit(name: &str, unit: &str, metric_type: MetricType) -> String {
    let may_have = !matches!(metric_type, MetricType::Info | MetricType::StateSet);
    let ends_in_it = name
        .strip_suffix(unit)
        .is_some_and(|rest| rest.ends_with('_'));
    match may_have && ends_in_it {
        true => unit.to_owned(),
        false => String::new(),
    }
}

fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        text => text.parse().ok(),
    }
}

/// A count. `None` for a number that is not one.
fn whole(value: f64) -> Option<u64> {
    (value >= 0.0 && value.fract() == 0.0 && value < u64::MAX as f64).then_some(value as u64)
}
