//! Numbers to text.

use super::digits::{
    EIGHT_DIGITS, FOUR_DIGITS, SIXTEEN_DIGITS, eight_digits, four_digits, sixteen_digits,
};
use super::{BUF_LEN, FormattedNumber, MAX_LEN};
use std::hint::select_unpredictable;

/// Formats an unsigned integer.
#[inline]
pub fn format_u64(value: u64) -> FormattedNumber {
    FormattedNumber::new(|into| format_u64_into(value, into))
}

/// Formats a signed integer.
#[inline]
pub fn format_i64(value: i64) -> FormattedNumber {
    FormattedNumber::new(|into| format_i64_into(value, into))
}

/// Formats a float so that it reads back bit for bit (NaN as NaN).
#[inline]
pub fn format_f64(value: f64) -> FormattedNumber {
    FormattedNumber::new(|into| format_f64_into(value, into))
}

/// Formats the value of an `le` or `quantile` label for OpenMetrics: a canonical
/// float, which always holds a `.` or an exponent (`1.0`, `1e+06`, `1e-05`,
/// `+Inf`).
pub fn format_bound(value: f64) -> FormattedNumber {
    FormattedNumber::new(|into| {
        let len = format_go_into(value, into);
        let text = &into[..len];
        if !value.is_finite() || text.contains(&b'.') || text.contains(&b'e') {
            return len;
        }
        into[len..len + 2].copy_from_slice(b".0");
        len + 2
    })
}

/// Formats a float as Go's `%g` does, and so Prometheus' own tools: like
/// [`format_f64`], but with an exponent from `1e+06` on (`123456`,
/// `1.234567e+06`).
pub fn format_go(value: f64) -> FormattedNumber {
    FormattedNumber::new(|into| format_go_into(value, into))
}

/// Formats an unsigned integer at the front of `into`; returns its length. The
/// bytes after it are unspecified.
#[inline]
pub(in crate::exposition) fn format_u64_into(value: u64, into: &mut [u8; BUF_LEN]) -> usize {
    if value < FOUR_DIGITS {
        return format_up_to_four(value, into);
    }
    if value < EIGHT_DIGITS {
        return format_up_to_eight(value, into);
    }
    format_long(value, into)
}

#[inline(never)]
fn format_long(value: u64, into: &mut [u8; BUF_LEN]) -> usize {
    if value < SIXTEEN_DIGITS {
        let digits = sixteen_digits(value);
        // The last digit stands whatever it is.
        let leading = (digits | 1 << 127).trailing_zeros() as usize / 8;
        let text = (digits | SIXTEEN_ZEROS) >> (leading * 8);
        into[..16].copy_from_slice(&text.to_le_bytes());
        return 16 - leading;
    }
    copy(itoa::Buffer::new().format(value).as_bytes(), into)
}

/// `00000000`
const ZEROS: u64 = 0x3030_3030_3030_3030;
/// `0000000000000000`
const SIXTEEN_ZEROS: u128 = (ZEROS as u128) << 64 | ZEROS as u128;

/// Formats a number of at most four digits, in two thirds of the time of one of eight.
#[inline]
fn format_up_to_four(value: u64, into: &mut [u8; BUF_LEN]) -> usize {
    let digits = four_digits(value);
    // The last digit stands whatever it is.
    let leading = (digits | 1 << 31).trailing_zeros() as usize / 8;
    let text = (digits | ZEROS as u32) >> (leading * 8);
    into[..4].copy_from_slice(&text.to_le_bytes());
    4 - leading
}

/// Formats a number of at most eight digits with one store and without a branch:
/// the number of digits is hard to predict, and a copy of bytes that were stored
/// piece by piece must wait for the stores.
#[inline]
fn format_up_to_eight(value: u64, into: &mut [u8; BUF_LEN]) -> usize {
    let digits = eight_digits(value);
    // The last digit stands whatever it is.
    let leading = (digits | 1 << 63).trailing_zeros() as usize / 8;
    let text = (digits | ZEROS) >> (leading * 8);
    into[..8].copy_from_slice(&text.to_le_bytes());
    8 - leading
}

