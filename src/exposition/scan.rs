//! Finds the next byte of a class, sixteen bytes at a time: the first step of the
//! escapers and of the lexer.
//!
//! A [`Vector`] answers one question about its sixteen bytes with a mask of sixteen
//! bits; a scan asks it of block after block. On x86-64 a block is an SSE2
//! register; elsewhere it is an array, which compilers vectorise where they can.
//! The last bytes of a text are read in a block that overlaps the one before, and a
//! text shorter than a block byte by byte.

#![cfg_attr(not(feature = "parse"), allow(dead_code))] // the lexer's scans

use crate::name::{is_in_label_name, is_in_metric_name};

const WIDTH: usize = 16;
/// The mask of a whole block.
const ALL: u32 = (1 << WIDTH) - 1;

/// The result of a scan.
pub(crate) struct Found {
    /// The position found, or the length of the text.
    pub(crate) at: usize,
    /// Whether a byte before that is not ASCII.
    pub(crate) non_ascii: bool,
}

/// Finds the first byte from `from` on that is not in `[a-zA-Z0-9_:]`, the alphabet
/// of metric names.
#[inline]
pub(crate) fn metric_name_end(text: &[u8], from: usize) -> usize {
    let is_stop = |byte| !is_in_metric_name(byte);
    scan(text, from, |block| block.names(b':') ^ ALL, is_stop).at
}

/// Like [`metric_name_end`], but looks at whole blocks only: `None` if nothing is
/// found in them.
#[inline]
pub(crate) fn metric_name_end_in_blocks(text: &[u8], from: usize) -> Option<usize> {
    found(scan_blocks(text, from, |block| block.names(b':') ^ ALL))
}

/// Finds the first byte from `from` on that is not in `[a-zA-Z0-9_]`, the alphabet
/// of label names.
#[inline]
pub(crate) fn label_name_end(text: &[u8], from: usize) -> usize {
    let is_stop = |byte| !is_in_label_name(byte);
    scan(text, from, |block| block.names(b'9') ^ ALL, is_stop).at
}

/// Like [`label_name_end`], but looks at whole blocks only.
#[inline]
pub(crate) fn label_name_end_in_blocks(text: &[u8], from: usize) -> Option<usize> {
    found(scan_blocks(text, from, |block| block.names(b'9') ^ ALL))
}

/// Finds the first `"`, `\` or newline from `from` on.
#[inline]
pub(crate) fn quoted_end(text: &[u8], from: usize) -> Found {
    let is_stop = |byte| matches!(byte, b'"' | b'\\' | b'\n');
    scan(text, from, Vector::ends_quoted, is_stop)
}

/// Finds the first `"`, `\`, newline or non-ASCII byte from `from` on, in whole
/// blocks only.
#[inline]
pub(crate) fn quoted_end_in_blocks(text: &[u8], from: usize) -> Option<usize> {
    found(scan_blocks(text, from, |block| {
        block.ends_quoted() | block.non_ascii()
    }))
}

/// Finds the first `\` or newline from `from` on.
#[inline]
pub(crate) fn help_end(text: &[u8], from: usize) -> Found {
    scan(
        text,
        from,
        |block| block.equal(b'\\') | block.equal(b'\n'),
        |byte| matches!(byte, b'\\' | b'\n'),
    )
}

/// Finds the first `\`, newline or non-ASCII byte from `from` on, in whole blocks
/// only.
#[inline]
pub(crate) fn help_end_in_blocks(text: &[u8], from: usize) -> Option<usize> {
    found(scan_blocks(text, from, |block| {
        block.equal(b'\\') | block.equal(b'\n') | block.non_ascii()
    }))
}

/// Returns a lower bound for the length of the common prefix of two texts. Looks at
/// whole blocks only, up to the one that holds byte `asked`.
#[inline]
pub(crate) fn common_prefix_len(text: &[u8], other: &[u8], asked: usize) -> usize {
    let mut rests = (text, other);
    let mut common = 0;
    while common < asked
        && let Some((block, rest)) = rests.0.split_first_chunk()
        && let Some((other, other_rest)) = rests.1.split_first_chunk()
    {
        let differ = Vector::load(block).equal_to(Vector::load(other)) ^ ALL;
        if differ != 0 {
            return common + differ.trailing_zeros() as usize;
        }
        common += WIDTH;
        rests = (rest, other_rest);
    }
    common
}

