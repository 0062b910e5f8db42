//! The families of a group, with the sums of the living and of the dead.

use super::member::{Member, MemberFamily};
use super::merged::{MergedFamily, Rule};
use super::options::GaugeRules;
use crate::cell::Number;
use crate::family::{Descriptor, Shape};
use crate::segment::builder::SegmentBuilder;
use crate::segment::format::{Encoding, FamilyRecord};
use crate::segment::mirror::MAX_PAGE;
use crate::segment::view::{RecordedFamily, Values};
use crate::{MetricType, Registry};
use std::collections::{BTreeMap, HashMap};

/// The longest page of the sums of the dead, in bytes, by a generous estimate: half of
/// what the page may have, so that the living have the rest.
const MAX_KEPT: usize = MAX_PAGE / 2;

/// The families of a group.
pub(super) struct MergedFamilies {
    rules: GaugeRules,
    by_number: BTreeMap<u64, MergedFamily>,
    /// A family's description, without the help, to its number.
    by_description: HashMap<Vec<u64>, u64>,
    next_number: u64,
    /// The bytes that the page may have.
    page_len: usize,
    /// The bytes that the kept part of it may have.
    kept_len: usize,
}

impl MergedFamilies {
    /// No families.
    pub(super) fn new(rules: GaugeRules) -> Self {
        Self {
            rules,
            by_number: BTreeMap::new(),
            by_description: HashMap::new(),
            next_number: 0,
            page_len: 0,
            kept_len: 0,
        }
    }

    /// No families, with the rules of these.
    pub(super) fn without_families(&self) -> Self {
        Self::new(self.rules.clone())
    }

    /// Takes all families off a registry.
    pub(super) fn unregister(&mut self, registry: &Registry) {
        for family in self.by_number.values_mut() {
            family.unregister(registry);
        }
    }

    /// Begins a reading, with the sums of the dead.
    pub(super) fn begin(&mut self) {
        for family in self.by_number.values_mut() {
            family.begin();
        }
    }

