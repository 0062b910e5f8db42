//! A scraper keeps text between scrapes. Whatever happens between them, a page
//! shows the registry as it is now.

use proptest::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use stethoscope::MetricType;
use stethoscope::cell::{Buckets, Cell, FloatGauge, Histogram, Number};
use stethoscope::exposition::Format;
use stethoscope::exposition::number::format_f64;
use stethoscope::family::{Metric, Shape};
use stethoscope::{Family, Handle, Registry, Scraper};

/// A change of the series of a family, or a scrape.
#[derive(Clone, Debug)]
enum Event {
    /// This number of series is made.
    Join(usize),
    /// Every n-th series is removed.
    Leave(usize),
    /// Every n-th series gets a value.
    Set(usize, f64),
    Scrape(Format),
}

fn event() -> impl Strategy<Value = Event> {
    // Short and long: no part of an old value may be left in the text.
    let value = prop_oneof![
        Just(0.0),
        Just(-1.234_567_890_123_456_7e-300),
        Just(f64::NAN),
        (0u32..1_000_000).prop_map(f64::from),
        any::<f64>(),
    ];
    let format = prop_oneof![
        Just(Format::Text),
        Just(Format::Text1),
        Just(Format::OpenMetrics)
    ];
    prop_oneof![
        1 => (1usize..80).prop_map(Event::Join),
        1 => (2usize..40).prop_map(Event::Leave),
        4 => (1usize..40, value).prop_map(|(every, value)| Event::Set(every, value)),
        6 => format.prop_map(Event::Scrape),
    ]
}

/// Writes the page by the simplest code.
fn expected(series: &[(String, f64)], format: Format) -> String {
    let mut page = String::new();
    if !series.is_empty() {
        page += "# TYPE load gauge\n";
    }
    for (label, value) in series {
        page += &format!("load{{of=\"{label}\"}} {}\n", format_f64(*value).as_str());
    }
    if format == Format::OpenMetrics {
        page += "# EOF\n";
    }
    page
}

proptest! {
    #[test]
    fn page_shows_the_current_series_after_any_changes(events in prop::collection::vec(event(), 1..40)) {
        let registry = Registry::new();
        let family = registry.float_gauge_family("load", "", ["of"]).unwrap();
        let mut scraper = registry.scraper();
        let mut series: Vec<(String, f64)> = Vec::new();
        let mut made = 0;
        let mut page = Vec::new();
        for event in events.into_iter().chain([Event::Scrape(Format::Text)]) {
            match event {
                Event::Join(count) => for _ in 0..count {
                    // Labels of many lengths.
                    let label = format!("{made:0width$}", width = 1 + made % 50);
                    made += 1;
                    family.with([&*label]).unwrap();
                    series.push((label, 0.0));
                },
                Event::Leave(every) => {
                    let mut index = 0;
                    family.retain(|_| { index += 1; index % every != 0 });
                    index = 0;
                    series.retain(|_| { index += 1; index % every != 0 });
                }
                Event::Set(every, value) => for (label, shown) in series.iter_mut().step_by(every) {
                    family.with([&**label]).unwrap().set(value);
                    *shown = value;
                },
                Event::Scrape(format) => {
                    page.clear();
                    scraper.scrape_into(format, &mut page);
                    prop_assert_eq!(std::str::from_utf8(&page).unwrap(), expected(&series, format));
                }
            }
        }
    }
}

/// A registry with every kind of line, over several blocks of text.
struct Mixed {
    registry: Registry,
    gauges: Vec<Handle<FloatGauge>>,
    durations: Family<Histogram>,
}

impl Mixed {
    fn new() -> Self {
        let registry = Registry::new();
        let family = registry
            .family::<FloatGauge>("level", "")
            .labels(["of"])
            .register()
            .unwrap();
        let durations = registry
            .family::<Histogram>("duration_seconds", "")
            .labels(["of"])
            .options(Buckets::new([0.1, 1.0]).unwrap())
            .created_timestamps()
            .register()
            .unwrap();
        let gauges = (0..100)
            .map(|n| family.with([&*n.to_string()]).unwrap())
            .collect();
        Self {
            registry,
            gauges,
            durations,
        }
    }

