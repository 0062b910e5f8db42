//! Counters, gauges, histograms and summaries, as Python holds them.

use super::spec::{FromSpec, Kind, Spec};
use super::store::Store;
use super::timer::Timer;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use smallvec::SmallVec;
use std::sync::{Arc, OnceLock};
use stethoscope::cell::{FloatCounter, FloatGauge, NativeHistogram, Quantile};
use stethoscope::family::{LazyHandle, Metric};
use stethoscope::{Family, Handle, SeriesError, cell};

/// A family, and the series of it that updates go to.
pub(super) struct MetricHandle<C: FromSpec> {
    store: Arc<Store>,
    spec: Arc<Spec>,
    /// The label values of the series, once chosen.
    values: Option<Py<PyTuple>>,
    /// Found at the first use, if the metric was unpickled. A scheduler never uses
    /// most of what it unpickles; and a metric that does not fit this process is
    /// an error of the task that uses it, not of the connection that brought it.
    target: OnceLock<Target<C>>,
}

/// The family that updates go to.
struct Target<C: Metric> {
    family: Family<C>,
    series: Series<C>,
}

enum Series<C: Metric> {
    /// The family has labels, and their values are not chosen yet.
    Unchosen,
    /// While the family is full, updates are dropped: that must not fail a task.
    /// Once there is room, the series is made.
    Chosen(LazyHandle<C>),
}

impl<C: FromSpec> MetricHandle<C> {
    /// The metric that was asked for in this process.
    pub(super) fn create(store: &Arc<Store>, spec: Spec) -> PyResult<Self> {
        let (spec, family) = store.family(spec)?;
        let handle = Self {
            store: Arc::clone(store),
            spec,
            values: None,
            target: OnceLock::new(),
        };
        Python::attach(|py| handle.set_target(py, family))?;
        Ok(handle)
    }

    /// The metric that was asked for in another process.
    pub(super) fn restored(store: Arc<Store>, spec: Spec, values: Option<Py<PyTuple>>) -> Self {
        Self {
            store,
            spec: Arc::new(spec),
            values,
            target: OnceLock::new(),
        }
    }

    #[inline]
    fn target(&self) -> PyResult<&Target<C>> {
        match self.target.get() {
            Some(target) => Ok(target),
            None => self.find_target(),
        }
    }

    #[cold]
    fn find_target(&self) -> PyResult<&Target<C>> {
        Python::attach(|py| {
            let (_, family) = self.store.family(Spec::clone(&self.spec))?;
            self.set_target(py, family)
        })
    }

