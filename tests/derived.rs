//! Typed labels and structs of metrics, by their derive macros.

#[path = "support/counting.rs"]
mod counting;

use std::sync::Arc;
use std::time::Duration;
use stethoscope::cell::{Buckets, Counter, Gauge, Histogram, Quantile, QuantileOptions};
use stethoscope::exposition::Format;
use stethoscope::family::MixedFamily;
use stethoscope::registry::RegisterErrorKind;
use stethoscope::{
    Family, Handle, LabelValue, Labels, Metrics, Registry, SeriesError, TypedFamily,
};

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

fn page(registry: &Registry) -> String {
    String::from_utf8(registry.scraper().scrape(Format::Text).to_vec()).expect("UTF-8")
}

fn samples(registry: &Registry) -> Vec<String> {
    let page = page(registry);
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, LabelValue)]
enum Kind {
    Plain,
    HttpError,
    IOError,
    X2,
    r#Type,
}

const KINDS: [Kind; 5] = [
    Kind::Plain,
    Kind::HttpError,
    Kind::IOError,
    Kind::X2,
    Kind::Type,
];

#[derive(Clone, Copy, LabelValue)]
#[label(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(dead_code, reason = "the order of numbers and of variants differ")]
enum Numbered {
    FirstOne = 7,
    #[label(rename = "another \"text\"")]
    Second = 3,
}

#[derive(Clone, Copy, Labels)]
struct Dense {
    kind: Kind,
    numbered: Numbered,
    cached: bool,
    maybe: Option<bool>,
}

fn dense() -> impl Iterator<Item = Dense> {
    let maybes = [None, Some(false), Some(true)];
    let sets = KINDS.into_iter().flat_map(move |kind| {
        let numbers = [Numbered::Second, Numbered::FirstOne].into_iter();
        numbers.flat_map(move |numbered| {
            [false, true].into_iter().flat_map(move |cached| {
                maybes.into_iter().map(move |maybe| Dense {
                    kind,
                    numbered,
                    cached,
                    maybe,
                })
            })
        })
    });
    sets.collect::<Vec<_>>().into_iter()
}

#[test]
fn enums_are_written_in_their_case() {
    let text = |kind: Kind| kind.read(str::to_owned);
    assert_eq!(
        KINDS.map(text),
        ["plain", "http_error", "io_error", "x2", "type"]
    );
    assert_eq!(Numbered::FirstOne.read(str::to_owned), "FIRST_ONE");
    assert_eq!(Numbered::Second.read(str::to_owned), "another \"text\"");
}

#[test]
fn each_set_of_few_labels_has_a_series_of_its_own() -> Result {
    assert_eq!(Dense::COUNT, Some(5 * 2 * 2 * 3));
    let registry = Registry::new();
    let family: TypedFamily<Dense, Counter> = registry.family("c_total", "").register_typed()?;
    let mut indices: Vec<usize> = Vec::new();
    for (number, labels) in dense().enumerate() {
        indices.push(labels.index());
        family.update(&labels, |count| count.inc_by(number as u64))?;
        family.with(&labels)?.inc_by(100);
    }
    indices.sort_unstable();
    assert!(indices.iter().copied().eq(0..60));
    assert_eq!(family.len(), 60);
    let samples = samples(&registry);
    assert_eq!(
        samples[0],
        "c_total{kind=\"plain\",numbered=\"another \\\"text\\\"\",cached=\"false\",maybe=\"\"} 100"
    );
    for (number, labels) in dense().enumerate() {
        let value = format!(" {}", 100 + number);
        assert!(samples[number].ends_with(&value), "{}", samples[number]);
        assert_eq!(labels.read(|values| values.len()), 4);
    }
    Ok(())
}

#[derive(Labels)]
struct Open<'a> {
    #[label(rename = "type")]
    kind: &'a str,
    code: u16,
    #[label(rename = "offset")]
    delta: i64,
    owned: String,
    r#loop: bool,
}

#[test]
fn labels_with_any_values_are_found_again() -> Result {
    assert_eq!(Open::NAMES, ["type", "code", "offset", "owned", "loop"]);
    assert_eq!(Open::COUNT, None);
    let registry = Registry::new();
    let family: TypedFamily<Open, Counter> = registry.family("c_total", "").register_typed()?;
    let kind = String::from("a\nb");
    let labels = Open {
        kind: &kind,
        code: 65_535,
        delta: i64::MIN,
        owned: String::from("x"),
        r#loop: true,
    };
    family.update(&labels, Counter::inc)?;
    let allocations = counting::allocations(|| {
        for _ in 0..10 {
            family.update(&labels, Counter::inc).expect("it exists");
        }
    });
    assert_eq!(allocations, 0);
    assert_eq!(
        samples(&registry),
        [
            "c_total{type=\"a\\nb\",code=\"65535\",offset=\"-9223372036854775808\",owned=\"x\",loop=\"true\"} 11"
        ]
    );
    assert!(family.remove(&labels));
    assert!(family.is_empty());
    Ok(())
}

#[test]
fn series_of_few_labels_are_never_removed() -> Result {
    let registry = Registry::new();
    let builder = registry.family::<Counter>("c_total", "");
    let family = builder
        .expire_after(Duration::ZERO)
        .register_typed::<Dense>()?;
    let labels = dense().next().expect("a label set");
    family.update(&labels, Counter::inc)?;
    let untyped: Family<Counter> = registry.get("c_total").expect("a family");
    assert!(!family.remove(&labels));
    assert_eq!(untyped.retain(|_| false), 0);
    assert_eq!(untyped.remove_stale(Duration::ZERO), 0);
    for count in 2..5 {
        family.update(&labels, Counter::inc)?;
        assert!(samples(&registry)[0].ends_with(&format!(" {count}")));
    }
    Ok(())
}

