//! The error of making or reading a segment.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The reason why a segment could not be made or read.
///
/// `Debug` shows the same sentence as `Display`, for programs whose `main` returns it.
pub struct SegmentError {
    path: PathBuf,
    kind: SegmentErrorKind,
}

/// The fault of a segment, of its file or of its directory.
#[derive(Debug)]
#[non_exhaustive]
pub enum SegmentErrorKind {
    /// A system call has failed.
    Io(io::Error),
    /// The directory belongs to another user, or others may write to it.
    DirectoryNotPrivate,
    /// The directory is on a disk. Updates would wait for it.
    NotInMemory,
    /// The file is not a segment, or its process died before it was one.
    NotASegment,
    /// The file was written on a machine with another byte order.
    ByteOrder,
    /// The file has another major version of the format.
    Version {
        /// The major version of the file.
        found: u32,
    },
    /// The file is from before the last boot of the machine, or from another one.
    OtherBoot,
    /// The file belongs to another user, or others may write to it.
    FileNotPrivate,
    /// The file is longer than a reader of untrusted files accepts.
    TooLong,
    /// The group has more processes, or more bytes, than it may read.
    GroupTooLarge,
    /// The segments of this directory are served or merged already, by another process or
    /// by this one.
    InUse,
    /// The directory was removed or replaced after it was locked.
    DirectoryReplaced,
    /// The file that holds the sums of processes that have died is damaged.
    DamagedTotals,
    /// The log was replaced each time that it was read.
    Busy,
}

impl SegmentError {
    pub(super) fn new(path: &Path, kind: SegmentErrorKind) -> Self {
        Self {
            path: path.to_owned(),
            kind,
        }
    }

    pub(super) fn io(path: &Path, error: impl Into<io::Error>) -> Self {
        Self::new(path, SegmentErrorKind::Io(error.into()))
    }

    pub(super) fn directory_not_private(path: &Path) -> Self {
        Self::new(path, SegmentErrorKind::DirectoryNotPrivate)
    }

    pub(super) fn not_in_memory(path: &Path) -> Self {
        Self::new(path, SegmentErrorKind::NotInMemory)
    }

    pub(super) fn not_a_segment(path: &Path) -> Self {
        Self::new(path, SegmentErrorKind::NotASegment)
    }

    /// Returns the file or directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the fault.
    #[must_use]
    pub fn kind(&self) -> &SegmentErrorKind {
        &self.kind
    }
}

impl fmt::Display for SegmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.kind)
    }
}

impl fmt::Debug for SegmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SegmentErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SegmentErrorKind::Io(error) => error.fmt(f),
            SegmentErrorKind::DirectoryNotPrivate => f.write_str(
                "expected a directory of this user's that nobody else can write to: make one with \
                 mode 0700",
            ),
            SegmentErrorKind::NotInMemory => f.write_str(
                "expected a directory in memory (tmpfs), where updates never wait for a disk: use \
                 one in /dev/shm or /run",
            ),
            SegmentErrorKind::NotASegment => f.write_str("the file is not a segment"),
            SegmentErrorKind::ByteOrder => {
                f.write_str("the segment is from a machine with another byte order")
            }
            SegmentErrorKind::Version { found } => write!(
                f,
                "the segment has format version {found}, and this program reads versions 1 and 2: use \
                 a newer one"
            ),
            SegmentErrorKind::OtherBoot => {
                f.write_str("the segment is from before the last boot, or from another machine")
            }
            SegmentErrorKind::FileNotPrivate => {
                f.write_str("expected a file of this user's that nobody else can write to")
            }
            SegmentErrorKind::TooLong => {
                f.write_str("the segment is longer than 256 MiB, which is the most that is read")
            }
            SegmentErrorKind::GroupTooLarge => f.write_str(
                "the group has 4096 processes or 1 GiB of segments already, which is the most that is \
                 read",
            ),
            SegmentErrorKind::InUse => f.write_str(
                "the segments of this directory are served or merged already, by another process or \
                 twice by this one: end that, or use its pages",
            ),
            SegmentErrorKind::DirectoryReplaced => f.write_str(
                "the directory was removed or replaced after it was locked: open it again",
            ),
            SegmentErrorKind::DamagedTotals => f.write_str(
                "the sums of processes that have died are damaged: remove the file to begin again \
                 without them",
            ),
            SegmentErrorKind::Busy => f.write_str(
                "the segment changed too often while it was read: try again in a moment",
            ),
        }
    }
}

impl std::error::Error for SegmentError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            SegmentErrorKind::Io(error) => Some(error),
            _ => None,
        }
    }
}
