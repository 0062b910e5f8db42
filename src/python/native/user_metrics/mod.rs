//! Metrics that users define: Python code asks for them by name, and updates a
//! Rust cell.
//!
//! ```text
//! registry.rs   Registry.counter(name, ...)   the class that Python asks
//! spec.rs           the arguments              asked again, they must agree
//! store.rs          one family for each name   in a stethoscope::Registry
//! metrics.rs    Counter, Gauge, Histogram, Summary
//!                     .labels(...)             one series of the family
//!                     .inc(), .set(), ...      one atomic operation on its cell
//! timer.rs            .time()                  seconds, of a block or a function
//! server.rs     Registry.serve(port)          a page without Dask
//! segment.rs    configure(segment_dir=...)    a file that other processes read
//! environment.rs  STETHOSCOPE_SEGMENT_DIR     the same, asked for by the environment
//! group.rs      serve_processes(directory)    one page for several such processes
//! children.rs   a pool in a task              its counts, on the page of its parent
//! ```
//!
//! A page of Dask's shows the registry of the process through
//! [`stethoscope::Registry::include`].

mod children;
mod environment;
mod group;
mod metrics;
mod registry;
mod segment;
mod server;
mod spec;
mod store;
mod timer;

pub(super) use children::{Children, OF_DASK};
pub(super) use group::serve_group;
pub(super) use metrics::{Counter, Gauge, Histogram, Summary};
pub(super) use registry::{Registry, process_registry, restore};
pub(super) use segment::{read_segment, use_segment};
pub(super) use server::Server;
pub(super) use store::Store;
pub(super) use timer::Timer;
