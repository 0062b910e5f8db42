//! The reader's side of a segment: parses the log, copies the values.
//!
//! ```text
//! update the log ── copy the slabs ── update the log again ── show the series in both
//! ```
//!
//! A series that was there before and after the copy, under the same ordinal, has
//! owned its words all the time. Nothing is locked and no copy is repeated, so a
//! writer that is stopped, dead or busy does not matter.
//!
//! Nothing that the log says is trusted. It is copied before it is looked at, each
//! offset and length is checked, and reading ends at the first record that is
//! damaged. Memory and time are bounded by the length of the file.

use super::format::{
    self, CHUNK_TAG, Decoded, Encoding, FamilyRecord, HEADER, LINE, chunk, header,
};
use crate::MetricType;
use crate::family::Shape;
use crate::sync::{Ordering, fence};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// The words of a segment, as a reader gets at them.
pub(super) trait Words {
    /// Returns the number of words, which may grow from call to call.
    fn len(&self) -> usize;
    /// Copies the words from `offset` on. Returns false if they are not there.
    fn copy(&self, offset: usize, into: &mut [u64]) -> bool;

    /// Copies the first `words` words of each series from `offset` on, which are
    /// `stride` words apart. Returns false if they are not there. `scratch` may be
    /// overwritten.
    fn copy_series(
        &self,
        offset: usize,
        [stride, words]: [usize; 2],
        into: &mut [u64],
        scratch: &mut Vec<u64>,
    ) -> bool
    where
        Self: Sized,
    {
        copy_series(self, offset, [stride, words], into, scratch)
    }

    /// Copies one word, before everything that is copied later.
    fn load(&self, offset: usize) -> Option<u64> {
        let mut word = [0];
        let copied = self.copy(offset, &mut word);
        // Acquire: pairs with the writer's Release store of the word.
        fence(Ordering::Acquire);
        copied.then_some(word[0])
    }
}

/// Copies whole strides, piece by piece, and takes the words of the series from them.
pub(super) fn copy_series(
    from: &impl Words,
    offset: usize,
    [stride, words]: [usize; 2],
    into: &mut [u64],
    scratch: &mut Vec<u64>,
) -> bool {
    /// Words that stay in the first-level cache.
    const PIECE: usize = 2048;
    let series = (PIECE / stride).max(1);
    let pieces = into.chunks_mut(series * words).enumerate();
    for (piece, into) in pieces {
        let len = into.len() / words * stride;
        scratch.resize(scratch.len().max(len), 0);
        if !from.copy(offset + piece * series * stride, &mut scratch[..len]) {
            return false;
        }
        let copied = scratch[..len].chunks_exact(stride);
        for (into, copied) in into.chunks_exact_mut(words).zip(copied) {
            into.copy_from_slice(&copied[..words]);
        }
    }
    true
}

/// The attempts to parse the log between two compactions.
const ATTEMPTS: usize = 100;

/// The state of the log, as far as it was parsed.
#[derive(Default)]
pub(super) struct View {
    root: Option<u64>,
    /// The chunk and the offset in it to go on from.
    chunk: usize,
    position: usize,
    /// The words parsed since the root, to bound what a circle of chunks costs.
    parsed: usize,
    /// The words of all slabs.
    slab_words: usize,
    pub(super) families: BTreeMap<u64, RecordedFamily>,
    /// True if a record could not be read.
    pub(super) damaged: bool,
    /// Changes with the families and series.
    pub(super) generation: u64,
}

pub(super) struct RecordedFamily {
    pub(super) record: FamilyRecord,
    slabs: Vec<SlabView>,
    pub(super) series: BTreeMap<usize, RecordedSeries>,
}

struct SlabView {
    offset: usize,
    first: usize,
    slots: usize,
}

pub(super) struct RecordedSeries {
    pub(super) ordinal: u64,
    pub(super) created: f64,
    pub(super) labels: Vec<String>,
}

