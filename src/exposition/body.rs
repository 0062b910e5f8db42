//! The sample lines of a family as they were last written, in blocks.
//!
//! ```text
//! text         name{a="x"} 17\nname{a="y"} 4\n··    blocks, with room to grow
//!              └ prefix ─┘  └── prefix ──┘   └ slack
//! lines        prefix length, value length of each
//! last_values  17, 4                               the numbers in the text
//! ```
//!
//! A scrape reads the numbers of a block. If they are the ones that its text
//! shows, the text is copied to the page as it stands. If not, the page gets the
//! text between the changed values, and those values formatted; and the text
//! becomes what the page got.
//!
//! The text is one array, read from beginning to end with hardly a hole. With
//! room for the longest values in each block (512 bytes or more), and with an
//! array for each block, the hardware prefetcher lost track, and 100,000 lines
//! took up to 1.5 times as long. A record for each line, with a slot for its
//! value, was as fast when every value had changed, but took 1.7 times as long
//! when few had.

use super::number::{BUF_LEN, MAX_LEN};
use super::template::Template;
use super::writer::{Line, Values, patch_block, push};
use crate::family::SeriesView;
use std::mem;

/// Lines in a block, unless one series has more. Fewer cost more calls, more
/// cost more walking where a few values have changed.
const BLOCK_LINES: usize = 32;

/// Bytes by which a block may grow before the text is laid out again.
const SLACK: usize = 64;

/// Blocks whose numbers are read in one go. They stay in the first-level cache
/// until they are shown; block by block, each would wait for its cells alone.
/// Prefetching the cells, or the text, on top of that gained nothing.
const BLOCKS_PER_READ: usize = 16;

/// Some series of a family: a range of the text.
struct Block {
    start: usize,
    /// Bytes of the lines on the page written last.
    len: usize,
    /// Bytes up to the next block.
    capacity: usize,
    /// Bytes of the lines at most, whatever the values.
    max_len: usize,
    /// Bytes after the last value.
    tail: usize,
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
    text: Vec<u8>,
    lines: Vec<Line>,
    /// The numbers that the text shows, in rows.
    last_values: Vec<u64>,
    /// The lines of some block are longer than its capacity: the text is not
    /// what the page shows until it is laid out again.
    outgrown: bool,
    /// Counts how often all series were removed.
    version: u64,
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
    pub(super) text: &'a [u8],
    pub(super) lines: &'a [Line],
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
            text: Vec::new(),
            lines: Vec::new(),
            last_values: Vec::new(),
            outgrown: false,
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

    /// Bytes of the lines at most, whatever the values.
    pub(super) fn max_len(&self) -> usize {
        self.blocks.iter().map(|block| block.max_len).sum()
    }

    /// Returns true if the text is not what the page written last shows, which
    /// happens only where a cell panicked during the scrape.
    pub(super) fn is_torn(&self) -> bool {
        self.outgrown
    }

    /// Removes all series.
    pub(super) fn clear(&mut self) {
        self.blocks.clear();
        self.text.clear();
        self.lines.clear();
        self.last_values.clear();
        self.outgrown = false;
        self.version += 1;
    }

    /// Opens the last block for [`push_series`](Self::push_series), to be closed
    /// with [`finish_append`](Self::finish_append).
    pub(super) fn begin_append(&mut self) {
        if let Some(last) = self.blocks.last() {
            self.text.truncate(last.start + last.len);
        }
    }

    /// Appends a series, each value as 0. `labels` are rendered, and `after` is
    /// text that follows its last line.
    pub(super) fn push_series(&mut self, templates: &[Template], labels: &[u8], after: &[u8]) {
        if self.len().is_multiple_of(self.series_per_block) {
            self.close_block();
            self.blocks.push(Block {
                start: self.text.len(),
                len: 0,
                capacity: 0,
                max_len: 0,
                tail: 0,
                changed: true,
                resized: true,
            });
        }
        let before = self.text.len();
        let block = self.blocks.last_mut().expect("a block is open");
        (block.changed, block.resized) = (true, true);
        for template in templates {
            let value_before = self.text.len() - block.tail;
            template.render(labels, &mut self.text);
            self.lines.push(Line {
                // A line is shorter than 4 GiB: so are label values.
                prefix_len: (self.text.len() - value_before) as u32,
                value_len: 1,
            });
            self.text.extend_from_slice(b"0\n");
            block.tail = 1;
        }
        self.text.extend_from_slice(after);
        block.tail += after.len();
        block.max_len += self.text.len() - before + templates.len() * (MAX_LEN - 1);
        // All bits 0 is the number 0 of each type.
        self.last_values
            .resize(self.last_values.len() + self.width, 0);
    }

    /// Closes the last block.
    pub(super) fn finish_append(&mut self) {
        self.close_block();
    }

    /// Reserves the space that the text may need: untouched memory costs nothing.
    pub(super) fn reserve(&mut self) {
        let most = self.max_len() + self.blocks.len() * SLACK;
        self.text.reserve_exact(most - self.text.len());
    }

    /// Gives back what the vectors have reserved beyond the series.
    pub(super) fn shrink(&mut self) {
        self.lines.shrink_to_fit();
        self.last_values.shrink_to_fit();
        self.blocks.shrink_to_fit();
        self.text.shrink_to_fit();
    }

    fn close_block(&mut self) {
        if let Some(block) = self.blocks.last_mut() {
            block.len = self.text.len() - block.start;
            block.capacity = block.len + SLACK;
            self.text.resize(block.start + block.capacity, 0);
        }
    }

    /// Appends the lines to a page, with the values that the cells have now.
    pub(super) fn write(
        &mut self,
        series: &dyn SeriesView,
        templates: &[Template],
        rows: &mut Vec<u64>,
        page: &mut Vec<u8>,
    ) {
        let body_start = page.len();
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

            let text = &mut self.text[block.start..][..block.capacity];
            let old = &text[..block.len];
            if current == last {
                push(old, page);
                continue;
            }
            let start = page.len();
            let values = Values {
                width,
                current,
                last,
            };
            page.reserve(block.max_len + BUF_LEN);
            block.changed = true;
            block.resized |= patch_block(old, block_lines, templates, values, page);
            last.copy_from_slice(current);
            let new = &page[start..];
            block.len = new.len();
            match text.get_mut(..new.len()) {
                Some(text) => text.copy_from_slice(new),
                None => self.outgrown = true,
            }
        }
        if self.outgrown {
            self.relayout(&page[body_start..]);
        }
    }

    /// Lays the text out again, from the lines on a page, where some block has
    /// outgrown its capacity. Allocates nothing: no block outgrows its longest
    /// values.
    #[cold]
    fn relayout(&mut self, mut page: &[u8]) {
        self.text.clear();
        for block in &mut self.blocks {
            let lines;
            (lines, page) = page.split_at(block.len);
            block.start = self.text.len();
            if block.capacity < block.len {
                block.capacity = block.len + SLACK;
            }
            self.text.extend_from_slice(lines);
            self.text.resize(block.start + block.capacity, 0);
        }
        self.outgrown = false;
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
            text: &self.text[block.start..][..block.len],
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

    /// Number of lines.
    pub(super) fn lines(&self) -> usize {
        self.lines.len()
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
