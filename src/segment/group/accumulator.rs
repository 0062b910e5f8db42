//! The accumulator: the file with the sums of the dead.
//!
//! It is a segment that holds the sums, and the identity of each file that these include
//! and that may still exist. It is replaced by renaming, and the files are removed
//! afterwards. So at any instant a file either is in the accumulator's list, or its
//! numbers are not in the accumulator: a program that was killed here counts nothing
//! twice and loses nothing when it is started again.

use super::families::MergedFamilies;
use super::member::{FileId, Member};
use crate::MetricType;
use crate::cell::Number;
use crate::family::{Descriptor, Shape};
use crate::segment::builder::{SavedSeries, SegmentBuilder};
use crate::segment::error::{SegmentError, SegmentErrorKind};
use crate::segment::file::DirectoryLock;
use crate::segment::format::{Encoding, FamilyRecord};
use crate::segment::segment_file::SegmentFile;
use crate::segment::view::{Values, View};
use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::path::Path;

/// The name of the file.
const ACCUMULATOR: &str = "totals.accumulator";
/// The file that becomes the accumulator.
const NEW_ACCUMULATOR: &str = "totals.accumulator.new";

/// The accumulator of a directory.
#[derive(Default)]
pub(super) struct Accumulator {
    /// The files that are in the sums of the dead, and may still exist.
    folded: Vec<FileId>,
    /// True if the file lacks some of what is kept.
    is_outdated: bool,
}

impl Accumulator {
    /// Loads the accumulator of the directory at `path`, if there is one: its sums into
    /// `families`.
    pub(super) fn load(
        path: &Path,
        lock: &DirectoryLock,
        families: &mut MergedFamilies,
    ) -> Result<Self, SegmentError> {
        let mut accumulator = Self::default();
        let file = path.join(ACCUMULATOR);
        if file.exists() {
            accumulator.load_from(&file, families)?;
            accumulator.remove_folded(path, lock);
        }
        // So that there is a count before the first death.
        families.count_folded(0);
        Ok(accumulator)
    }

    fn load_from(
        &mut self,
        path: &Path,
        families: &mut MergedFamilies,
    ) -> Result<(), SegmentError> {
        let damaged = || SegmentError::new(path, SegmentErrorKind::DamagedTotals);
        let file = SegmentFile::open_untrusted(path)?;
        let mut view = View::default();
        let mut values = Values::default();
        view.read(&file, &mut values).map_err(|_| damaged())?;
        if view.damaged {
            return Err(damaged());
        }
        for family in view.families.values() {
            if is_list_of_files(&family.record) {
                let files = family.series.values();
                let files = files.map(|series| FileId::from_labels(&series.labels));
                self.folded = files.collect::<Option<_>>().ok_or_else(damaged)?;
            } else {
                families.load(family, &values).ok_or_else(damaged)?;
            }
        }
        Ok(())
    }

    /// Returns true if a file is in the sums.
    pub(super) fn includes(&self, name: &str, inode: u64) -> bool {
        { self.folded.iter() }.any(|file| file.name == name && file.inode == inode)
    }

    /// Adds the file of a process whose values were taken into the sums.
    pub(super) fn add(&mut self, member: &Member) {
        // Its header is that of a forked child's parent for a moment.
        let id = FileId::of(&member.file, &member.id.name);
        self.folded.push(id.unwrap_or_else(|| member.id.clone()));
        self.is_outdated = true;
    }

    /// Replaces the file if it lacks some of what is kept, then removes the files that it
    /// includes.
    pub(super) fn save(
        &mut self,
        path: &Path,
        lock: &DirectoryLock,
        families: &MergedFamilies,
    ) -> Result<(), SegmentError> {
        if !self.is_outdated {
            return Ok(());
        }
        // Forgets the files that an earlier save has removed.
        self.folded.retain(|file| path.join(&file.name).exists());
        let mut segment = SegmentBuilder::new();
        families.save(&mut segment);
        let files: Vec<[String; 3]> = self.folded.iter().map(FileId::labels).collect();
        let files: Vec<_> = files
            .iter()
            .map(|labels| SavedSeries {
                created: 0.0,
                labels: labels.iter().map(String::as_str).collect(),
                words: &[],
            })
            .collect();
        segment.add(&list_of_files(), &files);
        replace(lock, &segment.finish())
            .map_err(|error| SegmentError::io(&path.join(ACCUMULATOR), error))?;
        self.is_outdated = false;
        self.remove_folded(path, lock);
        Ok(())
    }

    /// Removes the files that the accumulator includes. One that cannot be removed
    /// stays in the list.
    fn remove_folded(&self, path: &Path, lock: &DirectoryLock) {
        for folded in &self.folded {
            let path = path.join(&folded.name);
            let is_it = SegmentFile::open_untrusted(&path)
                .ok()
                .and_then(|file| FileId::of(&file, &folded.name))
                .is_some_and(|id| id == *folded);
            if is_it {
                let _ = fs::unlinkat(lock.directory(), &*folded.name, AtFlags::empty());
            }
        }
    }
}

/// Replaces the file in a directory, all of it or nothing.
fn replace(lock: &DirectoryLock, words: &[u64]) -> Result<(), Errno> {
    let directory = lock.directory();
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY;
    let mode = Mode::RUSR | Mode::WUSR;
    // It may be left over from a process that was killed while it wrote.
    let _ = fs::unlinkat(directory, NEW_ACCUMULATOR, AtFlags::empty());
    let fd = fs::openat(directory, NEW_ACCUMULATOR, flags | OFlags::CLOEXEC, mode)?;
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        match rustix::io::write(&fd, rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(error) => {
                let _ = fs::unlinkat(directory, NEW_ACCUMULATOR, AtFlags::empty());
                return Err(error);
            }
        }
    }
    fs::renameat(directory, NEW_ACCUMULATOR, directory, ACCUMULATOR)
}

/// Returns the description of the accumulator's list of files. No program can register
/// a family without a name.
fn list_of_files() -> FamilyRecord {
    FamilyRecord {
        encoding: Encoding::One,
        parts: 1,
        descriptor: Descriptor {
            name: String::new(),
            help: String::new(),
            unit: None,
            metric_type: MetricType::Info,
            shape: Shape::Single(Number::U64),
            label_names: ["file", "inode", "created"].map(str::to_owned).to_vec(),
            const_labels: Vec::new(),
            created: false,
            mixed: false,
            permanent: false,
        },
    }
}

fn is_list_of_files(record: &FamilyRecord) -> bool {
    record.descriptor.name.is_empty() && record.encoding == Encoding::One
}
