//! Shows a segment as an ordinary registry.
//!
//! Each family of the log is registered, and each series is inserted, with a cell
//! that refers to the words that were copied last. Everything that a registration checks
//! is checked: a segment cannot make a page that a program could not have made.

use super::format::FamilyRecord;
use super::view::{RecordedFamily, RecordedSeries, Values, View};
use crate::cell::{Cell, RowTable};
use crate::family::{Descriptor, ExistingCell, Family, Handle, Metric, Shape};
use crate::sync::{AtomicU64, Ordering, zeroed_words};
use crate::{MetricType, Registry};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The longest page that a segment may make, in bytes, by a generous estimate.
pub(super) const MAX_PAGE: usize = 256 << 20;

/// The words of the series of a family as they were copied last.
pub(super) struct MirrorTable {
    record: FamilyRecord,
    /// The words of a series.
    words: usize,
    /// The first has room for [`FIRST_CHUNK`] rows, each following one for twice as
    /// many. They never move, so that a page can be written meanwhile.
    chunks: [OnceLock<Box<[AtomicU64]>>; CHUNKS],
    free: Mutex<FreeRows>,
}

/// The rows of a table that no cell has.
#[derive(Default)]
struct FreeRows {
    used: u32,
    returned: Vec<u32>,
}

const FIRST_CHUNK: usize = 4;
/// As many as rows that a `u32` can number.
const CHUNKS: usize = 30;

/// Returns the chunk of a row, and its number there.
fn place_of(row: u32) -> (usize, usize) {
    let chunk = (row as usize / FIRST_CHUNK + 1).ilog2() as usize;
    (chunk, row as usize - FIRST_CHUNK * ((1 << chunk) - 1))
}

impl MirrorTable {
    pub(super) fn new(record: &FamilyRecord) -> Self {
        Self {
            record: record.clone(),
            words: record.words(),
            chunks: [const { OnceLock::new() }; CHUNKS],
            free: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, FreeRows> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn acquire(&self) -> u32 {
        let mut free = self.lock();
        free.returned.pop().unwrap_or_else(|| {
            free.used += 1;
            free.used - 1
        })
    }

    /// Returns the words of a row and of those after it in its chunk.
    fn words_from(&self, row: u32) -> &[AtomicU64] {
        let (chunk, row) = place_of(row);
        let rows = FIRST_CHUNK << chunk;
        let words = self.chunks[chunk].get_or_init(|| zeroed_words(rows * self.words));
        &words[row * self.words..]
    }

    /// Stores the words of a row and of those after it.
    pub(super) fn store(&self, first: u32, mut words: &[u64]) {
        let mut row = first;
        while !words.is_empty() {
            let into = self.words_from(row);
            let here = into.len().min(words.len());
            for (into, word) in into.iter().zip(&words[..here]) {
                // Relaxed: the reader is refreshed before the scrape, not during it.
                into.store(*word, Ordering::Relaxed);
            }
            words = &words[here..];
            row += (here / self.words) as u32;
        }
    }
}

impl RowTable for MirrorTable {
    fn read(&self, first: u32, into: &mut [u64]) {
        let width = self.record.descriptor.shape.width();
        if self.words == 0 {
            into.fill(1);
            return;
        }
        let (mut row, mut rest) = (first, into);
        while !rest.is_empty() {
            let words = self.words_from(row);
            let here = (words.len() / self.words).min(rest.len() / width);
            let (now, later) = rest.split_at_mut(here * width);
            // Relaxed, both: as in `store`.
            if self.record.is_plain() {
                for (word, into) in words.iter().zip(now) {
                    *into = word.load(Ordering::Relaxed);
                }
            } else {
                let words = words.chunks_exact(self.words);
                for (words, into) in words.zip(now.chunks_exact_mut(width)) {
                    let word = |index: usize| words[index].load(Ordering::Relaxed);
                    self.record.decode_row(word, into);
                }
            }
            (row, rest) = (row + here as u32, later);
        }
    }
}

/// A row of a table.
pub(super) struct MirrorCell {
    table: Arc<MirrorTable>,
    row: u32,
    pub(super) created: f64,
}

impl Cell for MirrorCell {
    type Options = Arc<MirrorTable>;

    fn from_options(table: &Arc<MirrorTable>) -> Self {
        Self {
            row: table.acquire(),
            table: Arc::clone(table),
            created: 0.0,
        }
    }

    fn width(table: &Arc<MirrorTable>) -> usize {
        table.record.descriptor.shape.width()
    }

    fn read(&self, into: &mut [u64]) {
        self.table.read(self.row, into);
    }

    fn created(&self) -> Option<f64> {
        Some(self.created)
    }

    fn table(table: &Arc<MirrorTable>) -> Option<&dyn RowTable> {
        Some(&**table)
    }

    fn row(&self) -> u32 {
        self.row
    }
}

impl MirrorCell {
    pub(super) fn set(&self, words: &[u64]) {
        self.table.store(self.row, words);
    }
}

impl Drop for MirrorCell {
    fn drop(&mut self) {
        // Nothing shows the row any more: whoever does has the cell.
        self.table.lock().returned.push(self.row);
    }
}

impl Metric for MirrorCell {
    /// Each registration says its own.
    const TYPE: MetricType = MetricType::Unknown;

    fn shape(table: &Arc<MirrorTable>) -> Shape {
        table.record.descriptor.shape.clone()
    }
}

impl ExistingCell for MirrorCell {
    fn options(&self) -> Arc<MirrorTable> {
        Arc::clone(&self.table)
    }
}

/// A registry that shows a segment.
pub(super) struct Mirror {
    pub(super) registry: Registry,
    families: BTreeMap<u64, MirrorFamily>,
    /// The generation of the view that is shown, if all of it is.
    generation: Option<u64>,
    /// The number of series that are shown.
    len: usize,
    /// The families and series that could not be shown.
    pub(super) left_out: u64,
}

struct MirrorFamily {
    /// `None` if the family was refused.
    family: Option<Family<MirrorCell>>,
    table: Arc<MirrorTable>,
    /// Slot to series.
    series: BTreeMap<usize, MirrorSeries>,
    /// The series that have a value, as of the generation that is shown.
    runs: Vec<SeriesRun>,
}

/// Series whose slots in a slab and whose rows follow each other.
struct SeriesRun {
    slab: usize,
    /// The number of the first in its slab.
    first: usize,
    row: u32,
    len: usize,
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
            len: 0,
            left_out: 0,
        }
    }

