//! Lints and their positions, on pages that strict readers accept.

use stethoscope::exposition::Format::{self, OpenMetrics, Text};
use stethoscope::exposition::parser::Options;
use stethoscope::exposition::validate::{Lint, lint, validate};

/// The lints of a page that strict readers accept, each with what stands at its
/// place.
fn lints(page: &str, format: Format) -> Vec<(Lint, &str)> {
    assert_eq!(validate(page, format), Ok(()), "{page}");
    let (warnings, error) = lint(page, format);
    assert_eq!(error, None);
    let (lenient, _) = lint(page, Options::lenient(format));
    assert_eq!(lenient, warnings, "the mode changes nothing here");
    let at = |offset: usize| page[offset..].split(['\n', ' ', '=']).next().unwrap();
    warnings
        .iter()
        .map(|warning| (warning.lint(), at(warning.offset())))
        .collect()
}

/// A family of one sample, in text.
fn family(kind: &str, sample: &str) -> String {
    let name = sample.split(['{', ' ']).next().unwrap();
    format!("# HELP {name} x\n# TYPE {name} {kind}\n{sample}\n")
}

#[test]
fn a_good_page_gets_no_word() {
    let text = "# HELP a_total x\n# TYPE a_total counter\na_total{b=\"c\"} 1 5\n\
                # HELP h_seconds x\n# TYPE h_seconds histogram\n\
                h_seconds_bucket{le=\"0.1\"} 1\nh_seconds_bucket{le=\"1.0\"} 1\n\
                h_seconds_bucket{le=\"1e+06\"} 1\nh_seconds_bucket{le=\"+Inf\"} 1\n\
                h_seconds_sum 1\nh_seconds_count 1\n";
    assert_eq!(lints(text, Text), []);
    let openmetrics = "# TYPE a counter\n# HELP a x\na_total 1 -5\n# EOF\n";
    assert_eq!(lints(openmetrics, OpenMetrics), []);
}

#[test]
fn lines_that_the_server_refuses_or_drops_are_warned_of() {
    let signed = lints("# HELP a x\na 1 -5\n", Text);
    assert_eq!(signed, [(Lint::SignedTimestamp, "-5")]);
    for line in ["# TYPE a  gauge", "# TYPE a gauge ", "# TYPE a \tgauge"] {
        let page = format!("{line}\n# HELP a x\na 1\n");
        let kinds = lints(&page, Text).into_iter().map(|(lint, _)| lint);
        assert!(kinds.eq([Lint::BlanksAroundType]), "{line:?}");
    }
    assert_eq!(lints("  #  TYPE\ta\tgauge\n# HELP a x\na 1\n", Text), []);
    assert_eq!(lints(" # a\0b\n", Text), [(Lint::NulInComment, "\0b")]);
}

#[test]
fn a_bound_should_have_its_one_spelling() {
    let histogram = |bound: &str| {
        format!(
            "# HELP a x\n# TYPE a histogram\na_bucket{{b=\"c\",le=\"{bound}\"}} 1\n\
             a_bucket{{b=\"c\",le=\"+Inf\"}} 1\n"
        )
    };
    for bound in ["1.", "0.10", "1e6", "1000000.0", "+1.0", "01.0"] {
        assert_eq!(
            lints(&histogram(bound), Text),
            [(Lint::NonCanonicalBound, "le")],
            "{bound}"
        );
    }
    for bound in ["1", "1.0"] {
        assert_eq!(lints(&histogram(bound), Text), [], "{bound}");
    }
    let summary = "# HELP a x\n# TYPE a summary\na{quantile=\"1.00\"} 1\n";
    assert_eq!(
        lints(summary, Text),
        [(Lint::NonCanonicalBound, "quantile")]
    );
    let summary = "# TYPE a summary\n# HELP a x\na{quantile=\"1\"} 1\n# EOF\n";
    assert_eq!(
        lints(summary, OpenMetrics),
        [(Lint::NonCanonicalBound, "quantile")]
    );
}

