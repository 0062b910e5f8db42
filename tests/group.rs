//! Groups: one page for several processes, whatever dies and when.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

#[path = "support/directory.rs"]
mod directory;
#[path = "properties/segments.rs"]
mod hostile;
#[path = "support/segments.rs"]
mod segments;

use directory::Directory;
use segments::{eventually, page, process_of_this_test, run_on_small_tmpfs};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;
use stethoscope::cell::Buckets;
use stethoscope::exposition::Format;
use stethoscope::segment::{
    self, DirectoryLock, GaugeRule, Group, GroupOptions, Segment, SegmentErrorKind,
};
use stethoscope::{Handle, Registry, cell::Counter};

/// A process as the group sees it: a segment, which is left behind when it is dropped.
struct Process {
    segment: Segment,
    registry: Registry,
}

impl Process {
    fn new(directory: &Directory) -> Self {
        let segment = Segment::in_dir(directory.path()).unwrap();
        let registry = Registry::in_segment(&segment);
        Self { segment, registry }
    }

    fn counter(&self, name: &str) -> Handle<Counter> {
        self.registry.counter(name, "").unwrap()
    }

    /// The value of the label `process`.
    fn id(&self) -> String {
        let path = self.segment.path();
        path.file_stem().unwrap().to_str().unwrap().to_owned()
    }
}

/// Returns the page of the group's families after a refresh.
fn refreshed(group: &mut Group) -> String {
    group.refresh().unwrap();
    page(group.page(), Format::OpenMetrics);
    page(group.registry(), Format::Text)
}

