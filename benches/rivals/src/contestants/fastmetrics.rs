//! fastmetrics: families of derived label sets, in its text profile for
//! Prometheus.

use super::Contestant;
use crate::workload::*;
use fastmetrics::derive::LabelSet;
use fastmetrics::format::text::{self, TextProfile};
use fastmetrics::metrics::counter::Counter;
use fastmetrics::metrics::family::Family;
use fastmetrics::metrics::gauge::Gauge;
use fastmetrics::metrics::histogram::Histogram;
use fastmetrics::registry::Registry;

#[derive(Clone, PartialEq, Eq, Hash, LabelSet)]
struct Request {
    method: &'static str,
    route: String,
    status: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, LabelSet)]
struct Load {
    worker: String,
    state: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, LabelSet)]
struct Duration {
    method: &'static str,
    route: String,
}

struct Fastmetrics {
    counters: Vec<Counter>,
    gauges: Vec<Gauge<f64>>,
    histograms: Vec<Histogram>,
    registry: Registry,
    page: String,
}

pub(super) fn build(workload: &Workload) -> Box<dyn Contestant> {
    let mut registry = Registry::default();
    let counters = Family::<Request, Counter>::default();
    let gauges = Family::<Load, Gauge<f64>>::default();
    let histograms = Family::<Duration, Histogram>::new(|| Histogram::new(BOUNDS));
    registry
        .register(format!("{COUNTER}_total"), COUNTER_HELP, counters.clone())
        .expect("a good name");
    registry
        .register(GAUGE, GAUGE_HELP, gauges.clone())
        .expect("a good name");
    registry
        .register(HISTOGRAM, HISTOGRAM_HELP, histograms.clone())
        .expect("a good name");
    Box::new(Fastmetrics {
        counters: workload
            .counters
            .iter()
            .map(|[method, route, status]| {
                let labels = Request {
                    method: known(&METHODS, method),
                    route: route.clone(),
                    status: known(&STATUSES, status),
                };
                counters.with_or_new(&labels, Clone::clone)
            })
            .collect(),
        gauges: workload
            .gauges
            .iter()
            .map(|[worker, state]| {
                let labels = Load {
                    worker: worker.clone(),
                    state: known(&STATES, state),
                };
                gauges.with_or_new(&labels, Clone::clone)
            })
            .collect(),
        histograms: workload
            .histograms
            .iter()
            .map(|[method, route]| {
                let labels = Duration {
                    method: known(&METHODS, method),
                    route: route.clone(),
                };
                histograms.with_or_new(&labels, Clone::clone)
            })
            .collect(),
        registry,
        page: String::new(),
    })
}

impl Contestant for Fastmetrics {
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
        text::encode(
            &mut self.page,
            &self.registry,
            TextProfile::PrometheusV0_0_4,
        )
        .expect("a String takes all");
    }

    fn drop_handles(&mut self) {
        (self.counters, self.gauges, self.histograms) = Default::default();
    }

    fn page(&mut self) -> &[u8] {
        self.page.as_bytes()
    }
}
