//! Counters, gauges, histograms and summaries, as Python holds them.

use super::registry::Store;
use super::spec::{Kind, Spec};
use crate::cell::{FloatCounter, FloatGauge, Quantile};
use crate::family::Metric;
use crate::{Family, Handle, SeriesError, cell};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use smallvec::SmallVec;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// A family, and the series of it that is meant.
pub(super) struct Own<C: Metric> {
    store: Arc<Store>,
    spec: Arc<Spec>,
    family: Family<C>,
    series: Series<C>,
}

enum Series<C> {
    /// None yet: the family has labels, and nobody has said which.
    Unchosen,
    Chosen {
        cell: Handle<C>,
        values: Option<Py<PyTuple>>,
    },
    /// The family has as many as it may have, and counts what it refuses. A
    /// task shall not fail for that: updates go nowhere.
    Refused { values: Option<Py<PyTuple>> },
}

impl<C: Metric> Own<C> {
    pub(super) fn new(store: &Arc<Store>, spec: &Arc<Spec>, family: Family<C>) -> Self {
        let series = match family.with([]) {
            _ if !spec.labels.is_empty() => Series::Unchosen,
            Ok(cell) => Series::Chosen { cell, values: None },
            Err(_) => Series::Refused { values: None },
        };
        Self {
            store: Arc::clone(store),
            spec: Arc::clone(spec),
            family,
            series,
        }
    }

    #[inline]
    fn update(&self, update: impl FnOnce(&C)) -> PyResult<()> {
        match &self.series {
            Series::Chosen { cell, .. } => {
                update(cell);
                Ok(())
            }
            Series::Refused { .. } => Ok(()),
            Series::Unchosen => Err(self.unchosen()),
        }
    }

    fn cell(&self) -> PyResult<Option<&Handle<C>>> {
        match &self.series {
            Series::Chosen { cell, .. } => Ok(Some(cell)),
            Series::Refused { .. } => Ok(None),
            Series::Unchosen => Err(self.unchosen()),
        }
    }

    #[cold]
    fn unchosen(&self) -> PyErr {
        let Spec { name, labels, .. } = &*self.spec;
        let error = format!("{name} has the labels {labels:?}: choose a series with .labels(...)");
        PyValueError::new_err(error)
    }

    /// The series with these label values, given in order or by name.
    fn labels(
        &self,
        values: &Bound<'_, PyTuple>,
        named: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let py = values.py();
        if !matches!(self.series, Series::Unchosen) {
            let error = match self.spec.labels.is_empty() {
                true => format!("{} has no labels", self.spec.name),
                false => format!("the labels of this {} are chosen already", self.spec.name),
            };
            return Err(PyValueError::new_err(error));
        }
        let values = self.in_order(values, named)?;
        let texts = texts(&values)?;
        let series = match self.family.with(&texts[..]) {
            Ok(cell) => Series::Chosen {
                cell,
                values: Some(PyTuple::new(py, &values)?.unbind()),
            },
            Err(SeriesError::Full { .. }) => Series::Refused {
                values: Some(PyTuple::new(py, &values)?.unbind()),
            },
            Err(error) => return Err(PyValueError::new_err(error.to_string())),
        };
        Ok(Self {
            store: Arc::clone(&self.store),
            spec: Arc::clone(&self.spec),
            family: self.family.clone(),
            series,
        })
    }

    fn remove(
        &self,
        values: &Bound<'_, PyTuple>,
        named: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        let values = self.in_order(values, named)?;
        Ok(self.family.remove(&texts(&values)?[..]))
    }

    /// One value for each label, as text.
    fn in_order<'py>(
        &self,
        values: &Bound<'py, PyTuple>,
        named: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Texts<'py>> {
        let labels = &self.spec.labels;
        match named {
            None if values.len() == labels.len() => values.iter().map(|v| text(&v)).collect(),
            Some(named) if values.is_empty() && named.len() == labels.len() => labels
                .iter()
                .map(|label| match named.get_item(label)? {
                    Some(value) => text(&value),
                    None => Err(self.no_such_labels()),
                })
                .collect(),
            _ => Err(self.no_such_labels()),
        }
    }

    #[cold]
    fn no_such_labels(&self) -> PyErr {
        let Spec { name, labels, .. } = &*self.spec;
        let error = format!("{name} wants one value for each of the labels {labels:?}");
        PyValueError::new_err(error)
    }

    /// How to make it again in another process, where it counts from there on.
    fn reduce<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let Spec {
            kind,
            name,
            help,
            labels,
            max_series,
        } = &*self.spec;
        if !self.store.of_process {
            let error = format!("{name} is of a registry that other processes do not have");
            return Err(PyTypeError::new_err(error));
        }
        let options = PyDict::new(py);
        options.set_item("max_series", max_series)?;
        match kind {
            Kind::Counter | Kind::Gauge => {}
            Kind::Histogram { buckets } => options.set_item("buckets", buckets)?,
            Kind::Summary { quantiles, window } => {
                options.set_item("quantiles", quantiles)?;
                options.set_item("window", window)?;
            }
        }
        let values = match &self.series {
            Series::Unchosen => None,
            Series::Chosen { values, .. } | Series::Refused { values } => values.as_ref(),
        };
        let restore = py.import("stethoscope")?.getattr("_restore")?;
        let arguments = (kind.name(), name, help, labels, options, values);
        (restore, arguments.into_pyobject(py)?).into_pyobject(py)
    }

    fn repr(&self, py: Python<'_>) -> PyResult<String> {
        let Spec { kind, name, .. } = &*self.spec;
        let kind = kind.name();
        Ok(match &self.series {
            Series::Chosen {
                values: Some(values),
                ..
            }
            | Series::Refused {
                values: Some(values),
            } => {
                format!("<stethoscope {kind} {name}{}>", values.bind(py).repr()?)
            }
            _ => format!("<stethoscope {kind} {name}>"),
        })
    }
}

