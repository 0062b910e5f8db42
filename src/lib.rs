//! A zero-allocation Prometheus exposition engine: listen to a busy process
//! without disturbing it.
//!
//! - An **update** is one atomic operation on a cell.
//! - A **look-up** by label values takes no lock and allocates nothing when the
//!   series is there.
//! - A **scrape** takes no lock while no series comes or goes, and allocates
//!   nothing once its buffers have grown: names, labels and metadata were
//!   rendered when the series joined, so it compares, copies, and prints the
//!   numbers that have changed.
//!
//! ```
//! use stethoscope::{Registry, cell::Buckets, exposition::Format};
//!
//! let registry = Registry::new();
//! let requests = registry.counter_family("requests_total", "Requests answered.", ["method", "code"])?;
//! let latency = registry.histogram("latency_seconds", "Time to answer.", Buckets::default())?;
//!
//! let ok = requests.with(["GET", "200"])?; // resolve once, keep the handle
//! ok.inc();
//! latency.observe(0.012);
//!
//! let mut scraper = registry.scraper();
//! let page: &[u8] = scraper.scrape(Format::OpenMetrics);
//! assert!(page.starts_with(b"# TYPE requests counter\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The way of a value
//!
//! ```text
//!  your threads                          whoever serves
//!
//!  Handle ──> cell          name, label
//!               ▲           (validated once)
//!               │ Arc            │
//!  Family ──> series ────────────┤
//!               ▲                ▼
//!  Registry ────┴──────> Scraper: layout ──> writer ──> page: &[u8]
//!                        (lines, prefixes ready)          │
//!                                                         ▼
//!                                     events <── parser ── any page
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | [`cell`] | atomics that hold a value; they know nothing of names or text |
//! | [`name`] | metric and label names, validated once; their escaping |
//! | [`family`] | label values to cells: handles, removal, a cap on series |
//! | [`registry`] | families in order; duplicates and clashes refused |
//! | [`exposition`] | the text, both ways: layout and writer, parser |
//! | [`testing`] | what a page says, for the tests of those who embed the crate |
#![cfg_attr(
    feature = "http",
    doc = "| [`endpoint`] | the listener: one thread, one readiness loop |"
)]
//!
//! The plain crate depends on itoa, ryu and smallvec. Features add to it:
//! `http` (the listener), `gzip` (compressed pages) and `cli` (the command line
//! tool).

#[allow(unused_imports, reason = "one list for std and for loom")]
mod sync;

pub mod cell;
#[cfg(feature = "http")]
pub mod endpoint;
pub mod exposition;
pub mod family;
mod label;
mod metric_type;
pub mod name;
pub mod registry;
pub mod testing;

pub use exposition::Scraper;
pub use family::{Family, Handle, SeriesError};
pub use label::ExemplarError;
pub use metric_type::MetricType;
pub use registry::{RegisterError, Registry};

/// The README's example runs with the others.
#[cfg(all(doctest, feature = "http"))]
#[doc = include_str!("../README.md")]
struct Readme;
