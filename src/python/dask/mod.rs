//! The metrics of Dask's schedulers and workers: names, helps, types and labels,
//! and the cells that hold the values. The Python package `stethoscope.dask` knows
//! where the values are among Dask's objects.
//!
//! ```text
//! entry.rs      Entry: one family
//! scheduler.rs  worker.rs  prefix_numbers.rs  workers.rs
//! python_runtime.rs  process.rs  self_metrics.rs
//!     tables of entries
//! catalogue.rs  the entries of a role
//!     │
//!     ▼
//! page.rs       the entries of a role, registered: one registry per server
//!     sampled.rs         <- values that a sample of the server's state brings
//!     prefixes.rs        <- task prefixes, in passes
//!     workers.rs         <- workers as the scheduler knows them, in passes
//!     events.rs          <- ticks, tasks and transfers, as they happen
//!     executing.rs       <- tasks, as they begin and end
//!     python_runtime.rs  <- garbage collections, as they end
//!     process.rs         <- /proc, when a scrape asks
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
mod entry;
mod event_families;
mod events;
mod executing;
mod page;
mod prefix_numbers;
mod prefixes;
mod process;
mod python_runtime;
mod registries;
mod sampled;
mod scheduler;
mod self_metrics;
mod worker;
mod workers;

pub use catalogue::catalogue;
pub use entry::{Entry, Role, Sampling, Source};
pub use events::{Event, EventMetrics};
pub use executing::Executing;
pub use page::{Options, Page, PageError};
pub use prefix_numbers::{NUMBERS, NumberKind, Place, PrefixNumber, STATE_COUNTS, STATES};
pub use prefixes::{ActivityUnit, PrefixColumns, PrefixUpdate, Prefixes, RowId};
pub use python_runtime::{GcTotals, Generation, PythonVersion};
pub use sampled::SampledFamily;
pub use workers::{Pass, WorkerReading, Workers};