/// Formats a signed integer at the front of `into`; returns its length. The
/// bytes after it are unspecified.
#[inline]
pub(in crate::exposition) fn format_i64_into(value: i64, into: &mut [u8; BUF_LEN]) -> usize {
    match u64::try_from(value) {
        Ok(value) => format_u64_into(value, into),
        Err(_) => copy(itoa::Buffer::new().format(value).as_bytes(), into),
    }
}

/// Formats a float at the front of `into`; returns its length. The bytes after
/// it are unspecified.
///
/// Fast paths for integral values and for those without an exponent: ryu takes three to
/// eight times as long.
#[inline]
pub(in crate::exposition) fn format_f64_into(value: f64, into: &mut [u8; BUF_LEN]) -> usize {
    let magnitude = value.abs();
    let negative = value.is_sign_negative();
    // The fractional part of what is below 2^53 is less than its unit, so the
    // cast is exact just where the value is integral. NaN fails the test.
    if magnitude < INTEGRAL_BELOW {
        // Signed, which conversions to and from floats are quicker with.
        let whole = magnitude as i64;
        if whole as f64 == magnitude {
            return format_signed(into, negative, |into| format_u64_into(whole as u64, into));
        }
        // Both operands of the division are exact, so its result is the double
        // nearest to the decimal: if that is the value, this decimal reads back as
        // it. Being of at most 15 digits it is also the only one so short.
        if magnitude < MILLIONTHS_BELOW {
            let millionths = (magnitude * 1e6 + 0.5) as i64;
            // Smaller ones are written with an exponent.
            if millionths >= 100 && millionths as f64 / 1e6 == magnitude {
                let millionths = millionths as u64;
                return format_signed(into, negative, |into| format_millionths(millionths, into));
            }
        }
    }
    if (DECIMAL_FROM..DECIMAL_BELOW).contains(&magnitude) {
        return format_signed(into, negative, |into| format_decimal(magnitude, into));
    }
    format_any(value, into)
}

/// From here on not every integer has a float.
const INTEGRAL_BELOW: f64 = (1u64 << 53) as f64;
/// Below this, six decimals make at most 15 digits.
const MILLIONTHS_BELOW: f64 = 1e9;
/// Smaller values are written with an exponent.
const DECIMAL_FROM: f64 = 1e-4;
/// Below this, 17 digits have decimals, and two stores of 16 bytes have room.
const DECIMAL_BELOW: f64 = 1e15;

/// Puts a sign before the text that `print` writes.
#[inline]
fn format_signed(
    into: &mut [u8; BUF_LEN],
    negative: bool,
    print: impl FnOnce(&mut [u8; BUF_LEN]) -> usize,
) -> usize {
    let len = print(into);
    if !negative {
        return len;
    }
    into.copy_within(..MAX_LEN, 1);
    into[0] = b'-';
    len + 1
}

/// Formats `millionths / 1000000`, which has at least one decimal.
#[inline]
fn format_millionths(millionths: u64, into: &mut [u8; BUF_LEN]) -> usize {
    let len = format_u64_into(millionths / 1_000_000, into);
    // The first two of eight digits are 0.
    let digits = eight_digits(millionths % 1_000_000) >> 16;
    let decimals = 8 - digits.leading_zeros() as usize / 8;
    into[len] = b'.';
    into[len + 1..len + 9].copy_from_slice(&(digits | ZEROS).to_le_bytes());
    len + 1 + decimals
}

