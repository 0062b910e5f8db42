//! The specification of a metric: its kind, name, help, labels and options. Asking for the
//! metric again must give the same one.

use crate::native::convert::value_error;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use std::fmt;
use std::time::Duration;
use stethoscope::cell::{
    Buckets, FloatCounter, FloatGauge, Histogram, NativeHistogram, NativeHistogramOptions,
    Quantile, QuantileOptions, Window,
};
use stethoscope::family::Metric;

/// Seconds: the window of a summary unless another is given.
const DEFAULT_WINDOW: f64 = 60.0;

/// Slices of a summary's window.
const SLICES: usize = 6;

/// A kind of metric, with the options that its cells are made with, as far as
/// the caller gave them.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram {
        /// The finite bounds. A native histogram without them has no classic buckets.
        buckets: Option<Vec<f64>>,
        native: Option<bool>,
    },
    Summary {
        quantiles: Option<Vec<f64>>,
        window: Option<f64>,
        /// The least and the greatest value.
        range: Option<[f64; 2]>,
        keep_last: Option<bool>,
    },
}

/// A cell that can be made as a [`Kind`] says.
pub(super) trait FromSpec: Metric<Options: Default> {
    fn options(kind: &Kind) -> PyResult<Self::Options>;

    /// Normalizes the options that the caller gave (sorts the quantiles, for
    /// example), so that two requests can be compared.
    fn normalize(_: &mut Kind, _: &Self::Options) {}
}

impl FromSpec for FloatCounter {
    fn options(_: &Kind) -> PyResult<()> {
        Ok(())
    }
}

impl FromSpec for FloatGauge {
    fn options(_: &Kind) -> PyResult<()> {
        Ok(())
    }
}

impl FromSpec for Histogram {
    fn options(kind: &Kind) -> PyResult<Buckets> {
        Ok(kind.buckets()?.unwrap_or_default())
    }

    fn normalize(kind: &mut Kind, options: &Buckets) {
        kind.normalize_histogram(options.bounds(), false);
    }
}

impl FromSpec for NativeHistogram {
    fn options(kind: &Kind) -> PyResult<NativeHistogramOptions> {
        let options = NativeHistogramOptions::builder();
        let options = match kind.buckets()? {
            Some(buckets) => options.classic(buckets),
            None => options,
        };
        options.build().map_err(value_error)
    }

    fn normalize(kind: &mut Kind, options: &NativeHistogramOptions) {
        kind.normalize_histogram(options.classic_bounds(), true);
    }
}

impl FromSpec for Quantile {
    fn options(kind: &Kind) -> PyResult<QuantileOptions> {
        let mut options = QuantileOptions::builder(QuantileOptions::default().quantiles().to_vec());
        if let Kind::Summary {
            quantiles,
            window,
            range,
            keep_last,
        } = kind
        {
            options = match quantiles {
                Some(quantiles) => QuantileOptions::builder(quantiles.iter().copied()),
                None => options,
            };
            if let Some(seconds) = *window {
                let length = Duration::try_from_secs_f64(seconds).ok();
                let window = length.and_then(|length| Window::new(length, SLICES).ok());
                options = options.window(window.ok_or_else(|| invalid_window(seconds))?);
            }
            if let Some([low, high]) = *range {
                options = options.range(low, high);
            }
            if *keep_last == Some(true) {
                options = options.keep_last();
            }
        }
        options.build().map_err(value_error)
    }

    fn normalize(kind: &mut Kind, options: &QuantileOptions) {
        if let Kind::Summary {
            quantiles: Some(quantiles),
            ..
        } = kind
        {
            *quantiles = options.quantiles().to_vec();
        }
    }
}

