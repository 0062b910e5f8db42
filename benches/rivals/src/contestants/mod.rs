//! Each crate behind one trait, in the fastest form that it documents: handles
//! resolved once, a reused buffer, labels as enums where the crate knows them.

mod fastmetrics;
mod measured;
pub mod metrics;
mod metrics_lib;
pub mod opentelemetry;
mod prometheus;
mod prometheus_client;
mod stethoscope;

use crate::workload::{Changes, Workload};

/// A registry with the workload's series.
pub trait Contestant {
    /// Updates some values.
    fn apply(&mut self, changes: &Changes);

    /// Writes a page, replacing the previous one.
    fn encode(&mut self);

    /// Drops the handles that an application would hold; the series stay.
    /// Nothing can be applied afterwards.
    fn drop_handles(&mut self);

    /// The page written last. Nothing has changed since.
    fn page(&mut self) -> &[u8];
}

/// Makes a contestant.
pub type Build = fn(&Workload) -> Box<dyn Contestant>;

pub const STETHOSCOPE: &str = "stethoscope";
/// The fastest of the other crates, in all measurements so far.
pub const FASTEST_PEER: &str = "measured 0.0.25";

/// Every crate, by name and version.
pub const ALL: [(&str, Build); 8] = [
    (STETHOSCOPE, stethoscope::build),
    (FASTEST_PEER, measured::build),
    ("prometheus-client 0.25", prometheus_client::build),
    ("fastmetrics 0.7", fastmetrics::build),
    ("metrics-lib 2.0", metrics_lib::build),
    ("prometheus 0.14", prometheus::build),
    ("metrics-exporter-prometheus 0.18", metrics::build),
    ("opentelemetry-prometheus 0.33", opentelemetry::build),
];

/// Another form of ours, for those who need memory more than time.
pub const LEAN: (&str, Build) = ("stethoscope, lean", stethoscope::build_lean);

/// Builds the contestant with this name.
pub fn build(name: &str, workload: &Workload) -> Box<dyn Contestant> {
    let (_, build) = ALL
        .iter()
        .find(|(known, _)| *known == name)
        .expect("a contestant of that name");
    build(workload)
}
