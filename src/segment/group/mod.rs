//! A group: one page for the processes whose segments are in a directory.
//!
//! ```text
//! segments of the living ──┐
//! segments of the dead ────┼── sums ── registry
//! totals.accumulator ──────┘     └──── totals.accumulator, then the dead's files go
//! ```
//!
//! - [`member`]: a process, and the series of the group that it adds to.
//! - [`families`]: the sums, made of one [`merged`] family each.
//! - [`accumulator`]: the sums of the dead, in a file.

mod accumulator;
mod families;
mod gauge_rule;
mod member;
mod merged;
mod options;
mod page;

pub use gauge_rule::{GaugeRule, GaugeRuleError};
pub use options::GroupOptions;

use super::error::{SegmentError, SegmentErrorKind};
use super::file::{DirectoryLock, EXTENSION};
use super::reader::SegmentInfo;
use super::segment_file::SegmentFile;
use super::view::{Values, Words};
use crate::Registry;
use accumulator::Accumulator;
use families::MergedFamilies;
use member::{FileId, Member};
use options::MemberFilter;
use page::GroupPage;
use std::collections::BTreeMap;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};

/// The most processes that a group reads at a time.
const MAX_MEMBERS: usize = 4096;
/// The most bytes of all segments together.
const MAX_BYTES: usize = 1 << 30;
/// The most files of which a refresh keeps the fault.
const MAX_FAULTS: usize = 100;

/// The facts about a group at its last refresh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupInfo {
    /// The number of processes that are alive.
    pub alive: usize,
    /// The number of series on the page.
    pub series: usize,
    /// The number of files that could not be read, or were more than may be read.
    pub refused: usize,
    /// The number of segments that are damaged. They count up to the damage.
    pub damaged: usize,
    /// The number of families and series of living processes that are not on the page,
    /// because they would spoil it or make it too long, or because families of one name
    /// differ. [`Group::families_left_out`] names the latter.
    pub left_out: u64,
    /// The number of series of the dead that were lost, because there was no room to
    /// keep them.
    pub lost: u64,
}

/// One page for the processes whose segments are in a directory: counters and
/// histograms are summed, gauges are merged by a [`GaugeRule`].
///
/// The counts of processes that have died are kept in a file of the directory, and their
/// own files are removed. So totals do not fall when a process ends, and files do not
/// pile up. If the process that has the group is killed, at whatever instant, the next
/// one goes on from the same totals. A state of a state set is on if it is on in one process. Where a
/// process that lives removes a series, its part of the sum goes, too: remove a series
/// in all processes or in none.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use stethoscope::{Registry, exposition::Format, segment::{Group, Segment}};
///
/// # let directory = format!("/dev/shm/stethoscope-group-{}", std::process::id());
/// // In each process:
/// let segment = Segment::in_dir(&directory)?;
/// let jobs = Registry::in_segment(&segment).counter("jobs_total", "Jobs.")?;
/// jobs.inc_by(2);
/// # let other = Segment::in_dir(&directory)?;
/// # Registry::in_segment(&other).counter("jobs_total", "Jobs.")?.inc();
///
/// // In the process that is scraped, which may be one of them:
/// let mut group = Group::in_dir(&directory)?;
/// let mut scraper = group.registry().scraper();
/// group.refresh()?;
/// let page = String::from_utf8_lossy(scraper.scrape(Format::Text));
/// assert!(page.contains("\njobs_total 3\n"));
/// # std::fs::remove_dir_all(&directory)?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Group {
    lock: DirectoryLock,
    path: PathBuf,
    /// The process that has made the group. Its forked children only read.
    owner: u32,
    /// Returns true for the processes that belong to the group.
    is_member: Option<MemberFilter>,
    registry: Registry,
    page: GroupPage,
    families: MergedFamilies,
    /// By the name of the file.
    members: BTreeMap<String, Member>,
    accumulator: Accumulator,
    info: GroupInfo,
    files_refused: Vec<SegmentError>,
    files_damaged: Vec<PathBuf>,
}

impl Group {
    /// Opens the group of all processes whose segments are in a directory, which is
    /// made with mode 0700 if it does not exist.
    ///
    /// # Errors
    /// As for [`with_options`](Self::with_options).
    pub fn in_dir(directory: impl AsRef<Path>) -> Result<Self, SegmentError> {
        Self::with_options(directory, GroupOptions::default())
    }

