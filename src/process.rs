//! The metrics that Prometheus recommends for every process, and `build_info`.
//!
//! ```
//! use stethoscope::{Registry, process};
//!
//! let registry = Registry::new();
//! process::register(&registry)?;
//! process::register_build_info(&registry, [("version", env!("CARGO_PKG_VERSION"))])?;
//! # Ok::<(), stethoscope::RegisterError>(())
//! ```
//!
//! The values are read from `/proc` by the scrape: on its own thread, without
//! allocating, and without any help of the process. Where there is no `/proc`, as on
//! systems other than Linux, the process metrics are not registered.

use crate::cell::FloatGauge;
use crate::{Handle, MetricType, RegisterError, Registry};

/// One family about the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessFamily {
    /// The name in the text format.
    pub name: &'static str,
    /// The HELP text.
    pub help: &'static str,
    /// The type: a counter or a gauge.
    pub metric_type: MetricType,
    /// The source of the value, in words for documentation.
    pub origin: &'static str,
}

const fn gauge(name: &'static str, help: &'static str, origin: &'static str) -> ProcessFamily {
    ProcessFamily {
        name,
        help,
        metric_type: MetricType::Gauge,
        origin,
    }
}

/// `process_virtual_memory_bytes`.
pub const VIRTUAL_MEMORY: ProcessFamily = gauge(
    "process_virtual_memory_bytes",
    "Virtual memory size in bytes",
    "`/proc/self/stat`: vsize",
);

/// `process_virtual_memory_max_bytes`; `+Inf` without a limit.
pub const MAX_VIRTUAL_MEMORY: ProcessFamily = gauge(
    "process_virtual_memory_max_bytes",
    "Maximum amount of virtual memory available in bytes",
    "the soft limit of the address space",
);

/// `process_resident_memory_bytes`.
pub const RESIDENT_MEMORY: ProcessFamily = gauge(
    "process_resident_memory_bytes",
    "Resident memory size in bytes",
    "`/proc/self/stat`: rss",
);

/// `process_start_time_seconds`.
pub const START_TIME: ProcessFamily = gauge(
    "process_start_time_seconds",
    "Start time of the process since unix epoch in seconds",
    "`/proc/self/stat`: starttime; `/proc/stat`: btime",
);

/// `process_cpu_seconds_total`.
pub const CPU: ProcessFamily = ProcessFamily {
    metric_type: MetricType::Counter,
    ..gauge(
        "process_cpu_seconds_total",
        "Total user and system CPU time spent in seconds",
        "`/proc/self/stat`: utime, stime",
    )
};

/// `process_threads`.
pub const THREADS: ProcessFamily = gauge(
    "process_threads",
    "Number of OS threads in the process",
    "`/proc/self/stat`: num_threads",
);

/// `process_open_fds`.
pub const OPEN_FDS: ProcessFamily = gauge(
    "process_open_fds",
    "Number of open file descriptors",
    "the entries of `/proc/self/fd`",
);

/// `process_max_fds`; `+Inf` without a limit.
pub const MAX_FDS: ProcessFamily = gauge(
    "process_max_fds",
    "Maximum number of open file descriptors",
    "the soft limit of open files",
);

/// Every family about the process, in the order of the page.
pub const FAMILIES: &[ProcessFamily] = &[
    VIRTUAL_MEMORY,
    MAX_VIRTUAL_MEMORY,
    RESIDENT_MEMORY,
    START_TIME,
    CPU,
    THREADS,
    OPEN_FDS,
    MAX_FDS,
];

/// Registers the families of the process. Does nothing if there is no `/proc`.
///
/// # Errors
/// The registry has a family of one of these names.
pub fn register(registry: &Registry) -> Result<(), RegisterError> {
    register_in(registry, |_| registry).map(drop)
}

/// Registers each family with the registry that `registry_of` returns for it.
/// `hooks` is scraped whenever one of them is.
///
/// Returns the resident memory, which the hook keeps up to date; `None` if there is
/// no `/proc`.
///
/// # Errors
/// A registry has a family of one of these names.
pub fn register_in<'r>(
    hooks: &Registry,
    registry_of: impl Fn(&ProcessFamily) -> &'r Registry,
) -> Result<Option<Handle<FloatGauge>>, RegisterError> {
    #[cfg(target_os = "linux")]
    return linux::register(hooks, registry_of);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (hooks, registry_of);
        Ok(None)
    }
}

