//! Hears of the tasks that a worker executes.

use crate::dask;
use pyo3::prelude::*;

/// Counts the tasks that a worker executes, by task prefix.
#[pyclass(module = "stethoscope._native")]
pub(super) struct Executing(pub(super) dask::Executing);

#[pymethods]
impl Executing {
    /// Count a task of this prefix that begins.
    fn begin(&mut self, prefix: &str) {
        self.0.begin(prefix);
    }

    /// Count a task of this prefix that has ended.
    fn end(&mut self, prefix: &str) {
        self.0.end(prefix);
    }
}
