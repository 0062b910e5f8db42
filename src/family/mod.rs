//! Families: label values to cells.
//!
//! ```text
//! family.with(["GET", "200"])          look-up: no lock, no allocation
//! family.update(["GET", "200"], …)
//!     └── Table ── Arc<Series> ── cell     when the series is there
//!     └── Mutex<Members>                   when it must be made, or goes
//!             └── Column                   what a scrape holds of it
//! ```
//!
//! A [`Handle`] keeps its series alive whatever happens to the family. A series
//! that was removed is off the page; made again, it is a new one, and old
//! handles go on counting where nobody looks.

mod descriptor;
mod metric;
#[cfg(all(loom, test))]
mod models;
mod table;
mod view;

pub(crate) use descriptor::ends_in_unit;
pub use descriptor::{Descriptor, Shape};
pub use metric::Metric;
pub(crate) use table::Readers;
pub(crate) use view::{Change, Column, Source};

use crate::cell::Cell;
use crate::label::{Key, LabelValues};
use crate::sync::{Arc as SyncArc, AtomicU64, Ordering};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use table::{Entry, Found, Table, TableWriter};

/// One series: label values and the cell that holds its value.
pub(crate) struct Series<C> {
    hash: u64,
    /// Grows with each series of a family; a series made again has a new one.
    ordinal: u64,
    /// Seconds since the epoch.
    created: f64,
    labels: LabelValues,
    cell: C,
}

impl<C: Cell> Entry for Series<C> {
    #[inline]
    fn hash(&self) -> u64 {
        self.hash
    }

    #[inline]
    fn matches(&self, key: &Key<'_>) -> bool {
        self.labels.matches(key)
    }
}

/// A series' cell, to be updated. A clone costs one atomic increment; an
/// update costs what the cell says.
///
/// ```
/// # let registry = stethoscope::Registry::new();
/// let requests = registry.counter("requests_total", "Requests answered.")?;
/// let in_a_thread = requests.clone();
/// std::thread::spawn(move || in_a_thread.inc()).join().unwrap();
/// assert_eq!(requests.get(), 1);
/// # Ok::<(), stethoscope::RegisterError>(())
/// ```
pub struct Handle<C>(SyncArc<Series<C>>);

impl<C> Clone for Handle<C> {
    #[inline]
    fn clone(&self) -> Self {
        Self(SyncArc::clone(&self.0))
    }
}

impl<C> Deref for Handle<C> {
    type Target = C;

    #[inline]
    fn deref(&self) -> &C {
        &self.0.cell
    }
}

impl<C: fmt::Debug> fmt::Debug for Handle<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<&str> = self.0.labels.iter().collect();
        f.debug_struct("Handle")
            .field("labels", &labels)
            .field("cell", &self.0.cell)
            .finish()
    }
}

/// Why a series could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SeriesError {
    /// Not as many values as the family has labels.
    LabelCount {
        /// Labels of the family.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// The family has as many series as it may have. What was refused is
    /// counted in `stethoscope_series_refused_total{family="…"}`.
    Full {
        /// The most series it may have.
        max_series: usize,
    },
    /// The label values are longer than 4 GiB together.
    TooLong,
}

impl fmt::Display for SeriesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LabelCount { expected, found } => {
                write!(
                    f,
                    "the family has {expected} labels, but {found} values were given"
                )
            }
            Self::Full { max_series } => write!(
                f,
                "the family has reached its {max_series} series: remove some, or allow more with max_series"
            ),
            Self::TooLong => f.write_str("the label values are longer than 4 GiB"),
        }
    }
}

impl std::error::Error for SeriesError {}

/// The label values of one series, with their names.
#[derive(Clone, Copy)]
pub struct Labels<'a> {
    names: &'a [String],
    values: &'a LabelValues,
}

impl<'a> Labels<'a> {
    /// Names and values, in the order of the family's labels.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> + use<'a> {
        self.names
            .iter()
            .map(String::as_str)
            .zip(self.values.iter())
    }

    /// The value of the label `name`.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }
}

impl fmt::Debug for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// What the families of a registry share.
pub(crate) struct Shared {
    /// Moves whenever a page could have other lines than before.
    pub(crate) generation: AtomicU64,
    pub(crate) readers: SyncArc<Readers>,
}

