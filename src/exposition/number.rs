//! THE printer and THE parser of numbers: every value, bound and timestamp on
//! a page passes through this file, in both directions.
//!
//! ```text
//! u64, i64, f64 ── print_* ──> text ── parse_* ──> the same bits
//! ```
//!
//! What is printed is canonical: one text for each value, whatever the format.
//!
//! | value | text |
//! |---|---|
//! | integral, below 2^53 | `3`, `-12`, `-0`, `1000000000` |
//! | any other float | shortest digits that read back: `0.1`, `1.5e+300`, `1e-05` |
//! | not finite | `NaN`, `+Inf`, `-Inf` |
//!
//! An exponent is written where Python writes one: below `1e-04`, and from
//! `1e+16` on.

/// The most bytes a number takes: `-1.7976931348623157e+308`.
pub const MAX_LEN: usize = 24;

/// The size of the buffer a number is printed into: more than [`MAX_LEN`], so
/// that a fixed number of bytes may be copied where a shorter text is meant.
pub const SCRATCH: usize = 32;

const _: () = assert!("-1.7976931348623157e+308".len() <= MAX_LEN);
const _: () = assert!("-0.00012345678901234567".len() <= MAX_LEN);
const _: () = assert!("-9223372036854775808".len() <= MAX_LEN);
const _: () = assert!("18446744073709551615".len() <= MAX_LEN);
const _: () = assert!(MAX_LEN + 8 <= SCRATCH);

/// A printed number, on the stack.
///
/// ```
/// use stethoscope::exposition::number::{print_bound, print_f64};
///
/// assert_eq!(print_f64(0.25).as_str(), "0.25");
/// assert_eq!(print_f64(1e6).as_str(), "1000000");
/// assert_eq!(print_bound(1e6).as_str(), "1e+06");
/// ```
#[derive(Clone, Copy)]
pub struct Printed {
    bytes: [u8; SCRATCH],
    len: usize,
}

impl Printed {
    fn by(print: impl FnOnce(&mut [u8; SCRATCH]) -> usize) -> Self {
        let mut bytes = [0; SCRATCH];
        let len = print(&mut bytes);
        Self { bytes, len }
    }

    /// The text.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("numbers are ASCII")
    }
}

impl std::fmt::Debug for Printed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

// ---------------------------------------------------------------- printing

/// Prints an unsigned integer.
#[inline]
pub fn print_u64(value: u64) -> Printed {
    Printed::by(|into| print_u64_into(value, into))
}

/// Prints a signed integer.
#[inline]
pub fn print_i64(value: i64) -> Printed {
    Printed::by(|into| print_i64_into(value, into))
}

/// Prints a float so that it reads back bit for bit (NaN as NaN).
#[inline]
pub fn print_f64(value: f64) -> Printed {
    Printed::by(|into| print_f64_into(value, into))
}

/// Prints the value of an `le` or `quantile` label: the canonical float of
/// OpenMetrics, which always holds a `.` or an exponent (`1.0`, `1e+06`,
/// `1e-05`, `+Inf`).
pub fn print_bound(value: f64) -> Printed {
    Printed::by(|into| {
        let len = print_short_into(value, into);
        let text = &into[..len];
        if !value.is_finite() || text.contains(&b'.') || text.contains(&b'e') {
            return len;
        }
        into[len..len + 2].copy_from_slice(b".0");
        len + 2
    })
}

/// Prints a float as Prometheus' own tools show it: as [`print_f64`], but with
/// an exponent from `1e+06` on (`123456`, `1.234567e+06`).
pub fn print_short(value: f64) -> Printed {
    Printed::by(|into| print_short_into(value, into))
}

/// Prints an unsigned integer at the front of `into`; returns its length. What
/// follows it in `into` is unspecified.
#[inline]
pub fn print_u64_into(value: u64, into: &mut [u8; SCRATCH]) -> usize {
    if value < EIGHT_DIGITS {
        return print_up_to_eight(value, into);
    }
    print_long(value, into)
}

#[inline(never)]
fn print_long(value: u64, into: &mut [u8; SCRATCH]) -> usize {
    if value < EIGHT_DIGITS * EIGHT_DIGITS {
        let len = print_up_to_eight(value / EIGHT_DIGITS, into);
        let rest = eight_digits(value % EIGHT_DIGITS) | ZEROS;
        into[len..len + 8].copy_from_slice(&rest.to_le_bytes());
        return len + 8;
    }
    copy(itoa::Buffer::new().format(value).as_bytes(), into)
}

/// The first number with nine digits.
const EIGHT_DIGITS: u64 = 100_000_000;
/// `00000000`
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// Prints a number of at most eight digits in one store and without a branch:
/// what is stored piece by piece has to wait for that where it is copied next,
/// and the number of digits is anybody's guess.
#[inline]
fn print_up_to_eight(value: u64, into: &mut [u8; SCRATCH]) -> usize {
    let digits = eight_digits(value);
    // The last digit stands whatever it is.
    let leading = (digits | 1 << 63).trailing_zeros() as usize / 8;
    let text = (digits | ZEROS) >> (leading * 8);
    into[..8].copy_from_slice(&text.to_le_bytes());
    8 - leading
}

