//! Reads the workers of a scheduler from its objects.

use super::convert::number;
use crate::dask::{self, Pass, WorkerReading};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};

/// Brings the numbers of a scheduler's workers up to date in passes: `begin`,
/// `take` for each slice of them, `finish`.
#[pyclass(module = "stethoscope._native")]
pub(super) struct Workers {
    workers: dask::Workers,
    pass: Pass,
}

impl Workers {
    pub(super) fn new(workers: dask::Workers) -> Self {
        Self {
            workers,
            pass: Pass::default(),
        }
    }

    fn take_one(&mut self, worker: &Bound<'_, PyAny>, now: f64) -> PyResult<()> {
        let py = worker.py();
        let name = worker.getattr(intern!(py, "name"))?.str()?;
        let mut reading = WorkerReading::default();
        let attribute = |name: &Bound<'_, PyString>| -> f64 {
            let value = worker.getattr(name).and_then(|value| number(&value));
            value.unwrap_or(f64::NAN)
        };
        reading.memory_limit = attribute(intern!(py, "memory_limit"));
        reading.threads = attribute(intern!(py, "nthreads"));
        reading.heartbeat_age = (now - attribute(intern!(py, "last_seen"))).max(0.0);
        let oldest = oldest_executing(worker);
        if oldest > 0.0 {
            reading.oldest_processing = oldest + reading.heartbeat_age;
        }
        let metrics = worker.getattr(intern!(py, "metrics"))?;
        if let Ok(metrics) = metrics.cast::<PyDict>() {
            let nbytes = attribute(intern!(py, "nbytes"));
            read_metrics(metrics, nbytes, &mut reading);
        }
        self.workers.add(&mut self.pass, name.to_str()?, &reading);
        Ok(())
    }
}

/// Returns for how long the worker's oldest task has been executing, as of its
/// last heartbeat; 0 if none is.
fn oldest_executing(worker: &Bound<'_, PyAny>) -> f64 {
    let executing = worker.getattr(intern!(worker.py(), "executing"));
    let Ok(executing) = executing.and_then(|tasks| Ok(tasks.cast_into::<PyDict>()?)) else {
        return 0.0;
    };
    let durations = executing
        .iter()
        .filter_map(|(_, seconds)| number(&seconds).ok());
    durations.fold(0.0, f64::max)
}

/// Reads the metrics of a heartbeat. Those that are missing stay NaN.
fn read_metrics(metrics: &Bound<'_, PyDict>, nbytes: f64, reading: &mut WorkerReading) {
    let py = metrics.py();
    let item = |metrics: &Bound<'_, PyDict>, key: &Bound<'_, PyString>| -> Option<f64> {
        number(&metrics.get_item(key).ok()??).ok()
    };
    reading.memory = item(metrics, intern!(py, "memory")).unwrap_or(f64::NAN);
    reading.cpu_percent = item(metrics, intern!(py, "cpu")).unwrap_or(f64::NAN);
    let executing = match mapping(metrics, intern!(py, "task_counts")) {
        // States without tasks are left out.
        Some(counts) => Some(item(&counts, intern!(py, "executing")).unwrap_or(0.0)),
        None => item(metrics, intern!(py, "executing")),
    };
    reading.executing = executing.unwrap_or(f64::NAN);
    let spilled = mapping(metrics, intern!(py, "spilled_bytes"));
    let spilled = |key| spilled.as_ref().and_then(|bytes| item(bytes, key));
    reading.spilled = spilled(intern!(py, "disk")).unwrap_or(f64::NAN);
    reading.results_in_memory = nbytes - spilled(intern!(py, "memory")).unwrap_or(0.0);
}

fn mapping<'py>(
    metrics: &Bound<'py, PyDict>,
    key: &Bound<'py, PyString>,
) -> Option<Bound<'py, PyDict>> {
    metrics.get_item(key).ok()??.cast_into().ok()
}

/// A worker that could not be read, and why.
type Failure = (Py<PyAny>, PyErr);

#[pymethods]
impl Workers {
    /// Begins a pass over all workers.
    fn begin(&mut self) {
        self.pass = self.workers.begin();
    }

    /// Takes some of them, as of `now`, which is in seconds since 1970. Returns
    /// the failures: the worker and the exception of each.
    fn take(&mut self, workers: &Bound<'_, PyList>, now: f64) -> Vec<Failure> {
        let mut failures = Vec::new();
        for worker in workers {
            if let Err(error) = self.take_one(&worker, now) {
                failures.push((worker.unbind(), error));
            }
        }
        failures
    }

    /// Ends the pass. Workers that were not in it leave the page.
    fn finish(&mut self) {
        self.workers.finish(&self.pass);
    }
}
