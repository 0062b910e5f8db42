//! A number on a page is canonical, and reads back as it was.

use crate::properties::numbers;
use proptest::prelude::*;
use stethoscope::exposition::number::{
    format_bound, format_f64, format_go, parse_f64, parse_millis, parse_seconds,
};

/// Edge cases of float formatting and parsing: the limits of each path through the
/// code, and both neighbours.
fn edges() -> Vec<f64> {
    let mut edges = vec![
        0.0,
        0.001,
        0.0005,
        0.1,
        0.3,
        1.0 / 3.0,
        123.456,
        999_999_999_999.999,
        1e12,
        1e15,
        1e16,
        1e17,
        1e22,
        1e23,
        1e-4,
        1e-5,
        1.5e300,
        5e-324,
        f64::MIN_POSITIVE,
        f64::MAX,
        f64::EPSILON,
        9_007_199_254_740_991.0,
        9_007_199_254_740_992.0,
        18_446_744_073_709_551_615.0,
        f64::INFINITY,
        f64::NAN,
    ];
    edges.extend((-330..310).filter_map(|exponent| format!("1e{exponent}").parse::<f64>().ok()));
    edges.extend((0..64).map(|shift| (1u64 << shift) as f64));
    let mut around = Vec::new();
    for edge in edges {
        around.extend([edge, edge.next_up(), edge.next_down()]);
    }
    around.extend(around.clone().iter().map(|value| -value));
    around
}

#[test]
fn every_edge_of_the_floats_reads_back() {
    edges().into_iter().for_each(numbers::float_reads_back);
}

#[test]
fn integers_of_every_length_format_as_in_std() {
    let powers = (0..20).map(|zeros| 10u64.pow(zeros));
    let around = powers.flat_map(|power| [power - 1, power, power + 1, power / 7 * 9]);
    // All pairs of digits in all places that come in pairs.
    let pairs = (0..100).flat_map(|pair| (0..9).map(move |place| pair * 100u64.pow(place)));
    for bits in (0..100_000).chain(around).chain(pairs).chain([u64::MAX]) {
        numbers::integers_read_back(bits);
    }
}

#[test]
fn every_number_of_up_to_three_decimals_reads_back() {
    for thousandths in 0..200_000u32 {
        numbers::float_reads_back(f64::from(thousandths) / 1000.0);
    }
}

#[test]
fn numbers_of_up_to_six_decimals_read_back() {
    for millionths in (0..2_000_000u64).step_by(7) {
        numbers::float_reads_back(millionths as f64 / 1e6);
    }
    // Up to where six decimals are more than 15 digits.
    for exponent in 6..17 {
        for millionths in 10u64.pow(exponent) - 500..10u64.pow(exponent) + 500 {
            numbers::float_reads_back(millionths as f64 / 1e6);
            numbers::float_reads_back(-(millionths as f64) / 1e6);
        }
    }
}

#[test]
fn a_value_has_one_text() {
    for (value, text) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (-1.0, "-1"),
        (0.5, "0.5"),
        (-2.25, "-2.25"),
        (1e6, "1000000"),
        (12_345_678.125, "12345678.125"),
        (9_007_199_254_740_991.0, "9007199254740991"),
        (1e15, "1000000000000000"),
        (1e16, "1e+16"),
        (1.5e300, "1.5e+300"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (-1.25e-7, "-1.25e-07"),
        (0.1 + 0.2, "0.30000000000000004"),
        (f64::MAX, "1.7976931348623157e+308"),
        (5e-324, "5e-324"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "+Inf"),
        (f64::NEG_INFINITY, "-Inf"),
    ] {
        assert_eq!(format_f64(value).as_str(), text);
    }
}

#[test]
fn a_bound_always_shows_that_it_is_a_float() {
    for (bound, text) in [
        (0.0, "0.0"),
        (1.0, "1.0"),
        (0.005, "0.005"),
        (100_000.0, "100000.0"),
        (1e6, "1e+06"),
        (1e-5, "1e-05"),
        (2.5, "2.5"),
        (-4.0, "-4.0"),
        (f64::INFINITY, "+Inf"),
    ] {
        assert_eq!(format_bound(bound).as_str(), text);
    }
    assert_eq!(format_go(17.0).as_str(), "17");
    assert_eq!(format_go(1_520_430_001.0).as_str(), "1.520430001e+09");
}

#[test]
fn readers_take_every_spelling_of_the_standard_and_no_other() {
    for (text, value) in [
        ("+1", 1.0),
        ("01", 1.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.5", -0.5),
        ("1E3", 1000.0),
        ("1e+3", 1000.0),
        ("1.e-1", 0.1),
        ("00000000000000000000000000000001", 1.0),
        ("0.00000000000000000000000000001", 1e-29),
        ("1e-400", 0.0),
        ("inf", f64::INFINITY),
        ("+Inf", f64::INFINITY),
        ("-INFINITY", f64::NEG_INFINITY),
    ] {
        assert_eq!(parse_f64(text.as_bytes()), Some(value), "{text}");
    }
    assert!(parse_f64(b"nAn").is_some_and(f64::is_nan));
    for text in [
        "", "+", "-", ".", "e5", "1e", "1e+", "--1", "+-1", "+NaN", "-NaN", "1e400", "-1e999",
        "0x10", "0x1p-2", "1_000", " 1", "1 ", "1,5", "infin", "in", "nano", "1.2.3", "1f", "٣",
    ] {
        assert_eq!(parse_f64(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn a_timestamp_is_milliseconds_in_text_and_finite_seconds_in_openmetrics() {
    assert_eq!(parse_millis(b"1520879607789"), Some(1_520_879_607_789));
    assert_eq!(parse_millis(b"-1"), Some(-1));
    assert_eq!(parse_millis(b"+1"), Some(1));
    for text in ["", "-", "1.5", "1e3", "9223372036854775808", "NaN"] {
        assert_eq!(parse_millis(text.as_bytes()), None, "{text}");
    }
    assert_eq!(parse_seconds(b"1520879607.789"), Some(1_520_879_607.789));
    assert_eq!(parse_seconds(b"-1e-3"), Some(-0.001));
    for text in ["", "NaN", "Inf", "-inf", "1e400"] {
        assert_eq!(parse_seconds(text.as_bytes()), None, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn any_bits_read_back(bits: u64) {
        numbers::float_reads_back(f64::from_bits(bits));
        numbers::integers_read_back(bits);
    }

    #[test]
    fn any_decimal_reads_back(digits in 0..10_000_000_000_000_000u64, scale in 0..20i32, short in 0..16u32) {
        let digits = digits / 10u64.pow(short);
        numbers::float_reads_back(digits as f64 / 10f64.powi(scale));
        numbers::integers_read_back(digits);
    }

    #[test]
    fn any_text_is_read_by_the_grammar(text in "[-+]{0,2}[0-9]{0,22}\\.?[0-9]{0,22}([eE][-+]?[0-9]{0,4})?") {
        numbers::reads_the_grammar_only(text.as_bytes());
    }

    #[test]
    fn any_word_is_read_by_the_grammar(text in "[-+.0-9eExX_nNaAiIfFtTyY ]{0,12}") {
        numbers::reads_the_grammar_only(text.as_bytes());
    }
}