/// The digits of a number below 10^8, the first in the lowest byte.
///
/// Halved into lanes, three times: four digits in each of two, two in each of
/// four, one in each of eight. A lane is divided by multiplication: `x / 100` is
/// `x * 10486 >> 20` for every `x < 10^4`, `x / 10` is `x * 103 >> 10` for every
/// `x < 100`, and the products stay within their lanes.
#[inline]
fn eight_digits(value: u64) -> u64 {
    let fours = (value / 10_000) | ((value % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | ((fours - hundreds * 100) << 16);
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((twos - tens * 10) << 8)
}

/// Prints a signed integer at the front of `into`; returns its length. What
/// follows it in `into` is unspecified.
#[inline]
pub fn print_i64_into(value: i64, into: &mut [u8; SCRATCH]) -> usize {
    match u64::try_from(value) {
        Ok(value) => print_u64_into(value, into),
        Err(_) => copy(itoa::Buffer::new().format(value).as_bytes(), into),
    }
}

/// Prints a float at the front of `into`; returns its length. What follows it
/// in `into` is unspecified.
///
/// Integral values and those of up to three decimals take a short way past
/// ryu, which takes four to eight times as long.
#[inline]
pub fn print_f64_into(value: f64, into: &mut [u8; SCRATCH]) -> usize {
    let magnitude = value.abs();
    // The fractional part of what is below 2^53 is less than its unit, so the
    // cast is exact just where the value is integral. NaN fails the test.
    if magnitude < INTEGRAL_BELOW {
        // Signed, which conversions to and from floats are quicker with.
        let whole = magnitude as i64;
        let negative = value.is_sign_negative();
        if whole as f64 == magnitude {
            return print_signed(into, negative, |into| print_u64_into(whole as u64, into));
        }
        if magnitude < THOUSANDTHS_BELOW {
            // Both operands of the division are exact, so its result is the
            // double nearest to `thousandths / 1000`: if that is the value,
            // this decimal reads back as it. Being of at most 15 digits it is
            // also the only one so short: the digits are ryu's.
            let thousandths = (magnitude * 1000.0 + 0.5) as i64;
            if thousandths as f64 / 1000.0 == magnitude {
                let thousandths = thousandths as u64;
                return print_signed(into, negative, |into| print_thousandths(thousandths, into));
            }
        }
    }
    print_any(value, into)
}

/// From here on not every integer has a float.
const INTEGRAL_BELOW: f64 = (1u64 << 53) as f64;
/// Below this, three decimals make at most 15 digits.
const THOUSANDTHS_BELOW: f64 = 1e12;

/// Puts a sign before what `print` prints.
#[inline]
fn print_signed(
    into: &mut [u8; SCRATCH],
    negative: bool,
    print: impl FnOnce(&mut [u8; SCRATCH]) -> usize,
) -> usize {
    let len = print(into);
    if !negative {
        return len;
    }
    into.copy_within(..MAX_LEN, 1);
    into[0] = b'-';
    len + 1
}

/// Prints `thousandths / 1000`, which has at least one decimal.
#[inline]
fn print_thousandths(thousandths: u64, into: &mut [u8; SCRATCH]) -> usize {
    let len = print_u64_into(thousandths / 1000, into);
    let rest = (thousandths % 1000) as u32;
    let (tenths, hundredths, thousandths) = (rest / 100, rest / 10 % 10, rest % 10);
    let decimals = [
        b'.',
        b'0' + tenths as u8,
        b'0' + hundredths as u8,
        b'0' + thousandths as u8,
    ];
    into[len..len + 4].copy_from_slice(&decimals);
    len + 2 + usize::from(!rest.is_multiple_of(100)) + usize::from(thousandths != 0)
}

/// Copies a number's text to the front of `into`, in moves of fixed sizes: no
/// call to memcpy for so few bytes.
#[inline]
fn copy(text: &[u8], into: &mut [u8; SCRATCH]) -> usize {
    let len = text.len();
    assert!(len <= MAX_LEN);
    match (text.first_chunk::<16>(), text.last_chunk::<8>()) {
        (Some(head), Some(tail)) => {
            into[..16].copy_from_slice(head);
            into[len - 8..len].copy_from_slice(tail);
        }
        (None, Some(tail)) => {
            into[..8].copy_from_slice(&text[..8]);
            into[len - 8..len].copy_from_slice(tail);
        }
        _ => match (text.first_chunk::<4>(), text.last_chunk::<4>()) {
            (Some(head), Some(tail)) => {
                into[..4].copy_from_slice(head);
                into[len - 4..len].copy_from_slice(tail);
            }
            _ => {
                for (to, from) in into.iter_mut().zip(text) {
                    *to = *from;
                }
            }
        },
    }
    len
}

/// Not finite, or more digits than the short ways take: ryu's work.
#[inline(never)]
fn print_any(value: f64, into: &mut [u8; SCRATCH]) -> usize {
    if !value.is_finite() {
        return print_not_finite(value, into);
    }
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value);
    // Integral values below came here by no way, so this text has decimals.
    if (1e-4..INTEGRAL_BELOW).contains(&value.abs()) {
        return copy(text.as_bytes(), into);
    }
    Decimal::read(text).print(16, into)
}

fn print_short_into(value: f64, into: &mut [u8; SCRATCH]) -> usize {
    if !value.is_finite() {
        return print_not_finite(value, into);
    }
    Decimal::read(ryu::Buffer::new().format_finite(value)).print(6, into)
}

fn print_not_finite(value: f64, into: &mut [u8; SCRATCH]) -> usize {
    let text = match (value.is_nan(), value > 0.0) {
        (true, _) => b"NaN".as_slice(),
        (false, true) => b"+Inf",
        (false, false) => b"-Inf",
    };
    copy(text, into)
}

/// The digits of a finite float, apart from how they are written:
/// `d.ddd * 10^exponent`.
struct Decimal {
    negative: bool,
    digits: [u8; MAX_LEN],
    /// Where the digits stand, neither led nor followed by a zero; zero is one
    /// zero.
    from: usize,
    to: usize,
    exponent: i32,
}

impl Decimal {
    /// Reads what ryu prints: `-12.5`, `0.0001`, `1e-7`, `1.5e300`.
    fn read(text: &str) -> Self {
        let (negative, text) = match text.strip_prefix('-') {
            Some(text) => (true, text),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits = [b'0'; MAX_LEN];
        for (to, from) in digits.iter_mut().zip(whole.bytes().chain(fraction.bytes())) {
            *to = from;
        }
        let first = digits.iter().position(|&digit| digit != b'0');
        let from = first.unwrap_or(0);
        let to = 1 + digits.iter().rposition(|&digit| digit != b'0').unwrap_or(0);
        let exponent: i32 = exponent.parse().expect("ryu prints an exponent");
        Self {
            negative,
            digits,
            from,
            to,
            exponent: exponent + first.map_or(0, |first| whole.len() as i32 - 1 - first as i32),
        }
    }

    /// Prints with an exponent below `1e-04` and from `1e{exponent_from}` on.
    fn print(&self, exponent_from: i32, into: &mut [u8; SCRATCH]) -> usize {
        let mut len = 0;
        let mut put = |byte: u8| {
            into[len] = byte;
            len += 1;
        };
        if self.negative {
            put(b'-');
        }
        let digits = &self.digits[self.from..self.to];
        let exponent = self.exponent;
        if !(-4..exponent_from).contains(&exponent) {
            put(digits[0]);
            if digits.len() > 1 {
                put(b'.');
                digits[1..].iter().copied().for_each(&mut put);
            }
            put(b'e');
            put(if exponent < 0 { b'-' } else { b'+' });
            let exponent = exponent.unsigned_abs();
            if exponent >= 100 {
                put(b'0' + (exponent / 100) as u8);
            }
            put(b'0' + (exponent / 10 % 10) as u8);
            put(b'0' + (exponent % 10) as u8);
        } else {
            // One place for each power of ten from the first digit, or the one
            // before the point, down to the last digit.
            let last = exponent - digits.len() as i32 + 1;
            for power in (last.min(0)..=exponent.max(0)).rev() {
                if power == -1 {
                    put(b'.');
                }
                let place = usize::try_from(exponent - power);
                put(*place.ok().and_then(|at| digits.get(at)).unwrap_or(&b'0'));
            }
        }
        len
    }
}

// ----------------------------------------------------------------- parsing

/// Reads a value: `[+-]digits[.digits][e[+-]digits]` with at least one digit
/// before the exponent, `NaN`, or `Inf` and `Infinity` with or without a sign;
/// words in any case. Nothing may stand around it.
///
/// `None` for all else, among it what overflows to infinity (`1e400`), a signed
/// NaN, hexadecimal digits and `1_000`. What underflows is a zero.
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

/// Reads the value that `text` begins with, and says how long it is there. It
/// takes as much as can belong to a number; what follows is the caller's.
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
    // Clinger's short way: both operands are exact, so the one operation
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

/// Powers of ten that a float holds exactly: as many as there may be decimals.
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

/// The number that the digits before the first other byte make, and how many
/// they are: eight bytes at once in one word, so that numbers of every length
/// take the same way.
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

/// An exponent at `at`, or more digits than the short way takes: std's work,
/// once the text is known to be of our grammar.
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
