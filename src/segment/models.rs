//! Loom models of a segment: a writer and a reader in every order, with two
//! preemptions. Cells in several parts have a writer for each of two parts.

use super::arena::Arena;
use super::format::FamilyRecord;
use super::heap::Heap;
use super::log::Log;
use super::view::{Values, View};
use crate::MetricType;
use crate::cell::{Encoding, Number};
use crate::family::{Descriptor, Shape};
use crate::sync::{AtomicU64, Ordering};
use loom::thread;

fn family() -> FamilyRecord {
    FamilyRecord {
        encoding: Encoding::U64,
        parts: 1,
        descriptor: Descriptor {
            name: String::new(),
            help: String::new(),
            unit: None,
            metric_type: MetricType::Counter,
            shape: Shape::Single(Number::U64),
            label_names: vec![String::new()],
            const_labels: Vec::new(),
            created: false,
            mixed: false,
            permanent: false,
        },
    }
}

/// A segment with one family.
struct Model {
    log: Log<Heap>,
    family: u64,
    ordinal: u64,
}

impl Model {
    fn new(memory: &Heap) -> Self {
        Self::of(memory, &family())
    }

    fn of(memory: &Heap, family: &FamilyRecord) -> Self {
        let mut log = Log::new(Arena::new(memory.clone())).unwrap();
        let family = log.add_family(family).unwrap();
        Self {
            log,
            family,
            ordinal: 0,
        }
    }

    fn place(&mut self, label: &str) -> (usize, &'static AtomicU64) {
        self.ordinal += 1;
        let placed = self
            .log
            .place(self.family, self.ordinal, 0.0, &[label], |words| &words[0]);
        placed.unwrap()
    }

    /// Places a series without a label, and returns all of its words.
    fn place_in_parts(&mut self) -> &'static [AtomicU64] {
        let placed = self.log.place(self.family, 1, 0.0, &[], |words| words);
        placed.unwrap().1
    }

    fn remove(&mut self, slot: usize) {
        self.log.remove_series(self.family, slot);
        self.log.release(self.family, slot);
    }
}

/// Reads the segment: labels and values of one number.
fn read(memory: &Heap, view: &mut View) -> Vec<(String, u64)> {
    let rows = read_rows(memory, view).into_iter();
    let first = |(labels, row): (Vec<String>, Vec<u64>)| (labels[0].clone(), row[0]);
    rows.map(first).collect()
}

/// Reads the segment: labels and rows.
fn read_rows(memory: &Heap, view: &mut View) -> Vec<(Vec<String>, Vec<u64>)> {
    let mut values = Values::default();
    view.read(memory, &mut values).unwrap();
    assert!(!view.damaged);
    let mut found = Vec::new();
    for (&id, family) in &view.families {
        for (&slot, series) in &family.series {
            let mut row = vec![0; family.record.descriptor.shape.width()];
            if values.has(id, slot, series) {
                assert!(family.row(slot, &family.slabs(&values), &mut row));
                found.push((series.labels.clone(), row));
            }
        }
    }
    found
}

/// Runs `write` on a segment that `prepare` has made, beside a reader that checks
/// each series that it sees.
fn check<T: Send + 'static>(
    words: usize,
    prepare: fn(&mut Model) -> T,
    write: fn(&mut Model, T),
    is_valid: fn(&str, u64) -> bool,
    at_the_end: &'static [(&'static str, u64)],
) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.max_branches = 100_000;
    builder.check(move || {
        let memory = Heap::new(words, words);
        let mut model = Model::new(&memory);
        let prepared = prepare(&mut model);
        let reader = thread::spawn({
            let memory = memory.clone();
            move || {
                let mut view = View::default();
                for (label, value) in read(&memory, &mut view) {
                    assert!(is_valid(&label, value), "{label} {value}");
                }
                view
            }
        });
        write(&mut model, prepared);
        let mut view = reader.join().unwrap();
        let expected: Vec<_> = at_the_end
            .iter()
            .map(|(l, v)| (l.to_string(), *v))
            .collect();
        assert_eq!(read(&memory, &mut view), expected);
        assert_eq!(read(&memory, &mut View::default()), expected);
        drop(model);
    });
}

#[test]
fn published_series_is_seen_whole() {
    check(
        80,
        |_| (),
        |model, ()| {
            let (_, value) = model.place("a");
            value.fetch_add(1, Ordering::Relaxed);
        },
        |label, value| label == "a" && value <= 1,
        &[("a", 1)],
    );
}

