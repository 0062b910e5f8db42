//! Label values: owned by a series, or borrowed by a look-up.
//!
//! A series owns its values as one run of bytes, stored in place if they are short. A
//! look-up borrows a `&[&str]`, from which a [`LookupKey`] is made on the stack: finding
//! a series clones nothing. Each value is one word of the key, which both the hash and
//! the comparison use.

use crate::cell::ExemplarLabels;
use crate::hash::{self, fold_multiply};
use crate::name::{self, NameError, NameRules};
use std::fmt;

/// The values of a series' labels, in the order of its family's label names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LabelValues {
    words: KeyWords,
    /// The values, each followed by [`STOP`].
    text: LabelText,
}

/// The longest text that is stored in place: that of most sets. The allocation of a
/// counter's series takes two cache lines then.
const SHORT_TEXT: usize = 38;

/// Bytes of a fixed length. 32 bytes less than a `SmallVec` with another for the ends
/// of the values.
#[derive(Clone, Debug, PartialEq, Eq)]
enum LabelText {
    /// The bytes after the first `len` are 0.
    Here {
        len: u8,
        bytes: [u8; SHORT_TEXT],
    },
    Boxed(Box<[u8]>),
}

impl LabelText {
    /// So many zeros.
    fn zeros(len: usize) -> Self {
        match u8::try_from(len) {
            Ok(len) if usize::from(len) <= SHORT_TEXT => Self::Here {
                len,
                bytes: [0; SHORT_TEXT],
            },
            _ => Self::Boxed(vec![0; len].into()),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Here { len, bytes } => &bytes[..usize::from(*len)],
            Self::Boxed(bytes) => bytes,
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Here { len, bytes } => &mut bytes[..usize::from(*len)],
            Self::Boxed(bytes) => bytes,
        }
    }
}

impl LabelValues {
    /// Copies the values of `key`; `None` if they are longer than 4 GiB together.
    pub(crate) fn new(key: &LookupKey<'_>) -> Option<Self> {
        let len = key.values.iter().map(|value| value.len() + 1).sum();
        u32::try_from(len).ok()?;
        let mut text = LabelText::zeros(len);
        let mut rest = text.bytes_mut();
        for value in key.values {
            let (to, stop);
            (to, rest) = rest.split_at_mut(value.len());
            to.copy_from_slice(value.as_bytes());
            (stop, rest) = rest.split_at_mut(1);
            stop[0] = STOP;
        }
        Some(Self {
            words: key.words,
            text,
        })
    }

    /// Returns true if these are the values of `key`, which must have been made with
    /// this family's seed.
    #[inline]
    pub(crate) fn matches(&self, key: &LookupKey<'_>) -> bool {
        let same_text = || {
            let mut rest = self.text.bytes();
            let mut is_next = |value: &str| match rest.split_at_checked(value.len()) {
                Some((text, [STOP, after @ ..])) if text == value.as_bytes() => {
                    rest = after;
                    true
                }
                _ => false,
            };
            key.values.iter().all(|value| is_next(value)) && rest.is_empty()
        };
        // Word by word: `==` would load two words at once that have just been stored
        // one by one, and wait until both have reached the cache.
        let pairs = self.words.iter().zip(&key.words);
        let same_words = pairs.fold(0, |differ, (a, b)| differ | (a ^ b)) == 0;
        same_words && (key.words_suffice || same_text())
    }

    /// Returns the values, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        // Each run was copied from a &str, so this never fails.
        self.bytes()
            .map(|value| std::str::from_utf8(value).unwrap_or_default())
    }

    /// Returns the values, in order, as bytes. They are UTF-8.
    pub(crate) fn bytes(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.text.bytes();
        std::iter::from_fn(move || {
            let (value, after) = rest.split_at_checked(stop(rest)?)?;
            rest = after.get(1..)?;
            Some(value)
        })
    }

    /// Returns the number of values.
    pub(crate) fn len(&self) -> usize {
        let stops = self.text.bytes().iter().filter(|byte| **byte == STOP);
        stops.count()
    }

    /// Returns true if the values need an allocation of their own.
    #[cfg(test)]
    fn spilled(&self) -> bool {
        matches!(self.text, LabelText::Boxed(_))
    }
}

