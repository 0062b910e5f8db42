//! The workload in a registry of ours.

use super::workload::*;
use stethoscope::cell::{Buckets, Counter, FloatGauge, Histogram};
use stethoscope::family::Metric;
use stethoscope::{Family, Handle, Registry};

/// The series of a registry.
pub struct Series {
    pub requests: Family<Counter>,
    counters: Vec<Handle<Counter>>,
    gauges: Vec<Handle<FloatGauge>>,
    histograms: Vec<Handle<Histogram>>,
}

impl Series {
    /// Registers the workload's series.
    pub fn register(registry: &Registry, workload: &Workload) -> Self {
        let requests = registry
            .counter_family(COUNTER, COUNTER_HELP, ["method", "route", "status"])
            .expect("a good name");
        let loads = registry
            .float_gauge_family(GAUGE, GAUGE_HELP, ["worker", "state"])
            .expect("a good name");
        let durations = registry
            .family::<Histogram>(HISTOGRAM, HISTOGRAM_HELP)
            .labels(["method", "route"])
            .options(Buckets::new(BOUNDS).expect("ascending"))
            .register()
            .expect("a good name");
        Self {
            counters: handles(&requests, &workload.counters),
            gauges: handles(&loads, &workload.gauges),
            histograms: handles(&durations, &workload.histograms),
            requests,
        }
    }

    /// Drops the handles; the series stay, but for updates.
    pub fn drop_handles(&mut self) {
        self.counters = Vec::new();
        self.gauges = Vec::new();
        self.histograms = Vec::new();
    }

    /// Updates some values.
    pub fn apply(&self, changes: &Changes) {
        for &(index, step) in &changes.counters {
            self.counters[index].inc_by(step);
        }
        for &(index, value) in &changes.gauges {
            self.gauges[index].set(value);
        }
        for &(index, value) in &changes.histograms {
            self.histograms[index].observe(value);
        }
    }
}

fn handles<C: Metric, const N: usize>(
    family: &Family<C>,
    labels: &[[String; N]],
) -> Vec<Handle<C>> {
    labels
        .iter()
        .map(|values| family.with(values.each_ref().map(String::as_str)))
        .collect::<Result<_, _>>()
        .expect("as many values as labels")
}
