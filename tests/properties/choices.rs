//! Choices for a registry, made from a fuzzer's or proptest's bytes.

/// The choices of the crate's own generator.
#[allow(dead_code)] // each includer uses some of it
#[path = "../../src/generate/choices.rs"]
mod shared;

pub(crate) use shared::Choices;

/// Characters for label values and help, many of which need escapes.
pub(crate) const CHARACTERS: &[char] = &[
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

/// Returns a float: a special one, any one, or a small one.
pub(crate) fn float(choices: &mut Choices<'_, '_>) -> f64 {
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
    match choices.below(3) {
        0 => choices.of(&ODD),
        1 => f64::from_bits(choices.bits()),
        _ => choices.below(256) as f64 / 8.0,
    }
}
