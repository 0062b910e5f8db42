//! The families of the Python interpreter.

use super::entry::{
    Entry,
    Source::{self, Python},
};
use super::registries::Registries;
use stethoscope::MetricType;
use stethoscope::cell::Counter;
use stethoscope::{Handle, RegisterError};

/// The generations of CPython's garbage collector.
const GENERATIONS: &[&str] = &["0", "1", "2"];

const COLLECTED: Entry = Entry::counter(
    "python_gc_objects_collected_total",
    "Objects collected during gc",
)
.labels(&["generation"])
.states(GENERATIONS)
.from(Python, "`gc.callbacks`, before it `gc.get_stats()`");

const UNCOLLECTABLE: Entry = Entry::counter(
    "python_gc_objects_uncollectable_total",
    "Uncollectable objects found during GC",
)
.labels(&["generation"])
.states(GENERATIONS)
.from(Python, "the same");

const COLLECTIONS: Entry = Entry::counter(
    "python_gc_collections_total",
    "Number of times this generation was collected",
)
.labels(&["generation"])
.states(GENERATIONS)
.from(Python, "the same");

const INFO: Entry = Entry {
    metric_type: MetricType::Info,
    ..Entry::gauge("python_info", "Python platform information")
        .labels(&["implementation", "major", "minor", "patchlevel", "version"])
        .from(Source::Python, "the module `platform`")
};

pub(super) const FAMILIES: &[Entry] = &[COLLECTED, UNCOLLECTABLE, COLLECTIONS, INFO];

/// The version of Python that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonVersion {
    implementation: String,
    version: String,
}

impl PythonVersion {
    /// Takes the results of `platform.python_implementation()` and
    /// `platform.python_version()`, for example `CPython` and `3.12.1`.
    pub fn new(implementation: &str, version: &str) -> Self {
        Self {
            implementation: implementation.to_owned(),
            version: version.to_owned(),
        }
    }

    pub(super) fn register(&self, registries: &Registries) -> Result<(), RegisterError> {
        // 3.13.0rc2 has the patch level 0rc2.
        let mut parts = self.version.splitn(3, '.');
        let mut part = || parts.next().unwrap_or_default();
        let values = [&self.implementation, part(), part(), part(), &self.version];
        let labels = INFO.labels.iter().copied().zip(values);
        registries
            .of(&INFO)
            .info(INFO.name, INFO.help, labels)
            .map(drop)
    }
}

/// The collector's counts of one generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generation {
    /// Runs of this generation.
    pub collections: u64,
    /// Objects that were freed.
    pub collected: u64,
    /// Objects that could not be freed.
    pub uncollectable: u64,
}

/// The totals of the garbage collector, by generation.
#[derive(Clone, Debug)]
pub struct GcTotals {
    cells: Vec<Cells>,
}

#[derive(Clone, Debug)]
struct Cells {
    collections: Handle<Counter>,
    collected: Handle<Counter>,
    uncollectable: Handle<Counter>,
}

impl GcTotals {
    pub(super) fn register(registries: &Registries) -> Result<Self, RegisterError> {
        let family = |entry: &Entry| entry.family::<Counter>(registries.of(entry)).register();
        let (collected, uncollectable, collections) = (
            family(&COLLECTED)?,
            family(&UNCOLLECTABLE)?,
            family(&COLLECTIONS)?,
        );
        let cells = GENERATIONS.iter().map(|generation| {
            let of = |family: &stethoscope::Family<Counter>| {
                family
                    .with([*generation])
                    .expect("one label, and no cap on the series")
            };
            Cells {
                collections: of(&collections),
                collected: of(&collected),
                uncollectable: of(&uncollectable),
            }
        });
        Ok(Self {
            cells: cells.collect(),
        })
    }

    /// Adds to the counts of a generation. Generations that CPython does not have
    /// are ignored.
    pub fn add(&self, generation: usize, more: Generation) {
        let Some(cells) = self.cells.get(generation) else {
            return;
        };
        cells.collections.inc_by(more.collections);
        cells.collected.inc_by(more.collected);
        cells.uncollectable.inc_by(more.uncollectable);
    }

    /// Returns the totals so far: 0 for a generation that CPython does not have.
    pub fn get(&self, generation: usize) -> Generation {
        self.cells
            .get(generation)
            .map_or(Generation::default(), |cells| Generation {
                collections: cells.collections.get(),
                collected: cells.collected.get(),
                uncollectable: cells.uncollectable.get(),
            })
    }
}
