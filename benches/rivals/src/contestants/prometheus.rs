//! prometheus (rust-prometheus): a model is gathered, then written as text.

use super::Contestant;
use crate::workload::*;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts,
    Registry, TextEncoder,
};

struct Prometheus {
    counters: Vec<IntCounter>,
    gauges: Vec<Gauge>,
    histograms: Vec<Histogram>,
    registry: Registry,
    page: String,
}

pub(super) fn build(workload: &Workload) -> Box<dyn Contestant> {
    let registry = Registry::new();
    let counters = IntCounterVec::new(
        Opts::new(format!("{COUNTER}_total"), COUNTER_HELP),
        &["method", "route", "status"],
    )
    .expect("a good name");
    let gauges =
        GaugeVec::new(Opts::new(GAUGE, GAUGE_HELP), &["worker", "state"]).expect("a good name");
    let histograms = HistogramVec::new(
        HistogramOpts::new(HISTOGRAM, HISTOGRAM_HELP).buckets(BOUNDS.to_vec()),
        &["method", "route"],
    )
    .expect("a good name");
    registry.register(Box::new(counters.clone())).expect("new");
    registry.register(Box::new(gauges.clone())).expect("new");
    registry
        .register(Box::new(histograms.clone()))
        .expect("new");
    Box::new(Prometheus {
        counters: workload
            .counters
            .iter()
            .map(|labels| counters.with_label_values(labels))
            .collect(),
        gauges: workload
            .gauges
            .iter()
            .map(|labels| gauges.with_label_values(labels))
            .collect(),
        histograms: workload
            .histograms
            .iter()
            .map(|labels| histograms.with_label_values(labels))
            .collect(),
        registry,
        page: String::new(),
    })
}

impl Contestant for Prometheus {
    fn apply(&mut self, changes: &Changes) {
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

    fn encode(&mut self) {
        self.page.clear();
        TextEncoder::new()
            .encode_utf8(&self.registry.gather(), &mut self.page)
            .expect("a String takes all");
    }

    fn drop_handles(&mut self) {
        (self.counters, self.gauges, self.histograms) = Default::default();
    }

    fn page(&mut self) -> &[u8] {
        self.page.as_bytes()
    }
}
