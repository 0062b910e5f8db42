//! measured: dense where labels are looked up, sparse where series go.

use super::*;
use ::measured::metric::MetricFamilyEncoding;
use ::measured::metric::histogram::Thresholds;
use ::measured::metric::name::{MetricName, Total};
use ::measured::text::TextEncoder;
use ::measured::{Counter, CounterVec, Histogram, LabelGroup};
use lasso::{Rodeo, RodeoReader};

#[derive(Clone, Copy, LabelGroup)]
#[label(set = RequestSet)]
struct Request<'a> {
    #[label(fixed_with = RodeoReader)]
    method: &'a str,
    #[label(fixed_with = RodeoReader)]
    code: &'a str,
}

#[derive(Clone, Copy, LabelGroup)]
#[label(set = NamedSet)]
struct Named<'a> {
    #[label(fixed_with = RodeoReader)]
    name: &'a str,
}

struct Measured {
    counter: Counter,
    looked_up: CounterVec<RequestSet>,
    histogram: Histogram<{ BOUNDS.len() }>,
    changing: CounterVec<NamedSet>,
    keys: Vec<[String; 2]>,
    values: Vec<f64>,
}

pub(super) fn subject() -> Box<dyn Subject> {
    let keys = keys();
    let interned = |values: Vec<String>| values.iter().collect::<Rodeo>().into_reader();
    let part = |index: usize| interned(keys.iter().map(|key| key[index].clone()).collect());
    let names = interned((0..NAMES).map(name).collect());
    Box::new(Measured {
        counter: Counter::new(),
        looked_up: CounterVec::dense_with_label_set(RequestSet::new(part(0), part(1))),
        histogram: Histogram::with_metadata(Thresholds::with_buckets(BOUNDS)),
        changing: CounterVec::sparse_with_label_set(NamedSet::new(names)),
        keys,
        values: values(),
    })
}

impl Subject for Measured {
    fn worker(&self, update: Update, _: usize) -> Option<Box<dyn Worker + '_>> {
        match update {
            Update::Count => worker(|_| self.counter.inc()),
            Update::LookUp => worker(|number| {
                let [method, code] = &self.keys[number % KEYS];
                self.looked_up.inc(Request { method, code });
            }),
            Update::Observe => worker(|number| {
                self.histogram.observe(self.values[number % VALUES]);
            }),
        }
    }

    fn scraper(&self) -> Scrape<'_> {
        Box::new(|page| {
            page.clear();
            let mut encoder = TextEncoder::new(std::mem::take(page));
            let counter = |name| MetricName::from_str(name).with_suffix(Total);
            self.counter
                .collect_family_into(counter(COUNTED), &mut encoder)
                .and_then(|()| {
                    self.looked_up
                        .collect_family_into(counter(LOOKED_UP), &mut encoder)
                })
                .and_then(|()| {
                    self.histogram
                        .collect_family_into(MetricName::from_str(OBSERVED), &mut encoder)
                })
                .and_then(|()| {
                    self.changing
                        .collect_family_into(counter(COMING_AND_GOING), &mut encoder)
                })
                .and_then(|()| encoder.flush())
                .expect("a Vec takes all");
            *page = encoder.writer;
        })
    }

    fn replace(&self, added: usize, removed: usize) -> bool {
        self.changing.inc(Named { name: &name(added) });
        let removed = self.changing.with_labels(Named {
            name: &name(removed),
        });
        self.changing.remove_metric(removed);
        true
    }
}
