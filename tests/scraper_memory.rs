//! Memory that a scraper gives back when the need for it has gone.
//!
//! A binary of its own: it counts the bytes of all threads.

#[path = "support/counting.rs"]
mod counting;

use counting::counted;
use stethoscope::exposition::{ContentType, Escaping, Format};
use stethoscope::{Registry, Scraper};

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
