//! Values that live elsewhere, and a cell of one's own.
//!
//! ```sh
//! cargo run --example custom_collector
//! ```
//!
//! Two ways to put values on a page that no cell of this crate holds:
//!
//! - a **hook** runs right before each scrape and copies values from another place into gauges;
//! - a **cell** of your own computes its value while it is read.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use stethoscope::cell::{Cell, Number};
use stethoscope::exposition::Format;
use stethoscope::family::{Metric, Shape};
use stethoscope::{MetricType, Registry};

/// The share of look-ups that a cache answered: a gauge that divides two counts when it is read.
#[derive(Default)]
struct HitRatio {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl HitRatio {
    fn record(&self, hit: bool) {
        let count = if hit { &self.hits } else { &self.misses };
        // Relaxed: the counts order nothing else.
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Cell for HitRatio {
    type Options = ();

    fn from_options((): &()) -> Self {
        Self::default()
    }

    /// One number a reading.
    fn width((): &()) -> usize {
        1
    }

    /// Runs in the scrape: takes no lock and allocates nothing.
    fn read(&self, into: &mut [u64]) {
        let hits = self.hits.load(Ordering::Relaxed) as f64;
        let misses = self.misses.load(Ordering::Relaxed) as f64;
        into[0] = (hits / (hits + misses)).to_bits();
    }
}

impl Metric for HitRatio {
    const TYPE: MetricType = MetricType::Gauge;

    fn shape((): &()) -> Shape {
        Shape::Single(Number::F64)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let registry = Registry::new();

    // A hook: the queue belongs to someone else, and knows its length.
    let queue = Arc::new(Mutex::new(VecDeque::from([1, 2, 3])));
    let length = registry.gauge("queue_length", "Jobs in the queue.")?;
    let observed = Arc::clone(&queue);
    registry.on_scrape(move || {
        let queue = observed.lock().unwrap_or_else(PoisonError::into_inner);
        length.set(queue.len() as i64);
    });

    // A cell: in a family, with labels, like any other.
    let ratios = registry
        .family::<HitRatio>(
            "cache_hit_ratio",
            "Share of look-ups that the cache answered.",
        )
        .labels(["cache"])
        .register()?;
    let pages = ratios.with(["pages"])?;
    for look_up in 0..4 {
        pages.record(look_up != 0);
    }

    let mut scraper = registry.scraper();
    std::io::stdout().write_all(scraper.scrape(Format::Text))?;
    queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
    std::io::stdout().write_all(scraper.scrape(Format::Text))?;
    Ok(())
}