/// Registers the info metric `build_info`, a sample whose labels describe the build:
/// version, revision, compiler.
///
/// # Errors
/// The registry has a family of that name, or a label is invalid.
pub fn register_build_info<'l>(
    registry: &Registry,
    labels: impl IntoIterator<Item = (&'l str, &'l str)>,
) -> Result<(), RegisterError> {
    let help = "The build of this program, as labels of a sample that is 1";
    registry.info("build_info", help, labels).map(drop)
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;
    use crate::cell::{FloatCounter, Gauge};
    use crate::family::Metric;
    use rustix::fs::{Mode, OFlags, RawDir, SeekFrom};
    use rustix::process::{Resource, getrlimit};
    use std::fs::File;
    use std::mem::MaybeUninit;
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::FileExt;

    pub(super) fn register<'r>(
        hooks: &Registry,
        registry_of: impl Fn(&ProcessFamily) -> &'r Registry,
    ) -> Result<Option<Handle<FloatGauge>>, RegisterError> {
        let Ok(file) = File::open("/proc/self/stat") else {
            return Ok(None);
        };
        let Some(first) = Stat::read(&file) else {
            return Ok(None);
        };
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let page_size = rustix::param::page_size() as f64;

        let virtual_memory: Handle<FloatGauge> = single(&VIRTUAL_MEMORY, &registry_of)?;
        let max_virtual: Handle<FloatGauge> = single(&MAX_VIRTUAL_MEMORY, &registry_of)?;
        let resident_memory: Handle<FloatGauge> = single(&RESIDENT_MEMORY, &registry_of)?;
        if let Some(boot) = boot_time() {
            let start: Handle<FloatGauge> = single(&START_TIME, &registry_of)?;
            start.set(boot + first.start_ticks as f64 / ticks);
        }
        let cpu: Handle<FloatCounter> = single(&CPU, &registry_of)?;
        let threads: Handle<FloatGauge> = single(&THREADS, &registry_of)?;
        let open_fds: Handle<Gauge> = single(&OPEN_FDS, &registry_of)?;
        let max_fds: Handle<FloatGauge> = single(&MAX_FDS, &registry_of)?;

        // Kept open: when descriptors run out, none is left to count them with.
        let descriptors = open_descriptors();
        let resident = resident_memory.clone();
        hooks.on_scrape(move || {
            if let Some(stat) = Stat::read(&file) {
                virtual_memory.set(stat.virtual_bytes as f64);
                resident.set(stat.resident_pages as f64 * page_size);
                threads.set(stat.threads as f64);
                cpu.raise_to(stat.cpu_ticks as f64 / ticks);
            }
            if let Some(count) = descriptors.as_ref().and_then(count_entries) {
                open_fds.set(count);
            }
            max_fds.set(soft_limit(Resource::Nofile));
            max_virtual.set(soft_limit(Resource::As));
        });
        Ok(Some(resident_memory))
    }

    fn single<'r, C: Metric>(
        family: &ProcessFamily,
        registry_of: impl Fn(&ProcessFamily) -> &'r Registry,
    ) -> Result<Handle<C>, RegisterError>
    where
        C::Options: Default,
    {
        let base = family.name.strip_suffix("_total").unwrap_or(family.name);
        let unit = ["seconds", "bytes"]
            .into_iter()
            .find(|unit| base.ends_with(unit));
        let builder = registry_of(family).family(family.name, family.help);
        match unit {
            Some(unit) => builder.unit(unit).register_single(),
            None => builder.register_single(),
        }
    }

    fn soft_limit(resource: Resource) -> f64 {
        let limit = getrlimit(resource).current;
        limit.map_or(f64::INFINITY, |limit| limit as f64)
    }

    /// The fields of `/proc/PID/stat` that are shown; proc_pid_stat(5).
    #[derive(Debug, PartialEq, Eq)]
    struct Stat {
        cpu_ticks: u64,
        threads: u64,
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
                threads: field(20)?,
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
        use crate::exposition::Format;

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
                        threads: 9,
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
            crate::process::register(&registry).unwrap();
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
}
