//! OpenMetrics 2.0: the grammar of composite values, and what the standard says beyond
//! it. Each page that is refused is refused at a byte, for a reason.

use stethoscope::MetricType;
use stethoscope::exposition::Format::OpenMetrics2;
use stethoscope::exposition::parser::ErrorKind::{self, *};
use stethoscope::exposition::parser::{Event, Options, Sample, parse};
use stethoscope::exposition::rewrite::rewrite;
use stethoscope::exposition::validate::validate;

/// The verdict on a page without its end, and the text from the error on.
fn verdict(page: &str) -> Option<(ErrorKind, String)> {
    let page = format!("{page}# EOF\n");
    let error = validate(&page, OpenMetrics2).err()?;
    let rest = page[error.offset()..].lines().next().unwrap_or_default();
    Some((error.kind(), rest.to_owned()))
}

#[track_caller]
fn accepted(page: &str) {
    assert_eq!(verdict(page), None, "{page}");
}

#[track_caller]
fn refused(page: &str, kind: ErrorKind, at: &str) {
    assert_eq!(verdict(page), Some((kind, at.to_owned())), "{page}");
}

/// Refused because of a value in a family of this type, at the value.
#[track_caller]
fn refused_value(metric_type: &str, value: &str, kind: ErrorKind) {
    let page = format!("# TYPE a {metric_type}\na {value}\n");
    assert_eq!(verdict(&page), Some((kind, value.to_owned())), "{page}");
}

#[track_caller]
fn accepted_value(metric_type: &str, value: &str) {
    accepted(&format!("# TYPE a {metric_type}\na {value}\n"));
}

