//! A zero-allocation Prometheus exposition engine: monitor a busy process without disturbing it.
//!
//! - An **update** is one atomic operation on a cell.
//! - A **look-up** by label values takes no lock and does not allocate, if the series exists.
//! - A **scrape** takes no lock while no series comes or goes, and does not allocate once its buffers have grown. Names,
//!   labels and metadata are rendered when a series is created; a scrape copies them, and prints the values that have
//!   changed.
//!
//! ```
//! use stethoscope::{Registry, cell::Buckets, exposition::Format};
//!
//! let registry = Registry::new();
//! let requests = registry.counter_family("requests_total", "Requests answered.", ["method", "code"])?;
//! let latency = registry.histogram("latency_seconds", "Time to answer.", Buckets::default())?;
//!
//! let ok = requests.with(["GET", "200"])?; // look up once, keep the handle
//! ok.inc();
//! latency.observe(0.012);
//!
//! let mut scraper = registry.scraper();
//! let page: &[u8] = scraper.scrape(Format::OpenMetrics);
//! assert!(page.starts_with(b"# TYPE requests counter\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where to start
//!
//! | you want to | see |
//! |---|---|
//! | count, time or measure something | [`Registry`], [`manual::choosing_a_cell`] |
//! | serve the page | [`endpoint`] (features `responder` and `http`), [`manual::serving`] |
//! | structure the metrics of a library or worker | [`manual::embedding`] |
//! | read a page | [`exposition::parser`] (feature `parse`), [`manual::reading_pages`] |
//! | assert on metrics in a test | [`testing::Snapshot`] (feature `parse`) |
//! | understand or change the crate | [`manual::architecture`] |
//!
//! # Modules
//!
//! | module | contents |
//! |---|---|
//! | [`cell`] | atomics that hold a value |
//! | [`name`] | rules for the names of metrics and labels, and their escaping |
//! | [`family`] | label values to cells: handles, look-up, removal, caps |
//! | [`registry`] | families in order, without duplicates or clashes |
//! | [`exposition`] | pages: scraper, formats; with the feature `parse` parser and validation |
#![cfg_attr(
    feature = "parse",
    doc = "| [`testing`] | assertions for the tests of programs that embed the crate |"
)]
//! | [`batch`] | pages of programs that end: textfiles, and with the feature `push` a Pushgateway |
//! | [`manual`] | longer explanations |
#![cfg_attr(
    feature = "arbitrary",
    doc = "| [`generate`] | registries and pages for tests and fuzzers |"
)]
#![cfg_attr(
    feature = "metrics",
    doc = "| [`bridge`] | instruments of other crates: a recorder for the facade `metrics` |"
)]
#![cfg_attr(
    feature = "process",
    doc = "| [`process`] | metrics of the process, read from `/proc` |"
)]
#![cfg_attr(
    all(feature = "segment", target_os = "linux"),
    doc = "| [`segment`] | metrics that outlive a freeze or a crash |"
)]
#![cfg_attr(
    feature = "responder",
    doc = "| [`endpoint`] | answers to scrapes, and a listener with a thread of its own |"
)]
#![cfg_attr(
    feature = "tower",
    doc = "| [`tower`] | a layer that counts and times HTTP requests |"
)]
//!
//! # Features
//!
//! The plain crate depends on itoa, ryu and smallvec.
//!
//! | feature | adds |
//! |---|---|
//! | `responder` | `endpoint::Responder`, for an HTTP server of your own, on every platform |
//! | `http` | the listener (Linux); implies `responder` |
//! | `gzip` | compressed pages, from both; implies `responder` |
//! | `process` | the metrics of the process (`process_*`), and `build_info` |
//! | `arbitrary` | `generate`: registries and pages for fuzzers and tests, valid or with one fault |
//! | `derive` | `#[derive(Labels)]`, `#[derive(LabelValue)]` and `#[derive(Metrics)]` |
//! | `metrics` | `bridge::Recorder`, for the macros of the facade `metrics` |
//! | `segment` | metrics in a file that other processes read, also after a crash (Linux) |
//! | `parse` | parser, validator and linter of pages, and assertions for tests |
//! | `push` | `batch::Pushgateway` |
//! | `tower` | `tower::HttpMetrics`, a layer for HTTP services |
//! | `cli` | the command line tool `stethoscope` |
//!
// Links to items that are not compiled in go to docs.rs.
#![cfg_attr(
    not(feature = "responder"),
    doc = "[`endpoint`]: https://docs.rs/stethoscope/latest/stethoscope/endpoint/"
)]
#![cfg_attr(
    not(feature = "http"),
    doc = "[`manual::serving`]: https://docs.rs/stethoscope/latest/stethoscope/manual/serving/"
)]
#![cfg_attr(
    not(feature = "parse"),
    doc = "[`exposition::parser`]: https://docs.rs/stethoscope/latest/stethoscope/exposition/parser/"
)]
#![cfg_attr(
    not(feature = "parse"),
    doc = "[`manual::reading_pages`]: https://docs.rs/stethoscope/latest/stethoscope/manual/reading_pages/"
)]
#![cfg_attr(
    not(feature = "parse"),
    doc = "[`testing::Snapshot`]: https://docs.rs/stethoscope/latest/stethoscope/testing/struct.Snapshot.html"
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[allow(unused_imports, reason = "one list for std and for loom")]
mod sync;

pub mod batch;
#[cfg(feature = "metrics")]
pub mod bridge;
pub mod cell;
#[cfg(feature = "responder")]
pub mod endpoint;
pub mod exposition;
pub mod family;
mod fork;
#[cfg(feature = "arbitrary")]
pub mod generate;
mod hash;
mod label;
pub mod manual;
mod metric_type;
pub mod name;
#[cfg(feature = "process")]
pub mod process;
pub mod registry;
#[cfg(any(
    all(feature = "segment", target_os = "linux"),
    all(loom, test, target_os = "linux")
))]
pub mod segment;
#[cfg(feature = "parse")]
pub mod testing;
#[cfg(feature = "tower")]
pub mod tower;

pub use exposition::Scraper;
pub use family::typed::{LabelValue, Labels};
pub use family::{Family, Handle, SeriesError, TypedFamily};
pub use label::ExemplarError;
pub use metric_type::MetricType;
pub use registry::{Metrics, RegisterError, Registry};
#[cfg(feature = "derive")]
pub use stethoscope_derive::{LabelValue, Labels, Metrics};

/// Runs the README's example with the other documentation tests.
#[cfg(all(doctest, feature = "http"))]
#[doc = include_str!("../README.md")]
struct Readme;
