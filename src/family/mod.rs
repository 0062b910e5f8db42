//! Families: the series of a metric, by their label values.
//!
//! ```text
//! family.with(["GET", "200"])      look-up: no lock, no allocation
//! family.update(["GET", "200"], …)
//!     └── Table ── Arc<Series> ── cell     if the series exists
//!           └── mutex ── Members           to add or remove a series
//!                   └── SeriesView         the series as a scrape sees them
//! ```
//!
//! A [`Handle`] keeps its cell alive whatever happens to the family. A removed
//! series is no longer on the page. If it is made again, it is a new series with
//! a new cell; handles to the old cell remain usable, but their updates are not
//! shown.

mod descriptor;
mod error;
mod existing;
mod label_set;
mod lazy;
mod metric;
mod mixed;
#[cfg(all(loom, test))]
mod models;
mod series;
mod stale;
mod storage;
mod table;
pub mod typed;
mod view;

pub(crate) use descriptor::ends_in_unit;
pub use descriptor::{Descriptor, Shape};
pub use error::SeriesError;
pub use existing::ExistingCell;
pub use label_set::LabelSet;
pub use lazy::LazyHandle;
pub use metric::Metric;
pub use mixed::MixedFamily;
pub use series::{Handle, SeriesLabels};
#[cfg(feature = "metrics")]
pub(crate) use table::{Entry, Hashed};
pub(crate) use table::{Readers, Table};
pub use typed::TypedFamily;
pub(crate) use view::{Change, Renamed, SeriesView, Source};

use crate::cell::Counter;
use crate::label::{LabelValues, LookupKey};
use crate::sync::{Arc as SyncArc, AtomicBool, AtomicU64, Ordering};
use series::Series;
use stale::{Expiry, Reading};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use storage::FamilyStorage;
use table::{EntryGuard, TableWriter};

/// The state that the families of a registry share.
pub(crate) struct Shared {
    /// Changes whenever a page may have other lines than before.
    pub(crate) generation: AtomicU64,
    pub(crate) readers: SyncArc<Readers>,
    /// The segment that the cells of new families are in.
    #[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
    pub(crate) segment: std::sync::OnceLock<crate::segment::Segment>,
}

/// The options of a family that are not part of its description.
pub(crate) struct Policy {
    /// The number of series that the family may have.
    pub(crate) max_series: usize,
    /// The label value of the series that stands for those beyond the limit.
    pub(crate) overflow: Option<String>,
    /// The age at which a scrape removes a series that has not changed.
    pub(crate) expire_after: Option<Duration>,
    /// Counts the series that the limit refused.
    pub(crate) refused: Option<Handle<Counter>>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_series: usize::MAX,
            overflow: None,
            expire_after: None,
            refused: None,
        }
    }
}

/// The state of a family. The registry holds one reference, each [`Family`]
/// another.
pub(crate) struct Inner<C: Metric> {
    descriptor: Descriptor,
    options: C::Options,
    /// The seed of the hashes, different in each family.
    seed: u64,
    table: Table<Series<C>, Members<C>>,
    /// Changes with the members.
    generation: AtomicU64,
    /// True if a series was refused since the last removal.
    is_full: AtomicBool,
    policy: Policy,
    expiry: Option<Expiry>,
    storage: FamilyStorage<C>,
    shared: SyncArc<Shared>,
}

/// The series of a family, protected by the table's mutex.
struct Members<C> {
    /// In the order in which they were made, so sorted by ordinal.
    series: Vec<SyncArc<Series<C>>>,
    next_ordinal: u64,
    /// The number of times that series were removed. A scrape that has seen this
    /// many only needs to append.
    removals: u64,
    /// The readings of the last call of `remove_stale`.
    readings: Vec<Reading>,
}

