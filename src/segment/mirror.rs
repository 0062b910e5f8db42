//! Shows a segment as an ordinary registry.
//!
//! Each family of the log is registered, and each series is inserted, with a cell
//! that holds the row that was copied last. Everything that a registration checks
//! is checked: a segment cannot make a page that a program could not have made.

use super::view::{FamilyView, SeriesView, Values, View};
use crate::cell::Cell;
use crate::family::{Descriptor, ExistingCell, Family, Handle, Metric, Shape};
use crate::sync::{AtomicU64, Ordering};
use crate::{MetricType, Registry};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest page that a segment may make, in bytes, by a generous estimate.
pub(super) const MAX_PAGE: usize = 256 << 20;

/// The row of a series as it was copied last.
pub(super) struct MirrorCell {
    row: Box<[AtomicU64]>,
    pub(super) created: f64,
    shape: Arc<Shape>,
}

impl Cell for MirrorCell {
    /// The shape of the family.
    type Options = Arc<Shape>;

    fn from_options(shape: &Arc<Shape>) -> Self {
        Self {
            row: (0..shape.width()).map(|_| AtomicU64::new(0)).collect(),
            created: 0.0,
            shape: Arc::clone(shape),
        }
    }

    fn width(shape: &Arc<Shape>) -> usize {
        shape.width()
    }

    fn read(&self, into: &mut [u64]) {
        for (into, word) in into.iter_mut().zip(&self.row) {
            // Relaxed: the reader is refreshed before the scrape, not during it.
            *into = word.load(Ordering::Relaxed);
        }
    }

    fn created(&self) -> Option<f64> {
        Some(self.created)
    }
}

impl Metric for MirrorCell {
    /// Each registration says its own.
    const TYPE: MetricType = MetricType::Unknown;

    fn shape(shape: &Arc<Shape>) -> Shape {
        Shape::clone(shape)
    }
}

impl ExistingCell for MirrorCell {
    fn options(&self) -> Arc<Shape> {
        Arc::clone(&self.shape)
    }
}

/// A registry that shows a segment.
pub(super) struct Mirror {
    pub(super) registry: Registry,
    families: BTreeMap<u64, MirrorFamily>,
    /// The generation of the view that is shown, if all of it is.
    generation: Option<u64>,
    /// The families and series that could not be shown.
    pub(super) left_out: u64,
}

struct MirrorFamily {
    /// `None` if the family was refused.
    family: Option<Family<MirrorCell>>,
    shape: Arc<Shape>,
    /// Slot to series.
    series: BTreeMap<usize, MirrorSeries>,
}

struct MirrorSeries {
    ordinal: u64,
    labels: Vec<String>,
    /// `None` if the series was refused.
    handle: Option<Handle<MirrorCell>>,
}

impl Mirror {
    pub(super) fn new() -> Self {
        Self {
            registry: Registry::new(),
            families: BTreeMap::new(),
            generation: None,
            left_out: 0,
        }
    }

    /// Returns the number of series.
    pub(super) fn len(&self) -> usize {
        let families = self
            .families
            .values()
            .filter_map(|mirrored| mirrored.family.as_ref());
        families.map(Family::len).sum()
    }

    /// Shows the series of `view` that have `values`.
    pub(super) fn show(&mut self, view: &View, values: &Values) {
        if self.generation == Some(view.generation) && values.are_complete() {
            for (mirrored, family) in self.families.values().zip(view.families.values()) {
                mirrored.update(family, values);
            }
            return;
        }
        self.generation = values.are_complete().then_some(view.generation);
        self.left_out = 0;
        let registry = self.registry.with_utf8_names();
        // Before anything is added, which may have the same names.
        self.families.retain(|id, mirrored| {
            let is_shown = view.families.contains_key(id);
            if !is_shown && let Some(family) = &mirrored.family {
                registry.unregister(&family.descriptor().full_name());
            }
            is_shown
        });
        let mut page = 0_usize;
        for (&id, family) in &view.families {
            page = page.saturating_add(page_estimate(family));
            let mirrored = self.families.entry(id).or_insert_with(|| {
                let shape = Arc::new(family.record.descriptor.shape.clone());
                MirrorFamily {
                    family: register(&registry, &family.record.descriptor, &shape),
                    shape,
                    series: BTreeMap::new(),
                }
            });
            if page > MAX_PAGE || mirrored.family.is_none() {
                mirrored.clear();
                self.left_out += 1;
            } else {
                self.left_out += mirrored.show(id, family, values);
            }
        }
    }
}

/// Registers a family as a segment describes it.
pub(super) fn register(
    registry: &Registry,
    descriptor: &Descriptor,
    shape: &Arc<Shape>,
) -> Option<Family<MirrorCell>> {
    registry
        .register_described(descriptor.clone(), Arc::clone(shape))
        .ok()
}