/// Everything behind a family; the registry holds one reference, each
/// [`Family`] another.
struct Inner<C: Metric> {
    descriptor: Descriptor,
    options: C::Options,
    /// Of the hashes; another one in each family.
    seed: u64,
    table: Table<Series<C>, Members<C>>,
    /// Moves with each change of the table's members.
    generation: AtomicU64,
    max_series: usize,
    /// Counts what `max_series` refused.
    refused: Option<Handle<crate::cell::Counter>>,
    shared: SyncArc<Shared>,
}

struct Members<C> {
    /// In the order of their making, so sorted by ordinal.
    series: Vec<SyncArc<Series<C>>>,
    next_ordinal: u64,
    /// How often series were removed: a scrape that has seen this many need
    /// only append.
    removals: u64,
    /// For `remove_unchanged`: readings at the last sweep.
    sweep: Vec<Swept>,
}

/// What a sweep remembers of a series.
struct Swept {
    ordinal: u64,
    digest: u64,
    since: Instant,
}

/// A named metric with labels: one series for each set of label values that was
/// asked for.
///
/// Cheap to clone; clones are the same family.
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
        max_series: usize,
        refused: Option<Handle<crate::cell::Counter>>,
        shared: SyncArc<Shared>,
    ) -> Self {
        use std::hash::{BuildHasher, RandomState};
        let members = Members {
            series: Vec::new(),
            next_ordinal: 0,
            removals: 0,
            sweep: Vec::new(),
        };
        Self(Arc::new(Inner {
            descriptor,
            options,
            seed: RandomState::new().hash_one(0),
            table: Table::new(SyncArc::clone(&shared.readers), members),
            generation: AtomicU64::new(0),
            max_series,
            refused,
            shared,
        }))
    }

    /// The series with these label values; made at its initial value if it is
    /// not there.
    ///
    /// Finding takes no lock and allocates nothing; making does both. Fails
    /// only when the number of values is not the number of labels, or the
    /// family is full.
    #[inline]
    pub fn with<'v>(&self, values: impl AsRef<[&'v str]>) -> Result<Handle<C>, SeriesError> {
        let key = Key::new(self.0.seed, values.as_ref());
        match self.0.find(&key) {
            Some(series) => Ok(Handle(series)),
            None => self.0.make(&key),
        }
    }

    /// Updates the series with these label values, which is made first if it is
    /// not there; what `update` returns.
    ///
    /// Makes no handle, and so takes a third less than [`with`](Self::with) where
    /// that would be dropped again after one update. Fails like it.
    ///
    /// `update` may do anything, also look up, make and remove series of this
    /// family: nobody waits for it. But what is removed from the registry
    /// meanwhile is freed only when it is done.
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
    pub fn update<'v, R>(
        &self,
        values: impl AsRef<[&'v str]>,
        update: impl FnOnce(&C) -> R,
    ) -> Result<R, SeriesError> {
        let key = Key::new(self.0.seed, values.as_ref());
        match self.0.table.find(&key) {
            Some(series) => Ok(update(&series.cell)),
            None => self.0.make(&key).map(|series| update(&series)),
        }
    }

    /// The series with these label values, if it is there.
    #[inline]
    pub fn get<'v>(&self, values: impl AsRef<[&'v str]>) -> Option<Handle<C>> {
        let key = Key::new(self.0.seed, values.as_ref());
        self.0.find(&key).map(Handle)
    }

    /// Removes a series; whether it was there. Handles to it stay usable, but
    /// nothing shows what they count.
    pub fn remove<'v>(&self, values: impl AsRef<[&'v str]>) -> bool {
        let key = Key::new(self.0.seed, values.as_ref());
        let mut members = self.0.table.write();
        // Under the mutex, so that of two removers one finds it.
        let Some(series) = members.find(&key) else {
            return false;
        };
        members.remove(&series);
        if let Ok(index) = members
            .series
            .binary_search_by_key(&series.ordinal, |s| s.ordinal)
        {
            members.series.remove(index);
        }
        self.0.removed(members);
        true
    }

    /// Removes the series whose labels have all of these values; how many.
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

    /// Keeps the series for which `keep` is true; how many were removed.
    ///
    /// `keep` is asked of the series that there are at the call, and may do
    /// anything, make and remove series of this family included. If it panics,
    /// all stay.
    pub fn retain(&self, mut keep: impl FnMut(Labels<'_>) -> bool) -> usize {
        let names = &self.0.descriptor.label_names;
        self.0.retain(|s| {
            keep(Labels {
                names,
                values: &s.labels,
            })
        })
    }

    /// Removes the series whose reading has not changed for `age` or longer, as
    /// far as earlier calls of this function have seen; how many.
    ///
    /// Updates pay nothing for it: each call compares readings with those of
    /// the call before, so call it every so often, a few times within `age`, from
    /// one thread. A gauge that is set to the value it has counts as unchanged.
    pub fn remove_unchanged(&self, age: Duration) -> usize {
        self.0.remove_unchanged(age, Instant::now())
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.0.table.write().series.len()
    }

    /// Whether there is no series.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Name, help, kind, unit and labels.
    pub fn descriptor(&self) -> &Descriptor {
        &self.0.descriptor
    }

    pub(crate) fn source(&self) -> Arc<dyn Source> {
        Arc::clone(&self.0) as Arc<dyn Source>
    }
}

