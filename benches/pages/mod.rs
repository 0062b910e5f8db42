//! The registry that the benchmarks scrape, and the pages that they parse.

#![allow(dead_code, reason = "each benchmark uses a part")]
#![allow(unreachable_pub, reason = "benches/rivals has the two modules too")]

pub(crate) mod series;
pub(crate) mod workload;

use series::Series;
use stethoscope::Registry;
use stethoscope::exposition::Format;
use workload::{Shape, Workload};

/// Renders the page of 3,500 samples that the comparisons use: 1,000
/// counters with three labels, 1,000 float gauges with two, 100 histograms of
/// 12 buckets; values small and large, integral and of many digits.
pub(crate) fn of_3500_lines(format: Format) -> Vec<u8> {
    let workload = Workload::new(Shape::of_lines(3_500));
    let registry = Registry::new();
    Series::register(&registry, &workload).apply(&workload.first_values());
    registry.scraper().scrape(format).to_vec()
}

/// The pages of a Dask scheduler and of a worker in text 0.0.4, as our endpoint
/// answered them in a cluster under load.
pub(crate) const DASK_SCHEDULER: &str = include_str!("scheduler.txt");
pub(crate) const DASK_WORKER: &str = include_str!("worker.txt");
