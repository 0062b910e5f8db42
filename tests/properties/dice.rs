//! Choices out of bytes: so that a fuzzer's bytes, and proptest's, can stand for
//! a registry. When the bytes are used up, every choice is the first.

pub struct Dice<'a>(&'a [u8]);

impl<'a> Dice<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        byte
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    pub fn bits(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// A float: one that goes wrong easily, or any.
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
            _ => f64::from(self.byte()) / 8.0,
        }
    }

    /// A text of a few characters, most of them such as need an escape.
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
