//! metrics with metrics-exporter-prometheus: a recorder that renders.

use super::Contestant;
use crate::workload::*;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// The series of a recorder.
pub struct Series {
    counters: Vec<Counter>,
    gauges: Vec<Gauge>,
    histograms: Vec<Histogram>,
}

/// The builder of a recorder for the workload.
pub fn builder() -> PrometheusBuilder {
    PrometheusBuilder::new()
        .set_buckets(&BOUNDS)
        .expect("some buckets")
}

impl Series {
    /// Registers the workload's series.
    pub fn register(recorder: &impl Recorder, workload: &Workload) -> Self {
        let counter = format!("{COUNTER}_total");
        recorder.describe_counter(KeyName::from(counter.clone()), None, COUNTER_HELP.into());
        recorder.describe_gauge(KeyName::from(GAUGE), None, GAUGE_HELP.into());
        recorder.describe_histogram(KeyName::from(HISTOGRAM), None, HISTOGRAM_HELP.into());
        let metadata = Metadata::new(module_path!(), Level::INFO, None);
        let key = |name: &str, names: &[&'static str], values: &[String]| {
            let labels: Vec<Label> = names
                .iter()
                .zip(values)
                .map(|(name, value)| Label::new(*name, value.clone()))
                .collect();
            Key::from_parts(name.to_owned(), labels)
        };
        Self {
            counters: workload
                .counters
                .iter()
                .map(|labels| key(&counter, &["method", "route", "status"], labels))
                .map(|key| recorder.register_counter(&key, &metadata))
                .collect(),
            gauges: workload
                .gauges
                .iter()
                .map(|labels| key(GAUGE, &["worker", "state"], labels))
                .map(|key| recorder.register_gauge(&key, &metadata))
                .collect(),
            histograms: workload
                .histograms
                .iter()
                .map(|labels| key(HISTOGRAM, &["method", "route"], labels))
                .map(|key| recorder.register_histogram(&key, &metadata))
                .collect(),
        }
    }

    /// Updates some values.
    pub fn apply(&self, changes: &Changes) {
        for &(index, step) in &changes.counters {
            self.counters[index].increment(step);
        }
        for &(index, value) in &changes.gauges {
            self.gauges[index].set(value);
        }
        for &(index, value) in &changes.histograms {
            self.histograms[index].record(value);
        }
    }
}

struct Metrics {
    series: Series,
    handle: PrometheusHandle,
    page: Vec<u8>,
}

pub(super) fn build(workload: &Workload) -> Box<dyn Contestant> {
    let recorder = builder().build_recorder();
    Box::new(Metrics {
        series: Series::register(&recorder, workload),
        handle: recorder.handle(),
        page: Vec::new(),
    })
}

impl Contestant for Metrics {
    fn apply(&mut self, changes: &Changes) {
        self.series.apply(changes);
    }

    fn encode(&mut self) {
        self.page.clear();
        self.handle
            .render_to_write(&mut self.page)
            .expect("a Vec takes all");
    }

    fn drop_handles(&mut self) {
        let series = &mut self.series;
        (series.counters, series.gauges, series.histograms) = Default::default();
    }

    fn page(&mut self) -> &[u8] {
        &self.page
    }
}
