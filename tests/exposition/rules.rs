//! Rules for the lines of a page together: strict readers check them,
//! lenient ones take every page here.

use stethoscope::exposition::Format::{self, OpenMetrics, Text, Text1};
use stethoscope::exposition::parser::ErrorKind::{self, *};
use stethoscope::exposition::parser::Options;
use stethoscope::exposition::validate::validate;

const YES: Option<ErrorKind> = None;

fn verdict(page: &str, options: Options) -> Option<ErrorKind> {
    validate(page, options).err().map(|error| error.kind())
}

/// Validates a page as strict text and as strict OpenMetrics, to which its end
/// is added. Lenient readers take it wherever the grammar does.
fn page(page: &str, text: Option<ErrorKind>, openmetrics: Option<ErrorKind>) {
    let ended = format!("{page}# EOF\n");
    for format in [Text, Text1] {
        assert_eq!(verdict(page, Options::strict(format)), text, "{page}");
        assert_eq!(verdict(page, Options::lenient(format)), YES, "{page}");
    }
    let found = verdict(&ended, Options::strict(OpenMetrics));
    assert_eq!(found, openmetrics, "{page}");
    let found = verdict(&ended, Options::lenient(OpenMetrics));
    assert_eq!(found, YES, "{page}");
}

/// The same verdict in all strict formats.
fn both(text: &str, verdict: Option<ErrorKind>) {
    page(text, verdict, verdict);
}

/// A page of types that text does not have.
fn openmetrics(page: &str, expected: Option<ErrorKind>) {
    let ended = format!("{page}# EOF\n");
    let found = verdict(&ended, Options::strict(OpenMetrics));
    assert_eq!(found, expected, "{page}");
    let found = verdict(&ended, Options::lenient(OpenMetrics));
    assert_eq!(found, YES, "{page}");
}

/// Returns the error's kind and the text at its offset.
fn refused(page: &str, format: Format) -> (ErrorKind, &str) {
    let error = validate(page, format).expect_err("a page to refuse");
    (error.kind(), &page[error.offset()..])
}

#[test]
fn a_family_has_its_metadata_first_and_once() {
    both("# HELP a x\n# TYPE a gauge\na 1\n", YES);
    both("# TYPE a gauge\n# HELP a x\na 1\n", YES);
    both("# HELP a x\n# TYPE b gauge\n", YES);
    both("a 1\n", YES);
    both("# TYPE a gauge\n# TYPE a gauge\n", Some(RepeatedMetadata));
    both("# HELP a x\n# HELP a x\n", Some(RepeatedMetadata));
    both("# HELP a x\na 1\n# TYPE a gauge\n", Some(LateMetadata));
    both("a 1\n# HELP a x\n", Some(LateMetadata));
    openmetrics("# UNIT a_s s\n# UNIT a_s s\n", Some(RepeatedMetadata));
    openmetrics(
        "# TYPE a_s gauge\na_s 1\n# UNIT a_s s\n",
        Some(LateMetadata),
    );
}

#[test]
fn a_familys_lines_stand_together() {
    both("a 1\nb 1\na{x=\"y\"} 1\n", Some(InterleavedFamily));
    both(
        "# TYPE a gauge\n# TYPE b gauge\na 1\n",
        Some(InterleavedFamily),
    );
    both(
        "# TYPE a gauge\na 1\nb 1\n# HELP a x\n",
        Some(InterleavedFamily),
    );
    let summary = "# TYPE a summary\na_count 1\na_sum 1\n";
    both(
        &format!("{summary}b 1\na_sum{{x=\"y\"}} 1\n"),
        Some(InterleavedFamily),
    );
    both(
        &format!("{summary}b 1\na{{quantile=\"0.5\"}} 1\n"),
        Some(InterleavedFamily),
    );
}