impl<C: Metric> Inner<C> {
    #[inline]
    fn find(&self, key: &Key<'_>) -> Option<SyncArc<Series<C>>> {
        self.table.find(key).map(Found::keep)
    }

    #[cold]
    fn make(&self, key: &Key<'_>) -> Result<Handle<C>, SeriesError> {
        let expected = self.descriptor.label_names.len();
        let found = key.values().len();
        if found != expected {
            return Err(SeriesError::LabelCount { expected, found });
        }
        let labels = LabelValues::new(key).ok_or(SeriesError::TooLong)?;
        let created = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        // Before the lock is taken: a cell may be of anybody's making.
        let cell = C::from_options(&self.options);
        let mut members = self.table.write();
        // Again, now that no other thread can make it.
        if let Some(series) = members.find(key) {
            return Ok(Handle(series));
        }
        if members.series.len() >= self.max_series {
            if let Some(refused) = &self.refused {
                refused.inc();
            }
            return Err(SeriesError::Full {
                max_series: self.max_series,
            });
        }
        let series = SyncArc::new(Series {
            hash: key.hash,
            ordinal: members.next_ordinal,
            created: created.as_secs_f64(),
            labels,
            cell,
        });
        members.next_ordinal += 1;
        members.insert(SyncArc::clone(&series));
        members.series.push(SyncArc::clone(&series));
        self.changed(members);
        Ok(Handle(series))
    }

    fn retain(&self, mut keep: impl FnMut(&Series<C>) -> bool) -> usize {
        // Asked without the lock, so that `keep` cannot wait for itself.
        let asked = self.table.write().series.clone();
        let gone: Vec<u64> = asked
            .iter()
            .filter(|series| !keep(series))
            .map(|series| series.ordinal)
            .collect();
        if gone.is_empty() {
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
        }
        if !removed.is_empty() {
            self.removed(members);
        }
        removed.len()
    }

    fn remove_unchanged(&self, age: Duration, now: Instant) -> usize {
        let mut row = vec![0; C::width(&self.options)];
        let mut swept = std::mem::take(&mut self.table.write().sweep)
            .into_iter()
            .peekable();
        let mut sweep = Vec::new();
        let removed = self.retain(|series| {
            series.cell.read(&mut row);
            let digest = row.iter().fold(0, |digest: u64, &bits| {
                (digest ^ bits)
                    .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                    .rotate_left(29)
            });
            // Both are sorted by ordinal; those in between were removed.
            while swept.next_if(|old| old.ordinal < series.ordinal).is_some() {}
            let since = match swept.next_if(|old| old.ordinal == series.ordinal) {
                Some(old) if old.digest == digest => old.since,
                _ => now,
            };
            let keep = now.saturating_duration_since(since) < age || since == now;
            if keep {
                sweep.push(Swept {
                    ordinal: series.ordinal,
                    digest,
                    since,
                });
            }
            keep
        });
        self.table.write().sweep = sweep;
        removed
    }

    fn removed(&self, mut members: TableWriter<'_, Series<C>, Members<C>>) {
        members.removals += 1;
        let len = members.series.len();
        if members.series.capacity() / 4 > len {
            members.series.shrink_to(len * 2);
        }
        self.changed(members);
    }

    /// Tells scrapes that the members have changed, and ends the change.
    fn changed(&self, members: TableWriter<'_, Series<C>, Members<C>>) {
        // Release, both, the family's first: a scrape that acquires the
        // registry's new generation also sees the family's.
        self.generation.fetch_add(1, Ordering::Release);
        self.shared.generation.fetch_add(1, Ordering::Release);
        members.finish();
    }
}