/// A metric with labels: one series for each set of label values that was asked
/// for.
///
/// Clones are cheap and are the same family.
///
/// ```
/// # use stethoscope::Registry;
/// let registry = Registry::new();
/// let requests = registry.counter_family("requests_total", "Requests.", ["method", "code"])?;
/// requests.with(["GET", "200"])?.inc();
/// // Resolve once, keep the handle: an update is then one atomic operation.
/// let failed = requests.with(["GET", "500"])?;
/// failed.inc_by(2);
/// assert_eq!(requests.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Family<C: Metric>(Arc<Inner<C>>);

impl<C: Metric> Clone for Family<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: Metric> fmt::Debug for Family<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Family")
            .field("name", &self.0.descriptor.full_name())
            .field("type", &C::TYPE)
            .field("labels", &self.0.descriptor.label_names)
            .field("series", &self.len())
            .finish()
    }
}

impl<C: Metric> Family<C> {
    pub(crate) fn new(
        descriptor: Descriptor,
        options: C::Options,
        policy: Policy,
        shared: SyncArc<Shared>,
    ) -> Self {
        use std::hash::{BuildHasher, RandomState};
        let members = Members {
            series: Vec::new(),
            next_ordinal: 0,
            removals: 0,
            readings: Vec::new(),
        };
        let storage = FamilyStorage::new(&descriptor, &shared);
        Self(Arc::new(Inner {
            descriptor,
            options,
            seed: RandomState::new().hash_one(0),
            table: Table::new(SyncArc::clone(&shared.readers), members),
            generation: AtomicU64::new(0),
            is_full: AtomicBool::new(false),
            expiry: policy.expire_after.map(Expiry::new),
            policy,
            storage,
            shared,
        }))
    }

    /// Returns the series with these label values, which is made if it does not
    /// exist.
    ///
    /// Finding takes no lock and does not allocate; making does both.
    ///
    /// # Errors
    /// If the number of values is not the number of labels, or the family has
    /// reached its limit and has no overflow series.
    #[inline]
    pub fn with(&self, values: impl LabelSet) -> Result<Handle<C>, SeriesError> {
        values.read(|values| self.with_values(values))
    }

    #[inline]
    fn with_values(&self, values: &[&str]) -> Result<Handle<C>, SeriesError> {
        let key = LookupKey::new(self.0.seed, values);
        match self.0.find(&key) {
            Some(series) => Ok(Handle(series)),
            None => self.0.make(&key),
        }
    }

