//! The kernel's numbers of the process, read from `/proc` by the scrape: on its
//! own thread, without the process's help, and without an allocation.

use super::entry::{Entry, Source::Proc};
use super::registries::Registries;
use rustix::fs::{Mode, OFlags, RawDir, SeekFrom};
use rustix::process::{Resource, getrlimit};
use std::collections::HashSet;
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use stethoscope::cell::{FloatCounter, FloatGauge, Gauge};
use stethoscope::{Handle, RegisterError, Registry};

const VIRTUAL_MEMORY: Entry = Entry::gauge(
    "process_virtual_memory_bytes",
    "Virtual memory size in bytes",
)
.from(Proc, "`/proc/self/stat`: vsize");

const RESIDENT_MEMORY: Entry = Entry::gauge(
    "process_resident_memory_bytes",
    "Resident memory size in bytes",
)
.from(Proc, "`/proc/self/stat`: rss");

const START_TIME: Entry = Entry::gauge(
    "process_start_time_seconds",
    "Start time of the process since unix epoch in seconds",
)
.from(Proc, "`/proc/self/stat`: starttime; `/proc/stat`: btime");

const CPU: Entry = Entry::counter(
    "process_cpu_seconds_total",
    "Total user and system CPU time spent in seconds",
)
.from(Proc, "`/proc/self/stat`: utime, stime");

const OPEN_FDS: Entry = Entry::gauge("process_open_fds", "Number of open file descriptors")
    .from(Proc, "the entries of `/proc/self/fd`");

const MAX_FDS: Entry = Entry::gauge("process_max_fds", "Maximum number of open file descriptors")
    .from(Proc, "the soft limit of open files");

pub(super) const FAMILIES: &[Entry] = &[
    VIRTUAL_MEMORY,
    RESIDENT_MEMORY,
    START_TIME,
    CPU,
    OPEN_FDS,
    MAX_FDS,
];

/// Registers the families of the process with any registry. Does nothing if there
/// is no `/proc`.
///
/// # Errors
/// The registry has a family of one of these names.
pub fn register_process(registry: &Registry) -> Result<(), RegisterError> {
    let everything = Registries::new(registry.clone(), "", HashSet::new());
    register(&everything).map(drop)
}

/// Puts the families on the page, and returns the cell of the resident memory.
/// Where there is no `/proc` they are not.
pub(super) fn register(
    registries: &Registries,
) -> Result<Option<Handle<FloatGauge>>, RegisterError> {
    let Ok(file) = File::open("/proc/self/stat") else {
        return Ok(None);
    };
    let Some(first) = Stat::read(&file) else {
        return Ok(None);
    };
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let page_size = rustix::param::page_size() as f64;

    let virtual_memory: Handle<FloatGauge> = VIRTUAL_MEMORY
        .family(registries.of(&VIRTUAL_MEMORY))
        .register_single()?;
    let resident_memory: Handle<FloatGauge> = RESIDENT_MEMORY
        .family(registries.of(&RESIDENT_MEMORY))
        .register_single()?;
    if let Some(boot) = boot_time() {
        let start: Handle<FloatGauge> = START_TIME
            .family(registries.of(&START_TIME))
            .register_single()?;
        start.set(boot + first.start_ticks as f64 / ticks);
    }
    let cpu: Handle<FloatCounter> = CPU.family(registries.of(&CPU)).register_single()?;
    let open_fds: Handle<Gauge> = OPEN_FDS
        .family(registries.of(&OPEN_FDS))
        .register_single()?;
    let max_fds: Handle<FloatGauge> = MAX_FDS.family(registries.of(&MAX_FDS)).register_single()?;

    // Kept open: when descriptors run out, none is left to count them with.
    let descriptors = open_descriptors();
    let resident = resident_memory.clone();
    registries.shown().on_scrape(move || {
        if let Some(stat) = Stat::read(&file) {
            virtual_memory.set(stat.virtual_bytes as f64);
            resident.set(stat.resident_pages as f64 * page_size);
            cpu.raise_to(stat.cpu_ticks as f64 / ticks);
        }
        if let Some(count) = descriptors.as_ref().and_then(count_entries) {
            open_fds.set(count);
        }
        let limit = getrlimit(Resource::Nofile).current;
        max_fds.set(limit.map_or(f64::INFINITY, |limit| limit as f64));
    });
    Ok(Some(resident_memory))
}

