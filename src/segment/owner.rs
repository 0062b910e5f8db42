//! The owner of a segment: a process that counts in it.

use super::arena::Arena;
use super::error::SegmentError;
use super::file::{self, MappedFile};
use super::format::{self, BYTE_ORDER, Encoding, FamilyRecord, MAGIC, VERSION, header, state};
use super::log::Log;
use super::proc::{self, ProcessStat};
use super::segment_file::SegmentFile;
use super::unused::{UnusedFiles, is_unused, remove_unused};
use crate::family::Descriptor;
use crate::fork::{self, CorrectInChild, ForkSafeMutex};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once, Weak};

/// A file in memory that holds the metrics of this process, for others to read.
///
/// Clones are the same segment. See the [module](super) for an example.
#[derive(Clone)]
pub struct Segment(Arc<Owner>);

pub(super) struct Owner {
    /// Before the log: whoever holds the words of a series holds the owner, and the
    /// log unmaps them when it is dropped.
    header: &'static [AtomicU64],
    log: ForkSafeMutex<Log<MappedFile>>,
    /// `None` while a thread looks at the directory.
    unused: ForkSafeMutex<Option<UnusedFiles>>,
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("path", &self.path())
            .field("unplaced", &self.unplaced())
            .finish_non_exhaustive()
    }
}

impl Segment {
    /// Creates a segment of this process in a directory, which is made with mode
    /// 0700 if it does not exist.
    ///
    /// The directory must be in memory, for example in `/dev/shm`, belong to this
    /// user, and not be writable by others.
    ///
    /// # Errors
    /// If the directory is not as it must be, or the file cannot be created or has
    /// no room.
    pub fn in_dir(directory: impl AsRef<Path>) -> Result<Self, SegmentError> {
        fork::install_handlers();
        let path = directory.as_ref();
        let directory = file::open_directory(path)?;
        // Those of children whose parents are dead, too. It makes room, and is not needed.
        let _ = remove_unused(path);
        let stat = ProcessStat::of("self").ok_or_else(|| SegmentError::io(path, Errno::NOENT))?;
        let pid = std::process::id();
        let mapped = MappedFile::create(&directory, path, pid, stat.start_time)?;
        let path = mapped.path().to_owned();
        let Some(log) = Log::new(Arena::new(mapped)) else {
            let _ = std::fs::remove_file(&path);
            return Err(SegmentError::io(&path, Errno::NOSPC));
        };
        let header = log.header();
        describe_process(header, &stat);
        let owner = Arc::new(Owner {
            header,
            log: ForkSafeMutex::new(log),
            unused: ForkSafeMutex::new(Some(UnusedFiles::default())),
        });
        fork::correct_in_children(&owner);
        mark_at_exit(&owner);
        Ok(Self(owner))
    }

    /// Returns the path of the file: in a forked child, of the child's.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.0.log.lock().backing().path().to_owned()
    }

    /// Shows that the process is making progress: stores the time, for readers.
    ///
    /// Call it from the loop that must not stand still, for example once a second.
    /// Creating and removing series does so, too.
    pub fn beat(&self) {
        // Relaxed: the time publishes nothing but itself.
        self.0.header[header::HEARTBEAT].store(now(), Ordering::Relaxed);
        self.touch();
    }

    /// Says that a forked child has used its segment.
    fn touch(&self) {
        // Relaxed: read after the process has died.
        self.0.header[header::UNTOUCHED].store(0, Ordering::Relaxed);
    }

    /// Returns the number of series that were made outside of the segment, where
    /// only this process sees them: there was no room, or their cells cannot be in
    /// a segment.
    #[must_use]
    pub fn unplaced(&self) -> u64 {
        // Relaxed: a count that publishes nothing but itself.
        self.0.header[header::UNPLACED].load(Ordering::Relaxed)
    }

    /// Adds a family. `None` if it does not fit.
    pub(crate) fn add_family(
        &self,
        descriptor: &Descriptor,
        encoding: Encoding,
        parts: usize,
    ) -> Option<Arc<PlacedFamily>> {
        let record = FamilyRecord {
            encoding,
            parts,
            descriptor: descriptor.clone(),
        };
        let id = self.0.log.lock().add_family(&record)?;
        self.beat();
        Some(Arc::new(PlacedFamily {
            segment: self.clone(),
            id,
        }))
    }

    /// Counts a series that is made outside of the segment.
    pub(crate) fn count_unplaced(&self) {
        // Relaxed: as in `unplaced`.
        self.0.header[header::UNPLACED].fetch_add(1, Ordering::Relaxed);
        self.touch();
    }
}