    fn set_target(&self, py: Python<'_>, family: Family<C>) -> PyResult<&Target<C>> {
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
            Some(values) => {
                let handle = family.lazy(&texts(&values)?[..]);
                match handle.get() {
                    Ok(_) | Err(SeriesError::Full { .. }) => Series::Chosen(handle),
                    Err(error) => return Err(PyValueError::new_err(error.to_string())),
                }
            }
        };
        Ok(self.target.get_or_init(|| Target { family, series }))
    }

    #[inline]
    fn update(&self, update: impl FnOnce(&C)) -> PyResult<()> {
        match &self.target()?.series {
            Series::Chosen(handle) => {
                if let Ok(cell) = handle.get() {
                    update(cell);
                }
                Ok(())
            }
            Series::Unchosen => Err(self.unchosen()),
        }
    }

    fn cell(&self) -> PyResult<Option<&Handle<C>>> {
        match &self.target()?.series {
            Series::Chosen(handle) => Ok(handle.get().ok()),
            Series::Unchosen => Err(self.unchosen()),
        }
    }

    #[cold]
    fn unchosen(&self) -> PyErr {
        let Spec { name, labels, .. } = &*self.spec;
        let error = format!("{name} has the labels {labels:?}: choose a series with .labels(...)");
        PyValueError::new_err(error)
    }

    /// Finds the series with these label values, given in order or by name.
    fn labels(
        &self,
        values: &Bound<'_, PyTuple>,
        named: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let py = values.py();
        let target = self.target()?;
        if !matches!(target.series, Series::Unchosen) {
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
            target: OnceLock::new(),
        };
        chosen.set_target(py, target.family.clone())?;
        Ok(chosen)
    }

    fn remove(
        &self,
        values: &Bound<'_, PyTuple>,
        named: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        let values = self.in_order(values, named)?;
        Ok(self.target()?.family.remove(&texts(&values)?[..]))
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
                    None => Err(self.no_such_labels(values, Some(named))),
                })
                .collect(),
            _ => Err(self.no_such_labels(values, named)),
        }
    }

    #[cold]
    fn no_such_labels(
        &self,
        values: &Bound<'_, PyTuple>,
        named: Option<&Bound<'_, PyDict>>,
    ) -> PyErr {
        let Spec { name, labels, .. } = &*self.spec;
        let given: Vec<String> = named
            .map(|named| named.keys().iter().map(|key| key.to_string()).collect())
            .unwrap_or_default();
        let found = match given.iter().find(|given| !labels.contains(given)) {
            Some(unknown) => format!("it has no label {unknown:?}"),
            None if !given.is_empty() && !values.is_empty() => {
                "give them all in order, or all by name".to_owned()
            }
            None => format!("found {}", values.len() + given.len()),
        };
        let error = format!("{name} expects one value for each of the labels {labels:?}: {found}");
        PyValueError::new_err(error)
    }

    /// Tells pickle how to find the metric of this name in another process.
    fn reduce<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let Spec {
            kind,
            name,
            help,
            labels,
            ..
        } = &*self.spec;
        if !self.store.is_of_process() {
            let error = format!("{name} is of a registry that other processes do not have");
            return Err(PyTypeError::new_err(error));
        }
        let options = self.spec.to_options(py)?;
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

    /// The registry, the name in it, and the label values, if they are chosen.
    fn identity<'py>(&self, py: Python<'py>) -> (usize, String, Option<Bound<'py, PyTuple>>) {
        let values = self.values.as_ref().map(|values| values.bind(py).clone());
        (Arc::as_ptr(&self.store).addr(), self.spec.key(), values)
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

/// A histogram with classic buckets, or a native one.
pub(super) enum HistogramHandle {
    Classic(MetricHandle<cell::Histogram>),
    Native(MetricHandle<NativeHistogram>),
}

/// Calls the method of the handle that there is.
macro_rules! either {
    ($histogram:expr, $handle:ident => $call:expr) => {
        match $histogram {
            HistogramHandle::Classic($handle) => $call,
            HistogramHandle::Native($handle) => $call,
        }
    };
}

impl HistogramHandle {
    /// The histogram that was asked for in this process.
    pub(super) fn create(store: &Arc<Store>, spec: Spec) -> PyResult<Self> {
        Ok(match store.is_native(&spec) {
            true => Self::Native(MetricHandle::create(store, spec)?),
            false => Self::Classic(MetricHandle::create(store, spec)?),
        })
    }

    /// The histogram that was asked for in another process.
    pub(super) fn restored(store: Arc<Store>, spec: Spec, values: Option<Py<PyTuple>>) -> Self {
        match spec.kind {
            Kind::Histogram {
                native: Some(true), ..
            } => Self::Native(MetricHandle::restored(store, spec, values)),
            _ => Self::Classic(MetricHandle::restored(store, spec, values)),
        }
    }

    fn labels(
        &self,
        values: &Bound<'_, PyTuple>,
        named: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        Ok(match self {
            Self::Classic(handle) => Self::Classic(handle.labels(values, named)?),
            Self::Native(handle) => Self::Native(handle.labels(values, named)?),
        })
    }

    fn remove(
        &self,
        values: &Bound<'_, PyTuple>,
        named: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        either!(self, handle => handle.remove(values, named))
    }

    fn reduce<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        either!(self, handle => handle.reduce(py))
    }

    fn identity<'py>(&self, py: Python<'py>) -> (usize, String, Option<Bound<'py, PyTuple>>) {
        either!(self, handle => handle.identity(py))
    }

    fn repr(&self, py: Python<'_>) -> PyResult<String> {
        either!(self, handle => handle.repr(py))
    }
}

