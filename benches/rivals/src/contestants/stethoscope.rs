//! Ours.

use super::Contestant;
use crate::workload::*;
use stethoscope::cell::{Buckets, Counter, FloatGauge, Histogram};
use stethoscope::exposition::Format;
use stethoscope::family::Metric;
use stethoscope::{Family, Handle, Registry, Scraper};

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

struct Stethoscope {
    series: Series,
    scraper: Scraper,
    page: Vec<u8>,
}

pub(super) fn build(workload: &Workload) -> Box<dyn Contestant> {
    let registry = Registry::new();
    Box::new(Stethoscope {
        series: Series::register(&registry, workload),
        scraper: registry.scraper(),
        page: Vec::new(),
    })
}

impl Contestant for Stethoscope {
    fn apply(&mut self, changes: &Changes) {
        self.series.apply(changes);
    }

    fn encode(&mut self) {
        self.page.clear();
        self.scraper.scrape_into(Format::Text, &mut self.page);
    }

    fn drop_handles(&mut self) {
        self.series.counters = Vec::new();
        self.series.gauges = Vec::new();
        self.series.histograms = Vec::new();
    }

    fn page(&self) -> &[u8] {
        &self.page
    }
}
