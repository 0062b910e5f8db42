//! OpenTelemetry's SDK with its exporter to prometheus. It has no handles: each
//! update finds its series by its labels.

use super::*;
use ::opentelemetry::KeyValue;
use ::opentelemetry::metrics::{Counter, Histogram, MeterProvider};
use ::prometheus::{Registry, TextEncoder};
use opentelemetry_sdk::metrics::{Instrument, SdkMeterProvider, Stream};

struct OpenTelemetry {
    registry: Registry,
    counter: Counter<u64>,
    looked_up: Counter<u64>,
    histogram: Histogram<f64>,
    changing: Counter<u64>,
    keys: Vec<[String; 2]>,
    values: Vec<f64>,
    /// Held: the exporter lives as long.
    _provider: SdkMeterProvider,
}

pub(super) fn subject() -> Box<dyn Subject> {
    let registry = Registry::new();
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .without_target_info()
        .scope_info_enabled(false)
        .build()
        .expect("a new registry");
    let roomy = |_: &Instrument| {
        let stream = Stream::builder().with_cardinality_limit(NAMES + 1);
        stream.build().ok()
    };
    let provider = SdkMeterProvider::builder()
        .with_reader(exporter)
        .with_view(roomy)
        .build();
    let meter = provider.meter("rivals");
    Box::new(OpenTelemetry {
        registry,
        counter: meter.u64_counter(COUNTED).build(),
        looked_up: meter.u64_counter(LOOKED_UP).build(),
        histogram: meter
            .f64_histogram(OBSERVED)
            .with_boundaries(BOUNDS.to_vec())
            .build(),
        changing: meter.u64_counter(COMING_AND_GOING).build(),
        keys: keys(),
        values: values(),
        _provider: provider,
    })
}

impl Subject for OpenTelemetry {
    fn worker(&self, update: Update, _: usize) -> Option<Box<dyn Worker + '_>> {
        match update {
            Update::Count => worker(|_| self.counter.add(1, &[])),
            Update::LookUp => worker(|number| {
                let [method, code] = &self.keys[number % KEYS];
                let labels = [
                    KeyValue::new("method", method.clone()),
                    KeyValue::new("code", code.clone()),
                ];
                self.looked_up.add(1, &labels);
            }),
            Update::Observe => worker(|number| {
                self.histogram.record(self.values[number % VALUES], &[]);
            }),
        }
    }

    fn scraper(&self) -> Scrape<'_> {
        Box::new(|page| {
            let mut text = String::from_utf8(std::mem::take(page)).expect("a page is UTF-8");
            text.clear();
            TextEncoder::new()
                .encode_utf8(&self.registry.gather(), &mut text)
                .expect("a String takes all");
            *page = text.into_bytes();
        })
    }

    fn replace(&self, added: usize, _: usize) -> bool {
        self.changing.add(1, &[KeyValue::new("name", name(added))]);
        false
    }
}