    fn pages(&self, scraper: &mut Scraper) -> [Vec<u8>; 2] {
        [Format::Text, Format::OpenMetrics].map(|format| scraper.scrape(format).to_vec())
    }

    fn assert_as_new(&self, old: &mut Scraper) {
        assert_eq!(self.pages(old), self.pages(&mut self.registry.scraper()));
    }
}

#[test]
fn appended_series_give_the_page_of_a_new_scraper() {
    let mixed = Mixed::new();
    let mut scraper = mixed.registry.scraper();
    for n in 0..50 {
        let label = n.to_string();
        mixed
            .durations
            .with([&*label])
            .unwrap()
            .observe(f64::from(n) / 7.0);
        mixed.assert_as_new(&mut scraper);
    }
    assert!(mixed.durations.remove(["17"]));
    mixed.durations.with(["18"]).unwrap().observe(0.5);
    mixed.assert_as_new(&mut scraper);
}

#[test]
fn values_of_changing_length_give_the_page_of_a_new_scraper() {
    let mixed = Mixed::new();
    let mut scraper = mixed.registry.scraper();
    mixed.durations.with(["a"]).unwrap().observe(0.5);
    for round in 0..60u32 {
        for (gauge, n) in mixed.gauges.iter().zip(0..) {
            gauge.set(match (n + round) % 3 {
                0 => 0.0,
                1 => f64::from(n).sqrt(),
                _ => -f64::from(n + 2).ln() * 1e-200,
            });
        }
        mixed.assert_as_new(&mut scraper);
    }
}

#[test]
fn family_that_was_not_wanted_shows_current_values_later() {
    let mixed = Mixed::new();
    let mut scraper = mixed.registry.scraper();
    let mut page = Vec::new();
    for value in [1.0, 22.0, 333.0] {
        mixed.gauges.iter().for_each(|gauge| gauge.set(value));
        scraper.scrape_only(Format::Text, |name| name == "duration_seconds", &mut page);
        assert!(page.is_empty());
    }
    mixed.assert_as_new(&mut scraper);
}

/// Panics when it is read at [`PanickingCell::BAD`].
struct PanickingCell(AtomicU64);

impl PanickingCell {
    const BAD: u64 = u64::MAX;
}

impl Cell for PanickingCell {
    type Options = ();

    fn from_options((): &()) -> Self {
        Self(AtomicU64::new(0))
    }

    fn width((): &()) -> usize {
        1
    }

    fn read(&self, into: &mut [u64]) {
        into[0] = self.0.load(Ordering::Relaxed);
        assert_ne!(into[0], Self::BAD);
    }
}

impl Metric for PanickingCell {
    const TYPE: MetricType = MetricType::Gauge;

    fn shape((): &()) -> Shape {
        Shape::Single(Number::U64)
    }
}

#[test]
fn panicking_cell_does_not_affect_later_pages() {
    let registry = Registry::new();
    let family = registry
        .family::<PanickingCell>("own", "")
        .labels(["of"])
        .register()
        .unwrap();
    let cells: Vec<_> = (0..2_000)
        .map(|n| family.with([&*n.to_string()]).unwrap())
        .collect();
    let set = |value| {
        for cell in &cells {
            cell.0.store(value, Ordering::Relaxed);
        }
    };
    let mut scraper = registry.scraper();
    scraper.scrape(Format::Text);
    // Every line gets longer, and the last cell cannot be read.
    set(1 << 60);
    cells[1_999].0.store(PanickingCell::BAD, Ordering::Relaxed);
    catch_unwind(AssertUnwindSafe(|| scraper.scrape(Format::Text).len())).unwrap_err();
    for value in [1 << 60, 7] {
        set(value);
        assert_eq!(
            scraper.scrape(Format::Text),
            registry.scraper().scrape(Format::Text)
        );
    }
}
