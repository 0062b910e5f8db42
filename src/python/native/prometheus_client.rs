//! The metrics of the Python library `prometheus_client`, repeated on pages of
//! ours.

use super::convert::value_error;
use super::user_metrics::{Registry, Store};
use crate::mirror::{Collected, Mirror, Sample};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use stethoscope::cell::{Exemplar, ExemplarLabels};

/// The metrics of `prometheus_client` as they were last collected.
///
/// A round of collecting is one `update` for each family, then `finish`. Pages
/// include it as they include a registry.
#[pyclass(frozen, module = "stethoscope._native")]
pub(super) struct Mirrored {
    registry: stethoscope::Registry,
    mirror: Mutex<Mirror>,
    /// The metrics of the process, whose names come first.
    ours: Arc<Store>,
}

impl Mirrored {
    pub(super) fn registry(&self) -> &stethoscope::Registry {
        &self.registry
    }

    /// Never held while the GIL is waited for.
    fn lock(&self) -> MutexGuard<'_, Mirror> {
        self.mirror.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Mirrored {
    /// `ours` is the registry whose names come first.
    #[new]
    fn new(ours: &Registry) -> Self {
        let mirror = Mirror::new();
        Self {
            registry: mirror.registry().clone(),
            mirror: Mutex::new(mirror),
            ours: Arc::clone(ours.store()),
        }
    }

    /// Shows a family, a `prometheus_client.Metric`, as it is now.
    ///
    /// Raises `ValueError` with the reason if it, or a part of it, cannot be
    /// shown: mostly because the name is on the page already.
    fn update(&self, py: Python<'_>, family: &Bound<'_, PyAny>) -> PyResult<()> {
        let name: String = family.getattr(intern!(py, "name"))?.extract()?;
        if let Some(reason) = self.ours.name_is_taken(&name) {
            return Err(pyo3::exceptions::PyValueError::new_err(reason));
        }
        let mut samples = Vec::new();
        for sample in family.getattr(intern!(py, "samples"))?.try_iter()? {
            samples.push(extract(&sample?)?);
        }
        let repeated = remove_repeated(&mut samples);
        let collected = Collected {
            name,
            help: family.getattr(intern!(py, "documentation"))?.extract()?,
            unit: family.getattr(intern!(py, "unit"))?.extract()?,
            metric_type: family.getattr(intern!(py, "type"))?.extract()?,
            samples,
        };
        py.detach(|| self.lock().update(collected))
            .map_err(value_error)?;
        match repeated {
            Some(series) => {
                let error = format!("a series came twice, and its first value is shown: {series}");
                Err(pyo3::exceptions::PyValueError::new_err(error))
            }
            None => Ok(()),
        }
    }

    /// Ends a round: what was not updated in it leaves the page.
    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.lock().finish()).map_err(value_error)
    }
}

/// Keeps the first sample of each series. Returns the first series that came again.
fn remove_repeated(samples: &mut Vec<Sample>) -> Option<String> {
    let mut seen = HashSet::new();
    let mut repeated = None;
    samples.retain(|sample| {
        let mut labels = sample.labels.clone();
        labels.sort();
        let is_new = seen.insert((sample.name.clone(), labels));
        if !is_new {
            repeated.get_or_insert_with(|| format!("{} {:?}", sample.name, sample.labels));
        }
        is_new
    });
    repeated
}

fn extract(sample: &Bound<'_, PyAny>) -> PyResult<Sample> {
    let py = sample.py();
    let exemplar = match sample.getattr_opt(intern!(py, "exemplar"))? {
        Some(exemplar) if !exemplar.is_none() => extract_exemplar(&exemplar)?,
        _ => None,
    };
    Ok(Sample {
        name: sample.getattr(intern!(py, "name"))?.extract()?,
        labels: extract_labels(&sample.getattr(intern!(py, "labels"))?)?,
        value: sample.getattr(intern!(py, "value"))?.extract()?,
        exemplar,
    })
}

fn extract_labels(labels: &Bound<'_, PyAny>) -> PyResult<Vec<(String, String)>> {
    let pairs = labels.cast::<PyDict>()?.iter();
    pairs
        .map(|(name, value)| {
            let value = match value.cast::<PyString>() {
                Ok(value) => value.clone(),
                Err(_) => value.str()?,
            };
            Ok((name.extract()?, value.to_str()?.to_owned()))
        })
        .collect()
}

/// `None` for an exemplar that OpenMetrics does not allow.
fn extract_exemplar(exemplar: &Bound<'_, PyAny>) -> PyResult<Option<Box<Exemplar>>> {
    let py = exemplar.py();
    let labels = extract_labels(&exemplar.getattr(intern!(py, "labels"))?)?;
    let pairs = labels.iter().map(|(name, value)| (&**name, &**value));
    let Ok(labels) = ExemplarLabels::new(pairs) else {
        return Ok(None);
    };
    let timestamp = exemplar.getattr(intern!(py, "timestamp"))?;
    let timestamp = match timestamp.is_none() {
        true => seconds_since_1970(),
        // A float, or the library's own Timestamp.
        false => timestamp
            .call_method0(intern!(py, "__float__"))?
            .extract()?,
    };
    let value = exemplar.getattr(intern!(py, "value"))?.extract()?;
    let mut made = Exemplar::default();
    (made.value, made.timestamp, made.labels) = (value, timestamp, labels);
    Ok(Some(Box::new(made)))
}

fn seconds_since_1970() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}
