//! Metrics in a library or a worker: structure, lifetimes and tests.
//!
//! # Group the metrics of a component in a struct
//!
//! Register them once, keep the handles, and pass the struct around. A registry is cheap to clone, and its clones share
//! the families; the views that `with_namespace` and `with_const_labels` return do as well.
//!
//! ```
//! use stethoscope::cell::{Buckets, Counter, Gauge, Histogram, Timer};
//! use stethoscope::{Handle, RegisterError, Registry};
//!
//! struct PoolMetrics {
//!     jobs: Handle<Counter>,
//!     busy: Handle<Gauge>,
//!     seconds: Handle<Histogram>,
//! }
//!
//! impl PoolMetrics {
//!     fn register(registry: &Registry) -> Result<Self, RegisterError> {
//!         let registry = registry.with_namespace("pool");
//!         Ok(Self {
//!             jobs: registry.counter("jobs_total", "Jobs finished.")?,
//!             busy: registry.gauge("busy_threads", "Threads at work.")?,
//!             seconds: registry.histogram("job_seconds", "Run time.", Buckets::default())?,
//!         })
//!     }
//! }
//!
//! let registry = Registry::new();
//! let metrics = PoolMetrics::register(&registry)?;
//! metrics.busy.inc();
//! {
//!     let _timer = Timer::start(&*metrics.seconds);
//!     // The job.
//! }
//! metrics.busy.dec();
//! metrics.jobs.inc();
//! # Ok::<(), RegisterError>(())
//! ```
//!
//! Code that may run more than once registers with
//! [`get_or_register`](crate::registry::FamilyBuilder::get_or_register), which returns the existing family. Cells that
//! exist already, in a static or an `Arc`, join with [`Registry::register`](crate::Registry::register): see the example
//! `statics`.
//!
//! # Labels
//!
//! Every distinct set of label values is a series, and costs memory for as long as it exists. Keep their number
//! bounded: label by route, not by URL. `max_series` caps a family: a look-up beyond the cap returns an error, or with
//! `overflow` a shared series. [`Family::remove`](crate::Family::remove) and its relatives remove series whose subject
//! is gone, and `expire_after` removes those that have not changed for a while. A scraper keeps its page, and the place
//! and value of each line, for the next scrape. Where that is too much memory, make it [lean](crate::Scraper::lean): it
//! then keeps nothing but the page that `scrape` has returned, and a scrape takes four to five times as long.
//!
//! ```
//! # use stethoscope::Registry;
//! # use stethoscope::cell::Counter;
//! # let registry = Registry::new();
//! let bytes = registry
//!     .family::<Counter>("received_bytes_total", "Bytes received.")
//!     .labels(["peer"])
//!     .max_series(1_000)
//!     .register()?;
//! let peer = bytes.with(["10.0.0.7"])?; // once for each connection
//! peer.inc_by(512);                     // as often as you like
//! bytes.remove(["10.0.0.7"]);           // when the peer is gone
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Values that live elsewhere
//!
//! [`Registry::on_scrape`](crate::Registry::on_scrape) runs a hook right before a scrape, on the thread that scrapes.
//! Set gauges there from a queue's length or a pool's statistics. The scrape takes as long as its hooks do.
//!
//! # Several registries
//!
//! A library may keep a registry of its own and let the program include it:
//! [`Registry::include`](crate::Registry::include). One registry per subject also keeps tests that run in parallel
//! apart.
//!
//! # Tests
//!
//! [`testing::Snapshot`] (feature `parse`) reads back the values of a registry. Asking for a series that does not exist
//! panics and lists those that do, so that a misspelled name cannot pass as zero.
//!
//! ```
//! # use stethoscope::Registry;
//! use stethoscope::testing::Snapshot;
//!
//! let registry = Registry::new();
//! registry.counter("jobs_total", "Jobs finished.")?.inc();
//! assert_eq!(Snapshot::of(&registry).value("jobs_total", []), 1.0);
//! # Ok::<(), stethoscope::RegisterError>(())
//! ```
//!
#![cfg_attr(
    feature = "parse",
    doc = "[`testing::Snapshot`]: crate::testing::Snapshot"
)]
#![cfg_attr(
    not(feature = "parse"),
    doc = "[`testing::Snapshot`]: https://docs.rs/stethoscope/latest/stethoscope/testing/struct.Snapshot.html"
)]