/// Finds the first newline from `from` on.
#[inline]
pub(crate) fn line_end(text: &[u8], from: usize) -> usize {
    scan(text, from, |block| block.equal(b'\n'), |byte| byte == b'\n').at
}

#[inline(always)]
fn scan(
    text: &[u8],
    from: usize,
    stops: impl Fn(Vector) -> u32,
    is_stop: impl Fn(u8) -> bool,
) -> Found {
    scan_blocks(text, from, &stops).unwrap_or_else(|before| {
        let rest = scan_rest(text, before.at, &stops, is_stop);
        Found {
            non_ascii: before.non_ascii | rest.non_ascii,
            ..rest
        }
    })
}

/// Converts the result of a scan of whole blocks.
#[inline(always)]
fn found(result: Result<Found, Found>) -> Option<usize> {
    result.ok().map(|found| found.at)
}

/// Scans whole blocks. The error is the position after the last block, if nothing
/// was found.
#[inline(always)]
fn scan_blocks(text: &[u8], from: usize, stops: impl Fn(Vector) -> u32) -> Result<Found, Found> {
    let mut at = from;
    let mut rest = text.get(from..).unwrap_or_default();
    let mut non_ascii = 0;
    while let Some((bytes, after)) = rest.split_first_chunk() {
        let block = Vector::load(bytes);
        let stops = stops(block);
        if stops != 0 {
            let first = stops.trailing_zeros();
            let before = !(u32::MAX << first);
            return Ok(Found {
                at: at + first as usize,
                non_ascii: (non_ascii | block.non_ascii() & before) != 0,
            });
        }
        non_ascii |= block.non_ascii();
        at += WIDTH;
        rest = after;
    }
    Err(Found {
        at,
        non_ascii: non_ascii != 0,
    })
}

/// Scans the last bytes of a text, in a block that begins before them.
#[inline(never)]
fn scan_rest(
    text: &[u8],
    from: usize,
    stops: impl Fn(Vector) -> u32,
    is_stop: impl Fn(u8) -> bool,
) -> Found {
    let (Some(bytes), true) = (text.last_chunk(), from < text.len()) else {
        return scan_bytes(text, from, is_stop);
    };
    let start = text.len() - WIDTH;
    let block = Vector::load(bytes);
    let asked = u32::MAX << (from - start);
    // The end of the text, after the block, stops every scan.
    let stops = stops(block) & asked | 1 << WIDTH;
    let before = asked & !(u32::MAX << stops.trailing_zeros());
    Found {
        at: start + stops.trailing_zeros() as usize,
        non_ascii: block.non_ascii() & before != 0,
    }
}

/// Scans a text that is shorter than a block.
#[cold]
fn scan_bytes(text: &[u8], from: usize, is_stop: impl Fn(u8) -> bool) -> Found {
    let rest = text.get(from..).unwrap_or_default();
    let stop = rest.iter().position(|&byte| is_stop(byte));
    let len = stop.unwrap_or(rest.len());
    Found {
        at: from + len,
        non_ascii: !rest[..len].is_ascii(),
    }
}

#[cfg(target_arch = "x86_64")]
use sse2::Vector;

