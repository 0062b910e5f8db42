//! Processes that are killed and stopped at random instants while they register, remove,
//! compact and update: what their segments show is valid, and no acknowledged update is
//! missing.
//!
//! `make deaths` runs the long form. `STETHOSCOPE_DEATHS` is the number of deaths, and of
//! stops, in each of these tests.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

#[path = "support/directory.rs"]
mod directory;
#[path = "support/memory_group.rs"]
mod memory_group;
#[path = "support/segments.rs"]
mod segments;

use directory::Directory;
use memory_group::MemoryGroup;
use segments::{eventually, page, process_of_this_test};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use stethoscope::cell::{Buckets, Gauge};
use stethoscope::exposition::Format;
use stethoscope::segment::{self, ProcessState, Reader, SegmentErrorKind};
use stethoscope::{Family, Registry};

/// Returns how many deaths, or stops, a test is to take.
fn wanted(default: u64) -> u64 {
    let deaths = std::env::var("STETHOSCOPE_DEATHS");
    deaths.map_or(default, |deaths| deaths.parse().expect("a number"))
}

/// Pseudo-random numbers, the same in each run. The instants that they lead to are not.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn sleep(&mut self, at_most: Duration) {
        let nanos = u64::try_from(at_most.as_nanos()).unwrap();
        std::thread::sleep(Duration::from_nanos(self.below(nanos)));
    }
}

/// The ways to die.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Kill,
    Abort,
    /// Another thread stores where it must not.
    WildStore,
    /// The kernel kills it, since its control group has no memory left.
    OutOfMemory,
}

impl Way {
    const ALL: [Self; 4] = [Self::Kill, Self::Abort, Self::WildStore, Self::OutOfMemory];

    /// The signal that it dies of.
    fn signal(self) -> i32 {
        match self {
            Self::Kill | Self::OutOfMemory => libc::SIGKILL,
            Self::Abort => libc::SIGABRT,
            Self::WildStore => libc::SIGSEGV,
        }
    }

    /// The byte that tells the process to die, if no signal is sent to it.
    fn order(self) -> Option<u8> {
        match self {
            Self::Kill | Self::Abort => None,
            Self::WildStore => Some(b'w'),
            Self::OutOfMemory => Some(b'm'),
        }
    }
}

/// The last lines that a process has written.
#[derive(Default)]
struct Tail {
    bytes: Vec<u8>,
    lines: usize,
}

impl Tail {
    /// At least so many bytes are kept: hundreds of rounds, of which each says again what
    /// those before it have said.
    const KEPT: usize = 64 << 10;

    fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.lines += bytes.iter().filter(|byte| **byte == b'\n').count();
        if self.bytes.len() > 4 * Self::KEPT {
            let old = self.bytes.len() - Self::KEPT;
            let line = self.bytes[..old].iter().rposition(|byte| *byte == b'\n');
            self.bytes.drain(..line.map_or(0, |end| end + 1));
        }
    }
}

/// A process that works until it dies.
struct Worker {
    child: Child,
    /// What its two threads have acknowledged.
    acknowledged: [Arc<Mutex<Tail>>; 2],
    reading: Vec<JoinHandle<()>>,
}

