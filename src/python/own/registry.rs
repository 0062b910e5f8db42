//! The metrics that were asked for, by name.

use super::metrics::{Counter, Gauge, Histogram, Own, Summary};
use super::server::Server;
use super::spec::{Kind, Spec};
use crate::Family;
use crate::cell::{Buckets, QuantileOptions, Window};
use crate::dask::{Role, catalogue};
use crate::family::Metric;
use crate::python::convert::{Renderer, duration, value_error};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Slices of a summary's window.
const SLICES: usize = 6;

/// What the metrics of a registry share.
pub(super) struct Store {
    registry: crate::Registry,
    /// By [`Spec::key`]. Never locked while the GIL is waited for.
    known: Mutex<HashMap<String, Known>>,
    /// Whether these are the metrics of the process, which are shown beside
    /// Dask's and may be pickled: each process has them.
    pub(super) of_process: bool,
}

struct Known {
    spec: Arc<Spec>,
    /// A `Family` of the kind's cells.
    family: Box<dyn Any + Send + Sync>,
}

impl Store {
    /// The family of that name; made, if nobody has asked for it yet.
    fn family<C: Metric>(self: &Arc<Self>, spec: Spec, options: C::Options) -> PyResult<Own<C>>
    where
        C::Options: Default,
    {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(spec.key()) {
            spec.check_agrees(&known.spec)?;
            let family = known.family.downcast_ref::<Family<C>>();
            let family = family.expect("a kind has one sort of cells").clone();
            return Ok(Own::new(self, &known.spec, family));
        }
        if self.of_process {
            check_not_dasks(&spec)?;
        }
        let mut builder = self
            .registry
            .family::<C>(&spec.name, &spec.help)
            .options(options)
            .labels(spec.labels.iter().map(String::as_str));
        if let Some(most) = spec.max_series {
            builder = builder.max_series(most);
        }
        let family = builder.register().map_err(value_error)?;
        let spec = Arc::new(spec.settled());
        let entry = Known {
            spec: Arc::clone(&spec),
            family: Box::new(family.clone()),
        };
        known.insert(spec.key().to_owned(), entry);
        Ok(Own::new(self, &spec, family))
    }
}

/// Refuses the names that pages of Dask's servers have.
fn check_not_dasks(spec: &Spec) -> PyResult<()> {
    let bare = |name: &str| -> String {
        let name = name.strip_suffix("_total").unwrap_or(name);
        name.strip_suffix("_info").unwrap_or(name).to_owned()
    };
    let is_known = || {
        [Role::Scheduler, Role::Worker]
            .into_iter()
            .flat_map(catalogue)
            .any(|entry| bare(entry.name) == bare(&spec.name))
    };
    let prefix = ["dask_", "stethoscope_"]
        .into_iter()
        .find(|prefix| spec.name.starts_with(prefix));
    let why = match prefix {
        Some(prefix) => format!("names that begin with {prefix} are kept for the pages of Dask"),
        None if is_known() => "the pages of Dask have it already".to_owned(),
        None => return Ok(()),
    };
    let error = format!("can't register {:?}: {why}", spec.name);
    Err(PyValueError::new_err(error))
}

/// Metrics by name, and the page that shows them.
#[pyclass(frozen, module = "stethoscope")]
pub(in crate::python) struct Registry {
    store: Arc<Store>,
    renderer: Renderer,
}

impl Registry {
    /// What a page can include.
    pub(in crate::python) fn registry(&self) -> &crate::Registry {
        &self.store.registry
    }
}

#[pymethods]
impl Registry {
    /// A registry without metrics; `of_process` is for the one that
    /// `stethoscope` itself keeps.
    #[new]
    #[pyo3(signature = (*, of_process = false))]
    fn new(of_process: bool) -> Self {
        let registry = crate::Registry::new();
        Self {
            renderer: Renderer::new(&registry),
            store: Arc::new(Store {
                registry,
                known: Mutex::default(),
                of_process,
            }),
        }
    }

