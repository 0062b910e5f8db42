//! Tests of the log and its reader, on memory of the test's own.

use super::arena::Arena;
use super::format::{self, FamilyRecord, HEADER};
use super::heap::Heap;
use super::log::Log;
use super::mirror::Mirror;
use super::view::{Unreadable, Values, View, Words};
use crate::MetricType;
use crate::cell::{Encoding, Number};
use crate::exposition::parser::{Mode, Options};
use crate::exposition::validate::validate;
use crate::exposition::{ContentType, Escaping, Format};
use crate::family::{Descriptor, Shape};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The kinds of families, the last two with parts.
const KINDS: usize = 7;

/// The description of a family of a kind.
fn family(kind: usize, name: &str) -> FamilyRecord {
    let parts = match kind {
        5 => 3,
        6 => 2,
        _ => 1,
    };
    let (encoding, metric_type, shape) = match kind {
        0 | 5 => (
            Encoding::U64,
            MetricType::Counter,
            Shape::Single(Number::U64),
        ),
        1 => (Encoding::I64, MetricType::Gauge, Shape::Single(Number::I64)),
        2 => (Encoding::F64, MetricType::Gauge, Shape::Single(Number::F64)),
        3 | 6 => {
            let bounds = vec![0.5, 1.0];
            (
                Encoding::Histogram,
                MetricType::Histogram,
                Shape::Histogram { bounds },
            )
        }
        _ => {
            let states = vec!["on".to_owned(), "off".to_owned(), "lost".to_owned()];
            (
                Encoding::StateSet,
                MetricType::StateSet,
                Shape::StateSet { states },
            )
        }
    };
    FamilyRecord {
        encoding,
        parts,
        descriptor: Descriptor {
            name: name.to_owned(),
            help: format!("Help of \u{201c}{name}\u{201d}."),
            unit: None,
            metric_type,
            shape,
            label_names: vec!["label".to_owned()],
            const_labels: vec![("constant".to_owned(), "c\n".to_owned())],
            created: metric_type == MetricType::Counter,
            mixed: false,
            permanent: false,
        },
    }
}

/// What is live: family to slot to ordinal, label and first word.
type Live = BTreeMap<u64, BTreeMap<usize, (u64, String, u64)>>;

/// Takes over the log, and returns the values.
fn copy(view: &mut View, words: &impl Words) -> Result<Values, Unreadable> {
    let mut values = Values::default();
    view.read(words, &mut values).map(|()| values)
}

/// Returns what a reader sees.
fn read(view: &mut View, memory: &impl Words) -> Live {
    let values = copy(view, memory).unwrap();
    assert!(!view.damaged);
    let mut live = Live::new();
    for (&id, family) in &view.families {
        let mut row = vec![0; family.record.descriptor.shape.width()];
        let found = live.entry(id).or_default();
        for (&slot, series) in &family.series {
            assert!(values.has(id, slot, series));
            assert!(family.row(slot, &family.slabs(&values), &mut row));
            let label = series.labels[0].clone();
            found.insert(slot, (series.ordinal, label, row[0]));
        }
    }
    live
}

/// Shows what the memory has.
fn show(mirror: &mut Mirror, view: &mut View, memory: &impl Words) {
    let values = copy(view, memory).unwrap();
    mirror.show(view, &values);
    assert_eq!(mirror.left_out, 0);
}

/// Returns the page of a segment in a format, after checking that it is strictly
/// valid.
fn page(mirror: &Mirror, format: Format, escaping: Escaping) -> String {
    let mut scraper = mirror.registry.scraper();
    let content_type = ContentType::new(format, escaping);
    let page = String::from_utf8(scraper.scrape(content_type).to_vec()).unwrap();
    let options = Options::from(content_type).with_mode(Mode::Strict);
    validate(&page, options).unwrap_or_else(|error| panic!("{error}\n{page}"));
    page
}

#[derive(Clone, Debug)]
enum LogStep {
    AddFamily(usize),
    Place { family: usize, label: String },
    Store { series: usize, value: u64 },
    Remove { series: usize },
    Release { handle: usize },
    RemoveFamily(usize),
    Limit(usize),
    Read,
}

