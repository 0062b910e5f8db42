//! The workers of a cluster, as the scheduler knows them from their heartbeats.
//!
//! One page is enough to watch a cluster whose workers cannot be scraped. The
//! numbers are added up over all workers. If `max_workers` is above 0, that many
//! workers have series of their own, with the label `worker_name`, and the others
//! are added up as `other`.

use super::entry::{Entry, Source::Workers as FromWorkers};
use super::registries::Registries;
use crate::instant::AtomicInstant;
use std::collections::HashMap;
use std::sync::Arc;
use stethoscope::cell::FloatGauge;
use stethoscope::{Family, Handle, RegisterError};

/// The label of workers with series of their own.
pub(super) const WORKER_NAME: &str = "worker_name";

/// The name of the workers without series of their own.
const OTHER: &str = "other";

/// One number of each worker.
struct WorkerNumber {
    entry: Entry,
    /// The value of the label `type`, if the family has it.
    kind: Option<&'static str>,
    of: fn(&WorkerReading) -> f64,
}

const MEMORY: Entry = Entry::gauge(
    "dask_scheduler_workers_memory_bytes",
    "Memory breakdown of the workers, as of their last heartbeats",
)
.labels(&["type"])
.from(
    FromWorkers,
    "`nbytes`, `metrics[\"memory\"]` and `metrics[\"spilled_bytes\"]` of each of `workers`",
);

const MEMORY_LIMIT: Entry = Entry::gauge(
    "dask_scheduler_workers_memory_limit_bytes",
    "Memory that the workers may use",
)
.from(FromWorkers, "`memory_limit` of each of `workers`");

const THREADS: Entry = Entry::gauge(
    "dask_scheduler_workers_threads",
    "Number of threads of the workers",
)
.from(FromWorkers, "`nthreads` of each of `workers`");

const EXECUTING: Entry = Entry::gauge(
    "dask_scheduler_workers_executing",
    "Number of tasks that the workers execute, as of their last heartbeats",
)
.from(
    FromWorkers,
    "`metrics[\"task_counts\"]` of each of `workers`, in older versions `metrics[\"executing\"]`",
);

const CPU: Entry = Entry::gauge(
    "dask_scheduler_workers_cpu_percent",
    "CPU use of the workers, 100 for each core, as of their last heartbeats",
)
.from(FromWorkers, "`metrics[\"cpu\"]` of each of `workers`");

const HEARTBEAT_AGE: Entry = Entry::gauge(
    "dask_scheduler_worker_heartbeat_age_seconds",
    "Time since the heartbeat of the worker that has been silent for longest",
)
.from(FromWorkers, "`last_seen` of each of `workers`");

const OLDEST_PROCESSING: Entry = Entry::gauge(
    "dask_scheduler_oldest_processing_age_seconds",
    "How long the oldest task has been executing on its worker; 0 if none is",
)
.from(FromWorkers, "`executing` of each of `workers`");

pub(super) const FAMILIES: &[Entry] = &[
    MEMORY,
    MEMORY_LIMIT,
    THREADS,
    EXECUTING,
    CPU,
    HEARTBEAT_AGE,
    OLDEST_PROCESSING,
];

/// The numbers that are added up.
const NUMBERS: &[WorkerNumber] = &[
    WorkerNumber {
        entry: MEMORY,
        kind: Some("managed"),
        of: |worker| worker.managed(),
    },
    WorkerNumber {
        entry: MEMORY,
        kind: Some("unmanaged"),
        of: |worker| worker.memory - worker.managed(),
    },
    WorkerNumber {
        entry: MEMORY,
        kind: Some("spilled"),
        of: |worker| worker.spilled,
    },
    WorkerNumber {
        entry: MEMORY_LIMIT,
        kind: None,
        of: |worker| worker.memory_limit,
    },
    WorkerNumber {
        entry: THREADS,
        kind: None,
        of: |worker| worker.threads,
    },
    WorkerNumber {
        entry: EXECUTING,
        kind: None,
        of: |worker| worker.executing,
    },
    WorkerNumber {
        entry: CPU,
        kind: None,
        of: |worker| worker.cpu_percent,
    },
];

