//! stethoscope, in three forms.

use super::*;
use ::stethoscope::cell::{
    Buckets, Cell, Counter, Histogram, ShardedHistogram, SingleWriter, StripedCounter, Writer,
};
use ::stethoscope::exposition::Format;
use ::stethoscope::family::Metric;
use ::stethoscope::{Family, Handle, Registry};

struct Stethoscope<C: Cell, H: Cell> {
    registry: Registry,
    counter: Handle<C>,
    looked_up: Family<Counter>,
    histogram: Handle<H>,
    changing: Family<Counter>,
    keys: Vec<[String; 2]>,
    values: Vec<f64>,
}

impl<C, H> Stethoscope<C, H>
where
    C: Metric<Options = ()>,
    H: Metric<Options = Buckets>,
{
    fn new() -> Self {
        let registry = Registry::new();
        let single = |name| registry.family::<C>(name, "Counted.").register_single();
        let buckets = Buckets::new(BOUNDS).expect("ascending");
        let looked_up = registry.counter_family(LOOKED_UP, "Looked up.", ["method", "code"]);
        let changing = registry.counter_family(COMING_AND_GOING, "Changing.", ["name"]);
        Self {
            counter: single(COUNTED).expect("a good name"),
            looked_up: looked_up.expect("a good name"),
            histogram: registry
                .family::<H>(OBSERVED, "Observed.")
                .options(buckets)
                .register_single()
                .expect("a good name"),
            changing: changing.expect("a good name"),
            registry,
            keys: keys(),
            values: values(),
        }
    }

    fn look_up(&self) -> Option<Box<dyn Worker + '_>> {
        worker(|number| {
            let [method, code] = &self.keys[number % KEYS];
            self.looked_up
                .update([&**method, &**code], |counter| counter.inc())
                .expect("as many values as labels");
        })
    }

    fn scrape(&self) -> Scrape<'_> {
        let mut scraper = self.registry.scraper();
        Box::new(move |page| {
            page.clear();
            scraper.scrape_into(Format::Text, page);
        })
    }

    fn scrape_gzip(&self) -> Scrape<'_> {
        let mut scraper = self.registry.scraper();
        Box::new(move |page| {
            page.clear();
            scraper.scrape_gzip_into(Format::Text, page);
        })
    }

    fn change(&self, added: usize, removed: usize) -> bool {
        let series = self.changing.with([&*name(added)]);
        series.expect("as many values as labels").inc();
        self.changing.remove([&*name(removed)]);
        true
    }
}

/// The forms differ only in how a worker counts and observes.
macro_rules! subject {
    ($make:ident, $counter:ty, $histogram:ty, |$this:ident, $workers:ident| $count:expr, $observe:expr, $look_up:expr) => {
        impl Subject for Stethoscope<$counter, $histogram> {
            fn worker(&self, update: Update, $workers: usize) -> Option<Box<dyn Worker + '_>> {
                let $this = self;
                match update {
                    Update::Count => $count,
                    Update::LookUp => $look_up,
                    Update::Observe => $observe,
                }
            }

            fn scraper(&self) -> Scrape<'_> {
                self.scrape()
            }

            fn gzip_scraper(&self) -> Option<Scrape<'_>> {
                Some(self.scrape_gzip())
            }

            fn replace(&self, added: usize, removed: usize) -> bool {
                self.change(added, removed)
            }
        }

        pub(super) fn $make() -> Box<dyn Subject> {
            Box::new(Stethoscope::<$counter, $histogram>::new())
        }
    };
}

subject!(
    shared,
    Counter,
    Histogram,
    |this, _workers| {
        let counter = this.counter.clone();
        worker(move |_| counter.inc())
    },
    {
        let histogram = this.histogram.clone();
        worker(move |number| histogram.observe(this.values[number % VALUES]))
    },
    this.look_up()
);

subject!(
    striped,
    StripedCounter,
    ShardedHistogram,
    |this, _workers| {
        let counter = this.counter.clone();
        worker(move |_| counter.inc())
    },
    {
        let histogram = this.histogram.clone();
        worker(move |number| histogram.observe(this.values[number % VALUES]))
    },
    None
);

subject!(
    single_writer,
    SingleWriter<Counter>,
    SingleWriter<Histogram>,
    |this, workers| {
        if workers > 1 {
            return None;
        }
        let writer = Writer::claim(this.counter.clone()).expect("the only one");
        worker(move |_| writer.inc())
    },
    {
        if workers > 1 {
            return None;
        }
        let writer = Writer::claim(this.histogram.clone()).expect("the only one");
        worker(move |number| writer.observe(this.values[number % VALUES]))
    },
    None
);