    /// Opens a group.
    ///
    /// # Errors
    /// If the directory is not in memory, belongs to another user, or others may write
    /// to it; if another group of this directory exists, in this process or another
    /// one; or if the file with the sums of the dead cannot be read.
    pub fn with_options(
        directory: impl AsRef<Path>,
        options: GroupOptions,
    ) -> Result<Self, SegmentError> {
        let path = directory.as_ref();
        let lock = DirectoryLock::acquire(path)?;
        let registry = Registry::new();
        // The names are valid, and the registry is new.
        let page = GroupPage::new(&registry)
            .map_err(|error| SegmentError::io(path, std::io::Error::other(error)))?;
        let mut families = MergedFamilies::new(options.rules);
        let accumulator = Accumulator::load(path, &lock, &mut families)?;
        Ok(Self {
            lock,
            path: path.to_owned(),
            owner: std::process::id(),
            is_member: options.is_member,
            registry,
            page,
            families,
            members: BTreeMap::new(),
            accumulator,
            info: GroupInfo::default(),
            files_refused: Vec::new(),
            files_damaged: Vec::new(),
        })
    }

    /// Begins again with the directory that is at the path now, after
    /// [`DirectoryReplaced`](SegmentErrorKind::DirectoryReplaced). The
    /// [registry](Self::registry) and the [page](Self::page) stay the same; sums are those
    /// that the directory has.
    ///
    /// # Errors
    /// As for [`with_options`](Self::with_options). [`refresh`](Self::refresh) fails as
    /// before then.
    pub fn reopen(&mut self) -> Result<(), SegmentError> {
        let lock = DirectoryLock::acquire(&self.path)?;
        // If that fails, the group is still that of the old directory, and does not
        // replace the sums that it could not read.
        let mut families = self.families.without_families();
        let accumulator = Accumulator::load(&self.path, &lock, &mut families)?;
        self.families.unregister(&self.registry);
        self.families = families;
        self.members.clear();
        self.info = GroupInfo::default();
        self.accumulator = accumulator;
        self.lock = lock;
        self.owner = std::process::id();
        Ok(())
    }

    /// Returns the families of the group, with the values of the last
    /// [`refresh`](Self::refresh).
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Returns the page of the group: its families, after `stethoscope_group_processes`,
    /// `stethoscope_group_files_refused`, `stethoscope_group_files_damaged` and
    /// `stethoscope_group_left_out`, as of the last [`refresh`](Self::refresh).
    #[must_use]
    pub fn page(&self) -> &Registry {
        self.page.registry()
    }

    /// Returns the facts of the last refresh.
    #[must_use]
    pub fn info(&self) -> &GroupInfo {
        &self.info
    }

