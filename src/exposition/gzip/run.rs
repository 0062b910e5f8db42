//! The compressed families of a run, and what of them can be used again.
//!
//! A run is a large family, or several small ones in a row. Matches do not cross
//! runs, so a run whose families change is parsed alone. Its segments, numbered
//! from 0, are the texts before each value and the one after the last: the
//! metadata of a family is part of the segment before its first value.

use super::PageFamily;
use super::bits::BitBuffer;
use super::code::{
    LineVisitor, LineWriter, MAX_OP_LEN, MAX_VALUE_LEN, Op, SegmentSteps, Sources, Starts, Symbol,
    code_segment, max_ops, put_segment, put_symbol, take_segment, value_back, visit_segment,
};
use super::coder::Coder;
use super::huffman::Codes;
use super::match_finder::{MatchFinder, Step};
use crate::exposition::body::{BlockView, Body};
use crate::exposition::writer::LineLayout;

/// A family with more lines is a run of its own.
const SMALL_FAMILY: usize = 256;
/// A run of small families ends when it has as many lines, and a family with as
/// many has codes of its own: a block's header takes some 80 bytes.
const RUN_LINES: usize = 512;

/// A family as it stands on a page.
pub(in crate::exposition) struct PageFamilyView<'a> {
    /// Distinguishes the metadata from that of other families, and from what it
    /// was before.
    pub(in crate::exposition) head: (u64, u64),
    pub(in crate::exposition) head_len: usize,
    pub(in crate::exposition) body: &'a mut Body,
    /// The lengths of values with their exemplars, where there may be some.
    pub(in crate::exposition) extents: Option<&'a [u32]>,
    pub(in crate::exposition) code: &'a mut FamilyCode,
}

impl PageFamilyView<'_> {
    /// Bytes of the family on the page.
    pub(super) fn len(&self) -> usize {
        let len: usize = match self.extents {
            None => self.body.text_len(),
            Some(extents) => {
                let lines = self.body.blocks().flat_map(|block| block.lines);
                let prefixes: usize = lines.map(|line| line.prefix_len as usize).sum();
                let values: usize = extents.iter().map(|&len| len as usize).sum();
                let tails: usize = self.body.blocks().map(|block| block.tail).sum();
                prefixes + values + tails
            }
        };
        self.head_len + len
    }
}

/// The compression of a family.
#[derive(Default)]
pub(in crate::exposition) struct FamilyCode {
    parsed: Parsed,
    steps: Vec<Step>,
    /// Steps of the segment after the last value, in the last family of a run.
    tail_steps: Vec<Step>,
    /// The generation of the codes that the ops are made of; 0 for none.
    generation: u64,
    ops: Vec<Op>,
    tail_ops: Vec<Op>,
    blocks: Vec<BlockCode>,
    /// The codes of the family, if it is large; see [`FamilyRun::is_large`].
    coder: Option<Box<Coder>>,
}

/// Identifies what was parsed, and in which run.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Parsed {
    head: (u64, u64),
    version: u64,
    lines: usize,
    /// Number of the run; 0 if nothing was parsed.
    run: u64,
    /// Position of the family in the run, and number of its families.
    index: usize,
    families: usize,
}

/// A block of lines.
#[derive(Clone, Copy, Default)]
struct BlockCode {
    first_op: usize,
    /// Bits of the previous page that are the block, none if `len` is 0.
    start: usize,
    len: usize,
    /// Some value there repeats one before the block.
    repeats_earlier: bool,
}

/// A position in the lines of a run: at the end of a value.
#[derive(Clone, Copy)]
struct Cursor {
    /// The number of the segment here.
    number: usize,
    /// Its start.
    start: usize,
    /// Bytes of it before the prefix of the next line.
    before: usize,
}

impl Cursor {
    fn new(position: usize) -> Self {
        Self {
            number: 0,
            start: position,
            before: 0,
        }
    }

    /// Advances past a value of `len` bytes; returns its start.
    #[inline(always)]
    fn next(&mut self, prefix_len: u32, len: u32) -> usize {
        let value = self.start + self.before + prefix_len as usize;
        *self = Self {
            number: self.number + 1,
            start: value + len as usize,
            before: 0,
        };
        value
    }

