//! Label values: owned by a series, or borrowed by a look-up.
//!
//! A series owns its values as one run of bytes with the ends beside it, in
//! its own memory where they are short. A look-up brings `&[&str]`, from which a
//! [`Key`] is made on the stack: nothing is cloned to find a series. Each value
//! is one word of the key, which both the hash and the comparison take.

use crate::cell::ExemplarLabels;
use crate::name::{self, NameError, NameRules};
use smallvec::SmallVec;
use std::fmt;

/// The values of a series' labels, in the order of its family's label names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LabelValues {
    words: Words,
    /// The values, one after the other. 40 bytes hold most sets in place.
    text: SmallVec<[u8; 40]>,
    /// Where each value ends in `text`.
    ends: SmallVec<[u32; 4]>,
}

impl LabelValues {
    /// Copies the values of `key`; `None` if they are longer than 4 GiB together.
    pub(crate) fn new(key: &Key<'_>) -> Option<Self> {
        let mut owned = Self {
            words: key.words,
            text: SmallVec::new(),
            ends: SmallVec::new(),
        };
        for value in key.values {
            owned.text.extend_from_slice(value.as_bytes());
            owned.ends.push(u32::try_from(owned.text.len()).ok()?);
        }
        Some(owned)
    }

    /// Whether these are the values of `key`, which must be of this family's
    /// seed.
    #[inline]
    pub(crate) fn are(&self, key: &Key<'_>) -> bool {
        let same_text = || {
            self.bytes()
                .eq(key.values.iter().map(|value| value.as_bytes()))
        };
        // Word by word: `==` reads two at once from where they have just been
        // written one by one, and waits till both are in the cache.
        let pairs = self.words.iter().zip(&key.words);
        let same_words = pairs.fold(0, |differ, (a, b)| differ | (a ^ b)) == 0;
        same_words && (key.words_are_all || same_text())
    }

    /// The values, in order.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        // Each run was copied from a &str, so this never fails; checking costs
        // little where it is called (when lines are compiled).
        self.bytes()
            .map(|value| std::str::from_utf8(value).unwrap_or_default())
    }

    fn bytes(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let mut start = 0;
        self.ends
            .iter()
            .map(move |&end| &self.text[std::mem::replace(&mut start, end as usize)..end as usize])
    }

    /// Bytes on the heap beside the series' own memory.
    #[cfg(test)]
    fn spilled(&self) -> bool {
        self.text.spilled() || self.ends.spilled()
    }
}

/// A word for each of the first values, then zeros.
///
/// A value of up to seven bytes is its word: its bytes, and its length and one
/// more in the highest byte. Of a longer one the word is a digest, whose highest
/// byte is 0xff; where values follow that have no word, that of the last is 0xfe.
type Words = [u64; WORDS];

const WORDS: usize = 4;

/// The values of a look-up, with what finds and compares them.
pub(crate) struct Key<'k> {
    values: &'k [&'k str],
    words: Words,
    /// Whether the words alone tell the values.
    words_are_all: bool,
    pub(crate) hash: u64,
}

impl<'k> Key<'k> {
    /// `seed` is drawn at random for each family, so that nobody who chooses
    /// label values can choose collisions.
    #[inline]
    pub(crate) fn new(seed: u64, values: &'k [&'k str]) -> Self {
        let mut words = Words::default();
        let mut words_are_all = values.len() <= words.len();
        let mut hash = seed;
        for (index, value) in values.iter().enumerate() {
            let bytes = value.as_bytes();
            let word = match bytes.len() {
                0..8 => up_to_seven(bytes) | (bytes.len() as u64 + 1) << 56,
                _ => {
                    words_are_all = false;
                    digest(seed, bytes)
                }
            };
            hash = fold(hash ^ word, END);
            if let Some(place) = words.get_mut(index) {
                *place = word;
            }
        }
        if values.len() > WORDS {
            // Or the first values alone would have the same words, and theirs
            // would be all.
            let last = &mut words[WORDS - 1];
            *last = *last & (u64::MAX >> 8) | 0xfe << 56;
        }
        Self {
            values,
            words,
            words_are_all,
            hash,
        }
    }

    /// The values, in order.
    pub(crate) fn values(&self) -> &'k [&'k str] {
        self.values
    }
}