impl MirrorFamily {
    /// Shows the series of `from` that have `values`. Returns the number of those
    /// that could not be shown.
    fn show(&mut self, id: u64, from: &FamilyView, values: &Values) -> u64 {
        let Some(family) = &self.family else {
            return 0;
        };
        let is_shown = |slot: &usize, ordinal: u64| {
            from.series
                .get(slot)
                .is_some_and(|series| series.ordinal == ordinal)
        };
        self.series.retain(|slot, series| {
            let is_shown = is_shown(slot, series.ordinal);
            if !is_shown && series.handle.is_some() {
                family.remove(&series.labels);
            }
            is_shown
        });
        let slabs = from.slabs(values);
        let mut new: Vec<(usize, &SeriesView)> = Vec::new();
        let mut row = vec![0; self.shape.width()];
        let mut left_out = 0;
        for (&slot, series) in &from.series {
            match self.series.get(&slot) {
                None => new.push((slot, series)),
                Some(mirrored) => match &mirrored.handle {
                    Some(cell) if values.has(id, slot, series) => {
                        if from.row(slot, &slabs, &mut row) {
                            cell.set(&row);
                        }
                    }
                    // Its last value stays until the next reading.
                    Some(_) => {}
                    None => left_out += 1,
                },
            }
        }
        // In the order in which the process has made them.
        new.sort_by_key(|(_, series)| series.ordinal);
        for (slot, series) in new {
            if !values.has(id, slot, series) {
                continue;
            }
            let mut cell = MirrorCell::from_options(&self.shape);
            cell.created = series.created;
            if !from.row(slot, &slabs, &mut row) {
                left_out += 1;
                continue;
            }
            cell.set(&row);
            let handle = family.insert(&series.labels, cell).ok();
            left_out += u64::from(handle.is_none());
            self.series.insert(
                slot,
                MirrorSeries {
                    ordinal: series.ordinal,
                    labels: series.labels.clone(),
                    handle,
                },
            );
        }
        left_out
    }

    /// Shows the values of the series, which are those of `from`.
    fn update(&self, from: &FamilyView, values: &Values) {
        let slabs = from.slabs(values);
        let mut row = vec![0; self.shape.width()];
        for (&slot, series) in &self.series {
            if let Some(cell) = &series.handle
                && from.row(slot, &slabs, &mut row)
            {
                cell.set(&row);
            }
        }
    }

    /// Removes all series.
    fn clear(&mut self) {
        self.series.clear();
        if let Some(family) = &self.family {
            family.retain(|_| false);
        }
    }
}

impl MirrorCell {
    pub(super) fn set(&self, row: &[u64]) {
        for (word, value) in self.row.iter().zip(row) {
            // Relaxed: as in `read`.
            word.store(*value, Ordering::Relaxed);
        }
    }
}

/// Returns an upper bound of the bytes that a family takes on a page. A small file
/// could otherwise ask for a very long page: a long name, and many series.
fn page_estimate(family: &FamilyView) -> usize {
    let lines = LineEstimate::of(&family.record.descriptor);
    let series = family.series.values();
    let series = series.map(|series| lines.series(&series.labels));
    series.fold(lines.metadata, usize::saturating_add)
}

/// Upper bounds of the bytes of a family's lines.
#[derive(Clone, Copy)]
pub(super) struct LineEstimate {
    /// The lines about the family.
    pub(super) metadata: usize,
    /// A line without the values of labels.
    line: usize,
    /// The lines of a series.
    lines: usize,
}

impl LineEstimate {
    /// Escaping writes up to eight bytes for one.
    const ESCAPED: usize = 8;
    /// Number, punctuation, timestamp.
    const REST: usize = 96;

    pub(super) fn of(descriptor: &Descriptor) -> Self {
        let names = descriptor
            .label_names
            .iter()
            .map(String::len)
            .sum::<usize>();
        let constant: usize = descriptor
            .const_labels
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        let states = match &descriptor.shape {
            Shape::StateSet { states } => states.iter().map(String::len).max().unwrap_or(0),
            _ => 0,
        };
        let line = descriptor.name.len() + names + constant + states;
        Self {
            metadata: (descriptor.help.len() + line) * Self::ESCAPED,
            line,
            lines: descriptor.shape.width() + 1,
        }
    }

    /// Returns the bound for the lines of a series.
    pub(super) fn series(&self, labels: &[String]) -> usize {
        let values = labels.iter().map(String::len).sum::<usize>();
        let line = (self.line + values) * Self::ESCAPED + Self::REST + 4 * labels.len();
        line.saturating_mul(self.lines)
    }
}
