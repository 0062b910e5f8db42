//! A family's series as a scrape sees them: in order, read in bulk, and without
//! the type of their cells.

use super::series::Series;
use super::{Descriptor, Inner, Metric};
#[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
use crate::cell::RowTable;
use crate::cell::{Exemplar, NativeReading};
use crate::label::LabelValues;
use crate::sync::{Arc as SyncArc, Ordering};
use std::any::Any;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// A family whose cells have any type.
pub(crate) trait Source: Send + Sync {
    fn descriptor(&self) -> &Descriptor;
    /// Returns how many numbers a series' row has.
    fn width(&self) -> usize;
    /// Returns how many of the first numbers of a row may have an exemplar.
    fn exemplars(&self) -> usize;
    /// Returns an empty view of the family's series.
    fn view(self: Arc<Self>) -> Box<dyn SeriesView>;
    /// Returns true if scrapes must call [`expire`](Self::expire).
    fn expires(&self) -> bool;
    /// Removes the series that have expired.
    fn expire(&self, now: Instant);
    /// Returns the family's [`Inner`] state.
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
    /// Removes the family from its segment.
    #[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
    fn leave_segment(&self);
}

impl<C: Metric> Source for Inner<C> {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn width(&self) -> usize {
        C::width(&self.options)
    }

    fn exemplars(&self) -> usize {
        C::exemplars(&self.options)
    }

    fn view(self: Arc<Self>) -> Box<dyn SeriesView> {
        Box::new(FamilySource {
            family: self,
            series: Vec::new(),
            // A generation that the family cannot have: the first refresh
            // fills the view.
            generation: u64::MAX,
            removals: 0,
            #[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
            rows: Vec::new(),
            #[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
            found: 0,
        })
    }

    fn expires(&self) -> bool {
        self.expiry.is_some()
    }

    fn expire(&self, now: Instant) {
        Inner::expire(self, now);
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }

    #[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
    fn leave_segment(&self) {
        self.storage.remove();
    }
}

/// The change of a view by a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The series are the same.
    None,
    /// Series were appended.
    Appended,
    /// Series were removed, and perhaps others appended.
    Removed,
    /// All lines must be laid out again.
    Rebuilt,
}

/// The series of a family in scrape order.
pub(crate) trait SeriesView: Send {
    fn len(&self) -> usize;
    /// Takes over what has changed in the family. Takes a lock, but only if
    /// something has. Appends the positions at which series were removed, in ascending
    /// order.
    fn refresh(&mut self, gone: &mut Vec<usize>) -> Change;
    /// Reads the rows of some series, one after the other.
    fn read(&self, series: Range<usize>, into: &mut [u64]);
    fn labels(&self, series: usize) -> &LabelValues;
    /// Returns the time at which the series was made, in seconds since 1970
    /// (UTC), if the family shows it.
    fn created(&self, series: usize) -> f64;
    /// Reads the exemplar of a number of a series' row. Returns false if there is
    /// none.
    fn exemplar(&self, series: usize, index: usize, into: &mut Exemplar) -> bool;
    /// Reads a native histogram. Returns false if the series is not one.
    fn read_native(&self, series: usize, into: &mut NativeReading) -> bool;
}

struct FamilySource<C: Metric> {
    family: Arc<Inner<C>>,
    series: Vec<SyncArc<Series<C>>>,
    generation: u64,
    removals: u64,
    /// The rows of the series, if their cells have a table.
    #[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
    rows: Vec<RowRun>,
    /// The number of series whose rows were found.
    #[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
    found: usize,
}

/// Series whose rows follow each other: up to the next run.
#[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
#[derive(Clone, Copy)]
struct RowRun {
    /// The number of the first series.
    series: usize,
    row: u32,
}

#[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
impl<C: Metric> FamilySource<C> {
    /// Finds the rows of the series, if their cells have a table.
    fn find_rows(&mut self, change: Change) {
        if C::table(&self.family.options).is_none() {
            return;
        }
        if change == Change::Removed {
            self.rows.clear();
            self.found = 0;
        }
        let new = self.series.iter().enumerate().skip(self.found);
        for (index, series) in new {
            let row = series.cell.row();
            let follows = |run: &RowRun| run.row as usize + (index - run.series) == row as usize;
            if !self.rows.last().is_some_and(follows) {
                self.rows.push(RowRun { series: index, row });
            }
        }
        self.found = self.series.len();
    }