type Texts<'py> = SmallVec<[Bound<'py, PyString>; 4]>;

fn text<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
    match value.cast::<PyString>() {
        Ok(text) => Ok(text.clone()),
        Err(_) => value.str(),
    }
}

fn texts<'a>(values: &'a Texts<'_>) -> PyResult<SmallVec<[&'a str; 4]>> {
    values.iter().map(|value| value.to_str()).collect()
}

/// A kind of metric: what all have, and its own.
macro_rules! metric {
    ($(#[$doc:meta])* $name:ident of $cell:ty { $($methods:tt)* }) => {
        $(#[$doc])*
        #[pyclass(frozen, module = "stethoscope")]
        pub(in crate::python) struct $name(pub(super) Own<$cell>);

        #[pymethods]
        impl $name {
            #[pyo3(signature = (*values, **named))]
            fn labels(
                &self,
                values: &Bound<'_, PyTuple>,
                named: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<Self> {
                Ok(Self(self.0.labels(values, named)?))
            }

            #[pyo3(signature = (*values, **named))]
            fn remove(
                &self,
                values: &Bound<'_, PyTuple>,
                named: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<bool> {
                self.0.remove(values, named)
            }

            fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
                self.0.reduce(py)
            }

            fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
                self.0.repr(py)
            }

            $($methods)*
        }
    };
}

metric! {
    /// Only goes up.
    Counter of FloatCounter {
        #[pyo3(signature = (amount = 1.0))]
        fn inc(&self, amount: f64) -> PyResult<()> {
            if !(0.0..f64::INFINITY).contains(&amount) {
                let error = format!("a counter only goes up: it can't be increased by {amount}");
                return Err(PyValueError::new_err(error));
            }
            self.0.update(|cell| cell.inc_by(amount))
        }

        #[getter]
        fn value(&self) -> PyResult<f64> {
            Ok(self.0.cell()?.map_or(0.0, |cell| cell.get()))
        }
    }
}

metric! {
    /// Goes up and down.
    Gauge of FloatGauge {
        fn set(&self, value: f64) -> PyResult<()> {
            self.0.update(|cell| cell.set(value))
        }

        #[pyo3(signature = (amount = 1.0))]
        fn inc(&self, amount: f64) -> PyResult<()> {
            self.0.update(|cell| cell.add(amount))
        }

        #[pyo3(signature = (amount = 1.0))]
        fn dec(&self, amount: f64) -> PyResult<()> {
            self.0.update(|cell| cell.sub(amount))
        }

        fn set_to_current_time(&self) -> PyResult<()> {
            self.0.update(FloatGauge::set_to_current_time)
        }

        #[getter]
        fn value(&self) -> PyResult<f64> {
            Ok(self.0.cell()?.map_or(0.0, |cell| cell.get()))
        }
    }
}

metric! {
    /// Counts observations in buckets.
    Histogram of cell::Histogram {
        fn observe(&self, value: f64) -> PyResult<()> {
            self.0.update(|cell| cell.observe(value))
        }

        fn time(&self) -> PyResult<Timer> {
            let cell = self.0.cell()?.cloned();
            Ok(Timer::new(move |seconds| {
                if let Some(cell) = &cell {
                    cell.observe(seconds);
                }
            }))
        }
    }
}

metric! {
    /// Quantiles of observations over a sliding window.
    Summary of Quantile {
        fn observe(&self, value: f64) -> PyResult<()> {
            self.0.update(|cell| cell.observe(value))
        }

        fn time(&self) -> PyResult<Timer> {
            let cell = self.0.cell()?.cloned();
            Ok(Timer::new(move |seconds| {
                if let Some(cell) = &cell {
                    cell.observe(seconds);
                }
            }))
        }
    }
}

/// Observes how long a `with` block takes.
#[pyclass(frozen, module = "stethoscope")]
pub(in crate::python) struct Timer {
    observe: Box<dyn Fn(f64) + Send + Sync>,
    started: Mutex<Option<Instant>>,
}

impl Timer {
    fn new(observe: impl Fn(f64) + Send + Sync + 'static) -> Self {
        Self {
            observe: Box::new(observe),
            started: Mutex::new(None),
        }
    }

    fn swap(&self, started: Option<Instant>) -> Option<Instant> {
        let mut place = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *place, started)
    }
}

#[pymethods]
impl Timer {
    fn __enter__(&self) {
        self.swap(Some(Instant::now()));
    }

    fn __exit__(
        &self,
        _kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) {
        if let Some(started) = self.swap(None) {
            (self.observe)(started.elapsed().as_secs_f64());
        }
    }
}