    #[pyo3(signature = (name, help = String::new(), labels = Vec::new(), *, max_series = None))]
    fn counter(
        &self,
        name: &str,
        #[pyo3(from_py_with = help_text)] help: String,
        #[pyo3(from_py_with = label_names)] labels: Vec<String>,
        max_series: Option<usize>,
    ) -> PyResult<Counter> {
        let spec = spec(Kind::Counter, name, help, labels, max_series);
        Ok(Counter(self.store.family(spec, ())?))
    }

    #[pyo3(signature = (name, help = String::new(), labels = Vec::new(), *, max_series = None))]
    fn gauge(
        &self,
        name: &str,
        #[pyo3(from_py_with = help_text)] help: String,
        #[pyo3(from_py_with = label_names)] labels: Vec<String>,
        max_series: Option<usize>,
    ) -> PyResult<Gauge> {
        let spec = spec(Kind::Gauge, name, help, labels, max_series);
        Ok(Gauge(self.store.family(spec, ())?))
    }

    #[pyo3(signature = (name, help = String::new(), labels = Vec::new(), *, buckets = None, max_series = None))]
    fn histogram(
        &self,
        name: &str,
        #[pyo3(from_py_with = help_text)] help: String,
        #[pyo3(from_py_with = label_names)] labels: Vec<String>,
        buckets: Option<Vec<f64>>,
        max_series: Option<usize>,
    ) -> PyResult<Histogram> {
        let asked = buckets.map(|mut bounds| {
            // The bucket of +Inf is always there, and may be given.
            bounds.pop_if(|last| *last == f64::INFINITY);
            Buckets::new(bounds).map_err(value_error)
        });
        let asked = asked.transpose()?;
        let buckets = asked.as_ref().map(|buckets| buckets.bounds().to_vec());
        let options = asked.unwrap_or_default();
        let spec = spec(Kind::Histogram { buckets }, name, help, labels, max_series);
        Ok(Histogram(self.store.family(spec, options)?))
    }

    #[pyo3(signature = (
        name, help = String::new(), labels = Vec::new(), *, quantiles = None, window = None, max_series = None
    ))]
    fn summary(
        &self,
        name: &str,
        #[pyo3(from_py_with = help_text)] help: String,
        #[pyo3(from_py_with = label_names)] labels: Vec<String>,
        quantiles: Option<Vec<f64>>,
        window: Option<f64>,
        max_series: Option<usize>,
    ) -> PyResult<Summary> {
        let asked = quantiles.map(|quantiles| QuantileOptions::new(quantiles).map_err(value_error));
        let asked = asked.transpose()?;
        let quantiles = asked.as_ref().map(|options| options.quantiles().to_vec());
        let mut options = asked.unwrap_or_default();
        if let Some(window) = window {
            options = options.window(Window::new(duration(window)?, SLICES).map_err(value_error)?);
        }
        let kind = Kind::Summary { quantiles, window };
        let spec = spec(kind, name, help, labels, max_series);
        Ok(Summary(self.store.family(spec, options)?))
    }

    /// The page as a client with this Accept header wants it, and the content
    /// type that it then has.
    #[pyo3(signature = (accept = ""))]
    fn page<'py>(&self, py: Python<'py>, accept: &str) -> (Bound<'py, PyBytes>, &'static str) {
        self.renderer.render(py, accept)
    }

    /// Serves the page, with what the kernel knows of the process.
    #[pyo3(signature = (port = 0, host = "127.0.0.1"))]
    fn serve(&self, py: Python<'_>, port: u16, host: &str) -> PyResult<Server> {
        let registry = self.registry();
        py.detach(|| Server::start(registry, host, port))
    }
}

/// The labels of a metric. A string is a sequence of strings too, which nobody
/// means.
fn label_names(given: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    given.extract().map_err(|_| {
        let error = format!("labels are a list of names, such as [\"table\"], not {given:?}");
        PyTypeError::new_err(error)
    })
}

/// The help of a metric.
fn help_text(given: &Bound<'_, PyAny>) -> PyResult<String> {
    given.extract().map_err(|_| {
        let error = format!("help is a string, and labels come after it: not {given:?}");
        PyTypeError::new_err(error)
    })
}

fn spec(
    kind: Kind,
    name: &str,
    help: String,
    labels: Vec<String>,
    max_series: Option<usize>,
) -> Spec {
    Spec {
        kind,
        name: name.to_owned(),
        help,
        labels,
        max_series,
    }
}
