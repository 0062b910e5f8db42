//! Files of forked children that have died and counted nothing.
//!
//! Each forked child has a file from its first moment: an update of an inherited handle
//! stores a word and checks nothing, so there is no later moment at which the file could
//! be made. Most children never count, for example those that call `exec` at once.
//! Their files are removed when they are dead:
//!
//! ```text
//! child     exits in an orderly way ── removes its own
//! parent    forks for the 8th, 16th, … time, or exits ── removes those of the dead
//! anybody   makes a segment in the directory ── removes those of the dead
//! ```

use super::directory::list;
use super::error::SegmentError;
use super::format::header;
use super::segment_file::SegmentFile;
use super::view::{Values, View, Words};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// The fewest forks between two looks at the directory.
const MIN_FORKS: usize = 8;

/// The most files that are opened in one look, so that it takes milliseconds.
const MAX_OPENED: usize = 1000;

/// Removes from a directory the files of forked children that have died, in whatever
/// way, and have counted, registered and removed nothing since the fork. Returns how
/// many that were.
///
/// A process with a [`Segment`](super::Segment) does so itself for its directory: when it
/// makes the segment, now and then when it forks, and when it exits. Call it to have
/// them removed earlier, for example after a pool of processes has ended.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use stethoscope::segment::{self, Segment};
/// # let directory = format!("/dev/shm/stethoscope-unused-{}", std::process::id());
/// let segment = Segment::in_dir(&directory)?;
/// // Its process is alive, and is no forked child.
/// assert_eq!(segment::remove_unused(&directory)?, 0);
/// assert!(segment.path().exists());
/// # std::fs::remove_dir_all(&directory)?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If the directory cannot be read.
pub fn remove_unused(directory: impl AsRef<Path>) -> Result<usize, SegmentError> {
    UnusedFiles::default().remove(directory.as_ref())
}

/// A search for unused files, which remembers the files that need no further look.
#[derive(Default)]
pub(super) struct UnusedFiles {
    /// The forks since the last look.
    forks: usize,
    has_forked: bool,
    /// The files that need no further look: of processes that are no forked children,
    /// or have counted.
    settled: HashSet<PathBuf>,
}

impl UnusedFiles {
    /// Notes a fork. Returns true if it is time to look at the directory.
    pub(super) fn note_fork(&mut self) -> bool {
        self.forks += 1;
        self.has_forked = true;
        // Listing takes time for each file, so many files are listed less often.
        self.forks >= MIN_FORKS.max(self.settled.len() / 4)
    }

    /// Returns true if this process has ever forked: a child that was alive at the last
    /// look may have died.
    pub(super) fn has_forked(&self) -> bool {
        self.has_forked
    }

    /// Looks at the directory. Returns how many files were removed.
    pub(super) fn remove(&mut self, directory: &Path) -> Result<usize, SegmentError> {
        self.forks = 0;
        let paths = list(directory)?;
        let known = std::mem::take(&mut self.settled);
        let (mut removed, mut opened) = (0, 0);
        for path in paths {
            if known.contains(&path) {
                self.settled.insert(path);
                continue;
            }
            opened += 1;
            if opened > MAX_OPENED {
                break;
            }
            match Use::of(&path) {
                Use::Open => {}
                Use::Settled => {
                    self.settled.insert(path);
                }
                Use::None => removed += usize::from(std::fs::remove_file(path).is_ok()),
            }
        }
        Ok(removed)
    }
}

/// The use that a process has made of its segment.
enum Use {
    /// None, and the process is dead.
    None,
    /// Not known yet: the process lives, or the file cannot be read now.
    Open,
    /// Some, or the process is not a forked child.
    Settled,
}

impl Use {
    fn of(path: &Path) -> Self {
        // A file that has no header yet may get one.
        let Ok(file) = SegmentFile::open_untrusted(path) else {
            return Self::Open;
        };
        if !is_untouched(&file) {
            return Self::Settled;
        }
        // First: the values of the dead do not change.
        if file.state().is_alive() {
            return Self::Open;
        }
        match is_unused(&file) {
            true => Self::None,
            false => Self::Settled,
        }
    }
}

/// Returns true if a segment is that of a forked child which has registered, removed and
/// beaten nothing.
pub(super) fn is_untouched(file: &SegmentFile) -> bool {
    file.load(header::UNTOUCHED) == Some(1)
}

/// Returns true if a segment is that of a forked child which has counted nothing so far.
pub(super) fn is_unused(file: &SegmentFile) -> bool {
    let (mut view, mut values) = (View::default(), Values::default());
    is_untouched(file)
        && view.read(file, &mut values).is_ok()
        && !view.damaged
        && are_zero(&view, &values)
        // Something may have been registered meanwhile.
        && is_untouched(file)
}

/// Returns true if all values are those that a forked child begins with.
pub(super) fn are_zero(view: &View, values: &Values) -> bool {
    view.families.values().all(|family| {
        let slabs = family.slabs(values);
        let constant = family.record.encoding.constant_word();
        family.series.keys().all(|slot| {
            // Words that were not copied may be anything.
            family.words(*slot, &slabs).is_some_and(|words| {
                let mut words = words.iter().enumerate();
                words.all(|(index, word)| *word == 0 || Some(index) == constant)
            })
        })
    })
}
