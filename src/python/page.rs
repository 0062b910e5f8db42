//! A server's page, and what a sample brings to it.

use super::convert::{Renderer, duration, value_error};
use super::digest::Digest;
use super::document::Document;
use super::gc::GcWatcher;
use super::listener::Listener;
use super::own::Registry;
use crate::dask::{self, Options, PythonVersion, Role, Sampled};
use crate::endpoint::Builder;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};
use std::os::fd::RawFd;
use std::sync::Arc;

/// The metrics of one server.
#[pyclass(frozen, module = "stethoscope._native")]
pub(super) struct Page {
    page: Arc<dask::Page>,
    renderer: Renderer,
}

#[pymethods]
impl Page {
    /// A page of a `"scheduler"` or a `"worker"`, whose medians are taken over
    /// the last `window` seconds.
    #[new]
    fn new(py: Python<'_>, role: &str, window: f64) -> PyResult<Self> {
        let role = match role {
            "scheduler" => Role::Scheduler,
            "worker" => Role::Worker,
            other => {
                let error = format!("no server of Dask is a {other:?}: scheduler or worker");
                return Err(PyValueError::new_err(error));
            }
        };
        let platform = py.import("platform")?;
        let say = |function| -> PyResult<String> { platform.call_method0(function)?.extract() };
        let python = PythonVersion::new(&say("python_implementation")?, &say("python_version")?);
        let options = Options {
            window: duration(window)?,
        };
        let page = dask::Page::new(role, &python, &options).map_err(value_error)?;
        Ok(Self {
            renderer: Renderer::new(page.registry()),
            page: Arc::new(page),
        })
    }

    /// Puts families on the page whose values samples bring, in the order in
    /// which they will.
    fn samples(&self, families: Vec<String>) -> PyResult<Samples> {
        let slots: Result<Vec<_>, _> = families
            .iter()
            .map(|name| self.page.sampled(name))
            .collect();
        Ok(Samples {
            page: Arc::clone(&self.page),
            slots: slots.map_err(value_error)?,
        })
    }

    /// Puts a median on the page, and returns the digest that feeds it, and
    /// `inner` too if that is not None.
    fn digest(&self, family: &str, inner: Option<Py<PyAny>>) -> PyResult<Digest> {
        let cell = self.page.median(family).map_err(value_error)?;
        Ok(Digest::new(cell, inner))
    }

    /// What counts garbage collections for this page, once it is in
    /// `gc.callbacks`.
    fn gc_watcher(&self) -> GcWatcher {
        GcWatcher::new(self.page.gc().clone())
    }

    /// Serves the page, and documents beside it, on a thread of its own, at
    /// sockets that listen already.
    fn listen(
        &self,
        sockets: Vec<RawFd>,
        freshness: f64,
        documents: Vec<PyRef<'_, Document>>,
    ) -> PyResult<Listener> {
        let builder = documents
            .iter()
            .fold(Builder::new(self.page.registry()), |builder, document| {
                builder.document(&document.0)
            });
        Ok(Listener::start(builder, &sockets, duration(freshness)?)?)
    }

    /// The page as a client with this Accept header wants it, and the content
    /// type that it then has.
    fn render<'py>(&self, py: Python<'py>, accept: &str) -> (Bound<'py, PyBytes>, &'static str) {
        self.renderer.render(py, accept)
    }

    /// Shows the metrics of a registry on this page, behind its own.
    fn include(&self, registry: &Registry) {
        self.page.registry().include(registry.registry());
    }

    /// Takes them off it; whether they were there.
    fn exclude(&self, registry: &Registry) -> bool {
        self.page.registry().exclude(registry.registry())
    }
}

/// The families of a page whose values samples bring.
#[pyclass(module = "stethoscope._native")]
pub(super) struct Samples {
    page: Arc<dask::Page>,
    slots: Vec<Sampled>,
}

#[pymethods]
impl Samples {
    /// Takes the value of each family: a number, or a dict from the label's
    /// values to numbers. Raises at the first that is neither.
    fn publish(&mut self, values: &Bound<'_, PyList>) -> PyResult<()> {
        for (slot, value) in self.slots.iter_mut().zip(values.iter()) {
            update(slot, &value)?;
        }
        self.taken();
        Ok(())
    }

    /// Takes the value of one family, by its place.
    fn publish_one(&mut self, index: usize, value: &Bound<'_, PyAny>) -> PyResult<()> {
        update(&mut self.slots[index], value)
    }

    /// Says that each family has its value, or is withdrawn; `publish` says so
    /// itself.
    fn taken(&self) {
        self.page.sample_taken();
    }

    /// Takes a family off the page until its next value.
    fn withdraw(&mut self, index: usize) {
        self.slots[index].withdraw();
    }
}

fn update(slot: &mut Sampled, value: &Bound<'_, PyAny>) -> PyResult<()> {
    match value.cast::<PyDict>() {
        Ok(by_label) => slot.update(|set| {
            for (label, value) in by_label {
                set(label.cast::<PyString>()?.to_str()?, value.extract()?);
            }
            Ok(())
        }),
        Err(_) => {
            slot.set(value.extract()?);
            Ok(())
        }
    }
}
