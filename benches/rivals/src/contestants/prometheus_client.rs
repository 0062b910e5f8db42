//! prometheus-client: families of derived label sets, OpenMetrics text.

use super::Contestant;
use crate::workload::*;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: &'static str,
    route: String,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Load {
    worker: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Duration {
    method: &'static str,
    route: String,
}

struct PrometheusClient {
    counters: Vec<Counter>,
    gauges: Vec<Gauge<f64, AtomicU64>>,
    histograms: Vec<Histogram>,
    registry: Registry,
    page: String,
}

pub(super) fn build(workload: &Workload) -> Box<dyn Contestant> {
    let mut registry = Registry::default();
    let counters = Family::<Request, Counter>::default();
    let gauges = Family::<Load, Gauge<f64, AtomicU64>>::default();
    let histograms = Family::<Duration, Histogram>::new_with_constructor(|| Histogram::new(BOUNDS));
    // The crate writes a full stop after each help.
    let help = |help: &'static str| help.trim_end_matches('.');
    registry.register(COUNTER, help(COUNTER_HELP), counters.clone());
    registry.register(GAUGE, help(GAUGE_HELP), gauges.clone());
    registry.register(HISTOGRAM, help(HISTOGRAM_HELP), histograms.clone());
    Box::new(PrometheusClient {
        counters: workload
            .counters
            .iter()
            .map(|[method, route, status]| {
                counters.get_or_create_owned(&Request {
                    method: known(&METHODS, method),
                    route: route.clone(),
                    status: known(&STATUSES, status),
                })
            })
            .collect(),
        gauges: workload
            .gauges
            .iter()
            .map(|[worker, state]| {
                gauges.get_or_create_owned(&Load {
                    worker: worker.clone(),
                    state: known(&STATES, state),
                })
            })
            .collect(),
        histograms: workload
            .histograms
            .iter()
            .map(|[method, route]| {
                histograms.get_or_create_owned(&Duration {
                    method: known(&METHODS, method),
                    route: route.clone(),
                })
            })
            .collect(),
        registry,
        page: String::new(),
    })
}

impl Contestant for PrometheusClient {
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
        text::encode(&mut self.page, &self.registry).expect("a String takes all");
    }

    fn drop_handles(&mut self) {
        (self.counters, self.gauges, self.histograms) = Default::default();
    }

    fn page(&mut self) -> &[u8] {
        self.page.as_bytes()
    }
}
