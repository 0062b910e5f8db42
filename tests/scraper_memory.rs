//! Memory that a scraper keeps, and gives back when the need for it has gone.
//!
//! A binary of its own: it counts the bytes of all threads.

#[path = "support/counting.rs"]
mod counting;

use counting::counted;
use std::sync::Mutex;
use stethoscope::cell::{Buckets, Histogram};
use stethoscope::exposition::{ContentType, Escaping, Format};
use stethoscope::{Registry, Scraper};

/// One test at a time.
static COUNTING: Mutex<()> = Mutex::new(());

const SERIES: usize = 20_000;

fn scrape(scraper: &mut Scraper, content_type: impl Into<ContentType>, compress: bool) {
    let mut page = Vec::new();
    match compress {
        false => assert!(!scraper.scrape(content_type).is_empty()),
        #[cfg(feature = "gzip")]
        true => scraper.scrape_gzip_into(content_type, &mut page),
        #[cfg(not(feature = "gzip"))]
        true => scraper.scrape_into(content_type, &mut page),
    }
}

#[test]
fn memory_of_removed_series_is_given_back() {
    let _alone = COUNTING.lock().unwrap();
    let registry = Registry::new();
    registry.gauge("up", "Stays.").unwrap();
    let mut scraper = registry.scraper();
    scrape(&mut scraper, Format::OpenMetrics, true);
    let before = counted().live_bytes;

    let family = registry.gauge_family("load", "Goes.", ["worker"]).unwrap();
    for n in 0..SERIES {
        family.with([n.to_string().as_str()]).unwrap();
    }
    // Layouts that nobody asks for later, compressed and not.
    let utf8 = ContentType::new(Format::OpenMetrics, Escaping::AllowUtf8);
    scrape(&mut scraper, Format::Text, true);
    scrape(&mut scraper, utf8, false);
    for _ in 0..3 {
        scrape(&mut scraper, Format::OpenMetrics, true);
    }
    let most = counted().live_bytes;
    assert!(most - before > 200 * SERIES as i64);

    for n in 0..SERIES {
        family.remove([n.to_string().as_str()]);
    }
    for _ in 0..40 {
        scrape(&mut scraper, Format::OpenMetrics, true);
    }
    // The registry has tables of its own, and small buffers are kept.
    let with_scraper = counted().live_bytes;
    drop(scraper);
    let kept = with_scraper - counted().live_bytes;
    assert!(kept < 300_000, "{kept} bytes of {}", most - before);
}

#[test]
fn lean_scraper_keeps_nothing_but_the_page() {
    const HISTOGRAMS: usize = 1_000;
    let _alone = COUNTING.lock().unwrap();
    let registry = Registry::new();
    let buckets = Buckets::exponential(0.001, 2.0, 12).unwrap();
    let family = registry.family::<Histogram>("latency_seconds", "");
    let family = family.labels(["path"]).options(buckets).register().unwrap();
    let before = counted().live_bytes;
    for n in 0..HISTOGRAMS {
        let histogram = family.with([format!("/{n}")]).unwrap();
        histogram.observe(n as f64 / 100.0);
    }
    let registered = counted().live_bytes;
    let mut scraper = registry.scraper().lean(true);
    let mut page = Vec::new();
    for format in [Format::Text, Format::OpenMetrics, Format::Protobuf] {
        page = Vec::new();
        scraper.scrape_into(format, &mut page);
        let kept = counted().live_bytes - registered - page.capacity() as i64;
        assert!(kept < 4_096, "{format:?}: {kept} bytes");
    }
    drop(page);
    for format in [Format::OpenMetrics, Format::Protobuf] {
        let len = scraper.scrape(format).len();
        let kept = counted().live_bytes - registered - len as i64;
        assert!(kept < 4_096, "{format:?}: {kept} bytes");
    }
    let page = scraper.scrape(Format::Text).len();
    let each = (counted().live_bytes - before) / HISTOGRAMS as i64;
    let of_the_page = page as i64 / HISTOGRAMS as i64;
    assert!(
        each < of_the_page + 500,
        "{each} bytes, of which {of_the_page} are the page"
    );
}