    /// Updates the series with these label values, which is made if it does not
    /// exist. Returns the result of `update`.
    ///
    /// Makes no handle, so it takes a third less time than [`with`](Self::with)
    /// followed by one update.
    ///
    /// `update` may do anything, including looking up, making and removing series
    /// of this family. Memory of series that are removed from the registry
    /// meanwhile is freed after it returns.
    ///
    /// # Errors
    /// As for [`with`](Self::with).
    ///
    /// ```
    /// # let registry = stethoscope::Registry::new();
    /// let requests = registry.counter_family("requests_total", "Requests.", ["method", "code"])?;
    /// for (method, code) in [("GET", "200"), ("GET", "404"), ("GET", "200")] {
    ///     requests.update([method, code], |count| count.inc())?;
    /// }
    /// assert_eq!(requests.update(["GET", "200"], |count| count.get())?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn update<R>(
        &self,
        values: impl LabelSet,
        update: impl FnOnce(&C) -> R,
    ) -> Result<R, SeriesError> {
        values.read(|values| self.update_values(values, update))
    }

    #[inline]
    fn update_values<R>(
        &self,
        values: &[&str],
        update: impl FnOnce(&C) -> R,
    ) -> Result<R, SeriesError> {
        let key = LookupKey::new(self.0.seed, values);
        match self.0.table.find(&key) {
            Some(series) => Ok(update(&series.cell)),
            None => self.0.make(&key).map(|series| update(&series)),
        }
    }

    /// Adds a series with a cell that exists.
    ///
    /// To keep the cell elsewhere too, make it a family of [`Arc`]s or of
    /// `&'static` references:
    ///
    /// ```
    /// # let registry = stethoscope::Registry::new();
    /// use std::sync::Arc;
    /// use stethoscope::cell::Counter;
    ///
    /// let hits = Arc::new(Counter::default());
    /// let lookups = registry
    ///     .family::<Arc<Counter>>("lookups_total", "Look-ups in the cache.")
    ///     .labels(["result"])
    ///     .register()?;
    /// lookups.insert(["hit"], Arc::clone(&hits))?;
    /// hits.inc();
    /// assert_eq!(lookups.with(["hit"])?.get(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`with`](Self::with), or if the series exists already, or if the
    /// cell's options are not those of the family: other buckets, for example.
    pub fn insert(&self, values: impl LabelSet, cell: C) -> Result<Handle<C>, SeriesError>
    where
        C: ExistingCell,
    {
        let options = cell.options();
        if C::width(&options) != C::width(&self.0.options)
            || C::shape(&options) != C::shape(&self.0.options)
        {
            return Err(SeriesError::OtherOptions);
        }
        values.read(|values| {
            self.0
                .insert(&LookupKey::new(self.0.seed, values), Some(cell))
        })
    }

    /// Returns a handle that finds or makes the series with these label values
    /// when it is first used, and tries again if the family was full.
    ///
    /// For handles that outlive a full family: an update through a handle that was
    /// refused works as soon as other series were removed.
    ///
    /// ```
    /// # use stethoscope::{Registry, cell::Counter};
    /// # let registry = Registry::new();
    /// let family = registry.family::<Counter>("jobs_total", "Jobs, by user.");
    /// let jobs = family.labels(["user"]).max_series(1).register()?;
    /// let (ada, alan) = (jobs.lazy(["ada"]), jobs.lazy(["alan"]));
    /// ada.get()?.inc();
    /// assert!(alan.get().is_err());
    /// jobs.remove(["ada"]);
    /// alan.get()?.inc();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn lazy(&self, values: impl LabelSet) -> LazyHandle<C> {
        LazyHandle::new(self.clone(), values)
    }

    /// Returns the series with these label values, if it exists.
    #[inline]
    #[must_use]
    pub fn get(&self, values: impl LabelSet) -> Option<Handle<C>> {
        values.read(|values| {
            self.0
                .find(&LookupKey::new(self.0.seed, values))
                .map(Handle)
        })
    }

    /// Removes a series. Returns true if it existed.
    ///
    /// Handles to it remain usable, but their updates are not shown.
    pub fn remove(&self, values: impl LabelSet) -> bool {
        values.read(|values| self.0.remove(&LookupKey::new(self.0.seed, values)))
    }

    /// Removes the series that have all of these labels. Returns their number.
    ///
    /// A label that the family does not have matches nothing.
    ///
    /// ```
    /// # let registry = stethoscope::Registry::new();
    /// let rows = registry.counter_family("rows_total", "Rows.", ["worker", "table"])?;
    /// rows.with(["a", "x"])?;
    /// rows.with(["a", "y"])?;
    /// rows.with(["b", "x"])?;
    /// assert_eq!(rows.remove_matching([("worker", "a")]), 2);
    /// assert_eq!(rows.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove_matching<'v>(&self, labels: impl AsRef<[(&'v str, &'v str)]>) -> usize {
        let wanted = labels.as_ref();
        self.retain(|labels| {
            wanted
                .iter()
                .any(|(name, value)| labels.get(name) != Some(value))
        })
    }

    /// Removes the series for which `keep` returns false. Returns their number.
    ///
    /// `keep` is called for the series that exist at the time of the call, and
    /// may do anything, including making and removing series of this family. If
    /// it panics, no series is removed.
    pub fn retain(&self, mut keep: impl FnMut(SeriesLabels<'_>) -> bool) -> usize {
        let names = &self.0.descriptor.label_names;
        self.0.retain(|series| {
            keep(SeriesLabels {
                names,
                values: &series.labels,
            })
        })
    }

    /// Removes the series whose values have not changed for `age`, as far as
    /// earlier calls of this function have seen. Returns their number.
    ///
    /// Updates pay nothing for it: each call compares values with those at the
    /// call before. Call it a few times within `age`, from one thread, or have
    /// scrapes do so:
    /// [`FamilyBuilder::expire_after`](crate::registry::FamilyBuilder::expire_after).
    /// A gauge that is set to the value it has counts as unchanged.
    pub fn remove_stale(&self, age: Duration) -> usize {
        self.remove_stale_at(age, Instant::now())
    }

    /// Like [`remove_stale`](Self::remove_stale), at the time `now`. The times of
    /// successive calls must not decrease.
    pub fn remove_stale_at(&self, age: Duration, now: Instant) -> usize {
        self.0.remove_stale(age, now)
    }

    /// Returns the number of series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.table.write().series.len()
    }

    /// Returns true if there is no series.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns true if the limit has refused a series since the last removal.
    fn is_full(&self) -> bool {
        // Relaxed: a hint.
        self.0.is_full.load(Ordering::Relaxed)
    }

    /// Returns the family's name, help, type, unit and labels.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.0.descriptor
    }

    pub(crate) fn source(&self) -> Arc<dyn Source> {
        Arc::clone(&self.0) as Arc<dyn Source>
    }

    /// Returns the family of `source`, if that is one of `C`.
    pub(crate) fn from_source(source: &Arc<dyn Source>) -> Option<Self> {
        let any = Arc::clone(source).as_any();
        any.downcast().ok().map(Self)
    }
}

