//! Fingerprints of series: eight bytes that stand for the labels.
//!
//! Fingerprints are keyed at random, so that a page can't be written to make
//! different series look the same. Among ten million series, the chance of a
//! collision is one in a hundred thousand or less.

use crate::exposition::parser::Sample;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher, RandomState};

/// Makes fingerprints.
#[derive(Debug)]
pub(super) struct Fingerprinter {
    keys: [u64; 3],
    scratch: Vec<u8>,
}

impl Fingerprinter {
    pub(super) fn new() -> Self {
        let random = RandomState::new();
        Self {
            keys: [0u8, 1, 2].map(|key| random.hash_one(key) | 1),
            scratch: Vec::new(),
        }
    }

    /// Returns the fingerprint of a name.
    pub(super) fn of_name(&self, name: &str) -> u64 {
        self.of_bytes(name.as_bytes())
    }

    /// Returns the fingerprint of a sample's labels, ignoring their order and the
    /// label called `excluded`.
    #[inline]
    pub(super) fn of_labels(&mut self, sample: &Sample<'_>, excluded: &str) -> u64 {
        let mut labels = sample.labels();
        let mut sum = self.keys[2];
        while let Some((name, written)) = labels.next_known() {
            if name != excluded.as_bytes() {
                sum = sum.wrapping_add(self.of_bytes(written));
            }
        }
        for label in labels {
            if label.name != excluded {
                sum = sum.wrapping_add(self.of_spelled_label(&label.name, &label.value));
            }
        }
        sum
    }

    /// Returns the fingerprint of a sample's labels and timestamp as the Prometheus
    /// server sees them: labels with an empty value are left out, and so is the one
    /// called `excluded`.
    pub(super) fn of_point(&mut self, sample: &Sample<'_>, excluded: &str) -> u64 {
        let mut labels = sample.labels();
        let mut sum = self.keys[2];
        while let Some((name, written)) = labels.next_known() {
            // As written: `name="value`.
            let is_empty = written.len() == name.len() + 2;
            if !is_empty && name != excluded.as_bytes() {
                sum = sum.wrapping_add(self.of_bytes(written));
            }
        }
        for label in labels {
            if !label.value.is_empty() && label.name != excluded {
                sum = sum.wrapping_add(self.of_spelled_label(&label.name, &label.value));
            }
        }
        match sample.timestamp() {
            Some(timestamp) => fold(
                sum ^ self.keys[0],
                timestamp.seconds().to_bits() ^ self.keys[1],
            ),
            None => sum,
        }
    }

    /// Returns the fingerprint of a label written with blanks, escapes or a quoted
    /// name. It equals that of the same label in its plain spelling, if it has one.
    #[cold]
    fn of_spelled_label(&mut self, name: &str, value: &str) -> u64 {
        self.scratch.clear();
        if name.contains('=') {
            // No text has this byte, so no plain label has this fingerprint.
            self.scratch.push(0xff);
            self.scratch.extend_from_slice(&name.len().to_le_bytes());
        }
        self.scratch.extend_from_slice(name.as_bytes());
        self.scratch.extend_from_slice(b"=\"");
        self.scratch.extend_from_slice(value.as_bytes());
        self.of_bytes(&self.scratch)
    }

    /// Hashes sixteen bytes a step by multiplying two keyed words, like wyhash.
    #[inline]
    fn of_bytes(&self, bytes: &[u8]) -> u64 {
        let [first, second, third] = self.keys;
        // The length is keyed, because a byte of the text could cancel it otherwise,
        // as in `f1` and `f10`.
        let mut state = third ^ second.wrapping_mul(bytes.len() as u64);
        let word = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
        let mut rest = bytes;
        while let (Some((low, high)), true) = (rest.split_first_chunk(), rest.len() > 16) {
            let second_word = high.first_chunk().expect("more than 16 bytes");
            state = fold(word(low) ^ first, word(second_word) ^ state);
            rest = &rest[16..];
        }
        let (low, high) = match (rest.first_chunk(), rest.last_chunk()) {
            (Some(low), Some(high)) => (word(low), word(high)),
            _ => short_words(rest),
        };
        fold(fold(low ^ first, high ^ state), second)
    }
}

/// Loads up to seven bytes as two words.
#[inline]
fn short_words(bytes: &[u8]) -> (u64, u64) {
    let word = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(low), Some(high)) => (word(low), word(high)),
        _ => match bytes {
            [] => (0, 0),
            [first, .., last] => (
                u64::from(*first) << 8 | u64::from(bytes[bytes.len() / 2]),
                u64::from(*last),
            ),
            [only] => (u64::from(*only) << 8 | u64::from(*only), u64::from(*only)),
        },
    }
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// A map whose keys are fingerprints.
pub(super) type FingerprintMap<V> = HashMap<u64, V, IdentityHasher>;

/// Estimates the memory of a map: its entries and a byte for each, of which an
/// eighth stays empty.
pub(super) fn table_bytes<V>(map: &FingerprintMap<V>) -> usize {
    map.capacity() * (size_of::<(u64, V)>() + 1) / 7 * 8
}