/// Calls `visit` with the first sample of a page.
fn with_sample(page: &str, visit: impl FnOnce(&Sample<'_>)) {
    let page = format!("{page}\n# EOF\n");
    match parse(&page, OpenMetrics2).next() {
        Some(Ok(Event::Sample(sample))) => visit(&sample),
        other => panic!("{page}: {other:?}"),
    }
}

const NATIVE: &str = "schema:0,zero_threshold:0.001,zero_count:1";

#[test]
fn page_of_every_type_is_accepted() {
    accepted(
        "# TYPE jobs_total counter\n# UNIT jobs_total jobs\n# HELP jobs_total Jobs \\\"done\\\".\n\
         jobs_total{queue=\"a\"} 3 1700000000.5 st@1600000000 # {id=\"1\"} 1 1700000000.1\n\
         jobs_total{queue=\"b\"} 4.5e3\n\
         # TYPE queued gauge\nqueued -3\n# TYPE empty gauge\n\
         # TYPE build_info info\nbuild_info{version=\"1\"} 1\n\
         # TYPE switch stateset\nswitch{switch=\"on\"} 0\nswitch{switch=\"off\"} 1\n\
         # TYPE wait histogram\n\
         wait{q=\"a\"} {count:3,sum:4.5,bucket:[-Inf:0,0.5:1,1:2,+Inf:3]} st@1600000000.25\n\
         # TYPE now gaugehistogram\nnow {gcount:2,gsum:-1.5,bucket:[0.0:1,+Inf:2]}\n\
         # TYPE size summary\nsize {count:4,sum:12,quantile:[0.5:2.5,0.9:NaN]}\n\
         # TYPE other unknown\nother {count:0,sum:0,quantile:[]}\nnothing_said 1\n\
         # TYPE \"a.b\" counter\n{\"a.b\",\"x.y\"=\"z\",w=\"\"} 1\n",
    );
    accepted("");
}

#[test]
fn names_are_those_of_the_families() {
    // Another family, of unknown type.
    accepted("# TYPE a counter\na_total 1\n");
    accepted("# TYPE a counter\na 1\n# TYPE a_total counter\na_total 1\n");
    accepted("# TYPE a histogram\na {count:0,sum:0,bucket:[+Inf:0]}\na_count 3\n");
    refused("# TYPE a info\n", InfoWithoutSuffix, "# TYPE a info");
    refused("a 1\nb 1\na 2\n", InterleavedFamily, "a 2");
    refused("a 1\n# TYPE a gauge\n", LateMetadata, "# TYPE a gauge");
    refused(
        "# TYPE a gauge\n# TYPE a gauge\n",
        RepeatedMetadata,
        "# TYPE a gauge",
    );
    // A recommendation only.
    accepted("# TYPE a gauge\n# UNIT a seconds\na 1\n# TYPE b gauge\n# UNIT b \n");
    refused(
        "# TYPE a_info info\n# UNIT a_info x\n",
        UnitNotAllowed,
        "# UNIT a_info x",
    );
    refused(
        "# TYPE a_s stateset\n# UNIT a_s s\n",
        UnitNotAllowed,
        "# UNIT a_s s",
    );
    refused("# TYPE a untyped\n", BadType, "untyped");
    refused("# a comment\n", Comment, "# a comment");
    refused("\"a.b\" 1\n", ExpectedName, "\"a.b\" 1");
    refused("{x=\"y\",\"a.b\"} 1\n", QuotedName, "\"a.b\"} 1");
}

#[test]
fn composite_value_follows_the_grammar() {
    for (value, kind, at) in [
        ("{}", MissingCount, "}"),
        ("{sum:1,count:1}", MissingCount, "sum:1,count:1}"),
        ("{ count:1}", UnexpectedBlank, " count:1}"),
        ("{count:}", BadValue, "}"),
        ("{count:1}", MissingSum, "}"),
        (
            "{count:1,gsum:1,bucket:[+Inf:1]}",
            MissingSum,
            ",gsum:1,bucket:[+Inf:1]}",
        ),
        (
            "{gcount:1,sum:1,bucket:[+Inf:1]}",
            MissingSum,
            ",sum:1,bucket:[+Inf:1]}",
        ),
        (
            "{count:1, sum:1,bucket:[+Inf:1]}",
            MissingSum,
            ", sum:1,bucket:[+Inf:1]}",
        ),
        ("{count:1,sum:x}", BadValue, "x}"),
        ("{count:1,sum:1}", MissingBuckets, "}"),
        (
            "{gcount:1,gsum:1,quantile:[]}",
            MissingBuckets,
            ",quantile:[]}",
        ),
        ("{count:1,sum:1,bucket:[]}", BadPair, "]}"),
        ("{count:1,sum:1,bucket:[1:1]}", NoInfBucket, "]}"),
        (
            "{count:1,sum:1,bucket:[+Inf:1,2:1]}",
            UnclosedComposite,
            ",2:1]}",
        ),
        (
            "{count:1,sum:1,bucket:[1:1,-Inf:1,+Inf:1]}",
            BadPair,
            "-Inf:1,+Inf:1]}",
        ),
        ("{count:1,sum:1,bucket:[Inf:1]}", BadPair, "Inf:1]}"),
        ("{count:1,sum:1,bucket:[+inf:1]}", BadPair, "+inf:1]}"),
        ("{count:1,sum:1,bucket:[1,+Inf:1]}", BadPair, ",+Inf:1]}"),
        (
            "{count:1,sum:1,bucket:[1:1 ,+Inf:1]}",
            UnexpectedBlank,
            " ,+Inf:1]}",
        ),
        ("{count:1,sum:1,bucket:[+Inf:1]", UnclosedComposite, ""),
        ("{count:1,sum:1,bucket:[+Inf:1],}", UnclosedComposite, ",}"),
        ("{count:1,sum:1,bucket:[+Inf:1]}x", BadValue, "x"),
        ("{count:1,sum:1,quantile:[0.5]}", BadPair, "]}"),
        ("{count:1,sum:1,quantile:[NaN:1]}", BadPair, "NaN:1]}"),
        ("{count:1,sum:1,quantile:[0.5:1,]}", BadPair, "]}"),
        ("{count:1,sum:1,schema:0}", BadNativeField, "}"),
        (
            "{count:1,sum:1,schema:0.5,zero_threshold:0,zero_count:1}",
            BadNativeField,
            ".5,zero_threshold:0,zero_count:1}",
        ),
        (
            "{count:1,sum:1,schema:x,zero_threshold:0,zero_count:1}",
            BadNativeField,
            "x,zero_threshold:0,zero_count:1}",
        ),
        (
            "{count:1,sum:1,schema:0,zero_threshold:NaN,zero_count:1}",
            BadPair,
            "NaN,zero_count:1}",
        ),
        (
            "{count:1,sum:1,schema:0,zero_count:1,zero_threshold:0}",
            BadNativeField,
            ",zero_count:1,zero_threshold:0}",
        ),
        (
            "{count:1,sum:1,schema:0,zero_threshold:0,zero_count:1,positive_buckets:[1]}",
            BadNativeField,
            ",positive_buckets:[1]}",
        ),
        (
            "{count:1,sum:1,schema:0,zero_threshold:0,zero_count:1,positive_spans:[0:1]}",
            BadNativeField,
            "}",
        ),
        (
            "{count:1,sum:1,schema:0,zero_threshold:0,zero_count:1,positive_spans:[0:1],positive_buckets:[0],negative_spans:[],negative_buckets:[]}",
            BadNativeField,
            ",negative_spans:[],negative_buckets:[]}",
        ),
        (
            "{count:1,sum:1,schema:0,zero_threshold:0,zero_count:1,positive_spans:[0:0],positive_buckets:[]}",
            BadSpan,
            "0:0],positive_buckets:[]}",
        ),
        (
            "{count:1,sum:1,schema:0,zero_threshold:0,zero_count:1,positive_spans:[0:1,-1:1],positive_buckets:[0,0]}",
            BadSpan,
            "-1:1],positive_buckets:[0,0]}",
        ),
        (
            "{count:1,sum:1,schema:0,zero_threshold:0,zero_count:1,positive_spans:[9999999999:1],positive_buckets:[0]}",
            BadSpan,
            "9999999999:1],positive_buckets:[0]}",
        ),
        (
            "{count:1,sum:1,bucket:[+Inf:1],schema:0,zero_threshold:0,zero_count:1}",
            UnclosedComposite,
            ",schema:0,zero_threshold:0,zero_count:1}",
        ),
    ] {
        refused(&format!("a {value}\n"), kind, at);
    }
    // The other formats have none.
    use stethoscope::exposition::Format::{OpenMetrics, Text1};
    for format in [OpenMetrics, Text1] {
        let page = "a {count:1,sum:1,quantile:[]}\n# EOF\n";
        let error = validate(page, format).unwrap_err();
        let shown = error.display_in(page).to_string();
        assert!(shown.contains("OpenMetrics 2.0"), "{shown}");
    }
    let page = "a 1 st@5\n# EOF\n";
    let shown = validate(page, OpenMetrics).unwrap_err().display_in(page);
    assert!(shown.to_string().contains("OpenMetrics 2.0"), "{shown}");
}

#[test]
fn numbers_of_composite_values_may_be_any_numbers() {
    accepted_value(
        "histogram",
        "{count:+2.0e0,sum:-inF,bucket:[-1e300:0.5,.5:1,07:1.5,+Inf:2]}",
    );
    accepted_value("histogram", "{count:1,sum:NaN,bucket:[1:0,+Inf:1]}");
    accepted_value(
        "gaugehistogram",
        "{gcount:-2,gsum:Infinity,bucket:[1:-3,+Inf:-2]}",
    );
    accepted_value(
        "gaugehistogram",
        &format!("{{gcount:0.25,gsum:1,{NATIVE},positive_spans:[+1:1],positive_buckets:[-0.75]}}"),
    );
}

#[test]
fn type_decides_between_numbers_and_composite_values() {
    const HISTOGRAM: &str = "{count:1,sum:1,bucket:[+Inf:1]}";
    const GAUGE: &str = "{gcount:1,gsum:1,bucket:[+Inf:1]}";
    const SUMMARY: &str = "{count:1,sum:1,quantile:[]}";
    for metric_type in ["counter", "gauge", "histogram", "gaugehistogram", "summary"] {
        for (value, own) in [
            (HISTOGRAM, "histogram"),
            (GAUGE, "gaugehistogram"),
            (SUMMARY, "summary"),
        ] {
            match metric_type == own {
                true => accepted_value(metric_type, value),
                false => refused_value(metric_type, value, UnexpectedComposite),
            }
        }
        match metric_type {
            "counter" | "gauge" => accepted_value(metric_type, "1"),
            _ => refused_value(metric_type, "1", ExpectedComposite),
        }
    }
    for value in [HISTOGRAM, GAUGE, SUMMARY, "1"] {
        accepted_value("unknown", value);
    }
}

#[test]
fn values_follow_the_rules_of_their_type() {
    for value in ["-1", "NaN"] {
        refused_value("counter", value, BadCounterValue);
    }
    accepted_value("counter", "+Inf");
    refused("# TYPE a_info info\na_info 2\n", InfoNotOne, "2");
    refused(
        "# TYPE a stateset\na{a=\"x\"} 0.5\n",
        StateNotBoolean,
        "0.5",
    );
    refused(
        "# TYPE a stateset\na{b=\"x\"} 1\n",
        NoStateLabel,
        "a{b=\"x\"} 1",
    );
    for (value, kind) in [
        ("{count:-1,sum:1,bucket:[+Inf:-1]}", BadCounterValue),
        ("{count:1,sum:1,bucket:[1:-1,+Inf:1]}", BadCounterValue),
        ("{count:1,sum:1,bucket:[+Inf:2]}", CountMismatch),
        (
            "{count:3,sum:1,bucket:[1:3,2:2,+Inf:3]}",
            BucketsNotCumulative,
        ),
        (
            "{count:3,sum:1,bucket:[1:1,1.0:2,+Inf:3]}",
            BucketsOutOfOrder,
        ),
        ("{count:3,sum:1,bucket:[2:1,1:2,+Inf:3]}", BucketsOutOfOrder),
    ] {
        refused_value("histogram", value, kind);
        refused_value("unknown", value, kind);
    }
    for (value, kind) in [
        ("{count:-1,sum:1,quantile:[]}", BadCounterValue),
        ("{count:NaN,sum:1,quantile:[]}", BadCounterValue),
        ("{count:1.5,sum:1,quantile:[]}", CountNotInteger),
        ("{count:+Inf,sum:1,quantile:[]}", CountNotInteger),
        ("{count:1,sum:-1,quantile:[]}", BadCounterValue),
        ("{count:1,sum:NaN,quantile:[]}", BadCounterValue),
        ("{count:1,sum:1,quantile:[1.5:1]}", BadQuantile),
        ("{count:1,sum:1,quantile:[-0.5:1]}", BadQuantile),
        (
            "{count:1,sum:1,quantile:[0.5:1,0.5:1]}",
            QuantilesOutOfOrder,
        ),
        ("{count:1,sum:1,quantile:[0.5:-1]}", NegativeQuantile),
    ] {
        refused_value("summary", value, kind);
    }
    for (family, value) in [
        ("histogram", "{le=\"1\"} {count:1,sum:1,bucket:[+Inf:1]}"),
        ("summary", "{quantile=\"1\"} {count:1,sum:1,quantile:[]}"),
    ] {
        let page = format!("# TYPE a {family}\na{value}\n");
        refused(&page, InnerLabel, &format!("a{value}"));
    }
    // Native buckets alone generate no such label.
    accepted(&format!(
        "# TYPE a histogram\na{{le=\"1\"}} {{count:1,sum:0,{NATIVE}}}\n"
    ));
}

#[test]
fn native_buckets_follow_the_standard() {
    let value = |count: &str, rest: &str| format!("{{count:{count},sum:1,{NATIVE}{rest}}}");
    accepted_value("histogram", &value("1", ""));
    let both = ",negative_spans:[-3:1],negative_buckets:[2],positive_spans:[0:2,4:1],\
                positive_buckets:[1,0,3]";
    accepted_value("histogram", &value("7", both));
    accepted_value(
        "histogram",
        &value("7", &format!("{both},bucket:[0.5:3,+Inf:7]")),
    );
    refused_value("histogram", &value("8", both), NativeCountMismatch);
    let classic = format!("{both},bucket:[0.5:3,+Inf:8]");
    refused_value("histogram", &value("7", &classic), CountMismatch);
    // Fractions are rounded when they are added.
    let thirds = ",positive_spans:[0:3],positive_buckets:[0.1,0.2,0.3]";
    accepted_value("histogram", &value("1.6", thirds));
    // Observations of NaN are in no bucket.
    let nan = |count: &str| format!("{{count:{count},sum:NaN,{NATIVE}}}");
    accepted_value("histogram", &nan("3"));
    refused_value("histogram", &nan("0"), NativeCountMismatch);
    for (rest, kind) in [
        (",positive_spans:[0:2],positive_buckets:[1]", SpanMismatch),
        (",positive_spans:[0:1],positive_buckets:[1,1]", SpanMismatch),
        (",positive_spans:[],positive_buckets:[1]", SpanMismatch),
        (
            ",negative_spans:[0:1],negative_buckets:[-1]",
            BadCounterValue,
        ),
        // In schema 0 the bucket 1024 ends at the greatest number, and 1025 at infinity.
        (
            ",positive_spans:[1025:2],positive_buckets:[0,0]",
            BucketBeyondInfinity,
        ),
    ] {
        refused_value("histogram", &value("1", rest), kind);
    }
    accepted_value(
        "histogram",
        &value("2", ",positive_spans:[1025:1],positive_buckets:[1]"),
    );
    for (schema, kind) in [("9", BadSchema), ("-5", BadSchema), ("-53", BadSchema)] {
        let value = value("1", "").replace("schema:0", &format!("schema:{schema}"));
        refused_value("histogram", &value, kind);
    }
    for (schema, last) in [(8, 262_145), (1, 2049), (-1, 513), (-4, 65)] {
        let value = |index: i32| {
            let rest = format!(",negative_spans:[{index}:1],negative_buckets:[1]");
            value("2", &rest).replace("schema:0", &format!("schema:{schema}"))
        };
        accepted_value("histogram", &value(last));
        refused_value("histogram", &value(last + 1), BucketBeyondInfinity);
    }
    let negative = value("1", "").replace("zero_threshold:", "zero_threshold:-");
    refused_value("histogram", &negative, BadZeroThreshold);
}

#[test]
fn start_time_stands_between_timestamp_and_exemplars() {
    accepted_value("counter", "1 st@-5.5");
    accepted_value("counter", "1 5 st@4");
    accepted_value("counter", "1 st@4 # {} 1 5");
    for (line, kind, at) in [
        ("1 st@", BadStartTime, ""),
        ("1 st@NaN", BadStartTime, "NaN"),
        ("1 st@x", BadStartTime, "x"),
        ("1 ST@5", BadTimestamp, "ST@5"),
        ("1 st 5", BadTimestamp, "st 5"),
        ("1 st@4 5", ExpectedEnd, "5"),
        ("1 # {} 1 5 st@4", ExpectedEnd, "st@4"),
        ("1 st@4 st@4", ExpectedEnd, "st@4"),
        ("1  st@4", UnexpectedBlank, " st@4"),
        ("1 st@4 ", ExpectedEnd, ""),
    ] {
        refused(&format!("# TYPE a counter\na {line}\n"), kind, at);
    }
    for (metric_type, rest) in [
        ("gauge", "a 1 st@5"),
        ("info", "a_info 1 st@5"),
        ("stateset", "a{a=\"x\"} 1 st@5"),
        ("gaugehistogram", "a {gcount:0,gsum:0,bucket:[+Inf:0]} st@5"),
    ] {
        let name = if metric_type == "info" { "a_info" } else { "a" };
        let page = format!("# TYPE {name} {metric_type}\n{rest}\n");
        refused(&page, UnexpectedStartTime, "5");
    }
}

#[test]
fn exemplars_are_any_number_and_have_times() {
    let long = "x".repeat(300);
    for metric_type in ["counter", "unknown"] {
        accepted_value(
            metric_type,
            &format!("1 # {{a=\"{long}\"}} 1 5 # {{}} 2 5.5"),
        );
    }
    let both = "# {a=\"# {b\"} 1 5 # {c=\"d\"} 2 6";
    accepted_value(
        "histogram",
        &format!("{{count:1,sum:1,bucket:[+Inf:1]}} {both}"),
    );
    accepted_value(
        "gaugehistogram",
        &format!("{{gcount:1,gsum:1,bucket:[+Inf:1]}} {both}"),
    );
    accepted_value("summary", &format!("{{count:1,sum:1,quantile:[]}} {both}"));
    refused(
        "# TYPE a gauge\na 1 # {} 1 5\n",
        UnexpectedExemplar,
        "} 1 5",
    );
    for (line, kind, at) in [
        ("1 # {} 1", ExemplarWithoutTime, ""),
        ("1 # {} 1 # {} 1 5", ExemplarWithoutTime, " # {} 1 5"),
        ("1 # {} 1 5 # {} 1", ExemplarWithoutTime, ""),
        ("1 # {} 1 NaN", BadTimestamp, "NaN"),
        ("1 # {} 1 5 # 1", ExemplarWithoutBraces, "1"),
        ("1 # {} 1 5 x", ExpectedEnd, "x"),
        (
            "1 # {} 1 5 # {a=\"1\",a=\"2\"} 1 5",
            DuplicateLabel,
            "a=\"2\"} 1 5",
        ),
    ] {
        refused(&format!("# TYPE a counter\na {line}\n"), kind, at);
    }
}

#[test]
fn samples_of_a_metric_stand_together_in_order() {
    accepted("a 1 1\na 2 2\na{b=\"c\"} 1 1\n");
    refused("a 1\na 2\n", DuplicateSeries, "a 2");
    refused("a 1\na{b=\"c\"} 1\na 2\n", DuplicateSeries, "a 2");
    refused("a 1 1\na{b=\"c\"} 1 1\na 2 2\n", DuplicateSeries, "a 2 2");
    refused("a 1 2\na 1 1\n", TimestampBackwards, "a 1 1");
    refused("a 1 2\na 1\n", MixedTimestamps, "a 1");
    let histogram = "a {count:0,sum:0,bucket:[+Inf:0]}";
    let page = format!("# TYPE a histogram\n{histogram}\n{histogram}\n");
    refused(&page, DuplicateSeries, histogram);
    // A metric for each state, and the states of a set together.
    accepted(
        "# TYPE a stateset\na{x=\"1\",a=\"on\"} 1 5\na{x=\"1\",a=\"on\"} 0 6\n\
         a{x=\"1\",a=\"off\"} 0 5\na{x=\"2\",a=\"on\"} 0 5\n",
    );
    refused(
        "# TYPE a stateset\na{x=\"1\",a=\"on\"} 1\na{x=\"2\",a=\"on\"} 1\na{x=\"1\",a=\"off\"} 1\n",
        InterleavedMetric,
        "a{x=\"1\",a=\"off\"} 1",
    );
    refused(
        "# TYPE a stateset\na{a=\"on\"} 1\na{a=\"on\"} 1\n",
        DuplicateSeries,
        "a{a=\"on\"} 1",
    );
}

#[test]
fn sample_has_all_parts() {
    let line = "a{b=\"c\"} {count:18446744073709551615,sum:1.5,schema:-1,zero_threshold:1e-4,\
                zero_count:2,negative_spans:[3:1],negative_buckets:[4],\
                positive_spans:[-2:2,0:1,5:1],positive_buckets:[1,2,3,4],\
                bucket:[-Inf:0,0.5:6,+Inf:7]} 9.5 st@4.25 # {x=\"# {\"} 1 2 # {} 3 4e0";
    with_sample(line, |sample| {
        assert_eq!(
            (&*sample.name(), sample.label("b").as_deref()),
            ("a", Some("c"))
        );
        assert!(sample.value().is_nan());
        assert!(sample.value_text().starts_with("{count:"));
        assert_eq!(sample.timestamp().unwrap().seconds(), 9.5);
        assert_eq!(sample.start_time(), Some(4.25));
        let value = sample.composite().unwrap();
        assert_eq!(value.metric_type(), MetricType::Histogram);
        assert_eq!(value.count_text(), "18446744073709551615");
        assert_eq!((value.count(), value.sum()), (2f64.powi(64), 1.5));
        assert_eq!(value.quantiles().count(), 0);
        let infinity = f64::INFINITY;
        assert!(
            value
                .classic_buckets()
                .eq([(-infinity, 0.0), (0.5, 6.0), (infinity, 7.0)])
        );
        let native = value.native().unwrap();
        assert_eq!(
            (
                native.schema(),
                native.zero_threshold(),
                native.zero_count()
            ),
            (-1, 1e-4, 2.0)
        );
        assert!(native.negative().eq([(3, 4.0)]));
        assert!(
            native
                .positive()
                .eq([(-2, 1.0), (-1, 2.0), (0, 3.0), (6, 4.0)])
        );
        let exemplars: Vec<_> = sample.exemplars().collect();
        let [first, second] = &exemplars[..] else {
            panic!("{exemplars:?}");
        };
        assert_eq!((first.value(), first.timestamp()), (1.0, Some(2.0)));
        assert_eq!(first.labels().next().unwrap().value, "# {");
        assert_eq!((second.value(), second.timestamp()), (3.0, Some(4.0)));
        assert_eq!(sample.exemplar().as_ref(), Some(first));
        assert_eq!(sample, &sample.clone());
    });
    with_sample("a {count:0,sum:0,quantile:[0.5:1,1.0:NaN]}", |sample| {
        let value = sample.composite().unwrap();
        assert_eq!(value.metric_type(), MetricType::Summary);
        let quantiles: Vec<_> = value.quantiles().collect();
        assert_eq!(quantiles[0], (0.5, 1.0));
        assert_eq!((quantiles[1].0, quantiles[1].1.is_nan()), (1.0, true));
        assert!(value.native().is_none());
        assert_eq!((sample.start_time(), sample.exemplars().count()), (None, 0));
    });
    with_sample("a 1", |sample| assert!(sample.composite().is_none()));
}

#[test]
fn rewritten_page_has_one_spelling() {
    let page = "{\"a\",b=\"c\"} {gcount:+2.0,gsum:0.50,schema:+0,zero_threshold:1e-3,zero_count:0.0,\
                positive_spans:[+01:2,00:01],positive_buckets:[1.0,00,1e0],bucket:[1:0,2.0:1,+Inf:2]} \
                5.0 # {\"x\"=\"y\"} 1.0 2.50 # {} 3 4\nb 1 1.0 st@2.0\n# EOF";
    let expected = "a{b=\"c\"} {gcount:2,gsum:0.5,schema:0,zero_threshold:0.001,zero_count:0,\
                    positive_spans:[1:2,0:1],positive_buckets:[1,0,1],bucket:[1.0:0,2.0:1,+Inf:2]} \
                    5 # {x=\"y\"} 1 2.5 # {} 3 4\nb 1 1 st@2\n# EOF\n";
    let rewritten = rewrite(page, OpenMetrics2).unwrap();
    assert_eq!(String::from_utf8_lossy(&rewritten), expected);
    assert_eq!(rewrite(&rewritten, OpenMetrics2).unwrap(), rewritten);
    let events = |page| parse(page, OpenMetrics2).map(|event| event.unwrap());
    assert!(events(page.as_bytes()).eq(events(&rewritten)));
    let lenient = Options::lenient(OpenMetrics2);
    assert_eq!(validate(page, lenient), Ok(()));
}
