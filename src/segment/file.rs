//! The file of a segment: created, locked, grown and mapped.

use super::arena::Backing;
use super::error::{SegmentError, SegmentErrorKind};
use super::format::LINE;
use crate::fork::{self, CorrectInChild};
use rustix::fd::{AsRawFd, FromRawFd, OwnedFd};
use rustix::fs::{self, FallocateFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::{DupFlags, Errno};
use rustix::mm::{self, MapFlags, MremapFlags, ProtFlags};
use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// The magic numbers of file systems that are memory.
const TMPFS: u64 = 0x0102_1994;
const RAMFS: u64 = 0x8584_58f6;

/// The shortest extent in bytes, and what the lengths of extents are multiples of.
const MIN_EXTENT: usize = 16 << 10;

/// Opens the directory of segments, which is made if it does not exist, and checks
/// that nobody else can write to it.
pub(super) fn open_directory(path: &Path) -> Result<OwnedFd, SegmentError> {
    if fs::lstat(path).is_err() {
        make_directory(path)?;
    }
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
    let directory =
        fs::open(path, flags, Mode::empty()).map_err(|error| open_error(path, error))?;
    check_directory(&directory, path)?;
    Ok(directory)
}

/// Makes the directory of segments. Checks the file system first, so that a directory
/// that would be refused is not left behind.
fn make_directory(path: &Path) -> Result<(), SegmentError> {
    let not_made = |error| match error {
        Errno::NOENT => {
            let error = std::io::Error::new(
                std::io::ErrorKind::NotFound,
                "the directory cannot be made, because the one around it does not exist: make that \
                 one first",
            );
            SegmentError::io(path, error)
        }
        error => SegmentError::io(path, error),
    };
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let file_system = fs::statfs(parent.unwrap_or(Path::new("."))).map_err(not_made)?;
    if !is_in_memory(&file_system) {
        return Err(SegmentError::not_in_memory(path));
    }
    match fs::mkdir(path, Mode::RWXU) {
        // Another process has made it meanwhile.
        Err(Errno::EXIST) => Ok(()),
        result => result.map_err(not_made),
    }
}

/// Returns the error of opening a path without following symbolic links.
fn open_error(path: &Path, error: Errno) -> SegmentError {
    // Of a link to a directory, the kernel says that it is not a directory.
    let is_link = matches!(error, Errno::LOOP | Errno::NOTDIR)
        && fs::lstat(path)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink);
    match is_link {
        true => SegmentError::io(
            path,
            std::io::Error::other(
                "this is a symbolic link, which is refused: name the file or directory that it leads \
                 to",
            ),
        ),
        false => SegmentError::io(path, error),
    }
}

/// Checks that a directory belongs to this user, that nobody else may write to it,
/// and that it is in memory.
pub(super) fn check_directory(directory: &OwnedFd, path: &Path) -> Result<(), SegmentError> {
    let stat = fs::fstat(directory).map_err(|error| SegmentError::io(path, error))?;
    if stat.st_uid != rustix::process::geteuid().as_raw() || stat.st_mode & 0o022 != 0 {
        return Err(SegmentError::directory_not_private(path));
    }
    let file_system = fs::fstatfs(directory).map_err(|error| SegmentError::io(path, error))?;
    match is_in_memory(&file_system) {
        true => Ok(()),
        false => Err(SegmentError::not_in_memory(path)),
    }
}

/// Returns true if a file system is memory.
fn is_in_memory(file_system: &fs::StatFs) -> bool {
    // The type of the field differs between architectures.
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)]
    let kind = file_system.f_type as u64;
    matches!(kind & 0xffff_ffff, TMPFS | RAMFS)
}

/// Returns true if forked children may still make files: they leave a quarter of the
/// file system to others.
fn has_room_for_children(directory: &OwnedFd) -> bool {
    // A file system without a limit has 0 blocks.
    fs::fstatvfs(directory).is_ok_and(|stat| stat.f_bavail >= stat.f_blocks / 4)
}

