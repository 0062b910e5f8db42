//! The page of one server, and the samples that it shows.

use super::black_box::BlackBox;
use super::convert::{duration, value_error};
use super::digest::{Digest, TaskFinished};
use super::document::Document;
use super::executing::Executing;
use super::gc::GcWatcher;
use super::listener::{Listener, Rest};
use super::prefixes::Prefixes;
use super::prometheus_client::Mirrored;
use super::user_metrics::Registry;
use super::workers::Workers;
use crate::dask::{self, Event, EventMetrics, Options, PythonVersion, Role, SampledFamily};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, PoisonError};
use stethoscope::cell::Buckets;
use stethoscope::endpoint::{Builder, Responder, ScrapeRequest};

type Headers = Vec<(&'static str, &'static str)>;

/// The metrics of one server.
#[pyclass(frozen, module = "stethoscope._native")]
pub(super) struct Page {
    page: dask::Page,
    /// The time for which the last sample counts as fresh.
    rest: Arc<Rest>,
    responder: Mutex<Responder>,
}

#[pymethods]
impl Page {
    /// The page of a `"scheduler"` or a `"worker"`.
    ///
    /// Medians and maxima are over the last `window` seconds, and `buckets` are the
    /// upper bounds of the histograms of durations, in seconds. With
    /// `native_histograms` those are native, and have such bounds only if given. At most
    /// `max_task_prefixes` task prefixes and `max_workers` workers have series of
    /// their own. The families in `left_out` are not shown, each series has `labels`,
    /// and the names of families about Dask begin with `namespace` (by default
    /// "dask"). With `openmetrics2` scrapers that ask for OpenMetrics 2.0 get it. With a
    /// `black_box` the values are there. Raises `ValueError` if an
    /// argument is invalid.
    #[new]
    #[pyo3(signature = (role, *, window=None, buckets=None, native_histograms=false, max_task_prefixes=None, max_workers=None, left_out=vec![], labels=vec![], namespace=None, openmetrics2=false, black_box=None))]
    #[expect(clippy::too_many_arguments, reason = "all by name, in Python")]
    fn new(
        py: Python<'_>,
        role: &str,
        window: Option<f64>,
        buckets: Option<Vec<f64>>,
        native_histograms: bool,
        max_task_prefixes: Option<usize>,
        max_workers: Option<usize>,
        left_out: Vec<String>,
        labels: Vec<(String, String)>,
        namespace: Option<String>,
        openmetrics2: bool,
        black_box: Option<PyRef<'_, BlackBox>>,
    ) -> PyResult<Self> {
        let role = match role {
            "scheduler" => Role::Scheduler,
            "worker" => Role::Worker,
            other => {
                let error = format!("unknown role {other:?}: expected \"scheduler\" or \"worker\"");
                return Err(PyValueError::new_err(error));
            }
        };
        let platform = py.import("platform")?;
        let say = |function| -> PyResult<String> { platform.call_method0(function)?.extract() };
        let python = PythonVersion::new(&say("python_implementation")?, &say("python_version")?);
        let mut options = Options {
            left_out,
            labels,
            native_histograms,
            openmetrics2,
            ..Options::default()
        };
        if let Some(window) = window {
            options.window = duration(window)?;
        }
        if let Some(bounds) = buckets {
            options.buckets = Some(Buckets::new(bounds).map_err(value_error)?);
        }
        if let Some(namespace) = namespace {
            options.namespace = namespace;
        }
        if let Some(prefixes) = max_task_prefixes {
            options.max_task_prefixes = prefixes;
        }
        if let Some(workers) = max_workers {
            options.max_workers = workers;
        }
        let page = match &black_box {
            None => dask::Page::new(role, &python, &options),
            Some(black_box) => dask::Page::in_segment(role, &python, &options, black_box.segment()),
        };
        let page = page.map_err(value_error)?;
        Ok(Self {
            responder: Mutex::new(Responder::new(page.registry()).openmetrics2(openmetrics2)),
            page,
            rest: Arc::new(Rest::new()),
        })
    }