// Multiply-and-fold over words, as in wyhash and its kin. The constants are the
// fractional digits of pi: no structure of their own.
const WORD: u64 = 0x243f_6a88_85a3_08d3;
const END: u64 = 0x1319_8a2e_0370_7344;

/// Of eight bytes or more; the highest byte is that of no shorter value's word.
#[inline]
fn digest(seed: u64, bytes: &[u8]) -> u64 {
    let mut state = seed;
    for word in bytes.as_chunks().0 {
        state = fold(state ^ u64::from_le_bytes(*word), WORD);
    }
    // The last word overlaps the one before where the length is odd.
    let last = bytes
        .last_chunk()
        .map_or(0, |last| u64::from_le_bytes(*last));
    fold(state ^ last, WORD ^ bytes.len() as u64) | 0xff << 56
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
const STOP: u8 = 0xff;

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
                made.push(&[STOP]);
            }
        }
        Ok(made)
    }

    /// Names and values, in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        // Each run was copied from a &str, so reading it as one never fails.
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
        let mut parts = self.bytes().split(|byte| *byte == STOP);
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

    fn owned(values: &[&str]) -> LabelValues {
        LabelValues::new(&Key::new(7, values)).unwrap()
    }

    #[test]
    fn short_values_stay_in_place() {
        let values = owned(&["GET", "/metrics", "200"]);
        assert!(!values.spilled());
        assert_eq!(
            values.iter().collect::<Vec<_>>(),
            ["GET", "/metrics", "200"]
        );
    }

    #[test]
    fn a_cut_elsewhere_is_another_set() {
        let values = owned(&["a", "bc"]);
        assert!(values.are(&Key::new(7, &["a", "bc"])));
        for other in [&["ab", "c"][..], &["a"], &["a", "bc", ""], &["", "abc"]] {
            let key = Key::new(7, other);
            assert!(!values.are(&key), "{other:?}");
            assert_ne!(key.hash, Key::new(7, &["a", "bc"]).hash, "{other:?}");
        }
    }

    #[test]
    fn long_and_many_values_are_told_apart() {
        let values = ["/api/items", "b", "c", "d", "e", "/api/parts"];
        let one = owned(&values);
        assert!(one.are(&Key::new(7, &values)));
        assert!(!one.are(&Key::new(7, &values[..5])));
        for place in 0..values.len() {
            let mut other = values;
            other[place] = "another";
            assert!(!one.are(&Key::new(7, &other)), "{other:?}");
        }
    }

    #[test]
    fn the_first_values_alone_are_others() {
        let one = owned(&["a", "b", "c", "d", "e"]);
        assert!(one.are(&Key::new(7, &["a", "b", "c", "d", "e"])));
        assert!(!one.are(&Key::new(7, &["a", "b", "c", "d"])));
        assert!(!owned(&["a", "b", "c", "d"]).are(&Key::new(7, &["a", "b", "c", "d", "e"])));
    }

    #[test]
    fn values_of_one_digest_are_told_apart_by_their_text() {
        let mut one = owned(&["/api/items"]);
        let other = Key::new(7, &["/api/parts"]);
        one.words = other.words;
        assert!(!one.are(&other));
    }

    #[test]
    fn numbered_values_spread_over_a_table() {
        for prefix in ["prefix", "/a/long/prefix"] {
            let hashes: HashSet<u64> = (0..10_000)
                .map(|i| Key::new(1, &[prefix, &format!("{prefix}{i}"), &i.to_string()]).hash)
                .map(|hash| hash & 0xffff)
                .collect();
            // 10,000 balls in 65,536 bins leave 9,300 bins hit on average.
            assert!(hashes.len() > 9_100, "{}", hashes.len());
        }
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
            let owned = owned(&borrowed);
            prop_assert!(owned.are(&Key::new(7, &borrowed)));
            prop_assert_eq!(owned.iter().collect::<Vec<_>>(), borrowed);
        }

        #[test]
        fn comparison_agrees_with_std(
            a in prop::collection::vec("[ab]{0,9}", 0..3),
            b in prop::collection::vec("[ab]{0,9}", 0..3),
        ) {
            let a: Vec<&str> = a.iter().map(String::as_str).collect();
            let b: Vec<&str> = b.iter().map(String::as_str).collect();
            prop_assert_eq!(owned(&a).are(&Key::new(7, &b)), a == b);
        }
    }
}
