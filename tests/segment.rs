//! Segments: the metrics of a process, read from outside while it runs, when it is
//! stopped, and after it was killed.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

#[path = "support/directory.rs"]
mod directory;
#[path = "support/segments.rs"]
mod segments;

use directory::Directory;
use segments::{page, process_of_this_test, run_on_small_tmpfs};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use stethoscope::Registry;
use stethoscope::cell::{
    Buckets, Counter, FloatCounter, FloatGauge, Histogram, ShardedHistogram, SingleWriter,
    StripedCounter,
};
use stethoscope::exposition::Format;
use stethoscope::segment::{self, DirectoryLock, ProcessState, Reader, Segment, SegmentErrorKind};

/// Creates a segment in a directory.
fn create_segment(directory: &Directory) -> Segment {
    Segment::in_dir(directory.path()).unwrap()
}

/// Returns the page of a segment's file.
fn read(path: &Path) -> String {
    let mut reader = Reader::open(path).unwrap();
    reader.refresh().unwrap();
    assert!(!reader.info().damaged);
    assert_eq!(reader.info().left_out, 0);
    page(reader.registry(), Format::OpenMetrics)
}

#[test]
fn every_kind_of_cell_is_read_as_it_is_scraped() {
    let directory = Directory::to_create_in_memory("kinds");
    let segment = create_segment(&directory);
    let registry = Registry::in_segment(&segment);
    let view = registry
        .with_namespace("app")
        .with_const_labels([("cluster", "blue \u{2603}\n\"\\")]);
    let labels = ["a", "b"];
    let counters = view
        .family::<Counter>("requests_total", "Requests.")
        .labels(labels)
        .created_timestamps()
        .register()
        .unwrap();
    let float_counters = view
        .float_counter_family("cpu_seconds_total", "", labels)
        .unwrap();
    let gauges = view
        .gauge_family("open", "Open \u{1f600}.", labels)
        .unwrap();
    let float_gauges = view
        .family::<FloatGauge>("size_bytes", "Size.")
        .unit("bytes")
        .labels(labels)
        .register()
        .unwrap();
    let buckets = Buckets::new([-1.0, 0.5, 2.0]).unwrap();
    let histograms = view
        .histogram_family("latency", "", labels, buckets)
        .unwrap();
    let plain = view
        .histogram("plain_seconds", "", Buckets::default())
        .unwrap();
    let states = view
        .state_set_family("phase", "", labels, ["x", "y", "z"])
        .unwrap();
    let striped = { view.family::<StripedCounter>("striped_total", "") }
        .labels(labels)
        .register()
        .unwrap();
    let sharded = { view.family::<ShardedHistogram>("sharded_seconds", "") }
        .labels(labels)
        .register()
        .unwrap();
    let infos = view.info_family("build", "", labels).unwrap();
    view.info("version", "", [("version", "1.2")]).unwrap();
    for index in 0..300_i32 {
        let a = format!("{index}");
        let values = [a.as_str(), "\u{201c}b\u{201d}\n"];
        counters
            .with(values)
            .unwrap()
            .inc_by(7 + index.unsigned_abs() as u64);
        float_counters
            .with(values)
            .unwrap()
            .inc_by(0.25 * f64::from(index));
        gauges.with(values).unwrap().set(-5 - i64::from(index));
        float_gauges
            .with(values)
            .unwrap()
            .set(1.5e300 / f64::from(index));
        let histogram = histograms.with(values).unwrap();
        for value in [-3.0, 0.1, 0.5, 7.0] {
            histogram.observe(value + f64::from(index % 3));
        }
        plain.observe(f64::from(index) / 100.0);
        let state = states.with(values).unwrap();
        state.set((index % 3) as usize, true);
        assert!(state.is_on((index % 3) as usize));
        infos.with(values).unwrap();
        let (striped, sharded) = (striped.with(values).unwrap(), sharded.with(values).unwrap());
        // Some threads have parts of their own, others share one.
        std::thread::scope(|threads| {
            for _ in 0..if index == 7 { 70 } else { 2 } {
                threads.spawn(|| {
                    striped.inc_by(3);
                    sharded.observe(f64::from(index) / 64.0);
                });
            }
        });
        if index % 5 == 0 {
            assert!(gauges.remove(values));
            assert!(histograms.remove(values));
        }
    }
    gauges.with(["again", ""]).unwrap().set(1);
    assert_eq!(segment.unplaced(), 0);
    for format in [Format::Text, Format::Text1, Format::OpenMetrics] {
        let mut reader = Reader::open(segment.path()).unwrap();
        reader.refresh().unwrap();
        assert_eq!(page(reader.registry(), format), page(&registry, format));
    }
}

