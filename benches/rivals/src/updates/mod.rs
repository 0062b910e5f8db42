//! Each crate behind one trait again, for what an update costs: a counter and a
//! histogram without labels, a counter that is looked up by two strings, and a
//! family whose series come and go.
//!
//! Each in the fastest form that its crate documents for the purpose.

mod fastmetrics;
mod measured;
mod metrics;
mod metrics_lib;
mod opentelemetry;
mod prometheus;
mod prometheus_client;
mod stethoscope;

/// Names on the page, without the suffixes of their kinds.
pub const COUNTED: &str = "counted";
pub const LOOKED_UP: &str = "looked_up";
pub const OBSERVED: &str = "observed_seconds";
pub const COMING_AND_GOING: &str = "coming_and_going";

/// What is updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// A counter whose handle is held goes up by one.
    Count,
    /// A counter is found by two strings and goes up by one.
    LookUp,
    /// A histogram of twelve bounds whose handle is held takes a value.
    Observe,
}

/// Writes a page into a buffer that it clears.
pub type Scrape<'a> = Box<dyn FnMut(&mut Vec<u8>) + Send + 'a>;

/// The metrics of one crate.
pub trait Subject: Sync {
    /// What a thread updates with, if a thread can do this update while as many
    /// workers as this exist. Made in the thread that uses it.
    fn worker(&self, update: Update, workers: usize) -> Option<Box<dyn Worker + '_>>;

    /// What writes pages. One is held for long.
    fn scraper(&self) -> Scrape<'_>;

    /// Adds a series to the family that changes, and removes another, each
    /// named by its number. False if the crate cannot remove series: then it
    /// adds only.
    fn replace(&self, added: usize, removed: usize) -> bool;
}

/// One thread's share.
pub trait Worker {
    /// Updates so often: the next values of [`values`], the next of [`keys`],
    /// from the `from`th on.
    fn run(&mut self, from: usize, times: usize);
}

/// A worker that is a loop over `update`, called with a number that goes up.
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

/// Ours, then the others. Fresh metrics at each call.
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

/// Values that fall into all buckets alike, in an order that no branch
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

/// Series that there may be in the family that changes: those who cannot remove
/// any have as many in the end.
pub const NAMES: usize = 2_000;

/// The sum of the samples of this name, whatever their labels.
pub fn total(page: &[u8], sample: &str) -> f64 {
    let page = std::str::from_utf8(page).expect("a page is UTF-8");
    page.lines()
        .filter_map(|line| line.strip_prefix(sample))
        .filter(|rest| rest.starts_with(['{', ' ']))
        .map(|rest| rest.rsplit(' ').next().expect("a value"))
        .map(|value| value.parse::<f64>().expect("a number"))
        .sum()
}

/// What the page counts of an update.
pub fn counted(page: &[u8], update: Update) -> u64 {
    let sample = match update {
        Update::Count => format!("{COUNTED}_total"),
        Update::LookUp => format!("{LOOKED_UP}_total"),
        Update::Observe => format!("{OBSERVED}_count"),
    };
    total(page, &sample) as u64
}
