//! Where the next byte stands that matters: what the escapers and the lexer do
//! to a text before anything else, sixteen bytes at a time.
//!
//! A [`Block`] answers one question about all its bytes with a mask of sixteen
//! bits; each scan below is such a question asked of block after block. x86-64
//! always has SSE2; elsewhere the same questions are asked of an array, which
//! compilers vectorise where they can. A text shorter than a block is asked byte
//! by byte.

const WIDTH: usize = 16;
/// The mask of a whole block.
const ALL: u32 = (1 << WIDTH) - 1;

/// Where the byte class of a scan ends, and whether a byte beyond ASCII stood
/// before that.
pub(crate) struct Found {
    /// The place in the text, its length where nothing was found.
    pub(crate) at: usize,
    pub(crate) non_ascii: bool,
}

/// The first byte from `from` on that may not stand in the name of a metric:
/// not one of `[a-zA-Z0-9_:]`.
#[inline]
pub(crate) fn metric_name_end(text: &[u8], from: usize) -> usize {
    let is_stop = |byte| !is_label_name(byte) && byte != b':';
    scan(text, from, |block| block.names(b':') ^ ALL, is_stop).at
}

/// The same, if it is not among the last bytes of the text.
#[inline]
pub(crate) fn near_metric_name_end(text: &[u8], from: usize) -> Option<usize> {
    found(near(text, from, |block| block.names(b':') ^ ALL))
}

/// The first byte from `from` on that may not stand in the name of a label: not
/// one of `[a-zA-Z0-9_]`.
#[inline]
pub(crate) fn label_name_end(text: &[u8], from: usize) -> usize {
    let is_stop = |byte| !is_label_name(byte);
    scan(text, from, |block| block.names(b'9') ^ ALL, is_stop).at
}

/// The same, if it is not among the last bytes of the text.
#[inline]
pub(crate) fn near_label_name_end(text: &[u8], from: usize) -> Option<usize> {
    found(near(text, from, |block| block.names(b'9') ^ ALL))
}

/// The first `"`, `\` or newline from `from` on.
#[inline]
pub(crate) fn quoted_end(text: &[u8], from: usize) -> Found {
    let is_stop = |byte| matches!(byte, b'"' | b'\\' | b'\n');
    scan(text, from, Block::ends_quoted, is_stop)
}

/// The same or the first byte beyond ASCII, if it is not among the last bytes
/// of the text.
#[inline]
pub(crate) fn near_quoted_end(text: &[u8], from: usize) -> Option<usize> {
    found(near(text, from, |block| {
        block.ends_quoted() | block.non_ascii()
    }))
}

/// The first `\` or newline from `from` on.
#[inline]
pub(crate) fn help_end(text: &[u8], from: usize) -> Found {
    scan(
        text,
        from,
        |block| block.equal(b'\\') | block.equal(b'\n'),
        |byte| matches!(byte, b'\\' | b'\n'),
    )
}

/// The same or the first byte beyond ASCII, if it is not among the last bytes
/// of the text.
#[inline]
pub(crate) fn near_help_end(text: &[u8], from: usize) -> Option<usize> {
    found(near(text, from, |block| {
        block.equal(b'\\') | block.equal(b'\n') | block.non_ascii()
    }))
}

/// How many bytes both begin with: at least as many as are said here. Looks no
/// further than the block that holds the last of those `asked` about, and not at
/// the last bytes of a text.
#[inline]
pub(crate) fn near_common(text: &[u8], other: &[u8], asked: usize) -> usize {
    let mut rests = (text, other);
    let mut common = 0;
    while common < asked
        && let Some((block, rest)) = rests.0.split_first_chunk()
        && let Some((other, other_rest)) = rests.1.split_first_chunk()
    {
        let differ = Block::load(block).equal_to(Block::load(other)) ^ ALL;
        if differ != 0 {
            return common + differ.trailing_zeros() as usize;
        }
        common += WIDTH;
        rests = (rest, other_rest);
    }
    common
}

/// The first newline from `from` on.
#[inline]
pub(crate) fn line_end(text: &[u8], from: usize) -> usize {
    scan(text, from, |block| block.equal(b'\n'), |byte| byte == b'\n').at
}