#[test]
fn no_two_families_claim_a_name() {
    openmetrics(
        "# TYPE a_created gauge\n# TYPE a counter\n",
        Some(NameClash),
    );
    openmetrics("# TYPE a counter\n# TYPE a_total gauge\n", Some(NameClash));
    openmetrics("# TYPE a histogram\n# TYPE a_b gauge\n", YES);
    // In text a name is taken by the family that has it or by a sample.
    page(
        "# TYPE a_sum gauge\n# TYPE a summary\n",
        YES,
        Some(NameClash),
    );
    both("# TYPE a summary\n# TYPE a_sum gauge\n", Some(NameClash));
    page(
        "# TYPE a_sum gauge\na_sum 1\n# TYPE a summary\na_sum{b=\"c\"} 1\n",
        Some(NameClash),
        Some(NameClash),
    );
}

#[test]
fn families_whose_names_differ_little_are_not_one() {
    let names = (0..1200).map(|number| format!("f{number}"));
    let page: String = names.map(|name| format!("{name} 1\n")).collect();
    both(&page, None);
}

#[test]
fn sample_suffix_follows_its_type() {
    page("# TYPE a counter\na 1\n", YES, Some(UnexpectedSample));
    openmetrics("# TYPE a counter\na_total 1\na_created 2\n", YES);
    both("# TYPE a histogram\na 1\n", Some(UnexpectedSample));
    openmetrics("# TYPE a info\na 1\n", Some(UnexpectedSample));
    openmetrics("# TYPE a info\na_info{b=\"c\"} 1\n", YES);
    // Other suffixes make other families.
    both("# TYPE a gauge\na_total 1\n", YES);
    both("# TYPE a gauge\na_sum 1\na_count 1\n", YES);
}

#[test]
fn a_series_is_on_the_page_once() {
    both("a{b=\"c\",d=\"e\"} 1\na{b=\"e\",d=\"c\"} 1\n", YES);
    both("a 1\na 1\n", Some(DuplicateSeries));
    both(
        "a{b=\"c\",d=\"e\"} 1\na{d=\"e\",b=\"c\"} 2\n",
        Some(DuplicateSeries),
    );
    both(
        "a{b=\"1\"} 1\na{b=\"2\"} 1\na{b=\"1\"} 1\n",
        Some(DuplicateSeries),
    );
    both("a{b=\"c\\n\"} 1\na{b=\"c\\n\"} 1\n", Some(DuplicateSeries));
    // OpenMetrics tells points of a series apart by their timestamps.
    page("a 1 1\na 2 2\n", Some(DuplicateSeries), YES);
    page("a 1 1\na 2 1\n", Some(DuplicateSeries), YES);
    let histogram = "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_count 1\na_sum 1\n";
    both(&format!("{histogram}a_count 1\n"), Some(DuplicateSeries));
    openmetrics(
        "# TYPE a counter\na_total 1\na_total 1\n",
        Some(DuplicateSeries),
    );
    openmetrics(
        "# TYPE a stateset\na{a=\"x\"} 1\na{a=\"y\"} 1\na{a=\"x\"} 1\n",
        Some(DuplicateSeries),
    );
    let (kind, place) = refused("a 1\n  a 2\n", Text);
    assert_eq!((kind, place), (DuplicateSeries, "a 2\n"));
}

#[test]
fn many_series_are_told_apart() {
    let mut page = String::new();
    for family in 0..3 {
        for series in 0..3000 {
            page += &format!("f{family}{{a=\"{series}\",b=\"{}\"}} 1\n", series % 7);
        }
    }
    assert_eq!(verdict(&page, Text.into()), YES);
    page += "f2{b=\"3\",a=\"17\"} 1\n";
    assert_eq!(refused(&page, Text).0, DuplicateSeries);
}

#[test]
fn a_metrics_samples_stand_together_in_openmetrics() {
    let counter = |lines: &str| format!("# TYPE a counter\n{lines}");
    openmetrics(
        &counter("a_total{b=\"1\"} 1\na_created{b=\"1\"} 1\na_total{b=\"2\"} 1\n"),
        YES,
    );
    openmetrics(
        &counter("a_total{b=\"1\"} 1\na_total{b=\"2\"} 1\na_created{b=\"1\"} 1\n"),
        Some(InterleavedMetric),
    );
    let summary = "# TYPE a summary\na_sum{b=\"1\"} 1\na_sum{b=\"2\"} 1\n\
                   a_count{b=\"1\"} 1\na_count{b=\"2\"} 1\n";
    page(summary, YES, Some(InterleavedMetric));
    // Histograms are told apart by all but their bound.
    page(
        "# TYPE a histogram\n\
         a_bucket{b=\"1\",le=\"1\"} 1\na_bucket{b=\"2\",le=\"1\"} 1\n\
         a_bucket{b=\"1\",le=\"+Inf\"} 1\na_bucket{b=\"2\",le=\"+Inf\"} 1\n",
        YES,
        Some(NoInfBucket),
    );
}