/// The exclusive right to remove files of a directory of segments.
///
/// It lasts until it is dropped or the process ends. Forked children do not have it.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use stethoscope::segment::DirectoryLock;
/// # let directory = format!("/dev/shm/stethoscope-lock-{}", std::process::id());
/// let lock = DirectoryLock::acquire(&directory)?;
/// assert!(DirectoryLock::acquire(&directory).is_err());
/// # std::fs::remove_dir_all(&directory)?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DirectoryLock(Arc<LockedDirectory>);

#[derive(Debug)]
struct LockedDirectory {
    directory: OwnedFd,
    /// The process that has the lock.
    owner: u32,
}

/// Unlocks, also where a child that was forked a moment ago still has a copy of the
/// descriptor: the lock belongs to all copies together.
impl Drop for LockedDirectory {
    fn drop(&mut self) {
        if std::process::id() == self.owner {
            let _ = fs::flock(&self.directory, FlockOperation::Unlock);
        }
    }
}

/// A child that had the lock would keep it from the process that takes its parent's place.
#[allow(unsafe_code)]
impl CorrectInChild for LockedDirectory {
    unsafe fn correct_in_child(&self) {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let Ok(unlocked) = fs::openat(&self.directory, ".", flags, Mode::empty()) else {
            return;
        };
        // SAFETY: the descriptor is open, and stays that of `self`, since it is not
        // dropped here. It is replaced by another one of the same directory.
        let mut own =
            unsafe { ManuallyDrop::new(OwnedFd::from_raw_fd(self.directory.as_raw_fd())) };
        let _ = rustix::io::dup3(&unlocked, &mut own, DupFlags::CLOEXEC);
    }
}

impl DirectoryLock {
    /// Locks a directory, which is made with mode 0700 if it does not exist.
    ///
    /// # Errors
    /// If the directory is not in memory, belongs to another user, or others may write
    /// to it; or if somebody has locked it, in this process or another one.
    pub fn acquire(directory: impl AsRef<Path>) -> Result<Self, SegmentError> {
        fork::install_handlers();
        let path = directory.as_ref();
        let directory = open_directory(path)?;
        match fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let locked = Arc::new(LockedDirectory {
                    directory,
                    owner: std::process::id(),
                });
                fork::correct_in_children(&locked);
                Ok(Self(locked))
            }
            Err(Errno::WOULDBLOCK) => Err(SegmentError::new(path, SegmentErrorKind::InUse)),
            Err(error) => Err(SegmentError::io(path, error)),
        }
    }

    pub(super) fn directory(&self) -> &OwnedFd {
        &self.0.directory
    }

    /// Returns true if the path leads to the directory that is locked: it was neither
    /// removed nor replaced.
    ///
    /// ```
    /// # #[cfg(target_os = "linux")] {
    /// use stethoscope::segment::DirectoryLock;
    /// # let directory = format!("/dev/shm/stethoscope-locked-{}", std::process::id());
    /// let lock = DirectoryLock::acquire(&directory)?;
    /// assert!(lock.is_of(&directory));
    /// std::fs::remove_dir(&directory)?;
    /// assert!(!lock.is_of(&directory));
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_of(&self, directory: impl AsRef<Path>) -> bool {
        let (locked, found) = (fs::fstat(self.directory()), fs::lstat(directory.as_ref()));
        match (locked, found) {
            (Ok(locked), Ok(found)) => {
                (locked.st_dev, locked.st_ino) == (found.st_dev, found.st_ino)
            }
            _ => false,
        }
    }

    /// Removes a file that has been there for a minute and is not a segment yet: its
    /// process died before it had written the header. Returns true if it is one.
    pub fn remove_unfinished(&self, name: &str) -> bool {
        /// A process needs microseconds from the file to its header.
        const AGE: u64 = 60;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let Ok(fd) = fs::openat(self.directory(), name, flags, Mode::empty()) else {
            return false;
        };
        let is_old = fs::fstat(&fd).is_ok_and(|stat| {
            let modified = u64::try_from(stat.st_mtime).unwrap_or(0);
            let now = UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
            FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
                && now.saturating_sub(modified) > AGE
        });
        let mut magic = [0; size_of::<u64>()];
        let has_none = rustix::io::pread(&fd, &mut magic, 0).is_ok_and(|_| magic == [0; 8]);
        is_old && has_none && !is_locked(&fd) && self.remove(name)
    }

    /// Removes a file of the directory. Returns true if it was there.
    pub fn remove(&self, name: &str) -> bool {
        fs::unlinkat(self.directory(), name, fs::AtFlags::empty()).is_ok()
    }
}