#[test]
fn full_family_uses_its_overflow_series_for_further_labels() -> Result {
    let registry = Registry::new();
    let builder = || registry.family::<Counter>("c_total", "").max_series(2);
    let family: TypedFamily<Dense, Counter> = builder().overflow("other").register_typed()?;
    for _ in 0..2 {
        for labels in dense().take(5) {
            family.update(&labels, Counter::inc)?;
        }
    }
    let shown: Vec<String> = samples(&registry)
        .into_iter()
        .filter(|line| line.starts_with("c_total"))
        .collect();
    assert_eq!(shown.len(), 3, "{shown:?}");
    assert!(
        shown[0].ends_with("} 2") && shown[1].ends_with("} 2"),
        "{shown:?}"
    );
    assert!(
        shown[2].contains("kind=\"other\"") && shown[2].ends_with("} 6"),
        "{shown:?}"
    );

    registry.unregister("c_total");
    let family: TypedFamily<Dense, Counter> = builder().register_typed()?;
    let results: Vec<_> = dense()
        .map(|labels| family.update(&labels, Counter::inc))
        .collect();
    assert_eq!(results[1], Ok(()));
    assert_eq!(results[2], Err(SeriesError::Full { max_series: 2 }));
    Ok(())
}

#[test]
fn two_places_share_a_typed_family() -> Result {
    let registry = Registry::new();
    let place = || {
        registry
            .family::<Counter>("c_total", "")
            .get_or_register_typed::<Dense>()
    };
    let (one, other) = (place()?, place()?);
    let labels = dense().next().expect("a label set");
    one.update(&labels, Counter::inc)?;
    other.update(&labels, Counter::inc)?;
    assert!(samples(&registry)[0].ends_with(" 2"));
    let untyped = registry
        .family::<Counter>("c_total", "")
        .labels(Dense::NAMES.to_vec());
    assert!(untyped.get_or_register().is_err());
    Ok(())
}

#[test]
fn threads_that_use_a_label_set_first_count_in_one_series() -> Result {
    let registry = Registry::new();
    let family: TypedFamily<Dense, Counter> = registry.family("c_total", "").register_typed()?;
    let start = std::sync::Barrier::new(4);
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                start.wait();
                for labels in dense() {
                    family.update(&labels, Counter::inc).expect("no limit");
                }
            });
        }
    });
    let samples = samples(&registry);
    assert_eq!(samples.len(), 60);
    assert!(
        samples.iter().all(|line| line.ends_with(" 4")),
        "{samples:?}"
    );
    Ok(())
}

#[test]
fn labels_of_all_types_of_text_and_numbers_are_read() {
    fn text(value: impl LabelValue) -> String {
        value.read(str::to_owned)
    }
    assert_eq!(text("a"), "a");
    assert_eq!(text(std::borrow::Cow::Borrowed("b")), "b");
    assert_eq!(text(Arc::<str>::from("c")), "c");
    assert_eq!(text(Box::<str>::from("d")), "d");
    assert_eq!(text(Some(String::from("e"))), "e");
    assert_eq!(text(None::<u8>), "");
    assert_eq!(text((-5i8, ()).0), "-5");
    assert_eq!(text(u64::MAX), "18446744073709551615");
    assert_eq!(text(Some(&true)), "true");
}

/// The documentation of the struct is not that of a metric.
#[derive(Metrics)]
#[metrics(namespace = "app")]
struct AppMetrics<L: Labels + 'static> {
    /// Help with "quotes"
    /// in two lines.
    ///
    /// A paragraph for readers of the code.
    requests_total: TypedFamily<L, Counter>,
    #[metric(help = "Given.", rename = "queue")]
    /// Not shown.
    waiting: Handle<Gauge>,
    #[metric(labels = ["kind"], options = Buckets::new([1.0]).unwrap(), unit = "seconds")]
    wait_seconds: Family<Histogram>,
    #[metric(options = QuantileOptions::new([0.5]).unwrap())]
    size: Handle<Quantile>,
    #[metric(max_series = 1)]
    mixed: MixedFamily<Gauge>,
    #[metric(nested = "db")]
    one: Nested,
    #[metric(nested)]
    other: Nested,
}

#[derive(Metrics)]
struct Nested {
    /// Calls.
    calls: Handle<Counter>,
}

#[test]
fn struct_registers_its_fields() -> Result {
    let registry = Registry::new();
    let app = AppMetrics::<Dense>::register(&registry.with_const_labels([("zone", "a")]))?;
    app.requests_total
        .update(&dense().next().expect("labels"), Counter::inc)?;
    app.waiting.set(3);
    app.wait_seconds.with(["x"])?.observe(0.5);
    app.size.observe(2.0);
    app.mixed.with([("a", "b")])?.set(1);
    assert!(app.mixed.with([("a", "c")]).is_err());
    app.one.calls.inc();
    app.other.calls.inc_by(2);
    let page = page(&registry);
    for line in [
        "# HELP app_requests_total Help with \"quotes\" in two lines.",
        "# HELP app_queue Given.",
        "app_queue{zone=\"a\"} 3",
        "app_wait_seconds_count{zone=\"a\",kind=\"x\"} 1",
        "app_size_count{zone=\"a\"} 1",
        "app_mixed{zone=\"a\",a=\"b\"} 1",
        "# HELP app_db_calls_total Calls.",
        "app_db_calls_total{zone=\"a\"} 1",
        "app_calls_total{zone=\"a\"} 2",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
    }
    let again = AppMetrics::<Dense>::register(&registry).map(drop);
    assert_eq!(
        again.unwrap_err().kind(),
        &RegisterErrorKind::AlreadyRegistered
    );
    Ok(())
}