/// The scheduler's knowledge of one worker. NaN stands for a number that this
/// version of Dask does not have, or that no heartbeat has brought yet.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct WorkerReading {
    /// Bytes that the worker's process takes.
    pub memory: f64,
    /// Bytes of its results in memory, as Dask counts them.
    pub results_in_memory: f64,
    /// Bytes of its results on disk.
    pub spilled: f64,
    /// Bytes that it may use.
    pub memory_limit: f64,
    /// The size of its thread pool.
    pub threads: f64,
    /// Tasks that it is executing.
    pub executing: f64,
    /// CPU use: 100 for each core.
    pub cpu_percent: f64,
    /// Seconds since its last heartbeat.
    pub heartbeat_age: f64,
    /// Seconds for which its oldest task has been executing; 0 if none is.
    pub oldest_processing: f64,
}

impl Default for WorkerReading {
    fn default() -> Self {
        Self {
            memory: f64::NAN,
            results_in_memory: f64::NAN,
            spilled: f64::NAN,
            memory_limit: f64::NAN,
            threads: f64::NAN,
            executing: f64::NAN,
            cpu_percent: f64::NAN,
            heartbeat_age: f64::NAN,
            oldest_processing: 0.0,
        }
    }
}

impl WorkerReading {
    /// The managed part of the process's memory. Dask may count more.
    fn managed(&self) -> f64 {
        if self.memory.is_nan() {
            return f64::NAN;
        }
        self.results_in_memory.clamp(0.0, self.memory.max(0.0))
    }
}

/// The families of all workers, brought up to date in passes.
#[derive(Debug)]
pub struct Workers {
    /// In the order of `NUMBERS`; numbers of one family share it.
    families: Vec<Family<FloatGauge>>,
    max_workers: usize,
    /// Sums of this pass over the workers without series of their own; `None`
    /// where no worker had the number.
    sums: Vec<Option<f64>>,
    folded: usize,
    own: HashMap<Box<str>, OwnSeries>,
    pass: u64,
    ages: Arc<Ages>,
}

/// The series of one worker.
#[derive(Debug)]
struct OwnSeries {
    /// In the order of `NUMBERS`; `None` where the number is not known.
    cells: Vec<Option<Handle<FloatGauge>>>,
    /// The pass that has seen the worker last.
    pass: u64,
}

/// Ages that go on growing between two passes.
#[derive(Debug)]
struct Ages {
    taken: AtomicInstant,
    heartbeat: FloatGauge,
    processing: FloatGauge,
}