/// A locked file, mapped extent by extent.
pub(super) struct MappedFile {
    /// `None` in a forked child that could not make a file: its memory is its own,
    /// and cannot grow.
    fd: Option<OwnedFd>,
    path: PathBuf,
    len: usize,
    mappings: Vec<Mapping>,
}

struct Mapping {
    address: *mut c_void,
    len: usize,
}

// SAFETY: the mapping is owned by the file, and is unmapped only when that is
// dropped. Its words are reached as atomics.
#[allow(unsafe_code)]
unsafe impl Send for Mapping {}

impl Mapping {
    #[allow(unsafe_code)]
    fn words(&self) -> &'static [AtomicU64] {
        // SAFETY: the mapping is aligned to pages and initialised by the kernel. It is
        // unmapped when the `MappedFile` is dropped, which is kept as long as there are
        // references to its words (see `Owner`), or the `ReadOnlyWords`, which lends them.
        // Those are only loaded: atomic loads of read-only memory. Other processes only
        // read the file: one of the same user that wrote to it would change numbers, and
        // no memory access rests on these.
        unsafe {
            let words = self.address.cast::<AtomicU64>();
            std::slice::from_raw_parts(words, self.len / size_of::<u64>())
        }
    }
}

impl MappedFile {
    /// Creates the file of process `pid`, which was started at `start_time`, and
    /// locks it. Several files of a process are numbered.
    pub(super) fn create(
        directory: &OwnedFd,
        path: &Path,
        pid: u32,
        start_time: u64,
    ) -> Result<Self, SegmentError> {
        /// The files that a process may have in a directory.
        const LIMIT: u32 = 10_000;
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::RDWR | OFlags::CLOEXEC;
        for number in 0..LIMIT {
            let name = match number {
                0 => format!("{pid}-{start_time}.{EXTENSION}"),
                _ => format!("{pid}-{start_time}-{number}.{EXTENSION}"),
            };
            let path = path.join(&name);
            let fd = match fs::openat(directory, &name, flags, Mode::RUSR | Mode::WUSR) {
                Ok(fd) => fd,
                Err(Errno::EXIST) => continue,
                Err(error) => return Err(SegmentError::io(&path, error)),
            };
            // A reader may hold the lock for the microseconds of its look.
            rustix::io::retry_on_intr(|| fs::flock(&fd, FlockOperation::LockExclusive))
                .map_err(|error| SegmentError::io(&path, error))?;
            return Ok(Self {
                fd: Some(fd),
                path,
                len: 0,
                mappings: Vec::new(),
            });
        }
        Err(SegmentError::io(path, Errno::EXIST))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns false in a forked child that could not make a file.
    pub(super) fn has_file(&self) -> bool {
        self.fd.is_some()
    }

    /// Appends `len` bytes of memory and maps them.
    #[allow(unsafe_code)]
    fn append(&mut self, len: usize) -> Result<&'static [AtomicU64], Errno> {
        let fd = self.fd.as_ref().ok_or(Errno::BADF)?;
        let offset = self.len as u64;
        // Allocates the memory, so that no later store can fail.
        fs::fallocate(fd, FallocateFlags::empty(), offset, len as u64)?;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        // SAFETY: a new mapping at an address that the kernel chooses.
        match unsafe { mm::mmap(ptr::null_mut(), len, protection, flags, fd, offset) } {
            Ok(address) => Ok(self.add(address, len)),
            Err(error) => {
                // Back to the length that is mapped, so that offsets agree.
                let _ = fs::ftruncate(fd, offset);
                Err(error)
            }
        }
    }