/// The fields of `/proc/PID/stat` that are shown; proc_pid_stat(5).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn read(file: &File) -> Option<Self> {
        // 52 numbers of at most 20 digits, and a name of at most 64 bytes.
        let mut buffer = [0; 1536];
        let length = file.read_at(&mut buffer, 0).ok()?;
        Self::parse(&buffer[..length])
    }

    fn parse(line: &[u8]) -> Option<Self> {
        // The command's name, in parentheses, may hold anything, those included;
        // the kernel cuts it at 15 bytes, which may be within a character.
        let end_of_name = line.iter().rposition(|&byte| byte == b')')?;
        let after_name = std::str::from_utf8(&line[end_of_name + 1..]).ok()?;
        // The fields are numbered from 1; the state, 3, is the first one here.
        let field = |number: usize| -> Option<u64> {
            after_name
                .split_ascii_whitespace()
                .nth(number - 3)?
                .parse()
                .ok()
        };
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// When the machine was started, in seconds since the epoch.
fn boot_time() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

/// Opens the directory of the process's descriptors.
fn open_descriptors() -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(c"/proc/self/fd", flags, Mode::empty()).ok()
}

/// Counts the entries of the directory of descriptors. It is one of them.
fn count_entries(directory: &OwnedFd) -> Option<i64> {
    rustix::fs::seek(directory, SeekFrom::Start(0)).ok()?;
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut entries = RawDir::new(directory, &mut buffer);
    let mut count = 0;
    while let Some(entry) = entries.next() {
        let entry = entry.ok()?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            count += 1;
        }
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stethoscope::exposition::Format;

    #[test]
    fn command_with_any_name_is_parsed() {
        for name in [&b"(a) S 1 (b)"[..], b"(a dask worke\xc3)"] {
            let rest = b" R 1 42 42 0 -1 4194560 11 22 33 44 150 50 7 8 20 0 9 0 \
                         123456 8192000 321 18446744073709551615 1 1 0 0 0 0 0";
            let line = [b"42 ", name, rest].concat();
            assert_eq!(
                Stat::parse(&line),
                Some(Stat {
                    cpu_ticks: 200,
                    start_ticks: 123_456,
                    virtual_bytes: 8_192_000,
                    resident_pages: 321,
                })
            );
        }
    }

    #[test]
    fn name_cut_within_a_character_loses_no_family() {
        let name = std::fs::read("/proc/self/comm").unwrap();
        std::fs::write("/proc/self/comm", b"caf\xc3").unwrap();
        let registry = Registry::new();
        register_process(&registry).unwrap();
        let page = registry.scraper().scrape(Format::Text).to_vec();
        std::fs::write("/proc/self/comm", name.trim_ascii_end()).unwrap();
        let page = String::from_utf8(page).unwrap();
        for family in FAMILIES {
            let sample = format!("\n{} ", family.name);
            assert!(page.contains(&sample), "no {sample:?} in {page}");
        }
    }

    #[test]
    fn truncated_line_is_rejected() {
        assert_eq!(Stat::parse(b"42 (dask worker) S 1 42"), None);
        assert_eq!(Stat::parse(b""), None);
    }

    #[test]
    fn each_descriptor_counts_once() {
        let directory = open_descriptors().unwrap();
        let before = count_entries(&directory).unwrap();
        let files: Vec<File> = (0..300)
            .map(|_| File::open("/proc/self/stat").unwrap())
            .collect();
        // Other tests of this binary open and close files of their own.
        let during = count_entries(&directory).unwrap();
        assert!((during - before - 300).abs() < 50, "{before} then {during}");
        drop(files);
    }
}