    /// Returns the number of series.
    pub(super) fn len(&self) -> usize {
        self.len
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
                let table = Arc::new(MirrorTable::new(&family.record));
                MirrorFamily {
                    family: register(&registry, &family.record.descriptor, &table),
                    table,
                    series: BTreeMap::new(),
                    runs: Vec::new(),
                }
            });
            if page > MAX_PAGE || mirrored.family.is_none() {
                mirrored.clear();
                self.left_out += 1;
            } else {
                self.left_out += mirrored.show(id, family, values);
            }
        }
        let families = self.families.values();
        let families = families.filter_map(|mirrored| mirrored.family.as_ref());
        self.len = families.map(Family::len).sum();
    }
}

/// Registers a family as a segment describes it.
pub(super) fn register(
    registry: &Registry,
    descriptor: &Descriptor,
    table: &Arc<MirrorTable>,
) -> Option<Family<MirrorCell>> {
    registry
        .register_described(descriptor.clone(), Arc::clone(table))
        .ok()
}

impl MirrorFamily {
    /// Shows the series of `from` that have `values`. Returns the number of those
    /// that could not be shown.
    fn show(&mut self, id: u64, from: &RecordedFamily, values: &Values) -> u64 {
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
        let mut new: Vec<(usize, &RecordedSeries)> = Vec::new();
        let mut left_out = 0;
        for (&slot, series) in &from.series {
            match self.series.get(&slot) {
                None => new.push((slot, series)),
                Some(mirrored) => match &mirrored.handle {
                    Some(cell) if values.has(id, slot, series) => {
                        if let Some(words) = from.words(slot, &slabs) {
                            cell.set(words);
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
            let Some(words) = from.words(slot, &slabs) else {
                left_out += 1;
                continue;
            };
            let mut cell = MirrorCell::from_options(&self.table);
            cell.created = series.created;
            cell.set(words);
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
        self.find_runs(from);
        left_out
    }

    /// Finds the series to update while none comes or goes.
    fn find_runs(&mut self, from: &RecordedFamily) {
        self.runs.clear();
        for (&slot, series) in &self.series {
            let (Some(cell), Some((slab, first))) = (&series.handle, from.slab_of(slot)) else {
                continue;
            };
            let follows = |run: &&mut SeriesRun| {
                let (next, row) = (run.first + run.len, run.row as usize + run.len);
                run.slab == slab && next == first && row == cell.row as usize
            };
            match self.runs.last_mut().filter(follows) {
                Some(run) => run.len += 1,
                None => self.runs.push(SeriesRun {
                    slab,
                    first,
                    row: cell.row,
                    len: 1,
                }),
            }
        }
    }

    /// Shows the values of the series, which are those of `from`.
    fn update(&self, from: &RecordedFamily, values: &Values) {
        let slabs = from.slabs(values);
        let words = self.table.words;
        for run in &self.runs {
            let (_, slab) = slabs[run.slab];
            let range = run.first * words..(run.first + run.len) * words;
            if let Some(words) = slab.get(range) {
                self.table.store(run.row, words);
            }
        }
    }

    /// Removes all series.
    fn clear(&mut self) {
        self.series.clear();
        self.runs.clear();
        if let Some(family) = &self.family {
            family.retain(|_| false);
        }
    }
}

/// Returns an upper bound of the bytes that a family takes on a page. A small file
/// could otherwise ask for a very long page: a long name, and many series.
fn page_estimate(family: &RecordedFamily) -> usize {
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
