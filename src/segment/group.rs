//! A group: one page for the processes whose segments are in a directory.
//!
//! ```text
//! segments of the living ──┐
//! segments of the dead ────┼── sums ── registry
//! totals.accumulator ──────┘     └──── totals.accumulator, then the dead's files go
//! ```
//!
//! The accumulator is a segment that holds the sums of the dead, and the identity of
//! each file that these include and that may still exist. It is replaced by renaming,
//! and the files are removed afterwards. So at any instant a file either is in the
//! accumulator's list, or its numbers are not in the accumulator: a program that was
//! killed here counts nothing twice and loses nothing when it is started again.

use super::builder::{SavedSeries, SegmentBuilder};
use super::error::{SegmentError, SegmentErrorKind};
use super::file::{DirectoryLock, EXTENSION};
use super::format::{Encoding, FamilyRecord, header};
use super::merged::{MergedFamily, Rule};
use super::mirror::MAX_PAGE;
use super::reader::SegmentInfo;
use super::segment_file::SegmentFile;
use super::view::{RecordedFamily, Values, View, Words};
use crate::cell::{Gauge, Number};
use crate::family::{Descriptor, Shape};
use crate::{Handle, MetricType, RegisterError, Registry};
use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};

/// The file with the sums of the dead.
const ACCUMULATOR: &str = "totals.accumulator";
/// The file that becomes the accumulator.
const NEW_ACCUMULATOR: &str = "totals.accumulator.new";

/// The most processes that a group reads at a time.
const MAX_MEMBERS: usize = 4096;
/// The most bytes of all segments together.
const MAX_BYTES: usize = 1 << 30;
/// The most files of which a refresh keeps the fault.
const MAX_FAULTS: usize = 100;
/// The longest page of the sums of the dead, in bytes, by a generous estimate: half of
/// what the page may have, so that the living have the rest.
const MAX_KEPT: usize = MAX_PAGE / 2;

/// The rule by which the gauges of several processes become one.
///
/// Gauges of processes that have died are not shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GaugeRule {
    /// A series for each process, told apart by the label `process`: the name of the
    /// segment's file, without extension.
    #[default]
    PerProcess,
    /// The sum.
    Sum,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The value of the process that has begun last.
    Last,
}

type Filter = Box<dyn FnMut(&SegmentInfo) -> bool + Send>;

/// Options of a [`Group`].
///
/// ```
/// use stethoscope::segment::{GaugeRule, GroupOptions};
/// let options = GroupOptions::default()
///     .gauges(GaugeRule::Sum)
///     .gauge("queue_age_seconds", GaugeRule::Max);
/// ```
#[derive(Default)]
#[non_exhaustive]
pub struct GroupOptions {
    gauges: GaugeRule,
    by_name: HashMap<String, GaugeRule>,
    is_member: Option<Filter>,
}

impl GroupOptions {
    /// Sets the rule for gauges.
    #[must_use]
    pub fn gauges(mut self, rule: GaugeRule) -> Self {
        self.gauges = rule;
        self
    }

    /// Sets the rule for the gauge of this name.
    #[must_use]
    pub fn gauge(mut self, name: impl Into<String>, rule: GaugeRule) -> Self {
        self.by_name.insert(name.into(), rule);
        self
    }

    /// Sets which processes belong to the group. All do unless set. It is asked at
    /// each refresh about the processes that it has refused.
    #[must_use]
    pub fn members(mut self, is_member: impl FnMut(&SegmentInfo) -> bool + Send + 'static) -> Self {
        self.is_member = Some(Box::new(is_member));
        self
    }

    fn rule(&self, name: &str) -> GaugeRule {
        self.by_name.get(name).copied().unwrap_or(self.gauges)
    }
}

