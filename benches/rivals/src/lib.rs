//! Stethoscope beside other Prometheus crates.
//!
//! ```text
//! workload      the series and their values: the same for all crates
//! contestants   each crate behind one trait, in the fastest form it documents: pages
//! updates       each crate again: the cost of an update
//! round_robin   times the crates in turn, in many rounds, and takes medians
//! counting      a counting allocator
//! figures       the same figures for programs: JSON lines
//! latency       times of single updates, as percentiles and as a plot
//! servers       HTTP servers, each in a process of its own
//! client        scrapes any of them, and times it
//! ```
//!
//! Each file in `benches/` answers one question, and prints what is unfair in
//! its comparison beside its figures.

pub mod client;
pub mod contestants;
pub mod counting;
pub mod figures;
pub mod latency;
pub mod page;
pub mod round_robin;
#[path = "../../pages/series.rs"]
pub mod series;
pub mod servers;
pub mod updates;
#[path = "../../pages/workload.rs"]
pub mod workload;

pub use contestants::Contestant;
pub use workload::{Changes, Rate, Shape, Workload};
