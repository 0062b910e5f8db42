//! Ours.

use super::Contestant;
use crate::workload::*;
use stethoscope::cell::{Buckets, Counter, FloatGauge, Histogram};
use stethoscope::exposition::Format;
use stethoscope::{Handle, Registry, Scraper};

/// The series of a registry.
pub struct Series {
    counters: Vec<Handle<Counter>>,
    gauges: Vec<Handle<FloatGauge>>,
    histograms: Vec<Handle<Histogram>>,
}

impl Series {
    /// Registers the workload's series.
    pub fn register(registry: &Registry, workload: &Workload) -> Self {
        let counters = registry
            .counter_family(COUNTER, COUNTER_HELP, ["method", "route", "status"])
            .expect("a good name");
        let gauges = registry
            .float_gauge_family(GAUGE, GAUGE_HELP, ["worker", "state"])
            .expect("a good name");
        let histograms = registry
            .family::<Histogram>(HISTOGRAM, HISTOGRAM_HELP)
            .labels(["method", "route"])
            .options(Buckets::new(BOUNDS).expect("ascending"))
            .register()
            .expect("a good name");
        Self {
            counters: workload
                .counters
                .iter()
                .map(|labels| {
                    counters
                        .with(labels.each_ref().map(|l| &**l))
                        .expect("made")
                })
                .collect(),
            gauges: workload
                .gauges
                .iter()
                .map(|labels| gauges.with(labels.each_ref().map(|l| &**l)).expect("made"))
                .collect(),
            histograms: workload
                .histograms
                .iter()
                .map(|labels| {
                    histograms
                        .with(labels.each_ref().map(|l| &**l))
                        .expect("made")
                })
                .collect(),
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

    fn page(&self) -> &[u8] {
        &self.page
    }
}
