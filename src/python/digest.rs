//! Takes the place of a digest of Dask's.

use crate::Handle;
use crate::cell::Quantile;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyList;

/// What Dask's servers hand each tick, task duration and bandwidth to. It has
/// the methods of `distributed.counter.Digest`, and passes everything on to
/// such a one if there is one.
#[pyclass(frozen, module = "stethoscope._native")]
pub(super) struct Digest {
    cell: Handle<Quantile>,
    inner: Option<Py<PyAny>>,
}

impl Digest {
    pub(super) fn new(cell: Handle<Quantile>, inner: Option<Py<PyAny>>) -> Self {
        Self { cell, inner }
    }

    fn inner<'py>(&self, py: Python<'py>) -> Option<&Bound<'py, PyAny>> {
        self.inner.as_ref().map(|inner| inner.bind(py))
    }
}

#[pymethods]
impl Digest {
    fn add(&self, py: Python<'_>, item: f64) -> PyResult<()> {
        self.cell.observe(item);
        if let Some(inner) = self.inner(py) {
            inner.call_method1(intern!(py, "add"), (item,))?;
        }
        Ok(())
    }

    fn update(&self, py: Python<'_>, seq: &Bound<'_, PyAny>) -> PyResult<()> {
        for item in seq.try_iter()? {
            self.add(py, item?.extract()?)?;
        }
        Ok(())
    }

    fn shift(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(inner) = self.inner(py) {
            inner.call_method0(intern!(py, "shift"))?;
        }
        Ok(())
    }

    fn size(&self, py: Python<'_>) -> PyResult<f64> {
        match self.inner(py) {
            Some(inner) => inner.call_method0(intern!(py, "size"))?.extract(),
            None => Ok(0.0),
        }
    }

    #[getter]
    fn components<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.inner(py) {
            Some(inner) => inner.getattr(intern!(py, "components")),
            None => Ok(PyList::empty(py).into_any()),
        }
    }

    #[getter]
    fn intervals<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.inner(py) {
            Some(inner) => inner.getattr(intern!(py, "intervals")),
            None => Ok(PyList::empty(py).into_any()),
        }
    }
}