/// A word for each of the first values, then zeros.
///
/// The word of a value of up to seven bytes is the value itself, with its length
/// plus one in the highest byte. The word of a longer value is its hash, with 0xff in
/// the highest byte. If values without a word follow, the highest byte of the last
/// word is 0xfe.
type KeyWords = [u64; WORDS];

const WORDS: usize = 4;

/// The values of a look-up, with their hash and their words.
pub(crate) struct LookupKey<'k> {
    values: &'k [&'k str],
    words: KeyWords,
    /// True if equal words imply equal values.
    words_suffice: bool,
    pub(crate) hash: u64,
}

impl<'k> LookupKey<'k> {
    /// Makes the key of `values`. `seed` is random for each family, so that someone
    /// who chooses label values cannot choose collisions.
    #[inline]
    pub(crate) fn new(seed: u64, values: &'k [&'k str]) -> Self {
        let mut words = KeyWords::default();
        let mut words_suffice = values.len() <= words.len();
        let mut hash = seed;
        for (index, value) in values.iter().enumerate() {
            let bytes = value.as_bytes();
            let word = match bytes.len() {
                0..8 => hash::load_short(bytes) | (bytes.len() as u64 + 1) << 56,
                _ => {
                    words_suffice = false;
                    hash::hash_long(seed, bytes) | 0xff << 56
                }
            };
            hash = fold_multiply(hash ^ word, hash::PI[1]);
            if let Some(slot) = words.get_mut(index) {
                *slot = word;
            }
        }
        if values.len() > WORDS {
            // Without this mark, a key of the first values alone would have the same
            // words.
            let last = &mut words[WORDS - 1];
            *last = *last & (u64::MAX >> 8) | 0xfe << 56;
        }
        Self {
            values,
            words,
            words_suffice,
            hash,
        }
    }

    /// Returns the values, in order.
    pub(crate) fn values(&self) -> &'k [&'k str] {
        self.values
    }
}

/// Terminates a value, or a name in the text of an exemplar. Not a byte of UTF-8.
const STOP: u8 = 0xff;

/// Returns the position of the first [`STOP`]. Eight bytes at a time: byte by byte, the
/// first scrape of 3,500 lines took a quarter longer.
#[inline]
fn stop(text: &[u8]) -> Option<usize> {
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let inverse = !u64::from_le_bytes(*word);
        // The lowest bit that is set here is that of the first byte of `inverse` that
        // is 0.
        let zeros = inverse.wrapping_sub(0x0101_0101_0101_0101) & !inverse & 0x8080_8080_8080_8080;
        if zeros != 0 {
            return Some(8 * index + zeros.trailing_zeros() as usize / 8);
        }
    }
    let in_rest = rest.iter().position(|byte| *byte == STOP)?;
    Some(text.len() - rest.len() + in_rest)
}

/// The most code points that the names and values of an exemplar may have together.
const EXEMPLAR_CODE_POINTS: usize = 128;

impl ExemplarLabels {
    /// Creates the labels of an exemplar from names and values. There may be none.
    ///
    /// # Errors
    /// There are more than 128 code points in names and values together, a name is not
    /// a classic label name, or one is given twice.
    pub fn new<'l>(
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
    ) -> Result<Self, ExemplarError> {
        let mut made = Self::EMPTY;
        let mut left = EXEMPLAR_CODE_POINTS;
        for (index, (name, value)) in labels.into_iter().enumerate() {
            name::check_label_name(name, NameRules::Classic)
                .map_err(|error| ExemplarError::Name { index, error })?;
            if made.iter().any(|(earlier, _)| earlier == name) {
                return Err(ExemplarError::DuplicateName { index });
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

    /// Returns names and values, in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        // Each run was copied from a &str, so reading it as one never fails.
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
        let mut parts = self.bytes().split(|byte| *byte == STOP);
        // The last value is followed by nothing but the end of the text.
        std::iter::from_fn(move || Some((text(parts.next()?), text(parts.next()?))))
    }
}

impl fmt::Debug for ExemplarLabels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// The reason why labels cannot be those of an exemplar. Indices count from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExemplarError {
    /// Up to and including this label, names and values have more than 128 code points.
    TooLong {
        /// The index of the label.
        index: usize,
    },
    /// A name is not a valid label name.
    Name {
        /// The index of the label.
        index: usize,
        /// The reason.
        error: NameError,
    },
    /// A label has the name of an earlier one.
    DuplicateName {
        /// The index of the label.
        index: usize,
    },
}

