//! Choices made from bytes. When the bytes are used up, each choice is the first one.

use arbitrary::Unstructured;

pub(super) struct Choices<'a, 'b>(&'a mut Unstructured<'b>);

impl<'a, 'b> Choices<'a, 'b> {
    pub(super) fn new(bytes: &'a mut Unstructured<'b>) -> Self {
        Self(bytes)
    }

    /// Returns a number below `end`, which must not be 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0.int_in_range(0..=end - 1).unwrap_or(0)
    }

    /// Returns true once in `times`, if the bytes are random.
    pub(super) fn rarely(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }

    /// Returns one of the choices.
    pub(super) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Returns any number.
    pub(super) fn bits(&mut self) -> u64 {
        self.0.arbitrary().unwrap_or(0)
    }

    /// Returns a text of a few characters, many of which need escapes.
    pub(super) fn text(&mut self) -> String {
        const CHARACTERS: [char; 17] = [
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
        let len = self.below(8);
        (0..len).map(|_| self.of(&CHARACTERS)).collect()
    }
}
