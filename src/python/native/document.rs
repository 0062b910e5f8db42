//! Documents that the native thread serves beside the page.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use stethoscope::endpoint;

/// A JSON document that is served at a path.
#[pyclass(frozen, module = "stethoscope._native")]
pub(super) struct Document(pub(super) endpoint::Document);

#[pymethods]
impl Document {
    #[new]
    fn new(path: &str) -> Self {
        Self(endpoint::Document::new(path, "application/json"))
    }

    /// The path that it is served at.
    #[getter]
    fn path(&self) -> &str {
        self.0.path()
    }

    /// The contents.
    #[getter]
    fn bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.bytes())
    }

    /// Serve these contents from now on.
    fn replace(&self, bytes: &[u8]) {
        self.0.replace(bytes);
    }
}
