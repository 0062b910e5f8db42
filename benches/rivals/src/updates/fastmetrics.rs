//! fastmetrics.

use super::*;
use ::fastmetrics::derive::LabelSet;
use ::fastmetrics::format::text::{self, TextProfile};
use ::fastmetrics::metrics::counter::Counter;
use ::fastmetrics::metrics::family::Family;
use ::fastmetrics::metrics::histogram::Histogram;
use ::fastmetrics::registry::Registry;

#[derive(Clone, PartialEq, Eq, Hash, LabelSet)]
struct Request {
    method: String,
    code: String,
}

#[derive(Clone, PartialEq, Eq, Hash, LabelSet)]
struct Named {
    name: String,
}

struct Fastmetrics {
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
    let total = |name| format!("{name}_total");
    registry
        .register(total(COUNTED), "Counted.", counter.clone())
        .expect("a good name");
    registry
        .register(total(LOOKED_UP), "Looked up.", looked_up.clone())
        .expect("a good name");
    registry
        .register(OBSERVED, "Observed.", histogram.clone())
        .expect("a good name");
    registry
        .register(total(COMING_AND_GOING), "Changing.", changing.clone())
        .expect("a good name");
    Box::new(Fastmetrics {
        registry,
        counter,
        looked_up,
        histogram,
        changing,
        keys: keys(),
        values: values(),
    })
}

impl Subject for Fastmetrics {
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
                self.looked_up.with_or_new(&labels, |counter| counter.inc());
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
            text::encode(&mut written, &self.registry, TextProfile::PrometheusV0_0_4)
                .expect("a String takes all");
            *page = written.into_bytes();
        })
    }

    fn replace(&self, added: usize, _: usize) -> bool {
        let labels = Named { name: name(added) };
        self.changing.with_or_new(&labels, |counter| counter.inc());
        false
    }
}
