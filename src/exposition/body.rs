//! The sample lines of a family on a page, in blocks.
//!
//! ```text
//! page         name{a="x"} 17\nname{a="y"} 4\n       a block
//!              └ prefix ─┘  └── prefix ──┘
//! lines        prefix length, value length of each
//! last_values  17, 4                               the numbers on the page
//! ```
//!
//! A scrape reads the numbers of a block. If they are the ones that the page
//! shows, its text stays as it stands. If not, the values that changed are
//! formatted into it.
//!
//! The text has no holes, and is read from beginning to end. With room for the
//! longest values in each block (512 bytes or more), and with an array for each
//! block, the hardware prefetcher lost track, and 100,000 lines took up to 1.5
//! times as long. A record for each line, with a slot for its value, was as fast
//! when every value had changed, but took 1.7 times as long when few had. Moving a block
//! as a whole, and then patching its values, took 1.2 times as long as writing it line
//! by line.

use super::number::MAX_LEN;
use super::page::Editor;
use super::template::{Template, push_short};
use super::writer::{BlockValues, LineLayout, patch_in_place, rewrite_block};
use crate::family::SeriesView;
use std::mem;

/// Lines in a block, unless one series has more. Fewer cost more calls, more
/// cost more walking where a few values have changed.
const BLOCK_LINES: usize = 32;

/// Blocks whose numbers are read in one go. They stay in the first-level cache
/// until they are shown; block by block, each would wait for its cells alone.
/// Prefetching the cells, or the text, on top of that gained nothing.
const BLOCKS_PER_READ: usize = 16;

/// Some series of a family: a range of its text.
struct Block {
    /// Bytes of the lines.
    len: usize,
    /// Bytes after the last value.
    tail: usize,
    /// The length of some value changed at the last rewrite: it is likely to do so
    /// again, as that of a sum.
    restless: bool,
    /// The text has changed since [`Body::settle`].
    changed: bool,
    /// The length of some value has changed since [`Body::settle`].
    resized: bool,
}

/// The lines of a family.
pub(super) struct Body {
    /// Numbers in the row of a series.
    width: usize,
    lines_per_series: usize,
    /// Series in a block; the last block may have fewer.
    series_per_block: usize,
    blocks: Vec<Block>,
    lines: Vec<LineLayout>,
    /// The numbers that the page shows, in rows.
    last_values: Vec<u64>,
    /// Counts how often series were removed.
    version: u64,
}

/// The text of a series that does not depend on its values, rendered.
#[derive(Clone, Copy)]
pub(super) struct SeriesText<'a> {
    pub(super) labels: &'a [u8],
    /// The time of its creation, where that stands before the exemplars of a line.
    pub(super) start: &'a [u8],
    /// The text after the last value and its trail.
    pub(super) after: &'a [u8],
}

/// The lines of a block as last written.
#[cfg_attr(
    not(feature = "gzip"),
    allow(dead_code, reason = "only the compressor reads all")
)]
#[derive(Clone, Copy)]
pub(super) struct BlockView<'a> {
    pub(super) first_series: usize,
    pub(super) series: usize,
    /// Bytes of the lines.
    pub(super) len: usize,
    pub(super) lines: &'a [LineLayout],
    /// Bytes after the last value.
    pub(super) tail: usize,
    /// The text has changed since [`Body::settle`].
    pub(super) changed: bool,
    /// The length of some value has changed since [`Body::settle`].
    pub(super) resized: bool,
}

impl Body {
    /// An empty body; each series has a row of `width` numbers.
    pub(super) fn new(width: usize, lines_per_series: usize) -> Self {
        Self {
            width,
            lines_per_series,
            series_per_block: (BLOCK_LINES / lines_per_series).max(1),
            blocks: Vec::new(),
            lines: Vec::new(),
            last_values: Vec::new(),
            version: 0,
        }
    }

    /// Number of series.
    pub(super) fn len(&self) -> usize {
        self.last_values.len() / self.width
    }

