//! The reader of a segment: of a process that runs, stands still or has died.

use super::error::{SegmentError, SegmentErrorKind};
use super::exit::ExitWatch;
use super::format::{HEADER, header, state};
use super::mirror::Mirror;
use super::process_state::ProcessState;
use super::segment_file::SegmentFile;
use super::unused;
use super::view::{Values, View, Words};
use crate::cell::{FloatGauge, Gauge};
use crate::{Handle, RegisterError, Registry};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Reads the segment of a process.
///
/// Nothing of the other process is waited for or changed. It may count, be stopped, or
/// be dead. What the file says is not trusted.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use stethoscope::{Registry, exposition::Format, segment::{Reader, Segment}};
///
/// let directory = format!("/dev/shm/stethoscope-example-{}", std::process::id());
/// let segment = Segment::in_dir(&directory)?;
/// let registry = Registry::in_segment(&segment);
/// registry.counter("jobs_total", "Jobs.")?.inc_by(3);
///
/// // In another process:
/// let mut reader = Reader::open(segment.path())?;
/// reader.refresh()?;
/// let mut scraper = reader.registry().scraper();
/// assert!(scraper.scrape(Format::Text).ends_with(b"jobs_total 3\n"));
/// # std::fs::remove_dir_all(&directory)?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Reader {
    file: Arc<SegmentFile>,
    view: View,
    values: Values,
    mirror: Mirror,
    info: SegmentInfo,
    page: ProcessPage,
    /// `None` if the process was dead already.
    exit: Option<ExitWatch>,
}

/// The families of the segment, after those about the process.
struct ProcessPage {
    registry: Registry,
    heartbeat_age: Handle<FloatGauge>,
    unplaced: Handle<Gauge>,
    damaged: Handle<Gauge>,
    left_out: Handle<Gauge>,
}

impl ProcessPage {
    fn new(segment: &Registry, file: &Arc<SegmentFile>) -> Result<Self, RegisterError> {
        let registry = Registry::new();
        let state_set = registry.state_set(
            "stethoscope_process_state",
            "State of the process.",
            ProcessState::ALL.map(ProcessState::word),
        )?;
        let alive = registry.gauge(
            "stethoscope_process_alive",
            "1 if the process exists, 0 if this is its last page.",
        )?;
        let file = Arc::clone(file);
        // Not by a refresh: the kernel takes longer to tell it than the values.
        registry.on_scrape(move || {
            let state = file.state();
            let index = ProcessState::ALL.iter().position(|other| *other == state);
            state_set.select(index.unwrap_or(usize::MAX));
            alive.set(i64::from(state.is_alive()));
        });
        let page = Self {
            heartbeat_age: registry.float_gauge(
                "stethoscope_heartbeat_age_seconds",
                "Time since the process has shown that it makes progress.",
            )?,
            unplaced: registry.gauge(
                "stethoscope_segment_unplaced_series",
                "Series that the process has made outside of its segment.",
            )?,
            damaged: registry.gauge(
                "stethoscope_segment_damaged",
                "1 if the segment is damaged: this page ends where the damage begins. 0 if not.",
            )?,
            left_out: registry.gauge(
                "stethoscope_segment_left_out",
                "Families and series of the segment that are left out, because they would spoil \
                 the page.",
            )?,
            registry,
        };
        page.registry.include(segment);
        Ok(page)
    }