#[test]
fn mapping_reader_follows_a_segment_that_grows() {
    let directory = Directory::to_create_in_memory("mapped");
    let segment = create_segment(&directory);
    let registry = Registry::in_segment(&segment);
    let counters = registry.counter_family("a_total", "", ["n"]).unwrap();
    let histograms = { registry.histogram_family("b", "", ["n"], Buckets::default()) }.unwrap();
    let mut mapping = Reader::open_mapped(segment.path()).unwrap();
    let mut copying = Reader::open_untrusted(segment.path()).unwrap();
    let mut scrapers = [&mapping, &copying].map(|reader| reader.registry().scraper());
    for round in 0..995_u32 {
        let n = round.to_string();
        counters.with([&n]).unwrap().inc_by(u64::from(round));
        let histogram = histograms.with([&n]).unwrap();
        histogram.observe(f64::from(round) / 100.0);
        if round % 3 == 0 {
            counters.remove([(round / 2).to_string()]);
        }
        if round % 7 == 0 {
            let expected = page(&registry, Format::OpenMetrics);
            for (reader, scraper) in [&mut mapping, &mut copying].into_iter().zip(&mut scrapers) {
                reader.refresh().unwrap();
                let shown = scraper.scrape(Format::OpenMetrics);
                assert_eq!(std::str::from_utf8(shown).unwrap(), expected);
            }
        }
    }
    let series = counters.len() + histograms.len();
    assert_eq!(mapping.info().series, series);
}

#[test]
fn reader_follows_what_comes_changes_and_goes() {
    let directory = Directory::to_create_in_memory("follow");
    let segment = create_segment(&directory);
    let registry = Registry::in_segment(&segment);
    let mut reader = Reader::open(segment.path()).unwrap();
    let mut scraper = reader.registry().scraper();
    let mut follow = |expected: &Registry| {
        reader.refresh().unwrap();
        let shown = String::from_utf8(scraper.scrape(Format::Text).to_vec()).unwrap();
        assert_eq!(shown, page(expected, Format::Text));
    };
    let jobs = registry
        .counter_family("jobs_total", "", ["queue"])
        .unwrap();
    follow(&registry);
    for round in 0..2_000_u64 {
        let queue = (round % 7).to_string();
        jobs.with([&queue]).unwrap().inc();
        if round % 3 == 0 {
            jobs.remove([(round % 5).to_string()]);
        }
        if round % 50 == 0 {
            follow(&registry);
        }
    }
    let kept = jobs.with(["1"]).unwrap();
    assert!(registry.unregister("jobs_total"));
    follow(&registry);
    kept.inc();
    // A family of the same name, which is another one.
    let jobs = registry
        .gauge_family("jobs_total", "Now a gauge.", ["queue"])
        .unwrap();
    jobs.with(["1"]).unwrap().set(-1);
    follow(&registry);
    assert_eq!(segment.unplaced(), 0);
}

#[test]
fn series_of_a_dropped_registry_keep_their_last_values() {
    let directory = Directory::to_create_in_memory("dropped");
    let segment = create_segment(&directory);
    let registry = Registry::in_segment(&segment);
    registry.counter("jobs_total", "Jobs.").unwrap().inc_by(3);
    let path = segment.path();
    drop((registry, segment));
    assert!(read(&path).ends_with("jobs_total 3\n# EOF\n"));
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.state(), ProcessState::Ended);
    assert!(reader.info().ended);
}

