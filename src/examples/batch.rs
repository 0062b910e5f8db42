//! A batch job: a textfile for node_exporter, or a push to a Pushgateway.
//!
//! ```sh
//! cargo run --example batch --features push -- /var/lib/node_exporter/backup.prom
//! cargo run --example batch --features push -- http://127.0.0.1:9091
//! ```

use std::time::Instant;
use stethoscope::batch::{Pushgateway, write_textfile};
use stethoscope::cell::{FloatGauge, Gauge};
use stethoscope::{Handle, RegisterError, Registry};

/// The metrics of one run. They are gauges: a batch job starts from zero each time.
struct Metrics {
    files: Handle<Gauge>,
    seconds: Handle<FloatGauge>,
    finished: Handle<FloatGauge>,
}

impl Metrics {
    fn new(registry: &Registry) -> Result<Self, RegisterError> {
        let backup = registry.with_namespace("backup");
        Ok(Self {
            files: backup.gauge("files", "Files that the last run saved.")?,
            seconds: backup.float_gauge("duration_seconds", "Time that the last run took.")?,
            finished: backup.float_gauge(
                "finished_timestamp_seconds",
                "Time at which the last run ended. Alert if it is too long ago.",
            )?,
        })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let target = std::env::args().nth(1);
    let target = target.ok_or("expected a path, or the URL of a Pushgateway")?;
    let registry = Registry::new();
    let metrics = Metrics::new(&registry)?;

    let start = Instant::now();
    for _file in ["a", "b", "c"] {
        metrics.files.inc();
    }
    metrics.seconds.set(start.elapsed().as_secs_f64());
    metrics.finished.set_to_current_time();

    match target.starts_with("http://") {
        true => Pushgateway::new(&target, "backup")
            .grouping("instance", "example/1")
            .push(&registry)?,
        false => write_textfile(&registry, &target)?,
    }
    println!("{target} has the metrics of this run");
    Ok(())
}