/// Formats a number that is not integral, from [`DECIMAL_FROM`] to [`DECIMAL_BELOW`],
/// with the fewest digits that read back, and of those the nearest.
///
/// With `n` decimals the distance between neighbouring floats is from 1 to 10 units of
/// the last place. So at most one multiple of ten units reads back as `value`: one
/// within half that distance. If there is none, the nearest unit reads back.
///
/// `2^q * 10^n` is `2^(q + n) * 5^n`, which is known exactly for these few `q`, so the
/// comparisons are exact. The value is halfway between two floats nowhere, since that
/// would take more than `n` decimals. The floats below a power of two are nearer than
/// those above, but such a value needs less than `n` decimals.
#[inline(never)]
fn format_decimal(value: f64, into: &mut [u8; BUF_LEN]) -> usize {
    let bits = value.to_bits();
    let mantissa = bits & (IMPLICIT_BIT - 1) | IMPLICIT_BIT;
    let Spacing { units, decimals } = SPACINGS[(bits >> 52) as usize - FIRST_EXPONENT];
    // In units, with 60 bits after the point.
    let scaled = u128::from(mantissa) * u128::from(units);
    let (whole, fraction) = ((scaled >> 60) as u64, scaled as u64 & (UNIT - 1));
    let last = whole % 10;
    let above = last * UNIT + fraction;
    let half = units / 2;
    let (is_ten_below, is_ten_above) = (above < half, 10 * UNIT - above < half);
    let ten = whole - last + 10 * u64::from(is_ten_above);
    // To the even one if both are equally near, as ryu does.
    let nearest = whole + u64::from(fraction + (whole & 1) > UNIT / 2);
    let is_ten = is_ten_below | is_ten_above;
    let digits = select_unpredictable(is_ten, ten, nearest);
    // 16 digits become 17.
    let is_short = digits < SIXTEEN_DIGITS;
    let digits = select_unpredictable(is_short, digits * 10, digits);
    let decimals = decimals + u64::from(is_short);
    format_seventeen(digits, decimals as usize, into)
}

/// The bit of a mantissa that a float does not have.
const IMPLICIT_BIT: u64 = 1 << 52;
/// One, with 60 bits after the point.
const UNIT: u64 = 1 << 60;

/// The distance between neighbouring floats of one binary exponent.
#[derive(Clone, Copy)]
struct Spacing {
    /// In units of the last decimal, from 1 to 10, with 60 bits after the point.
    units: u64,
    decimals: u64,
}

/// The biased exponent of the floats just below [`DECIMAL_FROM`].
const FIRST_EXPONENT: usize = (DECIMAL_FROM.to_bits() >> 52) as usize;
const LAST_EXPONENT: usize = (DECIMAL_BELOW.to_bits() >> 52) as usize;
static SPACINGS: [Spacing; LAST_EXPONENT + 1 - FIRST_EXPONENT] = spacings();

const fn spacings() -> [Spacing; LAST_EXPONENT + 1 - FIRST_EXPONENT] {
    let empty = Spacing {
        units: 0,
        decimals: 0,
    };
    let mut spacings = [empty; LAST_EXPONENT + 1 - FIRST_EXPONENT];
    let mut index = 0;
    while index < spacings.len() {
        // The distance is 2^-binary.
        let binary = 1075 - (FIRST_EXPONENT + index) as u32;
        let mut decimals = 0;
        while 10u128.pow(decimals) < 1 << binary {
            decimals += 1;
        }
        // Exact: 5^decimals fits, and is shifted to the left.
        let units = 5u64.pow(decimals) << (60 + decimals - binary);
        spacings[index] = Spacing {
            units,
            decimals: decimals as u64,
        };
        index += 1;
    }
    spacings
}

/// Formats `digits / 10^decimals`, where `digits` has 17 digits, without the zeros at
/// the end. It is not integral.
#[inline]
fn format_seventeen(digits: u64, decimals: usize, into: &mut [u8; BUF_LEN]) -> usize {
    let (first, rest) = (digits / SIXTEEN_DIGITS, digits % SIXTEEN_DIGITS);
    let rest = sixteen_digits(rest);
    let zeros = rest.leading_zeros() / 8;
    let count = 17 - zeros as usize;
    let first = b'0' + first as u8;
    let rest = rest | SIXTEEN_ZEROS;
    match decimals {
        // The digits before the point, then all others over what follows them.
        0..17 => {
            let point = 17 - decimals;
            into[0] = first;
            into[1..17].copy_from_slice(&rest.to_le_bytes());
            let after = rest >> (8 * (point - 1));
            into[point + 1..point + 17].copy_from_slice(&after.to_le_bytes());
            into[point] = b'.';
            1 + count
        }
        _ => {
            let start = 2 + decimals - 17;
            into[..8].copy_from_slice(b"0.000000");
            into[start] = first;
            into[start + 1..start + 17].copy_from_slice(&rest.to_le_bytes());
            start + count
        }
    }
}