    /// Put families on the page whose values come with samples, in this order.
    fn samples(&self, families: Vec<String>) -> PyResult<Samples> {
        let slots: Result<Vec<_>, _> = families
            .iter()
            .map(|name| self.page.sampled(name))
            .collect();
        Ok(Samples {
            slots: slots.map_err(value_error)?,
        })
    }

    /// Put the families of task prefixes on the page, as far as `example` has the
    /// attributes: the class of the prefixes, or one of them. `activities` says
    /// whether the activities of the workers are known.
    #[pyo3(signature = (example, *, activities = false))]
    fn prefixes(&self, example: &Bound<'_, PyAny>, activities: bool) -> PyResult<Prefixes> {
        Prefixes::new(&self.page, example, activities)
    }

    /// Put the families of workers on the page.
    fn workers(&self) -> PyResult<Workers> {
        let workers = self.page.workers().map_err(value_error)?;
        Ok(Workers::new(workers))
    }

    /// Put the families of an event (`"tick"`, `"task"` or `"transfer"`) on the page.
    ///
    /// Return the digest that feeds them, and `inner` too unless that is None.
    fn digest(&self, event: &str, inner: Option<Py<PyAny>>) -> PyResult<Digest> {
        Ok(Digest::new(self.events(event)?, inner))
    }

    /// Put the families of finished tasks on the page. Return the callable that feeds
    /// them, to take the place of the scheduler's handler `inner`.
    fn task_finished(&self, inner: Py<PyAny>) -> PyResult<TaskFinished> {
        Ok(TaskFinished::new(self.events("task")?, inner))
    }

    /// Put the family of executing tasks on a worker's page.
    fn executing(&self) -> PyResult<Executing> {
        Ok(Executing(self.page.executing().map_err(value_error)?))
    }

    /// Say that the sampled values are fresh, and how many seconds of the event
    /// loop's time the sample took.
    fn sampled(&self, seconds: f64) {
        self.page.sample_taken();
        self.page.sampling_took(seconds);
        self.rest.begin(seconds);
    }

    /// Start a thread that brings the page in the black box up to date every `interval`
    /// seconds, without the GIL, and says that the process is alive.
    fn keep_in(&self, black_box: PyRef<'_, BlackBox>, interval: f64) -> PyResult<()> {
        black_box.keep(self.page.registry(), duration(interval)?)
    }

    /// Return the callback for `gc.callbacks` that counts garbage collections for
    /// this page.
    fn gc_watcher(&self) -> GcWatcher {
        GcWatcher::new(self.page.gc().clone())
    }

    /// Serve the page, and documents beside it, on a native thread, at sockets that
    /// another server listens on.
    ///
    /// Their owner keeps them and must not accept meanwhile. A scrape waits at most
    /// `refresh_timeout` seconds for the event loop.
    fn listen(
        &self,
        sockets: Vec<RawFd>,
        refresh_timeout: f64,
        documents: Vec<PyRef<'_, Document>>,
    ) -> PyResult<Listener> {
        let builder = self.endpoint(&documents);
        let refresh = (duration(refresh_timeout)?, Arc::clone(&self.rest));
        Ok(Listener::take_over(builder, &sockets, refresh)?)
    }

    /// Serve them at a port of their own; port 0 finds a free one. Raises `OSError`
    /// if the thread cannot listen there.
    fn listen_at(
        &self,
        py: Python<'_>,
        host: &str,
        port: u16,
        refresh_timeout: f64,
        documents: Vec<PyRef<'_, Document>>,
    ) -> PyResult<Listener> {
        let builder = self.endpoint(&documents);
        let refresh = (duration(refresh_timeout)?, Arc::clone(&self.rest));
        // Resolving the host may take some time.
        Ok(py.detach(|| Listener::at(builder, (host, port), refresh))?)
    }

