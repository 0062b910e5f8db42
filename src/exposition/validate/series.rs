//! Which series were there: a fingerprint of eight bytes for each.
//!
//! A fingerprint is keyed at random, so nobody can write a page whose series
//! seem to be the same; that two of ten million differ and seem not to has a
//! chance of one in a million.

use crate::exposition::parser::Sample;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

/// Makes fingerprints.
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

    /// Of a name.
    pub(super) fn of_name(&self, name: &str) -> u64 {
        self.of_bytes(name.as_bytes())
    }

    /// Of the labels of a sample, in whatever order they stand, without the one
    /// that is named `but`.
    #[inline]
    pub(super) fn of_labels(&mut self, sample: &Sample<'_>, but: &str) -> u64 {
        let mut labels = sample.labels();
        let mut sum = self.keys[2];
        while let Some((name, written)) = labels.next_known() {
            if name != but {
                sum = sum.wrapping_add(self.of_bytes(written.as_bytes()));
            }
        }
        for label in labels {
            if label.name != but {
                sum = sum.wrapping_add(self.of_odd_label(&label.name, &label.value));
            }
        }
        sum
    }

    /// Of a label that is written with blanks, escapes or a name in quotes: as
    /// of the same label written plainly, if it can be.
    #[cold]
    fn of_odd_label(&mut self, name: &str, value: &str) -> u64 {
        self.scratch.clear();
        if name.contains('=') {
            // A byte that no text has keeps it apart from every plain one.
            self.scratch.push(0xff);
            self.scratch.extend_from_slice(&name.len().to_le_bytes());
        }
        self.scratch.extend_from_slice(name.as_bytes());
        self.scratch.extend_from_slice(b"=\"");
        self.scratch.extend_from_slice(value.as_bytes());
        self.of_bytes(&self.scratch)
    }

    /// Sixteen bytes to a step, each of which multiplies two keyed words into
    /// one: the hash that many hash tables use.
    #[inline]
    fn of_bytes(&self, bytes: &[u8]) -> u64 {
        let [first, second, third] = self.keys;
        // Keyed, or a byte of the text could make up for the length: it did, in
        // `f1` and `f10`.
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

/// At most seven bytes as two words.
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

/// A set of fingerprints.
#[derive(Default)]
pub(super) struct Fingerprints {
    /// A power of two of slots, most of them 0: empty.
    slots: Vec<u64>,
    len: usize,
}

impl Fingerprints {
    /// Whether it is new.
    #[inline]
    pub(super) fn insert(&mut self, fingerprint: u64) -> bool {
        // A quarter stays empty, so that searches are short.
        if self.len >= self.slots.len() / 4 * 3 {
            self.grow();
        }
        self.place(fingerprint.max(1))
    }

    #[inline]
    fn place(&mut self, fingerprint: u64) -> bool {
        let mask = self.slots.len() - 1;
        let mut at = fingerprint as usize & mask;
        loop {
            match self.slots[at] {
                0 => break,
                other if other == fingerprint => return false,
                _ => at = (at + 1) & mask,
            }
        }
        self.slots[at] = fingerprint;
        self.len += 1;
        true
    }

    #[cold]
    fn grow(&mut self) {
        let larger = vec![0; (self.slots.len() * 2).max(64)];
        let old = std::mem::replace(&mut self.slots, larger);
        self.len = 0;
        for fingerprint in old.into_iter().filter(|&fingerprint| fingerprint != 0) {
            self.place(fingerprint);
        }
    }

    /// Empties it. Gives back what a far larger family had needed: else each
    /// small one behind it would pay for emptying that.
    pub(super) fn clear(&mut self) {
        if self.len < self.slots.len() / 16 {
            self.slots = Vec::new();
        } else {
            self.slots.fill(0);
        }
        self.len = 0;
    }
}

/// A map whose keys are fingerprints, which need no hashing again.
pub(super) type ByFingerprint<V> = HashMap<u64, V, AsItIs>;

#[derive(Clone, Copy, Default)]
pub(super) struct AsItIs(u64);

impl BuildHasher for AsItIs {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

impl Hasher for AsItIs {
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

    fn fingerprint(by: &mut Fingerprinter, labels: &str, but: &str) -> u64 {
        let page = format!("a{{{labels}}} 1\n");
        match parse(&page, Format::Text1).next() {
            Some(Ok(Event::Sample(sample))) => by.of_labels(&sample, but),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_same_labels_have_one_fingerprint_however_they_are_written() {
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
    fn other_labels_have_another_fingerprint() {
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
        let mut seen = Fingerprints::default();
        for labels in all {
            assert!(seen.insert(fingerprint(&mut by, labels, "")), "{labels}");
        }
        for labels in all {
            assert!(!seen.insert(fingerprint(&mut by, labels, "")), "{labels}");
        }
    }

    #[test]
    fn no_two_short_texts_have_one_fingerprint() {
        let by = Fingerprinter::new();
        let mut seen = Fingerprints::default();
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
        // Of one letter, where a longer text begins and ends as a shorter one
        // does, and but for its last.
        for len in 5..40 {
            for last in letters.clone().filter(|&last| last != 'o') {
                let text = format!("{}{last}", "o".repeat(len));
                assert!(seen.insert(by.of_name(&text)), "{text}");
            }
        }
    }

    #[test]
    fn a_set_keeps_what_is_put_into_it_until_it_is_cleared() {
        let mut set = Fingerprints::default();
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
