//! Label values: owned by a series, or borrowed by a look-up.
//!
//! A series owns its values as one run of bytes with the ends beside it, in
//! its own memory where they are short. A look-up brings `&[&str]`, which is
//! hashed and compared as it is: nothing is cloned to find a series.

use crate::cell::ExemplarLabels;
use crate::name::{self, NameError, NameRules};
use smallvec::SmallVec;
use std::fmt;

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
    let (Some(a_last), Some(b_last)) = (a.last_chunk::<8>(), b.last_chunk::<8>()) else {
        return up_to_seven(a) == up_to_seven(b);
    };
    // The last words overlap those before them where the length is odd.
    a_last == b_last && a.as_chunks::<8>().0 == b.as_chunks::<8>().0
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
        let last = match bytes.last_chunk() {
            None => up_to_seven(bytes),
            Some(last) => {
                for word in bytes[..bytes.len() - 1].as_chunks().0 {
                    state = fold(state ^ u64::from_le_bytes(*word), WORD);
                }
                u64::from_le_bytes(*last)
            }
        };
        // The length goes in with the end: ["a", "bc"] is not ["ab", "c"].
        state = fold(state ^ last, END ^ bytes.len() as u64);
    }
    state
}

/// Up to seven bytes as one word: of two strings of one length, no two have the
/// same.
#[inline]
fn up_to_seven(bytes: &[u8]) -> u64 {
    match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => {
            // Without the bytes that are in both: a word that repeats itself
            // would spread badly.
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

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// Ends a name or a value in the text of an exemplar: no byte of UTF-8.
const END: u8 = 0xff;

/// Code points that the names and values of an exemplar may have together.
const EXEMPLAR_CODE_POINTS: usize = 128;

impl ExemplarLabels {
    /// These labels; none is allowed too.
    ///
    /// # Errors
    /// More than 128 code points in names and values together, a name that is
    /// not a classic label name, or one given twice.
    pub fn new<'l>(
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
    ) -> Result<Self, ExemplarError> {
        let mut made = Self::EMPTY;
        let mut left = EXEMPLAR_CODE_POINTS;
        for (index, (name, value)) in labels.into_iter().enumerate() {
            name::check_label_name(name, NameRules::Classic)
                .map_err(|error| ExemplarError::Name { index, error })?;
            if made.iter().any(|(earlier, _)| earlier == name) {
                return Err(ExemplarError::NameTwice { index });
            }
            left = left
                .checked_sub(name.chars().count() + value.chars().count())
                .ok_or(ExemplarError::TooLong { index })?;
            for text in [name, value] {
                made.push(text.as_bytes());
                made.push(&[END]);
            }
        }
        Ok(made)
    }

    /// Names and values, in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        // Each run was copied from a &str, so reading it as one never fails.
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
        let mut parts = self.bytes().split(|byte| *byte == END);
        // Behind the last value nothing comes but the end of the text.
        std::iter::from_fn(move || Some((text(parts.next()?), text(parts.next()?))))
    }
}

impl fmt::Debug for ExemplarLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Why labels cannot be an exemplar's. Places are counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExemplarError {
    /// With this label, names and values have more than 128 code points.
    TooLong {
        /// The label's place.
        index: usize,
    },
    /// A name cannot be a label's.
    Name {
        /// The label's place.
        index: usize,
        /// What is wrong with it.
        error: NameError,
    },
    /// A label has the name of an earlier one.
    NameTwice {
        /// The label's place.
        index: usize,
    },
}

impl fmt::Display for ExemplarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { index } => write!(
                f,
                "exemplar label {index} is too long: the names and values of an exemplar may have \
                 {EXEMPLAR_CODE_POINTS} characters together"
            ),
            Self::Name { index, error } => write!(f, "exemplar label {index}: {error}"),
            Self::NameTwice { index } => write!(
                f,
                "exemplar label {index} has the name of an earlier one: give each once"
            ),
        }
    }
}

impl std::error::Error for ExemplarError {}

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

    #[test]
    fn labels_of_an_exemplar_come_back_as_they_went_in() {
        for labels in [
            &[][..],
            &[
                ("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736"),
                ("span_id", ""),
            ],
            &[("a", "\u{10ffff}\n\"\\\0")],
        ] {
            let made = ExemplarLabels::new(labels.iter().copied()).unwrap();
            assert_eq!(made.iter().collect::<Vec<_>>(), labels);
        }
    }

    #[test]
    fn an_exemplar_has_at_most_128_code_points() {
        // The most bytes there can be: four a code point.
        let wide = "\u{1f600}".repeat(127);
        let made = ExemplarLabels::new([("a", &*wide)]).unwrap();
        assert!(made.iter().eq([("a", &*wide)]));
        let refused = ExemplarLabels::new([("b", ""), ("a", &*wide)]).unwrap_err();
        assert_eq!(refused, ExemplarError::TooLong { index: 1 });

        // As many labels as there can be.
        let names: Vec<String> = ('a'..='z')
            .flat_map(|a| [a.to_string(), format!("{a}{a}")])
            .chain(('A'..='Z').map(String::from))
            .take(102)
            .collect();
        let labels = names.iter().map(|name| (&**name, ""));
        assert!(
            ExemplarLabels::new(labels.clone())
                .unwrap()
                .iter()
                .eq(labels)
        );
    }

    #[test]
    fn names_of_an_exemplar_are_checked() {
        let refused =
            |labels: &[(&str, &str)]| ExemplarLabels::new(labels.iter().copied()).unwrap_err();
        assert_eq!(
            refused(&[("a", ""), ("", "")]),
            ExemplarError::Name {
                index: 1,
                error: NameError::Empty
            }
        );
        assert!(matches!(
            refused(&[("trace-id", "")]),
            ExemplarError::Name { index: 0, .. }
        ));
        assert_eq!(
            refused(&[("a", ""), ("a", "")]),
            ExemplarError::NameTwice { index: 1 }
        );
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