    /// Return status, headers and body for a request that another server received.
    fn respond<'py>(
        &self,
        py: Python<'py>,
        query: &str,
        accept: &str,
        accept_encoding: &str,
    ) -> (u16, Headers, Bound<'py, PyBytes>) {
        // The responder's lock is never held while the GIL is waited for.
        let (status, headers, body) = py.detach(|| {
            let mut responder = self
                .responder
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let request = ScrapeRequest::new("GET")
                .query(query)
                .accept(accept)
                .accept_encoding(accept_encoding);
            let response = responder.respond(&request);
            let headers: Headers = response.headers().collect();
            (response.status(), headers, response.body().to_vec())
        });
        (status, headers, PyBytes::new(py, &body))
    }

    /// Show the metrics of a `Registry` or of a `Mirrored` on this page, after
    /// its own. A family whose name the page has already is left out.
    fn include(&self, other: Includable<'_>) {
        self.page.include(other.registry());
    }

    /// Take them off the page. Return True if they were on it.
    fn exclude(&self, other: Includable<'_>) -> bool {
        self.page.exclude(other.registry())
    }
}

/// A registry or a mirror, which a page can include.
#[derive(FromPyObject)]
enum Includable<'py> {
    Registry(Bound<'py, Registry>),
    Mirrored(Bound<'py, Mirrored>),
}

impl Includable<'_> {
    fn registry(&self) -> &stethoscope::Registry {
        match self {
            Self::Registry(registry) => registry.get().registry(),
            Self::Mirrored(mirrored) => mirrored.get().registry(),
        }
    }
}

impl Page {
    fn endpoint(&self, documents: &[PyRef<'_, Document>]) -> Builder {
        let page = self.page.endpoint();
        let add = |builder: Builder, document: &PyRef<'_, Document>| builder.document(&document.0);
        documents.iter().fold(page, add)
    }

    fn events(&self, event: &str) -> PyResult<EventMetrics> {
        let event = match event {
            "tick" => Event::Tick,
            "task" => Event::Task,
            "transfer" => Event::Transfer,
            other => {
                let error =
                    format!("unknown event {other:?}: expected \"tick\", \"task\" or \"transfer\"");
                return Err(PyValueError::new_err(error));
            }
        };
        self.page.events(event).map_err(value_error)
    }
}

/// The families of a page whose values come with samples.
#[pyclass(module = "stethoscope._native")]
pub(super) struct Samples {
    slots: Vec<SampledFamily>,
}

#[pymethods]
impl Samples {
    /// Set the value of each family: a number, a dict from the label's values to
    /// numbers, or None to show nothing.
    ///
    /// Raises `TypeError` at the first that is something else; the families before
    /// it are set.
    fn publish(&mut self, values: &Bound<'_, PyList>) -> PyResult<()> {
        for (slot, value) in self.slots.iter_mut().zip(values.iter()) {
            update(slot, &value)?;
        }
        Ok(())
    }

    /// Set the value of one family, by its index.
    fn publish_one(&mut self, index: usize, value: &Bound<'_, PyAny>) -> PyResult<()> {
        update(&mut self.slots[index], value)
    }

    /// Take a family off the page until its next value.
    fn withdraw(&mut self, index: usize) {
        self.slots[index].withdraw();
    }
}

fn update(slot: &mut SampledFamily, value: &Bound<'_, PyAny>) -> PyResult<()> {
    if value.is_none() {
        slot.withdraw();
        return Ok(());
    }
    match value.cast::<PyDict>() {
        Ok(by_label) => slot.update(|set| {
            for (label, value) in by_label {
                set(label.cast::<PyString>()?.to_str()?, value.extract()?);
            }
            Ok(())
        }),
        Err(_) => {
            slot.set(value.extract()?);
            Ok(())
        }
    }
}