    fn show(&self, info: &SegmentInfo) {
        self.heartbeat_age.set(info.heartbeat_age().as_secs_f64());
        let set = |gauge: &Handle<Gauge>, value: u64| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&self.unplaced, info.unplaced);
        set(&self.damaged, info.damaged.into());
        set(&self.left_out, info.left_out);
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("path", &self.file.path)
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

/// The facts that a segment states about itself and its process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentInfo {
    /// The process id, in its own namespace.
    pub pid: u32,
    /// The time at which the process was started, in clock ticks since boot.
    pub start_time: u64,
    /// The process id of the parent at the start, in the process' namespace.
    pub parent_pid: u32,
    /// The inode of the namespace that the process ids are of, as `/proc/self/ns/pid`
    /// has it.
    pub pid_namespace: u64,
    /// The command line.
    pub command: String,
    /// The time at which the segment was made, since 1970 (UTC).
    pub created: Duration,
    /// The time of the last heartbeat, since 1970 (UTC).
    pub heartbeat: Duration,
    /// True if the process has ended in an orderly way.
    pub ended: bool,
    /// The number of series that the registry shows.
    pub series: usize,
    /// The number of series that the process has made outside of the segment.
    pub unplaced: u64,
    /// The number of families and series that the registry refused.
    pub left_out: u64,
    /// True if a part of the segment could not be read. The registry shows what
    /// comes before it.
    pub damaged: bool,
}

impl SegmentInfo {
    /// Returns the facts that a header states.
    pub(super) fn of(header: &[u64; HEADER]) -> Self {
        let name_length = usize::try_from(header[header::NAME_LENGTH]).unwrap_or(usize::MAX);
        let name: Vec<u8> = header[header::NAME..]
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .take(name_length.min(header::MAX_NAME))
            .collect();
        let mut info = Self {
            pid: u32::try_from(header[header::PID]).unwrap_or(0),
            start_time: header[header::START_TIME],
            parent_pid: u32::try_from(header[header::PARENT_PID]).unwrap_or(0),
            pid_namespace: header[header::PID_NAMESPACE],
            command: String::from_utf8_lossy(&name).into_owned(),
            created: Duration::from_millis(header[header::CREATED]),
            ..Self::default()
        };
        info.update(header);
        info
    }

    /// Returns true if a header is of the same process and segment.
    fn is_of(&self, header: &[u64]) -> bool {
        u64::from(self.pid) == header[header::PID]
            && self.start_time == header[header::START_TIME]
            && self.created == Duration::from_millis(header[header::CREATED])
    }

    /// Takes over the facts that change.
    fn update(&mut self, header: &[u64]) {
        self.heartbeat = Duration::from_millis(header[header::HEARTBEAT]);
        self.ended = header[header::STATE] == state::ENDED;
        self.unplaced = header[header::UNPLACED];
    }

    /// Returns the time since the last heartbeat.
    #[must_use]
    pub fn heartbeat_age(&self) -> Duration {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        now.saturating_sub(self.heartbeat)
    }
}

