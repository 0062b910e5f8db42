//! A native histogram: latencies over six decades, without a list of bounds.
//!
//! ```sh
//! cargo run --example native_histogram --features http
//! ```
//!
//! Let a Prometheus server scrape it that stores native histograms: with `scrape_native_histograms: true`, or before
//! version 3.8 with `--enable-feature=native-histograms`. Then ask for
//! `histogram_quantile(0.99, rate(request_seconds[5m]))`. A browser, and a server that reads text, get the classic
//! buckets.

use std::thread;
use std::time::Duration;
use stethoscope::cell::{Buckets, Cell, NativeHistogramOptions, NativeReading};
use stethoscope::{Registry, endpoint};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1);
    let registry = Registry::new();
    let options = NativeHistogramOptions::builder()
        .schema(4)
        .max_buckets(400)
        .classic(Buckets::new([0.001, 0.1, 10.0])?)
        .build()?;
    let seconds = registry.native_histogram("request_seconds", "Time to answer.", options)?;
    let endpoint = endpoint::serve(&registry, address.as_deref().unwrap_or("127.0.0.1:9000"))?;
    println!(
        "http://{}/metrics",
        endpoint.local_addr().expect("a TCP listener")
    );

    let mut reading = NativeReading::default();
    for request in 0u32.. {
        // Most requests take milliseconds, a few take much longer.
        let decade = (request.wrapping_mul(7919) % 1000) as f64 / 1000.0;
        seconds.observe(1e-4 * 10f64.powf(decade.powi(4) * 6.0));
        if request.is_multiple_of(1000) {
            seconds.read_native(&mut reading);
            eprintln!(
                "{} requests in {} buckets of schema {}",
                reading.count(),
                reading.positive().count(),
                reading.schema()
            );
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