impl Worker {
    fn start(directory: &Directory, group: Option<&MemoryGroup>) -> Self {
        let mut command = process_of_this_test();
        command
            .env("DEATHS_DIRECTORY", directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let members = group.map(MemoryGroup::members);
        if let Some(members) = &members {
            let members = members.as_raw_fd();
            let join = move || {
                // SAFETY: the descriptor is open in the child, and the bytes are two.
                match unsafe { libc::write(members, c"0\n".as_ptr().cast(), 2) } {
                    2 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            };
            // SAFETY: `join` only calls write(2), which a forked child may.
            unsafe { command.pre_exec(join) };
        }
        let mut child = command.spawn().unwrap();
        drop(members);
        let acknowledged = <[Arc<Mutex<Tail>>; 2]>::default();
        let stdout: Box<dyn Read + Send> = Box::new(child.stdout.take().unwrap());
        let stderr = Box::new(child.stderr.take().unwrap());
        let outputs = [stdout, stderr].into_iter().zip(&acknowledged);
        let reading = outputs.map(|(mut output, acknowledged)| {
            let acknowledged = Arc::clone(acknowledged);
            std::thread::spawn(move || {
                let mut buffer = vec![0; 1 << 16];
                while let Ok(read @ 1..) = output.read(&mut buffer) {
                    acknowledged.lock().unwrap().add(&buffer[..read]);
                }
            })
        });
        Self {
            reading: reading.collect(),
            child,
            acknowledged,
        }
    }

    /// Waits until the process has told that it begins.
    fn wait_until_it_works(&self) {
        eventually("it begins", || {
            let acknowledged = self.acknowledged[0].lock().unwrap();
            // Lines follow until the process dies, so that it may be gone already.
            let is_ready = |bytes: &[u8]| bytes == b"ready\n";
            acknowledged.lines > 100 || acknowledged.bytes.windows(6).any(is_ready)
        });
    }

    fn signal(&self, signal: i32) {
        // SAFETY: a child of this process, which was not waited for.
        let sent = unsafe { libc::kill(self.child.id().cast_signed(), signal) };
        assert_eq!(sent, 0);
    }

    fn die(&mut self, way: Way) -> ExitStatus {
        match way.order() {
            None => self.signal(way.signal()),
            // Not closed before the process is dead: an input that ends is no order.
            Some(order) => {
                let input = self.child.stdin.as_mut().unwrap();
                input.write_all(&[order]).unwrap();
            }
        }
        let status = self.child.wait().unwrap();
        for reading in self.reading.drain(..) {
            reading.join().unwrap();
        }
        status
    }

    /// Returns the files of the process.
    fn files(&self, directory: &Directory) -> Vec<PathBuf> {
        let prefix = format!("{}-", self.child.id());
        let is_own = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(&prefix)
        };
        let files = segment::list(directory.path()).unwrap_or_default();
        files.into_iter().filter(is_own).collect()
    }

    /// Returns what was acknowledged by now.
    fn acknowledged(&self) -> Acknowledged {
        let mut acknowledged = Acknowledged::default();
        for tail in &self.acknowledged {
            let tail = tail.lock().unwrap();
            acknowledged.add(&tail.bytes);
            acknowledged.lines += tail.lines;
        }
        acknowledged
    }
}

/// The process that other tests start.
#[test]
#[ignore = "other tests run it"]
fn process_of_a_test() {
    let Ok(directory) = std::env::var("DEATHS_DIRECTORY") else {
        return;
    };
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: a valid limit. Thousands of core files are of no use.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) }, 0);
    std::thread::spawn(obey);
    let segment = segment::Segment::in_dir(directory).unwrap();
    let registry = Registry::in_segment(&segment);
    let counting = registry.clone();
    std::thread::spawn(move || count(&counting));
    work(&registry);
}

/// Waits for the order to die.
fn obey() {
    let mut order = [0];
    if std::io::stdin().read_exact(&mut order).is_err() {
        return;
    }
    match order[0] {
        b'w' => store_wildly(),
        _ => loop {
            std::mem::forget(std::hint::black_box(vec![1_u8; 1 << 20]));
        },
    }
}

/// Stores where nothing may be stored: an address without memory, one that no memory can
/// have, constants, or instructions.
fn store_wildly() {
    static CONSTANT: [u8; 64] = [1; 64];
    let addresses = [
        std::ptr::without_provenance_mut(64),
        std::ptr::without_provenance_mut(usize::MAX / 3),
        CONSTANT.as_ptr().cast_mut(),
        store_wildly as fn() as *mut u8,
    ];
    let address = addresses[std::process::id() as usize % addresses.len()];
    // SAFETY: none. The process is to die of it, and has no memory there to change.
    unsafe { std::hint::black_box(address).write_volatile(0) };
}

/// Acknowledges updates and registrations as lines of text, through a buffer, so that
/// death comes at any instant and not only while the process writes.
struct Acknowledgements<W> {
    buffer: Vec<u8>,
    output: W,
}

impl<W: Write> Acknowledgements<W> {
    fn new(output: W) -> Self {
        Self {
            buffer: Vec::new(),
            output,
        }
    }

    fn add(&mut self, line: std::fmt::Arguments<'_>) {
        self.buffer.write_fmt(line).unwrap();
        self.buffer.push(b'\n');
        if self.buffer.len() > 4096 {
            self.output.write_all(&self.buffer).unwrap();
            self.buffer.clear();
        }
    }
}