    /// Numbers in the row of a series.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Number of lines.
    pub(super) fn lines(&self) -> usize {
        self.lines.len()
    }

    /// Removes all series.
    pub(super) fn clear(&mut self) {
        self.blocks.clear();
        self.lines.clear();
        self.last_values.clear();
        self.version += 1;
    }

    /// Makes room for so many more series.
    pub(super) fn reserve(&mut self, series: usize) {
        let vectors_grow = self.last_values.capacity() - self.last_values.len();
        if vectors_grow < series * self.width {
            // A few more: series often come one by one.
            let series = series + self.len() / 16;
            self.lines.reserve_exact(series * self.lines_per_series);
            self.last_values.reserve_exact(series * self.width);
            self.blocks
                .reserve_exact(series / self.series_per_block + 1);
        }
    }

    /// Gives back what the vectors have reserved beyond the series.
    pub(super) fn shrink(&mut self) {
        self.lines.shrink_to_fit();
        self.last_values.shrink_to_fit();
        self.blocks.shrink_to_fit();
    }

    /// Appends a series, each value as 0, and its lines to the text of the family.
    pub(super) fn push_series(
        &mut self,
        templates: &[Template],
        series: SeriesText<'_>,
        text: &mut Vec<u8>,
    ) {
        if self.len().is_multiple_of(self.series_per_block) {
            self.blocks.push(Block {
                len: 0,
                tail: 0,
                restless: false,
                changed: true,
                resized: true,
            });
        }
        let before = text.len();
        let block = self.blocks.last_mut().expect("a block is open");
        (block.changed, block.resized) = (true, true);
        for template in templates {
            let line_start = text.len();
            template.render(series.labels, series.start, text);
            self.lines.push(LineLayout {
                // A line is shorter than 4 GiB: so are label values.
                prefix_len: (text.len() - line_start + block.tail) as u32,
                value_len: 1,
            });
            text.extend_from_slice(template.initial());
            push_short(template.trail(), text);
            block.tail = template.trail().len();
        }
        push_short(series.after, text);
        block.tail += series.after.len();
        block.len += text.len() - before;
        // All bits 0 is the number 0 of each type.
        self.last_values
            .resize(self.last_values.len() + self.width, 0);
    }

    /// Removes the series at some positions, in ascending order. `old` is the text of
    /// the family's lines; that of the lines that stay is appended to `text`.
    ///
    /// The text after the last value of a series must be the same for all.
    pub(super) fn remove(&mut self, gone: &[usize], old: &[u8], text: &mut Vec<u8>) {
        let (width, per_series) = (self.width, self.lines_per_series);
        let series_before = self.len();
        let tail = self.blocks.first().map_or(0, |block| block.tail);
        self.blocks.clear();
        let mut gone = gone.iter().copied().peekable();
        // Series that stay, and the old text up to this one and up to what is copied.
        let (mut kept, mut position, mut copied) = (0, 0, 0);
        for series in 0..series_before {
            let lines = series * per_series..(series + 1) * per_series;
            let first = &mut self.lines[lines.start];
            // Without the end of the series before.
            if !series.is_multiple_of(self.series_per_block) {
                first.prefix_len -= tail as u32;
            }
            let extent = |line: &LineLayout| (line.prefix_len + line.value_len) as usize;
            let len = self.lines[lines.clone()].iter().map(extent).sum::<usize>() + tail;
            let start = position;
            position += len;
            if gone.next_if_eq(&series).is_some() {
                text.extend_from_slice(&old[copied..start]);
                copied = position;
                continue;
            }
            self.lines.copy_within(lines, kept * per_series);
            self.last_values
                .copy_within(series * width..(series + 1) * width, kept * width);
            if kept.is_multiple_of(self.series_per_block) {
                self.blocks.push(Block {
                    len: 0,
                    tail,
                    restless: false,
                    changed: true,
                    resized: true,
                });
            } else {
                self.lines[kept * per_series].prefix_len += tail as u32;
            }
            self.blocks.last_mut().expect("a block is open").len += len;
            kept += 1;
        }
        text.extend_from_slice(&old[copied..]);
        self.lines.truncate(kept * per_series);
        self.last_values.truncate(kept * width);
        self.version += 1;
    }