impl std::fmt::Debug for GroupOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupOptions")
            .field("gauges", &self.gauges)
            .field("by_name", &self.by_name)
            .finish_non_exhaustive()
    }
}

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
/// What processes that have died had counted is kept in a file of the directory, and
/// their own files are removed. So totals never fall, and files do not pile up. If the
/// process that does so is killed, at whatever instant, the next one goes on from the
/// same totals. A state of a state set is on if it is on in one process. Where a
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
    options: GroupOptions,
    registry: Registry,
    page: GroupPage,
    families: BTreeMap<u64, MergedFamily>,
    /// A family's description, without the help, to its number.
    by_description: HashMap<Vec<u64>, u64>,
    next_family: u64,
    /// By the name of the file.
    members: BTreeMap<String, Member>,
    /// The files that are in the sums of the dead, and may still exist.
    folded: Vec<FileId>,
    /// True if the accumulator has what is kept.
    is_saved: bool,
    /// The bytes that the page may have.
    page_len: usize,
    /// The bytes that the kept part of it may have.
    kept_len: usize,
    info: GroupInfo,
    files_refused: Vec<SegmentError>,
    files_damaged: Vec<PathBuf>,
}

/// The families about the group, before its own.
struct GroupPage {
    registry: Registry,
    alive: Handle<Gauge>,
    refused: Handle<Gauge>,
    damaged: Handle<Gauge>,
    left_out: Handle<Gauge>,
}

impl GroupPage {
    fn new(group: &Registry) -> Result<Self, RegisterError> {
        let registry = Registry::new();
        let page = Self {
            alive: registry.gauge(
                "stethoscope_group_processes",
                "Processes of the group that are alive.",
            )?,
            refused: registry.gauge(
                "stethoscope_group_files_refused",
                "Files in the directory of the group that could not be read.",
            )?,
            damaged: registry.gauge(
                "stethoscope_group_files_damaged",
                "Segments of the group that count up to a damage only.",
            )?,
            left_out: registry.gauge(
                "stethoscope_group_left_out",
                "Families and series of the group that are not on the page.",
            )?,
            registry,
        };
        page.registry.include(group);
        Ok(page)
    }

    fn show(&self, info: &GroupInfo) {
        let set = |gauge: &Handle<Gauge>, value: u64| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&self.alive, info.alive as u64);
        set(&self.refused, info.refused as u64);
        set(&self.damaged, info.damaged as u64);
        set(&self.left_out, info.left_out.saturating_add(info.lost));
    }
}

/// A process of a group.
struct Member {
    file: SegmentFile,
    id: FileId,
    view: View,
    /// The generation of the view that `families` is of, if it has all of its series.
    generation: Option<u64>,
    families: Vec<MemberFamily>,
    /// The families and series that are not on the page.
    left_out: u64,
}

/// The series of a member's family.
struct MemberFamily {
    /// The number in the member's segment.
    id: u64,
    /// The number in the group.
    merged: u64,
    /// Slot in the segment, and index in the group's family.
    series: Vec<(usize, usize)>,
}