/// A family whose series are in a segment.
pub(crate) struct PlacedFamily {
    segment: Segment,
    id: u64,
}

impl PlacedFamily {
    /// Adds a series. Returns its place, and what `begin` makes of its words, which
    /// are zero, and valid for as long as the place is. `None` if it does not fit.
    pub(crate) fn place<T>(
        self: &Arc<Self>,
        ordinal: u64,
        created: f64,
        labels: &[&str],
        begin: impl FnOnce(&'static [AtomicU64]) -> T,
    ) -> Option<(Place, T)> {
        let mut log = self.segment.0.log.lock();
        let (slot, begun) = log.place(self.id, ordinal, created, labels, begin)?;
        drop(log);
        self.segment.beat();
        let place = Place {
            family: Arc::clone(self),
            slot,
        };
        Some((place, begun))
    }

    /// Removes the family and its series from the segment.
    pub(crate) fn remove(&self) {
        self.segment.0.log.lock().remove_family(self.id);
        self.segment.beat();
    }
}

/// The words of one series in a segment. They are reused after it is dropped, if
/// the series or its family was removed.
pub(crate) struct Place {
    family: Arc<PlacedFamily>,
    slot: usize,
}

impl Place {
    /// Removes the series from the segment. Its words remain usable.
    pub(crate) fn remove(&self) {
        let segment = &self.family.segment;
        segment
            .0
            .log
            .lock()
            .remove_series(self.family.id, self.slot);
        segment.beat();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut log = self.family.segment.0.log.lock();
        log.release(self.family.id, self.slot);
    }
}

impl Owner {
    fn mark_ended(&self) {
        // Relaxed, both: read by other processes, each for itself. A forked child
        // that has kept its parent's segment does not end it.
        if self.header[header::PID].load(Ordering::Relaxed) == u64::from(std::process::id()) {
            self.header[header::STATE].store(state::ENDED, Ordering::Relaxed);
        }
    }

    /// Removes files of children that have counted nothing, and that of this process if
    /// it is such a child, before it exits or drops the segment.
    fn clean_at_exit(&self) {
        let (path, has_file) = {
            let mut log = self.log.lock();
            let file = log.backing();
            (file.path().to_owned(), file.has_file())
        };
        // Relaxed: as in `mark_ended`.
        let pid = self.header[header::PID].load(Ordering::Relaxed);
        let is_this = pid == u64::from(std::process::id());
        // Another thread might count still.
        if has_file && is_this && proc::has_one_thread() {
            let _ = SegmentFile::open_untrusted(&path)
                .is_ok_and(|file| is_unused(&file) && std::fs::remove_file(&path).is_ok());
        }
        self.remove_unused(|unused| unused.has_forked());
    }