impl Reader {
    /// Opens the file of a segment. Reads nothing but its header.
    ///
    /// # Errors
    /// If the file cannot be opened, or is not a segment of this version of the
    /// format, of this machine and of this boot.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, SegmentError> {
        Self::of(SegmentFile::open(path.as_ref())?)
    }

    /// Opens a segment, as [`open`](Self::open) does, and maps the file. Reading is
    /// then as cheap as in the process itself.
    ///
    /// For segments of programs that you trust: if somebody makes the file shorter, the
    /// kernel ends this process with SIGBUS. This crate never does so, but `cp` to the
    /// file would.
    ///
    /// ```
    /// # #[cfg(target_os = "linux")] {
    /// use stethoscope::{Registry, segment::{Reader, Segment}};
    /// # let directory = format!("/dev/shm/stethoscope-mapped-{}", std::process::id());
    /// let segment = Segment::in_dir(&directory)?;
    /// let jobs = Registry::in_segment(&segment).counter("jobs_total", "Jobs.")?;
    ///
    /// let mut reader = Reader::open_mapped(segment.path())?;
    /// jobs.inc();
    /// reader.refresh()?;
    /// assert_eq!(reader.info().series, 1);
    /// # std::fs::remove_dir_all(&directory)?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_mapped(path: impl AsRef<Path>) -> Result<Self, SegmentError> {
        Self::of(SegmentFile::map(path.as_ref())?)
    }

    /// Opens a segment, as [`open`](Self::open) does, from a file that another program
    /// may have made to harm this one: for programs that read the segments of many
    /// processes, and must survive all of them.
    ///
    /// # Errors
    /// As for [`open`](Self::open). If the file belongs to another user, others may
    /// write to it, or it is longer than 256 MiB.
    pub fn open_untrusted(path: impl AsRef<Path>) -> Result<Self, SegmentError> {
        Self::of(SegmentFile::open_untrusted(path.as_ref())?)
    }

    fn of(file: SegmentFile) -> Result<Self, SegmentError> {
        let header = file.header()?;
        let mirror = Mirror::new();
        let file = Arc::new(file);
        let mut reader = Self {
            view: View::default(),
            values: Values::default(),
            // The names are valid, and the registry is new.
            page: ProcessPage::new(&mirror.registry, &file)
                .map_err(|error| SegmentError::io(&file.path, std::io::Error::other(error)))?,
            mirror,
            exit: ExitWatch::of(&header),
            file,
            info: SegmentInfo::of(&header),
        };
        reader.describe();
        Ok(reader)
    }

    /// Reads the segment: what the [registry](Self::registry) and the
    /// [info](Self::info) show from now on.
    ///
    /// Do not scrape the registry on another thread at the same time: the page might
    /// show some values of this reading, and some of the one before.
    ///
    /// # Errors
    /// If the file became shorter than its header, or its log changed too often.
    pub fn refresh(&mut self) -> Result<(), SegmentError> {
        if self.view.read(&*self.file, &mut self.values).is_err() {
            // Without a header, the page of the last reading is all that is left.
            self.info.damaged = self.file.header().is_err();
            self.page.show(&self.info);
            return Err(SegmentError::new(&self.file.path, SegmentErrorKind::Busy));
        }
        self.mirror.show(&self.view, &self.values);
        let mut header = [0; header::NAME_LENGTH];
        if !self.file.copy(0, &mut header) {
            return Err(SegmentError::not_a_segment(&self.file.path));
        }
        if self.info.is_of(&header) {
            self.info.update(&header);
        } else {
            // A forked child has just taken the file over.
            self.info = SegmentInfo::of(&self.file.header()?);
        }
        self.describe();
        self.page.show(&self.info);
        Ok(())
    }

    fn describe(&mut self) {
        self.info.series = self.mirror.len();
        self.info.left_out = self.mirror.left_out;
        self.info.damaged = self.view.damaged || self.values.are_cut;
    }

    /// Returns the families of the segment, with the values of the last
    /// [`refresh`](Self::refresh).
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.mirror.registry
    }

    /// Returns the page of the process: the families of the segment, after
    /// `stethoscope_process_state`, `stethoscope_process_alive`,
    /// `stethoscope_heartbeat_age_seconds`, `stethoscope_segment_unplaced_series`,
    /// `stethoscope_segment_damaged` and `stethoscope_segment_left_out`. All but the state
    /// are as of the last [`refresh`](Self::refresh).
    #[must_use]
    pub fn page(&self) -> &Registry {
        &self.page.registry
    }

    /// Returns the facts that the segment stated at the last refresh.
    #[must_use]
    pub fn info(&self) -> &SegmentInfo {
        &self.info
    }

    /// Returns the exit status of the process, if it has ended since the reader was
    /// opened, and its parent has taken note of it. Needs Linux 6.15, and a process in
    /// the same namespace of process ids.
    #[must_use]
    pub fn exit_status(&self) -> Option<std::process::ExitStatus> {
        self.exit.as_ref()?.status()
    }

    /// Returns true if the process is a forked child that has counted, registered and
    /// removed nothing since the fork, as of the last [`refresh`](Self::refresh). Once it
    /// is dead, [`remove_unused`](super::remove_unused) removes its file.
    #[must_use]
    pub fn is_unused(&self) -> bool {
        unused::is_untouched(&self.file)
            && !self.view.damaged
            && unused::are_zero(&self.view, &self.values)
    }

    /// Returns the path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Returns the state of the process now.
    ///
    /// A process holds a lock on its file, which the kernel drops when it dies. If
    /// it is in the same namespace of process ids, `/proc` is asked, too.
    #[must_use]
    pub fn state(&self) -> ProcessState {
        self.file.state()
    }
}
