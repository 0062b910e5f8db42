//! One family of a group: its series, summed or merged over the processes.
//!
//! The values are words, as in a segment. `kept` holds the sums of processes that have
//! died, `merged` those of all, which a reading begins with a copy of `kept`.

use super::gauge_rule::GaugeRule;
use crate::cell::{Cell, Number};
use crate::family::{Descriptor, Family, Handle, Shape};
use crate::segment::builder::{SavedSeries, SegmentBuilder};
use crate::segment::format::FamilyRecord;
use crate::segment::mirror::{self, LineEstimate, MirrorCell, MirrorTable};
use crate::{MetricType, Registry};
use std::collections::HashMap;
use std::sync::Arc;

/// The rule by which the values of processes become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Counters and histograms: the dead count, too.
    Total,
    Gauge(GaugeRule),
    /// State sets: a state is on if it is in one process.
    AnyState,
    /// Infos.
    One,
}

/// The label that tells the processes of a gauge from each other.
const PROCESS: &str = "process";

/// A family of a group.
pub(super) struct MergedFamily {
    record: FamilyRecord,
    pub(super) rule: Rule,
    /// The description on the page.
    shown: Descriptor,
    table: Arc<MirrorTable>,
    /// `None` while another family has the name.
    family: Option<Family<MirrorCell>>,
    /// Label values on the page to the index in `series`.
    index: HashMap<Vec<String>, usize>,
    /// `None` where a series was removed.
    series: Vec<Option<MergedSeries>>,
    free: Vec<usize>,
    kept: Vec<u64>,
    merged: Vec<u64>,
    /// The number of members that have the family.
    pub(super) users: usize,
    estimate: LineEstimate,
}

struct MergedSeries {
    labels: Vec<String>,
    created: f64,
    /// The number of members that have the series.
    users: usize,
    /// True if a process that has died had it.
    is_kept: bool,
    /// True if the merged words are those of a process, or kept.
    has_value: bool,
    handle: Option<Handle<MirrorCell>>,
}

impl MergedFamily {
    /// Makes a family as a segment describes it. `None` if no program could have
    /// registered it.
    pub(super) fn new(record: &FamilyRecord, gauges: impl Fn(&str) -> GaugeRule) -> Option<Self> {
        let descriptor = &record.descriptor;
        let rule = match descriptor.metric_type {
            MetricType::Counter | MetricType::Histogram => Rule::Total,
            MetricType::StateSet => Rule::AnyState,
            MetricType::Info => Rule::One,
            _ => Rule::Gauge(gauges(&descriptor.full_name())),
        };
        let shown = match rule {
            Rule::Gauge(GaugeRule::PerProcess) => with_process(descriptor),
            _ => descriptor.clone(),
        };
        let shown_record = FamilyRecord {
            encoding: record.encoding,
            parts: 1,
            descriptor: shown.clone(),
        };
        let table = Arc::new(MirrorTable::new(&shown_record));
        // Fails if the description is invalid by itself, apart from other families.
        mirror::register(&Registry::new().with_utf8_names(), &shown, &table)?;
        // Processes may have cells with other numbers of parts.
        let record = FamilyRecord {
            parts: 1,
            ..record.clone()
        };
        Some(Self {
            record,
            rule,
            estimate: LineEstimate::of(&shown),
            shown,
            table,
            family: None,
            index: HashMap::new(),
            series: Vec::new(),
            free: Vec::new(),
            kept: Vec::new(),
            merged: Vec::new(),
            users: 0,
        })
    }

    /// Returns the bytes that the lines about the family may take.
    pub(super) fn metadata_estimate(&self) -> usize {
        self.estimate.metadata
    }

    /// Begins a reading, with the sums of the dead.
    pub(super) fn begin(&mut self) {
        self.merged.copy_from_slice(&self.kept);
        for series in self.series.iter_mut().flatten() {
            series.has_value = series.is_kept;
        }
    }

    /// Returns the label values on the page of a series of the process `id`.
    pub(super) fn labels_of(&self, id: &str, labels: &[String]) -> Vec<String> {
        match self.rule {
            Rule::Gauge(GaugeRule::PerProcess) => {
                let id = std::iter::once(id.to_owned());
                id.chain(labels.iter().cloned()).collect()
            }
            _ => labels.to_vec(),
        }
    }

