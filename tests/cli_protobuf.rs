//! `stethoscope check` and `bench` with protobuf pages: ours, and pages with one fault
//! each that an independent encoder wrote.

#[path = "support/protobuf.rs"]
mod protobuf;
#[path = "support/seeds.rs"]
mod seeds;

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
    assert_eq!(check(b"", &["--format", "protobuf"]).status.code(), Some(1));
}

/// The lines of a page of one family.
fn json(family: &MetricFamily) -> String {
    let output = check(&family.encode_length_delimited_to_vec(), &["--json"]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn json_has_a_line_for_each_sample() {
    let exemplar = protobuf::Exemplar {
        label: vec![label("trace_id", "7")],
        value: Some(0.5),
        timestamp: Some(protobuf::Timestamp {
            seconds: 2,
            nanos: 1_500_000,
        }),
    };
    let counter = Metric {
        label: vec![label("b", "\"x\""), label("a", "")],
        counter: Some(protobuf::Counter {
            value: Some(1e6),
            exemplar: Some(exemplar.clone()),
            created_timestamp: None,
        }),
        timestamp_ms: Some(-5),
        ..Metric::default()
    };
    assert_eq!(
        json(&family(protobuf::MetricType::Counter, vec![counter])),
        "{\"name\":\"x\",\"labels\":[[\"b\",\"\\\"x\\\"\"],[\"a\",\"\"]],\"value\":\"1e+06\",\
         \"timestamp_ms\":-5,\"exemplar\":{\"value\":\"0.5\",\"labels\":[[\"trace_id\",\"7\"]],\
         \"timestamp_ms\":2001}}\n"
    );
    let summary = Metric {
        summary: Some(protobuf::Summary {
            sample_count: Some(u64::MAX),
            sample_sum: Some(f64::NAN),
            quantile: vec![protobuf::Quantile {
                quantile: Some(1.0),
                value: Some(2.5),
            }],
            created_timestamp: None,
        }),
        ..Metric::default()
    };
    assert_eq!(
        json(&family(protobuf::MetricType::Summary, vec![summary])),
        "{\"name\":\"x\",\"labels\":[[\"quantile\",\"1.0\"]],\"value\":\"2.5\"}\n\
         {\"name\":\"x_sum\",\"labels\":[],\"value\":\"NaN\"}\n\
         {\"name\":\"x_count\",\"labels\":[],\"value\":\"18446744073709551615\"}\n"
    );
    let classic = Histogram {
        sample_count: Some(3),
        sample_sum: Some(1.5),
        bucket: vec![protobuf::Bucket {
            cumulative_count: Some(2),
            upper_bound: Some(1.0),
            exemplar: Some(exemplar),
            cumulative_count_float: None,
        }],
        ..Histogram::default()
    };
    assert_eq!(
        json(&histograms(&[classic])),
        "{\"name\":\"x_bucket\",\"labels\":[[\"n\",\"0\"],[\"le\",\"1.0\"]],\"value\":\"2\",\
         \"exemplar\":{\"value\":\"0.5\",\"labels\":[[\"trace_id\",\"7\"]],\"timestamp_ms\":2001}}\n\
         {\"name\":\"x_sum\",\"labels\":[[\"n\",\"0\"]],\"value\":\"1.5\"}\n\
         {\"name\":\"x_count\",\"labels\":[[\"n\",\"0\"]],\"value\":\"3\"}\n"
    );
}

#[test]
fn json_has_native_buckets_by_their_indices() {
    let mut histogram = native();
    histogram.schema = Some(-1);
    histogram.sample_count = Some(9);
    histogram.zero_count = Some(1);
    histogram.positive_span = [(-3, 2), (4, 1)]
        .map(|(offset, length)| BucketSpan {
            offset: Some(offset),
            length: Some(length),
        })
        .to_vec();
    histogram.positive_delta = vec![1, 1, -1];
    histogram.negative_span = vec![BucketSpan {
        offset: Some(7),
        length: Some(1),
    }];
    histogram.negative_delta = vec![4];
    assert_eq!(
        json(&histograms(&[histogram])),
        "{\"name\":\"x\",\"labels\":[[\"n\",\"0\"]],\"histogram\":{\"count\":\"9\",\"sum\":\"3\",\
         \"schema\":-1,\"zero_threshold\":\"1e-10\",\"zero_count\":\"1\",\"negative\":[[7,\"4\"]],\
         \"positive\":[[-3,\"1\"],[-2,\"2\"],[3,\"1\"]]}}\n"
    );
}

#[test]
fn json_of_own_page_has_the_samples_of_an_independent_decoder() {
    let page = registry().scraper().scrape(Format::Protobuf).to_vec();
    let output = check(&page, &["--json"]);
    let lines = String::from_utf8(output.stdout).unwrap();
    let decoded = protobuf::decode(&page);
    let native = lines.lines().filter(|line| line.contains("\"histogram\":"));
    assert_eq!(native.count(), 1);
    let classic = lines.lines().filter(|line| line.contains("\"value\":"));
    // The decoder adds the bucket of +Inf of the native histogram.
    assert_eq!(classic.count(), protobuf::samples(&decoded).len() - 1);
}

#[test]
fn lints_are_those_of_the_text_page() {
    let mut named = gauges(&[&[label("camelCase", "1")], &[label("camelCase", "2")]]);
    named.name = Some("jobs_total".to_owned());
    let empty = family(protobuf::MetricType::Gauge, Vec::new());
    let falling = Histogram {
        sample_count: Some(3),
        sample_sum: Some(1.5),
        bucket: [(3, 1.0), (2, 2.0)]
            .map(|(count, bound)| protobuf::Bucket {
                cumulative_count: Some(count),
                upper_bound: Some(bound),
                exemplar: None,
                cumulative_count_float: None,
            })
            .to_vec(),
        ..Histogram::default()
    };
    let mut histograms = histograms(&[falling]);
    histograms.name = Some("wait_ms".to_owned());
    let pages: Vec<u8> = [named, empty, histograms]
        .iter()
        .flat_map(|family| family.encode_length_delimited_to_vec())
        .collect();
    let silent = check(&pages, &[]);
    assert!(silent.status.success() && silent.stderr.is_empty());
    let output = check(&pages, &["--lint"]);
    assert!(output.status.success(), "{output:?}");
    let warnings = String::from_utf8(output.stderr).unwrap();
    for expected in [
        "warning, 2 times: no help text\n  jobs_total\n  wait_ms\n",
        "warning: only the name of a counter should end in _total: jobs_total\n",
        "warning: names should be in snake_case, not in camelCase: camelCase of jobs_total\n",
        "warning: metadata without samples: a typo in the name, or a family without series: x\n",
        "warning: units should be spelled out in names: \"ms\" in wait_ms\n",
        "can't count less than the bucket before it: wait_ms\n",
    ] {
        assert!(warnings.contains(expected), "{expected}\n{warnings}");
    }
    assert!(!warnings.contains("line "), "{warnings}");
    let all = check(&pages, &["--lint", "--all"]);
    let all = String::from_utf8(all.stderr).unwrap();
    assert_eq!(all.matches("no help text").count(), 2, "{all}");
    // Ours has none but on the help that it lacks.
    let own = registry().scraper().scrape(Format::Protobuf).to_vec();
    let warnings = String::from_utf8(check(&own, &["--lint"]).stderr).unwrap();
    assert_eq!(warnings.lines().count(), 1, "{warnings}");
}

#[test]
fn name_beyond_ascii_is_refused_as_prometheus_2_refuses_it() {
    let mut named = gauges(&[&[label("größe", "1")], &[label("größe", "2")]]);
    named.help = Some("Help.".to_owned());
    let page = named.encode_length_delimited_to_vec();
    assert!(check(&page, &["--as", "3"]).status.success());
    let output = check(&page, &["--as", "2.42"]);
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains("other characters than letters, digits, _ and :: x"),
        "{message}"
    );
}

#[test]
fn text_page_is_not_taken_for_protobuf() {
    for text in ["#\n# HELP a A.\na 1\n", "#\na 1\n", "a\n", "\n\na 1\n"] {
        let output = check(text.as_bytes(), &[]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(!message.contains("byte"), "{text:?}: {message}");
    }
}

#[test]
fn generated_pages_are_recognised() {
    for seed in 0..60 {
        let page = Command::new(env!("CARGO_BIN_EXE_stethoscope"))
            .args(["generate", "--format", "protobuf", "--seed"])
            .arg(seed.to_string())
            .output()
            .expect("the tool runs");
        // A page may have no family.
        let output = match page.stdout.is_empty() {
            true => continue,
            false => check(&page.stdout, &[]),
        };
        assert!(output.status.success(), "{seed}: {output:?}");
    }
}

#[test]
fn binary_page_that_is_not_recognised_has_a_hint() {
    let hint = "if it is protobuf, use --format protobuf";
    for (page, has_hint) in [
        // Cut off, and without a name at its beginning.
        (&b"\x12\x12\x01a"[..], true),
        (b"a b\n", false),
        // UTF-16, of which the error says so.
        (b"\xff\xfea\0 \x001\0\n\0", false),
        (b"{\"\xc3\xbc\n", false),
    ] {
        let output = check(page, &[]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert_eq!(message.contains(hint), has_hint, "{message}");
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
    let forged = [label("a\nb", "1")];
    assert_refused(
        &[gauges(&[&forged, &forged])],
        "the series {a\\nb=\"1\"} is there twice",
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

/// Pages that are generated for parsers in other languages.
mod generated {
    use super::{check, protobuf::MetricFamily, seeds::bytes};
    use prost::Message as _;
    use std::collections::HashMap;
    use stethoscope::exposition::Format;
    use stethoscope::generate::{self, Fault, Unstructured};

    fn decode(mut page: &[u8]) -> Vec<MetricFamily> {
        let mut families = Vec::new();
        while !page.is_empty() {
            families.push(MetricFamily::decode_length_delimited(&mut page).unwrap());
        }
        families
    }

    #[test]
    fn valid_pages_are_read_by_an_independent_decoder_and_accepted() {
        let mut metrics = Vec::new();
        for seed in 0..150 {
            let page = generate::page(&mut Unstructured::new(&bytes(seed)), Format::Protobuf);
            metrics.extend(decode(&page).into_iter().flat_map(|family| family.metric));
            let output = check(&page, &["--format", "protobuf"]);
            assert!(output.status.success(), "seed {seed}: {output:?}");
        }
        let empty = generate::page(&mut Unstructured::new(b""), Format::Protobuf);
        assert_eq!(decode(&empty)[0].metric.len(), 1);
        // They use what the format has.
        assert!(metrics.iter().any(|m| m.timestamp_ms.is_some()));
        assert!(
            metrics
                .iter()
                .any(|m| m.summary.is_some() && m.label.len() > 1)
        );
        let histograms: Vec<_> = metrics
            .iter()
            .filter_map(|m| m.histogram.as_ref())
            .collect();
        assert!(histograms.iter().any(|h| h.schema.is_none()));
        assert!(histograms.iter().any(|h| h.negative_span.len() > 1));
        for schema in -4..=8 {
            assert!(
                histograms.iter().any(|h| h.schema == Some(schema)),
                "{schema}"
            );
        }
    }

    #[test]
    fn faulty_pages_are_refused_and_every_fault_occurs() {
        let mut seen: HashMap<Fault, u32> = HashMap::new();
        for seed in 0..300 {
            let bytes = bytes(seed);
            let (page, fault) =
                generate::faulty_page(&mut Unstructured::new(&bytes), Format::Protobuf);
            let output = check(&page, &["--format", "protobuf"]);
            assert_eq!(output.status.code(), Some(1), "seed {seed}: {fault}");
            *seen.entry(fault).or_default() += 1;
        }
        assert_eq!(seen.len(), 12, "{seen:?}");
        assert!(seen.values().all(|times| *times > 2), "{seen:?}");
    }
}