fn step() -> impl Strategy<Value = LogStep> {
    prop_oneof![
        1 => (0..KINDS).prop_map(LogStep::AddFamily),
        8 => (any::<usize>(), ".{0,20}").prop_map(|(family, label)| LogStep::Place { family, label }),
        4 => (any::<usize>(), 0..2_u64).prop_map(|(series, value)| LogStep::Store { series, value }),
        6 => any::<usize>().prop_map(|series| LogStep::Remove { series }),
        6 => any::<usize>().prop_map(|handle| LogStep::Release { handle }),
        1 => any::<usize>().prop_map(LogStep::RemoveFamily),
        1 => (0..40_000_usize).prop_map(LogStep::Limit),
        2 => Just(LogStep::Read),
    ]
}

/// A series that the test may still update.
struct Held {
    family: u64,
    slot: usize,
    words: &'static [AtomicU64],
    is_live: bool,
}

/// Takes some steps, and compares what readers see with what is live. With a limit
/// of the memory, placing may fail.
fn run(steps: &[LogStep], extent: usize) {
    let memory = Heap::new(extent, usize::MAX);
    let mut log = Log::new(Arena::new(memory.clone())).unwrap();
    let mut follower = View::default();
    let (mut shown_view, mut shown) = (View::default(), Mirror::new());
    let mut live = Live::new();
    let mut names = 0;
    let mut held: Vec<Held> = Vec::new();
    let mut ordinal = 0;
    for step in steps {
        let families: Vec<u64> = live.keys().copied().collect();
        let pick = |index: usize, len: usize| (len > 0).then(|| index % len.max(1));
        match step {
            LogStep::AddFamily(kind) => {
                names += 1;
                let name = format!("family_{names}");
                if let Some(id) = log.add_family(&family(*kind, &name)) {
                    live.insert(id, BTreeMap::new());
                }
            }
            LogStep::Place { family, label } => {
                let Some(index) = pick(*family, families.len()) else {
                    continue;
                };
                let family = families[index];
                ordinal += 1;
                // A registry never places the same labels twice.
                let label = &format!("{label} {ordinal}");
                let placed = log.place(family, ordinal, 1.5, &[label], |words| {
                    assert!(words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
                    words
                });
                if let Some((slot, words)) = placed {
                    held.push(Held {
                        family,
                        slot,
                        words,
                        is_live: true,
                    });
                    let series = live.get_mut(&family).unwrap();
                    assert!(series.insert(slot, (ordinal, label.clone(), 0)).is_none());
                }
            }
            LogStep::Store { series, value } => {
                let Some(index) = pick(*series, held.len()) else {
                    continue;
                };
                let held = &held[index];
                held.words[0].store(*value, Ordering::Relaxed);
                if held.is_live {
                    let series = live.get_mut(&held.family).unwrap();
                    let shown = &mut series.get_mut(&held.slot).unwrap().2;
                    // A histogram shows the count of its first bucket first.
                    *shown = if matches!(held.words.len(), 4 | 16) {
                        0
                    } else {
                        *value
                    };
                }
            }
            LogStep::Remove { series } => {
                let Some(index) = pick(*series, held.len()) else {
                    continue;
                };
                let held = &mut held[index];
                log.remove_series(held.family, held.slot);
                if std::mem::take(&mut held.is_live) {
                    live.get_mut(&held.family).unwrap().remove(&held.slot);
                }
            }
            LogStep::Release { handle } => {
                if let Some(index) = pick(*handle, held.len()) {
                    let held = held.remove(index);
                    log.release(held.family, held.slot);
                }
            }
            LogStep::RemoveFamily(index) => {
                let Some(index) = pick(*index, families.len()) else {
                    continue;
                };
                log.remove_family(families[index]);
                live.remove(&families[index]);
                for held in held
                    .iter_mut()
                    .filter(|held| held.family == families[index])
                {
                    held.is_live = false;
                }
            }
            LogStep::Limit(limit) => memory.set_limit(*limit),
            LogStep::Read => {
                // What could not be removed for lack of room is still shown.
                if log.has_doomed() {
                    continue;
                }
                log.assert_consistent();
                assert_eq!(read(&mut follower, &memory), live);
                assert_eq!(read(&mut View::default(), &memory), live);
                show(&mut shown, &mut shown_view, &memory);
                let mut fresh = Mirror::new();
                show(&mut fresh, &mut View::default(), &memory);
                assert_eq!(shown.registry.gather(), fresh.registry.gather());
            }
        }
    }
    memory.set_limit(usize::MAX);
    log.add_family(&family(0, "last")).unwrap();
    let mut shown = read(&mut View::default(), &memory);
    shown.pop_last();
    assert_eq!(shown, live);
    log.assert_consistent();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn readers_show_exactly_what_is_live(steps in prop::collection::vec(step(), 0..400)) {
        run(&steps, 4096);
        run(&steps, 8);
    }
}

/// A segment with families of so many kinds, and its words.
fn sample(kinds: usize) -> Vec<u64> {
    let memory = Heap::new(2048, usize::MAX);
    let mut log = Log::new(Arena::new(memory.clone())).unwrap();
    for kind in 0..kinds {
        let id = log
            .add_family(&family(kind, &format!("family_{kind}")))
            .unwrap();
        for series in 0..6 {
            let label = format!("series {series}");
            let (slot, words) = log
                .place(id, series, 12.5, &[&label], |words| words)
                .unwrap();
            for (index, word) in words.iter().enumerate() {
                word.store(series + index as u64, Ordering::Relaxed);
            }
            if series == 3 {
                log.remove_series(id, slot);
            }
        }
    }
    memory.to_vec()
}

impl Words for Vec<u64> {
    fn len(&self) -> usize {
        self.len()
    }

    fn copy(&self, offset: usize, into: &mut [u64]) -> bool {
        match self.get(offset..offset.saturating_add(into.len())) {
            Some(words) => {
                into.copy_from_slice(words);
                true
            }
            None => false,
        }
    }
}

/// Reads words that may be anything, and checks the pages.
fn read_hostile(words: &Vec<u64>) {
    let mut view = View::default();
    let mut mirror = Mirror::new();
    for _ in 0..2 {
        if let Ok(values) = copy(&mut view, words) {
            mirror.show(&view, &values);
        }
        page(&mirror, Format::Text, Escaping::Underscores);
        page(&mirror, Format::Text1, Escaping::AllowUtf8);
        page(&mirror, Format::OpenMetrics, Escaping::AllowUtf8);
        page(&mirror, Format::OpenMetrics, Escaping::Values);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn damaged_segments_make_valid_pages(
        damage in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..6_u8, any::<u64>()),
            1..6,
        ),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        static SAMPLE: LazyLock<Vec<u64>> = LazyLock::new(|| sample(KINDS));
        let mut words = SAMPLE.clone();
        let used: Vec<usize> = (0..words.len()).filter(|&index| words[index] != 0).collect();
        for (at, from, kind, random) in damage {
            let at = used[at.index(used.len())];
            words[at] = match kind {
                0 => random,
                1 => words[at] ^ 1 << (random % 64),
                2 => words[from.index(words.len())],
                3 => words[at].wrapping_add(random % 16),
                4 => u64::MAX,
                _ => random % 1024,
            };
        }
        if let Some(cut) = cut {
            words.truncate(cut.index(words.len()));
        }
        read_hostile(&words);
    }
}

