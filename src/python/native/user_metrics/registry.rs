//! Metrics by name, and the page that shows them.

use super::metrics::{Counter, Gauge, Histogram, HistogramHandle, MetricHandle, Summary};
use super::server::Server;
use super::spec::Spec;
use super::store::Store;
use crate::native::convert::Renderer;
use crate::native::prometheus_client::Mirrored;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use std::sync::Arc;
use stethoscope::exposition::Offer;

/// Metrics by name, and the page that shows them.
///
/// The functions of the module `stethoscope` are the methods of the registry
/// that belongs to the process. A registry of your own is for tests, or for a
/// page apart.
///
/// There is one metric of each name. Asking for it again returns the same one,
/// as long as kind, labels and options agree with the first request; otherwise
/// `ValueError` is raised. `ValueError` is also raised for names that Prometheus
/// does not allow and, in the registry of the process, for names that Dask's
/// pages use.
#[pyclass(frozen, module = "stethoscope")]
pub(in crate::native) struct Registry {
    store: Arc<Store>,
    renderer: Renderer,
}

impl Registry {
    fn with_store(store: Store) -> Self {
        Self {
            renderer: Renderer::new(store.registry()),
            store: Arc::new(store),
        }
    }

    pub(in crate::native) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The registry that a page can include.
    pub(in crate::native) fn registry(&self) -> &stethoscope::Registry {
        self.store.registry()
    }
}

#[pymethods]
impl Registry {
    #[new]
    fn new() -> Self {
        Self::with_store(Store::new(false))
    }

    /// Return the counter of this name: a number that only goes up.
    ///
    /// The name may be given with or without `_total`. `labels` are the names of
    /// the labels that tell its series apart.
    ///
    /// `max_series` bounds how many sets of label values there may be. Updates of
    /// any others are dropped, and `stethoscope_series_refused_total` counts how
    /// many were refused.
    #[pyo3(
        signature = (name, help = None, labels = None, **options),
        text_signature = "($self, name, help='', labels=(), *, max_series=None)"
    )]
    fn counter(
        &self,
        name: &str,
        help: Option<&Bound<'_, PyAny>>,
        labels: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Counter> {
        let spec = Spec::new("counter", name, help, labels, options)?;
        Ok(Counter(MetricHandle::create(&self.store, spec)?))
    }

    /// Return the gauge of this name: a number that goes up and down.
    ///
    /// `labels` and `max_series` are as in `counter`.
    #[pyo3(
        signature = (name, help = None, labels = None, **options),
        text_signature = "($self, name, help='', labels=(), *, max_series=None)"
    )]
    fn gauge(
        &self,
        name: &str,
        help: Option<&Bound<'_, PyAny>>,
        labels: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Gauge> {
        let spec = Spec::new("gauge", name, help, labels, options)?;
        Ok(Gauge(MetricHandle::create(&self.store, spec)?))
    }

    /// Return the histogram of this name: observations, counted in buckets.
    ///
    /// `buckets` are the upper bounds, ascending; by default from 0.005 to 10.
    /// `+Inf` need not be given. `labels` and `max_series` are as in `counter`.
    ///
    /// With `native=True` it is a native histogram, which needs no bounds: its buckets
    /// are 9 % wide, and wider if the values spread over more than a factor of a
    /// million. Prometheus stores it as one series if it is told to store native
    /// histograms (`scrape_native_histograms`, or the feature flag
    /// `native-histograms` of servers before 3.8). A client that reads text sees
    /// the `buckets` if they are given too, and otherwise that of `+Inf` alone.
    /// Negative values are counted in the zero bucket, and add nothing to the sum. Each
    /// series takes 10 KB.
    #[pyo3(
        signature = (name, help = None, labels = None, **options),
        text_signature = "($self, name, help='', labels=(), *, buckets=None, native=None, max_series=None)"
    )]
    fn histogram(
        &self,
        name: &str,
        help: Option<&Bound<'_, PyAny>>,
        labels: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Histogram> {
        let spec = Spec::new("histogram", name, help, labels, options)?;
        Ok(Histogram(HistogramHandle::create(&self.store, spec)?))
    }

    /// Return the summary of this name: quantiles of recent observations.
    ///
    /// The `quantiles` (by default 0.5, 0.9, 0.99) are of the observations of the
    /// last `window` seconds (by default 60) and at most 1 % off; the sum and the
    /// count are over all time.
    ///
    /// Values below 1e-9 count as 0, and those above 1.7e13 as that, unless `range`
    /// gives other limits. Without observations in the window the quantiles are
    /// NaN, or with `keep_last` those of the last that there were. Each series takes
    /// about 150 KB, and more for a wider range. `labels` and `max_series` are as in
    /// `counter`.
    #[pyo3(
        signature = (name, help = None, labels = None, **options),
        text_signature = "($self, name, help='', labels=(), *, quantiles=None, window=None, range=None, keep_last=None, max_series=None)"
    )]
    fn summary(
        &self,
        name: &str,
        help: Option<&Bound<'_, PyAny>>,
        labels: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Summary> {
        let spec = Spec::new("summary", name, help, labels, options)?;
        Ok(Summary(MetricHandle::create(&self.store, spec)?))
    }

    /// Take a metric off the page. Return True if it was there.
    ///
    /// Asking for the name again makes a new metric, which may have other labels
    /// or be of another kind. Objects of the old one stay usable, but what they
    /// count is not shown.
    fn unregister(&self, name: &str) -> bool {
        self.store.unregister(name)
    }

    /// Return the page for a client with this Accept header, and its content type.
    ///
    /// With `openmetrics2` a client that names `version=2.0.0` gets OpenMetrics 2.0,
    /// whose standard is a release candidate.
    #[pyo3(signature = (accept = "", *, openmetrics2 = false))]
    fn page<'py>(
        &self,
        py: Python<'py>,
        accept: &str,
        openmetrics2: bool,
    ) -> (Bound<'py, PyBytes>, &'static str) {
        let offer = Offer::new().with_openmetrics2(openmetrics2);
        self.renderer.render(py, accept, offer)
    }

    /// Serve the page at `/metrics`, with `process_*` on it, on a thread that
    /// needs no GIL.
    ///
    /// `host` may be `0.0.0.0` or `::` for all addresses of the machine; port 0
    /// finds a free one. With `prometheus_client` the metrics of that library's
    /// global registry are on the page too; by default they are if this is the
    /// registry of the process. With `openmetrics2` a scraper that names
    /// `version=2.0.0` gets OpenMetrics 2.0, whose standard is a release candidate.
    ///
    /// The server runs until it is stopped or the process ends, whether or not
    /// the returned object is kept. Raises `OSError` if it cannot listen there, and
    /// `ValueError` for a port that does not exist.
    #[pyo3(signature = (port = 0, host = "127.0.0.1", *, prometheus_client = None, openmetrics2 = false))]
    fn serve(
        &self,
        py: Python<'_>,
        port: i64,
        host: &str,
        prometheus_client: Option<bool>,
        openmetrics2: bool,
    ) -> PyResult<Server> {
        let Ok(port) = u16::try_from(port) else {
            let error = format!("invalid port {port}: expected 0 to 65535");
            return Err(PyValueError::new_err(error));
        };
        let mut registries = vec![self.registry().clone()];
        if prometheus_client.unwrap_or(self.store.is_of_process()) {
            let module = py.import("stethoscope._prometheus_client")?;
            let mirrored = module.call_method0("start")?;
            registries.push(mirrored.cast::<Mirrored>()?.get().registry().clone());
        }
        py.detach(|| Server::start(&registries, host, port, openmetrics2))
    }
}

