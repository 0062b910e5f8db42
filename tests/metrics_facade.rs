//! The recorder for the facade `metrics`.

use metrics::{Label, Unit, with_local_recorder};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use stethoscope::Registry;
use stethoscope::bridge::{Matcher, Recorder};
use stethoscope::cell::{Buckets, NativeHistogramOptions, QuantileOptions};
use stethoscope::exposition::{Format, validate};
use stethoscope::registry::Value;

/// A page, after seeing that both formats are valid.
fn page(registry: &Registry) -> String {
    let mut scraper = registry.scraper();
    for format in [Format::Text, Format::OpenMetrics] {
        let page = scraper.scrape(format);
        validate::validate(page, format)
            .unwrap_or_else(|error| panic!("{error}\n{}", String::from_utf8_lossy(page)));
    }
    String::from_utf8(scraper.scrape(Format::Text).to_vec()).unwrap()
}

fn recorded(count: impl FnOnce()) -> String {
    let registry = Registry::new();
    with_local_recorder(&Recorder::new(&registry), count);
    page(&registry)
}

#[test]
fn counters_gauges_and_histograms_are_on_the_page() {
    let page = recorded(|| {
        counter!("jobs").increment(2);
        counter!("jobs").increment(1);
        counter!("bytes_total").absolute(70);
        counter!("bytes_total").absolute(60);
        gauge!("depth").set(4.0);
        gauge!("depth").increment(1.5);
        gauge!("depth").decrement(0.25);
        histogram!("seconds").record(0.003);
        histogram!("seconds").record_many(0.2, 2);
    });
    for line in [
        "jobs_total 3",
        "bytes_total 70",
        "depth 5.25",
        "seconds_bucket{le=\"0.005\"} 1",
        "seconds_count 3",
        "seconds_sum 0.403",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
    }
}

#[test]
fn unlike_label_sets_of_a_name_stand_in_one_block() {
    let page = recorded(|| {
        counter!("calls", "method" => "read").increment(1);
        gauge!("other").set(1.0);
        counter!("calls").increment(2);
        counter!("calls", "method" => "read", "disk" => String::from("a\"b")).increment(3);
        counter!("calls", "disk" => "a\"b", "method" => "read").increment(4);
    });
    assert_eq!(
        page,
        "# TYPE calls_total counter\n\
         calls_total{method=\"read\"} 1\n\
         calls_total 2\n\
         calls_total{disk=\"a\\\"b\",method=\"read\"} 7\n\
         # TYPE other gauge\n\
         other 1\n"
    );
}

#[test]
fn label_without_a_value_is_the_same_as_none() {
    let page = recorded(|| {
        counter!("calls", "user" => "").increment(1);
        counter!("calls").increment(1);
    });
    assert!(page.ends_with("\ncalls_total 2\n"), "{page}");
}

#[test]
fn descriptions_are_shown_whenever_they_come() {
    let registry = Registry::new();
    let mut scraper = registry.scraper();
    with_local_recorder(&Recorder::new(&registry), || {
        describe_counter!("early", "First.");
        counter!("early").increment(1);
        gauge!("late_seconds").set(2.0);
        gauge!("untouched").set(3.0);
        scraper.scrape(Format::OpenMetrics);
        describe_gauge!("late_seconds", Unit::Seconds, "Second.");
        describe_gauge!("late_seconds", Unit::Seconds, "Third.");
        // The name does not end in the unit, so there is none to show.
        describe_histogram!("size", Unit::Bytes, "Fourth.");
        histogram!("size").record(1.0);
        gauge!("late_seconds").set(4.0);
    });
    let page = String::from_utf8(scraper.scrape(Format::OpenMetrics).to_vec()).unwrap();
    assert!(
        page.starts_with(
            "# TYPE early counter\n# HELP early First.\nearly_total 1\n\
             # TYPE late_seconds gauge\n# UNIT late_seconds seconds\n\
             # HELP late_seconds Third.\nlate_seconds 4\n\
             # TYPE untouched gauge\nuntouched 3\n\
             # TYPE size histogram\n# HELP size Fourth.\n"
        ),
        "{page}"
    );
}

#[test]
fn names_and_labels_are_sanitised() {
    let page = recorded(|| {
        counter!("http.requests-sent", "peer.name" => "a", "__name__" => "b", "9" => "c")
            .increment(1);
        counter!("").increment(1);
        gauge!("über").set(1.0);
        gauge!("twice", "a.b" => "first", "a_b" => "last").set(2.0);
    });
    for line in [
        "http_requests_sent_total{_=\"c\",_name__=\"b\",peer_name=\"a\"} 1",
        "__total 1",
        "_ber 1",
        "twice{a_b=\"last\"} 2",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
    }
}

