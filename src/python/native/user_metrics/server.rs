//! A page without Dask.

use crate::dask;
use crate::native::convert::value_error;
use pyo3::prelude::*;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use stethoscope::Registry;
use stethoscope::endpoint::{self, Endpoint};

/// A thread that serves a page at `/metrics`, until it is stopped or the
/// process ends.
#[pyclass(frozen, module = "stethoscope")]
pub(in crate::native) struct Server {
    endpoint: Mutex<Option<Endpoint>>,
    address: SocketAddr,
}

impl Server {
    /// Needs no GIL.
    pub(super) fn start(own: &Registry, host: &str, port: u16) -> PyResult<Self> {
        // What the kernel tells is of the page, not of the registry: that one
        // may be on pages which have it from elsewhere.
        let page = Registry::new();
        dask::register_process(&page).map_err(value_error)?;
        page.include(own);
        let endpoint = endpoint::serve(&page, (host, port))?;
        let address = endpoint.local_addr().expect("it listens at a TCP port");
        Ok(Self {
            endpoint: Mutex::new(Some(endpoint)),
            address,
        })
    }

    fn take(&self) -> Option<Endpoint> {
        let mut endpoint = self.endpoint.lock().unwrap_or_else(PoisonError::into_inner);
        endpoint.take()
    }
}

impl Drop for Server {
    /// Nobody has to keep what they do not want to stop.
    fn drop(&mut self) {
        if let Some(endpoint) = self.take() {
            endpoint.detach();
        }
    }
}

#[pymethods]
impl Server {
    #[getter]
    fn port(&self) -> u16 {
        self.address.port()
    }

    #[getter]
    fn url(&self) -> String {
        format!("http://{}/metrics", self.address)
    }

    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let Some(endpoint) = self.take() else {
            return Ok(());
        };
        endpoint.shutdown();
        Ok(py.detach(|| endpoint.join())?)
    }

    fn __enter__(this: Bound<'_, Self>) -> Bound<'_, Self> {
        this
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.stop(py)
    }

    fn __repr__(&self) -> String {
        format!("<stethoscope.Server at {}>", self.url())
    }
}
