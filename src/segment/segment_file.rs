//! The file of a segment, as a reader has it open.

use super::error::{SegmentError, SegmentErrorKind};
use super::file::{self, ReadOnlyWords};
use super::format::{BYTE_ORDER, HEADER, MAGIC, bytes_of, header, is_readable, state};
use super::proc::{self, ProcessStat};
use super::process_state::ProcessState;
use super::view::{self, Words};
use rustix::fd::OwnedFd;
use rustix::fs::Stat as FileStat;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

/// The longest segment in bytes. What is after it is not read.
const MAX_LEN: u64 = 1 << 30;

/// The longest segment in bytes that a reader of untrusted files opens.
const MAX_UNTRUSTED_LEN: u64 = 256 << 20;

/// The unit of the number of blocks that a file occupies.
const BLOCK: u64 = 512;

/// A segment's file.
pub(super) struct SegmentFile {
    fd: OwnedFd,
    pub(super) path: PathBuf,
    /// `None` if its words are copied by the kernel, which notices that a file was cut
    /// short.
    mapped: Option<MappedWords>,
    /// The namespace of process ids that this process is in.
    namespace: u64,
    /// True if no more is copied than the memory that the file occupies. A file with a
    /// hole could otherwise cost its readers more memory than its writer.
    is_untrusted: bool,
}

impl SegmentFile {
    /// Opens a file and checks its header.
    pub(super) fn open(path: &Path) -> Result<Self, SegmentError> {
        let file = Self::new(path, false)?;
        file.check_header()?;
        Ok(file)
    }

    /// Opens a file, checks its header, and maps it. A file that is cut short
    /// afterwards ends this process.
    pub(super) fn map(path: &Path) -> Result<Self, SegmentError> {
        let mut file = Self::open(path)?;
        file.mapped = Some(MappedWords::default());
        Ok(file)
    }

    fn new(path: &Path, is_untrusted: bool) -> Result<Self, SegmentError> {
        Ok(Self {
            fd: file::open_for_reading(path)?,
            path: path.to_owned(),
            mapped: None,
            namespace: proc::pid_namespace(),
            is_untrusted,
        })
    }

    /// Opens a file of this user that nobody else may write to, and checks its length
    /// and its header.
    pub(super) fn open_untrusted(path: &Path) -> Result<Self, SegmentError> {
        let file = Self::new(path, true)?;
        let stat = file.stat()?;
        let is_own = stat.st_uid == rustix::process::geteuid().as_raw();
        if !is_own || stat.st_mode & 0o022 != 0 {
            return Err(file.fault(SegmentErrorKind::FileNotPrivate));
        }
        if u64::try_from(stat.st_size).unwrap_or(0) > MAX_UNTRUSTED_LEN {
            return Err(file.fault(SegmentErrorKind::TooLong));
        }
        file.check_header()?;
        Ok(file)
    }

    fn fault(&self, kind: SegmentErrorKind) -> SegmentError {
        SegmentError::new(&self.path, kind)
    }

    fn check_header(&self) -> Result<(), SegmentError> {
        let header = self.header()?;
        if header[header::MAGIC] != MAGIC {
            return Err(self.fault(SegmentErrorKind::NotASegment));
        }
        if header[header::BYTE_ORDER] != BYTE_ORDER {
            return Err(self.fault(SegmentErrorKind::ByteOrder));
        }
        if !is_readable(header[header::VERSION] >> 32) {
            let found = (header[header::VERSION] >> 32) as u32;
            return Err(self.fault(SegmentErrorKind::Version { found }));
        }
        let boot = [header[header::BOOT_ID], header[header::BOOT_ID + 1]];
        if proc::boot_id().is_some_and(|id| id != boot) {
            return Err(self.fault(SegmentErrorKind::OtherBoot));
        }
        Ok(())
    }

    /// Copies the header.
    pub(super) fn header(&self) -> Result<[u64; HEADER], SegmentError> {
        let mut header = [0; HEADER];
        // First: its Release publishes the rest.
        let magic = self.load(header::MAGIC);
        match magic.is_some() && self.copy(0, &mut header) {
            true => Ok(header),
            false => Err(SegmentError::not_a_segment(&self.path)),
        }
    }

