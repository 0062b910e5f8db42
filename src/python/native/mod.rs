//! The extension module `stethoscope._native`: a thin layer over `crate::dask` and
//! `stethoscope::endpoint`.
//!
//! ```text
//! Python, with the GIL                        native thread, without it
//! Samples.publish(values) ─┐
//! Digest.add(value)        ├─► cells ─────────► page ─► client
//! GcWatcher(phase, info)  ─┘
//! Listener.woken()       ◄─── eventfd ◄──────── a scrape wants fresh values, or
//! Listener.sampled()     ────► notifier         a connection is handed over
//! ```
//!
//! No Python object is ever reachable from the native thread.

mod black_box;
mod convert;
mod digest;
mod document;
mod executing;
mod gc;
mod listener;
mod page;
mod parse;
mod prefixes;
mod prometheus_client;
mod user_metrics;
mod workers;

use pyo3::prelude::*;

#[pymodule]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::black_box::{BlackBox, BlackBoxReader};
    #[pymodule_export]
    use super::digest::{Digest, TaskFinished};
    #[pymodule_export]
    use super::document::Document;
    #[pymodule_export]
    use super::executing::Executing;
    #[pymodule_export]
    use super::gc::GcWatcher;
    #[pymodule_export]
    use super::listener::Listener;
    #[pymodule_export]
    use super::page::{Page, Samples};
    #[pymodule_export]
    use super::parse::parse;
    #[pymodule_export]
    use super::prefixes::Prefixes;
    #[pymodule_export]
    use super::prometheus_client::Mirrored;
    #[pymodule_export]
    use super::user_metrics::{Counter, Gauge, Histogram, Registry, Server, Summary, Timer};
    #[pymodule_export]
    use super::user_metrics::{process_registry, read_segment, restore, serve_group, use_segment};
    #[pymodule_export]
    use super::workers::Workers;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
