//! Allocation counts: warm scrapes, look-ups and updates allocate nothing.

#[path = "support/counting.rs"]
mod counting;

use counting::allocations;
use stethoscope::Registry;
use stethoscope::cell::{
    Buckets, Counter, ExemplarLabels, FloatGauge, NativeHistogramOptions, Quantile, WindowMax,
    WithExemplars,
};
use stethoscope::exposition::{ContentType, Escaping, Format};

const CONTENT_TYPES: [ContentType; 8] = [
    ContentType::new(Format::Text, Escaping::Underscores),
    ContentType::new(Format::Text1, Escaping::AllowUtf8),
    ContentType::new(Format::OpenMetrics, Escaping::Underscores),
    ContentType::new(Format::OpenMetrics, Escaping::Values),
    ContentType::new(Format::OpenMetrics, Escaping::Dots),
    ContentType::new(Format::OpenMetrics2, Escaping::Underscores),
    ContentType::new(Format::Protobuf, Escaping::Underscores),
    ContentType::new(Format::Protobuf, Escaping::AllowUtf8),
];

#[test]
fn counting_allocator_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn a_warm_scrape_allocates_nothing() {
    let registry = Registry::new().with_utf8_names();
    let counters = registry
        .counter_family("requests_total", "Requests.", ["method", "code"])
        .unwrap();
    let gauges = registry
        .family::<FloatGauge>("temp.celsius", "Temperature.")
        .labels(["zone.name"])
        .register()
        .unwrap();
    let created = registry
        .family::<Counter>("made_total", "")
        .labels(["x"])
        .created_timestamps()
        .register()
        .unwrap();
    for n in 0..300 {
        let n = n.to_string();
        counters.with(["GET", &n]).unwrap();
        gauges.with([&*n]).unwrap();
        created.with([&*n]).unwrap();
    }
    let buckets = Buckets::exponential(0.001, 2.0, 12).unwrap();
    let histogram = registry.histogram("latency_seconds", "", buckets).unwrap();
    let native = registry
        .native_histogram("wait_seconds", "", NativeHistogramOptions::default())
        .unwrap();
    let summary = registry
        .family::<Quantile>("size_bytes", "")
        .register_single()
        .unwrap();
    let maximum = registry
        .family::<WindowMax>("tick_max_seconds", "")
        .register_single()
        .unwrap();
    let exemplars = registry
        .family::<WithExemplars<Counter>>("failed", "")
        .register_single()
        .unwrap();
    let trace = ExemplarLabels::new([("trace_id", "4bf92f3577b34da6")]).unwrap();
    exemplars.inc_by_with_exemplar(1, &trace);
    let refreshed = registry.gauge("refreshed", "").unwrap();
    registry.on_scrape(move || refreshed.set(refreshed.get() + 1));
    let mut scraper = registry.scraper();
    let handles: Vec<_> = (0..300)
        .map(|n| gauges.with([&*n.to_string()]).unwrap())
        .collect();
    let set = |value: f64| handles.iter().for_each(|gauge| gauge.set(value));

    // Adds and removes settle with one scrape of each kind, at the longest
    // values that there will be.
    counters.remove(["GET", "7"]);
    set(-1.234_567_890_123_456_7e-300);
    for power in [-60, 60] {
        native.observe(2f64.powi(power));
    }
    for content_type in CONTENT_TYPES {
        scraper.scrape(content_type);
    }
    for value in [0.0, 0.1, -1.234_567_890_123_456_7e-300, 1e15, f64::NAN] {
        set(value);
        counters.with(["GET", "3"]).unwrap().inc_by(1_000_000_007);
        exemplars.inc_by_with_exemplar(1, &trace);
        histogram.observe(value);
        native.observe(value);
        summary.observe(value);
        maximum.observe(value);
        for content_type in CONTENT_TYPES {
            assert_eq!(
                allocations(|| assert!(!scraper.scrape(content_type).is_empty())),
                0,
                "{content_type:?}"
            );
        }
    }
    let mut page = Vec::with_capacity(1 << 20);
    assert_eq!(
        allocations(|| scraper.scrape_into(Format::Text, &mut page)),
        0
    );
    assert_eq!(
        allocations(|| scraper.scrape_only(Format::Text, |_| true, &mut page)),
        0
    );
}

#[test]
fn a_look_up_and_an_update_allocate_nothing() {
    let registry = Registry::new();
    let family = registry
        .counter_family("requests_total", "Requests.", ["method", "code"])
        .unwrap();
    family.with(["GET", "200"]).unwrap();
    let asked = allocations(|| {
        for _ in 0..100 {
            family.with(["GET", "200"]).unwrap().inc();
            family
                .update(["GET", "200"], |counter| counter.inc())
                .unwrap();
            assert!(family.get(["GET", "404"]).is_none());
        }
    });
    assert_eq!(asked, 0);
    assert_eq!(family.with(["GET", "200"]).unwrap().get(), 200);
}