/// The values of the series that were there all the time. Kept for the next reading,
/// which then allocates nothing.
#[derive(Default)]
pub(super) struct Values {
    /// The words of the series, side by side, slab by slab.
    words: Vec<u64>,
    /// The offset of each slab, ascending, with its part of `words`.
    slabs: Vec<(usize, Range<usize>)>,
    scratch: Vec<u64>,
    /// The sums of histograms, or series in parts.
    whole: Vec<u64>,
    /// Family and slot to ordinal, if series have come or gone meanwhile.
    before: Option<HashMap<(u64, usize), u64>>,
    /// True if words were not there: the file was cut short after the log was read.
    pub(super) are_cut: bool,
}

impl Values {
    /// Returns true if no series has come or gone while the values were copied.
    pub(super) fn are_complete(&self) -> bool {
        self.before.is_none()
    }

    /// Returns true if the series was there before and after its words were copied.
    pub(super) fn has(&self, family: u64, slot: usize, series: &RecordedSeries) -> bool {
        self.before
            .as_ref()
            .is_none_or(|before| before.get(&(family, slot)) == Some(&series.ordinal))
    }
}

/// The log was compacted again and again while it was read, or is not there.
#[derive(Debug)]
pub(super) struct Unreadable;

impl View {
    /// Takes over what the log says, and copies the values.
    pub(super) fn read(
        &mut self,
        words: &impl Words,
        values: &mut Values,
    ) -> Result<(), Unreadable> {
        if self.has_changed(words) {
            self.update(words)?;
        }
        values.words.clear();
        values.slabs.clear();
        values.before = None;
        values.are_cut = false;
        for family in self.families.values() {
            family.copy(words, values);
        }
        values.slabs.sort_unstable_by_key(|(offset, _)| *offset);
        // Acquire: pairs with the writer's Release fence before it reuses words. If
        // a reused word was copied, the log says so below.
        fence(Ordering::Acquire);
        if self.has_changed(words) {
            let series = self.families.iter().flat_map(|(&id, family)| {
                let series = family.series.iter();
                series.map(move |(&slot, series)| ((id, slot), series.ordinal))
            });
            values.before = Some(series.collect());
            self.update(words)?;
        }
        Ok(())
    }

    /// Returns true if the log has changed since it was parsed.
    fn has_changed(&self, words: &impl Words) -> bool {
        let Some(root) = self.root else {
            return true;
        };
        let committed = words.load(self.chunk + chunk::COMMITTED);
        words.load(header::ROOT) != Some(root) || committed != Some(self.position as u64)
    }

    /// Parses what is new in the log.
    fn update(&mut self, words: &impl Words) -> Result<(), Unreadable> {
        for _ in 0..ATTEMPTS {
            let root = words.load(header::ROOT).ok_or(Unreadable)?;
            if self.root != Some(root) {
                *self = Self {
                    root: Some(root),
                    chunk: format::root_offset(root),
                    position: chunk::HEADER,
                    generation: self.generation + 1,
                    ..Self::default()
                };
            }
            if !self.damaged {
                self.damaged = self.advance(words).is_none();
            }
            // Acquire: pairs with the writer's Release fence before it frees a log.
            fence(Ordering::Acquire);
            if words.load(header::ROOT).ok_or(Unreadable)? == root {
                return Ok(());
            }
            self.root = None;
            loom_yield();
        }
        Err(Unreadable)
    }

