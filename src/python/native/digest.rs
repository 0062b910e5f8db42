//! Takes the place of what Dask calls when something happens.

use crate::dask::EventMetrics;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

/// What Dask's servers hand each tick, task duration and bandwidth to. It has
/// the methods of `distributed.counter.Digest`, and passes everything on to
/// such a one if there is one.
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
    fn add(&self, py: Python<'_>, item: f64) -> PyResult<()> {
        self.metrics.observe(item);
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

/// Takes the place of a scheduler's handler of finished tasks, and passes
/// everything on to it.
#[pyclass(frozen, module = "stethoscope._native")]
pub(super) struct TaskFinished {
    metrics: EventMetrics,
    inner: Py<PyAny>,
}

impl TaskFinished {
    pub(super) fn new(metrics: EventMetrics, inner: Py<PyAny>) -> Self {
        Self { metrics, inner }
    }

    /// The time that the worker has computed for, if the message tells it.
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