#[test]
fn timestamps_of_a_metric_go_forward_or_are_not_there() {
    openmetrics("a 1 1\na 1 1.5\na 1 2\n", YES);
    openmetrics("a 1 2\na 1 1\n", Some(TimestampBackwards));
    openmetrics("a 1\na 1 1\n", Some(MixedTimestamps));
    openmetrics("a 1 1\na 1\n", Some(MixedTimestamps));
    openmetrics("a{b=\"c\"} 1 2\na{b=\"d\"} 1 1\na{b=\"e\"} 1\n", YES);
    let at =
        |time: u32| format!("a_bucket{{le=\"+Inf\"}} 1 {time}\na_count 1 {time}\na_sum 1 {time}\n");
    openmetrics(&format!("# TYPE a histogram\n{}{}", at(1), at(2)), YES);
    openmetrics(
        &format!("# TYPE a histogram\n{}a_count 1 2\na_sum 1 2\n", at(1)),
        Some(NoInfBucket),
    );
}

#[test]
fn openmetrics_counters_are_neither_negative_nor_nan() {
    for value in ["-1", "NaN"] {
        openmetrics(
            &format!("# TYPE a counter\na_total {value}\n"),
            Some(BadCounterValue),
        );
        openmetrics(
            &format!("# TYPE a summary\na_sum {value}\n"),
            Some(BadCounterValue),
        );
        openmetrics(
            &format!("# TYPE a summary\na_count {value}\n"),
            Some(BadCounterValue),
        );
        for kind in ["histogram", "gaugehistogram"] {
            openmetrics(
                &format!("# TYPE a {kind}\na_bucket{{le=\"+Inf\"}} {value}\n"),
                Some(BadCounterValue),
            );
        }
    }
    page("# TYPE a counter\na -1\n", YES, Some(UnexpectedSample));
    openmetrics(
        "# TYPE a gaugehistogram\na_bucket{le=\"+Inf\"} 0\na_gcount 0\na_gsum NaN\n",
        Some(BadCounterValue),
    );
    openmetrics("# TYPE a counter\na_created -1\na_total 1e300\n", YES);
    both("# TYPE a gauge\na NaN\n", YES);
    let page = "# TYPE a counter\na_total{b=\"c\"} -1\n# EOF\n";
    assert_eq!(refused(page, OpenMetrics), (BadCounterValue, "-1\n# EOF\n"));
    // Even text has no negative counts of observations.
    let text = "# TYPE a histogram\na_bucket{le=\"1\"} -1\n";
    assert_eq!(refused(text, Text), (BadCounterValue, "-1\n"));
}

#[test]
fn counts_are_integers_in_openmetrics() {
    let buckets = "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1.5\n";
    page(buckets, YES, Some(CountNotInteger));
    page(
        "# TYPE a summary\na_count 0.5\n",
        YES,
        Some(CountNotInteger),
    );
    openmetrics("# TYPE a summary\na_count +Inf\n", Some(CountNotInteger));
    both("# TYPE a histogram\na_bucket{le=\"+Inf\"} 1.0e2\n", YES);
}

#[test]
fn an_info_is_1_and_a_state_is_0_or_1() {
    openmetrics("# TYPE a info\na_info{b=\"c\"} 2\n", Some(InfoNotOne));
    openmetrics("# TYPE a stateset\na{a=\"x\"} 0\na{a=\"y\"} 1.0\n", YES);
    openmetrics("# TYPE a stateset\na{a=\"x\"} 2\n", Some(StateNotBoolean));
    openmetrics("# TYPE a stateset\na{b=\"x\"} 1\n", Some(NoStateLabel));
    for kind in ["info", "stateset"] {
        openmetrics(
            &format!("# TYPE a_s {kind}\n# UNIT a_s s\n"),
            Some(UnitNotAllowed),
        );
        openmetrics(
            &format!("# UNIT a_s s\n# TYPE a_s {kind}\n"),
            Some(UnitNotAllowed),
        );
        openmetrics(&format!("# TYPE a_s {kind}\n# UNIT a_s \n"), YES);
    }
}

