//! Label values: owned by a series, or borrowed by a look-up.
//!
//! A series owns its values as one run of bytes with the ends beside it, in
//! its own memory where they are short. A look-up brings `&[&str]`, which is
//! hashed and compared as it is: nothing is cloned to find a series.

use smallvec::SmallVec;

/// The values of a series' labels, in the order of its family's label names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelValues {
    /// The values, one after the other. 40 bytes hold most sets in place.
    text: SmallVec<[u8; 40]>,
    /// Where each value ends in `text`.
    ends: SmallVec<[u32; 4]>,
}

impl LabelValues {
    /// Copies `values`; `None` if they are longer than 4 GiB together.
    pub(crate) fn new(values: &[&str]) -> Option<Self> {
        let mut owned = Self::default();
        for value in values {
            owned.text.extend_from_slice(value.as_bytes());
            owned.ends.push(u32::try_from(owned.text.len()).ok()?);
        }
        Some(owned)
    }

    /// Whether these are `values`.
    #[inline]
    pub(crate) fn are(&self, values: &[&str]) -> bool {
        let mut start = 0;
        self.ends.len() == values.len()
            && self.ends.iter().zip(values).all(|(&end, value)| {
                let mine = &self.text[start..end as usize];
                start = end as usize;
                same_bytes(mine, value.as_bytes())
            })
    }

    /// The values, in order.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |&end| {
            let value = &self.text[start..end as usize];
            start = end as usize;
            // Each run was copied from a &str, so this never fails; checking
            // costs little where it is called (when lines are compiled).
            std::str::from_utf8(value).unwrap_or_default()
        })
    }

    /// Bytes on the heap beside the series' own memory.
    #[cfg(test)]
    fn spilled(&self) -> bool {
        self.text.spilled() || self.ends.spilled()
    }
}

/// `==` for short strings: the call to `memcmp` would cost more than the
/// comparison.
#[inline]
fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let (a_words, a_rest) = a.as_chunks::<8>();
    let (b_words, b_rest) = b.as_chunks::<8>();
    a_words == b_words && a_rest.iter().zip(b_rest).all(|(a, b)| a == b)
}

/// Hashes the values of a look-up. `seed` is drawn at random for each family,
/// so that nobody who chooses label values can choose collisions.
#[inline]
pub(crate) fn hash(seed: u64, values: &[&str]) -> u64 {
    // Multiply-and-fold over words, as in wyhash and its kin. The constants
    // are the fractional digits of pi: no structure of their own.
    const WORD: u64 = 0x243f_6a88_85a3_08d3;
    const END: u64 = 0x1319_8a2e_0370_7344;
    let mut state = seed;
    for value in values {
        let bytes = value.as_bytes();
        let length = bytes.len();
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            state = fold(state ^ u64::from_le_bytes(*word), WORD);
        }
        // The length goes in with the tail: ["a", "bc"] is not ["ab", "c"].
        state = fold(state ^ tail(rest), END ^ length as u64);
    }
    state
}

/// Up to seven bytes as one word.
#[inline]
fn tail(rest: &[u8]) -> u64 {
    match *rest {
        [] => 0,
        [a] => u64::from(a),
        [a, b] => u64::from(u16::from_le_bytes([a, b])),
        [a, b, c] => u64::from(u32::from_le_bytes([a, b, c, 0])),
        [a, b, c, d, ref high @ ..] => {
            let low = u64::from(u32::from_le_bytes([a, b, c, d]));
            let mut word = [0; 4];
            for (to, from) in word.iter_mut().zip(high) {
                *to = *from;
            }
            low | u64::from(u32::from_le_bytes(word)) << 32
        }
    }
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn short_values_stay_in_place() {
        let values = LabelValues::new(&["GET", "/metrics", "200"]).unwrap();
        assert!(!values.spilled());
        assert_eq!(
            values.iter().collect::<Vec<_>>(),
            ["GET", "/metrics", "200"]
        );
    }

    #[test]
    fn a_cut_elsewhere_is_another_set() {
        let values = LabelValues::new(&["a", "bc"]).unwrap();
        assert!(values.are(&["a", "bc"]));
        for other in [&["ab", "c"][..], &["a"], &["a", "bc", ""], &["", "abc"]] {
            assert!(!values.are(other), "{other:?}");
            assert_ne!(hash(7, other), hash(7, &["a", "bc"]), "{other:?}");
        }
    }

    #[test]
    fn numbered_values_spread_over_a_table() {
        let hashes: HashSet<u64> = (0..10_000)
            .map(|i| hash(1, &["prefix", &i.to_string()]) & 0xffff)
            .collect();
        // 10,000 balls in 65,536 bins leave 9,300 bins hit on average.
        assert!(hashes.len() > 9_100, "{}", hashes.len());
    }

    proptest! {
        #[test]
        fn owned_values_are_what_they_were_made_from(values in prop::collection::vec(".{0,20}", 0..6)) {
            let borrowed: Vec<&str> = values.iter().map(String::as_str).collect();
            let owned = LabelValues::new(&borrowed).unwrap();
            prop_assert!(owned.are(&borrowed));
            prop_assert_eq!(owned.iter().collect::<Vec<_>>(), borrowed);
        }

        #[test]
        fn comparison_agrees_with_std(a in prop::collection::vec(0u8..3, 0..30), b in prop::collection::vec(0u8..3, 0..30)) {
            prop_assert_eq!(same_bytes(&a, &b), a == b);
            prop_assert!(same_bytes(&a, &a.clone()));
        }
    }
}