    /// Takes over a new mapping. Returns its words.
    fn add(&mut self, address: *mut c_void, len: usize) -> &'static [AtomicU64] {
        let mapping = Mapping { address, len };
        let words = mapping.words();
        self.mappings.push(mapping);
        self.len += len;
        words
    }
}

/// # Forks
impl MappedFile {
    /// Gives a forked child a file of its own, at the addresses of the parent's, with
    /// a copy of some words, given by offset and length; the others are zero. If there
    /// cannot be a file, or `is_intact` says after the copy that the parent has
    /// freed its log, the child gets memory that nobody else sees. Returns false if
    /// there is not even that, and the child goes on counting in its parent's file.
    ///
    /// # Safety
    /// The process must be a forked child with a single thread.
    #[allow(unsafe_code)]
    pub(super) unsafe fn move_to_own_file(
        &mut self,
        pid: u32,
        start_time: u64,
        copied: &[(usize, usize)],
        is_intact: impl Fn() -> bool,
    ) -> bool {
        let own = self
            .like_this(pid, start_time)
            .inspect(|own| self.copy_to(own, copied))
            .filter(|own| is_intact() || own.unlink().is_some())
            .or_else(|| {
                let own = self.like_this_in_memory();
                own.inspect(|own| self.copy_to(own, copied))
            });
        let Some(mut own) = own else {
            return false;
        };
        for (old, new) in self.mappings.iter().zip(std::mem::take(&mut own.mappings)) {
            let (flags, len) = (MremapFlags::MAYMOVE, old.len);
            // SAFETY: replaces the old mapping by one of the same length, whose words
            // are valid, too. No other thread uses them meanwhile.
            let moved = unsafe { mm::mremap_fixed(new.address, new.len, len, flags, old.address) };
            debug_assert!(moved.is_ok(), "{moved:?}");
        }
        // Closes the parent's file, whose lock the parent still holds.
        self.fd = own.fd.take();
        self.path = std::mem::take(&mut own.path);
        true
    }

    /// Creates a file with mappings of the same lengths.
    fn like_this(&self, pid: u32, start_time: u64) -> Option<Self> {
        self.fd.as_ref()?;
        let path = self.path.parent()?;
        let directory = open_directory(path).ok()?;
        if !has_room_for_children(&directory) {
            return None;
        }
        let mut own = Self::create(&directory, path, pid, start_time).ok()?;
        for mapping in &self.mappings {
            if own.append(mapping.len).is_err() {
                return own.unlink();
            }
        }
        Some(own)
    }

    /// Removes the file. Returns `None`.
    fn unlink(&self) -> Option<Self> {
        // A file that stays has no magic word, and is not shown.
        let _ = fs::unlink(&self.path);
        None
    }

    /// Makes mappings of the same lengths that belong to no file.
    #[allow(unsafe_code)]
    fn like_this_in_memory(&self) -> Option<Self> {
        let mut own = Self {
            fd: None,
            path: self.path.clone(),
            len: 0,
            mappings: Vec::new(),
        };
        for mapping in &self.mappings {
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            let (len, flags) = (mapping.len, MapFlags::PRIVATE);
            // SAFETY: a new mapping at an address that the kernel chooses.
            let mapped = unsafe { mm::mmap_anonymous(ptr::null_mut(), len, protection, flags) };
            own.add(mapped.ok()?, len);
        }
        Some(own)
    }