#[test]
fn buckets_have_bounds_that_ascend_to_infinity() {
    let histogram = |lines: &str| format!("# TYPE a histogram\n{lines}");
    both(
        &histogram(
            "a_bucket{le=\"-1\"} 0\na_bucket{le=\"1\"} 1\na_bucket{le=\"1e1\"} 2\na_bucket{le=\"+Inf\"} 3\n",
        ),
        YES,
    );
    for bound in ["", "x", "0x1", "NaN", " 1"] {
        let page = histogram(&format!("a_bucket{{le=\"{bound}\"}} 1\n"));
        both(&page, Some(BadBound));
        assert_eq!(refused(&page, Text).1, format!("le=\"{bound}\"}} 1\n"));
    }
    both(&histogram("a_bucket 1\n"), Some(BadBound));
    page(&histogram("a_bucket{le=\"inf\"} 1\n"), YES, Some(BadBound));
    for (bounds, error) in [
        (["2", "1"], BucketsOutOfOrder),
        (["+Inf", "1"], BucketsOutOfOrder),
        (["1", "1"], DuplicateSeries),
        (["1", "1.0"], DuplicateSeries),
    ] {
        let lines = bounds.map(|bound| format!("a_bucket{{le=\"{bound}\"}} 1\n"));
        both(&histogram(&lines.concat()), Some(error));
    }
    both(&histogram("a_bucket{le=\"1\"} 1\n"), Some(NoInfBucket));
    both(&histogram("a_bucket{le=\"1\"} 1\nb 1\n"), Some(NoInfBucket));
    both(&histogram("a_count 1\na_sum 1\n"), Some(NoInfBucket));
    both(
        &histogram("a_bucket{b=\"1\",le=\"1\"} 1\na_bucket{b=\"2\",le=\"+Inf\"} 1\n"),
        Some(NoInfBucket),
    );
    // A gauge may have a label le and say anything in it.
    both("# TYPE a_bucket gauge\na_bucket{le=\"x\"} 1\n", YES);
}

#[test]
fn histogram_count_equals_its_last_bucket() {
    let histogram = |lines: &str| format!("# TYPE a histogram\na_bucket{{le=\"+Inf\"}} 2\n{lines}");
    both(&histogram("a_count 2\na_sum 1\n"), YES);
    both(&histogram("a_sum 1\na_count 2.0\n"), YES);
    both(&histogram(""), YES);
    both(&histogram("a_sum 1\na_count 3\n"), Some(CountMismatch));
    page(&histogram("a_sum 1\n"), YES, Some(SumWithoutCount));
    page(&histogram("a_count 2\n"), YES, Some(SumWithoutCount));
    page(
        "# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\n",
        YES,
        Some(BucketsNotCumulative),
    );
}

#[test]
fn openmetrics_sum_needs_bounds_without_negatives() {
    let below = "a_bucket{le=\"-1\"} 1\na_bucket{le=\"+Inf\"} 1\n";
    let above = "a_bucket{le=\"1\"} 1\na_bucket{le=\"+Inf\"} 1\n";
    let page_of = |kind: &str, rest: &str| format!("# TYPE a {kind}\n{rest}");
    page(
        &page_of("histogram", &format!("{below}a_count 1\na_sum 1\n")),
        YES,
        Some(BadSum),
    );
    openmetrics(
        &page_of("gaugehistogram", &format!("{below}a_gcount 1\na_gsum -5\n")),
        YES,
    );
    openmetrics(
        &page_of("gaugehistogram", &format!("{above}a_gcount 1\na_gsum -5\n")),
        Some(BadSum),
    );
}