impl Kind {
    /// The name of the function that makes it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram { .. } => "histogram",
            Kind::Summary { .. } => "summary",
        }
    }

    /// Takes the options that are this kind's out of `given`.
    fn from_options(name: &str, given: &Bound<'_, PyDict>) -> PyResult<Self> {
        Ok(match name {
            "counter" => Kind::Counter,
            "gauge" => Kind::Gauge,
            "histogram" => {
                let buckets = take(given, "buckets")?.map(|mut bounds: Vec<f64>| {
                    // The bucket of +Inf is always there, and may be given.
                    bounds.pop_if(|last| *last == f64::INFINITY);
                    bounds
                });
                Kind::Histogram {
                    buckets,
                    native: take(given, "native")?,
                }
            }
            "summary" => Kind::Summary {
                quantiles: take(given, "quantiles")?,
                window: take(given, "window")?,
                range: take::<(f64, f64)>(given, "range")?.map(<[f64; 2]>::from),
                keep_last: take(given, "keep_last")?,
            },
            other => {
                let error = format!("this version of stethoscope has no {other}");
                return Err(PyValueError::new_err(error));
            }
        })
    }

    /// The buckets of a histogram, if the caller gave them.
    fn buckets(&self) -> PyResult<Option<Buckets>> {
        match self {
            Kind::Histogram {
                buckets: Some(bounds),
                ..
            } => Ok(Some(
                Buckets::new(bounds.iter().copied()).map_err(value_error)?,
            )),
            _ => Ok(None),
        }
    }

    /// Sets the type of a histogram and, if the caller gave any, its bounds.
    fn normalize_histogram(&mut self, bounds: &[f64], is_native: bool) {
        if let Kind::Histogram { buckets, native } = self {
            *native = Some(is_native);
            if let Some(given) = buckets {
                *given = bounds.to_vec();
            }
        }
    }

    /// The options by name that are true or false.
    fn switches(&self) -> Vec<(&'static str, Option<bool>)> {
        match self {
            Kind::Counter | Kind::Gauge => Vec::new(),
            Kind::Histogram { native, .. } => vec![("native", *native)],
            Kind::Summary { keep_last, .. } => vec![("keep_last", *keep_last)],
        }
    }

    /// The options by name that are numbers, each as a list.
    fn options(&self) -> Vec<(&'static str, Option<&[f64]>)> {
        match self {
            Kind::Counter | Kind::Gauge => Vec::new(),
            Kind::Histogram { buckets, .. } => vec![("buckets", buckets.as_deref())],
            Kind::Summary {
                quantiles,
                window,
                range,
                ..
            } => vec![
                ("quantiles", quantiles.as_deref()),
                ("window", window.as_ref().map(std::slice::from_ref)),
                ("range", range.as_ref().map(|range| &range[..])),
            ],
        }
    }
}

/// Takes an option out of those that were given. `None` is as good as nothing.
fn take<'py, T>(given: &Bound<'py, PyDict>, option: &str) -> PyResult<Option<T>>
where
    T: for<'a> FromPyObject<'a, 'py, Error = PyErr>,
{
    let Some(value) = given.get_item(option)? else {
        return Ok(None);
    };
    given.del_item(option)?;
    let wrong_type = |error: PyErr| {
        let error = format!("{option}: {}", error.value(given.py()));
        PyTypeError::new_err(error)
    };
    value.extract().map_err(wrong_type)
}

/// The arguments of a request for a metric.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spec {
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) help: String,
    pub(super) labels: Vec<String>,
    pub(super) max_series: Option<usize>,
}

impl Spec {
    /// Reads the arguments that Python gave to the function of this kind.
    ///
    /// # Errors
    /// `TypeError` for help, labels or an option of the wrong type, or an option
    /// that the kind does not have. `ValueError` for an option of a wrong value.
    pub(super) fn new(
        kind: &str,
        name: &str,
        help: Option<&Bound<'_, PyAny>>,
        labels: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let help = help.map(help_text).transpose()?.unwrap_or_default();
        let labels = labels.map(label_names).transpose()?.unwrap_or_default();
        let Some(options) = options else {
            let kind = Python::attach(|py| Kind::from_options(kind, &PyDict::new(py)))?;
            return Ok(Self {
                kind,
                name: name.to_owned(),
                help,
                labels,
                max_series: None,
            });
        };
        let options = options.copy()?;
        let max_series = take(&options, "max_series")?;
        if max_series == Some(0) {
            let error = "invalid max_series 0: expected at least 1, or None for no limit";
            return Err(PyValueError::new_err(error));
        }
        let spec = Self {
            kind: Kind::from_options(kind, &options)?,
            name: name.to_owned(),
            help,
            labels,
            max_series,
        };
        match options.keys().iter().next() {
            None => Ok(spec),
            Some(unknown) => {
                let error = format!("{kind}() got an unexpected keyword argument {unknown:?}");
                Err(PyTypeError::new_err(error))
            }
        }
    }