    /// Copies words to mappings of the same lengths.
    fn copy_to(&self, own: &Self, copied: &[(usize, usize)]) {
        for &(offset, len) in copied {
            let mut first = 0;
            for (from, to) in self.mappings.iter().zip(&own.mappings) {
                let (from, to) = (from.words(), to.words());
                if (first..first + from.len()).contains(&offset) {
                    let at = offset - first;
                    for (from, to) in from[at..at + len].iter().zip(&to[at..at + len]) {
                        // Relaxed: nobody else sees the new words yet.
                        to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
                    }
                }
                first += from.len();
            }
        }
        // Acquire: pairs with the Release fence of the parent before it frees a log.
        fence(Ordering::Acquire);
    }
}

/// Words of a file that this process only reads.
pub(super) struct ReadOnlyWords(Mapping);

impl ReadOnlyWords {
    /// Maps the first `len` words of a file. `None` if there are none.
    #[allow(unsafe_code)]
    pub(super) fn map(fd: &OwnedFd, len: usize) -> Option<Self> {
        let len = len.checked_mul(size_of::<u64>()).filter(|len| *len > 0)?;
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        // SAFETY: a new mapping at an address that the kernel chooses.
        let mapped = unsafe { mm::mmap(ptr::null_mut(), len, ProtFlags::READ, flags, fd, 0) };
        let address = mapped.ok()?;
        Some(Self(Mapping { address, len }))
    }
}

impl std::ops::Deref for ReadOnlyWords {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        self.0.words()
    }
}

impl Drop for ReadOnlyWords {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: mapped by `map`. Nothing borrows the words any more.
        let _ = unsafe { mm::munmap(self.0.address, self.0.len) };
    }
}

/// The extension of a segment's file.
pub(super) const EXTENSION: &str = "segment";

impl Backing for MappedFile {
    fn grow(&mut self, at_least: usize) -> Option<&'static [AtomicU64]> {
        debug_assert!(at_least.is_multiple_of(LINE));
        let needed = at_least
            .checked_mul(size_of::<u64>())?
            .checked_next_multiple_of(MIN_EXTENT)?;
        // By a part, to have few extents; by less if there is no room for that.
        let wanted = needed.max((self.len / 32).next_multiple_of(MIN_EXTENT));
        self.append(wanted).or_else(|_| self.append(needed)).ok()
    }

    fn copied_until(&self) -> Option<Instant> {
        /// The time that a child has for the copy. One that is later gets memory that
        /// nobody else sees.
        const TIME_TO_COPY: Duration = Duration::from_secs(2);
        let until = fork::last_fork()? + TIME_TO_COPY;
        (until > Instant::now()).then_some(until)
    }
}

impl Drop for MappedFile {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        for mapping in &self.mappings {
            // SAFETY: mapped by `append`. Nothing refers to the words any more: see
            // there.
            let _ = unsafe { mm::munmap(mapping.address, mapping.len) };
        }
    }
}

/// Opens the file of a segment for reading. Refuses what is not a plain file.
pub(super) fn open_for_reading(path: &Path) -> Result<OwnedFd, SegmentError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = fs::open(path, flags, Mode::empty()).map_err(|error| open_error(path, error))?;
    let stat = fs::fstat(&fd).map_err(|error| SegmentError::io(path, error))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(fd),
        _ => Err(SegmentError::not_a_segment(path)),
    }
}

/// Returns true if a process holds the lock of a segment.
pub(super) fn is_locked(fd: &OwnedFd) -> bool {
    match fs::flock(fd, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            let _ = fs::flock(fd, FlockOperation::Unlock);
            false
        }
        // Refused for another reason, such as a file system without locks: it may be
        // held.
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::DirectoryLock;

    #[test]
    fn dropped_lock_is_free_while_a_child_has_a_copy_of_its_descriptor() {
        let name = format!("/dev/shm/stethoscope-unlocked-{}", std::process::id());
        let lock = DirectoryLock::acquire(&name).unwrap();
        // As a process has it that is being started, until it runs its program.
        let copy = rustix::io::dup(lock.directory()).unwrap();
        drop(lock);
        let again = DirectoryLock::acquire(&name);
        std::fs::remove_dir(&name).unwrap();
        again.unwrap();
        drop(copy);
    }
}