#[test]
fn a_name_should_say_what_its_family_is() {
    for (kind, sample, lint, at) in [
        ("counter", "a 1", Lint::CounterWithoutTotal, "a"),
        ("gauge", "a_total 1", Lint::TotalWithoutCounter, "a_total"),
        (
            "gauge",
            "a_bucket 1",
            Lint::BucketWithoutHistogram,
            "a_bucket",
        ),
        ("gauge", "a_count 1", Lint::SumWithoutHistogram, "a_count"),
        ("gauge", "a_sum 1", Lint::SumWithoutHistogram, "a_sum"),
        ("gauge", "a{le=\"1\"} 1", Lint::BoundWithoutHistogram, "le"),
        (
            "gauge",
            "a{quantile=\"1\"} 1",
            Lint::QuantileWithoutSummary,
            "quantile",
        ),
        ("gauge", "a_gauge 1", Lint::TypeInName, "a_gauge"),
        ("gauge", "a:b 1", Lint::ColonInName, "a:b"),
        ("gauge", "aB 1", Lint::CamelCase, "aB"),
        ("gauge", "a{bC=\"d\"} 1", Lint::CamelCase, "bC"),
        ("gauge", "a_ms 1", Lint::AbbreviatedUnit, "a_ms"),
        (
            "gauge",
            "a_milliseconds 1",
            Lint::ForeignUnit,
            "a_milliseconds",
        ),
        (
            "gauge",
            "a_kilobytes_b 1",
            Lint::ForeignUnit,
            "a_kilobytes_b",
        ),
        ("gauge", "a_minutes 1", Lint::ForeignUnit, "a_minutes"),
    ] {
        let page = family(kind, sample);
        let found = lints(&page, Text);
        assert!(
            found
                .iter()
                .any(|(found, place)| *found == lint && place.starts_with(at)),
            "{page}{found:?}"
        );
    }
    assert_eq!(
        lints("a 1\nb 1\nb{c=\"d\"} 1\n", Text),
        [(Lint::NoHelp, "a"), (Lint::NoHelp, "b")]
    );
    for good in ["megaphones", "a_thousands", "gauge_a", "Total_a"] {
        assert_eq!(
            lints(&family("gauge", &format!("{good} 1")), Text),
            [],
            "{good}"
        );
    }
}

#[test]
fn the_buckets_of_a_metric_should_not_count_less_and_less() {
    let head = "# HELP a x\n# TYPE a histogram\n";
    let falls = "a_bucket{b=\"c\",le=\"1.0\"} 5\na_bucket{b=\"c\",le=\"+Inf\"} 3\n";
    let page = format!("{head}{falls}");
    assert_eq!(lints(&page, Text), [(Lint::FallingBucket, "3")]);
    // Another metric begins again.
    let two = "a_bucket{b=\"c\",le=\"+Inf\"} 5\na_bucket{b=\"d\",le=\"1.0\"} 2\n\
               a_bucket{b=\"d\",le=\"+Inf\"} 2\n";
    assert_eq!(lints(&format!("{head}{two}"), Text), []);
    let nan = "a_bucket{le=\"1.0\"} NaN\na_bucket{le=\"+Inf\"} 3\n";
    assert_eq!(lints(&format!("{head}{nan}"), Text), []);
}

/// Returns the lints of a lenient reading, each with its subject.
fn subjects(page: &str) -> Vec<(Lint, String)> {
    let (warnings, error) = lint(page, Options::lenient(Text));
    assert_eq!(error, None);
    let subject = |warning: &stethoscope::exposition::validate::Warning| {
        (warning.lint(), warning.subject().to_owned())
    };
    warnings.iter().map(subject).collect()
}

#[test]
fn lint_names_the_word_that_it_is_about() {
    for (kind, sample, lint, subject) in [
        ("gauge", "a_ms 1", Lint::AbbreviatedUnit, "\"ms\" in a_ms"),
        (
            "gauge",
            "a_minutes 1",
            Lint::ForeignUnit,
            "\"minutes\" in a_minutes",
        ),
        (
            "gauge",
            "a_gauge 1",
            Lint::TypeInName,
            "\"gauge\" in a_gauge",
        ),
        ("gauge", "a{bC=\"d\"} 1", Lint::CamelCase, "bC of a"),
    ] {
        assert_eq!(
            subjects(&family(kind, sample)),
            [(lint, subject.to_owned())]
        );
    }
    // A minimum, and another metric's type.
    for sample in ["a_min 1", "a_counter 1", "a_summary 1"] {
        assert_eq!(subjects(&family("gauge", sample)), []);
    }
}

#[test]
fn metadata_without_samples_is_reported() {
    let page = "# HELP jobs_totl x\n# TYPE jobs_totl counter\njobs_total 1\n# TYPE b gauge\n";
    let found = subjects(page);
    assert!(
        found.contains(&(Lint::NoSamples, "jobs_totl".to_owned())),
        "{found:?}"
    );
    assert!(
        found.contains(&(Lint::NoSamples, "b".to_owned())),
        "{found:?}"
    );
}

