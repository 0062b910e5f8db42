//! Conversions between Python's values and ours.

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;
use stethoscope::exposition::Offer;
use stethoscope::segment::{SegmentError, SegmentErrorKind};
use stethoscope::{Registry, Scraper};

pub(super) fn value_error(error: impl std::error::Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Converts the failure to make or read a segment.
pub(super) fn segment_error(error: SegmentError) -> PyErr {
    match error.kind() {
        SegmentErrorKind::Io(_) => PyOSError::new_err(error.to_string()),
        _ => value_error(error),
    }
}

/// Converts seconds from Python, such as a timeout.
pub(super) fn duration(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| PyValueError::new_err(format!("expected seconds, 0 or more, found {seconds}")))
}

/// Renders pages of a registry, from any number of threads.
pub(super) struct Renderer {
    registry: Registry,
    /// The scraper that was used last, unless a thread is using it.
    scraper: Mutex<Option<Scraper>>,
}

impl Renderer {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            registry: registry.clone(),
            scraper: Mutex::default(),
        }
    }

    /// Returns the kept scraper, if its lock is free. Threads take the lock without
    /// the GIL, so that a fork may find it locked: the child must not wait for it.
    fn scraper(&self) -> Option<MutexGuard<'_, Option<Scraper>>> {
        match self.scraper.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Renders the page as a client with this Accept header wants it, among the formats
    /// on offer. Returns it with its content type.
    pub(super) fn render<'py>(
        &self,
        py: Python<'py>,
        accept: &str,
        offer: Offer,
    ) -> (Bound<'py, PyBytes>, &'static str) {
        let content_type = offer.negotiate(accept);
        let page = py.detach(|| {
            let kept = self.scraper().and_then(|mut kept| kept.take());
            let mut scraper = kept.unwrap_or_else(|| self.registry.scraper());
            let page = scraper.scrape(content_type).to_vec();
            if let Some(mut kept) = self.scraper() {
                *kept = Some(scraper);
            }
            page
        });
        (PyBytes::new(py, &page), content_type.header())
    }
}

/// Converts a number of any type to the nearest `f64`.
pub(super) fn number(value: &Bound<'_, PyAny>) -> PyResult<f64> {
    match small_int(value) {
        Some(int) => Ok(int as f64),
        None => value.extract(),
    }
}

/// Converts the integral part of a number of any type to the nearest `i64`.
pub(super) fn whole(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    if let Some(int) = small_int(value) {
        return Ok(int);
    }
    let number: f64 = value.extract()?;
    if number.is_nan() {
        return Err(PyValueError::new_err("expected a count, got NaN"));
    }
    Ok(number as i64)
}

/// A count: the number's integral part, with negative values clamped to 0.
pub(super) fn count(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    Ok(whole(value)?.max(0).unsigned_abs())
}

/// Fast path for `int`, which nearly every value is. It is also the only lossless
/// one. `extract::<i64>()` on any other type raises, and raising is expensive.
#[inline]
pub(super) fn small_int(value: &Bound<'_, PyAny>) -> Option<i64> {
    if value.is_exact_instance_of::<PyInt>() {
        value.extract().ok()
    } else {
        None
    }
}
