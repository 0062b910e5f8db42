//! Bridges: instruments of other crates, shown by a registry.

#[cfg(feature = "metrics")]
mod metrics;

#[cfg(feature = "metrics")]
pub use metrics::{Histograms, Matcher, Recorder, RecorderBuilder};