    /// The position after a block.
    fn after(self, block: &BlockView<'_>) -> Self {
        Self {
            number: self.number + block.lines.len(),
            start: self.start + self.before + block.len - block.tail,
            before: block.tail,
        }
    }
}

/// Splits a page into runs; calls `visit` with each and its position.
pub(super) fn for_each_run<F: PageFamily>(
    families: &mut [F],
    mut visit: impl FnMut(&mut [F], usize),
) {
    let mut rest = families;
    let mut position = 0;
    while !rest.is_empty() {
        let (mut count, mut lines, mut len) = (0, 0, 0);
        for family in rest.iter_mut() {
            if let Some(view) = family.view() {
                let small = view.body.lines() <= SMALL_FAMILY;
                if lines > 0 && (!small || lines >= RUN_LINES) {
                    break;
                }
                // A large family that comes first ends the run after it.
                lines += if small { view.body.lines() } else { RUN_LINES };
                len += view.len();
            }
            count += 1;
        }
        let run;
        (run, rest) = rest.split_at_mut(count);
        if lines > 0 {
            visit(run, position);
        }
        position += len;
    }
}

/// The families of a run, at a position.
pub(super) struct FamilyRun<'a, F> {
    pub(super) families: &'a mut [F],
    pub(super) position: usize,
}

/// A segment and the value after it: positions on the page.
struct Piece {
    family: usize,
    block: usize,
    number: usize,
    start: usize,
    value: usize,
    end: usize,
    /// It is the first of its block.
    first: bool,
    /// It is the last of its block.
    last: bool,
}