    /// Finds a series by its label values on the page.
    pub(super) fn find(&self, labels: &[String]) -> Option<usize> {
        self.index.get(labels).copied()
    }

    /// Returns the bytes that the lines of a series may take.
    pub(super) fn series_estimate(&self, labels: &[String]) -> usize {
        self.estimate.series(labels)
    }

    /// Adds a series, which has no user yet.
    pub(super) fn insert(&mut self, labels: Vec<String>, created: f64) -> usize {
        let index = self.free.pop().unwrap_or_else(|| {
            self.series.push(None);
            let words = self.series.len() * self.record.words();
            self.kept.resize(words, 0);
            self.merged.resize(words, 0);
            self.series.len() - 1
        });
        self.index.insert(labels.clone(), index);
        self.series[index] = Some(MergedSeries {
            labels,
            created,
            users: 0,
            is_kept: false,
            has_value: false,
            handle: None,
        });
        index
    }

    /// Counts a member that has the series.
    pub(super) fn acquire(&mut self, index: usize) {
        if let Some(series) = &mut self.series[index] {
            series.users += 1;
        }
    }

    /// Counts a member that no longer has the series.
    pub(super) fn release(&mut self, index: usize) {
        if let Some(series) = &mut self.series[index] {
            series.users -= 1;
        }
    }

    /// Removes the series that no process has any more and that are not kept. Returns the
    /// bytes that their lines may have taken.
    pub(super) fn remove_unused(&mut self) -> usize {
        let words = self.record.words();
        let mut len = 0;
        for (index, place) in self.series.iter_mut().enumerate() {
            let is_unused = |series: &mut MergedSeries| series.users == 0 && !series.is_kept;
            let Some(series) = place.take_if(is_unused) else {
                continue;
            };
            self.index.remove(&series.labels);
            self.free.push(index);
            self.merged[index * words..(index + 1) * words].fill(0);
            if let (Some(family), Some(_)) = (&self.family, &series.handle) {
                family.remove(&series.labels);
            }
            len += self.estimate.series(&series.labels);
        }
        len
    }

    /// Returns true if no member and none of the dead has the family.
    pub(super) fn is_unused(&self) -> bool {
        self.users == 0 && self.index.is_empty()
    }

    fn range(&self, index: usize) -> std::ops::Range<usize> {
        let words = self.record.words();
        index * words..(index + 1) * words
    }

    /// Takes the words of a process into a series. Those of a dead process count in
    /// totals only.
    pub(super) fn add(&mut self, index: usize, words: &[u64], is_dead: bool) {
        let range = self.range(index);
        let Some(series) = &mut self.series[index] else {
            return;
        };
        if is_dead && self.rule != Rule::Total {
            return;
        }
        let into = &mut self.merged[range];
        let is_first = !std::mem::replace(&mut series.has_value, true);
        match self.rule {
            Rule::Total => self.record.add_words(words, into),
            _ if is_first => into.copy_from_slice(words),
            Rule::Gauge(rule) => {
                if let (Some(into), Some(word)) = (into.first_mut(), words.first()) {
                    *into = merge_gauges(rule, &self.shown.shape, *into, *word);
                }
            }
            Rule::AnyState => into[0] |= words[0],
            Rule::One => {}
        }
    }

    /// Returns the bytes that a series will take among those that are kept: none if it
    /// is kept already.
    pub(super) fn keep_estimate(&self, index: usize) -> usize {
        match &self.series[index] {
            Some(series) if !series.is_kept => self.estimate.series(&series.labels),
            _ => 0,
        }
    }

    /// Adds the words of a dead process to what is kept.
    pub(super) fn keep(&mut self, index: usize, words: &[u64]) {
        let range = self.range(index);
        if let Some(series) = &mut self.series[index] {
            series.is_kept = true;
            self.record.add_words(words, &mut self.kept[range]);
        }
    }

