//! The counts of a process's children, added to its own metrics.
//!
//! A child keeps its metrics in a segment in the directory of its parent's. The parent
//! looks at it now and then, adds what has come since to its own cells, and a last time
//! when the child is dead. Then it removes the file. So a pool's counts are on the page
//! of the process that has the pool, and totals never fall.

use super::spec::{Kind, Spec};
use super::store::Store;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use stethoscope::MetricType;
use stethoscope::cell::{FloatCounter, Histogram};
use stethoscope::registry::{GatheredFamily, GatheredSeries, Value};
use stethoscope::segment::{self, Reader, SegmentInfo};

/// A family that every page of Dask's has, and other segments have not.
pub(in crate::native) const OF_DASK: &str = "stethoscope_sample_age_seconds";

/// The most generations between a child and the process.
const GENERATIONS: usize = 8;

/// The children of a process that have segments.
pub(in crate::native) struct Children {
    store: Arc<Store>,
    /// The segment of the process.
    own: PathBuf,
    info: SegmentInfo,
    /// By the path of the segment.
    children: HashMap<PathBuf, Child>,
    /// The ids of those that have ever been here: children of theirs are ours, too.
    pids: HashSet<u32>,
    /// The segments in the directory that belong to others.
    others: HashSet<PathBuf>,
}

struct Child {
    reader: Reader,
    counted: HashMap<Series, Counted>,
}

/// The name of a family, and the values of its labels.
type Series = (String, Vec<String>);

/// The part of a series that the metrics of the process include already.
#[derive(Clone, Debug, Default, PartialEq)]
struct Counted {
    /// The counter, or the sum of the histogram.
    sum: f64,
    /// The buckets, not cumulative.
    buckets: Vec<u64>,
}

impl Counted {
    /// Returns the counts since an earlier reading: all of them if the series has begun
    /// again.
    fn since(&self, earlier: &Self) -> Self {
        let fell = |(now, then): (&u64, &u64)| now < then;
        let is_new = self.buckets.len() != earlier.buckets.len()
            || self.buckets.iter().zip(&earlier.buckets).any(fell)
            || self.buckets.is_empty() && self.sum < earlier.sum;
        if is_new {
            return self.clone();
        }
        let buckets = self.buckets.iter().zip(&earlier.buckets);
        Self {
            sum: self.sum - earlier.sum,
            buckets: buckets.map(|(now, then)| now - then).collect(),
        }
    }

    fn is_nothing(&self) -> bool {
        self.sum == 0.0 && self.buckets.iter().all(|count| *count == 0)
    }
}

impl Children {
    /// Looks for the children of the process that has this segment. `None` if that
    /// cannot be read.
    pub(in crate::native) fn of(own: &Path, store: &Arc<Store>) -> Option<Self> {
        Some(Self {
            store: Arc::clone(store),
            info: Reader::open_untrusted(own).ok()?.info().clone(),
            own: own.to_owned(),
            children: HashMap::new(),
            pids: HashSet::new(),
            others: HashSet::new(),
        })
    }

    /// Adds what the children have counted since the last time.
    pub(in crate::native) fn count(&mut self) {
        let Some(directory) = self.own.parent() else {
            return;
        };
        let paths = segment::list(directory).unwrap_or_default();
        let is_there: HashSet<&PathBuf> = paths.iter().collect();
        self.others.retain(|path| is_there.contains(path));
        self.children.retain(|path, _| is_there.contains(path));
        for path in &paths {
            let is_known = self.others.contains(path) || self.children.contains_key(path);
            if is_known || *path == self.own {
                continue;
            }
            // Without a header yet, it is looked at the next time.
            let Ok(mut reader) = Reader::open_untrusted(path) else {
                continue;
            };
            match self.is_child(&mut reader) {
                Some(true) => {}
                Some(false) => {
                    self.others.insert(path.clone());
                    continue;
                }
                None => continue,
            }
            self.pids.insert(reader.info().pid);
            let counted = HashMap::new();
            self.children
                .insert(path.clone(), Child { reader, counted });
        }
        let store = &self.store;
        self.children.retain(|path, child| {
            // Before the reading, which is the last one if the child is dead.
            let is_alive = child.reader.state().is_alive();
            if child.reader.refresh().is_ok() {
                for family in child.reader.registry().gather() {
                    child.count(&family, store);
                }
            }
            if !is_alive {
                let _ = std::fs::remove_file(path);
            }
            is_alive
        });
    }