    /// Returns true if a process, or its forked child, may still write to the file.
    pub(super) fn is_locked(&self) -> bool {
        file::is_locked(&self.fd)
    }

    /// Returns the facts of the file system about the file.
    pub(super) fn stat(&self) -> Result<FileStat, SegmentError> {
        rustix::fs::fstat(&self.fd).map_err(|error| SegmentError::io(&self.path, error))
    }

    /// Returns the state of the process now.
    pub(super) fn state(&self) -> ProcessState {
        let Ok(header) = self.header() else {
            return ProcessState::Dead;
        };
        let gone = match header[header::STATE] {
            state::ENDED => ProcessState::Ended,
            _ => ProcessState::Dead,
        };
        if !self.is_locked() {
            return gone;
        }
        if header[header::PID_NAMESPACE] != self.namespace {
            return ProcessState::Running;
        }
        // A child that was forked in an unusual way may hold the lock still.
        match ProcessStat::of(&header[header::PID].to_string()) {
            Some(stat) if stat.start_time == header[header::START_TIME] => match stat.state {
                b'T' | b't' => ProcessState::Stopped,
                b'Z' | b'X' | b'x' => gone,
                _ => ProcessState::Running,
            },
            _ => gone,
        }
    }
}

impl Words for SegmentFile {
    fn len(&self) -> usize {
        let bytes = rustix::fs::fstat(&self.fd).map_or(0, |stat| {
            let occupied = u64::try_from(stat.st_blocks).unwrap_or(0) * BLOCK;
            let len = u64::try_from(stat.st_size).unwrap_or(0).min(MAX_LEN);
            match self.is_untrusted {
                true => len.min(occupied).min(MAX_UNTRUSTED_LEN),
                false => len,
            }
        });
        usize::try_from(bytes).unwrap_or(0) / size_of::<u64>()
    }

    fn copy(&self, offset: usize, into: &mut [u64]) -> bool {
        if let Some(mapped) = &self.mapped {
            return mapped.copy_series(self, offset, [1, 1], into);
        }
        let Some(mut at) = offset.checked_mul(size_of::<u64>()) else {
            return false;
        };
        let mut rest = bytes_of(into);
        while !rest.is_empty() {
            match rustix::io::pread(&self.fd, &mut *rest, at as u64) {
                Ok(0) => return false,
                Ok(read) => {
                    at += read;
                    rest = &mut rest[read..];
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn copy_series(
        &self,
        offset: usize,
        [stride, words]: [usize; 2],
        into: &mut [u64],
        scratch: &mut Vec<u64>,
    ) -> bool {
        match &self.mapped {
            Some(mapped) => mapped.copy_series(self, offset, [stride, words], into),
            None => view::copy_series(self, offset, [stride, words], into, scratch),
        }
    }
}

/// The words of a file, mapped again when it has grown.
#[derive(Default)]
struct MappedWords(Mutex<Option<ReadOnlyWords>>);

impl MappedWords {
    /// Copies the first `words` words of each series from `offset` on, which are
    /// `stride` words apart. Returns false if the file does not have them.
    fn copy_series(
        &self,
        file: &SegmentFile,
        offset: usize,
        [stride, words]: [usize; 2],
        into: &mut [u64],
    ) -> bool {
        let Some(last) = into.len().checked_sub(1) else {
            return true;
        };
        let last = (last / words).checked_mul(stride);
        let Some(end) = last.and_then(|last| offset.checked_add(last)?.checked_add(words)) else {
            return false;
        };
        let mut mapped = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if mapped.as_ref().is_none_or(|mapped| mapped.len() < end) {
            *mapped = ReadOnlyWords::map(&file.fd, file.len());
        }
        let Some(from) = mapped.as_ref().and_then(|mapped| mapped.get(offset..end)) else {
            return false;
        };
        // Relaxed, both: ordered by the fences of the reader that copies.
        if words == 1 {
            for (into, from) in into.iter_mut().zip(from.iter().step_by(stride)) {
                *into = from.load(Ordering::Relaxed);
            }
            return true;
        }
        for (into, from) in into.chunks_exact_mut(words).zip(from.chunks(stride)) {
            for (into, from) in into.iter_mut().zip(from) {
                *into = from.load(Ordering::Relaxed);
            }
        }
        true
    }
}
