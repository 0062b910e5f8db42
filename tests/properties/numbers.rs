//! Numbers: whatever is formatted reads back, and nothing else is read than the
//! grammar allows.

use stethoscope::exposition::number::{
    MAX_LEN, format_bound, format_f64, format_go, format_i64, format_u64, parse_f64, parse_millis,
    parse_seconds,
};

/// The first eight bytes as each kind of number, formatted; all of them as a text
/// to be read.
pub fn hold(bytes: &[u8]) {
    if let Some(head) = bytes.first_chunk::<8>() {
        let bits = u64::from_le_bytes(*head);
        float_reads_back(f64::from_bits(bits));
        integers_read_back(bits);
    }
    reads_the_grammar_only(bytes);
}

/// Every form of a float reads back bit for bit, is as short as std's, and fits.
pub fn float_reads_back(value: f64) {
    for formatted in [format_f64(value), format_go(value), format_bound(value)] {
        let text = formatted.as_str();
        let read = parse_f64(text.as_bytes()).unwrap_or_else(|| panic!("{text} does not read"));
        if value.is_nan() {
            assert_eq!(text, "NaN");
            assert!(read.is_nan());
        } else {
            assert_eq!(read.to_bits(), value.to_bits(), "{value:e} became {text}");
        }
        assert!(text.len() <= MAX_LEN, "{text}");
    }
    assert_shape_of(format_f64(value).as_str(), &plain(value, 16));
    assert_shape_of(format_go(value).as_str(), &plain(value, 6));
    let bound = format_bound(value);
    let bound = bound.as_str();
    assert_eq!(
        bound.strip_suffix(".0").unwrap_or(bound),
        format_go(value).as_str()
    );
    assert!(!value.is_finite() || bound.contains(['.', 'e']), "{bound}");
}

/// As short as the oracle's text, and the same but for the last digit: where two
/// shortest texts are equally near, ryu takes the even one and std the higher.
fn assert_shape_of(text: &str, oracle: &str) {
    let mantissa = |text: &str| text.split('e').next().unwrap().len();
    let last = mantissa(oracle) - 1;
    assert!(
        text.len() == oracle.len()
            && text[..last] == oracle[..last]
            && text[last + 1..] == oracle[last + 1..],
        "{text} is not of the shape of {oracle}"
    );
}

/// The same bits as integers: std's text, read back.
pub fn integers_read_back(bits: u64) {
    let signed = bits as i64;
    assert_eq!(format_u64(bits).as_str(), bits.to_string());
    assert_eq!(format_i64(signed).as_str(), signed.to_string());
    assert_eq!(parse_millis(signed.to_string().as_bytes()), Some(signed));
    assert_eq!(
        parse_f64(format_u64(bits).as_bytes()),
        Some(bits as f64),
        "{bits}"
    );
}

/// Asserts that the parser accepts exactly the grammar, with std's value.
pub fn reads_the_grammar_only(text: &[u8]) {
    let expected = is_of_the_grammar(text)
        .then(|| std::str::from_utf8(text).unwrap().parse::<f64>().unwrap())
        .filter(|value| !value.is_infinite() || !text.iter().any(u8::is_ascii_digit));
    let read = parse_f64(text);
    assert_eq!(
        read.map(|value| (
            value.is_nan(),
            value.to_bits() & !(u64::from(value.is_nan()) << 63)
        )),
        expected.map(|value| (
            value.is_nan(),
            value.to_bits() & !(u64::from(value.is_nan()) << 63)
        )),
        "{:?}",
        String::from_utf8_lossy(text)
    );
    assert_eq!(
        parse_seconds(text).is_some(),
        expected.is_some_and(f64::is_finite)
    );
    if parse_millis(text).is_some() {
        assert!(expected.is_some_and(|value| value.fract() == 0.0));
    }
}

/// `[+-]?(digits(.digits?)?|.digits)(e[+-]?digits)? | [+-]?inf(inity)? | nan`,
/// case aside; slow and plain.
fn is_of_the_grammar(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else {
        return false;
    };
    let text = text.to_ascii_lowercase();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(&text);
    if text == "nan" || unsigned == "inf" || unsigned == "infinity" {
        return true;
    }
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match unsigned.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let exponent_holds = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    exponent_holds && digits(whole) && digits(fraction) && whole.len() + fraction.len() > 0
}

/// The canonical text, from std's shortest digits: `d.ddde-7` rewritten.
fn plain(value: f64, exponent_from: i32) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap();
    let exponent: i32 = exponent.parse().unwrap();
    if exponent < -4 || exponent >= exponent_from {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    format!("{value}")
}
