//! Choices for a registry, made from a fuzzer's or proptest's bytes. When the bytes are
//! used up, every choice is the first one.

use arbitrary::Unstructured;

pub struct Choices<'a>(Unstructured<'a>);

impl<'a> Choices<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(Unstructured::new(bytes))
    }

    /// Returns a number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.int_in_range(0..=end - 1).unwrap_or(0)
    }

    /// Returns one of the choices.
    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Returns any number.
    pub fn bits(&mut self) -> u64 {
        self.0.arbitrary().unwrap_or(0)
    }

    /// Returns a float: a special one, any one, or a small one.
    pub fn float(&mut self) -> f64 {
        const ODD: [f64; 14] = [
            0.0,
            -0.0,
            1.0,
            0.1,
            -2.5,
            1e6,
            1e16,
            9_007_199_254_740_993.0,
            1e-5,
            5e-324,
            f64::MAX,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
        ];
        match self.below(3) {
            0 => self.of(&ODD),
            1 => f64::from_bits(self.bits()),
            _ => self.below(256) as f64 / 8.0,
        }
    }

    /// Returns a text of a few characters, many of which need escapes.
    pub fn text(&mut self) -> String {
        const CHARACTERS: [char; 20] = [
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
            '\0',
            '\r',
            'é',
            '東',
            '\u{1f980}',
            '\u{feff}',
            '_',
        ];
        let len = self.below(8);
        (0..len).map(|_| self.of(&CHARACTERS)).collect()
    }
}