/// Registers, counts, observes and removes until the process is killed. Acknowledges
/// `c SERIES TOTAL` for a counter that is never removed, `h COUNT` for a histogram, and
/// `+ SERIES` for gauges, of which the last twenty are kept.
fn work(registry: &Registry) {
    let kept = registry.counter_family("kept_total", "Kept.", ["n"]);
    let kept = kept.unwrap();
    let churned: Family<Gauge> = registry.gauge_family("churned", "Churned.", ["n"]).unwrap();
    let latency = registry.histogram("latency", "", Buckets::default());
    let latency = latency.unwrap();
    let mut acknowledgements = Acknowledgements::new(std::io::stdout());
    println!("\nready");
    for round in 0_u64.. {
        let series = round % 97;
        let counter = kept.with([series.to_string()]).unwrap();
        counter.inc();
        acknowledgements.add(format_args!("c {series} {}", counter.get()));
        latency.observe(0.5);
        acknowledgements.add(format_args!("h {}", round + 1));
        let label = round.to_string();
        churned.with([&label]).unwrap().set(round as i64);
        acknowledgements.add(format_args!("+ {round}"));
        if round >= 20 {
            churned.remove([(round - 20).to_string()]);
        }
        if round % 500 == 499 {
            let name = format!("family_{round}");
            registry.float_gauge(&name, "").unwrap().set(1.5);
            registry.unregister(&name);
        }
    }
}

/// Counts beside `work`, in a thread of its own. Acknowledges `t COUNT` now and then.
fn count(registry: &Registry) {
    let crowd = registry.counter("crowd_total", "Counted beside.").unwrap();
    let mut acknowledgements = Acknowledgements::new(std::io::stderr());
    for count in 1_u64.. {
        crowd.inc();
        if count % 64 == 0 {
            acknowledgements.add(format_args!("t {count}"));
        }
    }
}

/// What a process has acknowledged.
#[derive(Default)]
struct Acknowledged {
    kept: BTreeMap<u64, u64>,
    observations: u64,
    crowd: u64,
    last_added: Option<u64>,
    lines: usize,
}