    /// Parses the log from the position on. `None` if it is damaged.
    fn advance(&mut self, words: &impl Words) -> Option<()> {
        loop {
            let end = self.chunk.checked_add(chunk::HEADER)?;
            if self.chunk < HEADER || end > words.len() {
                return None;
            }
            // First: the words that it counts are copied after it.
            let committed = words.load(self.chunk + chunk::COMMITTED)?;
            let mut head = [0; chunk::HEADER];
            if !words.copy(self.chunk, &mut head) || head[chunk::TAG] != CHUNK_TAG {
                return None;
            }
            let committed = usize::try_from(committed).ok()?;
            let len = usize::try_from(head[chunk::LENGTH]).ok()?;
            if committed > len || committed < self.position || len > words.len() {
                return None;
            }
            let new = committed - self.position;
            self.parsed += new;
            if self.parsed > words.len() {
                return None;
            }
            let mut records = vec![0; new];
            if !words.copy(self.chunk + self.position, &mut records) {
                return None;
            }
            let mut rest = &records[..];
            let mut next = None;
            while !rest.is_empty() {
                let (record, length) = format::decode(rest)?;
                match record {
                    Decoded::NextChunk { offset } => next = Some(offset),
                    record => self.apply(record, words)?,
                }
                self.generation += 1;
                self.position += length;
                rest = &rest[length..];
            }
            let Some(next) = next else {
                return Some(());
            };
            self.chunk = next;
            self.position = chunk::HEADER;
            self.parsed += chunk::HEADER;
        }
    }

    fn apply(&mut self, record: Decoded<'_>, words: &impl Words) -> Option<()> {
        match record {
            Decoded::Family { id, family } => {
                if self.families.contains_key(&id) {
                    return None;
                }
                let family = RecordedFamily {
                    record: *family,
                    slabs: Vec::new(),
                    series: BTreeMap::new(),
                };
                self.families.insert(id, family);
            }
            Decoded::Slab {
                family,
                first,
                slots,
                offset,
            } => {
                let family = self.families.get_mut(&family)?;
                let len = slots.checked_mul(family.record.stride())?;
                // However many slabs overlap, no more is copied than the file has.
                let slab_words = self.slab_words.checked_add(len)?;
                let is_valid = len > 0
                    && first == family.slots()
                    && offset >= HEADER
                    && offset.is_multiple_of(LINE)
                    && offset.checked_add(len)? <= words.len()
                    && slab_words <= words.len();
                if !is_valid {
                    return None;
                }
                self.slab_words = slab_words;
                family.slabs.push(SlabView {
                    offset,
                    first,
                    slots,
                });
            }
            Decoded::Series {
                family,
                slot,
                ordinal,
                created,
                labels,
            } => {
                let family = self.families.get_mut(&family)?;
                let labels = format::labels(labels, family.record.descriptor.label_names.len())?;
                let has_words = family.record.stride() == 0 || slot < family.slots();
                let is_time = created.is_finite() && created >= 0.0;
                if !has_words || !is_time || family.series.contains_key(&slot) {
                    return None;
                }
                let series = RecordedSeries {
                    ordinal,
                    created,
                    labels,
                };
                family.series.insert(slot, series);
            }
            // The series is unknown if a compaction has left it out already.
            Decoded::RemoveSeries { family, slot } => {
                if let Some(family) = self.families.get_mut(&family) {
                    family.series.remove(&slot);
                }
            }
            Decoded::RemoveFamily { family } => {
                if let Some(family) = self.families.remove(&family) {
                    self.slab_words -= family.slots() * family.record.stride();
                }
            }
            Decoded::NextChunk { .. } | Decoded::Unknown => {}
        }
        Some(())
    }
}

/// Lets the writer of a model go on.
fn loom_yield() {
    #[cfg(loom)]
    loom::thread::yield_now();
}

impl RecordedFamily {
    /// Returns the number of slots of all slabs.
    fn slots(&self) -> usize {
        self.slabs.last().map_or(0, |last| last.first + last.slots)
    }

