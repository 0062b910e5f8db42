//! The innermost loop of a scrape: a block of lines, some of whose values have
//! changed, appended to a page.

use super::number::{self, BUF_LEN};
use super::template::Template;
use crate::cell::Number;
use std::mem::MaybeUninit;
use std::ptr;

/// The place of a line's value in the text of its block.
#[derive(Clone, Copy)]
pub(super) struct Line {
    /// Bytes between the end of the value before this one, or the beginning of
    /// the block, and this value.
    pub(super) prefix_len: u32,
    /// Bytes of the value.
    pub(super) value_len: u32,
}

/// The numbers of a block, in rows.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
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

/// Appends a block to a page that has room for it. Returns true if some value
/// has another length than before.
///
/// Not inlined: the loops need every register.
#[inline(never)]
#[allow(unsafe_code)]
pub(super) fn patch_block(
    old: &[u8],
    lines: &mut [Line],
    templates: &[Template],
    values: Values<'_>,
    page: &mut Vec<u8>,
) -> bool {
    let mut patcher = BlockPatcher {
        old,
        copied: 0,
        position: 0,
        new: page.spare_capacity_mut(),
        written: 0,
        resized: false,
    };
    let Values {
        width,
        current,
        last,
    } = values;
    match templates {
        [only] if width == 1 => {
            let number = only.number();
            for ((line, &current), &last) in lines.iter_mut().zip(current).zip(last) {
                patcher.line(line, number, current, last);
            }
        }
        templates => {
            let mut row = 0;
            for lines in lines.chunks_mut(templates.len()) {
                let (current, last) = (&current[row..][..width], &last[row..][..width]);
                row += width;
                for (line, template) in lines.iter_mut().zip(templates) {
                    let index = template.index();
                    patcher.line(line, template.number(), current[index], last[index]);
                }
            }
        }
    }
    let resized = patcher.resized;
    let written = patcher.finish();
    // SAFETY: the patcher initialised the first `written` bytes of the spare
    // capacity.
    unsafe { page.set_len(page.len() + written) };
    resized
}

/// Copies a block from its old text to the page, with new text for the values
/// that changed.
struct BlockPatcher<'a> {
    old: &'a [u8],
    /// Bytes of `old` that are on the page already, or replaced there.
    copied: usize,
    /// End of the previous line's value in `old`.
    position: usize,
    new: &'a mut [MaybeUninit<u8>],
    /// INVARIANT: the first `written` bytes of `new` are initialised.
    written: usize,
    resized: bool,
}

impl BlockPatcher<'_> {
    /// Advances by a line. If its value has changed, the page gets the text up
    /// to it, and the new value.
    #[inline(always)]
    #[allow(unsafe_code)]
    fn line(&mut self, line: &mut Line, number: Number, current: u64, last: u64) {
        let value = self.position + line.prefix_len as usize;
        self.position = value + line.value_len as usize;
        if current == last {
            return;
        }
        let before = &self.old[self.copied..value];
        // Once a line: memory safety rests on this check, not on an estimate.
        let room = &mut self.new[self.written..][..before.len() + BUF_LEN];
        let to = room.as_mut_ptr().cast::<u8>();
        // SAFETY: `room` is as long as the two pieces together, and the second
        // is initialised before it is borrowed.
        let slot = unsafe {
            copy(before.as_ptr(), to, before.len());
            let slot = to.add(before.len()).cast::<[u8; BUF_LEN]>();
            slot.write([0; BUF_LEN]);
            &mut *slot
        };
        let len = format_value(number, current, slot).min(BUF_LEN);
        self.resized |= line.value_len != len as u32;
        line.value_len = len as u32;
        self.written += before.len() + len;
        self.copied = self.position;
    }

    /// Copies the rest of the block; returns how many bytes were written in all.
    #[allow(unsafe_code)]
    fn finish(self) -> usize {
        let rest = &self.old[self.copied..];
        let room = &mut self.new[self.written..][..rest.len()];
        // SAFETY: `room` is as long as `rest`.
        unsafe { copy(rest.as_ptr(), room.as_mut_ptr().cast(), rest.len()) };
        self.written + rest.len()
    }
}

/// Appends text to a page.
#[inline]
#[allow(unsafe_code)]
pub(super) fn push(text: &[u8], page: &mut Vec<u8>) {
    page.reserve(text.len());
    // SAFETY: the line above made room for `text.len()` bytes, all of which are
    // written before the length counts them.
    unsafe {
        let end = page.as_mut_ptr().add(page.len());
        copy(text.as_ptr(), end, text.len());
        page.set_len(page.len() + text.len());
    }
}

/// Copies from front to back.
///
/// Libc's copy is good up to 512 bytes. For more it reads the last bytes first,
/// or leaves the work to `rep movsb`: in blocks of some thousand bytes, from
/// memory that is not in the caches, that took up to twice as long on Zen 4.
///
/// # Safety
///
/// As [`ptr::copy_nonoverlapping`].
#[inline]
#[allow(unsafe_code)]
unsafe fn copy(from: *const u8, to: *mut u8, len: usize) {
    const PIECE: usize = 16;
    let mut done = 0;
    // SAFETY: `done` never passes `len`, and up to there the caller promises.
    unsafe {
        if len > 512 {
            while len - done >= 4 * PIECE {
                // Four pieces: a loop over one is recognised as a copy, and
                // becomes a call to libc.
                for piece in 0..4 {
                    let at = done + piece * PIECE;
                    ptr::copy_nonoverlapping(from.add(at), to.add(at), PIECE);
                }
                done += 4 * PIECE;
            }
        }
        ptr::copy_nonoverlapping(from.add(done), to.add(done), len - done);
    }
}
