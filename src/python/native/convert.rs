//! Between Python's values and ours.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use stethoscope::exposition::ContentType;
use stethoscope::{Registry, Scraper};

pub(super) fn value_error(error: impl std::error::Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Seconds from Python, such as a timeout.
pub(super) fn duration(seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(value_error)
}

/// Makes pages for those who ask from Python.
pub(super) struct Renderer(Mutex<Scraper>);

impl Renderer {
    pub(super) fn new(registry: &Registry) -> Self {
        Self(Mutex::new(registry.scraper()))
    }

    /// The page as a client with this Accept header wants it, and the content
    /// type that it then has.
    pub(super) fn render<'py>(
        &self,
        py: Python<'py>,
        accept: &str,
    ) -> (Bound<'py, PyBytes>, &'static str) {
        let content_type = ContentType::negotiate(accept);
        // The scraper's lock is never held while the GIL is waited for.
        let page = py.detach(|| {
            let mut scraper = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            scraper.scrape(content_type).to_vec()
        });
        (PyBytes::new(py, &page), content_type.header())
    }
}