impl<F: PageFamily> FamilyRun<'_, F> {
    /// Calls `visit` with each family, and its position among those of the run.
    fn for_each_family(&mut self, mut visit: impl FnMut(usize, &mut PageFamilyView<'_>)) {
        let mut index = 0;
        for family in &mut *self.families {
            if let Some(mut view) = family.view() {
                visit(index, &mut view);
                index += 1;
            }
        }
    }

    /// Calls `visit` with each segment that ends at a value, and the code of its
    /// family; returns the segment after the last value.
    fn for_each_piece(&mut self, mut visit: impl FnMut(&mut FamilyCode, Piece)) -> Cursor {
        let mut cursor = Cursor::new(self.position);
        self.for_each_family(|family, view| {
            cursor.before += view.head_len;
            let mut extents = view.extents.map(|extents| extents.iter());
            for (block, block_view) in view.body.blocks().enumerate() {
                for (index, line) in block_view.lines.iter().enumerate() {
                    let extent = extents.as_mut().and_then(|extents| extents.next());
                    let Cursor { number, start, .. } = cursor;
                    let value = cursor.next(line.prefix_len, *extent.unwrap_or(&line.value_len));
                    let piece = Piece {
                        family,
                        block,
                        number,
                        start,
                        value,
                        end: cursor.start,
                        first: index == 0,
                        last: index + 1 == block_view.lines.len(),
                    };
                    visit(view.code, piece);
                }
                cursor.before = block_view.tail;
            }
        });
        cursor
    }

    /// Number of lines.
    pub(super) fn lines(&mut self) -> usize {
        let mut lines = 0;
        self.for_each_family(|_, view| lines += view.body.lines());
        lines
    }

    /// Returns true if lines may have exemplars.
    pub(super) fn has_exemplars(&mut self) -> bool {
        let mut any = false;
        self.for_each_family(|_, view| any |= view.extents.is_some());
        any
    }

    /// Returns true if the run is one family with codes of its own.
    pub(super) fn is_large(&mut self) -> bool {
        let mut families = 0;
        self.for_each_family(|_, _| families += 1);
        families == 1 && self.lines() >= RUN_LINES
    }

    /// Takes the family's own codes, to be returned.
    pub(super) fn take_coder(&mut self) -> Box<Coder> {
        self.with_last(|code| code.coder.take())
            .unwrap_or_else(|| Box::new(Coder::new()))
    }

    /// Gives the family its codes.
    pub(super) fn return_coder(&mut self, coder: Box<Coder>) {
        self.with_last(|code| code.coder = Some(coder));
    }

    /// Calls `visit` with the code of the last family.
    fn with_last<R>(&mut self, visit: impl FnOnce(&mut FamilyCode) -> R) -> R {
        let mut views = self.families.iter_mut().rev();
        let last = views.find_map(|family| family.view());
        visit(last.expect("a run has a family").code)
    }

    /// Parses the families, if they are not parsed as this run.
    pub(super) fn parse(
        &mut self,
        page: &[u8],
        runs: &mut u64,
        match_finder: &mut Option<MatchFinder>,
    ) {
        let mut families = 0;
        self.for_each_family(|_, _| families += 1);
        let (mut run, mut same, mut lines_known) = (None, true, 0);
        self.for_each_family(|index, view| {
            let parsed = view.code.parsed;
            let run = *run.get_or_insert(parsed.run);
            let now = Parsed {
                head: view.head,
                version: view.body.version(),
                lines: parsed.lines,
                run,
                index,
                families,
            };
            // More lines of the same family can be parsed in addition.
            let can_add = parsed.lines == view.body.lines() || families == 1;
            same &= run > 0 && parsed == now && can_add;
            lines_known = parsed.lines;
            if !same {
                lines_known = 0;
            }
        });
        let lines = self.lines();
        if same && (families > 1 || lines_known == lines) {
            return;
        }
        let lines_known = if same { lines_known } else { 0 };
        *runs += 1;
        let number = *runs;
        self.for_each_family(|index, view| {
            view.code.parsed = Parsed {
                head: view.head,
                version: view.body.version(),
                lines: view.body.lines(),
                run: number,
                index,
                families,
            };
            view.code.generation = 0;
            view.code.tail_steps.clear();
            if lines_known == 0 {
                view.code.blocks = Vec::new();
                view.code.steps = Vec::new();
            }
        });
        let match_finder = match_finder.get_or_insert_with(MatchFinder::new);
        self.parse_lines(page, families, lines_known, match_finder);
    }

    /// Parses the lines from number `known` on.
    fn parse_lines(
        &mut self,
        page: &[u8],
        families: usize,
        known: usize,
        match_finder: &mut MatchFinder,
    ) {
        match_finder.clear();
        let mut per_block = 1;
        self.for_each_family(|_, view| per_block = view.body.lines_per_block());
        let first_seen = (known / per_block).saturating_sub(1) * per_block;
        let oldest = |block| oldest_source(families, block, per_block).saturating_sub(first_seen);
        let mut last_block = 0;
        let tail = self.for_each_piece(|code, piece| {
            last_block = piece.block;
            if piece.number < first_seen {
                return;
            }
            if piece.number < known {
                match_finder.skip(page, piece.start, piece.value);
                return;
            }
            if piece.first {
                code.blocks.push(BlockCode::default());
            }
            let oldest = oldest(piece.block);
            match_finder.parse(page, piece.start, piece.value, oldest, &mut code.steps);
        });
        let oldest = oldest(last_block);
        let end = tail.start + tail.before;
        self.with_last(|code| {
            match_finder.parse(page, tail.start, end, oldest, &mut code.tail_steps);
        });
    }

    /// Makes ops of the steps, if there are none of this generation of codes.
    /// Returns false if some literal has no code.
    pub(super) fn code(
        &mut self,
        page: &[u8],
        starts: &mut Starts,
        codes: &Codes,
        generation: u64,
    ) -> bool {
        let mut same = true;
        self.for_each_family(|_, view| same &= view.code.generation == generation);
        if same {
            return true;
        }
        self.for_each_family(|_, view| {
            let code = &mut *view.code;
            prepare(&mut code.ops, max_ops(&code.steps));
            prepare(&mut code.tail_ops, max_ops(&code.tail_steps));
        });
        let mut complete = true;
        // The next step of the present family.
        let (mut family, mut step) = (0, 0);
        let tail = self.for_each_piece(|code, piece| {
            if piece.family != family {
                (family, step) = (piece.family, 0);
            }
            if piece.first {
                code.blocks[piece.block] = BlockCode {
                    first_op: code.ops.len(),
                    ..BlockCode::default()
                };
            }
            let mut rest = &code.steps[step..];
            let steps = take_segment(&mut rest);
            step += steps.len();
            starts.set_both(piece.number, piece.start, piece.value);
            let text = &page[piece.start..piece.value];
            let back = value_back(if piece.last { &[] } else { rest });
            let other = piece.number.checked_sub(back);
            let other = other.map(|number| starts.text(page, number));
            complete &= code_segment(steps, text, other, !piece.first, codes, &mut code.ops);
        });
        let text = &page[tail.start..tail.start + tail.before];
        self.with_last(|code| {
            let (steps, ops) = (&code.tail_steps, &mut code.tail_ops);
            complete &= code_segment(steps, text, None, false, codes, ops);
        });
        let generation = if complete { generation } else { 0 };
        self.for_each_family(|_, view| view.code.generation = generation);
        complete
    }

    /// Calls `visit` with each symbol.
    pub(super) fn visit(
        &mut self,
        page: &[u8],
        starts: &mut Starts,
        mut visit: impl FnMut(Symbol),
    ) {
        let (mut families, mut per_block) = (0, 1);
        self.for_each_family(|_, view| {
            families += 1;
            per_block = view.body.lines_per_block();
        });
        let (mut family, mut step) = (0, 0);
        let mut lines = LineVisitor::default();
        let tail = self.for_each_piece(|code, piece| {
            if piece.family != family {
                (family, step) = (piece.family, 0);
            }
            if piece.first {
                lines = LineVisitor::default();
            }
            starts.set(piece.number, piece.start);
            let mut rest = &code.steps[step..];
            let segment = SegmentSteps {
                steps: take_segment(&mut rest),
                text: &page[piece.start..piece.value],
                number: piece.number,
                after: if piece.last { &[] } else { rest },
            };
            step += segment.steps.len();
            let value = (piece.value, piece.end);
            let oldest = oldest_source(families, piece.block, per_block);
            lines.visit(page, segment, value, oldest, starts, &mut visit);
        });
        starts.set(tail.number, tail.start);
        self.with_last(|code| {
            let segment = SegmentSteps {
                steps: &code.tail_steps,
                text: &page[tail.start..tail.start + tail.before],
                number: tail.number,
                after: &[],
            };
            visit_segment(segment, 0, 0, starts, &mut visit);
        });
    }

    /// Writes the run as part of page `number`. `previous` is the output for the
    /// page before.
    pub(super) fn write(
        &mut self,
        page: &[u8],
        coder: &mut Coder,
        number: u64,
        previous: &BitBuffer,
        starts: &mut Starts,
        output: &mut BitBuffer,
    ) {
        let previous = coder.is_continued(number).then_some(previous);
        let codes = coder.codes();
        let before = output.state();
        if !self.write_blocks(page, codes, starts, previous, output) {
            // Exemplars, or a source that is too far away, which only extreme
            // label values bring about.
            output.rewind(before);
            self.for_each_family(|_, view| {
                view.code.blocks.iter_mut().for_each(|block| block.len = 0);
            });
            self.visit(page, starts, |symbol| put_symbol(symbol, codes, output));
        }
        let mut text_len = 0;
        self.for_each_family(|_, view| {
            view.body.settle();
            text_len += view.len();
        });
        coder.run_written(output.len() - before.bits_written(), text_len);
    }

    /// Writes the run block by block. Returns false if that cannot be done.
    fn write_blocks(
        &mut self,
        page: &[u8],
        codes: &Codes,
        starts: &mut Starts,
        previous: Option<&BitBuffer>,
        output: &mut BitBuffer,
    ) -> bool {
        let mut families = 0;
        self.for_each_family(|_, _| families += 1);
        let mut cursor = Cursor::new(self.position);
        // A value has another length, so that distances across it have changed; or
        // another text, so that it is not repeated any more.
        let (mut resized, mut changed) = (false, false);
        for family in &mut *self.families {
            let Some(view) = family.view() else {
                continue;
            };
            if view.extents.is_some() {
                return false;
            }
            cursor.before += view.head_len;
            let code = &mut *view.code;
            let per_block = view.body.lines_per_block();
            // The block before, if it was copied: its starts are not known.
            let mut copied: Option<(Cursor, BlockView<'_>)> = None;
            for (index, block) in view.body.blocks().enumerate() {
                let after = cursor.after(&block);
                let last_op = code.blocks.get(index + 1).map(|next| next.first_op);
                let block_code = &mut code.blocks[index];
                let stale = block.changed || resized || (changed && block_code.repeats_earlier);
                let same = !stale && block_code.len > 0;
                let start = output.len();
                if let Some(previous) = previous.filter(|_| same) {
                    output.copy(previous, block_code.start, block_code.len);
                    copied = Some((cursor, block));
                } else {
                    if let Some((cursor, block)) = copied.take() {
                        set_starts(cursor, block.lines, starts);
                    }
                    let ops = &code.ops[block_code.first_op..last_op.unwrap_or(code.ops.len())];
                    let sources = Sources {
                        oldest: oldest_source(families, index, per_block),
                        first: cursor.number,
                    };
                    let lines = (block.lines, sources);
                    match write_block(page, cursor, lines, ops, codes, starts, output) {
                        Some(repeats_earlier) => block_code.repeats_earlier = repeats_earlier,
                        None => return false,
                    }
                }
                block_code.start = start;
                block_code.len = output.len() - start;
                cursor = after;
                match families {
                    // Sources lie in the block before at most.
                    1 => (resized, changed) = (block.resized, block.changed),
                    _ => (resized, changed) = (resized | block.resized, changed | block.changed),
                }
                if families > 1
                    && let Some((cursor, block)) = copied.take()
                {
                    set_starts(cursor, block.lines, starts);
                }
            }
            if let Some((cursor, block)) = copied {
                set_starts(cursor, block.lines, starts);
            }
        }
        starts.set(cursor.number, cursor.start);
        self.with_last(|code| {
            output.write(code.tail_ops.len() * MAX_OP_LEN, |writer| {
                put_segment(&code.tail_ops, cursor.number, starts, codes, writer)
            })
        })
    }
}

/// The first line that a block may refer to. In a large family that is in the block
/// before, so that the others need not be seen again.
fn oldest_source(families: usize, block: usize, per_block: usize) -> usize {
    match families {
        1 => block.saturating_sub(1) * per_block,
        _ => 0,
    }
}

/// Empties ops, and makes room for so many of them, not much more.
fn prepare(ops: &mut Vec<Op>, most: usize) {
    ops.clear();
    ops.shrink_to(2 * most);
    ops.reserve(most);
}

/// Notes the starts of the segments of a block.
fn set_starts(mut cursor: Cursor, lines: &[LineLayout], starts: &mut Starts) {
    for line in lines {
        starts.set(cursor.number, cursor.start);
        cursor.next(line.prefix_len, line.value_len);
    }
}

/// Writes a block. Returns true if some value repeats one before the block; none if
/// some source is too far away.
///
/// Not inlined: the loop needs every register.
#[inline(never)]
fn write_block(
    page: &[u8],
    mut cursor: Cursor,
    (lines, sources): (&[LineLayout], Sources),
    ops: &[Op],
    codes: &Codes,
    starts: &mut Starts,
    output: &mut BitBuffer,
) -> Option<bool> {
    let room = ops.len() * MAX_OP_LEN + lines.len() * MAX_VALUE_LEN;
    output.write(room, |writer| {
        let mut line_writer = LineWriter::new(page, codes, ops, sources);
        for line in lines {
            let number = cursor.number;
            starts.set(number, cursor.start);
            let value = cursor.next(line.prefix_len, line.value_len);
            if !line_writer.put(number, value, cursor.start, starts, writer) {
                return None;
            }
        }
        Some(line_writer.repeats_earlier())
    })
}
