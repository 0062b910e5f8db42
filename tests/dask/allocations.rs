//! A warm scrape of a Dask worker's page allocates nothing.

#[path = "../support/counting.rs"]
mod counting;

use counting::allocations;
use std::convert::Infallible;
use stethoscope::exposition::Format;
use stethoscope_python::dask::{Event, Options, Page, PythonVersion, Role, Source, catalogue};

const FORMATS: [Format; 3] = [Format::Text, Format::Text1, Format::OpenMetrics];

#[test]
fn warm_scrape_of_a_worker_page_allocates_nothing() {
    let python = PythonVersion::new("CPython", "3.12.1");
    let page = Page::new(Role::Worker, &python, &Options::default()).unwrap();
    let mut sampled: Vec<_> = catalogue(Role::Worker)
        .filter(|entry| entry.source == Source::Sample)
        .map(|entry| page.sampled(entry.name).unwrap())
        .collect();
    let events = Event::ALL.map(|event| page.events(event).unwrap());
    let mut change = |value: f64| {
        for family in &mut sampled {
            let Ok(()) = family.update(|set| {
                set("executing", value);
                Ok::<_, Infallible>(())
            });
        }
        events.iter().for_each(|event| event.observe(value));
        page.sample_taken();
    };

    let mut scraper = page.registry().scraper();
    change(0.123_456_789);
    for format in FORMATS {
        scraper.scrape(format);
    }
    for round in 0..100 {
        change(f64::from(round) * 1.1);
        for format in FORMATS {
            let asked = allocations(|| {
                assert!(scraper.scrape(format).len() > 1000);
            });
            assert_eq!(asked, 0, "{format:?}");
        }
    }
}