/// Returns the value of a sample. 0 if it is not there.
fn value(page: &str, sample: &str) -> f64 {
    let prefix = format!("{sample} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&prefix));
    line.map_or(0.0, |value| value.parse().unwrap())
}

fn segments_in(directory: &Directory) -> usize {
    segment::list(directory.path()).unwrap().len()
}

#[test]
fn counters_and_histograms_are_summed() {
    let directory = Directory::to_create_in_memory("group-sums");
    let mut processes = Vec::new();
    for n in 1..=3_u32 {
        let process = Process::new(&directory);
        process.counter("jobs_total").inc_by(n.into());
        let cpu = process.registry.float_counter("cpu_seconds_total", "");
        cpu.unwrap().inc_by(0.25 * f64::from(n));
        let family = process.registry.counter_family("by_total", "", ["who"]);
        let family = family.unwrap();
        family.with(["all"]).unwrap().inc();
        family.with([format!("only {n}")]).unwrap().inc_by(7);
        let buckets = Buckets::new([1.0, 2.0]).unwrap();
        let histogram = process.registry.histogram("size", "", buckets).unwrap();
        for size in 0..=n {
            histogram.observe(f64::from(size));
        }
        let states = process.registry.state_set("phase", "", ["a", "b", "c"]);
        states.unwrap().select((n % 2) as usize);
        let info = process.registry.info_family("build", "", ["version"]);
        info.unwrap().with([format!("{}", n % 2)]).unwrap();
        processes.push(process);
    }
    let mut group = Group::in_dir(directory.path()).unwrap();
    for processes_left in [3, 3, 2, 0] {
        processes.truncate(processes_left);
        let page = refreshed(&mut group);
        assert_eq!(value(&page, "jobs_total"), 6.0, "{page}");
        assert_eq!(value(&page, "cpu_seconds_total"), 1.5, "{page}");
        assert_eq!(value(&page, "by_total{who=\"all\"}"), 3.0, "{page}");
        for n in 1..=3 {
            let sample = format!("by_total{{who=\"only {n}\"}}");
            assert_eq!(value(&page, &sample), 7.0, "{page}");
        }
        for (bound, count) in [("1", 6.0), ("2", 8.0), ("+Inf", 9.0)] {
            let sample = format!("size_bucket{{le=\"{bound}\"}}");
            let sample = match page.contains(&sample) {
                true => sample,
                false => format!("size_bucket{{le=\"{bound}.0\"}}"),
            };
            assert_eq!(value(&page, &sample), count, "{page}");
        }
        assert_eq!(value(&page, "size_sum"), 10.0, "{page}");
        let living = f64::from(u32::from(processes_left > 0));
        assert_eq!(value(&page, "phase{phase=\"a\"}"), living, "{page}");
        assert_eq!(value(&page, "phase{phase=\"b\"}"), living, "{page}");
        assert_eq!(value(&page, "phase{phase=\"c\"}"), 0.0, "{page}");
        assert_eq!(value(&page, "build_info{version=\"1\"}"), living, "{page}");
        let folded = value(&page, "stethoscope_group_folded_total");
        assert_eq!(folded, 3.0 - processes_left as f64, "{page}");
        assert_eq!(segments_in(&directory), processes_left);
        let info = group.info();
        assert_eq!(
            (info.alive, info.left_out, info.lost),
            (processes_left, 0, 0)
        );
    }
}

#[test]
fn gauges_are_merged_by_their_rule() {
    let directory = Directory::to_create_in_memory("group-gauges");
    let mut processes = Vec::new();
    for n in [4, -7, 5] {
        let process = Process::new(&directory);
        for name in ["sum", "min", "max", "last", "each"] {
            process.registry.gauge(name, "").unwrap().set(n);
            let name = format!("float_{name}");
            let gauge = process.registry.float_gauge(&name, "").unwrap();
            gauge.set(n as f64 / 2.0);
        }
        let labelled = process.registry.gauge_family("labelled", "", ["process"]);
        labelled.unwrap().with(["own"]).unwrap().set(n);
        processes.push(process);
    }
    // Not a number is neither least nor greatest.
    let odd = Process::new(&directory);
    for name in ["float_min", "float_max"] {
        odd.registry.float_gauge(name, "").unwrap().set(f64::NAN);
    }
    let mut options = GroupOptions::default();
    for (name, rule) in [
        ("sum", GaugeRule::Sum),
        ("min", GaugeRule::Min),
        ("max", GaugeRule::Max),
        ("last", GaugeRule::Last),
    ] {
        options = options
            .gauge(name, rule)
            .gauge(format!("float_{name}"), rule);
    }
    let mut group = Group::with_options(directory.path(), options).unwrap();
    let shown = refreshed(&mut group);
    for (name, expected) in [("sum", 2.0), ("min", -7.0), ("max", 5.0), ("last", 5.0)] {
        assert_eq!(value(&shown, name), expected, "{shown}");
        let name = format!("float_{name}");
        assert_eq!(value(&shown, &name), expected / 2.0, "{shown}");
    }
    for (process, n) in processes.iter().zip([4.0, -7.0, 5.0]) {
        let id = process.id();
        assert_eq!(
            value(&shown, &format!("each{{process=\"{id}\"}}")),
            n,
            "{shown}"
        );
        let sample = format!("labelled{{process=\"{id}\",exported_process=\"own\"}}");
        assert_eq!(value(&shown, &sample), n, "{shown}");
    }
    // The dead have no gauges.
    let gone = processes.remove(1).id();
    let shown = refreshed(&mut group);
    assert_eq!(value(&shown, "sum"), 9.0, "{shown}");
    assert_eq!(value(&shown, "min"), 4.0, "{shown}");
    assert!(!shown.contains(&gone), "{shown}");
    processes.clear();
    let shown = refreshed(&mut group);
    assert!(!shown.contains("\nsum "), "{shown}");
    assert_eq!(group.info().alive, 1, "the odd one");
}

#[test]
fn totals_go_on_with_the_next_group() {
    let directory = Directory::to_create_in_memory("group-again");
    for n in 1..=5 {
        let process = Process::new(&directory);
        process.counter("jobs_total").inc_by(10);
        let histogram = process.registry.histogram("size", "", Buckets::default());
        histogram.unwrap().observe(0.3);
        drop(process);
        let mut group = Group::in_dir(directory.path()).unwrap();
        let shown = refreshed(&mut group);
        assert_eq!(value(&shown, "jobs_total"), 10.0 * f64::from(n), "{shown}");
        assert_eq!(value(&shown, "size_count"), f64::from(n), "{shown}");
        assert_eq!(shown, refreshed(&mut group));
        let other = Group::in_dir(directory.path()).map(drop);
        let other = other.unwrap_err();
        assert!(matches!(other.kind(), SegmentErrorKind::InUse), "{other}");
    }
    assert_eq!(segments_in(&directory), 0);
    // The accumulator is private, and all that is left.
    let files: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(files.len(), 1);
    let accumulator = directory.path().join("totals.accumulator");
    let mode = fs::metadata(accumulator).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn file_that_is_in_the_totals_is_not_counted_again() {
    let directory = Directory::to_create_in_memory("group-twice");
    let process = Process::new(&directory);
    process.counter("jobs_total").inc_by(3);
    let path = process.segment.path();
    let link = directory.path().join("kept");
    fs::hard_link(&path, &link).unwrap();
    drop(process);
    let mut group = Group::in_dir(directory.path()).unwrap();
    refreshed(&mut group);
    assert!(!path.exists());
    drop(group);
    // As if the group had been killed before it removed the file.
    fs::hard_link(&link, &path).unwrap();
    let mut group = Group::in_dir(directory.path()).unwrap();
    assert!(!path.exists());
    assert_eq!(value(&refreshed(&mut group), "jobs_total"), 3.0);
    // The file comes back while the group lives: it is the same file still.
    fs::hard_link(&link, &path).unwrap();
    assert_eq!(value(&refreshed(&mut group), "jobs_total"), 3.0);
    fs::remove_file(&path).unwrap();
    // Another file of that name is another process.
    fs::copy(&link, &path).unwrap();
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(&path, mode).unwrap();
    assert_eq!(value(&refreshed(&mut group), "jobs_total"), 6.0);
    assert!(!path.exists());
}

#[test]
fn accumulator_that_was_not_finished_is_ignored() {
    let directory = Directory::to_create_in_memory("group-unfinished");
    let process = Process::new(&directory);
    process.counter("jobs_total").inc_by(3);
    let new = directory.path().join("totals.accumulator.new");
    fs::write(&new, "half of it").unwrap();
    let mut group = Group::in_dir(directory.path()).unwrap();
    assert_eq!(value(&refreshed(&mut group), "jobs_total"), 3.0);
    drop(process);
    assert_eq!(value(&refreshed(&mut group), "jobs_total"), 3.0);
    assert!(!new.exists());
}

#[test]
fn damaged_accumulator_is_an_error() {
    let directory = Directory::to_create_in_memory("group-damaged-totals");
    let process = Process::new(&directory);
    process.counter("jobs_total").inc_by(3);
    drop(process);
    refreshed(&mut Group::in_dir(directory.path()).unwrap());
    let path = directory.path().join("totals.accumulator");
    let bytes = fs::read(&path).unwrap();
    // The family's record, and the end of the file.
    let name = bytes.windows(4).position(|bytes| bytes == b"jobs");
    let mut damaged = bytes.clone();
    damaged[name.unwrap()] = 0xff;
    let cut = bytes[..bytes.len() - 64].to_vec();
    for damaged in [damaged, cut] {
        fs::write(&path, damaged).unwrap();
        let error = Group::in_dir(directory.path()).map(drop).unwrap_err();
        let kind = error.kind();
        assert!(matches!(kind, SegmentErrorKind::DamagedTotals), "{error}");
        assert!(error.to_string().contains("totals.accumulator"), "{error}");
    }
    fs::write(&path, bytes).unwrap();
    let mut group = Group::in_dir(directory.path()).unwrap();
    assert_eq!(value(&refreshed(&mut group), "jobs_total"), 3.0);
}

#[test]
fn families_of_one_name_that_differ_are_left_out_and_kept() {
    let directory = Directory::to_create_in_memory("group-differ");
    let (old, new) = (Process::new(&directory), Process::new(&directory));
    let observe = |process: &Process, bound, value| {
        let buckets = Buckets::new([bound]).unwrap();
        let sizes = process.registry.histogram("size", "", buckets).unwrap();
        sizes.observe(value);
    };
    observe(&old, 1.0, 0.5);
    observe(&new, 2.0, 0.5);
    new.counter("jobs_total").inc();
    let mut group = Group::in_dir(directory.path()).unwrap();
    let shown = refreshed(&mut group);
    assert_eq!(value(&shown, "size_count"), 1.0, "{shown}");
    assert_eq!(value(&shown, "jobs_total"), 1.0, "{shown}");
    assert_eq!(group.info().left_out, 1);
    assert_eq!(group.families_left_out().collect::<Vec<_>>(), ["size"]);
    // That of the process that lives.
    drop(old);
    let shown = refreshed(&mut group);
    assert!(shown.contains(r#"size_bucket{le="2"} 1"#), "{shown}");
    assert_eq!(group.info().left_out, 0);
    assert_eq!(group.families_left_out().count(), 0);
    drop(new);
    let shown = refreshed(&mut group);
    assert!(shown.contains(r#"size_bucket{le="2"} 1"#), "{shown}");
    drop(group);
    // Both are kept, whichever is shown.
    for bound in [2.0, 1.0, 2.0] {
        let next = Process::new(&directory);
        observe(&next, bound, 0.5);
        let mut group = Group::in_dir(directory.path()).unwrap();
        let shown = refreshed(&mut group);
        assert!(shown.contains(&format!("le=\"{bound}\"")), "{shown}");
        assert_eq!(group.info().left_out, 0);
        drop(next);
        refreshed(&mut group);
    }
    let last = Process::new(&directory);
    observe(&last, 2.0, 0.5);
    let mut group = Group::in_dir(directory.path()).unwrap();
    assert_eq!(value(&refreshed(&mut group), "size_count"), 4.0);
    drop(group);
    let accumulator = fs::read(directory.path().join("totals.accumulator")).unwrap();
    let sizes = accumulator.windows(4).filter(|bytes| bytes == b"size");
    assert_eq!(sizes.count(), 2);
}

#[test]
fn series_that_come_and_go_are_followed() {
    let directory = Directory::to_create_in_memory("group-churn");
    let mut group = Group::in_dir(directory.path()).unwrap();
    let mut scraper = group.registry().scraper();
    let processes: Vec<Process> = (0..3).map(|_| Process::new(&directory)).collect();
    let families: Vec<_> = processes
        .iter()
        .map(|process| {
            process
                .registry
                .counter_family("jobs_total", "", ["n"])
                .unwrap()
        })
        .collect();
    let mut counts = vec![[0_u64; 3]; 40];
    for round in 0..3_000_usize {
        let process = round * 7 % 3;
        let n = round * 11 % 40;
        match round % 4 {
            3 => {
                families[process].remove([n.to_string()]);
                counts[n][process] = 0;
            }
            _ => {
                families[process].with([n.to_string()]).unwrap().inc();
                counts[n][process] += 1;
            }
        }
        if round % 100 == 0 {
            group.refresh().unwrap();
            let shown = String::from_utf8(scraper.scrape(Format::Text).to_vec()).unwrap();
            let lines = shown.lines().filter(|line| line.starts_with("jobs_total{"));
            let expected = counts.iter().filter(|of| of.iter().any(|count| *count > 0));
            assert_eq!(lines.count(), expected.count(), "{shown}");
            for (n, of) in counts.iter().enumerate() {
                let sum = of.iter().sum::<u64>() as f64;
                let sample = format!("jobs_total{{n=\"{n}\"}}");
                assert_eq!(value(&shown, &sample), sum, "{shown}");
            }
        }
    }
    drop((families, processes));
    let shown = refreshed(&mut group);
    let total: u64 = counts.iter().flatten().sum();
    let samples = shown.lines().filter(|line| line.starts_with("jobs_total{"));
    let shown: f64 = samples
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
        .sum();
    assert_eq!(shown, total as f64);
}

#[test]
fn members_are_those_that_the_filter_accepts() {
    let directory = Directory::to_create_in_memory("group-filter");
    let process = Process::new(&directory);
    process.counter("jobs_total").inc();
    let nobody = GroupOptions::default().members(|info| info.pid == 1);
    let mut group = Group::with_options(directory.path(), nobody).unwrap();
    let page = refreshed(&mut group);
    assert!(!page.contains("jobs_total"), "{page}");
    drop(group);
    let me = std::process::id();
    let mine = GroupOptions::default().members(move |info| info.pid == me);
    let mut group = Group::with_options(directory.path(), mine).unwrap();
    assert_eq!(value(&refreshed(&mut group), "jobs_total"), 1.0);
}

#[test]
fn hostile_files_are_refused_and_the_rest_is_right() {
    let directory = Directory::to_create_in_memory("group-hostile");
    let process = Process::new(&directory);
    process.counter("jobs_total").inc_by(3);
    let path = process.segment.path();
    let file = |name: &str| directory.path().join(format!("{name}.segment"));
    fs::write(file("garbage"), "something else").unwrap();
    fs::write(file("empty"), "").unwrap();
    symlink(&path, file("symlink")).unwrap();
    fs::create_dir(file("directory")).unwrap();
    make_fifo(&file("fifo"));
    fs::copy(&path, file("writable")).unwrap();
    fs::set_permissions(file("writable"), fs::Permissions::from_mode(0o666)).unwrap();
    // A terabyte that takes no memory.
    fs::copy(&path, file("long")).unwrap();
    let long = fs::OpenOptions::new()
        .write(true)
        .open(file("long"))
        .unwrap();
    long.set_len(1 << 40).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[16..24].fill(0xff);
    fs::write(file("version"), &bytes).unwrap();
    bytes[16..24].copy_from_slice(&(1_u64 << 32).to_ne_bytes());
    bytes[80..96].fill(7);
    fs::write(file("boot"), &bytes).unwrap();
    let mut group = Group::in_dir(directory.path()).unwrap();
    for _ in 0..2 {
        let shown = refreshed(&mut group);
        assert_eq!(value(&shown, "jobs_total"), 3.0, "{shown}");
        assert_eq!(group.info().refused, 9);
        assert_eq!(group.info().alive, 1);
        let refused: Vec<String> = { group.files_refused().iter() }
            .map(ToString::to_string)
            .collect();
        assert_eq!(refused.len(), 9);
        let garbage = format!("{}: the file is not a segment", file("garbage").display());
        assert!(refused.contains(&garbage), "{refused:?}");
    }
}

#[test]
fn group_of_a_directory_that_was_replaced_reads_no_more() {
    let directory = Directory::to_create_in_memory("group-replaced");
    let mut group = Group::in_dir(directory.path()).unwrap();
    let page = refreshed(&mut group);
    assert_eq!(
        value(&page, "stethoscope_group_folded_total"),
        0.0,
        "{page}"
    );
    fs::remove_dir_all(directory.path()).unwrap();
    let is_replaced = |group: &mut Group| {
        let error = group.refresh().unwrap_err();
        matches!(error.kind(), SegmentErrorKind::DirectoryReplaced)
    };
    assert!(is_replaced(&mut group));
    // Another group has the new directory, and its files.
    let mut other = Group::in_dir(directory.path()).unwrap();
    let process = Process::new(&directory);
    process.counter("jobs_total").inc_by(3);
    drop(process);
    assert!(is_replaced(&mut group));
    let page = refreshed(&mut other);
    assert_eq!(value(&page, "jobs_total"), 3.0, "{page}");
    assert_eq!(
        value(&page, "stethoscope_group_folded_total"),
        1.0,
        "{page}"
    );
    assert!(group.reopen().is_err());
    drop(other);
    group.reopen().unwrap();
    let page = refreshed(&mut group);
    assert_eq!(value(&page, "jobs_total"), 3.0, "{page}");
    assert_eq!(
        value(&page, "stethoscope_group_folded_total"),
        1.0,
        "{page}"
    );
}

#[test]
fn damaged_accumulator_of_a_new_directory_is_not_replaced() {
    let directory = Directory::to_create_in_memory("group-replaced-damaged");
    let process = Process::new(&directory);
    process.counter("jobs_total").inc_by(3);
    drop(process);
    let mut group = Group::in_dir(directory.path()).unwrap();
    assert_eq!(value(&refreshed(&mut group), "jobs_total"), 3.0);
    let path = directory.path().join("totals.accumulator");
    let bytes = fs::read(&path).unwrap();
    let damaged = &bytes[..bytes.len() - 64];

    let [old, new] = ["old", "new"].map(|suffix| directory.path().with_extension(suffix));
    fs::rename(directory.path(), &old).unwrap();
    let process = Process::new(&directory);
    process.counter("jobs_total").inc_by(4);
    drop(process);
    fs::write(&path, damaged).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    for _ in 0..2 {
        let error = group.reopen().unwrap_err();
        let kind = error.kind();
        assert!(matches!(kind, SegmentErrorKind::DamagedTotals), "{error}");
        let error = group.refresh().unwrap_err();
        let kind = error.kind();
        assert!(
            matches!(kind, SegmentErrorKind::DirectoryReplaced),
            "{error}"
        );
    }
    assert_eq!(fs::read(&path).unwrap(), damaged);
    // The old directory comes back, with its sums.
    fs::rename(directory.path(), &new).unwrap();
    fs::rename(&old, directory.path()).unwrap();
    let process = Process::new(&directory);
    process.counter("jobs_total").inc_by(2);
    drop(process);
    assert_eq!(value(&refreshed(&mut group), "jobs_total"), 5.0);
    // The new one, whose totals are mended.
    fs::remove_dir_all(directory.path()).unwrap();
    fs::rename(&new, directory.path()).unwrap();
    fs::write(&path, bytes).unwrap();
    group.reopen().unwrap();
    assert_eq!(value(&refreshed(&mut group), "jobs_total"), 7.0);
}

/// Makes a named pipe, whose reader would wait for a writer.
fn make_fifo(path: &Path) {
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the path is a C string.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}

#[test]
fn damaged_and_cut_segments_count_as_far_as_they_go() {
    let directory = Directory::to_create_in_memory("group-damaged");
    let mut group = Group::in_dir(directory.path()).unwrap();
    let honest = Process::new(&directory);
    honest.counter("jobs_total").inc_by(3);
    let bytes = fs::read(honest.segment.path()).unwrap();
    let hostile = directory.path().join("hostile.segment");
    let mut expected = 3.0;
    for round in 0..150_usize {
        let mut damaged = bytes.clone();
        // Behind the magic, byte order, version and boot.
        let at = 512 * 8 + round * 97 % (bytes.len() - 512 * 8);
        damaged[at] ^= 1 << (round % 8);
        damaged.truncate(bytes.len() - round * 13 % (bytes.len() / 2));
        fs::write(&hostile, damaged).unwrap();
        let shown = refreshed(&mut group);
        let total = value(&shown, "jobs_total");
        assert!(total >= expected, "{total} after {expected}");
        expected = total;
        // It was nobody's, so it was taken into the totals.
        assert!(!hostile.exists());
    }
    assert_eq!(group.info().alive, 1);
}

#[test]
fn file_cut_under_the_group_costs_only_its_own_part() {
    let directory = Directory::to_create_in_memory("group-cut");
    let mut group = Group::in_dir(directory.path()).unwrap();
    let (honest, hostile) = (Process::new(&directory), Process::new(&directory));
    honest.counter("jobs_total").inc_by(3);
    let family = hostile.registry.counter_family("other_total", "", ["n"]);
    let family = family.unwrap();
    for n in 0..500 {
        family.with([n.to_string()]).unwrap().inc();
    }
    group.refresh().unwrap();
    let path = hostile.segment.path();
    // A copy, so that this process does not touch memory that is gone.
    let bytes = fs::read(&path).unwrap();
    for cut in (0..bytes.len()).step_by(bytes.len() / 50).rev() {
        fs::write(directory.path().join("cut.segment"), &bytes[..cut]).unwrap();
        let shown = refreshed(&mut group);
        assert_eq!(value(&shown, "jobs_total"), 3.0);
    }
}

/// The inputs that are kept for the fuzz target. A package has none.
fn corpus() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if root.join(".cargo_vcs_info.json").exists() {
        return Vec::new();
    }
    let inputs = fs::read_dir(root.join("fuzz/corpus/segment")).unwrap();
    let inputs: Vec<Vec<u8>> = inputs
        .map(|input| fs::read(input.unwrap().path()).unwrap())
        .collect();
    assert!(!inputs.is_empty(), "the corpus is empty");
    inputs
}

#[test]
fn corpus_of_the_fuzz_target_spoils_no_page() {
    for input in corpus() {
        hostile::hold(&input);
    }
}

#[test]
fn damaged_inputs_spoil_no_page() {
    // The same sequence in each run.
    let mut random = 7_u64;
    let mut next = move || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) as usize
    };
    for input in corpus() {
        for _ in 0..12 {
            let mut input = input.clone();
            for _ in 0..1 + next() % 3 {
                let at = next() % input.len();
                input[at] = match next() % 4 {
                    0 => input[at] ^ 1 << (next() % 8),
                    1 => input[next() % input.len()],
                    2 => 0xff,
                    _ => input[at].wrapping_add(1),
                };
            }
            hostile::hold(&input);
        }
    }
}

/// Starts this test binary as a process with a role.
fn spawn(role: &str, directory: &Directory) -> Child {
    process_of_this_test()
        .env("GROUP_ROLE", role)
        .env("GROUP_DIRECTORY", directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The process that other tests start.
#[test]
#[ignore = "other tests run it"]
fn process_of_a_test() {
    let Ok(role) = std::env::var("GROUP_ROLE") else {
        return;
    };
    let directory = std::env::var("GROUP_DIRECTORY").unwrap();
    match role.as_str() {
        "fold" => {
            let mut group = Group::in_dir(directory).unwrap();
            loop {
                group.refresh().unwrap();
            }
        }
        "full" => merge_where_it_is_full(Path::new(&directory)),
        role => panic!("no role {role}"),
    }
}

/// Merges processes, of which some die while the file system is full.
fn merge_where_it_is_full(directory: &Path) {
    println!("\nmounted");
    let start = |n: u64| {
        let segment = Segment::in_dir(directory).unwrap();
        let registry = Registry::in_segment(&segment);
        registry.counter("jobs_total", "").unwrap().inc_by(n);
        let family = registry.counter_family("by_total", "", ["n"]).unwrap();
        for series in 0..40 {
            let series = format!("{} {series}", n % 3);
            family.with([series]).unwrap().inc_by(n);
        }
        assert_eq!(segment.unplaced(), 0);
    };
    let segments = || segment::list(directory).unwrap().len();
    let filler = directory.join("filler");
    let mut group = Group::in_dir(directory).unwrap();
    let mut expected = 0;
    let mut failed = 0;
    for round in 1..=20 {
        for n in [round, 2 * round, 3 * round] {
            start(n);
            expected += n;
        }
        let is_full = round % 2 == 1;
        if is_full {
            let mut file = fs::File::create(&filler).unwrap();
            while std::io::Write::write(&mut file, &[1; 4096]).is_ok_and(|written| written > 0) {}
        }
        let refreshed = group.refresh();
        failed += u32::from(refreshed.is_err());
        assert!(is_full || refreshed.is_ok(), "{refreshed:?}");
        let shown = page(group.page(), Format::OpenMetrics);
        assert_eq!(value(&shown, "jobs_total"), expected as f64, "{shown}");
        // The dead that are not in the sums on the file system keep their files.
        assert_eq!(segments() > 0, is_full && refreshed.is_err());
        if is_full && round % 4 == 1 {
            // Nor does the next process that merges them lose or double one.
            drop(group);
            group = Group::in_dir(directory).unwrap();
            let _ = group.refresh();
            let shown = page(group.page(), Format::OpenMetrics);
            assert_eq!(value(&shown, "jobs_total"), expected as f64, "{shown}");
        }
        let _ = fs::remove_file(&filler);
    }
    group.refresh().unwrap();
    let shown = page(group.page(), Format::OpenMetrics);
    assert_eq!(value(&shown, "jobs_total"), expected as f64, "{shown}");
    assert_eq!(segments(), 0);
    assert!(failed > 0);
}

#[test]
fn sums_are_right_where_the_file_system_is_full() {
    let directory = Directory::to_create_in_memory("group-full");
    let directory = directory.path();
    let environment = [
        ("GROUP_ROLE", "full"),
        ("GROUP_DIRECTORY", directory.to_str().unwrap()),
    ];
    run_on_small_tmpfs(directory, 512, &environment);
}

#[test]
fn group_killed_at_any_instant_counts_nothing_twice_and_loses_nothing() {
    const DEATHS: u64 = 20;
    let directory = Directory::to_create_in_memory("group-killed");
    let mut expected = 0;
    for death in 0..DEATHS {
        let mut folding = spawn("fold", &directory);
        let before = expected;
        // Processes end while the group takes them in, until it is killed.
        for n in 0..40 + death * 3 {
            let process = Process::new(&directory);
            process.counter("jobs_total").inc_by(n);
            let family = process.registry.counter_family("by_total", "", ["n"]);
            family
                .unwrap()
                .with([(n % 10).to_string()])
                .unwrap()
                .inc_by(n);
            expected += n;
        }
        // The first time: it was at work.
        if death == 0 {
            eventually("files are taken in", || segments_in(&directory) < 20);
        }
        folding.kill().unwrap();
        folding.wait().unwrap();
        if death % 5 == 4 {
            let mut group = Group::in_dir(directory.path()).unwrap();
            let shown = refreshed(&mut group);
            assert!(before < expected);
            assert_eq!(value(&shown, "jobs_total"), expected as f64, "{shown}");
            let by = |n| value(&shown, &format!("by_total{{n=\"{n}\"}}"));
            assert_eq!((0..10).map(by).sum::<f64>(), expected as f64, "{shown}");
            assert_eq!(segments_in(&directory), 0);
        }
    }
}

#[test]
fn forked_child_does_not_keep_the_lock() {
    let directory = Directory::to_create_in_memory("group-fork-lock");
    let lock = DirectoryLock::acquire(directory.path()).unwrap();
    let (mut ready, in_child) = std::io::pipe().unwrap();
    // SAFETY: the child only writes a byte, sleeps, and ends with `_exit`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork failed");
    if child == 0 {
        let _ = (&in_child).write_all(b"1");
        // SAFETY: as above.
        unsafe {
            libc::pause();
            libc::_exit(0);
        }
    }
    // The handlers of the fork have run.
    ready.read_exact(&mut [0]).unwrap();
    assert!(DirectoryLock::acquire(directory.path()).is_err());
    drop(lock);
    let again = DirectoryLock::acquire(directory.path());
    // SAFETY: ends the child, and waits for it.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
    again.unwrap();
}

#[test]
fn forked_child_of_the_group_only_reads() {
    let directory = Directory::to_create_in_memory("group-fork");
    let process = Process::new(&directory);
    process.counter("jobs_total").inc_by(3);
    let mut group = Group::in_dir(directory.path()).unwrap();
    refreshed(&mut group);
    drop(process);
    // SAFETY: the child ends with `_exit`, and the allocator of the C library may be
    // used after a fork.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork failed");
    if child == 0 {
        let is_right = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            group.refresh().is_ok()
                && value(&page(group.registry(), Format::Text), "jobs_total") == 3.0
        }));
        // SAFETY: ends the child without running the parent's handlers.
        unsafe { libc::_exit(i32::from(!is_right.unwrap_or(false))) };
    }
    let mut status = 0;
    // SAFETY: a child of this process, which was not waited for.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "the child has failed");
    assert_eq!(segments_in(&directory), 1);
    assert_eq!(value(&refreshed(&mut group), "jobs_total"), 3.0);
    assert_eq!(segments_in(&directory), 0);
}

#[test]
fn file_of_a_process_that_died_before_its_header_is_removed() {
    let directory = Directory::to_create_in_memory("group-headless");
    let mut group = Group::in_dir(directory.path()).unwrap();
    let path = directory.path().join("1-2.segment");
    let file = fs::File::create(&path).unwrap();
    file.set_len(16_384).unwrap();
    refreshed(&mut group);
    assert!(path.exists(), "its process may still be about to write it");
    assert_eq!(group.info().refused, 1);
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
    file.set_modified(long_ago).unwrap();
    refreshed(&mut group);
    assert!(!path.exists());
    assert_eq!(group.info().refused, 0);
}
