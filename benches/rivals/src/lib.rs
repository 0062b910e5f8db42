//! Stethoscope beside other Prometheus crates.
//!
//! ```text
//! workload      which series there are and what they count: the same for all
//! contestants   each crate behind one trait, in the fastest form it documents
//! round_robin   times them in turn, many rounds, and takes medians
//! counting      an allocator that counts
//! updates       each crate again, for what an update costs
//! figures       the same figures for programs: JSON lines
//! latency       times of single updates, as percentiles and as a plot
//! servers       those that serve over HTTP, each in a process of its own
//! client        scrapes any of them, and takes the time
//! ```
//!
//! The questions are asked in `benches/`, one file each. What is unfair stands
//! beside the figures that each of them prints.

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
