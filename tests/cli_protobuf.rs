//! `stethoscope check` and `bench` with protobuf pages: ours, and pages with one fault
//! each that an independent encoder wrote.

#[path = "support/protobuf.rs"]
mod protobuf;

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use prost::Message as _;
use protobuf::{BucketSpan, Histogram, LabelPair, Metric, MetricFamily, Single};
use stethoscope::Registry;
use stethoscope::cell::{Buckets, NativeHistogramOptions};
use stethoscope::exposition::Format;

fn check(page: &[u8], arguments: &[&str]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_stethoscope"))
        .args(["check", "-"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A page may be refused before it is read to its end.
    let _ = child.stdin.take().unwrap().write_all(page);
    child.wait_with_output().unwrap()
}

fn registry() -> Registry {
    let registry = Registry::new();
    let requests = registry
        .counter_family("requests", "Requests.", ["code"])
        .unwrap();
    requests.with(["200"]).unwrap().inc();
    let options = NativeHistogramOptions::builder().negative_values();
    let options = options.classic(Buckets::default()).build().unwrap();
    let native = registry
        .native_histogram("wait_seconds", "Waits.", options)
        .unwrap();
    for value in [-2.0, 0.0, 0.1, 1e9] {
        native.observe(value);
    }
    registry
        .histogram("size_bytes", "", Buckets::default())
        .unwrap()
        .observe(1.0);
    registry
}

#[test]
fn own_page_is_accepted() {
    let page = registry().scraper().scrape(Format::Protobuf).to_vec();
    for arguments in [&[][..], &["--format", "protobuf"]] {
        let output = check(&page, arguments);
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{output:?}"
        );
    }
    let cut = check(&page[..page.len() - 1], &[]);
    assert_eq!(cut.status.code(), Some(1));
    let message = String::from_utf8(cut.stderr).unwrap();
    assert!(message.contains("the page is cut off"), "{message}");
    assert_eq!(check(&page, &["--json"]).status.code(), Some(2));
    assert_eq!(check(b"", &["--format", "protobuf"]).status.code(), Some(1));
}

#[test]
fn text_page_is_not_taken_for_protobuf() {
    for text in ["#\n# HELP a A.\na 1\n", "#\na 1\n", "a\n", "\n\na 1\n"] {
        let output = check(text.as_bytes(), &[]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(!message.contains("byte"), "{text:?}: {message}");
    }
}

fn label(name: &str, value: &str) -> LabelPair {
    LabelPair {
        name: Some(name.to_owned()),
        value: Some(value.to_owned()),
    }
}

fn family(kind: protobuf::MetricType, metric: Vec<Metric>) -> MetricFamily {
    MetricFamily {
        name: Some("x".to_owned()),
        help: Some(String::new()),
        r#type: Some(kind as i32),
        metric,
        unit: None,
    }
}

fn gauges(labels: &[&[LabelPair]]) -> MetricFamily {
    let metric = |labels: &&[LabelPair]| Metric {
        label: labels.to_vec(),
        gauge: Some(Single { value: Some(1.0) }),
        ..Metric::default()
    };
    family(
        protobuf::MetricType::Gauge,
        labels.iter().map(metric).collect(),
    )
}

fn histograms(histograms: &[Histogram]) -> MetricFamily {
    let metric = |(index, histogram): (usize, &Histogram)| Metric {
        label: vec![label("n", &index.to_string())],
        histogram: Some(histogram.clone()),
        ..Metric::default()
    };
    let metrics = histograms.iter().enumerate().map(metric).collect();
    family(protobuf::MetricType::Histogram, metrics)
}

/// A native histogram of two observations in two buckets.
fn native() -> Histogram {
    Histogram {
        sample_count: Some(2),
        sample_sum: Some(3.0),
        schema: Some(0),
        zero_threshold: Some(1e-10),
        zero_count: Some(0),
        positive_span: vec![BucketSpan {
            offset: Some(0),
            length: Some(2),
        }],
        positive_delta: vec![1, 0],
        ..Histogram::default()
    }
}

#[track_caller]
fn assert_refused(families: &[MetricFamily], reason: &str) {
    let page: Vec<u8> = families
        .iter()
        .flat_map(|f| f.encode_length_delimited_to_vec())
        .collect();
    let output = check(&page, &["--format", "protobuf"]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains(reason), "{message}");
}

#[test]
fn fault_of_a_histogram_is_refused() {
    assert!({
        let page = histograms(&[native(), native()]).encode_length_delimited_to_vec();
        check(&page, &[]).status.success()
    });
    let with = |change: fn(&mut Histogram)| {
        let mut histogram = native();
        change(&mut histogram);
        [histograms(&[histogram])]
    };
    assert_refused(
        &with(|h| h.schema = Some(9)),
        "schema 9 is not between -4 and 8",
    );
    assert_refused(
        &with(|h| h.positive_delta.push(0)),
        "the spans have 2 buckets, and 3 are listed",
    );
    assert_refused(
        &with(|h| h.positive_delta = vec![1]),
        "the spans have 2 buckets, and 1 are listed",
    );
    assert_refused(
        &with(|h| h.positive_delta = vec![1, -2]),
        "a bucket has a negative count",
    );
    assert_refused(
        &with(|h| h.sample_count = Some(3)),
        "the count is 3, and its buckets have 2",
    );
    assert_refused(
        &with(|h| {
            let length = Some(1);
            h.positive_span = [0, -1]
                .map(|offset| BucketSpan {
                    offset: Some(offset),
                    length,
                })
                .to_vec();
        }),
        "span 2 goes back by -1",
    );
    let classic = Histogram {
        sample_count: Some(0),
        ..Histogram::default()
    };
    assert_refused(
        &[histograms(&[native(), classic])],
        "classic and native histograms are mixed in the family",
    );
}

#[test]
fn fault_of_a_family_is_refused() {
    let gauge = || gauges(&[&[label("a", "1")]]);
    assert_refused(&[gauge(), gauge()], "the family is on the page twice");
    let same = [label("a", "1"), label("b", "2")];
    let turned = [label("b", "2"), label("a", "1")];
    assert_refused(
        &[gauges(&[&same, &turned])],
        "the series {a=\"1\",b=\"2\"} is there twice",
    );
    let twice = [label("a", "1"), label("a", "2")];
    assert_refused(&[gauges(&[&twice])], "the label \"a\" is there twice");
    assert_refused(
        &[gauges(&[&[label("", "1")]])],
        "the label name \"\" is not allowed",
    );
    let mut unit = gauge();
    unit.unit = Some("seconds".to_owned());
    assert_refused(&[unit], "the name does not end in the unit \"seconds\"");
    let mut nameless = gauge();
    nameless.name = None;
    assert_refused(&[nameless], "the family has no name");
    let mut unknown = gauge();
    unknown.r#type = Some(6);
    assert_refused(&[unknown], "type 6 is not one of 0 to 5");
    let mut other = gauge();
    other.r#type = Some(0);
    assert_refused(&[other], "expected a counter, found none");
    let untyped = Metric {
        untyped: Some(Single { value: None }),
        ..Metric::default()
    };
    assert_refused(
        &[family(protobuf::MetricType::Untyped, vec![untyped])],
        "the value is left out",
    );
}

#[cfg(feature = "http")]
#[test]
fn endpoint_is_checked_and_measured_in_protobuf() {
    let endpoint = stethoscope::endpoint::serve(&registry(), "127.0.0.1:0").unwrap();
    let url = format!("http://{}/metrics", endpoint.local_addr().unwrap());
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stethoscope"));
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    run(&["check", &url, "--format", "protobuf"]);
    let report = run(&["bench", &url, "--protobuf", "--for", "100ms", "--json"]);
    // A counter, a native histogram, and 14 lines of a classic one.
    assert!(
        report.contains("\"samples\":16") || report.contains("\"samples\": 16"),
        "{report}"
    );
}
