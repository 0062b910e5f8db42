//! A server's page, and what a sample brings to it.

use super::convert::{duration, value_error};
use super::digest::{Digest, TaskFinished};
use super::document::Document;
use super::gc::GcWatcher;
use super::listener::Listener;
use super::prefixes::Prefixes;
use super::prometheus_client::Mirrored;
use super::user_metrics::Registry;
use crate::dask::{self, Event, Observed, Options, PythonVersion, Role, Sampled};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};
use std::os::fd::RawFd;
use std::sync::{Mutex, PoisonError};
use stethoscope::cell::Buckets;
use stethoscope::endpoint::{Builder, Responder, ScrapeRequest};

type Headers = Vec<(&'static str, &'static str)>;

/// The metrics of one server.
#[pyclass(frozen, module = "stethoscope._native")]
pub(super) struct Page {
    page: dask::Page,
    responder: Mutex<Responder>,
}

#[pymethods]
impl Page {
    /// A page of a `"scheduler"` or a `"worker"`: medians and maxima are taken
    /// over the last `window` seconds, histograms of seconds have these `buckets`,
    /// so many task prefixes have series of their own, some families are
    /// `left_out`, and each series has these `labels`. What is Dask's begins with
    /// the `namespace` in place of `dask`.
    #[new]
    #[pyo3(signature = (role, *, window=None, buckets=None, max_task_prefixes=None, left_out=vec![], labels=vec![], namespace=None))]
    #[expect(clippy::too_many_arguments, reason = "all by name, in Python")]
    fn new(
        py: Python<'_>,
        role: &str,
        window: Option<f64>,
        buckets: Option<Vec<f64>>,
        max_task_prefixes: Option<usize>,
        left_out: Vec<String>,
        labels: Vec<(String, String)>,
        namespace: Option<String>,
    ) -> PyResult<Self> {
        let role = match role {
            "scheduler" => Role::Scheduler,
            "worker" => Role::Worker,
            other => {
                let error = format!("no server of Dask is a {other:?}: scheduler or worker");
                return Err(PyValueError::new_err(error));
            }
        };
        let platform = py.import("platform")?;
        let say = |function| -> PyResult<String> { platform.call_method0(function)?.extract() };
        let python = PythonVersion::new(&say("python_implementation")?, &say("python_version")?);
        let mut options = Options {
            left_out,
            labels,
            ..Options::default()
        };
        if let Some(window) = window {
            options.window = duration(window)?;
        }
        if let Some(bounds) = buckets {
            options.buckets = Buckets::new(bounds).map_err(value_error)?;
        }
        if let Some(namespace) = namespace {
            options.namespace = namespace;
        }
        if let Some(prefixes) = max_task_prefixes {
            options.max_task_prefixes = prefixes;
        }
        let page = dask::Page::new(role, &python, &options).map_err(value_error)?;
        Ok(Self {
            responder: Mutex::new(Responder::new(page.registry())),
            page,
        })
    }

    /// Puts families on the page whose values samples bring, in the order in
    /// which they will.
    fn samples(&self, families: Vec<String>) -> PyResult<Samples> {
        let slots: Result<Vec<_>, _> = families
            .iter()
            .map(|name| self.page.sampled(name))
            .collect();
        Ok(Samples {
            slots: slots.map_err(value_error)?,
        })
    }

    /// Puts what is known of tasks on the page; `attributes` says under which
    /// attribute a prefix has what.
    fn prefixes(&self, attributes: &Bound<'_, PyDict>) -> PyResult<Prefixes> {
        Prefixes::new(&self.page, attributes)
    }

    /// Puts the families of an event on the page (`"tick"`, `"task"` or
    /// `"transfer"`), and returns the digest that feeds them, and `inner` too if
    /// that is not None.
    fn digest(&self, event: &str, inner: Option<Py<PyAny>>) -> PyResult<Digest> {
        Ok(Digest::new(self.events(event)?, inner))
    }

