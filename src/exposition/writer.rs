//! The hot loop: from a layout to a page.
//!
//! The numbers of a block are read. If they are the ones that its text shows,
//! the text is copied as it stands. If not, the page gets what lies between the
//! changed values from the text and the values from the printer; and the text
//! becomes what the page got.

#![allow(unsafe_code)]

use super::layout::{FamilyLines, Line, Template, print};
use super::number::SCRATCH;
use crate::cell::Number;
use std::ptr;

/// Blocks whose numbers are read in one go, which stay in the first-level cache
/// till they are shown. Block by block, each would wait for its cells alone.
/// Prefetching the cells, or the text, on top of that gained nothing.
const AT_ONCE: usize = 16;

/// A page being written: the vector's own length is behind, `at` is the truth.
/// It stands in a register, where the vector's would go through memory with
/// each piece.
struct Page<'a> {
    bytes: &'a mut Vec<u8>,
    /// So many bytes are written.
    at: usize,
}

impl<'a> Page<'a> {
    fn new(bytes: &'a mut Vec<u8>) -> Self {
        let at = bytes.len();
        Self { bytes, at }
    }

    /// Makes room for `more` bytes.
    #[inline]
    fn reserve(&mut self, more: usize) {
        if self.bytes.capacity() - self.at < more {
            self.grow(more);
        }
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        self.publish();
        self.bytes.reserve(more);
    }

    /// Tells the vector how much of it is written.
    fn publish(&mut self) {
        // SAFETY: `at` bytes are written: it starts as the vector's length and
        // moves only behind what has been written.
        unsafe { self.bytes.set_len(self.at) };
    }

    #[inline]
    fn push(&mut self, text: &[u8]) {
        self.reserve(text.len());
        // SAFETY: the line above made room; a shared and a mutable borrow do
        // not overlap.
        unsafe {
            copy(
                text.as_ptr(),
                self.bytes.as_mut_ptr().add(self.at),
                text.len(),
            )
        };
        self.at += text.len();
    }

    /// Prints a value; how long it is.
    #[inline]
    fn push_number(&mut self, number: Number, bits: u64) -> usize {
        self.reserve(SCRATCH);
        // SAFETY: the line above made room for `SCRATCH` bytes, which are
        // initialised before they are borrowed.
        let slot = unsafe {
            let slot = self.bytes.as_mut_ptr().add(self.at).cast::<[u8; SCRATCH]>();
            slot.write([0; SCRATCH]);
            &mut *slot
        };
        let len = print(number, bits, slot);
        self.at += len.min(SCRATCH);
        len
    }
}

/// Appends a family: its metadata and, for each series, its lines.
pub(super) fn write_family(family: &mut FamilyLines, rows: &mut Vec<u64>, page: &mut Vec<u8>) {
    let series = family.column.len();
    if series == 0 {
        return;
    }
    if family.outgrown {
        // A cell has panicked in the middle of the scrape before.
        family.start_over();
    }
    let mut page = Page::new(page);
    page.push(&family.head);
    let family_start = page.at;
    let block_lines = family.per_block * family.templates.len();
    let block_numbers = family.per_block * family.width;
    if rows.len() < AT_ONCE * block_numbers {
        rows.resize(AT_ONCE * block_numbers, 0);
    }
    let blocks = family
        .blocks
        .iter_mut()
        .zip(family.lines.chunks_mut(block_lines))
        .zip(family.shown.chunks_mut(block_numbers));
    for (index, ((block, lines), shown)) in blocks.enumerate() {
        if index % AT_ONCE == 0 {
            let first = index * family.per_block;
            let last = series.min(first + AT_ONCE * family.per_block);
            let numbers = (last - first) * family.width;
            family.column.read(first..last, &mut rows[..numbers]);
        }
        let rows = &rows[index % AT_ONCE * block_numbers..][..shown.len()];
        let text = &mut family.text[block.start..][..block.room];
        if rows == shown {
            page.push(&text[..block.len]);
            continue;
        }
        let start = page.at;
        let old = &text[..block.len];
        let rows_shown = rows
            .chunks_exact(family.width)
            .zip(shown.chunks_exact(family.width));
        write_block(old, lines, &family.templates, rows_shown, &mut page);
        shown.copy_from_slice(rows);
        block.len = page.at - start;
        page.publish();
        match text.get_mut(..block.len) {
            Some(text) => text.copy_from_slice(&page.bytes[start..]),
            None => family.outgrown = true,
        }
    }
    page.publish();
    if family.outgrown {
        family.lay(&page.bytes[family_start..]);
    }
}

/// Copies from front to back.
///
/// Libc's copy is good up to here. For more it reads the last bytes first, or
/// leaves it to `rep movsb`: in blocks of some thousand bytes, from memory that
/// is not in the caches, that took up to twice as long on Zen 4.
///
/// # Safety
///
/// As [`ptr::copy_nonoverlapping`].
#[inline]
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

/// Appends a block some of whose numbers have changed.
#[inline]
fn write_block<'r>(
    text: &[u8],
    lines: &mut [Line],
    templates: &[Template],
    rows: impl Iterator<Item = (&'r [u64], &'r [u64])>,
    page: &mut Page<'_>,
) {
    // In the text: how much of it is copied, and where the line's value is.
    let mut copied = 0;
    let mut at = 0;
    let series = rows.zip(lines.chunks_exact_mut(templates.len()));
    for ((row, shown), lines) in series {
        for (line, template) in lines.iter_mut().zip(templates) {
            at += line.gap as usize;
            let end = at + line.value as usize;
            let bits = row[template.index];
            if bits != shown[template.index] {
                page.push(&text[copied..at]);
                line.value = page.push_number(template.number, bits) as u32;
                copied = end;
            }
            at = end;
        }
    }
    page.push(&text[copied..]);
}