    /// Returns the names of the families that living processes have, and that are not on
    /// the page.
    pub(super) fn left_out(&self) -> impl Iterator<Item = String> + '_ {
        let families = self.by_number.values();
        families
            .filter(|family| family.users > 0 && !family.is_registered())
            .map(MergedFamily::name)
    }

    /// Finds the merged families and series of a member.
    pub(super) fn map(&mut self, member: &mut Member, values: &Values) {
        let mut families = Vec::new();
        member.left_out = 0;
        let view = &member.view;
        for (&id, from) in &view.families {
            let Some(merged) = self.find_or_add(&from.record) else {
                member.left_out += 1;
                continue;
            };
            let Some(family) = self.by_number.get_mut(&merged) else {
                continue;
            };
            family.users += 1;
            let mut series = Vec::new();
            // In the order in which the process has made them.
            let mut sorted: Vec<_> = from.series.iter().collect();
            sorted.sort_by_key(|(_, series)| series.ordinal);
            for (&slot, of) in sorted {
                if !values.has(id, slot, of) {
                    continue;
                }
                let labels = family.labels_of(member.id.stem(), &of.labels);
                let index = family.find(&labels).or_else(|| {
                    let len = family.series_estimate(&labels);
                    let page_len = self.page_len.saturating_add(len);
                    (page_len <= MAX_PAGE).then(|| {
                        self.page_len = page_len;
                        family.insert(labels, of.created)
                    })
                });
                match index {
                    Some(index) => {
                        family.acquire(index);
                        series.push((slot, index));
                    }
                    None => member.left_out += 1,
                }
            }
            families.push(MemberFamily { id, merged, series });
        }
        let old = std::mem::replace(&mut member.families, families);
        self.release(&old);
        member.generation = values.are_complete().then_some(member.view.generation);
    }

    /// Finds or adds the family of this description. `None` if it is not valid.
    fn find_or_add(&mut self, record: &FamilyRecord) -> Option<u64> {
        let description = description(record)?;
        if let Some(&known) = self.by_description.get(&description) {
            return Some(known);
        }
        let family = MergedFamily::new(record, |name| self.rules.of(name))?;
        let page_len = self.page_len.saturating_add(family.metadata_estimate());
        if page_len > MAX_PAGE {
            return None;
        }
        self.page_len = page_len;
        let number = self.next_number;
        self.next_number += 1;
        self.by_description.insert(description, number);
        self.by_number.insert(number, family);
        Some(number)
    }

    /// Takes the values of a member into the merged series.
    pub(super) fn add(&mut self, member: &Member, values: &Values, is_dead: bool) {
        member.for_each_series(values, |merged, index, words| {
            if let Some(family) = self.by_number.get_mut(&merged) {
                family.add(index, words, is_dead);
            }
        });
    }

    /// Takes the values of a process that has died into the sums that are kept. Returns
    /// the number of series that are lost, because there is no room to keep them.
    pub(super) fn fold(&mut self, member: &Member, values: &Values) -> u64 {
        let mut lost = member.left_out;
        member.for_each_series(values, |merged, index, words| {
            let Some(family) = self.by_number.get_mut(&merged) else {
                return;
            };
            if family.rule != Rule::Total {
                return;
            }
            let len = family.keep_estimate(index);
            let kept_len = self.kept_len.saturating_add(len);
            if kept_len > MAX_KEPT {
                lost += 1;
                return;
            }
            self.kept_len = kept_len;
            family.keep(index, words);
        });
        self.count_folded(1);
        lost
    }

    /// Counts processes that were taken into the sums.
    pub(super) fn count_folded(&mut self, processes: u64) {
        let record = FamilyRecord {
            encoding: Encoding::U64,
            parts: 1,
            descriptor: Descriptor {
                name: "stethoscope_group_folded".to_owned(),
                help: "Processes that have ended, and whose counts are in the totals.".to_owned(),
                unit: None,
                metric_type: MetricType::Counter,
                shape: Shape::Single(Number::U64),
                label_names: Vec::new(),
                const_labels: Vec::new(),
                created: false,
                mixed: false,
                permanent: false,
            },
        };
        let number = self.find_or_add(&record);
        if let Some(family) = number.and_then(|number| self.by_number.get_mut(&number)) {
            let index = family
                .find(&[])
                .unwrap_or_else(|| family.insert(Vec::new(), 0.0));
            let len = family.keep_estimate(index);
            family.keep(index, &[processes]);
            family.add(index, &[processes], true);
            // As far as it is new, it counts like all that is kept.
            self.kept_len += len;
            self.page_len += len;
        }
    }

    /// Counts that a member no longer has its families and series.
    pub(super) fn forget(&mut self, member: &Member) {
        self.release(&member.families);
    }

    fn release(&mut self, families: &[MemberFamily]) {
        for of in families {
            if let Some(family) = self.by_number.get_mut(&of.merged) {
                family.users -= 1;
                for (_, index) in &of.series {
                    family.release(*index);
                }
            }
        }
    }

    /// Removes the families and series that no process has any more and that are not kept,
    /// from `registry` too.
    pub(super) fn remove_unused(&mut self, registry: &Registry) {
        let Self {
            by_number,
            page_len,
            ..
        } = self;
        by_number.retain(|_, family| {
            *page_len -= family.remove_unused();
            let is_unused = family.is_unused();
            if is_unused {
                *page_len -= family.metadata_estimate();
                family.unregister(registry);
            }
            !is_unused
        });
        self.by_description
            .retain(|_, number| by_number.contains_key(number));
    }

    /// Registers the families of living processes. Where a family that only the dead had
    /// is in the way, it makes room: a new version of a program has other labels, or
    /// buckets. Its totals are kept, for when the old version comes back.
    fn register_living(&mut self, registry: &Registry) {
        let (mut living, dead): (Vec<_>, Vec<_>) = self
            .by_number
            .values_mut()
            .partition(|family| family.users > 0);
        living.retain_mut(|family| !family.register(registry));
        if living.is_empty() {
            return;
        }
        for family in dead {
            if family.is_registered() && living.iter().any(|other| other.conflicts_with(family)) {
                family.unregister(registry);
            }
        }
        for family in living {
            family.register(registry);
        }
    }

    /// Shows the merged values. Returns the number of series on the page, and of the
    /// families and series of living processes that are not.
    pub(super) fn show(&mut self, registry: &Registry) -> (usize, u64) {
        self.register_living(registry);
        let (mut shown, mut left_out) = (0, 0);
        for family in self.by_number.values_mut() {
            if !family.register(registry) {
                left_out += u64::from(family.users > 0);
                continue;
            }
            let (series, others) = family.show();
            shown += series;
            left_out += others;
        }
        (shown, left_out)
    }

    /// Adds the sums of the dead to a segment.
    pub(super) fn save(&self, into: &mut SegmentBuilder) {
        for family in self.by_number.values().filter(|f| f.rule == Rule::Total) {
            family.save(into);
        }
    }

    /// Takes over the sums of a family of the dead. `None` if it is damaged.
    pub(super) fn load(&mut self, from: &RecordedFamily, values: &Values) -> Option<()> {
        let number = self.find_or_add(&from.record)?;
        let family = self.by_number.get_mut(&number)?;
        (family.rule == Rule::Total).then_some(())?;
        let slabs = from.slabs(values);
        for (&slot, series) in &from.series {
            let len = family.series_estimate(&series.labels);
            let is_new = family.find(&series.labels).is_none();
            (is_new && self.kept_len.saturating_add(len) <= MAX_KEPT).then_some(())?;
            let index = family.insert(series.labels.clone(), series.created);
            family.keep(index, from.words(slot, &slabs)?);
            self.page_len += len;
            self.kept_len += len;
        }
        Some(())
    }
}

/// Returns the words of a description by which families are the same: all but the help
/// and the number of parts.
fn description(record: &FamilyRecord) -> Option<Vec<u64>> {
    let mut record = record.clone();
    record.parts = 1;
    record.descriptor.help = String::new();
    record.encode(0)
}