    /// Brings the lines on the page up to date, with the values that the cells
    /// have now.
    pub(super) fn write(
        &mut self,
        series: &dyn SeriesView,
        templates: &[Template],
        rows: &mut Vec<u64>,
        page: &mut Editor<'_>,
    ) {
        let (width, len) = (self.width, series.len());
        let per_read = BLOCKS_PER_READ * self.series_per_block;
        if rows.len() < per_read * width {
            rows.resize(per_read * width, 0);
        }
        let mut lines = &mut self.lines[..];
        let mut last_values = &mut self.last_values[..];
        let mut unread = 0;
        let mut read = &rows[..0];
        let mut first = 0;
        for block in &mut self.blocks {
            if first == unread {
                unread = len.min(first + per_read);
                let numbers = (unread - first) * width;
                series.read(first..unread, &mut rows[..numbers]);
                read = &rows[..numbers];
            }
            let here = self.series_per_block.min(len - first);
            first += here;
            let (block_lines, last, current);
            (block_lines, lines) = mem::take(&mut lines).split_at_mut(here * self.lines_per_series);
            (last, last_values) = mem::take(&mut last_values).split_at_mut(here * width);
            (current, read) = read.split_at(here * width);
            // One number by itself first: comparing many at once waits until those that
            // were read just now have reached the cache.
            if current.first() == last.first() && current == last {
                page.keep(block.len);
                continue;
            }
            block.changed = true;
            let values = BlockValues {
                width,
                current,
                last,
            };
            let (mut series_done, mut len_done) = (0, 0);
            if !block.restless
                && let Some(text) = page.in_place(block.len)
            {
                (series_done, len_done) = patch_in_place(text, block_lines, templates, values);
            }
            if series_done == here {
                page.keep(block.len);
            } else {
                page.keep(len_done);
                let values = BlockValues {
                    width,
                    current: &current[series_done * width..],
                    last: &last[series_done * width..],
                };
                let lines = &mut block_lines[series_done * self.lines_per_series..];
                let old_len = block.len - len_done;
                let (old, new) = page.rewrite(old_len, old_len + lines.len() * MAX_LEN);
                let (new_len, resized) = rewrite_block(old, old_len, new, lines, templates, values);
                page.rewritten(old_len, new_len);
                block.len = len_done + new_len;
                block.restless = resized;
                block.resized |= resized;
            }
            last.copy_from_slice(current);
        }
    }

    /// Bytes of the lines, exemplars aside.
    #[cfg(feature = "gzip")]
    pub(super) fn text_len(&self) -> usize {
        self.blocks.iter().map(|block| block.len).sum()
    }

    /// The blocks as last written, in page order.
    pub(super) fn blocks(&self) -> impl Iterator<Item = BlockView<'_>> {
        let lines = self
            .lines
            .chunks(self.series_per_block * self.lines_per_series);
        let blocks = self.blocks.iter().zip(lines).enumerate();
        blocks.map(|(index, (block, lines))| BlockView {
            first_series: index * self.series_per_block,
            series: lines.len() / self.lines_per_series,
            len: block.len,
            lines,
            tail: block.tail,
            changed: block.changed,
            resized: block.resized,
        })
    }
}

/// For the compression of the lines.
#[cfg(feature = "gzip")]
impl Body {
    /// A number that changes whenever series were removed.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Lines in a block; the last block may have fewer.
    pub(super) fn lines_per_block(&self) -> usize {
        self.series_per_block * self.lines_per_series
    }

    /// Considers the blocks, as they are now, as unchanged.
    pub(super) fn settle(&mut self) {
        for block in &mut self.blocks {
            (block.changed, block.resized) = (false, false);
        }
    }
}
