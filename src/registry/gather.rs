//! The samples of a registry as data, for tests and for bridges to other systems.

use super::{Contents, Registry, hooks};
use crate::MetricType;
use crate::cell::{NativeReading, Number};
use crate::family::{SeriesView, Shape, Source};
use std::sync::Arc;

/// A family and the values of its series, as of one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GatheredFamily {
    /// The name as the text format shows it: with `_total` or `_info`.
    pub name: String,
    /// The help text.
    pub help: String,
    /// The type.
    pub metric_type: MetricType,
    /// The unit, if one was given.
    pub unit: Option<String>,
    /// The series, in the order of the page.
    pub series: Vec<GatheredSeries>,
}

/// A series and its value, as of one moment.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GatheredSeries {
    /// The names and values of the labels, constant labels first.
    pub labels: Vec<(String, String)>,
    /// When the series was made, in seconds since 1970 (UTC), if the family shows
    /// it.
    pub created: Option<f64>,
    /// The value.
    pub value: Value,
}

/// The value of a series.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// The value of a counter, gauge, info or unknown.
    Single(f64),
    /// A histogram.
    Histogram {
        /// The upper bound of each bucket, the last one +Inf, with the number of
        /// observations up to it.
        buckets: Vec<(f64, u64)>,
        /// The sum of the observations.
        sum: f64,
    },
    /// A native histogram.
    NativeHistogram(NativeReading),
    /// A summary.
    Summary {
        /// The quantiles, from 0 to 1, with their values.
        quantiles: Vec<(f64, f64)>,
        /// The sum of the observations.
        sum: f64,
        /// The number of observations.
        count: u64,
    },
    /// The names of the states that are on.
    States(Vec<String>),
}

impl GatheredFamily {
    /// Returns the value of the series with these labels, in any order, constant
    /// labels included.
    #[must_use]
    pub fn value<'l>(&self, labels: impl AsRef<[(&'l str, &'l str)]>) -> Option<&Value> {
        let wanted = labels.as_ref();
        let has = |series: &&GatheredSeries| {
            series.labels.len() == wanted.len()
                && wanted
                    .iter()
                    .all(|label| series.labels.iter().any(|(n, v)| (&**n, &**v) == *label))
        };
        self.series.iter().find(has).map(|series| &series.value)
    }
}

impl Registry {
    /// Returns all families of the page with the values of their series, after
    /// running the hooks.
    ///
    /// For tests and bridges: it allocates, and takes the locks of all families.
    ///
    /// ```
    /// # use stethoscope::{Registry, registry::Value};
    /// let registry = Registry::new();
    /// let tasks = registry.gauge_family("tasks", "Tasks by state.", ["state"])?;
    /// tasks.with(["running"])?.set(3);
    /// let families = registry.gather();
    /// assert_eq!(families[0].name, "tasks");
    /// assert_eq!(families[0].value([("state", "running")]), Some(&Value::Single(3.0)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn gather(&self) -> Vec<GatheredFamily> {
        let mut contents = Contents::default();
        contents.collect(&self.core);
        hooks::run(&contents.hooks);
        if !contents.is_current() {
            contents.collect(&self.core);
        }
        contents.families.iter().map(gather_family).collect()
    }
}

fn gather_family(source: &Arc<dyn Source>) -> GatheredFamily {
    let descriptor = source.descriptor();
    let mut view = Arc::clone(source).view();
    view.refresh(&mut Vec::new());
    let mut row = vec![0; source.width()];
    let series = (0..view.len()).map(|index| {
        view.read(index..index + 1, &mut row);
        GatheredSeries {
            labels: gather_labels(source.as_ref(), view.as_ref(), index),
            created: descriptor.created.then(|| view.created(index)),
            value: match &descriptor.shape {
                Shape::NativeHistogram { .. } => {
                    let mut reading = NativeReading::default();
                    view.read_native(index, &mut reading);
                    Value::NativeHistogram(reading)
                }
                shape => value(shape, &row),
            },
        }
    });
    GatheredFamily {
        name: descriptor.full_name(),
        help: descriptor.help().to_owned(),
        metric_type: descriptor.metric_type(),
        unit: descriptor.unit().map(str::to_owned),
        series: series.collect(),
    }
}

fn gather_labels(
    source: &dyn Source,
    view: &dyn SeriesView,
    series: usize,
) -> Vec<(String, String)> {
    let labels = source.descriptor().shown_labels(view.labels(series));
    labels
        .map(|(name, value)| (name.into_owned(), value.to_owned()))
        .collect()
}

/// Reads a row as a value of this shape.
fn value(shape: &Shape, row: &[u64]) -> Value {
    let float = |index: usize| f64::from_bits(row[index]);
    match shape {
        Shape::Single(Number::U64) => Value::Single(row[0] as f64),
        Shape::Single(Number::I64) => Value::Single(row[0].cast_signed() as f64),
        Shape::Single(Number::F64) => Value::Single(float(0)),
        Shape::Histogram { bounds } | Shape::NativeHistogram { bounds, .. } => Value::Histogram {
            buckets: bounds
                .iter()
                .copied()
                .chain([f64::INFINITY])
                .zip(row.iter().copied())
                .collect(),
            sum: float(bounds.len() + 1),
        },
        Shape::Summary { quantiles, .. } => Value::Summary {
            quantiles: quantiles
                .iter()
                .enumerate()
                .map(|(index, quantile)| (*quantile, float(index)))
                .collect(),
            sum: float(quantiles.len()),
            count: row[quantiles.len() + 1],
        },
        Shape::StateSet { states } => Value::States(
            states
                .iter()
                .zip(row)
                .filter(|(_, on)| **on != 0)
                .map(|(state, _)| state.clone())
                .collect(),
        ),
    }
}