impl Acknowledged {
    fn add(&mut self, text: &[u8]) {
        // The last line may be cut off.
        let end = text.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
        for line in text[..end].split(|byte| *byte == b'\n') {
            let line = std::str::from_utf8(line).unwrap();
            let mut words = line.split(' ');
            let kind = words.next().unwrap();
            let mut number = || words.next().unwrap().parse::<u64>().unwrap();
            match kind {
                "c" => {
                    let series = number();
                    self.kept.insert(series, number());
                }
                "h" => self.observations = number(),
                "t" => self.crowd = number(),
                "+" => self.last_added = Some(number()),
                // What the test harness prints.
                _ => {}
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.observations == 0 && self.crowd == 0
    }

    /// Checks that a page shows all of it, and nothing that cannot be.
    fn check(&self, page: &str) {
        let mut values = BTreeMap::new();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            values.insert(series.to_owned(), value.parse::<f64>().unwrap());
        }
        let value = |series: &str| values.get(series).copied().unwrap_or(0.0);
        for (series, count) in &self.kept {
            let shown = value(&format!("kept_total{{n=\"{series}\"}}"));
            assert!(shown >= *count as f64, "{series}: {shown} of {count}");
        }
        assert!(value("crowd_total") >= self.crowd as f64, "{}", self.crowd);
        assert!(value("latency_count") >= self.observations as f64);
        assert!(value("latency_sum") >= 0.5 * self.observations as f64);
        assert!(value("latency_sum") >= 0.5 * value("latency_count"));
        let mut shown = BTreeMap::new();
        for (series, value) in &values {
            if let Some(n) = series.strip_prefix("churned{n=\"") {
                let n: u64 = n.trim_end_matches("\"}").parse().unwrap();
                // Its value, or that before the first update.
                assert!(*value == n as f64 || *value == 0.0, "{series} {value}");
                shown.insert(n, *value);
            }
        }
        let Some(last_added) = self.last_added else {
            return;
        };
        // The last twenty, and the one that is being removed.
        let last = *shown.keys().next_back().unwrap();
        assert!(last >= last_added, "{last} is the last of {last_added}");
        let first = last.saturating_sub(19);
        assert!((first..=last).all(|n| shown.contains_key(&n)), "{shown:?}");
        assert!(shown.keys().all(|n| n + 20 >= last), "{shown:?}");
        assert_eq!(shown[&last_added.max(first)], last_added.max(first) as f64);
    }
}

/// Returns the page of an intact segment, after checking it in every format.
fn read(path: &Path) -> String {
    let mut reader = Reader::open(path).unwrap();
    reader.refresh().unwrap();
    assert!(!reader.info().damaged);
    assert_eq!(reader.info().left_out, 0);
    page(reader.registry(), Format::Text);
    page(reader.registry(), Format::Text1);
    page(reader.registry(), Format::OpenMetrics)
}

/// Returns how often a segment was compacted.
fn compactions(path: &Path) -> u64 {
    // The word ROOT of the header: see FORMAT.md.
    let root = fs::read(path).unwrap()[24..32].try_into().unwrap();
    u64::from_ne_bytes(root) >> 40
}

#[test]
fn killed_processes_leave_every_acknowledged_update() {
    const INSTANT: Duration = Duration::from_millis(20);
    let directory = Directory::to_create_in_memory("deaths");
    let group = MemoryGroup::with_limit(32 << 20)
        .inspect_err(|error| println!("skipped: no process runs out of memory: {error}"))
        .ok();
    let ways = match group {
        Some(_) => &Way::ALL[..],
        None => &Way::ALL[..3],
    };
    let mut random = Random(1);
    let mut deaths = [0; Way::ALL.len()];
    let (mut lines, mut logs, mut unborn) = (0, 0, 0);
    for _ in 0..wanted(60) {
        let way = ways[random.below(ways.len() as u64) as usize];
        let group = group.as_ref().filter(|_| way == Way::OutOfMemory);
        let kills = group.map(MemoryGroup::kills);
        let mut worker = Worker::start(&directory, group);
        // Some die while they begin.
        if random.below(4) > 0 {
            worker.wait_until_it_works();
        }
        random.sleep(INSTANT);
        let status = worker.die(way);
        assert_eq!(status.signal(), Some(way.signal()), "{way:?}");
        assert_eq!(group.map(MemoryGroup::kills), kills.map(|kills| kills + 1));
        deaths[way as usize] += 1;
        let acknowledged = worker.acknowledged();
        lines += acknowledged.lines;
        let files = worker.files(&directory);
        assert!(files.len() <= 1);
        let opened = files.first().map(Reader::open);
        match opened {
            Some(Ok(reader)) => {
                assert_eq!(reader.state(), ProcessState::Dead);
                logs += compactions(&files[0]);
                acknowledged.check(&read(&files[0]));
            }
            // Before the header, which is made before anything is acknowledged.
            Some(Err(error)) => {
                let is_unborn = matches!(error.kind(), SegmentErrorKind::NotASegment);
                assert!(is_unborn && acknowledged.is_empty(), "{error}");
                unborn += 1;
            }
            None => {
                assert!(acknowledged.is_empty());
                unborn += 1;
            }
        }
        files.iter().for_each(|file| fs::remove_file(file).unwrap());
    }
    println!(
        "deaths by SIGKILL, SIGABRT, SIGSEGV and for memory: {deaths:?}; {lines} acknowledged, \
         {logs} compactions, {unborn} died before their header"
    );
    assert!(lines > 1_000, "{lines}");
    assert!(logs > 0);
}

#[test]
fn stopped_processes_show_every_acknowledged_update() {
    /// The stops of one process.
    const STOPS: u64 = 30;
    const INSTANT: Duration = Duration::from_millis(10);
    let directory = Directory::to_create_in_memory("stops");
    let mut random = Random(2);
    let (mut lines, mut logs) = (0, 0);
    for _ in 0..wanted(60).div_ceil(STOPS) {
        let mut worker = Worker::start(&directory, None);
        worker.wait_until_it_works();
        let path = worker.files(&directory).remove(0);
        let mut reader = Reader::open(&path).unwrap();
        for _ in 0..STOPS {
            random.sleep(INSTANT);
            worker.signal(libc::SIGSTOP);
            eventually("it stops", || reader.state() == ProcessState::Stopped);
            reader.refresh().unwrap();
            let shown = page(reader.registry(), Format::OpenMetrics);
            assert_eq!(shown, read(&path));
            worker.acknowledged().check(&shown);
            worker.signal(libc::SIGCONT);
            eventually("it goes on", || {
                reader.refresh().unwrap();
                assert!(!reader.info().damaged);
                page(reader.registry(), Format::OpenMetrics) != shown
            });
        }
        worker.die(Way::Kill);
        assert_eq!(reader.state(), ProcessState::Dead);
        let acknowledged = worker.acknowledged();
        acknowledged.check(&read(&path));
        lines += acknowledged.lines;
        logs += compactions(&path);
        fs::remove_file(&path).unwrap();
    }
    println!("{lines} acknowledged, {logs} compactions");
    assert!(logs > 0);
}
