//! The hash of label values and label sets: multiply and fold, as in wyhash and its
//! kin.
//!
//! Not for keys that an attacker chooses without a seed that they do not know.

/// Fractional digits of pi: constants without a structure of their own.
pub(crate) const PI: [u64; 2] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344];

/// Multiplies to 128 bits and combines the halves.
#[inline]
pub(crate) fn fold_multiply(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// Hashes eight bytes or more. Shorter ones are read as a word by [`load_short`].
#[inline]
pub(crate) fn hash_long(seed: u64, bytes: &[u8]) -> u64 {
    let mut state = seed;
    for word in bytes.as_chunks().0 {
        state = fold_multiply(state ^ u64::from_le_bytes(*word), PI[0]);
    }
    // The last word overlaps the one before unless the length is a multiple of 8.
    let last = bytes
        .last_chunk()
        .map_or(0, |last| u64::from_le_bytes(*last));
    fold_multiply(state ^ last, PI[0] ^ bytes.len() as u64)
}

/// Returns up to seven bytes as one word, without a loop. Among strings of one
/// length, no two have the same word.
#[inline]
pub(crate) fn load_short(bytes: &[u8]) -> u64 {
    match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => {
            // Without the bytes that are in both: a word that repeats itself would
            // spread badly.
            let rest = u64::from(u32::from_le_bytes(*last)) >> (8 * (8 - bytes.len()));
            u64::from(u32::from_le_bytes(*first)) | rest << 32
        }
        _ => match *bytes {
            [] => 0,
            [first, .., last] => {
                let middle = bytes[bytes.len() / 2];
                u64::from(first) | u64::from(middle) << 8 | u64::from(last) << 16
            }
            [only] => u64::from(only),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn load_short_tells_strings_of_one_length_apart(
            (a, b) in (0..8usize).prop_flat_map(|length| {
                let bytes = || prop::collection::vec(0..3u8, length);
                (bytes(), bytes())
            }),
        ) {
            prop_assert_eq!(load_short(&a) == load_short(&b), a == b);
        }
    }
}