#[inline]
fn is_label_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[inline(always)]
fn scan(
    text: &[u8],
    from: usize,
    stops: impl Fn(Block) -> u32,
    is_stop: impl Fn(u8) -> bool,
) -> Found {
    near(text, from, &stops).unwrap_or_else(|before| {
        let rest = scan_rest(text, before.at, &stops, is_stop);
        Found {
            non_ascii: before.non_ascii | rest.non_ascii,
            ..rest
        }
    })
}

/// Where a scan of whole blocks found something.
#[inline(always)]
fn found(near: Result<Found, Found>) -> Option<usize> {
    near.ok().map(|found| found.at)
}

/// Scans whole blocks. Where nothing is found in them, the error is how far
/// that was.
#[inline(always)]
fn near(text: &[u8], from: usize, stops: impl Fn(Block) -> u32) -> Result<Found, Found> {
    let mut at = from;
    let mut rest = text.get(from..).unwrap_or_default();
    let mut beyond = 0;
    while let Some((bytes, behind)) = rest.split_first_chunk() {
        let block = Block::load(bytes);
        let stops = stops(block);
        if stops != 0 {
            let first = stops.trailing_zeros();
            let before = !(u32::MAX << first);
            return Ok(Found {
                at: at + first as usize,
                non_ascii: (beyond | block.non_ascii() & before) != 0,
            });
        }
        beyond |= block.non_ascii();
        at += WIDTH;
        rest = behind;
    }
    Err(Found {
        at,
        non_ascii: beyond != 0,
    })
}

/// The last bytes of a text, in a block with some before them.
#[inline(never)]
fn scan_rest(
    text: &[u8],
    from: usize,
    stops: impl Fn(Block) -> u32,
    is_stop: impl Fn(u8) -> bool,
) -> Found {
    let (Some(bytes), true) = (text.last_chunk(), from < text.len()) else {
        return scan_bytes(text, from, is_stop);
    };
    let start = text.len() - WIDTH;
    let block = Block::load(bytes);
    let asked = u32::MAX << (from - start);
    // Behind the block there is the end, where everything stops.
    let stops = stops(block) & asked | 1 << WIDTH;
    let before = asked & !(u32::MAX << stops.trailing_zeros());
    Found {
        at: start + stops.trailing_zeros() as usize,
        non_ascii: block.non_ascii() & before != 0,
    }
}

/// A text that is shorter than a block.
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
use sse2::Block;

#[cfg(not(target_arch = "x86_64"))]
use portable::Block;

#[cfg(target_arch = "x86_64")]
mod sse2 {
    #![allow(unsafe_code)] // the intrinsics

    use super::WIDTH;
    use std::arch::x86_64::*;

    /// Sixteen bytes of text.
    #[derive(Clone, Copy)]
    pub(super) struct Block(__m128i);

    impl Block {
        #[inline(always)]
        pub(super) fn load(bytes: &[u8; WIDTH]) -> Self {
            // SAFETY: SSE2 is part of x86-64, and an unaligned load of sixteen
            // bytes from a reference to as many is in bounds.
            Self(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
        }

        #[inline(always)]
        pub(super) fn equal(self, byte: u8) -> u32 {
            // SAFETY: SSE2 is part of x86-64.
            unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(self.0, _mm_set1_epi8(byte as i8))) as u32 }
        }

