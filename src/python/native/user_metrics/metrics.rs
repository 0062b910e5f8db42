//! Counters, gauges, histograms and summaries, as Python holds them.

use super::registry::Store;
use super::spec::{Kind, Made, Spec};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use smallvec::SmallVec;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;
use stethoscope::cell::{FloatCounter, FloatGauge, Quantile};
use stethoscope::family::Metric;
use stethoscope::{Family, Handle, SeriesError, cell};

/// A family, and the series of it that is meant.
pub(super) struct Own<C: Made> {
    store: Arc<Store>,
    spec: Arc<Spec>,
    /// The label values that were chosen.
    values: Option<Py<PyTuple>>,
    /// Found when first used, if it came from another process: most of what a
    /// scheduler unpickles it never uses, and what does not fit here is the
    /// error of the task that uses it, not of the connection that brought it.
    place: OnceLock<Place<C>>,
}

/// Where updates go.
struct Place<C: Metric> {
    family: Family<C>,
    series: Series<C>,
}

enum Series<C> {
    /// None yet: the family has labels, and nobody has said which.
    Unchosen,
    Chosen(Handle<C>),
    /// The family has as many as it may have, and counts what it refuses. A
    /// task shall not fail for that: updates go nowhere.
    Refused,
}

impl<C: Made> Own<C> {
    /// What was asked for here.
    pub(super) fn asked(py: Python<'_>, store: &Arc<Store>, spec: Spec) -> PyResult<Self> {
        let (spec, family) = store.family(spec)?;
        let own = Self {
            store: Arc::clone(store),
            spec,
            values: None,
            place: OnceLock::new(),
        };
        own.take_place(py, family)?;
        Ok(own)
    }

    /// What was asked for in another process.
    pub(super) fn arrived(store: &Arc<Store>, spec: Spec, values: Option<Py<PyTuple>>) -> Self {
        Self {
            store: Arc::clone(store),
            spec: Arc::new(spec),
            values,
            place: OnceLock::new(),
        }
    }

    #[inline]
    fn place(&self) -> PyResult<&Place<C>> {
        match self.place.get() {
            Some(place) => Ok(place),
            None => self.find_place(),
        }
    }

    #[cold]
    fn find_place(&self) -> PyResult<&Place<C>> {
        Python::attach(|py| {
            let (_, family) = self.store.family(Spec::clone(&self.spec))?;
            self.take_place(py, family)
        })
    }

    fn take_place(&self, py: Python<'_>, family: Family<C>) -> PyResult<&Place<C>> {
        let chosen = match &self.values {
            None if !self.spec.labels.is_empty() => None,
            None => Some(Texts::new()),
            Some(values) => Some(
                values
                    .bind(py)
                    .iter()
                    .map(|v| text(&v))
                    .collect::<PyResult<_>>()?,
            ),
        };
        let series = match chosen {
            None => Series::Unchosen,
            Some(values) => match family.with(&texts(&values)?[..]) {
                Ok(cell) => Series::Chosen(cell),
                Err(SeriesError::Full { .. }) => Series::Refused,
                Err(error) => return Err(PyValueError::new_err(error.to_string())),
            },
        };
        Ok(self.place.get_or_init(|| Place { family, series }))
    }

    #[inline]
    fn update(&self, update: impl FnOnce(&C)) -> PyResult<()> {
        match &self.place()?.series {
            Series::Chosen(cell) => {
                update(cell);
                Ok(())
            }
            Series::Refused => Ok(()),
            Series::Unchosen => Err(self.unchosen()),
        }
    }

    fn cell(&self) -> PyResult<Option<&Handle<C>>> {
        match &self.place()?.series {
            Series::Chosen(cell) => Ok(Some(cell)),
            Series::Refused => Ok(None),
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
        let place = self.place()?;
        if !matches!(place.series, Series::Unchosen) {
            let error = match self.spec.labels.is_empty() {
                true => format!("{} has no labels", self.spec.name),
                false => format!("the labels of this {} are chosen already", self.spec.name),
            };
            return Err(PyValueError::new_err(error));
        }
        let values = self.in_order(values, named)?;
        let chosen = Self {
            store: Arc::clone(&self.store),
            spec: Arc::clone(&self.spec),
            values: Some(PyTuple::new(py, &values)?.unbind()),
            place: OnceLock::new(),
        };
        chosen.take_place(py, place.family.clone())?;
        Ok(chosen)
    }

    fn remove(
        &self,
        values: &Bound<'_, PyTuple>,
        named: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        let values = self.in_order(values, named)?;
        Ok(self.place()?.family.remove(&texts(&values)?[..]))
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
            Kind::Summary {
                quantiles,
                window,
                range,
            } => {
                options.set_item("quantiles", quantiles)?;
                options.set_item("window", window)?;
                options.set_item("range", range.as_ref().map(|range| (range[0], range[1])))?;
            }
        }
        let restore = py.import("stethoscope")?.getattr("_restore")?;
        let arguments = (
            kind.name(),
            name,
            help,
            labels,
            options,
            self.values.as_ref(),
        );
        (restore, arguments.into_pyobject(py)?).into_pyobject(py)
    }

    fn repr(&self, py: Python<'_>) -> PyResult<String> {
        let Spec { kind, name, .. } = &*self.spec;
        let kind = kind.name();
        Ok(match &self.values {
            Some(values) => format!("<stethoscope {kind} {name}{}>", values.bind(py).repr()?),
            None => format!("<stethoscope {kind} {name}>"),
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
        pub(in crate::native) struct $name(pub(super) Own<$cell>);

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
pub(in crate::native) struct Timer {
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
