//! The metrics of Dask's schedulers and workers: which there are, and the cells
//! behind them. What a number means to Dask is known elsewhere (the Python
//! package `stethoscope.dask`); here are names, helps, types and labels.
//!
//! ```text
//! scheduler.rs  worker.rs  python_runtime.rs  process.rs  self_metrics.rs
//!     the catalogue: an Entry for each family
//!     │
//!     ▼
//! page.rs       the entries of a role, registered: one registry per server
//!     sampled.rs         <- values that a sample of the server's state brings
//!     python_runtime.rs  <- garbage collections, as they end
//!     process.rs         <- /proc, when a scrape asks
//!     self_metrics.rs             <- the endpoint that serves the page
//! ```
//!
//! ```
//! use stethoscope_python::dask::{Options, Page, Role, PythonVersion};
//! use stethoscope::exposition::Format;
//!
//! let python = PythonVersion::new("CPython", "3.12.1");
//! let page = Page::new(Role::Worker, &python, &Options::default())?;
//! let mut threads = page.sampled("dask_worker_threads").expect("in the catalogue");
//! threads.set(4.0);
//! let mut scraper = page.registry().scraper();
//! let text = std::str::from_utf8(scraper.scrape(Format::Text)).unwrap();
//! assert!(text.contains("dask_worker_threads 4\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod catalogue;
mod events;
mod page;
mod prefixes;
mod process;
mod python_runtime;
mod registries;
mod sampled;
mod scheduler;
mod self_metrics;
mod worker;

pub use catalogue::{Entry, Role, Source, catalogue};
pub use events::{Event, Observed};
pub use page::{Options, Page, PageError};
pub use prefixes::{Column, Prefixes, RowId, Taking};
pub use process::register_process;
pub use python_runtime::{GcTotals, Generation, PythonVersion};
pub use sampled::Sampled;