    /// Writes the rows of some series, one after the other.
    fn read_table(&self, table: &dyn RowTable, series: Range<usize>, mut into: &mut [u64]) {
        let width = C::width(&self.family.options);
        let mut at = series.start;
        let mut run = self.rows.partition_point(|run| run.series <= at) - 1;
        while at < series.end {
            let next = self.rows.get(run + 1).map_or(series.end, |run| run.series);
            let end = next.min(series.end);
            let (now, later) = into.split_at_mut((end - at) * width);
            let RowRun { series, row } = self.rows[run];
            table.read(row + (at - series) as u32, now);
            (at, into, run) = (end, later, run + 1);
        }
    }
}

impl<C: Metric> SeriesView for FamilySource<C> {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn refresh(&mut self, gone: &mut Vec<usize>) -> Change {
        // Acquire: pairs with the Release in `Inner::finish_change`.
        if self.family.generation.load(Ordering::Acquire) == self.generation {
            return Change::None;
        }
        let mut removed = Vec::new();
        let members = self.family.table.write();
        if members.removals != self.removals {
            let mut left = members.series.iter().peekable();
            let mut position = 0;
            let is_gone = |series: &mut SyncArc<Series<C>>| {
                let same = left.next_if(|other| SyncArc::ptr_eq(other, series));
                if same.is_none() {
                    gone.push(position);
                }
                position += 1;
                same.is_none()
            };
            // The series held until now are dropped below, without the mutex.
            removed.extend(self.series.extract_if(.., is_gone));
        }
        // Those that stay come first, in the same order.
        let known = self.series.len();
        self.series.extend_from_slice(&members.series[known..]);
        if self.series.capacity() / 4 > self.series.len() {
            self.series.shrink_to_fit();
        }
        let change = match removed.is_empty() {
            true => Change::Appended,
            false => Change::Removed,
        };
        self.removals = members.removals;
        // Relaxed: changes only under the mutex.
        self.generation = self.family.generation.load(Ordering::Relaxed);
        members.finish();
        drop(removed);
        #[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
        self.find_rows(change);
        change
    }

    fn read(&self, series: Range<usize>, into: &mut [u64]) {
        #[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
        if let Some(table) = C::table(&self.family.options) {
            self.read_table(table, series, into);
            return;
        }
        let width = C::width(&self.family.options);
        for (series, row) in self.series[series].iter().zip(into.chunks_exact_mut(width)) {
            series.cell.read(row);
        }
    }

    fn labels(&self, series: usize) -> &LabelValues {
        &self.series[series].labels
    }

    fn created(&self, series: usize) -> f64 {
        let series = &self.series[series];
        series.cell.created().unwrap_or(series.created)
    }

    fn exemplar(&self, series: usize, index: usize, into: &mut Exemplar) -> bool {
        self.series[series].cell.exemplar(index, into)
    }

    fn read_native(&self, series: usize, into: &mut NativeReading) -> bool {
        self.series[series].cell.read_native(into)
    }
}

/// A family under the name and labels that the registry including it asks for.
pub(crate) struct Renamed {
    family: Arc<dyn Source>,
    descriptor: Descriptor,
}

impl Renamed {
    pub(crate) fn new(family: Arc<dyn Source>, descriptor: Descriptor) -> Self {
        Self { family, descriptor }
    }
}

impl Source for Renamed {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn width(&self) -> usize {
        self.family.width()
    }

    fn exemplars(&self) -> usize {
        self.family.exemplars()
    }

    fn view(self: Arc<Self>) -> Box<dyn SeriesView> {
        Arc::clone(&self.family).view()
    }

    fn expires(&self) -> bool {
        self.family.expires()
    }

    fn expire(&self, now: Instant) {
        self.family.expire(now);
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        Arc::clone(&self.family).as_any()
    }

    #[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
    fn leave_segment(&self) {
        self.family.leave_segment();
    }
}
