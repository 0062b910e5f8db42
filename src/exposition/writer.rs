//! The hot loop: from a layout to a page.
//!
//! For each line: is the value the one that its record shows? Then the record is
//! copied as it stands. If not, the value is printed, into the page and into
//! the record. A line costs one comparison and one copy of 32-byte steps that
//! may run over its end; the next line overwrites what was too much.

#![allow(unsafe_code)]

use super::format::Format;
use super::layout::{FamilyLines, Line, SLOT, Template, print};
use std::ptr;

/// Numbers read in one go: what stays in the first-level cache beside the lines.
const BATCH: usize = 512;

/// A page being written: the vector's own length is behind, `at` is the truth.
struct Page<'a> {
    bytes: &'a mut Vec<u8>,
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
        // moves only behind what has been copied.
        unsafe { self.bytes.set_len(self.at) };
    }

    /// Appends a line from its record in `arena`.
    #[inline]
    fn push_line(&mut self, arena: &[u8], offset: usize, len: usize) {
        let steps = len.next_multiple_of(SLOT);
        // Once a line: memory safety rests on these two, on no estimate.
        self.reserve(steps);
        assert!(offset + steps <= arena.len());
        // SAFETY: `steps` bytes are readable in the arena and writable in the
        // page's spare capacity, by the two lines above; they are two vectors.
        unsafe {
            let from = arena.as_ptr().add(offset);
            let to = self.bytes.as_mut_ptr().add(self.at);
            let mut done = 0;
            while done < steps {
                ptr::copy_nonoverlapping(from.add(done), to.add(done), SLOT);
                done += SLOT;
            }
        }
        self.at += len;
    }

    fn push(&mut self, text: &[u8]) {
        self.publish();
        self.bytes.extend_from_slice(text);
        self.at = self.bytes.len();
    }
}

/// Appends a family: its metadata and, for each series, its lines.
pub(super) fn write_family(
    family: &mut FamilyLines,
    format: Format,
    rows: &mut Vec<u64>,
    into: &mut Vec<u8>,
) {
    let series = family.column.len();
    if series == 0 {
        return;
    }
    let mut page = Page::new(into);
    page.push(&family.heads[format as usize]);
    // One reservation for most scrapes: that the page is long enough is then
    // one comparison a line that is never true.
    page.reserve(family.arena.len());

    let at_once = (BATCH / family.width).max(1);
    if rows.len() < at_once * family.width {
        rows.resize(at_once * family.width, 0);
    }
    let created = format == Format::OpenMetrics && !family.created.is_empty();
    let mut first = 0;
    while first < series {
        let last = series.min(first + at_once);
        let rows = &mut rows[..(last - first) * family.width];
        family.column.read(first..last, rows);
        let per_series = family.templates.len();
        let lines = &mut family.lines[first * per_series..last * per_series];
        match &family.templates[..] {
            [only] if family.width == 1 && !created => {
                for (line, &bits) in lines.iter_mut().zip(&*rows) {
                    write_line(&mut page, &mut family.arena, line, only, bits);
                }
            }
            templates => {
                let series = lines
                    .chunks_exact_mut(per_series)
                    .zip(rows.chunks_exact(family.width));
                for (index, (lines, row)) in series.enumerate() {
                    for (line, template) in lines.iter_mut().zip(templates) {
                        write_line(
                            &mut page,
                            &mut family.arena,
                            line,
                            template,
                            row[template.index],
                        );
                    }
                    if created {
                        page.push(&family.created[first + index]);
                    }
                }
            }
        }
        first = last;
    }
    page.publish();
}

#[inline(always)]
fn write_line(
    page: &mut Page<'_>,
    arena: &mut [u8],
    line: &mut Line,
    template: &Template,
    bits: u64,
) {
    if line.bits != bits {
        let slot = line.offset + line.prefix as usize;
        let slot: &mut [u8; SLOT] = arena[slot..]
            .first_chunk_mut()
            .expect("each record ends in a slot");
        let len = print(template.number, bits, slot);
        slot[len] = b'\n';
        line.len = line.prefix + len as u32 + 1;
        line.bits = bits;
    }
    page.push_line(arena, line.offset, line.len as usize);
}