#[cfg(not(target_arch = "x86_64"))]
use portable::Vector;

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use super::WIDTH;
    use std::arch::x86_64::*;

    /// Defines functions that call one intrinsic each.
    macro_rules! intrinsics {
        ($($name:ident($($argument:ident: $kind:ty),*) -> $result:ty = $intrinsic:ident;)*) => {$(
            #[allow(unsafe_code)]
            #[inline(always)]
            fn $name($($argument: $kind),*) -> $result {
                // SAFETY: SSE2 is part of x86-64, and the intrinsic, which touches
                // no memory, has no other requirement.
                unsafe { $intrinsic($($argument),*) }
            }
        )*};
    }

    intrinsics! {
        add(a: __m128i, b: __m128i) -> __m128i = _mm_add_epi8;
        or(a: __m128i, b: __m128i) -> __m128i = _mm_or_si128;
        are_equal(a: __m128i, b: __m128i) -> __m128i = _mm_cmpeq_epi8;
        are_less(a: __m128i, b: __m128i) -> __m128i = _mm_cmplt_epi8;
        splat(byte: i8) -> __m128i = _mm_set1_epi8;
        high_bits(bytes: __m128i) -> i32 = _mm_movemask_epi8;
    }

    /// Sixteen bytes of text.
    #[derive(Clone, Copy)]
    pub(super) struct Vector(__m128i);

    impl Vector {
        #[allow(unsafe_code)]
        #[inline(always)]
        pub(super) fn load(bytes: &[u8; WIDTH]) -> Self {
            // SAFETY: SSE2 is part of x86-64, and the sixteen bytes that the
            // unaligned load reads are the referenced array.
            Self(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
        }

        #[inline(always)]
        pub(super) fn equal(self, byte: u8) -> u32 {
            high_bits(are_equal(self.0, splat(byte as i8))) as u32
        }

        #[inline(always)]
        pub(super) fn equal_to(self, other: Self) -> u32 {
            high_bits(are_equal(self.0, other.0)) as u32
        }

        #[inline(always)]
        pub(super) fn non_ascii(self) -> u32 {
            high_bits(self.0) as u32
        }

        #[inline(always)]
        pub(super) fn ends_quoted(self) -> u32 {
            self.equal(b'"') | self.equal(b'\\') | self.equal(b'\n')
        }

        /// Marks letters (compared in lower case), the range from `0` to `last`,
        /// which is `9` or the colon after it, and underscores.
        #[inline(always)]
        pub(super) fn names(self, last: u8) -> u32 {
            // Moves the range to the lowest signed bytes, so that one signed
            // comparison tests both of its ends.
            let within = |bytes, first: u8, last: u8| {
                let distance = (i8::MIN as u8).wrapping_sub(first);
                let end = i8::MIN.wrapping_add((last - first + 1) as i8);
                are_less(add(bytes, splat(distance as i8)), splat(end))
            };
            let letters = within(or(self.0, splat(0x20)), b'a', b'z');
            let digits = within(self.0, b'0', last);
            let underscores = are_equal(self.0, splat(b'_' as i8));
            high_bits(or(or(letters, digits), underscores)) as u32
        }
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable {
    use super::WIDTH;

    /// Sixteen bytes of text.
    #[derive(Clone, Copy)]
    pub(super) struct Vector([u8; WIDTH]);

    impl Vector {
        #[inline(always)]
        pub(super) fn load(bytes: &[u8; WIDTH]) -> Self {
            Self(*bytes)
        }

        #[inline(always)]
        fn mask(self, matches: impl Fn(u8) -> bool) -> u32 {
            (self.0.iter().enumerate())
                .fold(0, |mask, (at, &byte)| mask | u32::from(matches(byte)) << at)
        }

        #[inline(always)]
        pub(super) fn equal(self, byte: u8) -> u32 {
            self.mask(|other| other == byte)
        }

        #[inline(always)]
        pub(super) fn equal_to(self, other: Self) -> u32 {
            (self.0.iter().zip(other.0).enumerate()).fold(0, |mask, (at, (&byte, other))| {
                mask | u32::from(byte == other) << at
            })
        }

        #[inline(always)]
        pub(super) fn non_ascii(self) -> u32 {
            self.mask(|byte| byte >= 0x80)
        }

        #[inline(always)]
        pub(super) fn ends_quoted(self) -> u32 {
            self.mask(|byte| matches!(byte, b'"' | b'\\' | b'\n'))
        }

        #[inline(always)]
        pub(super) fn names(self, last: u8) -> u32 {
            self.mask(|byte| super::is_in_label_name(byte) || byte == last)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text with `odd` at `at` among the bytes of a name.
    fn text(len: usize, at: usize, odd: u8) -> Vec<u8> {
        let mut text = vec![b'x'; len];
        text[at] = odd;
        text
    }

    #[test]
    fn scan_agrees_with_byte_by_byte_search() {
        for len in 1..50 {
            for at in 0..len {
                for odd in 0..=255 {
                    let text = text(len, at, odd);
                    for from in [0, at / 2, at, len] {
                        let naive = |is_stop: &dyn Fn(u8) -> bool| {
                            let rest = text[from..].iter().position(|&byte| is_stop(byte));
                            rest.map_or(len, |rest| from + rest)
                        };
                        let label = |byte: u8| is_in_label_name(byte);
                        let metric = |byte: u8| label(byte) || byte == b':';
                        assert_eq!(metric_name_end(&text, from), naive(&|byte| !metric(byte)));
                        assert_eq!(label_name_end(&text, from), naive(&|byte| !label(byte)));
                        assert_eq!(line_end(&text, from), naive(&|byte| byte == b'\n'));
                        for (found, stops) in [
                            (quoted_end(&text, from), b"\"\\\n".as_slice()),
                            (help_end(&text, from), b"\\\n"),
                        ] {
                            assert_eq!(found.at, naive(&|byte| stops.contains(&byte)));
                            assert_eq!(found.non_ascii, !text[from..found.at].is_ascii());
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn scan_in_blocks_ignores_the_last_partial_block() {
        for len in 0..50 {
            for at in 0..50.min(len) {
                for odd in *b"\"\\\n{\xff" {
                    let text = text(len, at, odd);
                    for from in [0, at / 2, at, len] {
                        // In whole blocks from there on.
                        let blocks = from + (len - from) / WIDTH * WIDTH;
                        let near = |stops: &[u8]| {
                            let stops = stops.contains(&odd) && (from..blocks).contains(&at);
                            stops.then_some(at)
                        };
                        assert_eq!(metric_name_end_in_blocks(&text, from), near(b"\"\\\n{\xff"));
                        assert_eq!(label_name_end_in_blocks(&text, from), near(b"\"\\\n{\xff"));
                        assert_eq!(quoted_end_in_blocks(&text, from), near(b"\"\\\n\xff"));
                        assert_eq!(help_end_in_blocks(&text, from), near(b"\\\n\xff"));
                    }
                }
            }
        }
    }

    #[test]
    fn common_prefix_len_is_exact_within_whole_blocks() {
        let plain = [b'x'; 60];
        for len in 0..60 {
            for at in 0..len {
                let other = text(len, at, b'y');
                for asked in [0, 1, 16, 17, 60] {
                    let common = common_prefix_len(&plain, &other, asked);
                    assert_eq!(common, common_prefix_len(&other, &plain, asked));
                    assert!(common <= at, "{common} {at}");
                    let blocks = (len / WIDTH).min(asked.div_ceil(WIDTH)) * WIDTH;
                    assert_eq!(common, at.min(blocks));
                }
            }
        }
    }

    #[test]
    fn scan_from_the_end_finds_nothing() {
        assert_eq!(metric_name_end(b"abc", 3), 3);
        assert_eq!(quoted_end(b"", 0).at, 0);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn sse2_and_portable_blocks_agree() {
        for odd in 0..=255 {
            for at in 0..WIDTH {
                let mut bytes = *b"azAZ09_:@[`{/\n \x7f";
                bytes[at] = odd;
                let (fast, plain) = (sse2::Vector::load(&bytes), portable::Vector::load(&bytes));
                assert_eq!(fast.ends_quoted(), plain.ends_quoted());
                assert_eq!(fast.names(b':'), plain.names(b':'));
                assert_eq!(fast.names(b'9'), plain.names(b'9'));
                assert_eq!(fast.non_ascii(), plain.non_ascii());
                assert_eq!(fast.equal(odd), plain.equal(odd));
                let other = *b"azAZ09_:@[`{/\n \x7f";
                assert_eq!(
                    fast.equal_to(sse2::Vector::load(&other)),
                    plain.equal_to(portable::Vector::load(&other))
                );
            }
        }
    }
}