#[test]
fn cells_that_cannot_be_in_a_segment_are_counted() {
    let directory = Directory::to_create_in_memory("unplaced");
    let segment = create_segment(&directory);
    let registry = Registry::in_segment(&segment);
    let own = registry.family::<SingleWriter<Counter>>("one_writer_total", "");
    own.register_single().unwrap();
    static EXISTING: Counter = Counter::new();
    registry.register("existing_total", "", &EXISTING).unwrap();
    registry
        .register("own_total", "", Counter::new())
        .unwrap()
        .inc();
    registry.counter("placed_total", "").unwrap().inc();
    assert_eq!(segment.unplaced(), 3);
    // The process itself sees all of them.
    assert_eq!(
        page(&registry, Format::Text).matches(" counter\n").count(),
        4
    );
    let mut reader = Reader::open(segment.path()).unwrap();
    reader.refresh().unwrap();
    assert_eq!(reader.info().unplaced, 3);
    let shown = page(reader.registry(), Format::Text);
    assert!(shown.ends_with("placed_total 1\n"), "{shown}");
}

#[test]
fn info_describes_the_process() {
    let directory = Directory::to_create_in_memory("info");
    let segment = create_segment(&directory);
    let reader = Reader::open(segment.path()).unwrap();
    let info = reader.info();
    assert_eq!(info.pid, std::process::id());
    assert_eq!(info.parent_pid, std::os::unix::process::parent_id());
    assert!(info.command.contains("segment"), "{}", info.command);
    assert!(!info.ended);
    assert!(info.created <= info.heartbeat);
    assert!(info.heartbeat_age() < Duration::from_secs(3600));
    assert_eq!(reader.state(), ProcessState::Running);
    assert!(reader.path().starts_with(directory.path()));
}

#[test]
fn two_segments_of_a_process_have_a_file_each() {
    let directory = Directory::to_create_in_memory("two");
    let (one, other) = (create_segment(&directory), create_segment(&directory));
    assert_ne!(one.path(), other.path());
    assert_eq!(segment::list(directory.path()).unwrap().len(), 2);
    Registry::in_segment(&one).gauge("a", "").unwrap().set(1);
    Registry::in_segment(&other).gauge("a", "").unwrap().set(2);
    assert!(read(&one.path()).contains("a 1\n"));
    assert!(read(&other.path()).contains("a 2\n"));
}

#[test]
fn files_are_private() {
    let directory = Directory::to_create_in_memory("private");
    let segment = create_segment(&directory);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(directory.path()), 0o700);
    assert_eq!(mode(&segment.path()), 0o600);
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o770)).unwrap();
    let error = Segment::in_dir(directory.path()).unwrap_err();
    assert!(
        matches!(error.kind(), SegmentErrorKind::DirectoryNotPrivate),
        "{error}"
    );
    let error = Segment::in_dir(env!("CARGO_TARGET_TMPDIR")).unwrap_err();
    assert!(
        matches!(
            error.kind(),
            SegmentErrorKind::NotInMemory | SegmentErrorKind::DirectoryNotPrivate
        ),
        "{error}"
    );
}

#[test]
fn refused_directory_is_not_made() {
    let around = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = around.join(format!("not-in-memory-{}", std::process::id()));
    let refused = [
        Segment::in_dir(&path).map(drop),
        DirectoryLock::acquire(&path).map(drop),
    ];
    let is_made = path.exists();
    let _ = fs::remove_dir_all(&path);
    if refused.iter().all(Result::is_ok) {
        println!("skipped: {} is in memory", around.display());
        return;
    }
    assert!(!is_made);
    for result in refused {
        let error = result.unwrap_err();
        let kind = error.kind();
        assert!(matches!(kind, SegmentErrorKind::NotInMemory), "{error}");
    }
}