    /// Copies the slabs, up to the last slot that is in use.
    fn copy(&self, words: &impl Words, into: &mut Values) {
        let (stride, len) = (self.record.stride(), self.record.words());
        let used = self.series.last_key_value().map_or(0, |(slot, _)| slot + 1);
        for slab in &self.slabs {
            let slots = slab.slots.min(used.saturating_sub(slab.first));
            let start = into.words.len();
            into.words.resize(start + slots * len, 0);
            let copy = &mut into.words[start..];
            let scratch = &mut into.scratch;
            if self.record.parts > 1 {
                let whole = &mut into.whole;
                if self.copy_parts(words, slab.offset, copy, whole, scratch) {
                    into.slabs.push((slab.offset, start..into.words.len()));
                } else {
                    into.are_cut = true;
                }
                continue;
            }
            let mut is_copied = words.copy_series(slab.offset, [stride, len], copy, scratch);
            if is_copied && self.record.encoding == Encoding::Histogram {
                // Acquire: pairs with the Release of an observation. The sums are
                // copied after the counts, and include what is counted there.
                fence(Ordering::Acquire);
                into.whole.resize(slots, 0);
                is_copied = words.copy_series(slab.offset, [stride, 1], &mut into.whole, scratch);
                for (copy, sum) in copy.chunks_exact_mut(len).zip(&into.whole) {
                    copy[0] = *sum;
                }
            }
            // If the file was cut short, its series are not shown.
            if is_copied {
                into.slabs.push((slab.offset, start..into.words.len()));
            } else {
                into.are_cut = true;
            }
        }
    }

    /// Copies the series of a slab, each as the sum of its parts.
    fn copy_parts(
        &self,
        words: &impl Words,
        offset: usize,
        into: &mut [u64],
        whole: &mut Vec<u64>,
        scratch: &mut Vec<u64>,
    ) -> bool {
        let (stride, len) = (self.record.stride(), self.record.words());
        whole.resize(into.len() / len * stride, 0);
        if !words.copy_series(offset, [stride, stride], whole, scratch) {
            return false;
        }
        let series = whole.chunks_exact(stride).zip(into.chunks_exact_mut(len));
        series.for_each(|(parts, into)| self.record.add_parts(parts, into));
        if self.record.encoding == Encoding::Histogram {
            // Acquire: as in `copy`.
            fence(Ordering::Acquire);
            if !words.copy_series(offset, [stride, stride], whole, scratch) {
                return false;
            }
            let mut again = vec![0; len];
            let series = whole.chunks_exact(stride).zip(into.chunks_exact_mut(len));
            for (parts, into) in series {
                again.fill(0);
                self.record.add_parts(parts, &mut again);
                into[0] = again[0];
            }
        }
        true
    }

    /// Returns the copies of the family's slabs, with their first slot. Those of which
    /// there is none are empty.
    pub(super) fn slabs<'v>(&self, values: &'v Values) -> Vec<(usize, &'v [u64])> {
        let copy = |slab: &SlabView| {
            let copies = &values.slabs;
            match copies.binary_search_by_key(&slab.offset, |(offset, _)| *offset) {
                Ok(index) => &values.words[copies[index].1.clone()],
                Err(_) => &[],
            }
        };
        self.slabs
            .iter()
            .map(|slab| (slab.first, copy(slab)))
            .collect()
    }

    /// Returns the number of the slab of a slot, and the slot's number in it.
    pub(super) fn slab_of(&self, slot: usize) -> Option<(usize, usize)> {
        let index = self.slabs.partition_point(|slab| slab.first <= slot);
        let index = index.checked_sub(1)?;
        Some((index, slot - self.slabs[index].first))
    }

    /// Writes the row of a series. Returns false if its words were not copied.
    #[cfg(test)]
    pub(super) fn row(&self, slot: usize, slabs: &[(usize, &[u64])], row: &mut [u64]) -> bool {
        match self.words(slot, slabs) {
            Some(words) => {
                self.record.decode_row(|index| words[index], row);
                true
            }
            None => false,
        }
    }

    /// Returns the words of a series, none if its value takes none. `None` if they were
    /// not copied.
    pub(super) fn words<'v>(&self, slot: usize, slabs: &[(usize, &'v [u64])]) -> Option<&'v [u64]> {
        let len = self.record.words();
        if len == 0 {
            return Some(&[]);
        }
        let index = slabs.partition_point(|(first, _)| *first <= slot);
        let (first, copy) = slabs[index.checked_sub(1)?];
        copy.get((slot - first) * len..)?.get(..len)
    }
}

