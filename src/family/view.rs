//! A family's series as a scrape holds them: in order, read in bulk, without
//! their type.

use super::{Descriptor, Inner, Metric, Series};
use crate::cell::Exemplar;
use crate::label::LabelValues;
use crate::sync::{Arc as SyncArc, Ordering};
use std::ops::Range;
use std::sync::Arc;

/// A family, whatever its cells are.
pub(crate) trait Source: Send + Sync {
    fn descriptor(&self) -> &Descriptor;
    /// How many numbers a series' row has.
    fn width(&self) -> usize;
    /// How many of the first numbers of a row may have an exemplar.
    fn exemplars(&self) -> usize;
    /// An empty column of this family.
    fn column(self: Arc<Self>) -> Box<dyn Column>;
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

    fn column(self: Arc<Self>) -> Box<dyn Column> {
        // A generation that the family cannot have: the first refresh fills it.
        Box::new(SeriesColumn {
            family: self,
            series: Vec::new(),
            generation: u64::MAX,
            removals: 0,
        })
    }
}

/// What has happened to a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing.
    None,
    /// There are more series, behind those that were there.
    Appended,
    /// Series went: everything is to be laid out again.
    Rebuilt,
}

/// The series of a family in scrape order, as one scrape holds them.
pub(crate) trait Column: Send {
    fn len(&self) -> usize;
    /// Takes over what has changed in the family: the only thing here that
    /// may take a lock, and only when something has.
    fn refresh(&mut self) -> Change;
    /// Reads the rows of some series, one behind the other.
    fn read(&self, series: Range<usize>, into: &mut [u64]);
    fn labels(&self, series: usize) -> &LabelValues;
    /// When the series was made, in seconds since the epoch.
    fn created(&self, series: usize) -> f64;
    /// Reads the exemplar of a number of a series' row, if it has one.
    fn exemplar(&self, series: usize, index: usize, into: &mut Exemplar) -> bool;
}

struct SeriesColumn<C: Metric> {
    family: Arc<Inner<C>>,
    series: Vec<SyncArc<Series<C>>>,
    generation: u64,
    removals: u64,
}

impl<C: Metric> Column for SeriesColumn<C> {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn refresh(&mut self) -> Change {
        // Acquire: pairs with the Release in `changed`.
        if self.family.generation.load(Ordering::Acquire) == self.generation {
            return Change::None;
        }
        let mut gone = Vec::new();
        let members = self.family.table.write();
        let change = if members.removals == self.removals {
            let known = self.series.len();
            self.series.extend_from_slice(&members.series[known..]);
            Change::Appended
        } else {
            // The series held until now are dropped below, without the lock.
            gone = std::mem::replace(&mut self.series, members.series.clone());
            Change::Rebuilt
        };
        self.removals = members.removals;
        // Relaxed: it moves only under the mutex.
        self.generation = self.family.generation.load(Ordering::Relaxed);
        members.finish();
        drop(gone);
        change
    }

    fn read(&self, series: Range<usize>, into: &mut [u64]) {
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
}