impl<C: Metric> Inner<C> {
    #[inline]
    fn find(&self, key: &LookupKey<'_>) -> Option<SyncArc<Series<C>>> {
        self.table.find(key).map(EntryGuard::keep)
    }

    /// Makes the series of `key`, or finds the one that another thread has just
    /// made.
    #[cold]
    fn make(&self, key: &LookupKey<'_>) -> Result<Handle<C>, SeriesError> {
        // Relaxed: if it is out of date, the limit is found under the mutex.
        if self.is_full.load(Ordering::Relaxed)
            && let Some(series) = self.overflow(|overflow| self.find(overflow))
        {
            self.count_refusal();
            return Ok(Handle(series));
        }
        // Before the mutex is taken: the code may be the user's.
        let cell = self.storage.new_cell(&self.options);
        match self.insert(key, cell) {
            Err(SeriesError::AlreadyExists) => self.with_existing(key),
            Err(SeriesError::Full { .. }) if self.policy.overflow.is_some() => {
                let cell = self.storage.new_cell(&self.options);
                self.overflow(|key| match self.add(key, cell, usize::MAX) {
                    Err(SeriesError::AlreadyExists) => self.with_existing(key),
                    result => result,
                })
            }
            result => result,
        }
    }

    /// Returns a series that another thread has made, unless it was removed since.
    fn with_existing(&self, key: &LookupKey<'_>) -> Result<Handle<C>, SeriesError> {
        match self.find(key) {
            Some(series) => Ok(Handle(series)),
            None => self.make(key),
        }
    }

