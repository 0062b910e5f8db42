//! The innermost loops of a scrape: a block of lines, some of whose values have
//! changed, brought up to date on its page.

use super::number::{self, BUF_LEN};
use super::template::Template;
use crate::cell::Number;

/// The place of a line's value in the text of its block.
#[derive(Clone, Copy)]
pub(super) struct LineLayout {
    /// Bytes between the end of the value before this one, or the beginning of
    /// the block, and this value.
    pub(super) prefix_len: u32,
    /// Bytes of the value.
    pub(super) value_len: u32,
}

/// The numbers of a block, in rows.
#[derive(Clone, Copy)]
pub(super) struct BlockValues<'a> {
    /// Numbers in a row.
    pub(super) width: usize,
    /// The numbers as the cells are now.
    pub(super) current: &'a [u64],
    /// The numbers as the text of the block shows them.
    pub(super) last: &'a [u64],
}

/// Formats a value at the front of `into`; returns its length.
#[inline(always)]
pub(super) fn format_value(number: Number, bits: u64, into: &mut [u8; BUF_LEN]) -> usize {
    match number {
        Number::U64 => number::format_u64_into(bits, into),
        Number::I64 => number::format_i64_into(bits as i64, into),
        Number::F64 => number::format_f64_into(f64::from_bits(bits), into),
    }
}

/// Puts new values into the text of a block, which has [`BUF_LEN`] bytes after
/// it, up to the first series with a value that has another length than before.
/// Returns the number of series before that, and the length of their text.
///
/// Not inlined: the loops need every register.
#[inline(never)]
pub(super) fn patch_in_place(
    text: &mut [u8],
    lines: &mut [LineLayout],
    templates: &[Template],
    values: BlockValues<'_>,
) -> (usize, usize) {
    let mut patcher = Patcher { text, position: 0 };
    visit_lines(lines, templates, values, &mut patcher)
}

struct Patcher<'a> {
    text: &'a mut [u8],
    /// End of the previous line's value.
    position: usize,
}

impl Visitor for Patcher<'_> {
    #[inline(always)]
    fn position(&self) -> usize {
        self.position
    }

    #[inline(always)]
    fn line(&mut self, line: &mut LineLayout, number: Number, current: u64, last: u64) -> bool {
        let value = self.position + line.prefix_len as usize;
        let len = line.value_len as usize;
        self.position = value + len;
        if current == last {
            return true;
        }
        // Formatting may write more than the value: what is after it is loaded
        // before and stored after, in one piece each.
        let after: [u8; BUF_LEN] = *chunk(&mut self.text[self.position..]);
        let same = format_value(number, current, chunk(&mut self.text[value..])) == len;
        *chunk(&mut self.text[self.position..]) = after;
        same
    }
}

/// Writes a block at the front of `new`, which has room for its longest values,
/// from its old text, of length `old_len`. Both have [`BUF_LEN`] bytes more.
/// Returns its length, and true if some value has another length than before.
///
/// Not inlined: the loops need every register.
#[inline(never)]
pub(super) fn rewrite_block(
    old: &[u8],
    old_len: usize,
    new: &mut [u8],
    lines: &mut [LineLayout],
    templates: &[Template],
    values: BlockValues<'_>,
) -> (usize, bool) {
    let mut rewriter = Rewriter {
        old,
        copied: 0,
        position: 0,
        new,
        written: 0,
        resized: false,
    };
    visit_lines(lines, templates, values, &mut rewriter);
    let rest = &old[rewriter.copied..old_len];
    let written = rewriter.written;
    rewriter.new[written..][..rest.len()].copy_from_slice(rest);
    (written + rest.len(), rewriter.resized)
}

struct Rewriter<'a> {
    old: &'a [u8],
    /// Bytes of `old` that are in `new`, or replaced there.
    copied: usize,
    /// End of the previous line's value in `old`.
    position: usize,
    new: &'a mut [u8],
    written: usize,
    resized: bool,
}

impl Visitor for Rewriter<'_> {
    #[inline(always)]
    fn position(&self) -> usize {
        self.position
    }

    #[inline(always)]
    fn line(&mut self, line: &mut LineLayout, number: Number, current: u64, last: u64) -> bool {
        let value = self.position + line.prefix_len as usize;
        self.position = value + line.value_len as usize;
        if current == last {
            return true;
        }
        let before = value - self.copied;
        copy(
            &self.old[self.copied..],
            &mut self.new[self.written..],
            before,
        );
        self.written += before;
        let len = format_value(number, current, chunk(&mut self.new[self.written..]));
        self.written += len;
        self.resized |= line.value_len != len as u32;
        line.value_len = len as u32;
        self.copied = self.position;
        true
    }
}

/// Copies `len` bytes, and possibly some of the [`BUF_LEN`] after them: a call of
/// the C library's copy takes longer than a line's text is worth.
#[inline(always)]
fn copy(from: &[u8], to: &mut [u8], len: usize) {
    const INLINE: usize = 256;
    if len > INLINE {
        to[..len].copy_from_slice(&from[..len]);
        return;
    }
    let rounded = len.next_multiple_of(BUF_LEN);
    let (from, _) = from[..rounded].as_chunks::<BUF_LEN>();
    let (to, _) = to[..rounded].as_chunks_mut::<BUF_LEN>();
    for (from, to) in from.iter().zip(to) {
        *to = *from;
    }
}

/// The first bytes.
#[inline(always)]
fn chunk(text: &mut [u8]) -> &mut [u8; BUF_LEN] {
    text.first_chunk_mut().expect("padding follows")
}

/// Acts on the lines of a block, one after the other.
trait Visitor {
    /// The end of the previous line's value.
    fn position(&self) -> usize;

    /// Visits a line, given its number as it is and as it was. Returns false to
    /// stop.
    fn line(&mut self, line: &mut LineLayout, number: Number, current: u64, last: u64) -> bool;
}

/// Visits lines. Returns the number of series before the one that the visitor
/// stopped at, and the end of their last value.
#[inline(always)]
fn visit_lines(
    lines: &mut [LineLayout],
    templates: &[Template],
    values: BlockValues<'_>,
    visitor: &mut impl Visitor,
) -> (usize, usize) {
    let BlockValues {
        width,
        current,
        last,
    } = values;
    let mut done = 0;
    if let [only] = templates
        && width == 1
    {
        let number = only.number();
        for ((line, &current), &last) in lines.iter_mut().zip(current).zip(last) {
            let start = visitor.position();
            if !visitor.line(line, number, current, last) {
                return (done, start);
            }
            done += 1;
        }
    } else {
        let rows = current.chunks_exact(width).zip(last.chunks_exact(width));
        for (lines, (current, last)) in lines.chunks_mut(templates.len()).zip(rows) {
            let start = visitor.position();
            for (line, template) in lines.iter_mut().zip(templates) {
                let index = template.index();
                if !visitor.line(line, template.number(), current[index], last[index]) {
                    return (done, start);
                }
            }
            done += 1;
        }
    }
    (done, visitor.position())
}