    /// Returns true if these are the metrics of a process that was started by this one, or
    /// by a child of it. `None` if that cannot be told yet.
    fn is_child(&self, reader: &mut Reader) -> Option<bool> {
        let is_descendant = self.is_descendant(reader.info());
        let is_fork = reader.info().command == self.info.command;
        if !is_descendant || is_fork {
            return Some(is_descendant);
        }
        let is_alive = reader.state().is_alive();
        reader.refresh().ok()?;
        match reader.info().series {
            0 if is_alive => None,
            // The server of a cluster within a task has a nanny, or somebody else, who reads
            // its file.
            _ => Some(!reader.registry().contains(OF_DASK)),
        }
    }

    fn is_descendant(&self, info: &SegmentInfo) -> bool {
        // The same number means another process in another container, or was used by
        // a process before this one.
        if info.pid_namespace != self.info.pid_namespace || info.created < self.info.created {
            return false;
        }
        let mut parent = info.parent_pid;
        for _ in 0..GENERATIONS {
            if parent == self.info.pid || self.pids.contains(&parent) {
                return true;
            }
            // A fork server has no segment.
            match parent_of(parent) {
                Some(next) if next > 1 => parent = next,
                _ => return false,
            }
        }
        false
    }
}

/// Returns the parent of a process that exists.
fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may have any characters.
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(1)?.parse().ok()
}

impl Child {
    /// Adds what has come in a family. Gauges stay the child's own, and so does what the
    /// process has under that name as something else.
    fn count(&mut self, family: &GatheredFamily, store: &Store) {
        let kind = match family.metric_type {
            MetricType::Counter => Kind::Counter,
            MetricType::Histogram => Kind::Histogram {
                buckets: None,
                native: None,
            },
            _ => return,
        };
        for series in &family.series {
            let Some(now) = counted(&series.value) else {
                continue;
            };
            let values = series.labels.iter().map(|(_, value)| value.clone());
            let key = (family.name.clone(), values.collect());
            let earlier = self.counted.entry(key).or_default();
            let new = now.since(earlier);
            if new.is_nothing() || add(store, family, &kind, series, &new).is_some() {
                *earlier = now;
            }
        }
    }
}

/// Returns the numbers of a counter or a histogram.
fn counted(value: &Value) -> Option<Counted> {
    match value {
        Value::Single(sum) => Some(Counted {
            sum: *sum,
            buckets: Vec::new(),
        }),
        Value::Histogram { buckets, sum } => {
            let mut below = 0;
            let count = |(_, up_to): &(f64, u64)| {
                let count = up_to.saturating_sub(below);
                below = *up_to;
                count
            };
            Some(Counted {
                sum: *sum,
                buckets: buckets.iter().map(count).collect(),
            })
        }
        _ => None,
    }
}

/// Adds to the series of the process, which is made if there is none. `None` if there
/// cannot be one.
fn add(
    store: &Store,
    family: &GatheredFamily,
    kind: &Kind,
    series: &GatheredSeries,
    new: &Counted,
) -> Option<()> {
    let (names, values): (Vec<String>, Vec<&str>) = series
        .labels
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str()))
        .unzip();
    let mut spec = Spec {
        kind: kind.clone(),
        name: family.name.clone(),
        help: family.help.clone(),
        labels: names,
        max_series: None,
    };
    match (kind, &series.value) {
        (Kind::Histogram { .. }, Value::Histogram { buckets, .. }) => {
            let bounds = buckets.iter().map(|(bound, _)| *bound);
            spec.kind = Kind::Histogram {
                buckets: Some(bounds.filter(|bound| bound.is_finite()).collect()),
                native: Some(false),
            };
            let (_, family) = store.family_of_child::<Histogram>(spec).ok()?;
            let cell = family.with(&values[..]).ok()?;
            cell.add_counts(&new.buckets, new.sum).then_some(())
        }
        _ => {
            let (_, family) = store.family_of_child::<FloatCounter>(spec).ok()?;
            family.with(&values[..]).ok()?.inc_by(new.sum);
            Some(())
        }
    }
}
