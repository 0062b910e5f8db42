//! metrics with metrics-exporter-prometheus.

use super::*;
use ::metrics::{Counter, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

struct Metrics {
    recorder: PrometheusRecorder,
    counter: Counter,
    histogram: Histogram,
    keys: Vec<[String; 2]>,
    values: Vec<f64>,
}

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

pub(super) fn subject() -> Box<dyn Subject> {
    let recorder = PrometheusBuilder::new()
        .set_buckets(&BOUNDS)
        .expect("some buckets")
        .build_recorder();
    let counted = Key::from_name(format!("{COUNTED}_total"));
    Box::new(Metrics {
        counter: recorder.register_counter(&counted, &METADATA),
        histogram: recorder.register_histogram(&Key::from_static_name(OBSERVED), &METADATA),
        recorder,
        keys: keys(),
        values: values(),
    })
}

impl Subject for Metrics {
    fn worker(&self, update: Update, _: usize) -> Option<Box<dyn Worker + '_>> {
        match update {
            Update::Count => {
                let counter = self.counter.clone();
                worker(move |_| counter.increment(1))
            }
            Update::LookUp => worker(|number| {
                let [method, code] = &self.keys[number % KEYS];
                // What `counter!("…", "method" => …, "code" => …)` does.
                let labels = vec![
                    Label::new("method", method.clone()),
                    Label::new("code", code.clone()),
                ];
                let key = Key::from_parts("looked_up_total", labels);
                self.recorder.register_counter(&key, &METADATA).increment(1);
            }),
            Update::Observe => {
                let histogram = self.histogram.clone();
                worker(move |number| histogram.record(self.values[number % VALUES]))
            }
        }
    }

    fn scraper(&self) -> Scrape<'_> {
        let handle = self.recorder.handle();
        Box::new(move |page| {
            page.clear();
            handle.render_to_write(page).expect("a Vec takes all");
        })
    }

    fn replace(&self, added: usize, _: usize) -> bool {
        let labels = vec![Label::new("name", name(added))];
        let key = Key::from_parts("coming_and_going_total", labels);
        self.recorder.register_counter(&key, &METADATA).increment(1);
        false
    }
}
