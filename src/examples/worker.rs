//! A multi-threaded worker that is monitored without being disturbed.
//!
//! ```sh
//! cargo run --example worker --features http
//! curl http://127.0.0.1:9000/metrics
//! ```
//!
//! Four threads take jobs from a queue. They count in cells of their own, so that they never share a cache line; the
//! listener reads those cells from its own thread.

use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use stethoscope::cell::{Buckets, Gauge, ShardedHistogram, StripedCounter, Timer};
use stethoscope::endpoint;
use stethoscope::{Family, Handle, RegisterError, Registry};

/// The metrics of the worker: registered once, cloned into each thread.
#[derive(Clone)]
struct Metrics {
    jobs: Family<StripedCounter>,
    seconds: Handle<ShardedHistogram>,
    waiting: Handle<Gauge>,
}

impl Metrics {
    fn register(registry: &Registry) -> Result<Self, RegisterError> {
        let registry = registry.with_namespace("worker");
        let buckets = Buckets::exponential(0.001, 2.0, 10).expect("increasing bounds");
        Ok(Self {
            jobs: registry
                .family("jobs_total", "Jobs finished, by outcome.")
                .labels(["outcome"])
                .register()?,
            seconds: registry
                .family("job_seconds", "Run time of a job.")
                .options(buckets)
                .register_single()?,
            waiting: registry.gauge("waiting_jobs", "Jobs in the queue.")?,
        })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1);
    let registry = Registry::new();
    let metrics = Metrics::register(&registry)?;
    let endpoint = endpoint::serve(&registry, address.as_deref().unwrap_or("127.0.0.1:9000"))?;
    println!(
        "http://{}/metrics",
        endpoint.local_addr().expect("a TCP listener")
    );

    let (queue, jobs) = mpsc::sync_channel::<u64>(100);
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..4 {
        let (metrics, jobs) = (metrics.clone(), Arc::clone(&jobs));
        thread::spawn(move || work(&metrics, &jobs));
    }
    for job in 0.. {
        metrics.waiting.inc();
        queue.send(job)?;
    }
    Ok(())
}

fn work(metrics: &Metrics, jobs: &Mutex<Receiver<u64>>) {
    // Look up once: the loop below only touches cells.
    let done = metrics.jobs.with(["done"]).expect("one label");
    let failed = metrics.jobs.with(["failed"]).expect("one label");
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        metrics.waiting.dec();
        let _timer = Timer::start(&*metrics.seconds);
        thread::sleep(Duration::from_millis(job % 7));
        if job % 10 == 9 {
            failed.inc();
        } else {
            done.inc();
        }
    }
}
