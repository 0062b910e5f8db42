//! What was asked for under a name. Asked for again, it must agree.

use crate::native::convert::{duration, value_error};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::fmt;
use stethoscope::cell::{
    Buckets, FloatCounter, FloatGauge, Histogram, Quantile, QuantileOptions, Window,
};
use stethoscope::family::Metric;

/// Seconds: the window of a [`QuantileOptions`] that is told none.
const DEFAULT_WINDOW: f64 = 60.0;

/// A kind, and what its cells are made with where that was said.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram {
        buckets: Option<Vec<f64>>,
    },
    Summary {
        quantiles: Option<Vec<f64>>,
        window: Option<f64>,
        /// The least and the greatest value.
        range: Option<[f64; 2]>,
    },
}

/// Cells that are made as a kind says.
pub(super) trait Made: Metric<Options: Default> {
    fn options(kind: &Kind) -> PyResult<Self::Options>;

    /// Says what was said as the options have it.
    fn put_in_order(_: &mut Kind, _: &Self::Options) {}
}

impl Made for FloatCounter {
    fn options(_: &Kind) -> PyResult<()> {
        Ok(())
    }
}

impl Made for FloatGauge {
    fn options(_: &Kind) -> PyResult<()> {
        Ok(())
    }
}

impl Made for Histogram {
    fn options(kind: &Kind) -> PyResult<Buckets> {
        match kind {
            Kind::Histogram {
                buckets: Some(bounds),
            } => Buckets::new(bounds.iter().copied()).map_err(value_error),
            _ => Ok(Buckets::default()),
        }
    }

    fn put_in_order(kind: &mut Kind, options: &Buckets) {
        if let Kind::Histogram {
            buckets: Some(bounds),
        } = kind
        {
            *bounds = options.bounds().to_vec();
        }
    }
}

impl Made for Quantile {
    fn options(kind: &Kind) -> PyResult<QuantileOptions> {
        let mut options = QuantileOptions::default();
        if let Kind::Summary {
            quantiles,
            window,
            range,
        } = kind
        {
            if let Some(quantiles) = quantiles {
                options = QuantileOptions::new(quantiles.iter().copied()).map_err(value_error)?;
            }
            if let Some(window) = window {
                let window = Window::new(duration(*window)?, SLICES).map_err(value_error)?;
                options = options.window(window);
            }
            if let Some([low, high]) = *range {
                options = options.range(low, high).map_err(value_error)?;
            }
        }
        Ok(options)
    }

    fn put_in_order(kind: &mut Kind, options: &QuantileOptions) {
        if let Kind::Summary {
            quantiles: Some(quantiles),
            ..
        } = kind
        {
            *quantiles = options.quantiles().to_vec();
        }
    }
}

/// Slices of a summary's window.
const SLICES: usize = 6;

impl Kind {
    /// As the function that asks for it is called.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram { .. } => "histogram",
            Kind::Summary { .. } => "summary",
        }
    }

    /// What its cells are made with, with its name.
    fn options(&self) -> Vec<(&'static str, Option<&[f64]>)> {
        match self {
            Kind::Counter | Kind::Gauge => Vec::new(),
            Kind::Histogram { buckets } => vec![("the buckets", buckets.as_deref())],
            Kind::Summary {
                quantiles,
                window,
                range,
            } => vec![
                ("the quantiles", quantiles.as_deref()),
                ("the window", window.as_ref().map(std::slice::from_ref)),
                ("the range", range.as_ref().map(|range| &range[..])),
            ],
        }
    }

    /// The suffix that its name may be given with or without.
    fn suffix(&self) -> &'static str {
        match self {
            Kind::Counter => "_total",
            _ => "",
        }
    }
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
    /// What two requests for the same metric have in common.
    pub(super) fn key(&self) -> &str {
        let suffix = self.kind.suffix();
        self.name.strip_suffix(suffix).unwrap_or(&self.name)
    }

    /// With what is taken where nothing is said.
    pub(super) fn settled(mut self) -> Self {
        match &mut self.kind {
            Kind::Counter | Kind::Gauge => {}
            Kind::Histogram { buckets } => {
                buckets.get_or_insert_with(|| Buckets::default().bounds().to_vec());
            }
            Kind::Summary {
                quantiles, window, ..
            } => {
                quantiles.get_or_insert_with(|| QuantileOptions::default().quantiles().to_vec());
                window.get_or_insert(DEFAULT_WINDOW);
            }
        }
        self
    }

    /// Refuses a request that contradicts an earlier one. What is left out of
    /// it, and the help, contradicts nothing.
    pub(super) fn check_agrees(&self, earlier: &Spec) -> PyResult<()> {
        let name = &earlier.name;
        if self.kind.name() != earlier.kind.name() {
            let (is, asked) = (earlier.kind.name(), self.kind.name());
            let error = format!("{name} is a {is} already: it can't be a {asked}");
            return Err(PyValueError::new_err(error));
        }
        let differs = |what: &str, is: &dyn fmt::Debug, asked: &dyn fmt::Debug| {
            let error = format!("{name} is there already with {what} {is:?}, not {asked:?}");
            Err(PyValueError::new_err(error))
        };
        if self.labels != earlier.labels {
            return differs("the labels", &earlier.labels, &self.labels);
        }
        if let Some(asked) = self.max_series
            && earlier.max_series != Some(asked)
        {
            let is = earlier.max_series.unwrap_or(usize::MAX);
            return differs("max_series", &is, &asked);
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