#[test]
fn labels_that_the_lines_need_are_exported() {
    let registry = Registry::new();
    let blue = registry.with_const_labels([("cluster", "blue")]);
    with_local_recorder(&Recorder::new(&blue), || {
        histogram!("size", "le" => "mine", "exported_le" => "too").record(1.0);
        counter!("jobs", "cluster" => "red").increment(1);
    });
    // Another page adds a label, and does not rename it for this one.
    let host = Registry::new();
    host.with_const_labels([("exported_cluster", "green")])
        .include(&registry);
    let text = page(&registry);
    for line in [
        "size_bucket{cluster=\"blue\",exported_exported_le=\"too\",exported_le=\"mine\",le=\"1\"} 1",
        "jobs_total{cluster=\"blue\",exported_cluster=\"red\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    let text = page(&host);
    let line = "jobs_total{exported_cluster=\"green\",cluster=\"blue\",exported_exported_cluster=\"red\"} 1";
    assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    let family = host
        .gather()
        .into_iter()
        .find(|family| family.name == "jobs_total")
        .unwrap();
    let labels = [
        ("exported_cluster", "green"),
        ("cluster", "blue"),
        ("exported_exported_cluster", "red"),
    ];
    assert_eq!(family.value(labels), Some(&Value::Single(1.0)));
}

#[test]
fn histograms_take_the_form_of_the_first_pattern() {
    let registry = Registry::new();
    let buckets = |bound| Buckets::new([bound]).unwrap();
    let recorder = Recorder::builder(&registry)
        .histograms(Matcher::Suffix("_bytes".into()), buckets(1.0))
        .histograms(Matcher::Prefix("disk.".into()), buckets(2.0))
        .histograms(Matcher::Full("disk.read_bytes".into()), buckets(3.0))
        .histograms(Matcher::Full("disk_read_bytes".into()), buckets(4.0))
        .default_histograms(QuantileOptions::new([0.5]).unwrap())
        .build();
    with_local_recorder(&recorder, || {
        for name in ["net_bytes", "disk.write_bytes", "disk.read_bytes", "other"] {
            histogram!(name).record(0.5);
        }
    });
    let page = page(&registry);
    for line in [
        "net_bytes_bucket{le=\"1\"} 1",
        "disk_write_bytes_bucket{le=\"2\"} 1",
        "disk_read_bytes_bucket{le=\"3\"} 1",
        "# TYPE other summary",
        "other_count 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
    }
}

#[test]
fn histograms_may_be_native() {
    let registry = Registry::new();
    let recorder = Recorder::builder(&registry)
        .default_histograms(NativeHistogramOptions::default())
        .build();
    with_local_recorder(&recorder, || {
        histogram!("rpc.seconds", "code" => "200").record(0.5);
        histogram!("rpc.seconds").record(2.0);
    });
    let native = registry
        .gather()
        .into_iter()
        .find(|family| family.name == "rpc_seconds")
        .expect("a family");
    let value = native.value([("code", "200")]).expect("a series");
    assert!(matches!(value, Value::NativeHistogram { .. }), "{value:?}");
    assert!(page(&registry).contains("rpc_seconds_count 1\n"));
}

#[test]
fn metric_whose_name_is_taken_is_shown_as_refused() {
    let page = recorded(|| {
        histogram!("x").record(1.0);
        gauge!("x").set(2.0);
        counter!("x_count").increment(1);
        gauge!("x_count").set(3.0);
    });
    assert!(page.contains("stethoscope_recorder_refused{name=\"x\",type=\"gauge\"} 1\n"));
    assert!(page.contains("stethoscope_recorder_refused{name=\"x_count\",type=\"gauge\"} 1\n"));
    assert!(page.contains("x_count 1\n"), "{page}");
    assert!(page.contains("x_count_total 1\n"), "{page}");
}

#[test]
fn series_beyond_the_limit_are_counted_as_refused() {
    let registry = Registry::new();
    let recorder = Recorder::builder(&registry).max_series(2).build();
    with_local_recorder(&recorder, || {
        for user in ["a", "b", "c", "d"] {
            counter!("calls", "user" => user).increment(1);
        }
    });
    let page = page(&registry);
    assert_eq!(page.matches("calls_total{").count(), 2, "{page}");
    assert!(
        page.contains("stethoscope_series_refused_total{family=\"calls_total\"} 2\n"),
        "{page}"
    );
}

#[test]
fn threads_that_make_the_same_series_count_in_one() {
    let registry = Registry::new();
    let recorder = Recorder::new(&registry);
    for round in 0..50 {
        let name = format!("round_{round}");
        let start = std::sync::Barrier::new(4);
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    start.wait();
                    with_local_recorder(&recorder, || {
                        let labels = vec![Label::new("a", "b")];
                        counter!(name.clone(), labels).increment(1);
                    });
                });
            }
        });
    }
    let page = page(&registry);
    assert_eq!(page.matches("{a=\"b\"} 4\n").count(), 50, "{page}");
}

#[test]
fn handles_keep_counting_after_the_recorder_is_gone() {
    let registry = Registry::new();
    let jobs = with_local_recorder(&Recorder::new(&registry), || counter!("jobs"));
    jobs.increment(5);
    assert!(page(&registry).ends_with("jobs_total 5\n"));
}

#[path = "support/counting.rs"]
mod counting;

#[test]
fn macro_with_literal_labels_allocates_nothing_once_warm() {
    let registry = Registry::new();
    with_local_recorder(&Recorder::new(&registry), || {
        let count = || {
            counter!("jobs", "kind" => "short").increment(1);
            gauge!("depth").set(1.0);
            histogram!("seconds").record(0.5);
        };
        count();
        assert_eq!(counting::allocations(count), 0);
    });
}
