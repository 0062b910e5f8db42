//! metrics-lib.

use super::*;
use ::metrics_lib::exporters::prometheus::render_into;
use ::metrics_lib::{Counter, Histogram, LabelSet, Registry};
use std::sync::Arc;

struct MetricsLib {
    registry: Registry,
    counter: Arc<Counter>,
    histogram: Arc<Histogram>,
    keys: Vec<[String; 2]>,
    values: Vec<f64>,
}

pub(super) fn subject() -> Box<dyn Subject> {
    let registry = Registry::with_cardinality_cap(usize::MAX);
    registry
        .configure_histogram(OBSERVED, BOUNDS)
        .expect("ascending");
    let none = LabelSet::default();
    Box::new(MetricsLib {
        counter: registry.counter_with("counted_total", &none),
        histogram: registry.histogram_with(OBSERVED, &none),
        registry,
        keys: keys(),
        values: values(),
    })
}

fn labels<const N: usize>(labels: [(&str, String); N]) -> LabelSet {
    let owned = labels.map(|(name, value)| (name.to_owned(), value));
    owned.into_iter().collect()
}

impl Subject for MetricsLib {
    fn worker(&self, update: Update, _: usize) -> Option<Box<dyn Worker + '_>> {
        match update {
            Update::Count => worker(|_| self.counter.inc()),
            Update::LookUp => worker(|number| {
                let [method, code] = &self.keys[number % KEYS];
                let labels = labels([("method", method.clone()), ("code", code.clone())]);
                self.registry.counter_with("looked_up_total", &labels).inc();
            }),
            Update::Observe => worker(|number| {
                self.histogram.observe(self.values[number % VALUES]);
            }),
        }
    }

    fn scraper(&self) -> Scrape<'_> {
        Box::new(|page| {
            let mut written = String::from_utf8(std::mem::take(page)).expect("a page is UTF-8");
            written.clear();
            render_into(&mut written, &self.registry);
            *page = written.into_bytes();
        })
    }

    fn replace(&self, added: usize, removed: usize) -> bool {
        let series = |number| labels([("name", name(number))]);
        self.registry
            .counter_with("coming_and_going_total", &series(added))
            .inc();
        self.registry
            .remove_series("coming_and_going_total", &series(removed));
        true
    }
}