/// Return the registry of the process.
#[pyfunction]
pub(in crate::native) fn process_registry(py: Python<'_>) -> PyResult<Py<Registry>> {
    static OF_PROCESS: PyOnceLock<Py<Registry>> = PyOnceLock::new();
    let make = || Py::new(py, Registry::with_store(Store::new(true)));
    Ok(OF_PROCESS.get_or_try_init(py, make)?.clone_ref(py))
}

/// Return the metric of the process that was pickled in another one.
///
/// `values` are the label values of a series, or None for the whole metric.
#[pyfunction]
pub(in crate::native) fn restore<'py>(
    py: Python<'py>,
    kind: &str,
    name: &str,
    help: &Bound<'py, PyAny>,
    labels: &Bound<'py, PyAny>,
    options: &Bound<'py, PyDict>,
    values: Option<Py<PyTuple>>,
) -> PyResult<Bound<'py, PyAny>> {
    let store = Arc::clone(&process_registry(py)?.get().store);
    let spec = Spec::new(kind, name, Some(help), Some(labels), Some(options))?;
    Ok(match kind {
        "counter" => Counter(MetricHandle::restored(store, spec, values))
            .into_pyobject(py)?
            .into_any(),
        "gauge" => Gauge(MetricHandle::restored(store, spec, values))
            .into_pyobject(py)?
            .into_any(),
        "histogram" => Histogram(HistogramHandle::restored(store, spec, values))
            .into_pyobject(py)?
            .into_any(),
        _ => Summary(MetricHandle::restored(store, spec, values))
            .into_pyobject(py)?
            .into_any(),
    })
}
