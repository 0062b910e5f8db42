//! Loom models of a segment: a writer and a reader in every order, with two
//! preemptions.

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
        let mut log = Log::new(Arena::new(memory.clone())).unwrap();
        let family = log.add_family(&family()).unwrap();
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

    fn remove(&mut self, slot: usize) {
        self.log.remove_series(self.family, slot);
        self.log.release(self.family, slot);
    }
}

/// Reads the segment: labels and values.
fn read(memory: &Heap, view: &mut View) -> Vec<(String, u64)> {
    let mut values = Values::default();
    view.read(memory, &mut values).unwrap();
    assert!(!view.damaged);
    let mut found = Vec::new();
    for (&id, family) in &view.families {
        for (&slot, series) in &family.series {
            let mut row = [0];
            if values.has(id, slot, series) {
                assert!(family.row(slot, &family.slabs(&values), &mut row));
                found.push((series.labels[0].clone(), row[0]));
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