impl FamilyRecord {
    /// Turns the words of a series into its row. Values that no cell has, which
    /// would spoil the page, are replaced by the nearest ones.
    #[inline]
    pub(super) fn decode_row(&self, word: impl Fn(usize) -> u64, row: &mut [u64]) {
        let is_counter = self.descriptor.metric_type == MetricType::Counter;
        match (&self.encoding, &self.descriptor.shape) {
            (Encoding::F64, _) if is_counter => row[0] = not_negative(word(0)),
            (Encoding::I64, _) if is_counter => {
                row[0] = word(0).cast_signed().max(0).cast_unsigned()
            }
            (Encoding::Histogram, Shape::Histogram { bounds }) => {
                let (mut total, last) = (0_u64, row.len() - 1);
                for (bucket, cumulative) in row[..last].iter_mut().enumerate() {
                    total = total.saturating_add(word(1 + bucket));
                    *cumulative = total;
                }
                row[last] = match may_fall(bounds) {
                    true => word(0),
                    false => not_negative(word(0)),
                };
            }
            (Encoding::StateSet, _) => {
                let states = word(0);
                for (state, on) in row.iter_mut().enumerate() {
                    *on = states >> (state % 64) & 1;
                }
            }
            (Encoding::One, _) => row.fill(1),
            _ => row[0] = word(0),
        }
    }

    /// Returns true if the row of a series is its one word, whatever that is.
    pub(super) fn is_plain(&self) -> bool {
        let is_counter = self.descriptor.metric_type == MetricType::Counter;
        match self.encoding {
            Encoding::U64 => true,
            Encoding::I64 | Encoding::F64 => !is_counter,
            _ => false,
        }
    }

    /// Adds the parts of a series to `sums`.
    fn add_parts(&self, words: &[u64], sums: &mut [u64]) {
        for part in words.chunks_exact(self.part_stride()) {
            self.add_words(&part[..sums.len()], sums);
            if self.encoding == Encoding::U64 {
                // The second word: the counts of threads that share the part.
                self.add_words(&part[1..2], sums);
            }
        }
    }

    /// Adds the words of a series of a counter or a histogram to others of the same
    /// description. Values that no cell has are replaced by the nearest ones, and no
    /// sum falls.
    pub(super) fn add_words(&self, words: &[u64], sums: &mut [u64]) {
        match (&self.encoding, &self.descriptor.shape) {
            (Encoding::F64, _) => sums[0] = add_floats(sums[0], not_negative(words[0])),
            (Encoding::I64, _) => {
                let sum = sums[0].cast_signed();
                sums[0] = sum
                    .saturating_add(words[0].cast_signed().max(0))
                    .cast_unsigned();
            }
            (Encoding::Histogram, Shape::Histogram { bounds }) => {
                let sum = match may_fall(bounds) {
                    true => words[0],
                    false => not_negative(words[0]),
                };
                sums[0] = add_floats(sums[0], sum);
                for (sum, count) in sums[1..].iter_mut().zip(&words[1..]) {
                    *sum = sum.saturating_add(*count);
                }
            }
            _ => {
                for (sum, word) in sums.iter_mut().zip(words) {
                    *sum = sum.saturating_add(*word);
                }
            }
        }
    }
}

/// Returns true if the sum of a histogram with these bounds may fall.
fn may_fall(bounds: &[f64]) -> bool {
    bounds.first().is_some_and(|bound| *bound < 0.0)
}

fn add_floats(a: u64, b: u64) -> u64 {
    (f64::from_bits(a) + f64::from_bits(b)).to_bits()
}

/// Returns the bits of a number that is neither negative nor NaN.
fn not_negative(bits: u64) -> u64 {
    // NaN becomes 0, too.
    f64::from_bits(bits).max(0.0).to_bits()
}
