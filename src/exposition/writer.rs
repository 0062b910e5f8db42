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
use std::mem::{self, MaybeUninit};
use std::ptr;

/// Blocks whose numbers are read in one go, which stay in the first-level cache
/// till they are shown. Block by block, each would wait for its cells alone.
/// Prefetching the cells, or the text, on top of that gained nothing.
const AT_ONCE: usize = 16;

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
    push(&family.head, page);
    let family_start = page.len();
    let width = family.width;
    let per_read = AT_ONCE * family.per_block;
    if rows.len() < per_read * width {
        rows.resize(per_read * width, 0);
    }
    let mut lines = &mut family.lines[..];
    let mut shown = &mut family.shown[..];
    let mut unread = 0;
    let mut read = &rows[..0];
    let mut first = 0;
    for block in &mut family.blocks {
        if first == unread {
            unread = series.min(first + per_read);
            let numbers = (unread - first) * width;
            family.column.read(first..unread, &mut rows[..numbers]);
            read = &rows[..numbers];
        }
        let here = family.per_block.min(series - first);
        first += here;
        let (block_lines, block_shown, block_read);
        (block_lines, lines) = mem::take(&mut lines).split_at_mut(here * family.templates.len());
        (block_shown, shown) = mem::take(&mut shown).split_at_mut(here * width);
        (block_read, read) = read.split_at(here * width);

        let text = &mut family.text[block.start..][..block.room];
        let old = &text[..block.len];
        if block_read == block_shown {
            push(old, page);
            continue;
        }
        let start = page.len();
        let values = Values {
            width,
            read: block_read,
            shown: block_shown,
        };
        page.reserve(block.longest + SCRATCH);
        write_block(old, block_lines, &family.templates, values, page);
        block_shown.copy_from_slice(block_read);
        let new = &page[start..];
        block.len = new.len();
        match text.get_mut(..new.len()) {
            Some(text) => text.copy_from_slice(new),
            None => family.outgrown = true,
        }
    }
    if family.outgrown {
        family.lay(&page[family_start..]);
    }
}

/// The numbers of a block, in rows: as read just now, and as its text shows.
#[derive(Clone, Copy)]
struct Values<'a> {
    width: usize,
    read: &'a [u64],
    shown: &'a [u64],
}

/// Appends a block some of whose numbers have changed to a page that has room
/// for it.
///
/// Not inlined: the loops need every register.
#[inline(never)]
fn write_block(
    old: &[u8],
    lines: &mut [Line],
    templates: &[Template],
    values: Values<'_>,
    page: &mut Vec<u8>,
) {
    let mut changing = Changing {
        old,
        copied: 0,
        at: 0,
        new: page.spare_capacity_mut(),
        written: 0,
    };
    let Values { width, read, shown } = values;
    match templates {
        [only] if width == 1 => {
            for ((line, &bits), &shown) in lines.iter_mut().zip(read).zip(shown) {
                changing.line(line, only.number, bits, shown);
            }
        }
        templates => {
            let mut row = 0;
            for lines in lines.chunks_mut(templates.len()) {
                let (read, shown) = (&read[row..][..width], &shown[row..][..width]);
                row += width;
                for (line, template) in lines.iter_mut().zip(templates) {
                    let index = template.index;
                    changing.line(line, template.number, read[index], shown[index]);
                }
            }
        }
    }
    let written = changing.end();
    // SAFETY: so many bytes are written of the spare capacity.
    unsafe { page.set_len(page.len() + written) };
}

/// A block on its way to the page.
struct Changing<'a> {
    /// Its text as last shown.
    old: &'a [u8],
    /// Bytes of it that the page has, or has others for.
    copied: usize,
    /// Where in it the value of the line before ends.
    at: usize,
    new: &'a mut [MaybeUninit<u8>],
    /// Bytes of `new` that are initialised, from the beginning.
    written: usize,
}

impl Changing<'_> {
    /// Goes on to the next line: if its value has changed, the page gets what
    /// stands before it, and it.
    #[inline(always)]
    fn line(&mut self, line: &mut Line, number: Number, bits: u64, shown: u64) {
        let value = self.at + line.gap as usize;
        self.at = value + line.value as usize;
        if bits == shown {
            return;
        }
        let before = &self.old[self.copied..value];
        // Once a line: memory safety rests on this, on no estimate.
        let room = &mut self.new[self.written..][..before.len() + SCRATCH];
        let to = room.as_mut_ptr().cast::<u8>();
        // SAFETY: `room` is as long as the two pieces together, and the second
        // is initialised before it is borrowed.
        let slot = unsafe {
            copy(before.as_ptr(), to, before.len());
            let slot = to.add(before.len()).cast::<[u8; SCRATCH]>();
            slot.write([0; SCRATCH]);
            &mut *slot
        };
        let len = print(number, bits, slot).min(SCRATCH);
        line.value = len as u32;
        self.written += before.len() + len;
        self.copied = self.at;
    }

    /// Copies what is left; how much is written in all.
    fn end(self) -> usize {
        let rest = &self.old[self.copied..];
        let room = &mut self.new[self.written..][..rest.len()];
        // SAFETY: `room` is as long.
        unsafe { copy(rest.as_ptr(), room.as_mut_ptr().cast(), rest.len()) };
        self.written + rest.len()
    }
}

/// Appends text.
#[inline]
fn push(text: &[u8], page: &mut Vec<u8>) {
    page.reserve(text.len());
    // SAFETY: the line above made room, and what is written is counted in.
    unsafe {
        let end = page.as_mut_ptr().add(page.len());
        copy(text.as_ptr(), end, text.len());
        page.set_len(page.len() + text.len());
    }
}

/// Copies from front to back.
///
/// Libc's copy is good up to here. For more it reads the last bytes first, or
/// leaves it to `rep movsb`: in blocks of some thousand bytes, from memory that
/// is not in the caches, that took up to twice as long on Zen 4. For less, its
/// call costs no more than pieces of 32 or 64 bytes in line, copied past the end.
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
