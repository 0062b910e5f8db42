//! OpenTelemetry's SDK with its exporter to prometheus' model and encoder.

use super::Contestant;
use crate::workload::*;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, MeterProvider};
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{Instrument, SdkMeterProvider, Stream};
use prometheus::{Registry, TextEncoder};

/// The workload's instruments.
pub struct Instruments {
    counter: Counter<u64>,
    counter_labels: Vec<[KeyValue; 3]>,
    gauge: Gauge<f64>,
    gauge_labels: Vec<[KeyValue; 2]>,
    histogram: Histogram<f64>,
    histogram_labels: Vec<[KeyValue; 2]>,
    /// Held: the reader lives as long.
    _provider: SdkMeterProvider,
}

struct OpenTelemetry {
    instruments: Instruments,
    registry: Registry,
    page: String,
}

pub(super) fn build(workload: &Workload) -> Box<dyn Contestant> {
    let registry = Registry::new();
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .without_target_info()
        .scope_info_enabled(false)
        .build()
        .expect("a new registry");
    Box::new(OpenTelemetry {
        instruments: Instruments::new(exporter, workload),
        registry,
        page: String::new(),
    })
}

impl Instruments {
    /// Creates the instruments of a provider with this reader.
    pub fn new(reader: impl MetricReader, workload: &Workload) -> Self {
        // It folds what is beyond 2,000 series into one otherwise.
        let shape = workload.shape();
        let most = shape.counters.max(shape.gauges).max(shape.histograms);
        let roomy = move |_: &Instrument| {
            let stream = Stream::builder().with_cardinality_limit(most + 1);
            stream.build().ok()
        };
        let provider = SdkMeterProvider::builder()
            .with_reader(reader)
            .with_view(roomy)
            .build();
        let meter = provider.meter("rivals");
        Self {
            counter: meter
                .u64_counter(COUNTER)
                .with_description(COUNTER_HELP)
                .build(),
            counter_labels: workload
                .counters
                .iter()
                .map(|[method, route, status]| {
                    [
                        KeyValue::new("method", method.clone()),
                        KeyValue::new("route", route.clone()),
                        KeyValue::new("status", status.clone()),
                    ]
                })
                .collect(),
            gauge: meter.f64_gauge(GAUGE).with_description(GAUGE_HELP).build(),
            gauge_labels: workload
                .gauges
                .iter()
                .map(|[worker, state]| {
                    [
                        KeyValue::new("worker", worker.clone()),
                        KeyValue::new("state", state.clone()),
                    ]
                })
                .collect(),
            histogram: meter
                .f64_histogram(HISTOGRAM)
                .with_description(HISTOGRAM_HELP)
                .with_boundaries(BOUNDS.to_vec())
                .build(),
            histogram_labels: workload
                .histograms
                .iter()
                .map(|[method, route]| {
                    [
                        KeyValue::new("method", method.clone()),
                        KeyValue::new("route", route.clone()),
                    ]
                })
                .collect(),
            _provider: provider,
        }
    }

    /// Updates some values.
    pub fn apply(&self, changes: &Changes) {
        for &(index, step) in &changes.counters {
            self.counter.add(step, &self.counter_labels[index]);
        }
        for &(index, value) in &changes.gauges {
            self.gauge.record(value, &self.gauge_labels[index]);
        }
        for &(index, value) in &changes.histograms {
            self.histogram.record(value, &self.histogram_labels[index]);
        }
    }
}

impl Contestant for OpenTelemetry {
    fn apply(&mut self, changes: &Changes) {
        self.instruments.apply(changes);
    }

    fn encode(&mut self) {
        self.page.clear();
        TextEncoder::new()
            .encode_utf8(&self.registry.gather(), &mut self.page)
            .expect("a String takes all");
    }

    fn drop_handles(&mut self) {
        (
            self.instruments.counter_labels,
            self.instruments.gauge_labels,
            self.instruments.histogram_labels,
        ) = Default::default();
    }

    fn page(&mut self) -> &[u8] {
        self.page.as_bytes()
    }
}