#[test]
fn reused_slot_is_never_shown_under_its_old_labels() {
    check(
        80,
        |model| {
            let (slot, value) = model.place("a");
            value.store(7, Ordering::Relaxed);
            slot
        },
        |model, slot| {
            model.remove(slot);
            let (reused, value) = model.place("b");
            assert_eq!(reused, slot);
            value.store(9, Ordering::Relaxed);
        },
        |label, value| match label {
            "a" => value == 7,
            _ => label == "b" && (value == 0 || value == 9),
        },
        &[("b", 9)],
    );
}

#[test]
fn log_that_is_compacted_is_never_seen_in_parts() {
    check(
        112,
        |model| {
            let (_, kept) = model.place("k");
            kept.store(3, Ordering::Relaxed);
            // Fills the chunk with garbage: the next record compacts the log.
            while model.log.compactions() == 0 && model.log.has_room_for_a_series() {
                let (slot, _) = model.place("x");
                model.remove(slot);
            }
        },
        |model, ()| {
            let before = model.log.compactions();
            let (slot, _) = model.place("x");
            model.remove(slot);
            assert_eq!(model.log.compactions(), before + 1);
        },
        |label, value| match label {
            "k" => value == 3,
            _ => label == "x" && value == 0,
        },
        &[("k", 3)],
    );
}

/// Words from one part of a cell to the next.
const PART: usize = 8;

/// Lets two threads write the parts of one series, beside a reader that gives each row
/// that it sees to `check` with the one before, `None` at first. Returns the row at the
/// end.
fn check_parts(
    family: fn() -> FamilyRecord,
    write: [fn(&[AtomicU64]); 2],
    check: fn(Option<&[u64]>, &[u64]),
    at_the_end: &'static [u64],
) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.max_branches = 100_000;
    builder.check(move || {
        let memory = Heap::new(120, 120);
        let mut model = Model::of(&memory, &family());
        let words = model.place_in_parts();
        let mut view = View::default();
        let mut row = || read_rows(&memory, &mut view).remove(0).1;
        let parts = words.chunks_exact(PART);
        let writers: Vec<_> = parts
            .zip(write)
            .map(|(part, write)| thread::spawn(move || write(part)))
            .collect();
        let first = row();
        check(None, &first);
        check(Some(&first), &row());
        for writer in writers {
            writer.join().unwrap();
        }
        assert_eq!(row(), at_the_end);
        drop(model);
    });
}

fn in_two_parts(encoding: Encoding, metric_type: MetricType, shape: Shape) -> FamilyRecord {
    let mut family = family();
    (family.encoding, family.parts) = (encoding, 2);
    family.descriptor.metric_type = metric_type;
    family.descriptor.shape = shape;
    family.descriptor.label_names.clear();
    family
}

/// Adds as the owner of a part does.
fn add_exclusive(word: &AtomicU64, order: Ordering, next: fn(u64) -> u64) {
    word.store(next(word.load(Ordering::Relaxed)), order);
}

/// Adds 1 to the bits of a float.
fn plus_one(bits: u64) -> u64 {
    (f64::from_bits(bits) + 1.0).to_bits()
}

#[test]
fn counter_in_parts_loses_nothing_and_is_monotone() {
    check_parts(
        || {
            let shape = Shape::Single(Number::U64);
            in_two_parts(Encoding::U64, MetricType::Counter, shape)
        },
        [
            |part| (0..2).for_each(|_| add_exclusive(&part[0], Ordering::Relaxed, |n| n + 1)),
            // A thread without a part of its own counts in the second word.
            |part| {
                part[1].fetch_add(2, Ordering::Relaxed);
            },
        ],
        |before, now| {
            assert!(now[0] <= 4);
            assert!(before.is_none_or(|before| before[0] <= now[0]));
        },
        &[4],
    );
}

#[test]
fn sum_of_a_histogram_in_parts_never_lags_its_count() {
    const TWO: u64 = 2f64.to_bits();
    check_parts(
        || {
            let shape = Shape::Histogram { bounds: Vec::new() };
            in_two_parts(Encoding::Histogram, MetricType::Histogram, shape)
        },
        [
            |part| {
                add_exclusive(&part[0], Ordering::Relaxed, plus_one);
                // Release: as in `cell::histogram`.
                add_exclusive(&part[1], Ordering::Release, |n| n + 1);
            },
            |part| {
                let (was, order) = (part[0].load(Ordering::Relaxed), Ordering::Relaxed);
                let added = part[0].compare_exchange(was, plus_one(was), order, order);
                added.expect("the only writer of this part");
                part[1].fetch_add(1, Ordering::Release);
            },
        ],
        |before, now| {
            let (count, sum) = (now[0], f64::from_bits(now[1]));
            assert!(count as f64 <= sum && sum <= 2.0, "{count} {sum}");
            assert!(before.is_none_or(|before| before[0] <= count));
        },
        &[2, TWO],
    );
}
