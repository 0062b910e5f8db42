//! metrics-lib: a sharded registry that is collected and sorted, then written.

use super::Contestant;
use crate::workload::*;
use metrics_lib::exporters::prometheus::render_into;
use metrics_lib::{Counter, Gauge, Histogram, LabelSet, Registry};
use std::sync::Arc;

struct MetricsLib {
    counters: Vec<Arc<Counter>>,
    gauges: Vec<Arc<Gauge>>,
    histograms: Vec<Arc<Histogram>>,
    registry: Registry,
    page: String,
}

pub(super) fn build(workload: &Workload) -> Box<dyn Contestant> {
    let registry = Registry::with_cardinality_cap(usize::MAX);
    let counter = format!("{COUNTER}_total");
    registry
        .describe_counter(&counter, COUNTER_HELP, Default::default())
        .expect("a good name");
    registry
        .describe_gauge(GAUGE, GAUGE_HELP, Default::default())
        .expect("a good name");
    registry
        .describe_histogram(HISTOGRAM, HISTOGRAM_HELP, Default::default())
        .expect("a good name");
    registry
        .configure_histogram(HISTOGRAM, BOUNDS)
        .expect("ascending");
    let labels = |names: &[&str], values: &[String]| {
        names
            .iter()
            .zip(values)
            .map(|(name, value)| (name.to_string(), value.clone()))
            .collect::<LabelSet>()
    };
    Box::new(MetricsLib {
        counters: workload
            .counters
            .iter()
            .map(|values| labels(&["method", "route", "status"], values))
            .map(|labels| registry.counter_with(&counter, &labels))
            .collect(),
        gauges: workload
            .gauges
            .iter()
            .map(|values| labels(&["worker", "state"], values))
            .map(|labels| registry.gauge_with(GAUGE, &labels))
            .collect(),
        histograms: workload
            .histograms
            .iter()
            .map(|values| labels(&["method", "route"], values))
            .map(|labels| registry.histogram_with(HISTOGRAM, &labels))
            .collect(),
        registry,
        page: String::new(),
    })
}

impl Contestant for MetricsLib {
    fn apply(&mut self, changes: &Changes) {
        for &(index, step) in &changes.counters {
            self.counters[index].add(step);
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
        render_into(&mut self.page, &self.registry);
    }

    fn drop_handles(&mut self) {
        (self.counters, self.gauges, self.histograms) = Default::default();
    }

    fn page(&mut self) -> &[u8] {
        self.page.as_bytes()
    }
}