    /// The options as Python gives them, for another process.
    pub(super) fn to_options<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let options = PyDict::new(py);
        options.set_item("max_series", self.max_series)?;
        match &self.kind {
            Kind::Counter | Kind::Gauge => {}
            Kind::Histogram { buckets, native } => {
                options.set_item("buckets", buckets)?;
                options.set_item("native", native)?;
            }
            Kind::Summary {
                quantiles,
                window,
                range,
                keep_last,
            } => {
                options.set_item("keep_last", keep_last)?;
                options.set_item("quantiles", quantiles)?;
                options.set_item("window", window)?;
                options.set_item("range", range.map(<(f64, f64)>::from))?;
            }
        }
        Ok(options)
    }

    /// Identifies the metric in its registry: its name in the text format.
    pub(super) fn key(&self) -> String {
        match self.kind {
            Kind::Counter if !self.name.ends_with("_total") => format!("{}_total", self.name),
            _ => self.name.clone(),
        }
    }

    /// Fills in the default of each option that the caller left out.
    pub(super) fn with_defaults(mut self) -> Self {
        match &mut self.kind {
            Kind::Counter | Kind::Gauge => {}
            Kind::Histogram { native, buckets } => {
                if *native != Some(true) {
                    buckets.get_or_insert_with(|| Buckets::default().bounds().to_vec());
                }
            }
            Kind::Summary {
                quantiles,
                window,
                keep_last,
                ..
            } => {
                keep_last.get_or_insert(false);
                quantiles.get_or_insert_with(|| QuantileOptions::default().quantiles().to_vec());
                window.get_or_insert(DEFAULT_WINDOW);
            }
        }
        self
    }

    /// Refuses a request that contradicts an earlier one. Options that it leaves
    /// out, and the help, contradict nothing.
    pub(super) fn check_agrees(&self, earlier: &Spec) -> PyResult<()> {
        let name = &earlier.name;
        if self.kind.name() != earlier.kind.name() {
            let (is, asked) = (earlier.kind.name(), self.kind.name());
            let error = format!("{name} is a {is} already: it can't be a {asked}");
            return Err(PyValueError::new_err(error));
        }
        let differs = |what: &str, is: &dyn fmt::Debug, asked: &dyn fmt::Debug| {
            let error = format!("{name} is registered already with {what} {is:?}, not {asked:?}");
            Err(PyValueError::new_err(error))
        };
        if self.labels != earlier.labels {
            return differs("labels", &earlier.labels, &self.labels);
        }
        if let Some(asked) = self.max_series
            && earlier.max_series != Some(asked)
        {
            let is = earlier.max_series.unwrap_or(usize::MAX);
            return differs("max_series", &is, &asked);
        }
        let switches = earlier.kind.switches().into_iter();
        for ((what, is), (_, asked)) in switches.zip(self.kind.switches()) {
            if let Some(asked) = asked
                && is != Some(asked)
            {
                return differs(what, &!asked, &asked);
            }
        }
        for ((what, is), (_, asked)) in earlier.kind.options().into_iter().zip(self.kind.options())
        {
            if asked.is_some() && asked != is {
                return differs(what, &is.unwrap_or_default(), &asked.unwrap_or_default());
            }
        }
        Ok(())
    }
}

/// The labels of a metric. A string is a sequence of strings too, but surely a
/// mistake.
fn label_names(given: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    given.extract().map_err(|_| {
        let error = format!("labels must be a list of names, such as [\"table\"], not {given:?}");
        PyTypeError::new_err(error)
    })
}

#[cold]
fn invalid_window(seconds: f64) -> PyErr {
    // Of SLICES slices, from a millisecond to a year each.
    let expected = "expected a window of 0.006 seconds to 6 years, for example 60";
    PyValueError::new_err(format!("{expected}: found {seconds}"))
}

/// The help of a metric.
fn help_text(given: &Bound<'_, PyAny>) -> PyResult<String> {
    given
        .extract()
        .map_err(|_| match given.is_instance_of::<PyString>() {
            true => {
                PyValueError::new_err(format!("help has characters that are no text: {given:?}"))
            }
            false => {
                let error = format!("help must be a string, followed by the labels: not {given:?}");
                PyTypeError::new_err(error)
            }
        })
}