        #[inline(always)]
        pub(super) fn equal_to(self, other: Self) -> u32 {
            // SAFETY: SSE2 is part of x86-64.
            unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(self.0, other.0)) as u32 }
        }

        #[inline(always)]
        pub(super) fn non_ascii(self) -> u32 {
            // SAFETY: SSE2 is part of x86-64.
            unsafe { _mm_movemask_epi8(self.0) as u32 }
        }

        #[inline(always)]
        pub(super) fn ends_quoted(self) -> u32 {
            self.equal(b'"') | self.equal(b'\\') | self.equal(b'\n')
        }

        /// Letters, with the bit of their case set; `0` to `last`, which is `9`
        /// or the colon behind it; the underscore.
        #[inline(always)]
        pub(super) fn names(self, last: u8) -> u32 {
            // SAFETY: SSE2 is part of x86-64.
            unsafe {
                // Moved so that the range begins at the least of all signed
                // bytes: then one comparison tells.
                let within = |bytes, first: u8, last: u8| {
                    let move_by = (i8::MIN as u8).wrapping_sub(first);
                    let moved = _mm_add_epi8(bytes, _mm_set1_epi8(move_by as i8));
                    let end = i8::MIN.wrapping_add((last - first + 1) as i8);
                    _mm_cmplt_epi8(moved, _mm_set1_epi8(end))
                };
                let letters = within(_mm_or_si128(self.0, _mm_set1_epi8(0x20)), b'a', b'z');
                let digits = within(self.0, b'0', last);
                let underscores = _mm_cmpeq_epi8(self.0, _mm_set1_epi8(b'_' as i8));
                _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(letters, digits), underscores)) as u32
            }
        }
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable {
    use super::WIDTH;

    /// Sixteen bytes of text.
    #[derive(Clone, Copy)]
    pub(super) struct Block([u8; WIDTH]);

    impl Block {
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
            self.mask(|byte| super::is_label_name(byte) || byte == last)
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
    fn a_scan_stops_where_a_byte_by_byte_search_does() {
        for len in 1..50 {
            for at in 0..len {
                for odd in 0..=255 {
                    let text = text(len, at, odd);
                    for from in [0, at / 2, at, len] {
                        let naive = |is_stop: &dyn Fn(u8) -> bool| {
                            let rest = text[from..].iter().position(|&byte| is_stop(byte));
                            rest.map_or(len, |rest| from + rest)
                        };
                        let label = |byte: u8| is_label_name(byte);
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
    fn what_is_near_is_found_and_nothing_is_found_where_it_is_not() {
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
                        assert_eq!(near_metric_name_end(&text, from), near(b"\"\\\n{\xff"));
                        assert_eq!(near_label_name_end(&text, from), near(b"\"\\\n{\xff"));
                        assert_eq!(near_quoted_end(&text, from), near(b"\"\\\n\xff"));
                        assert_eq!(near_help_end(&text, from), near(b"\\\n\xff"));
                    }
                }
            }
        }
    }

    #[test]
    fn what_two_texts_begin_with_is_alike_and_no_more() {
        let plain = [b'x'; 60];
        for len in 0..60 {
            for at in 0..len {
                let other = text(len, at, b'y');
                for asked in [0, 1, 16, 17, 60] {
                    let common = near_common(&plain, &other, asked);
                    assert_eq!(common, near_common(&other, &plain, asked));
                    assert!(common <= at, "{common} {at}");
                    let blocks = (len / WIDTH).min(asked.div_ceil(WIDTH)) * WIDTH;
                    assert_eq!(common, at.min(blocks));
                }
            }
        }
    }

    #[test]
    fn a_scan_from_beyond_the_end_finds_nothing() {
        assert_eq!(metric_name_end(b"abc", 3), 3);
        assert_eq!(quoted_end(b"", 0).at, 0);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn both_kinds_of_block_give_the_same_answers() {
        for odd in 0..=255 {
            for at in 0..WIDTH {
                let mut bytes = *b"azAZ09_:@[`{/\n \x7f";
                bytes[at] = odd;
                let (fast, plain) = (sse2::Block::load(&bytes), portable::Block::load(&bytes));
                assert_eq!(fast.ends_quoted(), plain.ends_quoted());
                assert_eq!(fast.names(b':'), plain.names(b':'));
                assert_eq!(fast.names(b'9'), plain.names(b'9'));
                assert_eq!(fast.non_ascii(), plain.non_ascii());
                assert_eq!(fast.equal(odd), plain.equal(odd));
                let other = *b"azAZ09_:@[`{/\n \x7f";
                assert_eq!(
                    fast.equal_to(sse2::Block::load(&other)),
                    plain.equal_to(portable::Block::load(&other))
                );
            }
        }
    }
}
