//! Text to numbers.

/// Reads a value: `[+-]digits[.digits][e[+-]digits]` with at least one digit
/// before the exponent, `NaN`, or `Inf` and `Infinity` with or without a sign;
/// words in any case. Nothing may stand around it.
///
/// Returns `None` for anything else, among it an overflow to infinity (`1e400`),
/// a signed NaN, hexadecimal digits and `1_000`. An underflow gives zero.
///
/// ```
/// use stethoscope::exposition::number::parse_f64;
///
/// assert_eq!(parse_f64(b"1e-05"), Some(0.00001));
/// assert_eq!(parse_f64(b"+inf"), Some(f64::INFINITY));
/// assert_eq!(parse_f64(b"0x10"), None);
/// ```
#[inline]
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let (value, len) = parse_prefix(text)?;
    (len == text.len()).then_some(value)
}

/// Reads the value at the beginning of `text`; returns it and its length. Takes
/// as many bytes as can belong to a number, and ignores the rest.
#[inline]
pub(crate) fn parse_prefix(text: &[u8]) -> Option<(f64, usize)> {
    // Most values on most pages: a short count, and the end of the line.
    if let Some(bytes) = text.first_chunk() {
        let (digits, run) = leading_digits(*bytes);
        if (1..8).contains(&run) && bytes[run] == b'\n' {
            return Some((digits as i64 as f64, run));
        }
    }
    parse_any_prefix(text)
}

#[inline(never)]
fn parse_any_prefix(text: &[u8]) -> Option<(f64, usize)> {
    let sign = matches!(text.first(), Some(b'-' | b'+'));
    let mut at = usize::from(sign);
    let mut mantissa = 0;
    let mut digits = read_digits(text, &mut at, &mut mantissa);
    let mut decimals = 0;
    if text.get(at) == Some(&b'.') {
        at += 1;
        decimals = read_digits(text, &mut at, &mut mantissa);
        digits += decimals;
    }
    // Clinger's fast path: both operands are exact, so the one operation
    // rounds as the whole conversion would.
    if (1..=19).contains(&digits)
        && mantissa <= 1 << 53
        && !matches!(text.get(at), Some(b'e' | b'E'))
    {
        let magnitude = mantissa as f64 / POWERS_OF_TEN[decimals];
        let negative = text[0] == b'-';
        return Some((if negative { -magnitude } else { magnitude }, at));
    }
    match digits {
        0 => parse_word(text),
        _ => parse_long(text, at),
    }
}

/// The powers of ten that a float holds exactly, up to the most decimals that
/// the fast path takes.
const POWERS_OF_TEN: [f64; 20] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19,
];

/// Moves `at` past the digits there and appends them to `mantissa`, which wraps
/// beyond 19 of them; returns how many there were.
#[inline]
fn read_digits(text: &[u8], at: &mut usize, mantissa: &mut u64) -> usize {
    let from = *at;
    while let Some(bytes) = text.get(*at..).and_then(|rest| rest.first_chunk()) {
        let (digits, run) = leading_digits(*bytes);
        *mantissa = (mantissa.wrapping_mul(INTEGER_POWERS[run])).wrapping_add(digits);
        *at += run;
        if run < 8 {
            return *at - from;
        }
    }
    while let Some(digit) = text.get(*at).map(|byte| byte.wrapping_sub(b'0'))
        && digit < 10
    {
        *mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        *at += 1;
    }
    *at - from
}

const INTEGER_POWERS: [u64; 9] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
];

/// Reads the digits before the first other byte; returns their number and their
/// count. All eight bytes are read as one word, so that numbers of every length
/// take the same path.
#[inline]
fn leading_digits(bytes: [u8; 8]) -> (u64, usize) {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(bytes);
    // A digit's high half is 3, and still is when 6 is added to it.
    let high = 0xf0 * EACH;
    let odd =
        ((word & high) ^ (0x30 * EACH)) | (((word.wrapping_add(6 * EACH)) & high) ^ (0x30 * EACH));
    let run = (odd.trailing_zeros() / 8) as usize;
    // The digits move to the end, zeros in front of them.
    let digits = match run {
        0 => 0,
        run => (word ^ (0x30 * EACH)) << (64 - 8 * run),
    };
    // Neighbours are joined: tens, then hundreds, then ten-thousands.
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    let eights = (fours * 10_000 + (fours >> 32)) & 0xffff_ffff;
    (eights, run)
}

/// General path, by std, once the text is known to follow our grammar: an
/// exponent at `at`, or more digits than the fast path takes.
#[inline(never)]
fn parse_long(text: &[u8], mut at: usize) -> Option<(f64, usize)> {
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        at += usize::from(matches!(text.get(at), Some(b'+' | b'-')));
        if read_digits(text, &mut at, &mut 0) == 0 {
            return None;
        }
    }
    let value: f64 = std::str::from_utf8(&text[..at]).ok()?.parse().ok()?;
    value.is_finite().then_some((value, at))
}

#[cold]
fn parse_word(text: &[u8]) -> Option<(f64, usize)> {
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let letters = text[sign..]
        .iter()
        .take_while(|byte| byte.is_ascii_alphabetic());
    let len = sign + letters.count();
    let word = &text[sign..len];
    let is = |other: &[u8]| word.eq_ignore_ascii_case(other);
    let value = if is(b"inf") || is(b"infinity") {
        if text[0] == b'-' {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        }
    } else if is(b"nan") && sign == 0 {
        f64::NAN
    } else {
        return None;
    };
    Some((value, len))
}

/// Reads a timestamp of the text formats: milliseconds since the epoch, a
/// decimal integer with or without a sign, within `i64`.
pub fn parse_millis(text: &[u8]) -> Option<i64> {
    // std's grammar for an integer is this one.
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Reads a timestamp of OpenMetrics: seconds since the epoch, any finite
/// number.
pub fn parse_seconds(text: &[u8]) -> Option<f64> {
    parse_f64(text).filter(|seconds| seconds.is_finite())
}