#[test]
fn names_that_differ_in_case_or_separators_are_reported() {
    let page = family("gauge", "a_b 1") + &family("gauge", "aB 1") + &family("gauge", "a_c 1");
    let found = subjects(&page);
    assert!(
        found.contains(&(Lint::SimilarName, "aB".to_owned())),
        "{found:?}"
    );
    assert_eq!(
        found
            .iter()
            .filter(|(lint, _)| *lint == Lint::SimilarName)
            .count(),
        1
    );
    // The same family again is not another one.
    let page = family("gauge", "a 1") + &family("gauge", "b 1") + "a{c=\"d\"} 1\n";
    assert!(
        subjects(&page)
            .iter()
            .all(|(lint, _)| *lint != Lint::SimilarName)
    );
}

#[test]
fn label_values_like_ids_are_reported_once() {
    let page = |value: &dyn Fn(u64) -> String| {
        let lines = (0..20).map(|n| format!("a{{n=\"w{n}\",b=\"{}\"}} 1\n", value(n)));
        "# HELP a x\n# TYPE a gauge\n".to_owned() + &lines.collect::<String>()
    };
    let ids: [&dyn Fn(u64) -> String; 4] = [
        &|n| format!("{:08x}-1b2c-4d5e-8f90-123456789abc", n * 7919),
        &|n| {
            format!(
                "/docker/{:064x}",
                u128::from(n + 1) * 0x1234_5678_9abc_def0_1234_5678
            )
        },
        &|n| (1_700_000_000 + n).to_string(),
        &|n| format!("2026-01-{:02}T10:00:00Z", n + 1),
    ];
    for id in ids {
        let found = subjects(&page(id));
        assert_eq!(
            found,
            [(Lint::UnboundedLabel, "b of a".to_owned())],
            "{}",
            id(3)
        );
    }
    let others: [&dyn Fn(u64) -> String; 4] = [
        &|n| format!("worker-{n}"),
        &|n| format!("10.0.0.{n}:8080"),
        &|n| format!("6.39999999999999{n}e-08"),
        // The same id throughout.
        &|_| "0123456789abcdef0123".to_owned(),
    ];
    for other in others {
        assert_eq!(subjects(&page(other)), [], "{}", other(3));
    }
}

#[test]
fn syntax_that_prometheus_2_refuses_is_reported() {
    use stethoscope::exposition::Format::Text1;
    let found = |page: &str, format| {
        let (warnings, error) = lint(page, Options::lenient(format));
        assert_eq!(error, None, "{page}");
        let about_servers = warnings.iter().filter(|warning| {
            matches!(
                warning.lint(),
                Lint::QuotedName | Lint::TrailingComma | Lint::UnsupportedExemplar
            )
        });
        let place = |offset: usize| page[offset..].chars().take(3).collect::<String>();
        about_servers
            .map(|warning| (warning.lint(), place(warning.offset())))
            .collect::<Vec<_>>()
    };
    let quoted = |place: &str| (Lint::QuotedName, place.to_owned());
    for (page, place) in [
        ("{\"a.b\"} 1\n", "\"a."),
        ("  a{b=\"\\\"\", \"c\" = \"d\"} 1\n", "\"c\""),
        ("#  HELP\t\"a.b\" x\n", "\"a."),
        (" # TYPE \"a.b\" gauge\n", "\"a."),
    ] {
        assert_eq!(found(page, Text1), [quoted(place)], "{page}");
    }
    assert_eq!(
        found("a{b= \"c,\" , } 1\n# HELP a \"b\"\n# \"c\"\n", Text1),
        []
    );
    assert_eq!(
        found("a_b{c=\"}\",} 1 # {d=\"e\",} 1\n# EOF\n", OpenMetrics),
        [
            (Lint::UnsupportedExemplar, "d=\"".to_owned()),
            (Lint::TrailingComma, ",} ".to_owned())
        ]
    );
}

/// Returns the lints of a lenient reading that are among these, each with its line.
fn lenient_lints(page: &str, format: Format, kinds: &[Lint]) -> Vec<(Lint, usize)> {
    let (warnings, error) = lint(page, Options::lenient(format));
    assert_eq!(error, None, "{page}");
    let wanted = warnings
        .iter()
        .filter(|warning| kinds.contains(&warning.lint()));
    wanted
        .map(|warning| (warning.lint(), warning.line()))
        .collect()
}