/// Copies a number's text to the front of `into`, in moves of fixed sizes: no
/// call to memcpy for so few bytes.
#[inline]
fn copy(text: &[u8], into: &mut [u8; BUF_LEN]) -> usize {
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

/// General path, by ryu: any other finite float, and the three that are not.
#[inline(never)]
fn format_any(value: f64, into: &mut [u8; BUF_LEN]) -> usize {
    if !value.is_finite() {
        return format_not_finite(value, into);
    }
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value);
    // The fast path took the integral values below that bound, so this text has
    // decimals.
    if (1e-4..INTEGRAL_BELOW).contains(&value.abs()) {
        return copy(text.as_bytes(), into);
    }
    Decimal::read(text).print(16, into)
}

fn format_go_into(value: f64, into: &mut [u8; BUF_LEN]) -> usize {
    if !value.is_finite() {
        return format_not_finite(value, into);
    }
    Decimal::read(ryu::Buffer::new().format_finite(value)).print(6, into)
}

fn format_not_finite(value: f64, into: &mut [u8; BUF_LEN]) -> usize {
    let text = match (value.is_nan(), value > 0.0) {
        (true, _) => b"NaN".as_slice(),
        (false, true) => b"+Inf",
        (false, false) => b"-Inf",
    };
    copy(text, into)
}

/// The digits of a finite float, independent of notation: `d.ddd * 10^exponent`.
struct Decimal {
    negative: bool,
    digits: [u8; MAX_LEN],
    /// Range of the digits, without leading or trailing zeros; zero is one zero.
    from: usize,
    to: usize,
    exponent: i32,
}

impl Decimal {
    /// Parses the output of ryu: `-12.5`, `0.0001`, `1e-7`, `1.5e300`.
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

    /// Formats with an exponent below `1e-04` and from `1e{exponent_from}` on.
    fn print(&self, exponent_from: i32, into: &mut [u8; BUF_LEN]) -> usize {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Compares with ryu.
    fn assert_shortest(value: f64) {
        if !(DECIMAL_FROM..DECIMAL_BELOW).contains(&value) || value.fract() == 0.0 {
            return;
        }
        let (mut ours, mut expected) = ([b'#'; BUF_LEN], [b'#'; BUF_LEN]);
        let len = format_decimal(value, &mut ours);
        let expected_len = format_any(value, &mut expected);
        assert_eq!(&ours[..len], &expected[..expected_len], "{value:e}");
    }

    #[test]
    fn floats_beside_powers_of_two_have_the_digits_of_ryu() {
        for exponent in FIRST_EXPONENT..=LAST_EXPONENT {
            let power = (exponent as u64) << 52;
            for bits in power - 500..power + 500 {
                assert_shortest(f64::from_bits(bits));
            }
        }
    }

    #[test]
    fn floats_between_two_decimals_have_the_even_digit_of_ryu() {
        for tie in [0.25, 0.75, 0.125, 0.375, 0.625, 0.875] {
            for whole in (1u64 << 44..1 << 49).step_by((1 << 36) + 1) {
                assert_shortest(whole as f64 + tie);
            }
        }
    }

    #[test]
    fn floats_at_the_ends_of_the_range_have_the_digits_of_ryu() {
        for end in [DECIMAL_FROM.to_bits(), DECIMAL_BELOW.to_bits()] {
            for bits in end - 500..end + 500 {
                assert_shortest(f64::from_bits(bits));
            }
        }
    }

    proptest! {
        #[test]
        fn floats_have_the_digits_of_ryu(
            bits in DECIMAL_FROM.to_bits()..DECIMAL_BELOW.to_bits(),
            decimal in 0u64..10_000_000_000_000_000,
            decimals in 0i32..20,
        ) {
            assert_shortest(f64::from_bits(bits));
            assert_shortest(decimal as f64 / 10f64.powi(decimals));
        }

        #[test]
        fn stale_bytes_in_the_buffer_have_no_effect(bits in any::<u64>()) {
            for value in [f64::from_bits(bits), (bits >> 20) as f64, (bits >> 40) as f64 / 1000.0] {
                let mut stale = [b'#'; BUF_LEN];
                let len = format_f64_into(value, &mut stale);
                let fresh = format_f64(value);
                prop_assert_eq!(&stale[..len], fresh.as_bytes());
            }
        }
    }
}