#[test]
fn circle_of_chunks_ends() {
    let mut words = vec![0; HEADER + 16];
    words[format::header::ROOT] = format::root(0, HEADER);
    let chunk = &mut words[HEADER..];
    chunk[format::chunk::TAG] = format::CHUNK_TAG;
    chunk[format::chunk::LENGTH] = 16;
    chunk[format::chunk::COMMITTED] = 10;
    chunk[8..10].copy_from_slice(&format::encode_next_chunk(HEADER));
    let mut view = View::default();
    copy(&mut view, &words).unwrap();
    assert!(view.damaged);
}

#[test]
fn overlapping_slabs_are_not_copied_again_and_again() {
    let memory = Heap::new(4096, usize::MAX);
    let mut log = Log::new(Arena::new(memory.clone())).unwrap();
    let id = log.add_family(&family(0, "a")).unwrap();
    log.place(id, 1, 0.0, &["x"], |_| ()).unwrap();
    let mut words = memory.to_vec();
    // Behind the committed records: slabs that all cover the whole file.
    let root = format::root_offset(words[format::header::ROOT]);
    let mut at = words[root + format::chunk::COMMITTED] as usize;
    let slots = (words.len() - HEADER) / 8;
    for index in 0..100 {
        let record = format::encode_slab(id, 4 + index * slots, slots, HEADER);
        words[root + at..][..record.len()].copy_from_slice(&record);
        at += record.len();
    }
    words[root + format::chunk::COMMITTED] = at as u64;
    let mut view = View::default();
    copy(&mut view, &words).unwrap();
    assert!(view.damaged);
}