#[test]
fn duplicate_series_are_reported() {
    let found = |page, format| lenient_lints(page, format, &[Lint::DuplicateSeries]);
    for page in [
        "a{x=\"\"} 1\na 2\n",
        "a 1\na{x=\"\",y = \"\"} 2\n",
        "a{b=\"c\",d=\"e\"} 1\na{ d=\"e\" , b=\"c\" } 2\n",
        "a 1 5\na 1 5\n",
    ] {
        assert_eq!(found(page, Text), [(Lint::DuplicateSeries, 2)], "{page}");
    }
    let openmetrics = "a{x=\"\"} 1\na 2\n# EOF\n";
    assert_eq!(validate(openmetrics, OpenMetrics), Ok(()));
    assert_eq!(found(openmetrics, OpenMetrics).len(), 1);
    for page in [
        "a{x=\"\"} 1\na{x=\"y\"} 2\n",
        "a 1 5\na 1 6\n",
        "a 1 5\na 1\n",
        "# TYPE a summary\na_sum 1\na_count 1\na 1\n",
    ] {
        assert_eq!(found(page, Text), [], "{page}");
    }
}

#[test]
fn incomplete_histograms_are_reported_in_lenient_mode() {
    let kinds = [Lint::NoInfBucket, Lint::CountMismatch];
    let found = |lines: &str| {
        let page = format!("# TYPE a histogram\n{lines}");
        lenient_lints(&page, Text, &kinds)
    };
    assert_eq!(
        found("a_bucket{le=\"1\"} 1\na_count 1\n"),
        [(Lint::NoInfBucket, 2)]
    );
    assert_eq!(
        found("a_sum 1\na_count 1\n# TYPE b gauge\n"),
        [(Lint::NoInfBucket, 2)]
    );
    for lines in [
        "a_bucket{le=\"+Inf\",x=\"\"} 1\na_count 2\n",
        "a_count{x=\"y\"} 2\na_bucket{x=\"y\",le=\"inf\"} 1\n",
    ] {
        assert_eq!(found(lines), [(Lint::CountMismatch, 3)], "{lines}");
    }
    // The metrics may be mixed.
    let mixed = "a_bucket{x=\"1\",le=\"1\"} 1\na_bucket{x=\"2\",le=\"1\"} 1\n\
                 a_bucket{x=\"1\",le=\"+Inf\"} 1\na_bucket{x=\"2\",le=\"+Inf\"} 2\n\
                 a_count{x=\"2\"} 2\na_count{x=\"1\"} 1\n";
    assert_eq!(found(mixed), []);
    let summary = "# TYPE a summary\na_sum 1\na_count 1\n";
    assert_eq!(lenient_lints(summary, Text, &kinds), []);
}

#[test]
fn comments_like_metadata_are_reported() {
    let found = |page: &str| lenient_lints(page, Text, &[Lint::MetadataInComment]);
    for line in [
        "#TYPE a counter",
        "#HELP a A counter.",
        "# type a counter",
        "# Type a Gauge",
    ] {
        assert_eq!(
            found(&format!("{line}\n")),
            [(Lint::MetadataInComment, 1)],
            "{line}"
        );
    }
    for line in [
        "# TYPE a counter",
        "# the type of it",
        "# help is near",
        "# type",
        "#a b gauge",
    ] {
        assert_eq!(found(&format!("{line}\n")), [], "{line}");
    }
}

#[test]
fn timestamps_of_another_unit_are_reported() {
    let kinds = [Lint::MillisecondsTimestamp, Lint::SecondsTimestamp];
    let openmetrics = "a 1 1700000000000\nb 1 1700000000.5\n# EOF\n";
    assert_eq!(
        lenient_lints(openmetrics, OpenMetrics, &kinds),
        [(Lint::MillisecondsTimestamp, 1)]
    );
    let text = "a 1 1700000000000\nb 1 1700000000\nc 1 5\n";
    assert_eq!(
        lenient_lints(text, Text, &kinds),
        [(Lint::SecondsTimestamp, 2)]
    );
}

#[test]
fn long_subject_is_shortened() {
    let name = "a".repeat(1 << 19);
    let page = format!("# TYPE {name} counter\n{name} 1\n");
    let (warnings, _) = lint(&page, Text);
    assert!(!warnings.is_empty());
    for warning in warnings {
        assert_eq!(warning.subject(), name);
        assert!(warning.to_string().len() < 1000, "{:?}", warning.lint());
    }
}
