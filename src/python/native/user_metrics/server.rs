//! Serving a page without Dask.

use crate::native::convert::value_error;
use pyo3::prelude::*;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use stethoscope::endpoint::{Builder, Endpoint};
use stethoscope::{Registry, process};

/// A page that is served without Dask.
///
/// A thread serves it at `/metrics` until it is stopped or the process ends. As a
/// context manager it stops at the end of the block.
#[pyclass(frozen, module = "stethoscope")]
pub(in crate::native) struct Server {
    endpoint: Mutex<Option<Endpoint>>,
    address: SocketAddr,
}

impl Server {
    /// Serves a page of the process and of these registries, in OpenMetrics 2.0 as well
    /// if asked to. Needs no GIL.
    pub(super) fn start(
        registries: &[Registry],
        host: &str,
        port: u16,
        openmetrics2: bool,
    ) -> PyResult<Self> {
        // The process metrics are the page's, not the registry's: the registry
        // may be on other pages, which have them already.
        let page = Registry::new();
        process::register(&page).map_err(value_error)?;
        for registry in registries {
            page.include(registry);
        }
        Self::of_page(&page, host, port, openmetrics2)
    }

    /// Serves the page that a registry is.
    pub(super) fn of_page(
        page: &Registry,
        host: &str,
        port: u16,
        openmetrics2: bool,
    ) -> PyResult<Self> {
        let builder = Builder::new(page).listen((host, port));
        let endpoint = builder.openmetrics2(openmetrics2).spawn();
        let endpoint = endpoint.map_err(std::io::Error::from)?;
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
    /// Dropping the Python object leaves the server running.
    fn drop(&mut self) {
        if let Some(endpoint) = self.take() {
            endpoint.detach();
        }
    }
}

#[pymethods]
impl Server {
    /// The port that it listens at.
    #[getter]
    fn port(&self) -> u16 {
        self.address.port()
    }

    /// The URL of the page.
    #[getter]
    fn url(&self) -> String {
        format!("http://{}/metrics", self.address)
    }

    /// Stop the server and free the port. May be called twice.
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