    /// Adds what is kept to a segment.
    pub(super) fn save(&self, into: &mut SegmentBuilder) {
        let series = self.series.iter().enumerate();
        let kept: Vec<SavedSeries<'_>> = series
            .filter_map(|(index, series)| Some((index, series.as_ref()?)))
            .filter(|(_, series)| series.is_kept)
            .map(|(index, series)| SavedSeries {
                created: series.created,
                labels: series.labels.iter().map(String::as_str).collect(),
                words: &self.kept[self.range(index)],
            })
            .collect();
        if !kept.is_empty() {
            into.add(&self.record, &kept);
        }
    }

    /// Returns the name on the page.
    pub(super) fn name(&self) -> String {
        self.shown.full_name()
    }

    /// Returns true if both cannot be on one page.
    pub(super) fn conflicts_with(&self, other: &Self) -> bool {
        let names = other.shown.reserved_names();
        let mut own = self.shown.reserved_names().into_iter();
        own.any(|name| names.contains(&name))
    }

    /// Returns true if the family is on the page.
    pub(super) fn is_registered(&self) -> bool {
        self.family.is_some()
    }

    /// Registers the family, if no other one has its name. Returns true if it is
    /// registered.
    pub(super) fn register(&mut self, registry: &Registry) -> bool {
        if self.family.is_none() {
            self.family = mirror::register(registry, &self.shown, &self.table);
        }
        self.family.is_some()
    }

    /// Removes the family from the page.
    pub(super) fn unregister(&mut self, registry: &Registry) {
        if self.family.take().is_some() {
            registry.unregister(&self.shown.full_name());
            for series in self.series.iter_mut().flatten() {
                series.handle = None;
            }
        }
    }

    /// Shows the merged words. Returns the number of series that are on the page, and
    /// of those that could not be shown.
    pub(super) fn show(&mut self) -> (usize, u64) {
        let (mut shown, mut left_out) = (0, 0);
        let words = self.record.words();
        for (index, series) in self.series.iter_mut().enumerate() {
            let Some(series) = series.as_mut().filter(|series| series.has_value) else {
                continue;
            };
            let merged = &self.merged[index * words..(index + 1) * words];
            if let Some(cell) = &series.handle {
                cell.set(merged);
            } else if let Some(family) = &self.family {
                let mut cell = MirrorCell::from_options(&self.table);
                cell.created = series.created;
                cell.set(merged);
                series.handle = family.insert(&series.labels, cell).ok();
            }
            match series.handle {
                Some(_) => shown += 1,
                None => left_out += 1,
            }
        }
        (shown, left_out)
    }
}

/// Returns the description of a family whose series have a label for the process. A
/// label of that name is shown with a prefix, as Prometheus does.
fn with_process(descriptor: &Descriptor) -> Descriptor {
    let mut shown = descriptor.clone();
    let constants = shown.const_labels.iter_mut().map(|(name, _)| name);
    for name in shown.label_names.iter_mut().chain(constants) {
        if name == PROCESS {
            *name = format!("exported_{PROCESS}");
        }
    }
    shown.label_names.insert(0, PROCESS.to_owned());
    shown
}

/// Merges two values of a gauge.
fn merge_gauges(rule: GaugeRule, shape: &Shape, a: u64, b: u64) -> u64 {
    fn merge<T>(rule: GaugeRule, (a, b): (T, T), [sum, min, max]: [fn(T, T) -> T; 3]) -> T {
        match rule {
            GaugeRule::Sum => sum(a, b),
            GaugeRule::Min => min(a, b),
            GaugeRule::Max => max(a, b),
            GaugeRule::Last | GaugeRule::PerProcess => b,
        }
    }
    let signed = (a.cast_signed(), b.cast_signed());
    let floats = (f64::from_bits(a), f64::from_bits(b));
    match shape {
        Shape::Single(Number::U64) => {
            merge(rule, (a, b), [u64::saturating_add, u64::min, u64::max])
        }
        Shape::Single(Number::I64) => {
            merge(rule, signed, [i64::saturating_add, i64::min, i64::max]).cast_unsigned()
        }
        // Least and greatest are those of the numbers, as far as there are any.
        Shape::Single(Number::F64) => {
            merge(rule, floats, [|a, b| a + b, f64::min, f64::max]).to_bits()
        }
        _ => b,
    }
}
