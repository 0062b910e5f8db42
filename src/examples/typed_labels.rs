//! Labels as types: a label that is missing, transposed or misspelt does not compile.
//!
//! ```sh
//! cargo run --example typed_labels --features derive
//! ```

use std::io::Write;
use stethoscope::cell::{Buckets, Counter, Gauge, Histogram};
use stethoscope::exposition::Format;
use stethoscope::{Handle, LabelValue, Labels, Metrics, Registry, TypedFamily};

#[derive(Clone, Copy, LabelValue)]
#[label(rename_all = "UPPERCASE")]
enum Method {
    Get,
    Put,
}

#[derive(Clone, Copy, LabelValue)]
enum Outcome {
    Hit,
    Miss,
    #[label(rename = "error")]
    Failed,
}

/// Labels with few values: their series are found by an array index.
#[derive(Labels)]
struct Lookup {
    method: Method,
    outcome: Outcome,
    compressed: bool,
}

/// Labels with any values: numbers are formatted without allocating, and text may be borrowed.
#[derive(Labels)]
struct Transfer<'a> {
    bucket: &'a str,
    #[label(rename = "code")]
    status: u16,
}

#[derive(Metrics)]
#[metrics(namespace = "store")]
struct StoreMetrics {
    /// Look-ups in the cache.
    lookups_total: TypedFamily<Lookup, Counter>,
    /// Bytes sent.
    #[metric(unit = "bytes", max_series = 1_000)]
    sent_bytes_total: TypedFamily<Transfer<'static>, Counter>,
    #[metric(nested = "disk")]
    disk: DiskMetrics,
}

#[derive(Metrics)]
struct DiskMetrics {
    /// Requests that wait for the disk.
    queue_length: Handle<Gauge>,
    /// Time to read a block.
    #[metric(unit = "seconds", options = Buckets::exponential(0.0001, 4.0, 6).unwrap())]
    read_seconds: Handle<Histogram>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let registry = Registry::new();
    let store = StoreMetrics::register(&registry)?;

    let plain = |method, outcome| Lookup {
        method,
        outcome,
        compressed: false,
    };
    store
        .lookups_total
        .update(&plain(Method::Get, Outcome::Hit), Counter::inc)?;
    store
        .lookups_total
        .update(&plain(Method::Get, Outcome::Miss), Counter::inc)?;
    let failed = Lookup {
        method: Method::Put,
        outcome: Outcome::Failed,
        compressed: true,
    };
    store.lookups_total.with(&failed)?.inc_by(2);

    for number in 0..3 {
        let bucket = format!("bucket-{}", number % 2);
        let transfer = Transfer {
            bucket: &bucket,
            status: 200,
        };
        store
            .sent_bytes_total
            .update(&transfer, |bytes| bytes.inc_by(1024))?;
    }
    store.disk.queue_length.set(4);
    store.disk.read_seconds.observe(0.0021);

    let mut scraper = registry.scraper();
    std::io::stdout().write_all(scraper.scrape(Format::Text))?;
    Ok(())
}
