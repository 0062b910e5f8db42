//! A zero-allocation Prometheus exposition engine.

#[allow(dead_code, unused_imports)]
mod sync;

pub mod cell;
#[cfg(feature = "http")]
pub mod endpoint;
pub mod exposition;
pub mod family;
mod label;
pub mod name;
pub mod registry;

pub use exposition::Scraper;
pub use family::{Family, Handle, SeriesError};
pub use registry::{RegisterError, Registry};