/// The identity of a file. A name may be used again, by another process.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FileId {
    name: String,
    inode: u64,
    created: u64,
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
        let mut group = Self {
            lock,
            path: path.to_owned(),
            owner: std::process::id(),
            options,
            // The names are valid, and the registry is new.
            page: GroupPage::new(&registry)
                .map_err(|error| SegmentError::io(path, std::io::Error::other(error)))?,
            registry,
            families: BTreeMap::new(),
            by_description: HashMap::new(),
            next_family: 0,
            members: BTreeMap::new(),
            folded: Vec::new(),
            is_saved: true,
            page_len: 0,
            kept_len: 0,
            info: GroupInfo::default(),
            files_refused: Vec::new(),
            files_damaged: Vec::new(),
        };
        group.load()?;
        Ok(group)
    }

    /// Begins again with the directory that is at the path now, after
    /// [`DirectoryReplaced`](SegmentErrorKind::DirectoryReplaced). The
    /// [registry](Self::registry) and the [page](Self::page) stay the same; sums are those
    /// that the directory has.
    ///
    /// # Errors
    /// As for [`with_options`](Self::with_options).
    pub fn reopen(&mut self) -> Result<(), SegmentError> {
        self.lock = DirectoryLock::acquire(&self.path)?;
        for family in self.families.values_mut() {
            family.unregister(&self.registry);
        }
        self.families.clear();
        self.by_description.clear();
        self.members.clear();
        self.folded.clear();
        (self.page_len, self.kept_len, self.is_saved) = (0, 0, true);
        self.info = GroupInfo::default();
        self.load()
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
        &self.page.registry
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

    /// Counts a file that could not be read.
    fn refuse(&mut self, error: SegmentError) {
        self.info.refused += 1;
        if self.files_refused.len() < MAX_FAULTS {
            self.files_refused.push(error);
        }
    }

    /// Returns the names of the families that living processes have, and that are not on
    /// the page because an older process has another family of the name.
    pub fn families_left_out(&self) -> impl Iterator<Item = String> + '_ {
        let families = self.families.values();
        families
            .filter(|family| family.users > 0 && !family.is_registered())
            .map(MergedFamily::name)
    }

    /// Reads the segments: what the [registry](Self::registry) shows from now on. Takes
    /// those of processes that have died into the sums, and removes their files.
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
        for family in self.families.values_mut() {
            family.begin();
        }
        let mut members: Vec<(String, Member)> =
            std::mem::take(&mut self.members).into_iter().collect();
        // Of the files that a process has made in a millisecond, the first is without a
        // number.
        members.sort_by_key(|(name, member)| (member.id.created, name.len()));
        let mut has_changed = false;
        let mut values = Values::default();
        for (name, mut member) in members {
            // Before the reading, which is then the last one.
            let is_dead = !member.file.is_locked();
            let before = member.generation;
            if member.view.read(&member.file, &mut values).is_err() {
                let path = &member.file.path;
                self.refuse(SegmentError::new(path, SegmentErrorKind::Busy));
                self.forget(&member);
                has_changed = true;
                continue;
            }
            if member.generation != Some(member.view.generation) || !values.are_complete() {
                self.map(&mut member, &values);
            }
            has_changed |= before != member.generation || before.is_none();
            if member.view.damaged || values.are_cut {
                self.info.damaged += 1;
                if self.files_damaged.len() < MAX_FAULTS {
                    self.files_damaged.push(member.file.path.clone());
                }
            }
            self.info.left_out += member.left_out;
            self.add(&member, &values, is_dead);
            if is_dead && may_fold {
                self.fold(&member, &values);
                self.forget(&member);
                has_changed = true;
            } else {
                self.info.alive += usize::from(!is_dead);
                self.members.insert(name, member);
            }
        }
        if has_changed {
            self.remove_unused();
        }
        self.show();
        if may_fold && !self.is_saved {
            self.save()?;
        }
        Ok(())
    }

    /// Opens the segments that have come, and forgets those that are gone.
    fn find_members(&mut self, may_fold: bool) -> Result<(), SegmentError> {
        let error = |error: std::io::Error| SegmentError::io(&self.path, error);
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        for entry in std::fs::read_dir(&self.path).map_err(error)? {
            let entry = entry.map_err(error)?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let is_segment = Path::new(&name).extension().is_some_and(|e| e == EXTENSION);
            if is_segment {
                found.insert(name, entry.ino());
            }
        }
        let is_there = |name: &str, member: &Member| found.get(name) == Some(&member.id.inode);
        let (kept, gone): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.members)
            .into_iter()
            .partition(|(name, member)| is_there(name, member));
        self.members = kept;
        for member in gone.values() {
            self.forget(member);
        }
        if !gone.is_empty() {
            self.remove_unused();
        }
        let mut bytes: usize = self.members.values().map(|m| m.file.len() * 8).sum();
        for (name, inode) in found {
            let is_folded = |file: &FileId| file.name == name && file.inode == inode;
            if self.members.contains_key(&name) || self.folded.iter().any(is_folded) {
                continue;
            }
            let path = self.path.join(&name);
            let file = match SegmentFile::open_untrusted(&path) {
                Ok(file) => file,
                Err(error) => {
                    if !(may_fold && self.lock.remove_unfinished(&name)) {
                        self.refuse(error);
                    }
                    continue;
                }
            };
            let Some(id) = FileId::of(&file, &name) else {
                self.refuse(SegmentError::not_a_segment(&path));
                continue;
            };
            if let Some(is_member) = &mut self.options.is_member {
                let info = file.header().map(|header| SegmentInfo::of(&header));
                if !info.is_ok_and(|info| is_member(&info)) {
                    continue;
                }
            }
            bytes = bytes.saturating_add(file.len() * 8);
            if self.members.len() >= MAX_MEMBERS || bytes > MAX_BYTES {
                self.refuse(SegmentError::new(&path, SegmentErrorKind::GroupTooLarge));
                continue;
            }
            let member = Member {
                file,
                id,
                view: View::default(),
                generation: None,
                families: Vec::new(),
                left_out: 0,
            };
            self.members.insert(name, member);
        }
        Ok(())
    }

    /// Finds the merged families and series of a member.
    fn map(&mut self, member: &mut Member, values: &Values) {
        let mut families = Vec::new();
        member.left_out = 0;
        let view = &member.view;
        for (&id, from) in &view.families {
            let Some(merged) = self.family(&from.record) else {
                member.left_out += 1;
                continue;
            };
            let Some(family) = self.families.get_mut(&merged) else {
                continue;
            };
            family.users += 1;
            let mut series = Vec::new();
            // In the order in which the process has made them.
            let mut sorted: Vec<_> = from.series.iter().collect();
            sorted.sort_by_key(|(_, series)| series.ordinal);
            for (&slot, of) in sorted {
                if !values.has(id, slot, of) {
                    continue;
                }
                let labels = family.labels_of(member.id.stem(), &of.labels);
                let index = family.find(&labels).or_else(|| {
                    let len = family.series_estimate(&labels);
                    let page_len = self.page_len.saturating_add(len);
                    (page_len <= MAX_PAGE).then(|| {
                        self.page_len = page_len;
                        family.insert(labels, of.created)
                    })
                });
                match index {
                    Some(index) => {
                        family.acquire(index);
                        series.push((slot, index));
                    }
                    None => member.left_out += 1,
                }
            }
            families.push(MemberFamily { id, merged, series });
        }
        let old = std::mem::replace(&mut member.families, families);
        self.release(&old);
        member.generation = values.are_complete().then_some(member.view.generation);
    }

    /// Finds or adds the family of this description. `None` if it is not valid.
    fn family(&mut self, record: &FamilyRecord) -> Option<u64> {
        let description = description(record)?;
        if let Some(&known) = self.by_description.get(&description) {
            return Some(known);
        }
        let family = MergedFamily::new(record, |name| self.options.rule(name))?;
        let page_len = self.page_len.saturating_add(family.metadata_estimate());
        if page_len > MAX_PAGE {
            return None;
        }
        self.page_len = page_len;
        let number = self.next_family;
        self.next_family += 1;
        self.by_description.insert(description, number);
        self.families.insert(number, family);
        Some(number)
    }

    /// Takes the values of a member into the merged series.
    fn add(&mut self, member: &Member, values: &Values, is_dead: bool) {
        for_each_series(member, values, |merged, index, words| {
            if let Some(family) = self.families.get_mut(&merged) {
                family.add(index, words, is_dead);
            }
        });
    }

    /// Takes the values of a process that has died into the sums that are kept.
    fn fold(&mut self, member: &Member, values: &Values) {
        for_each_series(member, values, |merged, index, words| {
            let Some(family) = self.families.get_mut(&merged) else {
                return;
            };
            if family.rule != Rule::Total {
                return;
            }
            let len = family.keep_estimate(index);
            let kept_len = self.kept_len.saturating_add(len);
            if kept_len > MAX_KEPT {
                self.info.lost += 1;
                return;
            }
            self.kept_len = kept_len;
            family.keep(index, words);
        });
        self.info.lost += member.left_out;
        self.count_folded(1);
        // Its header is that of a forked child's parent for a moment.
        let id = FileId::of(&member.file, &member.id.name);
        self.folded.push(id.unwrap_or_else(|| member.id.clone()));
        self.is_saved = false;
    }

    /// Counts processes that were taken into the sums.
    fn count_folded(&mut self, processes: u64) {
        let record = FamilyRecord {
            encoding: Encoding::U64,
            parts: 1,
            descriptor: Descriptor {
                name: "stethoscope_group_folded".to_owned(),
                help: "Processes that have ended, and whose counts are in the totals.".to_owned(),
                unit: None,
                metric_type: MetricType::Counter,
                shape: Shape::Single(Number::U64),
                label_names: Vec::new(),
                const_labels: Vec::new(),
                created: false,
                mixed: false,
                permanent: false,
            },
        };
        let number = self.family(&record);
        if let Some(family) = number.and_then(|number| self.families.get_mut(&number)) {
            let index = family
                .find(&[])
                .unwrap_or_else(|| family.insert(Vec::new(), 0.0));
            family.keep(index, &[processes]);
            family.add(index, &[processes], true);
        }
    }

    /// Counts that a member no longer has its families and series.
    fn forget(&mut self, member: &Member) {
        self.release(&member.families);
    }

    fn release(&mut self, families: &[MemberFamily]) {
        for of in families {
            if let Some(family) = self.families.get_mut(&of.merged) {
                family.users -= 1;
                for (_, index) in &of.series {
                    family.release(*index);
                }
            }
        }
    }

    /// Removes the families and series that nobody has any more.
    fn remove_unused(&mut self) {
        for family in self.families.values_mut() {
            self.page_len -= family.remove_unused();
        }
        let Self {
            families,
            registry,
            page_len,
            ..
        } = self;
        families.retain(|_, family| {
            let is_unused = family.is_unused();
            if is_unused {
                *page_len -= family.metadata_estimate();
                family.unregister(registry);
            }
            !is_unused
        });
        let families = &self.families;
        self.by_description
            .retain(|_, number| families.contains_key(number));
    }

    /// Registers the families of living processes. Where a family that only the dead had
    /// is in the way, it makes room: a new version of a program has other labels, or
    /// buckets. Its totals are kept, for when the old version comes back.
    fn register_living(&mut self, registry: &Registry) {
        let (mut living, dead): (Vec<_>, Vec<_>) = self
            .families
            .values_mut()
            .partition(|family| family.users > 0);
        living.retain_mut(|family| !family.register(registry));
        if living.is_empty() {
            return;
        }
        for family in dead {
            if family.is_registered() && living.iter().any(|other| other.conflicts_with(family)) {
                family.unregister(registry);
            }
        }
        for family in living {
            family.register(registry);
        }
    }

    /// Shows the merged values.
    fn show(&mut self) {
        let registry = self.registry.with_utf8_names();
        self.register_living(&registry);
        for family in self.families.values_mut() {
            if !family.register(&registry) {
                self.info.left_out += u64::from(family.users > 0);
                continue;
            }
            let (shown, left_out) = family.show();
            self.info.series += shown;
            self.info.left_out += left_out;
        }
        self.page.show(&self.info);
    }
}