impl fmt::Display for ExemplarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { index } => write!(
                f,
                "exemplar labels are too long from label {index} on: expected at most \
                 {EXEMPLAR_CODE_POINTS} characters in all names and values together"
            ),
            Self::Name { index, error } => write!(f, "exemplar label {index}: {error}"),
            Self::DuplicateName { index } => write!(
                f,
                "exemplar label {index} has the name of an earlier one: give each name once"
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
        LabelValues::new(&LookupKey::new(7, values)).unwrap()
    }

    #[test]
    fn short_values_need_no_allocation() {
        let values = owned(&["GET", "/metrics", "200"]);
        assert!(!values.spilled());
        assert_eq!(
            values.iter().collect::<Vec<_>>(),
            ["GET", "/metrics", "200"]
        );
    }

    #[test]
    fn label_values_are_compared_individually() {
        let values = owned(&["a", "bc"]);
        assert!(values.matches(&LookupKey::new(7, &["a", "bc"])));
        for other in [&["ab", "c"][..], &["a"], &["a", "bc", ""], &["", "abc"]] {
            let key = LookupKey::new(7, other);
            assert!(!values.matches(&key), "{other:?}");
            assert_ne!(key.hash, LookupKey::new(7, &["a", "bc"]).hash, "{other:?}");
        }
    }

    #[test]
    fn long_and_many_values_differ_if_one_differs() {
        let values = ["/api/items", "b", "c", "d", "e", "/api/parts"];
        let one = owned(&values);
        assert!(one.matches(&LookupKey::new(7, &values)));
        assert!(!one.matches(&LookupKey::new(7, &values[..5])));
        for index in 0..values.len() {
            let mut other = values;
            other[index] = "another";
            assert!(!one.matches(&LookupKey::new(7, &other)), "{other:?}");
        }
    }

    #[test]
    fn first_values_alone_do_not_match() {
        let one = owned(&["a", "b", "c", "d", "e"]);
        assert!(one.matches(&LookupKey::new(7, &["a", "b", "c", "d", "e"])));
        assert!(!one.matches(&LookupKey::new(7, &["a", "b", "c", "d"])));
        assert!(
            !owned(&["a", "b", "c", "d"]).matches(&LookupKey::new(7, &["a", "b", "c", "d", "e"]))
        );
    }

    #[test]
    fn values_with_equal_hashes_are_compared_by_text() {
        let mut one = owned(&["/api/items"]);
        let other = LookupKey::new(7, &["/api/parts"]);
        one.words = other.words;
        assert!(!one.matches(&other));
    }

    #[test]
    fn numbered_values_spread_over_a_table() {
        for prefix in ["prefix", "/a/long/prefix"] {
            let hashes: HashSet<u64> = (0..10_000)
                .map(|i| LookupKey::new(1, &[prefix, &format!("{prefix}{i}"), &i.to_string()]).hash)
                .map(|hash| hash & 0xffff)
                .collect();
            // 10,000 balls in 65,536 bins leave 9,300 bins hit on average.
            assert!(hashes.len() > 9_100, "{}", hashes.len());
        }
    }

    #[test]
    fn exemplar_labels_round_trip() {
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
    fn exemplar_labels_over_128_code_points_are_refused() {
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
    fn invalid_exemplar_label_names_are_refused() {
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
            ExemplarError::DuplicateName { index: 1 }
        );
    }

    proptest! {
        #[test]
        fn owned_values_equal_their_source(values in prop::collection::vec(".{0,20}", 0..6)) {
            let borrowed: Vec<&str> = values.iter().map(String::as_str).collect();
            let owned = owned(&borrowed);
            prop_assert!(owned.matches(&LookupKey::new(7, &borrowed)));
            prop_assert_eq!(owned.iter().collect::<Vec<_>>(), borrowed);
        }

        #[test]
        fn comparison_agrees_with_std(
            a in prop::collection::vec("[ab]{0,9}", 0..3),
            b in prop::collection::vec("[ab]{0,9}", 0..3),
        ) {
            let a: Vec<&str> = a.iter().map(String::as_str).collect();
            let b: Vec<&str> = b.iter().map(String::as_str).collect();
            prop_assert_eq!(owned(&a).matches(&LookupKey::new(7, &b)), a == b);
        }
    }
}