impl Workers {
    pub(super) fn register(
        registries: &Registries,
        max_workers: usize,
    ) -> Result<Self, RegisterError> {
        let mut families: Vec<(&'static str, Family<FloatGauge>)> = Vec::new();
        let mut of_numbers = Vec::new();
        for WorkerNumber { entry, .. } in NUMBERS {
            let known = families.iter().find(|(name, _)| *name == entry.name);
            let family = match known {
                Some((_, family)) => family.clone(),
                None => {
                    let own = (max_workers > 0).then_some(WORKER_NAME);
                    let family = entry.family(registries.of(entry)).labels(own).register()?;
                    families.push((entry.name, family.clone()));
                    family
                }
            };
            of_numbers.push(family);
        }
        let ages = Arc::new(Ages {
            taken: AtomicInstant::now(),
            heartbeat: FloatGauge::default(),
            processing: FloatGauge::default(),
        });
        let age = |entry: &Entry, base: fn(&Ages) -> &FloatGauge| -> Result<(), RegisterError> {
            let registry = registries.of(entry);
            let shown: Handle<FloatGauge> = entry.family(registry).register_single()?;
            let ages = Arc::clone(&ages);
            registry.on_scrape(move || {
                let then = base(&ages).get();
                let passed = if then > 0.0 {
                    ages.taken.seconds_ago()
                } else {
                    0.0
                };
                shown.set(then + passed);
            });
            Ok(())
        };
        age(&HEARTBEAT_AGE, |ages| &ages.heartbeat)?;
        age(&OLDEST_PROCESSING, |ages| &ages.processing)?;
        Ok(Self {
            sums: vec![None; of_numbers.len()],
            families: of_numbers,
            max_workers,
            folded: 0,
            own: HashMap::new(),
            pass: 0,
            ages,
        })
    }

    /// Begins a pass over all workers.
    pub fn begin(&mut self) -> Pass {
        self.pass += 1;
        self.folded = 0;
        self.sums.fill(None);
        Pass::default()
    }

    /// Takes one worker into account.
    pub fn add(&mut self, pass: &mut Pass, name: &str, worker: &WorkerReading) {
        pass.heartbeat_age = pass.heartbeat_age.max(worker.heartbeat_age);
        pass.oldest_processing = pass.oldest_processing.max(worker.oldest_processing);
        if self.max_workers > 0 && self.show(name, worker) {
            return;
        }
        self.folded += 1;
        for (number, sum) in NUMBERS.iter().zip(&mut self.sums) {
            let value = (number.of)(worker);
            if !value.is_nan() {
                *sum = Some(sum.unwrap_or_default() + value);
            }
        }
    }

    /// Shows a worker in series of its own, if there is room. Two workers of one
    /// name cannot be.
    fn show(&mut self, name: &str, worker: &WorkerReading) -> bool {
        if !self.own.contains_key(name) {
            if self.own.len() >= self.max_workers || name == OTHER {
                return false;
            }
            let cells = (0..NUMBERS.len()).map(|_| None).collect();
            self.own.insert(name.into(), OwnSeries { cells, pass: 0 });
        }
        let OwnSeries { cells, pass } = self.own.get_mut(name).expect("it has just been made");
        if *pass == self.pass {
            return false;
        }
        *pass = self.pass;
        for (index, number) in NUMBERS.iter().enumerate() {
            let value = (number.of)(worker);
            set(
                &self.families[index],
                number.kind,
                Some(name),
                &mut cells[index],
                value,
            );
        }
        true
    }

    /// Ends a pass: shows the sums, and removes workers that were not in it.
    pub fn finish(&mut self, pass: &Pass) {
        let now = self.pass;
        for (name, OwnSeries { cells, .. }) in self.own.extract_if(|_, own| own.pass != now) {
            for (index, number) in NUMBERS.iter().enumerate() {
                if cells[index].is_some() {
                    remove(&self.families[index], number.kind, Some(&name));
                }
            }
        }
        let rest = (self.max_workers > 0).then_some(OTHER);
        for (index, number) in NUMBERS.iter().enumerate() {
            let nothing = if rest.is_none() { 0.0 } else { f64::NAN };
            let value = match (self.sums[index], self.folded) {
                (Some(sum), _) => sum,
                (None, 0) => nothing,
                (None, _) => f64::NAN,
            };
            set(&self.families[index], number.kind, rest, &mut None, value);
        }
        self.ages.taken.set_now();
        self.ages.heartbeat.set(pass.heartbeat_age.max(0.0));
        self.ages.processing.set(pass.oldest_processing.max(0.0));
    }
}

/// The maxima that a pass over the workers has found so far.
#[derive(Debug, Default)]
pub struct Pass {
    heartbeat_age: f64,
    oldest_processing: f64,
}

/// Sets a series; takes it off the page for NaN.
fn set(
    family: &Family<FloatGauge>,
    kind: Option<&str>,
    worker: Option<&str>,
    cell: &mut Option<Handle<FloatGauge>>,
    value: f64,
) {
    if value.is_nan() {
        remove(family, kind, worker);
        *cell = None;
        return;
    }
    let cell = cell.get_or_insert_with(|| {
        let found = match (kind, worker) {
            (None, None) => family.with(()),
            (Some(label), None) | (None, Some(label)) => family.with([label]),
            (Some(kind), Some(worker)) => family.with([kind, worker]),
        };
        found.expect("as many values as labels, and no cap on the series")
    });
    cell.set(value);
}

fn remove(family: &Family<FloatGauge>, kind: Option<&str>, worker: Option<&str>) {
    match (kind, worker) {
        (None, None) => family.remove(()),
        (Some(label), None) | (None, Some(label)) => family.remove([label]),
        (Some(kind), Some(worker)) => family.remove([kind, worker]),
    };
}