    /// Puts the families of finished tasks on the page, and returns what feeds
    /// them in the place of the scheduler's handler, `inner`.
    fn task_finished(&self, inner: Py<PyAny>) -> PyResult<TaskFinished> {
        Ok(TaskFinished::new(self.events("task")?, inner))
    }

    /// Says that the sampled values are those of now, and how many seconds of
    /// the event loop's time it took to get them.
    fn sampled(&self, seconds: f64) {
        self.page.sample_taken();
        self.page.sampling_took(seconds);
    }

    /// What counts garbage collections for this page, once it is in
    /// `gc.callbacks`.
    fn gc_watcher(&self) -> GcWatcher {
        GcWatcher::new(self.page.gc().clone())
    }

    /// Serves the page, and documents beside it, on a thread of its own, at
    /// sockets that another server listens on.
    fn listen(
        &self,
        sockets: Vec<RawFd>,
        freshness: f64,
        documents: Vec<PyRef<'_, Document>>,
    ) -> PyResult<Listener> {
        let builder = self.endpoint(&documents);
        let patience = duration(freshness)?;
        Ok(Listener::take_over(builder, &sockets, patience)?)
    }

    /// The same at an address of its own; port 0 finds a free one.
    fn listen_at(
        &self,
        py: Python<'_>,
        host: &str,
        port: u16,
        freshness: f64,
        documents: Vec<PyRef<'_, Document>>,
    ) -> PyResult<Listener> {
        let builder = self.endpoint(&documents);
        let patience = duration(freshness)?;
        // Finding the host may take a resolver some time.
        Ok(py.detach(|| Listener::at(builder, (host, port), patience))?)
    }

    /// Status, headers and body for who asks another server for the page.
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
            let response = responder.respond(&ScrapeRequest {
                method: "GET",
                query,
                accept,
                accept_encoding,
            });
            let headers = response.headers.to_vec();
            (response.status, headers, response.body.to_vec())
        });
        (status, headers, PyBytes::new(py, &body))
    }

    /// Shows the metrics of a `Registry` or of a `Mirrored` on this page, after
    /// its own. A family whose name the page has already is left out.
    fn include(&self, other: Includable<'_>) {
        self.page.registry().include(other.registry());
    }

    /// Takes them off the page. Returns true if they were on it.
    fn exclude(&self, other: Includable<'_>) -> bool {
        self.page.registry().exclude(other.registry())
    }
}

/// What a page can include.
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

    fn events(&self, event: &str) -> PyResult<Observed> {
        let event = match event {
            "tick" => Event::Tick,
            "task" => Event::Task,
            "transfer" => Event::Transfer,
            other => {
                let error = format!("nothing is shown of {other:?}: tick, task or transfer");
                return Err(PyValueError::new_err(error));
            }
        };
        self.page.events(event).map_err(value_error)
    }
}

/// The families of a page whose values samples bring.
#[pyclass(module = "stethoscope._native")]
pub(super) struct Samples {
    slots: Vec<Sampled>,
}

#[pymethods]
impl Samples {
    /// Takes the value of each family: a number, a dict from the label's values
    /// to numbers, or None for one that is not to be shown. Raises at the first
    /// that is none of them.
    fn publish(&mut self, values: &Bound<'_, PyList>) -> PyResult<()> {
        for (slot, value) in self.slots.iter_mut().zip(values.iter()) {
            update(slot, &value)?;
        }
        Ok(())
    }

    /// Takes the value of one family, by its place.
    fn publish_one(&mut self, index: usize, value: &Bound<'_, PyAny>) -> PyResult<()> {
        update(&mut self.slots[index], value)
    }

    /// Takes a family off the page until its next value.
    fn withdraw(&mut self, index: usize) {
        self.slots[index].withdraw();
    }
}

fn update(slot: &mut Sampled, value: &Bound<'_, PyAny>) -> PyResult<()> {
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