#[test]
fn churn_keeps_the_file_small() {
    let memory = Heap::new(2048, usize::MAX);
    let mut log = Log::new(Arena::new(memory.clone())).unwrap();
    let id = log.add_family(&family(0, "churn")).unwrap();
    let mut held = std::collections::VecDeque::new();
    for ordinal in 0..200_000 {
        let label = format!("series-{ordinal}");
        let (slot, _) = log.place(id, ordinal, 0.0, &[&label], |_| ()).unwrap();
        held.push_back(slot);
        if held.len() > 100 {
            let slot = held.pop_front().unwrap();
            log.remove_series(id, slot);
            log.release(id, slot);
        }
    }
    log.assert_consistent();
    assert!(log.compactions() > 100);
    let (words, live) = log.log_words();
    assert!(
        words <= 2 * live.max(1024),
        "{words} words, {live} of them live"
    );
    // 100 series of eight words each, and as many records of eight.
    assert!(memory.len() <= 8192, "{}", memory.len());
    let seen = read(&mut View::default(), &memory);
    assert_eq!(seen[&id].len(), 100);
}

#[test]
fn series_that_does_not_fit_is_refused_and_removals_are_caught_up() {
    let memory = Heap::new(2048, 4096);
    let mut log = Log::new(Arena::new(memory.clone())).unwrap();
    let id = log.add_family(&family(0, "a")).unwrap();
    let mut placed = Vec::new();
    while let Some((slot, ())) = log.place(id, placed.len() as u64, 0.0, &["x"], |_| ()) {
        placed.push(slot);
    }
    assert!(placed.len() > 50, "{}", placed.len());
    for &slot in &placed {
        log.remove_series(id, slot);
        log.release(id, slot);
    }
    memory.set_limit(usize::MAX);
    log.place(id, 1_000, 0.0, &["y"], |_| ()).unwrap();
    let seen = read(&mut View::default(), &memory);
    assert_eq!(seen[&id].values().map(|s| s.0).collect::<Vec<_>>(), [1_000]);
    log.assert_consistent();
}

#[test]
fn records_of_later_versions_are_skipped() {
    let memory = Heap::new(2048, usize::MAX);
    let mut log = Log::new(Arena::new(memory.clone())).unwrap();
    log.add_family(&family(0, "a")).unwrap();
    let mut words = memory.to_vec();
    let root = format::root_offset(words[format::header::ROOT]);
    let at = words[root + format::chunk::COMMITTED] as usize;
    words[root + at] = 999 << 32 | 3;
    words[root + format::chunk::COMMITTED] += 3;
    let mut view = View::default();
    copy(&mut view, &words).unwrap();
    assert!(!view.damaged);
    assert_eq!(view.families.len(), 1);
}

/// Compares the writer's words with the golden file of a version, which is made with
/// `STETHOSCOPE_WRITE_GOLDEN=1`, and returns its page.
#[cfg(target_endian = "little")]
fn golden_page(version: usize, words: &[u64]) -> String {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let path = format!("{directory}/segment-v{version}.bin");
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    if std::env::var_os("STETHOSCOPE_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, &bytes).unwrap();
    }
    let golden = std::fs::read(&path).unwrap();
    assert!(golden == bytes, "the writer makes other words than {path}");
    let words: Vec<u64> = golden
        .chunks_exact(8)
        .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
        .collect();
    let (mut view, mut mirror) = (View::default(), Mirror::new());
    show(&mut mirror, &mut view, &words);
    assert!(!view.damaged);
    page(&mirror, Format::OpenMetrics, Escaping::Underscores)
}

/// If the format changes on purpose, its version changes, and with it the file.
#[test]
#[cfg(target_endian = "little")]
fn golden_files_are_written_and_read() {
    // Version 2 adds parts, and changes nothing else.
    let text = golden_page(1, &sample(5));
    assert_eq!(text.matches("\nfamily_0_total{").count(), 5, "{text}");
    let line = "family_3_bucket{constant=\"c\\n\",label=\"series 5\",le=\"1.0\"} 13\n";
    assert!(text.contains(line), "{text}");
    let line = "family_4{constant=\"c\\n\",label=\"series 5\",family_4=\"lost\"} 1\n";
    assert!(text.contains(line), "{text}");

    let text = golden_page(2, &sample(KINDS));
    // Words 0, 1, 8, 9, 16 and 17, each 5 more than its number.
    let line = "family_5_total{constant=\"c\\n\",label=\"series 5\"} 81\n";
    assert!(text.contains(line), "{text}");
    // Words 1, 2, 9 and 10.
    let line = "family_6_bucket{constant=\"c\\n\",label=\"series 5\",le=\"1.0\"} 42\n";
    assert!(text.contains(line), "{text}");
}
