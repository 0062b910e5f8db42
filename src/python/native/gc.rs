//! Counts garbage collections as they end.

use crate::dask::{GcTotals, Generation};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// A callback for `gc.callbacks` that counts garbage collections.
#[pyclass(frozen, module = "stethoscope._native")]
pub(super) struct GcWatcher {
    totals: GcTotals,
}

impl GcWatcher {
    pub(super) fn new(totals: GcTotals) -> Self {
        Self { totals }
    }

    fn snapshot(&self, generations: usize) -> Vec<Generation> {
        (0..generations).map(|g| self.totals.get(g)).collect()
    }
}

#[pymethods]
impl GcWatcher {
    fn __call__(&self, phase: &str, info: &Bound<'_, PyDict>) -> PyResult<()> {
        if phase != "stop" {
            return Ok(());
        }
        let py = info.py();
        let read = |key| -> PyResult<u64> { info.as_any().get_item(key)?.extract() };
        let generation = read(intern!(py, "generation"))?;
        let more = Generation {
            collections: 1,
            collected: read(intern!(py, "collected"))?,
            uncollectable: read(intern!(py, "uncollectable"))?,
        };
        self.totals.add(generation as usize, more);
        Ok(())
    }

    /// Add the collections before the first call, which `get_stats` knows.
    ///
    /// Call it once, after this object has joined `gc.callbacks`.
    fn seed(&self, get_stats: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = get_stats.py();
        // Making the answer may itself cause a collection: ask until none was counted
        // meanwhile.
        let (stats, counted) = loop {
            let stats: Vec<Bound<'_, PyDict>> = {
                let before = self.snapshot(3);
                let stats = get_stats.call0()?.extract()?;
                if self.snapshot(3) != before {
                    continue;
                }
                stats
            };
            let counted = self.snapshot(stats.len());
            break (stats, counted);
        };
        for (generation, (stats, counted)) in stats.iter().zip(counted).enumerate() {
            let missing = |key, counted: u64| -> PyResult<u64> {
                let total: u64 = stats.as_any().get_item(key)?.extract()?;
                Ok(total.saturating_sub(counted))
            };
            let before = Generation {
                collections: missing(intern!(py, "collections"), counted.collections)?,
                collected: missing(intern!(py, "collected"), counted.collected)?,
                uncollectable: missing(intern!(py, "uncollectable"), counted.uncollectable)?,
            };
            self.totals.add(generation, before);
        }
        Ok(())
    }
}
