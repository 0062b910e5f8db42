//! Criterion settings shared by the benchmarks: short runs, long enough for ratios.

use criterion::Criterion;
use std::time::Duration;

pub(crate) fn brief() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}
