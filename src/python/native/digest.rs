//! Objects that Dask calls when something happens: ticks, tasks, transfers.

use crate::dask::EventMetrics;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

/// Receives each tick, task duration or bandwidth of one of Dask's servers.
///
/// It has the methods of `distributed.counter.Digest`, and passes everything on to
/// such a digest if there is one.
#[pyclass(frozen, module = "stethoscope._native")]
pub(super) struct Digest {
    metrics: EventMetrics,
    inner: Option<Py<PyAny>>,
}

impl Digest {
    pub(super) fn new(metrics: EventMetrics, inner: Option<Py<PyAny>>) -> Self {
        Self { metrics, inner }
    }

    fn inner<'py>(&self, py: Python<'py>) -> Option<&Bound<'py, PyAny>> {
        self.inner.as_ref().map(|inner| inner.bind(py))
    }
}

#[pymethods]
impl Digest {
    /// Take one value.
    fn add(&self, py: Python<'_>, item: f64) -> PyResult<()> {
        self.metrics.observe(item);
        if let Some(inner) = self.inner(py) {
            inner.call_method1(intern!(py, "add"), (item,))?;
        }
        Ok(())
    }

    /// Take several values.
    fn update(&self, py: Python<'_>, seq: &Bound<'_, PyAny>) -> PyResult<()> {
        for item in seq.try_iter()? {
            self.add(py, item?.extract()?)?;
        }
        Ok(())
    }

    /// Age the inner digest.
    fn shift(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(inner) = self.inner(py) {
            inner.call_method0(intern!(py, "shift"))?;
        }
        Ok(())
    }

    /// Return the size of the inner digest, or 0.
    fn size(&self, py: Python<'_>) -> PyResult<f64> {
        match self.inner(py) {
            Some(inner) => inner.call_method0(intern!(py, "size"))?.extract(),
            None => Ok(0.0),
        }
    }

    /// The components of the inner digest.
    #[getter]
    fn components<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.inner(py) {
            Some(inner) => inner.getattr(intern!(py, "components")),
            None => Ok(PyList::empty(py).into_any()),
        }
    }

    /// The intervals of the inner digest.
    #[getter]
    fn intervals<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self.inner(py) {
            Some(inner) => inner.getattr(intern!(py, "intervals")),
            None => Ok(PyList::empty(py).into_any()),
        }
    }
}

/// Receives the messages of finished tasks in place of a scheduler's own handler,
/// and passes them on to it.
#[pyclass(frozen, module = "stethoscope._native")]
pub(super) struct TaskFinished {
    metrics: EventMetrics,
    inner: Py<PyAny>,
}

impl TaskFinished {
    pub(super) fn new(metrics: EventMetrics, inner: Py<PyAny>) -> Self {
        Self { metrics, inner }
    }

    /// Returns for how long the worker has computed, if the message says so.
    fn computed(message: &Bound<'_, PyDict>) -> Option<f64> {
        let py = message.py();
        let spans = message.get_item(intern!(py, "startstops")).ok()??;
        for span in spans.try_iter().ok()? {
            let span = span.ok()?;
            let action = span.get_item(intern!(py, "action")).ok()?;
            if action.eq(intern!(py, "compute")).ok()? {
                let time = |key| -> Option<f64> { span.get_item(key).ok()?.extract().ok() };
                return Some(time(intern!(py, "stop"))? - time(intern!(py, "start"))?);
            }
        }
        None
    }
}

#[pymethods]
impl TaskFinished {
    #[pyo3(signature = (*args, **message))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, PyTuple>,
        message: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if let Some(seconds) = message.and_then(Self::computed) {
            self.metrics.observe(seconds.max(0.0));
        }
        self.inner.bind(py).call(args, message)
    }

    /// The handler that everything is passed on to.
    #[getter]
    fn inner(&self, py: Python<'_>) -> Py<PyAny> {
        self.inner.clone_ref(py)
    }
}
