//! The metrics that were asked for, by name.

use super::metrics::{Counter, Gauge, Histogram, Own, Summary};
use super::server::Server;
use super::spec::{Kind, Made, Spec};
use crate::dask::{Role, catalogue};
use crate::native::convert::{Renderer, value_error};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use stethoscope::Family;

/// What the metrics of a registry share.
pub(super) struct Store {
    registry: stethoscope::Registry,
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
    /// As on the page in text.
    full_name: String,
}

impl Store {
    /// The family of that name, and what it was made by; made, if nobody has
    /// asked for it yet.
    pub(super) fn family<C: Made>(&self, mut spec: Spec) -> PyResult<(Arc<Spec>, Family<C>)> {
        let options = C::options(&spec.kind)?;
        C::put_in_order(&mut spec.kind, &options);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(spec.key()) {
            spec.check_agrees(&known.spec)?;
            let family = known.family.downcast_ref::<Family<C>>();
            let family = family.expect("a kind has one sort of cells").clone();
            return Ok((Arc::clone(&known.spec), family));
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
            full_name: family.descriptor().full_name(),
            family: Box::new(family.clone()),
        };
        known.insert(spec.key().to_owned(), entry);
        Ok((spec, family))
    }

    fn unregister(&self, name: &str) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = name.strip_suffix("_total").unwrap_or(name);
        let Some(entry) = known.remove(name).or_else(|| known.remove(counter)) else {
            return false;
        };
        self.registry.unregister(&entry.full_name)
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
pub(in crate::native) struct Registry {
    store: Arc<Store>,
    renderer: Renderer,
}

impl Registry {
    /// What a page can include.
    pub(in crate::native) fn registry(&self) -> &stethoscope::Registry {
        &self.store.registry
    }
}

#[pymethods]
#[allow(clippy::too_many_arguments, reason = "Python gives them by name")]
impl Registry {
    /// A registry without metrics; `of_process` is for the one that
    /// `stethoscope` itself keeps.
    #[new]
    #[pyo3(signature = (*, of_process = false))]
    fn new(of_process: bool) -> Self {
        let registry = stethoscope::Registry::new();
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
        py: Python<'_>,
        name: &str,
        #[pyo3(from_py_with = help_text)] help: String,
        #[pyo3(from_py_with = label_names)] labels: Vec<String>,
        max_series: Option<usize>,
    ) -> PyResult<Counter> {
        let spec = spec(Kind::Counter, name, help, labels, max_series);
        Ok(Counter(Own::asked(py, &self.store, spec)?))
    }

    #[pyo3(signature = (name, help = String::new(), labels = Vec::new(), *, max_series = None))]
    fn gauge(
        &self,
        py: Python<'_>,
        name: &str,
        #[pyo3(from_py_with = help_text)] help: String,
        #[pyo3(from_py_with = label_names)] labels: Vec<String>,
        max_series: Option<usize>,
    ) -> PyResult<Gauge> {
        let spec = spec(Kind::Gauge, name, help, labels, max_series);
        Ok(Gauge(Own::asked(py, &self.store, spec)?))
    }

    #[pyo3(signature = (name, help = String::new(), labels = Vec::new(), *, buckets = None, max_series = None))]
    fn histogram(
        &self,
        py: Python<'_>,
        name: &str,
        #[pyo3(from_py_with = help_text)] help: String,
        #[pyo3(from_py_with = label_names)] labels: Vec<String>,
        buckets: Option<Vec<f64>>,
        max_series: Option<usize>,
    ) -> PyResult<Histogram> {
        let buckets = buckets.map(|mut bounds| {
            // The bucket of +Inf is always there, and may be given.
            bounds.pop_if(|last| *last == f64::INFINITY);
            bounds
        });
        let spec = spec(Kind::Histogram { buckets }, name, help, labels, max_series);
        Ok(Histogram(Own::asked(py, &self.store, spec)?))
    }

    #[pyo3(signature = (
        name, help = String::new(), labels = Vec::new(), *, quantiles = None, window = None, range = None, max_series = None
    ))]
    fn summary(
        &self,
        py: Python<'_>,
        name: &str,
        #[pyo3(from_py_with = help_text)] help: String,
        #[pyo3(from_py_with = label_names)] labels: Vec<String>,
        quantiles: Option<Vec<f64>>,
        window: Option<f64>,
        range: Option<(f64, f64)>,
        max_series: Option<usize>,
    ) -> PyResult<Summary> {
        let kind = Kind::Summary {
            quantiles,
            window,
            range: range.map(<[f64; 2]>::from),
        };
        let spec = spec(kind, name, help, labels, max_series);
        Ok(Summary(Own::asked(py, &self.store, spec)?))
    }

    /// Takes a metric off the page; whether it was there. Asked for again, it
    /// begins anew.
    fn unregister(&self, name: &str) -> bool {
        self.store.unregister(name)
    }

    /// A metric of this name that was pickled in another process.
    #[pyo3(signature = (
        kind, name, help, labels, values, *,
        buckets = None, quantiles = None, window = None, range = None, max_series = None
    ))]
    fn _arrived<'py>(
        &self,
        py: Python<'py>,
        kind: &str,
        name: &str,
        help: String,
        labels: Vec<String>,
        values: Option<Py<PyTuple>>,
        buckets: Option<Vec<f64>>,
        quantiles: Option<Vec<f64>>,
        window: Option<f64>,
        range: Option<(f64, f64)>,
        max_series: Option<usize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let spec = |kind| spec(kind, name, help, labels, max_series);
        let store = &self.store;
        Ok(match kind {
            "counter" => {
                let own = Own::arrived(store, spec(Kind::Counter), values);
                Counter(own).into_pyobject(py)?.into_any()
            }
            "gauge" => {
                let own = Own::arrived(store, spec(Kind::Gauge), values);
                Gauge(own).into_pyobject(py)?.into_any()
            }
            "histogram" => {
                let own = Own::arrived(store, spec(Kind::Histogram { buckets }), values);
                Histogram(own).into_pyobject(py)?.into_any()
            }
            "summary" => {
                let range = range.map(<[f64; 2]>::from);
                let kind = Kind::Summary {
                    quantiles,
                    window,
                    range,
                };
                let own = Own::arrived(store, spec(kind), values);
                Summary(own).into_pyobject(py)?.into_any()
            }
            _ => {
                let error = format!("this version of stethoscope has no {kind}");
                return Err(PyValueError::new_err(error));
            }
        })
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