/// A set of fingerprints.
#[derive(Debug, Default)]
pub(super) struct FingerprintSet(HashSet<u64, IdentityHasher>);

impl FingerprintSet {
    /// Adds a fingerprint. Returns true if it is new.
    #[inline]
    pub(super) fn insert(&mut self, fingerprint: u64) -> bool {
        self.0.insert(fingerprint)
    }

    /// Adds a fingerprint unless the set has `limit` of them. Returns false if the set
    /// had it already.
    pub(super) fn insert_up_to(&mut self, fingerprint: u64, limit: usize) -> bool {
        match self.0.len() < limit {
            true => self.0.insert(fingerprint),
            false => !self.0.contains(&fingerprint),
        }
    }

    /// Returns true if the set must grow for the next fingerprint.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.0.len() == self.0.capacity()
    }

    /// Estimates the memory of the set.
    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * (size_of::<u64>() + 1) / 7 * 8
    }

    /// Removes all fingerprints. Frees the memory if it is large and far larger than
    /// was needed, so that small families after a large one do not pay for clearing
    /// it.
    pub(super) fn clear(&mut self) {
        if self.0.capacity() > 1024 && self.0.len() < self.0.capacity() / 16 {
            *self = Self::default();
        } else {
            self.0.clear();
        }
    }
}

/// A hasher for fingerprints, which are hashes already.
#[derive(Clone, Copy, Default)]
pub(super) struct IdentityHasher(u64);

impl BuildHasher for IdentityHasher {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a fingerprint is one word");
    }

    fn write_u64(&mut self, fingerprint: u64) {
        self.0 = fingerprint;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::Format;
    use crate::exposition::parser::{Event, parse};

    fn fingerprint(by: &mut Fingerprinter, labels: &str, excluded: &str) -> u64 {
        let page = format!("a{{{labels}}} 1\n");
        match parse(&page, Format::Text1).next() {
            Some(Ok(Event::Sample(sample))) => by.of_labels(&sample, excluded),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn spelling_of_labels_does_not_change_the_fingerprint() {
        let mut by = Fingerprinter::new();
        let plain = fingerprint(&mut by, "a=\"b\",c=\"d\"", "");
        for same in [
            "c=\"d\",a=\"b\"",
            " a = \"b\" , c=\"d\" ",
            "\"a\"=\"b\",\"c\"=\"d\"",
            "le=\"1\",c=\"d\",a=\"b\"",
            "c=\"d\",\"le\"=\"1\",a=\"b\"",
        ] {
            assert_eq!(fingerprint(&mut by, same, "le"), plain, "{same}");
        }
        let escaped = fingerprint(&mut by, "a=\"\\\\\"", "");
        assert_eq!(escaped, fingerprint(&mut by, " a=\"\\\\\"", ""));
    }

    #[test]
    fn different_labels_have_different_fingerprints() {
        let mut by = Fingerprinter::new();
        let all = [
            "",
            "a=\"\"",
            "a=\"b\"",
            "a=\"bb\"",
            "a=\"bbb\"",
            "a=\"b\",c=\"d\"",
            "a=\"d\",c=\"b\"",
            "a=\"0123456789012345678901234567890123456789\"",
            "a=\"0123456789012345678901234567890123456780\"",
            "a=\"0123456799012345678901234567890123456789\"",
            "\"a=\\\"b\"=\"c\"",
            "a=\"b=\\\"c\"",
        ];
        let mut seen = FingerprintSet::default();
        for labels in all {
            assert!(seen.insert(fingerprint(&mut by, labels, "")), "{labels}");
        }
        for labels in all {
            assert!(!seen.insert(fingerprint(&mut by, labels, "")), "{labels}");
        }
    }

    #[test]
    fn short_names_have_different_fingerprints() {
        let by = Fingerprinter::new();
        let mut seen = FingerprintSet::default();
        let letters = "0123456789abcdefghijkop".chars();
        let mut shorter = vec![String::new()];
        for _ in 0..4 {
            let mut texts = Vec::new();
            for text in &shorter {
                for letter in letters.clone() {
                    let longer = format!("{text}{letter}");
                    assert!(seen.insert(by.of_name(&longer)), "{longer}");
                    texts.push(longer);
                }
            }
            shorter = texts;
        }
        // Repeated letters: longer texts begin and end like shorter ones.
        for len in 5..40 {
            for last in letters.clone().filter(|&last| last != 'o') {
                let text = format!("{}{last}", "o".repeat(len));
                assert!(seen.insert(by.of_name(&text)), "{text}");
            }
        }
    }

    #[test]
    fn set_keeps_fingerprints_until_it_is_cleared() {
        let mut set = FingerprintSet::default();
        for round in 0..3u64 {
            let len = [10_000, 3, 5_000][round as usize];
            for number in 0..len {
                assert!(set.insert(fold(number + 1, 0x9e37_79b9_7f4a_7c15)));
            }
            for number in 0..len {
                assert!(!set.insert(fold(number + 1, 0x9e37_79b9_7f4a_7c15)));
            }
            set.clear();
        }
        assert!(set.insert(0));
        assert!(!set.insert(0));
    }
}
