//! Metrics of one's own: Python code asks for them by name, and updates a Rust
//! cell.
//!
//! ```text
//! registry.rs   Registry.counter(name, ...)   one family for each name, in a stethoscope::Registry
//! spec.rs           what was asked for         asked again, it must agree
//! metrics.rs        Counter, Gauge, Histogram, Summary
//!                     .labels(...)             one series of the family
//!                     .inc(), .set(), ...      one atomic operation on its cell
//! server.rs     Registry.serve(port)          a page without Dask
//! ```
//!
//! The registry of the process is shown on a page of Dask's through
//! [`stethoscope::Registry::include`].

mod metrics;
mod registry;
mod server;
mod spec;

pub(super) use metrics::{Counter, Gauge, Histogram, Summary, Timer};
pub(super) use registry::Registry;
pub(super) use server::Server;