    /// Returns the files that could not be read at the last refresh, with the reasons: 100
    /// of them at most.
    ///
    /// ```
    /// # #[cfg(target_os = "linux")] {
    /// use stethoscope::segment::Group;
    /// # let directory = format!("/dev/shm/stethoscope-refused-{}", std::process::id());
    /// let mut group = Group::in_dir(&directory)?;
    /// std::fs::write(format!("{directory}/a.segment"), "something else")?;
    /// group.refresh()?;
    /// for error in group.files_refused() {
    ///     eprintln!("{error}");
    /// }
    /// assert_eq!(group.files_refused().len(), 1);
    /// # std::fs::remove_dir_all(&directory)?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn files_refused(&self) -> &[SegmentError] {
        &self.files_refused
    }

    /// Returns the files that were damaged at the last refresh: 100 of them at most.
    ///
    /// ```
    /// # #[cfg(target_os = "linux")] {
    /// use stethoscope::segment::Group;
    /// # let directory = format!("/dev/shm/stethoscope-files-{}", std::process::id());
    /// let mut group = Group::in_dir(&directory)?;
    /// group.refresh()?;
    /// assert!(group.files_damaged().is_empty());
    /// # std::fs::remove_dir_all(&directory)?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn files_damaged(&self) -> &[PathBuf] {
        &self.files_damaged
    }

    /// Returns the names of the families that living processes have, and that are not on
    /// the page because an older process has another family of the name.
    pub fn families_left_out(&self) -> impl Iterator<Item = String> + '_ {
        self.families.left_out()
    }

    /// Reads the segments, whose merged values the [registry](Self::registry) then shows.
    /// Takes those of processes that have died into the sums, and removes their files.
    ///
    /// Do not scrape the registry on another thread at the same time: the page might
    /// show some values of this reading, and some of the one before.
    ///
    /// # Errors
    /// If the directory cannot be read, or the sums of the dead cannot be written. In
    /// the second case the page is right, and the files of the dead are still there. If
    /// the directory was removed or replaced: another group may have the new one.
    pub fn refresh(&mut self) -> Result<(), SegmentError> {
        if !self.lock.is_of(&self.path) {
            let kind = SegmentErrorKind::DirectoryReplaced;
            return Err(SegmentError::new(&self.path, kind));
        }
        let may_fold = self.owner == std::process::id();
        self.info = GroupInfo {
            lost: self.info.lost,
            ..GroupInfo::default()
        };
        self.files_refused.clear();
        self.files_damaged.clear();
        self.find_members(may_fold)?;
        self.families.begin();
        let mut members: Vec<(String, Member)> =
            std::mem::take(&mut self.members).into_iter().collect();
        // Of the files that a process has made in a millisecond, the first is without a
        // number.
        members.sort_by_key(|(name, member)| (member.id.created, name.len()));
        let mut has_changed = false;
        let mut values = Values::default();
        for (name, member) in members {
            has_changed |= self.read_member(name, member, &mut values, may_fold);
        }
        if has_changed {
            self.families.remove_unused(&self.registry);
        }
        self.show();
        if may_fold {
            self.accumulator
                .save(&self.path, &self.lock, &self.families)?;
        }
        Ok(())
    }

    /// Reads the segment of a process, which stays a member if it lives. Returns true if
    /// series may have come or gone. `values` is scratch space.
    fn read_member(
        &mut self,
        name: String,
        mut member: Member,
        values: &mut Values,
        may_fold: bool,
    ) -> bool {
        // Asked before the reading: that of a dead process has its last values.
        let is_dead = !member.file.is_locked();
        let before = member.generation;
        if member.view.read(&member.file, values).is_err() {
            let path = &member.file.path;
            self.refuse(SegmentError::new(path, SegmentErrorKind::Busy));
            self.families.forget(&member);
            return true;
        }
        if member.generation != Some(member.view.generation) || !values.are_complete() {
            self.families.map(&mut member, values);
        }
        if member.view.damaged || values.are_cut {
            self.info.damaged += 1;
            if self.files_damaged.len() < MAX_FAULTS {
                self.files_damaged.push(member.file.path.clone());
            }
        }
        self.info.left_out += member.left_out;
        self.families.add(&member, values, is_dead);
        if is_dead && may_fold {
            self.info.lost += self.families.fold(&member, values);
            self.accumulator.add(&member);
            self.families.forget(&member);
            return true;
        }
        let has_changed = before != member.generation || before.is_none();
        self.info.alive += usize::from(!is_dead);
        self.members.insert(name, member);
        has_changed
    }

    /// Opens the segments that have come, and forgets those that are gone.
    fn find_members(&mut self, may_fold: bool) -> Result<(), SegmentError> {
        let found = segments_in(&self.path).map_err(|error| SegmentError::io(&self.path, error))?;
        let is_there = |name: &str, member: &Member| found.get(name) == Some(&member.id.inode);
        let (kept, gone): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.members)
            .into_iter()
            .partition(|(name, member)| is_there(name, member));
        self.members = kept;
        for member in gone.values() {
            self.families.forget(member);
        }
        if !gone.is_empty() {
            self.families.remove_unused(&self.registry);
        }
        let mut bytes: usize = self.members.values().map(|m| m.file.len() * 8).sum();
        for (name, inode) in found {
            if self.members.contains_key(&name) || self.accumulator.includes(&name, inode) {
                continue;
            }
            let Some(member) = self.open_member(&name, may_fold) else {
                continue;
            };
            bytes = bytes.saturating_add(member.file.len() * 8);
            if self.members.len() >= MAX_MEMBERS || bytes > MAX_BYTES {
                let path = &member.file.path;
                self.refuse(SegmentError::new(path, SegmentErrorKind::GroupTooLarge));
                continue;
            }
            self.members.insert(name, member);
        }
        Ok(())
    }

    /// Opens a segment. `None` if it cannot be read, or its process does not belong to the
    /// group.
    fn open_member(&mut self, name: &str, may_fold: bool) -> Option<Member> {
        let path = self.path.join(name);
        let file = match SegmentFile::open_untrusted(&path) {
            Ok(file) => file,
            Err(error) => {
                if !(may_fold && self.lock.remove_unfinished(name)) {
                    self.refuse(error);
                }
                return None;
            }
        };
        let Some(id) = FileId::of(&file, name) else {
            self.refuse(SegmentError::not_a_segment(&path));
            return None;
        };
        if let Some(is_member) = &mut self.is_member {
            let header = file.header().ok()?;
            is_member(&SegmentInfo::of(&header)).then_some(())?;
        }
        Some(Member::new(file, id))
    }

    /// Counts a file that could not be read.
    fn refuse(&mut self, error: SegmentError) {
        self.info.refused += 1;
        if self.files_refused.len() < MAX_FAULTS {
            self.files_refused.push(error);
        }
    }

    /// Shows the merged values.
    fn show(&mut self) {
        let (shown, left_out) = self.families.show(&self.registry.with_utf8_names());
        self.info.series += shown;
        self.info.left_out += left_out;
        self.page.show(&self.info);
    }
}

/// Returns the names and inodes of the segments in a directory.
fn segments_in(directory: &Path) -> std::io::Result<BTreeMap<String, u64>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let is_segment = Path::new(&name).extension().is_some_and(|e| e == EXTENSION);
        if is_segment {
            found.insert(name, entry.ino());
        }
    }
    Ok(found)
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group")
            .field("path", &self.path)
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}