    /// Looks at the directory for files of dead children, if `is_due` says so, and no
    /// other thread does.
    fn remove_unused(&self, is_due: impl FnOnce(&mut UnusedFiles) -> bool) {
        let unused = self.unused.lock().take_if(|unused| is_due(unused));
        let Some(mut unused) = unused else {
            return;
        };
        let path = self.log.lock().backing().path().to_owned();
        if let Some(directory) = path.parent() {
            let _ = unused.remove(directory);
        }
        *self.unused.lock() = Some(unused);
    }
}

/// A forked child counts in a segment of its own, with the same families and series at
/// 0, and the handles that it has inherited.
#[allow(unsafe_code)]
impl CorrectInChild for Owner {
    unsafe fn correct_in_child(&self) {
        let mut log = self.log.lock();
        let stat = ProcessStat::of("self");
        let start_time = stat.as_ref().map_or(0, |stat| stat.start_time);
        let (copied, root, number) = (log.words_of_child(), log.root(), log.number());
        let is_intact = || Log::<MappedFile>::is_intact(self.header, number);
        let pid = std::process::id();
        // SAFETY: the caller's duty.
        let moved = unsafe {
            let file = log.backing();
            file.move_to_own_file(pid, start_time, &copied, is_intact)
        };
        if !moved {
            return;
        }
        log.cut_in_child();
        self.header[header::ROOT].store(root, Ordering::Relaxed);
        self.header[header::UNTOUCHED].store(1, Ordering::Relaxed);
        if let Some(stat) = stat {
            describe_process(self.header, &stat);
        }
        *self.unused.lock() = Some(UnusedFiles::default());
    }

    fn clean_in_parent(&self) {
        self.remove_unused(UnusedFiles::note_fork);
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.mark_ended();
        self.clean_at_exit();
    }
}

/// Fills the header. The magic comes last.
fn describe_process(header: &[AtomicU64], stat: &ProcessStat) {
    // Relaxed, all but the magic, which publishes them.
    let set = |index: usize, value: u64| header[index].store(value, Ordering::Relaxed);
    let [boot_high, boot_low] = proc::boot_id().unwrap_or_default();
    let mut name = proc::command_line();
    while name.len() > header::MAX_NAME {
        name.pop();
    }
    let time = now();
    set(header::BYTE_ORDER, BYTE_ORDER);
    set(header::VERSION, VERSION);
    set(header::HEARTBEAT, time);
    set(header::STATE, state::RUNNING);
    set(header::PID, u64::from(std::process::id()));
    set(header::START_TIME, stat.start_time);
    set(header::PID_NAMESPACE, proc::pid_namespace());
    set(header::BOOT_ID, boot_high);
    set(header::BOOT_ID + 1, boot_low);
    set(header::CREATED, time);
    set(header::PARENT_PID, u64::from(stat.parent));
    set(header::NAME_LENGTH, name.len() as u64);
    for (index, bytes) in name.as_bytes().chunks(8).enumerate() {
        set(header::NAME + index, format::word_of_bytes(bytes));
    }
    // Release: a reader that acquires the magic sees the header, and the log that
    // the root refers to.
    header[header::MAGIC].store(MAGIC, Ordering::Release);
}

/// Returns the time in milliseconds since 1970 (UTC).
pub(super) fn now() -> u64 {
    // The time of the last timer tick: it takes a fifth of the time of an exact one.
    let now = clock_gettime(ClockId::RealtimeCoarse);
    let (seconds, nanoseconds) = (now.tv_sec.max(0) as u64, now.tv_nsec.max(0) as u64);
    seconds * 1_000 + nanoseconds / 1_000_000
}

/// The segments of the process.
static SEGMENTS: ForkSafeMutex<Vec<Weak<Owner>>> = ForkSafeMutex::new(Vec::new());

/// Has the segment marked when the process ends in an orderly way.
#[allow(unsafe_code)]
fn mark_at_exit(owner: &Arc<Owner>) {
    static REGISTERED: Once = Once::new();
    // SAFETY: the declaration of the C standard. `std` links to the C library.
    unsafe extern "C" {
        fn atexit(handler: extern "C" fn()) -> std::ffi::c_int;
    }
    // SAFETY: the handler is a function of this image, and does not unwind. If there
    // is no memory for it, readers take an orderly end for another one.
    REGISTERED.call_once(|| unsafe {
        atexit(mark_all);
    });
    let mut segments = SEGMENTS.lock();
    segments.retain(|segment| segment.strong_count() > 0);
    segments.push(Arc::downgrade(owner));
}

extern "C" fn mark_all() {
    let owners: Vec<Arc<Owner>> = SEGMENTS.lock().iter().filter_map(Weak::upgrade).collect();
    for owner in owners {
        owner.mark_ended();
        owner.clean_at_exit();
    }
}
