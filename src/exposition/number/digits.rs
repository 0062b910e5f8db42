//! The decimal digits of integers, four, eight or sixteen at a time.
//!
//! A number is halved into lanes, again and again: four digits in each of two, two in
//! each of four, one in each of eight. A lane is divided by multiplication, and the
//! products stay within their lanes.

/// The first number with five digits.
pub(super) const FOUR_DIGITS: u64 = 10_000;
/// The first number with nine digits.
pub(super) const EIGHT_DIGITS: u64 = 100_000_000;
/// The first number with 17 digits.
pub(super) const SIXTEEN_DIGITS: u64 = EIGHT_DIGITS * EIGHT_DIGITS;

/// The digits of a number below 10^4, the first in the lowest byte. See
/// [`eight_digits`].
#[inline]
pub(super) fn four_digits(value: u64) -> u32 {
    let value = value as u32;
    let hundreds = (value * 10_486) >> 20;
    let twos = hundreds | ((value - hundreds * 100) << 16);
    let tens = ((twos * 103) >> 10) & 0x000f_000f;
    tens | ((twos - tens * 10) << 8)
}

/// The digits of a number below 10^8, the first in the lowest byte.
///
/// `x / 100` is `x * 10486 >> 20` for every `x < 10^4`, `x / 10` is `x * 103 >> 10` for
/// every `x < 100`.
#[inline]
pub(super) fn eight_digits(value: u64) -> u64 {
    let fours = (value / 10_000) | ((value % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let twos = hundreds | ((fours - hundreds * 100) << 16);
    let tens = ((twos * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((twos - tens * 10) << 8)
}

/// The digits of a number below 10^16, the first in the lowest byte.
#[inline]
pub(super) fn sixteen_digits(value: u64) -> u128 {
    twice_eight_digits(value / EIGHT_DIGITS, value % EIGHT_DIGITS)
}

/// [`eight_digits`] of two numbers, those of `high` in the lower bytes.
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
#[inline]
fn twice_eight_digits(high: u64, low: u64) -> u128 {
    u128::from(eight_digits(high)) | u128::from(eight_digits(low)) << 64
}

/// [`eight_digits`] of two numbers, those of `high` in the lower bytes: side by side, a
/// number of twelve digits takes two thirds of the time.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[allow(unsafe_code)]
#[inline]
fn twice_eight_digits(high: u64, low: u64) -> u128 {
    // SAFETY: the processor has SSE2, or this would not be compiled.
    unsafe { side_by_side(high, low) }
}

/// `x / 10^4` is `x * 0xd1b71759 >> 45` for every 32-bit `x`, `x / 100` is
/// `x * 5243 >> 19` for every `x < 10^4`, `x / 10` is `x * 6554 >> 16` for every
/// `x < 100`.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[target_feature(enable = "sse2")]
#[inline]
fn side_by_side(high: u64, low: u64) -> u128 {
    use std::arch::x86_64::*;
    let eights = _mm_set_epi64x(low as i64, high as i64);
    let quotients = _mm_srli_epi64(_mm_mul_epu32(eights, _mm_set1_epi64x(0xd1b7_1759)), 45);
    let products = _mm_mul_epu32(quotients, _mm_set1_epi64x(10_000));
    let rests = _mm_slli_epi64(_mm_sub_epi64(eights, products), 32);
    let fours = _mm_or_si128(quotients, rests);
    let hundreds = _mm_srli_epi16(_mm_mulhi_epu16(fours, _mm_set1_epi16(5243)), 3);
    let products = _mm_mullo_epi16(hundreds, _mm_set1_epi16(100));
    let rests = _mm_slli_epi32(_mm_sub_epi16(fours, products), 16);
    let twos = _mm_or_si128(hundreds, rests);
    let tens = _mm_mulhi_epu16(twos, _mm_set1_epi16(6554));
    let products = _mm_mullo_epi16(tens, _mm_set1_epi16(10));
    let rests = _mm_slli_epi16(_mm_sub_epi16(twos, products), 8);
    let digits = _mm_or_si128(tens, rests);
    let first = _mm_cvtsi128_si64(digits) as u64;
    let last = _mm_cvtsi128_si64(_mm_unpackhi_epi64(digits, digits)) as u64;
    u128::from(first) | u128::from(last) << 64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expected(value: u64, digits: usize) -> Vec<u8> {
        let text = format!("{value:0digits$}");
        text.bytes().map(|digit| digit - b'0').collect()
    }

    #[test]
    fn each_number_of_four_digits_has_its_digits_in_each_place() {
        for value in 0..10_000 {
            let four = four_digits(value).to_le_bytes();
            assert_eq!(four[..], expected(value, 4), "{value}");
            for factor in [1, 10_000] {
                let value = value * factor;
                assert_eq!(
                    eight_digits(value).to_le_bytes()[..],
                    expected(value, 8),
                    "{value}"
                );
                for value in [value, value * EIGHT_DIGITS, value * (EIGHT_DIGITS + 1)] {
                    assert_eq!(
                        sixteen_digits(value).to_le_bytes()[..],
                        expected(value, 16),
                        "{value}"
                    );
                }
            }
        }
    }

    proptest! {
        #[test]
        fn digits_are_those_of_std(value in 0..SIXTEEN_DIGITS) {
            prop_assert_eq!(&sixteen_digits(value).to_le_bytes()[..], expected(value, 16));
            let value = value % EIGHT_DIGITS;
            prop_assert_eq!(&eight_digits(value).to_le_bytes()[..], expected(value, 8));
        }
    }
}
