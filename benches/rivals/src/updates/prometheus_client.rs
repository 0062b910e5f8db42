//! prometheus-client.

use super::*;
use ::prometheus_client::encoding::{EncodeLabelSet, text};
use ::prometheus_client::metrics::counter::Counter;
use ::prometheus_client::metrics::family::Family;
use ::prometheus_client::metrics::histogram::Histogram;
use ::prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    method: String,
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Named {
    name: String,
}

struct PrometheusClient {
    registry: Registry,
    counter: Counter,
    looked_up: Family<Request, Counter>,
    histogram: Histogram,
    changing: Family<Named, Counter>,
    keys: Vec<[String; 2]>,
    values: Vec<f64>,
}

pub(super) fn subject() -> Box<dyn Subject> {
    let mut registry = Registry::default();
    let counter = Counter::default();
    let looked_up = Family::<Request, Counter>::default();
    let histogram = Histogram::new(BOUNDS);
    let changing = Family::<Named, Counter>::default();
    registry.register(COUNTED, "Counted", counter.clone());
    registry.register(LOOKED_UP, "Looked up", looked_up.clone());
    registry.register(OBSERVED, "Observed", histogram.clone());
    registry.register(COMING_AND_GOING, "Changing", changing.clone());
    Box::new(PrometheusClient {
        registry,
        counter,
        looked_up,
        histogram,
        changing,
        keys: keys(),
        values: values(),
    })
}

impl Subject for PrometheusClient {
    fn worker(&self, update: Update, _: usize) -> Option<Box<dyn Worker + '_>> {
        match update {
            Update::Count => {
                let counter = self.counter.clone();
                worker(move |_| {
                    counter.inc();
                })
            }
            Update::LookUp => worker(|number| {
                let [method, code] = &self.keys[number % KEYS];
                // A look-up takes the set of labels, which owns its strings.
                let labels = Request {
                    method: method.clone(),
                    code: code.clone(),
                };
                self.looked_up.get_or_create(&labels).inc();
            }),
            Update::Observe => {
                let histogram = self.histogram.clone();
                worker(move |number| histogram.observe(self.values[number % VALUES]))
            }
        }
    }

    fn scraper(&self) -> Scrape<'_> {
        Box::new(|page| {
            let mut written = String::from_utf8(std::mem::take(page)).expect("a page is UTF-8");
            written.clear();
            text::encode(&mut written, &self.registry).expect("a String takes all");
            *page = written.into_bytes();
        })
    }

    fn replace(&self, added: usize, removed: usize) -> bool {
        let named = |number| Named { name: name(number) };
        self.changing.get_or_create(&named(added)).inc();
        self.changing.remove(&named(removed));
        true
    }
}