/// Returns a timer whose blocks are observed by the series of `handle`, if there is
/// room for it.
fn timer<C: FromSpec>(
    metric: Py<PyAny>,
    handle: &MetricHandle<C>,
    observe: impl Fn(&C, f64) + Send + Sync + 'static,
) -> PyResult<Timer> {
    let cell = handle.cell()?.cloned();
    Ok(Timer::new(metric, move |seconds| {
        if let Some(cell) = &cell {
            observe(cell, seconds);
        }
    }))
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

/// Makes the class of a kind of metric: the methods that all kinds share, and its
/// own.
macro_rules! metric {
    ($(#[$doc:meta])* $name:ident of $handle:ty { $($methods:tt)* }) => {
        $(#[$doc])*
        #[pyclass(frozen, module = "stethoscope")]
        pub(in crate::native) struct $name(pub(super) $handle);

        #[pymethods]
        impl $name {
            /// Return the series with these label values; make it if it is not there.
            ///
            /// Give one value for each label, in order or by name. Values are
            /// converted by `str`.
            ///
            /// Keep the returned object: looking it up costs more than updating
            /// it. A metric with labels must be resolved like this before use; every
            /// method but `remove` raises `ValueError` until then.
            #[pyo3(signature = (*values, **named))]
            fn labels(
                &self,
                values: &Bound<'_, PyTuple>,
                named: Option<&Bound<'_, PyDict>>,
            ) -> PyResult<Self> {
                Ok(Self(self.0.labels(values, named)?))
            }

            /// Take the series with these label values off the page.
            ///
            /// Return True if it was there.
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

            fn __eq__(&self, other: &Self, py: Python<'_>) -> PyResult<bool> {
                let identity = self.0.identity(py).into_pyobject(py)?;
                identity.eq(other.0.identity(py))
            }

            fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
                self.0.identity(py).into_pyobject(py)?.hash()
            }

            fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
                self.0.repr(py)
            }

            $($methods)*
        }
    };
}

metric! {
    /// A number that only goes up. `stethoscope.counter` returns one.
    ///
    /// Objects are equal if their names and label values are, in one registry.
    Counter of MetricHandle<FloatCounter> {
        /// Add to the counter.
        ///
        /// Raises `ValueError` for a negative amount, an infinite one, and NaN.
        #[pyo3(signature = (amount = 1.0))]
        fn inc(&self, amount: f64) -> PyResult<()> {
            if !(0.0..f64::INFINITY).contains(&amount) {
                let error = format!("a counter only goes up: it can't be increased by {amount}");
                return Err(PyValueError::new_err(error));
            }
            self.0.update(|cell| cell.inc_by(amount))
        }

        /// The current value.
        #[getter]
        fn value(&self) -> PyResult<f64> {
            Ok(self.0.cell()?.map_or(0.0, |cell| cell.get()))
        }
    }
}

metric! {
    /// A number that goes up and down. `stethoscope.gauge` returns one.
    ///
    /// Objects are equal if their names and label values are, in one registry.
    Gauge of MetricHandle<FloatGauge> {
        /// Set the gauge to a value.
        fn set(&self, value: f64) -> PyResult<()> {
            self.0.update(|cell| cell.set(value))
        }

        /// Add to the gauge.
        #[pyo3(signature = (amount = 1.0))]
        fn inc(&self, amount: f64) -> PyResult<()> {
            self.0.update(|cell| cell.add(amount))
        }

        /// Subtract from the gauge.
        #[pyo3(signature = (amount = 1.0))]
        fn dec(&self, amount: f64) -> PyResult<()> {
            self.0.update(|cell| cell.sub(amount))
        }

        /// Set the gauge to the seconds since 1970 (UTC).
        fn set_to_current_time(&self) -> PyResult<()> {
            self.0.update(FloatGauge::set_to_current_time)
        }

        /// The current value.
        #[getter]
        fn value(&self) -> PyResult<f64> {
            Ok(self.0.cell()?.map_or(0.0, |cell| cell.get()))
        }
    }
}

metric! {
    /// Observations, counted in buckets. `stethoscope.histogram` returns one.
    ///
    /// Objects are equal if their names and label values are, in one registry.
    Histogram of HistogramHandle {
        /// Count one observation. NaN is ignored.
        fn observe(&self, value: f64) -> PyResult<()> {
            either!(&self.0, handle => handle.update(|cell| cell.observe(value)))
        }

        /// Return a timer that observes seconds.
        ///
        /// Use it in a `with` statement or as a decorator; see `Timer`.
        fn time(this: Bound<'_, Self>) -> PyResult<Timer> {
            let metric = this.clone().into_any().unbind();
            match &this.get().0 {
                HistogramHandle::Classic(handle) => {
                    timer(metric, handle, |cell, seconds| cell.observe(seconds))
                }
                HistogramHandle::Native(handle) => {
                    timer(metric, handle, |cell, seconds| cell.observe(seconds))
                }
            }
        }
    }
}

metric! {
    /// Quantiles of the observations within a sliding window. `stethoscope.summary` returns one.
    ///
    /// Objects are equal if their names and label values are, in one registry.
    Summary of MetricHandle<Quantile> {
        /// Take one observation into account. NaN is ignored.
        fn observe(&self, value: f64) -> PyResult<()> {
            self.0.update(|cell| cell.observe(value))
        }

        /// Return a timer that observes seconds.
        ///
        /// Use it in a `with` statement or as a decorator; see `Timer`.
        fn time(this: Bound<'_, Self>) -> PyResult<Timer> {
            let metric = this.clone().into_any().unbind();
            timer(metric, &this.get().0, |cell, seconds| cell.observe(seconds))
        }
    }
}