/// Calls `each` with the merged family, the index and the words of each series of a
/// member that was read.
fn for_each_series(member: &Member, values: &Values, mut each: impl FnMut(u64, usize, &[u64])) {
    for of in &member.families {
        let Some(from) = member.view.families.get(&of.id) else {
            continue;
        };
        let slabs = from.slabs(values);
        for &(slot, index) in &of.series {
            if let Some(words) = from.words(slot, &slabs) {
                each(of.merged, index, words);
            }
        }
    }
}

/// Returns the words of a description by which families are the same: all but the help
/// and the number of parts.
fn description(record: &FamilyRecord) -> Option<Vec<u64>> {
    let mut record = record.clone();
    record.parts = 1;
    record.descriptor.help = String::new();
    record.encode(0)
}

/// # The sums of the dead
impl Group {
    /// Loads the accumulator, if there is one.
    fn load(&mut self) -> Result<(), SegmentError> {
        let path = self.path.join(ACCUMULATOR);
        if path.exists() {
            self.load_from(&path)?;
        }
        // So that there is a count before the first death.
        self.count_folded(0);
        Ok(())
    }

    /// Loads the accumulator at `path`.
    fn load_from(&mut self, path: &Path) -> Result<(), SegmentError> {
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
                self.load_family(family, &values).ok_or_else(damaged)?;
            }
        }
        self.remove_folded();
        Ok(())
    }

    fn load_family(&mut self, from: &RecordedFamily, values: &Values) -> Option<()> {
        let number = self.family(&from.record)?;
        let family = self.families.get_mut(&number)?;
        (family.rule == Rule::Total).then_some(())?;
        let slabs = from.slabs(values);
        for (&slot, series) in &from.series {
            let len = family.series_estimate(&series.labels);
            let is_new = family.find(&series.labels).is_none();
            (is_new && self.kept_len.saturating_add(len) <= MAX_KEPT).then_some(())?;
            let index = family.insert(series.labels.clone(), series.created);
            family.keep(index, from.words(slot, &slabs)?);
            self.page_len += len;
            self.kept_len += len;
        }
        Some(())
    }

    /// Replaces the accumulator, then removes the files that it includes.
    fn save(&mut self) -> Result<(), SegmentError> {
        // Those that an earlier one has removed.
        let path = &self.path;
        self.folded.retain(|file| path.join(&file.name).exists());
        let mut segment = SegmentBuilder::new();
        for family in self.families.values().filter(|f| f.rule == Rule::Total) {
            family.save(&mut segment);
        }
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
        self.replace(&segment.finish())
            .map_err(|error| SegmentError::io(&self.path.join(ACCUMULATOR), error))?;
        self.is_saved = true;
        self.remove_folded();
        Ok(())
    }

    /// Replaces the accumulator, all of it or nothing.
    fn replace(&self, words: &[u64]) -> Result<(), Errno> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY;
        let mode = Mode::RUSR | Mode::WUSR;
        // One that was begun before this process was started.
        let _ = fs::unlinkat(self.lock.directory(), NEW_ACCUMULATOR, AtFlags::empty());
        let fd = fs::openat(
            self.lock.directory(),
            NEW_ACCUMULATOR,
            flags | OFlags::CLOEXEC,
            mode,
        )?;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match rustix::io::write(&fd, rest) {
                Ok(written) => rest = &rest[written..],
                Err(Errno::INTR) => {}
                Err(error) => {
                    let _ = fs::unlinkat(self.lock.directory(), NEW_ACCUMULATOR, AtFlags::empty());
                    return Err(error);
                }
            }
        }
        fs::renameat(
            self.lock.directory(),
            NEW_ACCUMULATOR,
            self.lock.directory(),
            ACCUMULATOR,
        )
    }

    /// Removes the files that the accumulator includes. One that cannot be removed
    /// stays in the list.
    fn remove_folded(&self) {
        for folded in &self.folded {
            let path = self.path.join(&folded.name);
            let is_it = SegmentFile::open_untrusted(&path)
                .ok()
                .and_then(|file| FileId::of(&file, &folded.name))
                .is_some_and(|id| id == *folded);
            if is_it {
                let _ = fs::unlinkat(self.lock.directory(), &*folded.name, AtFlags::empty());
            }
        }
    }
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

impl FileId {
    fn of(file: &SegmentFile, name: &str) -> Option<Self> {
        Some(Self {
            name: name.to_owned(),
            inode: file.stat().ok()?.st_ino,
            created: file.header().ok()?[header::CREATED],
        })
    }

    fn labels(&self) -> [String; 3] {
        [
            self.name.clone(),
            self.inode.to_string(),
            self.created.to_string(),
        ]
    }

    /// Reads what `labels` has made. `None` for the name of a file elsewhere.
    fn from_labels(labels: &[String]) -> Option<Self> {
        let [name, inode, created] = labels else {
            return None;
        };
        let is_name = !name.as_bytes().contains(&b'/');
        is_name.then_some(())?;
        Some(Self {
            name: name.clone(),
            inode: inode.parse().ok()?,
            created: created.parse().ok()?,
        })
    }

    /// Returns the name without extension.
    fn stem(&self) -> &str {
        self.name.strip_suffix(".segment").unwrap_or(&self.name)
    }
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group")
            .field("path", &self.path)
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}
