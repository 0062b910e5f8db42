//! Each crate behind one trait again, to measure updates: a counter and a
//! histogram without labels, a counter looked up by two strings, and a family
//! whose series come and go.
//!
//! Each crate is used in the fastest form that it documents for the purpose.
//! These forms differ from those of `contestants` (label types, dense or sparse
//! families), so the two do not share adapters.

mod fastmetrics;
mod measured;
mod metrics;
mod metrics_lib;
mod opentelemetry;
mod prometheus;
mod prometheus_client;
mod stethoscope;

/// Names of the families, without the suffixes of their types.
pub const COUNTED: &str = "counted";
pub const LOOKED_UP: &str = "looked_up";
pub const OBSERVED: &str = "observed_seconds";
pub const COMING_AND_GOING: &str = "coming_and_going";

/// An operation under measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Increments a counter through a handle.
    Count,
    /// Finds a counter by two strings and increments it.
    LookUp,
    /// Observes a value in a histogram of twelve bounds, through a handle.
    Observe,
}

/// Writes a page into a buffer that it clears.
pub type Scrape<'a> = Box<dyn FnMut(&mut Vec<u8>) + Send + 'a>;

/// The metrics of one crate.
pub trait Subject: Sync {
    /// Returns a thread's worker, or `None` if the crate cannot do this update
    /// with so many workers. Called in the thread that uses the worker.
    fn worker(&self, update: Update, workers: usize) -> Option<Box<dyn Worker + '_>>;

    /// Returns the function that writes pages. It is kept for a long time.
    fn scraper(&self) -> Scrape<'_>;

    /// Returns the function that writes compressed pages, if the crate has its own.
    fn gzip_scraper(&self) -> Option<Scrape<'_>> {
        None
    }

    /// Adds a series to the changing family and removes another, each named by
    /// its number. Returns false if the crate cannot remove series, and only
    /// adds then.
    fn replace(&self, added: usize, removed: usize) -> bool;
}

/// The updates of one thread.
pub trait Worker {
    /// Updates `times` times, with the values of [`values`] and [`keys`] from
    /// index `from` on.
    fn run(&mut self, from: usize, times: usize);
}

/// A worker that calls `update` in a loop, with an increasing number.
struct Loop<F>(F);

impl<F: FnMut(usize)> Worker for Loop<F> {
    fn run(&mut self, from: usize, times: usize) {
        for number in from..from + times {
            (self.0)(number);
        }
    }
}

fn worker<'a>(update: impl FnMut(usize) + 'a) -> Option<Box<dyn Worker + 'a>> {
    Some(Box::new(Loop(update)))
}

/// All subjects, stethoscope first. Each call creates new metrics.
pub fn all() -> Vec<(&'static str, Box<dyn Subject>)> {
    vec![
        ("stethoscope", stethoscope::shared()),
        ("stethoscope, striped", stethoscope::striped()),
        ("stethoscope, one writer", stethoscope::single_writer()),
        ("prometheus", prometheus::subject()),
        ("prometheus-client", prometheus_client::subject()),
        ("measured", measured::subject()),
        ("fastmetrics", fastmetrics::subject()),
        ("metrics", metrics::subject()),
        ("metrics-lib", metrics_lib::subject()),
        ("opentelemetry", opentelemetry::subject()),
    ]
}

/// The bounds of the histogram.
pub const BOUNDS: [f64; 12] = crate::workload::BOUNDS;

const VALUES: usize = 4096;

/// Values that fall into all buckets equally often, in an order that no branch
/// predictor learns.
fn values() -> Vec<f64> {
    let spread = |index: usize| {
        let mut bits = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ bits >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        (bits >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..VALUES)
        .map(|index| {
            let place = spread(index) * 13.0;
            let below = match place as usize {
                0 => 0.0,
                bucket => BOUNDS[bucket - 1],
            };
            let above = BOUNDS.get(place as usize).copied().unwrap_or(10.0);
            below + (above - below) * (0.01 + 0.98 * place.fract())
        })
        .collect()
}

const KEYS: usize = 100;

/// Pairs of label values.
fn keys() -> Vec<[String; 2]> {
    let methods = crate::workload::METHODS;
    (0..KEYS)
        .map(|index| [methods[index % 4].to_owned(), (200 + index).to_string()])
        .collect()
}

/// The label value of a series that comes or goes.
fn name(number: usize) -> String {
    format!("task-{number}")
}

/// The maximum number of series in the changing family, reached by crates that
/// cannot remove any.
pub const NAMES: usize = 2_000;

/// The sum of the samples with this name, over all labels.
pub fn total(page: &[u8], sample: &str) -> f64 {
    let page = std::str::from_utf8(page).expect("a page is UTF-8");
    page.lines()
        .filter_map(|line| line.strip_prefix(sample))
        .filter(|rest| rest.starts_with(['{', ' ']))
        .map(|rest| rest.rsplit(' ').next().expect("a value"))
        .map(|value| value.parse::<f64>().expect("a number"))
        .sum()
}

/// The number of updates that the page shows.
pub fn counted(page: &[u8], update: Update) -> u64 {
    let sample = match update {
        Update::Count => format!("{COUNTED}_total"),
        Update::LookUp => format!("{LOOKED_UP}_total"),
        Update::Observe => format!("{OBSERVED}_count"),
    };
    total(page, &sample) as u64
}