    /// Calls `read` with the key of the overflow series, or with an empty key if
    /// the family has none.
    fn overflow<R>(&self, read: impl FnOnce(&LookupKey<'_>) -> R) -> R {
        let value = self.policy.overflow.as_deref();
        let values: Vec<&str> = self
            .descriptor
            .label_names
            .iter()
            .filter_map(|_| value)
            .collect();
        read(&LookupKey::new(self.seed, &values))
    }

    /// Adds a series, unless it exists or the limit is reached.
    fn insert(&self, key: &LookupKey<'_>, cell: Option<C>) -> Result<Handle<C>, SeriesError> {
        let result = self.add(key, cell, self.policy.max_series);
        if let Err(SeriesError::Full { .. }) = result {
            self.count_refusal();
        }
        result
    }

    fn count_refusal(&self) {
        if let Some(refused) = &self.policy.refused {
            refused.inc();
        }
    }

    /// Adds a series. Without a cell, one is made.
    fn add(
        &self,
        key: &LookupKey<'_>,
        cell: Option<C>,
        limit: usize,
    ) -> Result<Handle<C>, SeriesError> {
        let expected = self.descriptor.label_names.len();
        let found = key.values().len();
        if found != expected && !self.descriptor.mixed {
            return Err(SeriesError::LabelCount { expected, found });
        }
        let labels = LabelValues::new(key).ok_or(SeriesError::TooLong)?;
        let created = match self.descriptor.created {
            true => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs_f64(),
            // Not every platform has a clock.
            false => 0.0,
        };
        let mut members = self.table.write();
        // Under the mutex, so that of two threads one makes it.
        if members.find(key).is_some() {
            return Err(SeriesError::AlreadyExists);
        }
        if members.series.len() >= limit {
            // Relaxed: a hint.
            self.is_full.store(true, Ordering::Relaxed);
            return Err(SeriesError::Full { max_series: limit });
        }
        let ordinal = members.next_ordinal;
        let (options, values) = (&self.options, key.values());
        let series = SyncArc::new(Series {
            hash: key.hash,
            ordinal,
            created,
            labels,
            cell: self.storage.store(cell, options, ordinal, created, values),
        });
        members.next_ordinal += 1;
        members.insert(SyncArc::clone(&series));
        let len = members.series.len();
        if len == members.series.capacity() {
            // By less than a `Vec` would: a family stays as large as it is for long.
            members.series.reserve_exact(len / 8 + 4);
        }
        members.series.push(SyncArc::clone(&series));
        self.finish_change(members);
        Ok(Handle(series))
    }

    fn remove(&self, key: &LookupKey<'_>) -> bool {
        if self.descriptor.permanent {
            return false;
        }
        let mut members = self.table.write();
        // Under the mutex, so that of two threads one removes it.
        let Some(series) = members.find(key) else {
            return false;
        };
        members.remove(&series);
        series.cell.remove();
        if let Ok(index) = members
            .series
            .binary_search_by_key(&series.ordinal, |series| series.ordinal)
        {
            members.series.remove(index);
        }
        self.finish_removal(members);
        true
    }

    fn retain(&self, mut keep: impl FnMut(&Series<C>) -> bool) -> usize {
        // Without the mutex, so that `keep` can use the family.
        let series = self.table.write().series.clone();
        let gone: Vec<u64> = series
            .iter()
            .filter(|series| !keep(series))
            .map(|series| series.ordinal)
            .collect();
        if gone.is_empty() || self.descriptor.permanent {
            return 0;
        }
        let mut members = self.table.write();
        // Other threads may have removed some of them meanwhile.
        let removed: Vec<_> = members
            .series
            .extract_if(.., |series| gone.binary_search(&series.ordinal).is_ok())
            .collect();
        for series in &removed {
            members.remove(series);
            series.cell.remove();
        }
        if !removed.is_empty() {
            self.finish_removal(members);
        }
        removed.len()
    }

    fn finish_removal(&self, mut members: TableWriter<'_, Series<C>, Members<C>>) {
        members.removals += 1;
        let len = members.series.len();
        if members.series.capacity() / 4 > len {
            members.series.shrink_to(len * 2);
        }
        // Relaxed: a hint.
        self.is_full.store(false, Ordering::Relaxed);
        self.finish_change(members);
    }

    /// Tells scrapes that the members have changed, and releases the mutex.
    fn finish_change(&self, members: TableWriter<'_, Series<C>, Members<C>>) {
        // Release, both, the family's first: a scrape that acquires the
        // registry's new generation also sees the family's.
        self.generation.fetch_add(1, Ordering::Release);
        self.shared.generation.fetch_add(1, Ordering::Release);
        members.finish();
    }
}
