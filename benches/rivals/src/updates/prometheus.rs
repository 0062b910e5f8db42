//! prometheus (rust-prometheus).

use super::*;
use ::prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry, TextEncoder,
};

struct Prometheus {
    registry: Registry,
    counter: IntCounter,
    looked_up: IntCounterVec,
    histogram: Histogram,
    changing: IntCounterVec,
    keys: Vec<[String; 2]>,
    values: Vec<f64>,
}

pub(super) fn subject() -> Box<dyn Subject> {
    let registry = Registry::new();
    let total = |name| format!("{name}_total");
    let opts = |name| Opts::new(total(name), "A counter.");
    let counter = IntCounter::with_opts(opts(COUNTED)).expect("a good name");
    let looked_up = IntCounterVec::new(opts(LOOKED_UP), &["method", "code"]).expect("a good name");
    let changing = IntCounterVec::new(opts(COMING_AND_GOING), &["name"]).expect("a good name");
    let opts = HistogramOpts::new(OBSERVED, "Observed.").buckets(BOUNDS.to_vec());
    let histogram = Histogram::with_opts(opts).expect("a good name");
    registry.register(Box::new(counter.clone())).expect("new");
    registry.register(Box::new(looked_up.clone())).expect("new");
    registry.register(Box::new(histogram.clone())).expect("new");
    registry.register(Box::new(changing.clone())).expect("new");
    Box::new(Prometheus {
        registry,
        counter,
        looked_up,
        histogram,
        changing,
        keys: keys(),
        values: values(),
    })
}

impl Subject for Prometheus {
    fn worker(&self, update: Update, _: usize) -> Option<Box<dyn Worker + '_>> {
        match update {
            Update::Count => {
                let counter = self.counter.clone();
                worker(move |_| counter.inc())
            }
            Update::LookUp => worker(|number| {
                self.looked_up
                    .with_label_values(&self.keys[number % KEYS])
                    .inc();
            }),
            Update::Observe => {
                let histogram = self.histogram.clone();
                worker(move |number| histogram.observe(self.values[number % VALUES]))
            }
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

    fn replace(&self, added: usize, removed: usize) -> bool {
        self.changing.with_label_values(&[name(added)]).inc();
        // An error where it is not there, as at first.
        let _ = self.changing.remove_label_values(&[name(removed)]);
        true
    }
}
