//! Choices made from bytes. When the bytes are used up, each choice is the first one.

use arbitrary::Unstructured;

/// The characters of texts, many of which need escapes.
const ALPHABET: &[char] = &[
    'a',
    'b',
    '"',
    '\\',
    '\n',
    ' ',
    '{',
    '}',
    ',',
    '=',
    '#',
    'n',
    '\t',
    'é',
    '東',
    '\u{1f980}',
    '_',
];

pub(crate) struct Choices<'a, 'b> {
    bytes: &'a mut Unstructured<'b>,
    alphabet: &'static [char],
}

impl<'a, 'b> Choices<'a, 'b> {
    pub(crate) fn new(bytes: &'a mut Unstructured<'b>) -> Self {
        Self::with_alphabet(bytes, ALPHABET)
    }

    /// Choices whose texts are of these characters.
    pub(crate) fn with_alphabet(
        bytes: &'a mut Unstructured<'b>,
        alphabet: &'static [char],
    ) -> Self {
        Self { bytes, alphabet }
    }

    /// Returns a number below `end`, which must not be 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.bytes.int_in_range(0..=end - 1).unwrap_or(0)
    }

    /// Returns true once in `times`, if the bytes are random.
    pub(crate) fn rarely(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }

    /// Returns one of the choices.
    pub(crate) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Returns any number.
    pub(crate) fn bits(&mut self) -> u64 {
        self.bytes.arbitrary().unwrap_or(0)
    }

    /// Returns a text of a few characters.
    pub(crate) fn text(&mut self) -> String {
        let len = self.below(8);
        (0..len).map(|_| self.of(self.alphabet)).collect()
    }
}