#[test]
fn quantiles_are_numbers_that_ascend() {
    let summary = |lines: &str| format!("# TYPE a summary\n{lines}");
    let of = |quantile: &str| summary(&format!("a{{quantile=\"{quantile}\"}} 1\n"));
    for quantile in ["0", "0.5", "1", "1.0"] {
        both(&of(quantile), YES);
    }
    for quantile in ["-1", "1.01"] {
        page(&of(quantile), YES, Some(BadQuantile));
    }
    for quantile in ["", "x", "NaN"] {
        both(&of(quantile), Some(BadQuantile));
    }
    both(&summary("a 1\n"), Some(BadQuantile));
    both(
        &summary("a{quantile=\"0.9\"} 1\na{quantile=\"0.5\"} 1\n"),
        Some(QuantilesOutOfOrder),
    );
    page(
        &summary("a{quantile=\"0.9\"} -1\n"),
        YES,
        Some(NegativeQuantile),
    );
    both(&summary("a{quantile=\"0.9\"} NaN\n"), YES);
}

#[test]
fn exemplars_are_of_counters_and_buckets() {
    let exemplar = "# {b=\"c\"} 0.5";
    openmetrics(&format!("# TYPE a counter\na_total 1 {exemplar}\n"), YES);
    openmetrics(
        &format!("# TYPE a counter\na_created 1 {exemplar}\n"),
        Some(UnexpectedExemplar),
    );
    for kind in ["histogram", "gaugehistogram"] {
        let bucket = |bound: &str, exemplar: &str| {
            format!(
                "# TYPE a {kind}\na_bucket{{le=\"{bound}\"}} 1 {exemplar}\na_bucket{{le=\"+Inf\"}} 1\n"
            )
        };
        openmetrics(&bucket("0.5", exemplar), YES);
        openmetrics(&bucket("0.4", exemplar), Some(ExemplarOutsideBucket));
        openmetrics(&bucket("0.4", "# {} NaN"), Some(ExemplarOutsideBucket));
    }
    openmetrics(
        "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1 # {} NaN\n",
        YES,
    );
    for (kind, name) in [
        ("gauge", "a"),
        ("info", "a_info"),
        ("unknown", "a"),
        ("summary", "a_sum"),
    ] {
        openmetrics(
            &format!("# TYPE a {kind}\n{name} 1 {exemplar}\n"),
            Some(UnexpectedExemplar),
        );
    }
    let page = format!("# TYPE a gauge\na 1 {exemplar}\n# EOF\n");
    assert_eq!(refused(&page, OpenMetrics).1, "b=\"c\"} 0.5\n# EOF\n");
}

#[test]
fn an_exemplars_labels_have_128_characters_at_most() {
    let with = |characters: usize| {
        let value = "\u{e9}".repeat(characters - 2);
        format!("# TYPE a counter\na_total 1 # {{bc=\"{value}\"}} 1\n")
    };
    openmetrics(&with(128), YES);
    openmetrics(&with(129), Some(ExemplarTooLong));
}

#[test]
fn page_in_pieces_is_validated_like_the_whole() {
    use stethoscope::exposition::parser::{Chunks, EventRef, Line};
    use stethoscope::exposition::validate::Validator;

    let page = "# TYPE a histogram\na_bucket{le=\"1\"} 1\n\na_count 1\n# TYPE b gauge\nb 1\n";
    let whole = validate(page, Text).unwrap_err();
    for size in 1..page.len() {
        let mut validator = Validator::new(Text);
        let mut each = |line: Line<'_>, event: EventRef<'_, '_>| validator.visit(line, &event);
        let mut chunks = Chunks::new(Text);
        let mut pieces = page.as_bytes().chunks(size);
        let error = pieces
            .try_for_each(|piece| chunks.push(piece, &mut each))
            .unwrap_err();
        assert_eq!(error, whole);
        let excerpt = validator.excerpt(&error).expect("an error found late");
        assert_eq!(
            excerpt.to_string(),
            "line 4, column 1: this histogram has no bucket le=\"+Inf\": a",
            "in pieces of {size}"
        );
    }
}