#[test]
fn directory_of_another_user_is_refused() {
    let directory = Directory::to_create_in_memory("other-user");
    fs::create_dir(directory.path()).unwrap();
    for (mode, why) in [(0o755, "DirectoryNotPrivate"), (0o700, "PermissionDenied")] {
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
        let output = process_of_this_test()
            .env("SEGMENT_ROLE", "other user")
            .env("SEGMENT_DIRECTORY", directory.path())
            .uid(65_534)
            .output();
        let output = match output {
            Ok(output) => output,
            Err(error) => {
                println!("skipped: a process of another user: {error}");
                return;
            }
        };
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && stdout.contains(why),
            "{output:?}"
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}

#[test]
fn process_of_another_namespace_with_the_same_name_keeps_its_file() {
    let directory = Directory::to_create_in_memory("same-name");
    let theirs = {
        let segment = create_segment(&directory);
        let jobs = Registry::in_segment(&segment).counter("jobs_total", "");
        jobs.unwrap().inc_by(3);
        segment.path()
    };
    // As a process of the same id makes it, which has begun in the same hundredth of a
    // second in another container: the namespace is word 9, the state word 5.
    let mut bytes = fs::read(&theirs).unwrap();
    bytes[72..80].copy_from_slice(&7_u64.to_ne_bytes());
    bytes[40..48].copy_from_slice(&1_u64.to_ne_bytes());
    fs::write(&theirs, &bytes).unwrap();
    let held = fs::File::open(&theirs).unwrap();
    // SAFETY: the descriptor is open.
    assert_eq!(unsafe { libc::flock(held.as_raw_fd(), libc::LOCK_EX) }, 0);
    let segment = create_segment(&directory);
    let jobs = Registry::in_segment(&segment).counter("jobs_total", "");
    jobs.unwrap().inc_by(4);
    assert_ne!(segment.path(), theirs);
    assert!(read(&segment.path()).contains("jobs_total 4\n"));
    assert_eq!(fs::read(&theirs).unwrap(), bytes);
    assert!(read(&theirs).contains("jobs_total 3\n"));
    let reader = Reader::open(&theirs).unwrap();
    // Alive, as far as can be known.
    assert_eq!(reader.state(), ProcessState::Running);
    drop(held);
    assert_eq!(reader.state(), ProcessState::Dead);
}

/// Registers until the file system is full, and goes on.
fn fill(directory: &str, segment: &Segment, registry: &Registry) {
    println!("\nmounted");
    let jobs = registry.counter_family("jobs_total", "", ["n"]).unwrap();
    let sizes = registry.histogram_family("size", "", ["n"], Buckets::default());
    let sizes = sizes.unwrap();
    let update = |n: u64| {
        jobs.with([n.to_string()]).unwrap().inc_by(n + 1);
        sizes.with([n.to_string()]).unwrap().observe(1.0);
    };
    let mut placed = 0;
    while segment.unplaced() == 0 {
        update(placed);
        placed += 1;
        assert!(placed < 1_000_000);
    }
    // Those that do not fit count in the process, as ever.
    (placed..placed + 100).for_each(update);
    let own = page(registry, Format::OpenMetrics);
    assert!(own.contains(&format!("jobs_total{{n=\"{placed}\"}} {}\n", placed + 1)));
    let shown = read(&segment.path());
    for n in 0..placed - 1 {
        let line = format!("jobs_total{{n=\"{n}\"}} {}\n", n + 1);
        assert!(shown.contains(&line), "no {line}");
    }
    assert!(own.lines().count() > shown.lines().count());
    // Where there is no room at all, another process has an error.
    let mut filler = fs::File::create(Path::new(directory).join("filler")).unwrap();
    while filler.write(&[1; 4096]).is_ok_and(|written| written > 0) {}
    let error = Segment::in_dir(directory).unwrap_err();
    assert!(error.to_string().contains("No space left"), "{error}");
    assert_eq!(segment::list(directory).unwrap().len(), 1);
    // What is removed goes as soon as there is room to say so, and makes more.
    fs::remove_file(Path::new(directory).join("filler")).unwrap();
    drop(filler);
    let unplaced = segment.unplaced();
    (0..placed / 2).for_each(|n| {
        jobs.remove([n.to_string()]);
        sizes.remove([n.to_string()]);
    });
    let family = registry.counter_family("later_total", "", ["n"]).unwrap();
    (0..10).for_each(|n| family.with([n.to_string()]).unwrap().inc());
    jobs.with(["again"]).unwrap().inc_by(5);
    assert_eq!(segment.unplaced(), unplaced);
    let shown = read(&segment.path());
    assert!(shown.contains("jobs_total{n=\"again\"} 5\n"), "{shown}");
    assert!(shown.contains("later_total{n=\"9\"} 1\n"), "{shown}");
    assert!(!shown.contains("jobs_total{n=\"0\"}"), "{shown}");
}

#[test]
fn full_file_system_costs_only_what_does_not_fit() {
    let directory = Directory::to_create_in_memory("full");
    let directory = directory.path();
    let environment = [
        ("SEGMENT_ROLE", "full"),
        ("SEGMENT_DIRECTORY", directory.to_str().unwrap()),
    ];
    run_on_small_tmpfs(directory, 256, &environment);
}

#[test]
fn symlinks_and_other_files_are_refused() {
    let directory = Directory::to_create_in_memory("links");
    let segment = create_segment(&directory);
    let link = directory.join("link.segment");
    symlink(segment.path(), &link).unwrap();
    assert!(Reader::open(&link).is_err());
    let linked_directory = PathBuf::from(format!("{}-link", directory.path().display()));
    let _ = fs::remove_file(&linked_directory);
    symlink(directory.path(), &linked_directory).unwrap();
    let refused = Segment::in_dir(&linked_directory).is_err();
    fs::remove_file(&linked_directory).unwrap();
    assert!(refused);
    let is_refused = |path: &Path| {
        let error = Reader::open(path).unwrap_err();
        assert!(
            matches!(error.kind(), SegmentErrorKind::NotASegment),
            "{error}"
        );
    };
    is_refused(directory.path());
    is_refused(Path::new("/dev/null"));
    let other = directory.join("other.segment");
    for text in [&b""[..], b"stethseg", &[0; 8192]] {
        fs::write(&other, text).unwrap();
        is_refused(&other);
    }
}

#[test]
fn headers_of_other_machines_and_versions_are_refused() {
    let directory = Directory::to_create_in_memory("headers");
    let segment = create_segment(&directory);
    let bytes = fs::read(segment.path()).unwrap();
    let path = directory.join("changed.segment");
    let open = |word: usize, value: u64| {
        let mut bytes = bytes.clone();
        bytes[8 * word..][..8].copy_from_slice(&value.to_ne_bytes());
        fs::write(&path, bytes).unwrap();
        Reader::open(&path).map_err(|error| error.to_string())
    };
    let error = |word, value| open(word, value).unwrap_err();
    assert!(error(1, 0x0807_0605_0403_0201).contains("byte order"));
    assert!(error(2, 3 << 32).contains("format version 3"));
    assert!(error(2, 0).contains("format version 0"));
    assert!(error(10, 5).contains("last boot"));
    // A minor version adds records, which are skipped.
    assert!(open(2, (2 << 32) + 7).is_ok());
    assert!(open(2, 1 << 32).is_ok());
    // The pid is another process', or was reused: nobody holds the lock.
    assert_eq!(open(7, 1).unwrap().state(), ProcessState::Dead);
}

#[test]
fn file_cut_short_under_a_reader_is_an_error_or_a_page() {
    let directory = Directory::to_create_in_memory("cut");
    let segment = create_segment(&directory);
    let registry = Registry::in_segment(&segment);
    let family = registry.counter_family("jobs_total", "", ["n"]).unwrap();
    for n in 0..500 {
        family.with([n.to_string()]).unwrap().inc();
    }
    let copy = directory.join("copy.segment");
    fs::copy(segment.path(), &copy).unwrap();
    let len = fs::metadata(&copy).unwrap().len();
    let mut reader = Reader::open(&copy).unwrap();
    for cut in (0..=16).rev().map(|part| len * part / 16) {
        fs::File::options()
            .write(true)
            .open(&copy)
            .unwrap()
            .set_len(cut)
            .unwrap();
        let _ = reader.refresh();
        page(reader.registry(), Format::OpenMetrics);
        if let Ok(mut fresh) = Reader::open(&copy) {
            let _ = fresh.refresh();
            page(fresh.registry(), Format::OpenMetrics);
        }
    }
    assert!(reader.refresh().is_err());
}

/// Calls `run` in a process of its own: this test binary, with an argument.
fn spawn(role: &str, directory: &Directory, argument: &str) -> Child {
    process_of_this_test()
        .env("SEGMENT_ROLE", role)
        .env("SEGMENT_DIRECTORY", directory.path())
        .env("SEGMENT_ARGUMENT", argument)
        .stdout(Stdio::piped())
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The process that other tests start.
#[test]
#[ignore = "other tests run it"]
fn process_of_a_test() {
    let Ok(role) = std::env::var("SEGMENT_ROLE") else {
        return;
    };
    let directory = std::env::var("SEGMENT_DIRECTORY").unwrap();
    if role == "other user" {
        let error = Segment::in_dir(directory).unwrap_err();
        println!("\n{:?}", error.kind());
        return;
    }
    let segment = Segment::in_dir(&directory).unwrap();
    let registry = Registry::in_segment(&segment);
    match role.as_str() {
        "full" => fill(&directory, &segment, &registry),
        "count" => {
            let jobs = registry.counter("jobs_total", "Jobs.").unwrap();
            jobs.inc_by(41);
            println!("\nready");
            loop {
                jobs.inc();
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        "exit" => registry.counter("jobs_total", "Jobs.").unwrap().inc_by(3),
        role => panic!("no role {role}"),
    }
}

/// Reads until the process says that it is ready.
fn wait_until_ready(child: &mut Child) -> BufReader<std::process::ChildStdout> {
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while output.read_line(&mut line).unwrap() > 0 && !line.ends_with("ready\n") {}
    assert!(line.ends_with("ready\n"), "{line}");
    output
}

#[test]
fn reader_learns_how_a_process_has_ended_that_is_no_child() {
    let directory = Directory::to_create_in_memory("exit-status");
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release
        .split('.')
        .map_while(|part| part.parse::<u32>().ok());
    let kernel_tells = (numbers.next(), numbers.next()) >= (Some(6), Some(15));
    for signal in [libc::SIGKILL, libc::SIGABRT] {
        let mut child = spawn("count", &directory, "");
        wait_until_ready(&mut child);
        let path = segment::list(directory.path()).unwrap().remove(0);
        let reader = Reader::open(&path).unwrap();
        assert_eq!(reader.exit_status(), None);
        // SAFETY: a child of this process, which was not waited for.
        let killed = unsafe { libc::kill(child.id().cast_signed(), signal) };
        assert_eq!(killed, 0);
        let status = child.wait().unwrap();
        assert_eq!(reader.exit_status(), kernel_tells.then_some(status));
        // Too late to learn of it.
        assert_eq!(Reader::open(&path).unwrap().exit_status(), None);
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn process_that_ends_in_an_orderly_way_is_shown_as_ended() {
    let directory = Directory::to_create_in_memory("exit");
    assert!(spawn("exit", &directory, "").wait().unwrap().success());
    let path = segment::list(directory.path()).unwrap().remove(0);
    assert_eq!(Reader::open(&path).unwrap().state(), ProcessState::Ended);
    assert!(read(&path).contains("jobs_total 3\n"));
}

/// Forks, and runs `in_child` there. Returns the child's pid after it has ended.
fn fork(in_child: impl FnOnce()) -> u32 {
    // SAFETY: the child only calls `in_child` and `_exit`, and the allocator of the C
    // library may be used after a fork.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork failed");
    if child == 0 {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(in_child));
        // SAFETY: ends the child without running the parent's handlers.
        unsafe { libc::_exit(i32::from(result.is_err())) };
    }
    let mut status = 0;
    // SAFETY: a child of this process, which was not waited for.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "the child has failed");
    child.cast_unsigned()
}

#[test]
fn forked_children_count_in_segments_of_their_own() {
    let directory = Directory::to_create_in_memory("forks");
    let segment = create_segment(&directory);
    let registry = Registry::in_segment(&segment);
    let jobs = registry.counter("jobs_total", "Jobs.").unwrap();
    let phase = registry.state_set("phase", "", ["a", "b"]).unwrap();
    let latency = registry
        .histogram("latency", "", Buckets::default())
        .unwrap();
    let churned = registry.counter_family("churned_total", "", ["n"]).unwrap();
    jobs.inc_by(5);
    phase.select(0);
    latency.observe(1.0);
    let parent_path = segment.path();
    /// Ends the other thread, also if the test fails.
    struct Done<'a>(&'a AtomicBool);
    impl Drop for Done<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _done = Done(&done);
        // Another thread registers and removes all the time.
        scope.spawn(|| {
            for n in (0_u64..).take_while(|_| !done.load(Ordering::Relaxed)) {
                churned.with([(n % 300).to_string()]).unwrap().inc();
                churned.remove([((n + 250) % 300).to_string()]);
            }
        });
        for _ in 0..20 {
            let pid = fork(|| {
                assert_ne!(segment.path(), parent_path);
                assert_eq!(jobs.get(), 0);
                jobs.inc_by(3);
                phase.select(1);
                latency.observe(2.0);
                registry.gauge("born", "").unwrap().set(9);
                assert_eq!(page(&registry, Format::OpenMetrics), read(&segment.path()));
                for n in 0..500 {
                    churned.with([format!("child {n}")]).unwrap().inc();
                    churned.remove([format!("child {n}")]);
                }
                assert_eq!(page(&registry, Format::OpenMetrics), read(&segment.path()));
            });
            let prefix = format!("{pid}-");
            let path = segment::list(directory.path())
                .unwrap()
                .into_iter()
                .find(|path| {
                    path.file_name()
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .starts_with(&prefix)
                })
                .unwrap();
            let shown = read(&path);
            for line in [
                "jobs_total 3\n",
                "phase{phase=\"b\"} 1\n",
                "latency_sum 2\n",
                "born 9\n",
            ] {
                assert!(shown.contains(line), "{line} is missing:\n{shown}");
            }
            let reader = Reader::open(&path).unwrap();
            assert_eq!(reader.info().pid, pid);
            assert_eq!(reader.info().parent_pid, std::process::id());
            assert_eq!(reader.state(), ProcessState::Dead);
            fs::remove_file(&path).unwrap();
        }
    });
    assert_eq!(segment.path(), parent_path);
    let shown = read(&parent_path);
    for line in [
        "jobs_total 5\n",
        "phase{phase=\"a\"} 1\n",
        "latency_sum 1\n",
    ] {
        assert!(shown.contains(line), "{line} is missing:\n{shown}");
    }
    assert!(!shown.contains("born"));
    assert_eq!(
        Reader::open(&parent_path).unwrap().state(),
        ProcessState::Running
    );
}

#[test]
fn handles_of_every_type_work_after_their_series_was_removed() {
    let directory = Directory::to_create_in_memory("handles");
    let segment = create_segment(&directory);
    let registry = Registry::in_segment(&segment);
    let histograms = registry
        .histogram_family("h", "", ["n"], Buckets::default())
        .unwrap();
    let floats = registry.float_counter_family("f_total", "", ["n"]).unwrap();
    let old: (_, stethoscope::Handle<FloatCounter>) =
        (histograms.with(["1"]).unwrap(), floats.with(["1"]).unwrap());
    histograms.remove(["1"]);
    floats.remove(["1"]);
    let new: (stethoscope::Handle<Histogram>, _) =
        (histograms.with(["1"]).unwrap(), floats.with(["1"]).unwrap());
    old.0.observe(1.0);
    old.1.inc_by(1.0);
    assert_eq!((new.0.count(), new.1.get()), (0, 0.0));
    assert_eq!(old.0.count(), 1);
    drop(old);
    // The slots of the old ones are used again, from 0 on.
    let third = (histograms.with(["2"]).unwrap(), floats.with(["2"]).unwrap());
    assert_eq!((third.0.count(), third.1.get()), (0, 0.0));
    assert_eq!(page(&registry, Format::Text), read_text(&segment.path()));
}

fn read_text(path: &Path) -> String {
    let mut reader = Reader::open(path).unwrap();
    reader.refresh().unwrap();
    page(reader.registry(), Format::Text)
}