/// A histogram of many series, interleaved in text with all buckets first.
fn many_histograms(odd: &str) -> String {
    let mut page = "# TYPE a histogram\n".to_owned();
    for series in 0..3000 {
        let buckets = [("0.1", 1), ("+Inf", 2)];
        for (bound, count) in buckets {
            if !(odd == "without +Inf" && series == 24 && bound == "+Inf") {
                page += &format!("a_bucket{{x=\"{series}\",le=\"{bound}\"}} {count}\n");
            }
        }
        page += &format!("a_sum{{x=\"{series}\"}} 1\n");
        let count = if odd == "wrong count" && series == 24 {
            7
        } else {
            2
        };
        page += &format!("a_count{{x=\"{series}\"}} {count}\n");
    }
    page
}

#[test]
fn histogram_errors_name_the_line_and_the_series() {
    for (odd, error, begins) in [
        ("wrong count", CountMismatch, "a_count{x=\"24\"} 7\n"),
        ("without +Inf", NoInfBucket, "a_count{x=\"24\"} 2\n"),
    ] {
        let text = many_histograms(odd);
        for page in [text.clone(), text + "# TYPE b gauge\nb 1\n"] {
            for (page, format) in [(page.clone(), Text), (page + "# EOF\n", OpenMetrics)] {
                let found = validate(&page, format).unwrap_err();
                assert_eq!(found.kind(), error);
                assert!(
                    page[found.offset()..].starts_with(begins),
                    "{odd} {format:?}"
                );
                assert!(found.display_in(&page).to_string().contains("x=\"24\""));
            }
        }
    }
}

#[test]
fn histogram_errors_in_a_stream_name_the_line_and_the_series() {
    use stethoscope::exposition::parser::{Chunks, EventRef, Line};
    use stethoscope::exposition::validate::Validator;

    let page = many_histograms("wrong count");
    let mut validator = Validator::new(Text);
    let mut each = |line: Line<'_>, event: EventRef<'_, '_>| validator.visit(line, &event);
    let mut chunks = Chunks::new(Text);
    for piece in page.as_bytes().chunks(1000) {
        chunks.push(piece, &mut each).unwrap();
    }
    chunks.finish(&mut each).unwrap();
    let error = validator.end().unwrap_err();
    assert_eq!(
        validator.excerpt(&error).unwrap().to_string(),
        "line 101, column 1: the count of this histogram differs from its bucket le=\"+Inf\": \
         a{x=\"24\"}"
    );
}

#[test]
fn repeated_histogram_and_summary_are_duplicates() {
    let histogram = "a_bucket{le=\"1\"} 1\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n";
    let page = format!("# TYPE a histogram\n{histogram}{histogram}");
    both(&page, Some(DuplicateSeries));
    let summary = "a{quantile=\"0.5\"} 1\na{quantile=\"0.9\"} 1\na_sum 1\na_count 1\n";
    let page = format!("# TYPE a summary\n{summary}{summary}");
    both(&page, Some(DuplicateSeries));
}

#[test]
fn counter_with_total_in_openmetrics_metadata_is_explained() {
    let page = "# TYPE a_total counter\na_total 1\n# EOF\n";
    let error = validate(page, OpenMetrics).unwrap_err();
    assert_eq!(error.kind(), TotalInFamilyName);
    let page = "# TYPE a counter\na 1\n# EOF\n";
    assert_eq!(
        validate(page, OpenMetrics).unwrap_err().kind(),
        UnexpectedSample
    );
}

#[test]
fn validation_stops_at_its_memory_limit() {
    let options = Options::strict(Text).with_max_memory(1 << 20);
    let mut pages = [String::new(), String::new(), String::new(), String::new()];
    pages[2] = "# TYPE h histogram\n".to_owned();
    for number in 0..100_000 {
        pages[0] += &format!("# TYPE a{number} histogram\n");
        pages[1] += &format!("a{{b=\"{number}\"}} 1\n");
        pages[2] += &format!("h_bucket{{b=\"{number}\",le=\"+Inf\"}} 1\n");
        pages[3] += &format!("a{number} 1\n");
    }
    for page in &pages {
        assert_eq!(validate(page, Text), Ok(()));
        let error = validate(page, options).unwrap_err();
        assert_eq!(error.kind(), MemoryLimit, "{}", &page[..40]);
    }
}
