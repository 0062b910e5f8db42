//! Constant text, coded once for many pages, and values, coded for each.

use super::bits::{BitBuffer, BitWriter, MAX_PUT};
use super::huffman::{
    Codes, Counts, MAX_DISTANCE, MAX_DISTANCE_LEN, MAX_MATCH, MIN_DISTANCE, are_plain,
};
use super::match_finder::{MAX_BACK, Step};
use std::slice::Iter;

/// Bits that are the same on every page: literals, and perhaps the length of a
/// match, whose distance depends on the lengths of values.
#[derive(Clone, Copy)]
pub(super) struct Op {
    bits: u64,
    count: u8,
    flags: u8,
    /// See [`Step`].
    back: u16,
    delta: i16,
    /// Length of the match, if it is below 256; without a match, number of
    /// literals that [`JOINS_VALUE`] is about.
    length: u8,
    /// Bits before the part that joins the value.
    kept: u8,
}

/// A distance follows.
const MATCH: u8 = 1;
/// The segment ends.
const LAST: u8 = 2;
/// There are so many bits that they must be flushed before a distance.
const LONG: u8 = 4;
/// The segment begins with this match, which repeats the beginning of another
/// segment: a match of the value before can go on with it.
const JOINS_START: u8 = 8;
/// The end of the segment, either the match or the last literals, repeats the end
/// of another one: a match of the value after can begin with it.
const JOINS_VALUE: u8 = 16;

/// Bytes that an op takes at most, and a match of a value after it.
pub(super) const MAX_OP_LEN: usize = 20;
/// Bytes that a value of the writer takes at most: 24 codes of 13 bits.
pub(super) const MAX_VALUE_LEN: usize = 40;
/// The most literals that join a value.
const MAX_JOINING: usize = 8;

/// The positions on the page of the latest segments, by their numbers.
pub(super) struct Starts {
    starts: [u32; MAX_BACK + 1],
    /// Positions of the values after the segments, set by [`set_both`](Self::set_both).
    values: [u32; MAX_BACK + 1],
}

impl Starts {
    /// No positions.
    pub(super) fn new() -> Self {
        Self {
            starts: [0; MAX_BACK + 1],
            values: [0; MAX_BACK + 1],
        }
    }

    #[inline(always)]
    pub(super) fn set(&mut self, number: usize, start: usize) {
        self.starts[number & MAX_BACK] = start as u32;
    }

    /// Notes the start of a segment, and its end.
    pub(super) fn set_both(&mut self, number: usize, start: usize, value: usize) {
        self.set(number, start);
        self.values[number & MAX_BACK] = value as u32;
    }

    /// The text of one of the latest segments.
    pub(super) fn text<'a>(&self, page: &'a [u8], number: usize) -> &'a [u8] {
        &page[self.get(number)..self.values[number & MAX_BACK] as usize]
    }

    /// The start of one of the latest segments, which is the end of the value
    /// before it.
    #[inline(always)]
    fn get(&self, number: usize) -> usize {
        self.starts[number & MAX_BACK] as usize
    }

    /// The distance between a match in segment `number` and its source.
    #[inline(always)]
    fn distance(&self, number: usize, back: u16, delta: i16) -> u32 {
        let start = self.starts[number & MAX_BACK];
        let source = self.starts[number.wrapping_sub(usize::from(back)) & MAX_BACK];
        start
            .wrapping_sub(source)
            .wrapping_add_signed(i32::from(delta))
    }
}

/// Returns the number of ops that these steps become at most.
pub(super) fn max_ops(steps: &[Step]) -> usize {
    // A length of 18 bits at most and two literals of 13 fit into an op, or four
    // literals.
    let of_step = |step: &Step| 2 + usize::from(step.literals) / 4;
    steps.iter().map(of_step).sum()
}

/// Takes the steps of the next segment.
pub(super) fn take_segment<'a>(steps: &mut &'a [Step]) -> &'a [Step] {
    let last = steps.iter().position(|step| step.is_last());
    let len = last.map_or(steps.len(), |last| last + 1);
    let segment;
    (segment, *steps) = steps.split_at(len);
    segment
}

/// Returns how many bytes at the end of a segment can join a match of the value
/// after it: they repeat the end of another segment.
fn joining(steps: &[Step], text: &[u8], other: &[u8]) -> usize {
    let Some(last) = steps.last() else {
        return 0;
    };
    // A match joins as a whole, or another one would be needed.
    let length = last.length();
    if length > 0 {
        return match other.ends_with(&text[text.len() - length..]) {
            true => length,
            false => 0,
        };
    }
    let most = usize::from(last.literals).min(MAX_JOINING);
    let pairs = text.iter().rev().zip(other.iter().rev());
    pairs.take(most).take_while(|(a, b)| a == b).count()
}

/// Returns the match that a segment begins with, if it repeats the beginning of
/// another segment and the value before can join it.
fn joined_start(steps: &[Step]) -> Option<Step> {
    let first = *steps.first()?;
    let joins = first.literals == 0 && first.delta == 0 && (1..256).contains(&first.length());
    joins.then_some(first)
}

/// Returns how many lines back the value is that the value before the next segment
/// may repeat: the one before the source of the segment's beginning.
pub(super) fn value_back(next: &[Step]) -> usize {
    joined_start(next).map_or(1, |step| usize::from(step.back))
}

/// Appends the ops of a segment. `other` is the segment before the value that the
/// value after this one may repeat, see [`value_back`]; a value before the segment
/// can `join` it. Returns false if a literal has no code.
pub(super) fn code_segment(
    steps: &[Step],
    text: &[u8],
    other: Option<&[u8]>,
    join: bool,
    codes: &Codes,
    ops: &mut Vec<Op>,
) -> bool {
    let empty = Op {
        bits: 0,
        count: 0,
        flags: 0,
        back: 0,
        delta: 0,
        length: 0,
        kept: 0,
    };
    let first = ops.len();
    let mut complete = true;
    let mut op = empty;
    // Literals in `op`.
    let mut literals = 0;
    let mut rest = text;
    for step in steps {
        let of_step;
        (of_step, rest) = rest.split_at(usize::from(step.literals));
        for &byte in of_step {
            let code = codes.literal(byte);
            if u32::from(op.count) + code.count > MAX_PUT {
                ops.push(op);
                (op, literals) = (empty, 0);
            }
            complete &= code.count > 0;
            op.bits |= u64::from(code.bits) << op.count;
            op.count += code.count as u8;
            literals += 1;
        }
        let length = step.length();
        if length > 0 {
            let code = codes.length(length);
            if u32::from(op.count) + code.count > MAX_PUT {
                ops.push(op);
                op = empty;
            }
            complete &= code.count > 0;
            let count = u32::from(op.count) + code.count;
            let long = count + MAX_DISTANCE_LEN > MAX_PUT;
            ops.push(Op {
                bits: op.bits | u64::from(code.bits) << op.count,
                count: count as u8,
                flags: if long { MATCH | LONG } else { MATCH },
                back: step.back,
                delta: step.delta,
                length: length as u8,
                kept: op.count,
            });
            (op, literals) = (empty, 0);
            rest = &rest[length..];
        }
    }
    let matched_to_the_end = ops.len() > first && op.count == 0;
    if !matched_to_the_end {
        op.kept = op.count;
        ops.push(op);
    }
    if join && joined_start(steps).is_some() {
        ops[first].flags |= JOINS_START;
    }
    let last = ops.last_mut().expect("one was pushed");
    last.flags |= LAST;
    let joining = other.map_or(0, |other| joining(steps, text, other));
    if last.flags & MATCH != 0 {
        if (1..256).contains(&joining) {
            last.flags |= JOINS_VALUE;
        }
    } else {
        let joining = joining.min(literals);
        let bits = text[text.len() - joining..].iter();
        let bits: u32 = bits.map(|&byte| codes.literal(byte).count).sum();
        last.length = joining as u8;
        last.kept -= bits as u8;
        if joining > 0 {
            last.flags |= JOINS_VALUE;
        }
    }
    complete
}

/// Writes an op. Returns false if its source is too far away, after which the
/// output is worthless.
#[inline(always)]
fn put_op(
    op: &Op,
    number: usize,
    starts: &Starts,
    codes: &Codes,
    writer: &mut BitWriter<'_>,
) -> bool {
    writer.put(op.bits, u32::from(op.count));
    if op.flags & MATCH != 0 {
        if op.flags & LONG != 0 {
            writer.flush();
        }
        let distance = starts.distance(number, op.back, op.delta);
        let Some((bits, count)) = codes.distance(distance) else {
            return false;
        };
        writer.put(bits, count);
    }
    writer.flush();
    true
}

/// Writes a segment without a value after it. Returns false if a source is too
/// far away.
pub(super) fn put_segment(
    ops: &[Op],
    number: usize,
    starts: &Starts,
    codes: &Codes,
    writer: &mut BitWriter<'_>,
) -> bool {
    ops.iter()
        .all(|op| put_op(op, number, starts, codes, writer))
}

/// The lines whose values a block may repeat.
#[derive(Clone, Copy)]
pub(super) struct Sources {
    /// The first of them.
    pub(super) oldest: usize,
    /// The first line of the block.
    pub(super) first: usize,
}

/// Writes segments, each with the value after it.
pub(super) struct LineWriter<'a> {
    page: &'a [u8],
    codes: &'a Codes,
    ops: Iter<'a, Op>,
    sources: Sources,
    /// The first op of the next segment is written.
    joined: bool,
    /// A value repeats one before the block.
    repeats_earlier: bool,
}

impl<'a> LineWriter<'a> {
    pub(super) fn new(page: &'a [u8], codes: &'a Codes, ops: &'a [Op], sources: Sources) -> Self {
        Self {
            page,
            codes,
            ops: ops.iter(),
            sources,
            joined: false,
            repeats_earlier: false,
        }
    }

    /// Returns true if some value repeats one before the block.
    pub(super) fn repeats_earlier(&self) -> bool {
        self.repeats_earlier
    }

    /// Writes the next segment and a value. Returns false if a source is too far
    /// away.
    #[inline(always)]
    pub(super) fn put(
        &mut self,
        number: usize,
        value: usize,
        end: usize,
        starts: &Starts,
        writer: &mut BitWriter<'_>,
    ) -> bool {
        let codes = self.codes;
        let Some(mut op) = self.ops.next() else {
            return false;
        };
        let mut written = std::mem::take(&mut self.joined);
        while op.flags & LAST == 0 {
            if !written && !put_op(op, number, starts, codes, writer) {
                return false;
            }
            written = false;
            let Some(next) = self.ops.next() else {
                return false;
            };
            op = next;
        }
        let (back, after) = match self.ops.as_slice().first() {
            Some(next) if next.flags & JOINS_START != 0 => {
                (usize::from(next.back), usize::from(next.length))
            }
            _ => (1, 0),
        };
        let line = LineValue::new(self.page, number, value, end);
        let distance = line.repeats(self.page, back, self.sources.oldest, starts);
        if let Some((bits, count)) = distance.and_then(|distance| codes.distance(distance)) {
            let before = match !written && op.flags & JOINS_VALUE != 0 {
                true => usize::from(op.length),
                false => 0,
            };
            let length = before + (end - value) + after;
            if (MIN_VALUE_MATCH..=MAX_MATCH).contains(&length) {
                if before > 0 {
                    let kept = u32::from(op.kept);
                    writer.put(op.bits & ((1 << kept) - 1), kept);
                    writer.flush();
                } else if !written && !put_op(op, number, starts, codes, writer) {
                    return false;
                }
                let code = codes.length(length);
                writer.put(u64::from(code.bits), code.count);
                writer.put(bits, count);
                writer.flush();
                self.repeats_earlier |= number - back < self.sources.first;
                self.joined = after > 0;
                return true;
            }
        }
        if !written && !put_op(op, number, starts, codes, writer) {
            return false;
        }
        put_literals(&self.page[value..end], codes, writer);
        true
    }
}

/// A value on the page.
#[derive(Clone, Copy)]
struct LineValue {
    number: usize,
    start: usize,
    end: usize,
    /// The eight bytes before its end.
    last: u64,
}

impl LineValue {
    #[inline(always)]
    fn new(page: &[u8], number: usize, start: usize, end: usize) -> Self {
        Self {
            number,
            start,
            end,
            last: last_eight(page, end),
        }
    }

    /// Returns the distance to the value so many lines back, if that is the same and
    /// not before line `oldest`.
    #[inline(always)]
    fn repeats(self, page: &[u8], back: usize, oldest: usize, starts: &Starts) -> Option<u32> {
        if self.number < oldest + back {
            return None;
        }
        let source_end = starts.get(self.number + 1 - back);
        // With the blank before a value, a longer one does not end like it.
        let len = self.end - self.start + 1;
        let different = self.last ^ last_eight(page, source_end);
        let same = different >> (8 * 8usize.saturating_sub(len)) == 0
            && (len <= 8 || page[..source_end].ends_with(&page[self.start - 1..self.end]));
        same.then(|| (self.end - source_end) as u32)
    }
}

/// The eight bytes before the end of a value. There are as many: metadata precedes
/// it.
#[inline(always)]
fn last_eight(page: &[u8], end: usize) -> u64 {
    let bytes = page.get(end.wrapping_sub(8)..end);
    bytes.map_or(0, |bytes| {
        u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
    })
}

/// Matches of values, with what joins them, are at least this long.
const MIN_VALUE_MATCH: usize = 4;

/// Writes a value as literals.
#[inline(always)]
fn put_literals(mut value: &[u8], codes: &Codes, writer: &mut BitWriter<'_>) {
    while let Some((four, after)) = value.split_first_chunk::<4>()
        && let four = u32::from_le_bytes(*four)
        && are_plain(four)
    {
        let ((one, one_count), (two, two_count)) = (codes.pair(four), codes.pair(four >> 16));
        writer.put(one | two << one_count, one_count + two_count);
        writer.flush();
        value = after;
    }
    if let Some((two, after)) = value.split_first_chunk::<2>()
        && let two = u32::from(u16::from_le_bytes(*two))
        && are_plain(two)
    {
        let (bits, count) = codes.pair(two);
        writer.put(bits, count);
        writer.flush();
        value = after;
    }
    for byte in value {
        let code = codes.literal(*byte);
        writer.put(u64::from(code.bits), code.count);
        writer.flush();
    }
}

/// A symbol of a page, before it is coded.
pub(super) enum Symbol {
    Literal(u8),
    Match { length: usize, distance: u32 },
}

/// Visits the symbols of segments and values, as [`LineWriter`] writes them. Sources
/// may be too far away: such a match becomes literals.
#[derive(Default)]
pub(super) struct LineVisitor {
    /// Bytes of the next segment that are written.
    joined: usize,
}

/// A segment with its steps.
#[derive(Clone, Copy)]
pub(super) struct SegmentSteps<'a> {
    pub(super) steps: &'a [Step],
    pub(super) text: &'a [u8],
    pub(super) number: usize,
    /// Steps from the next segment on, if it is of the same block.
    pub(super) after: &'a [Step],
}

impl LineVisitor {
    /// Visits a segment and a value, which may repeat one from line `oldest` on.
    pub(super) fn visit(
        &mut self,
        page: &[u8],
        segment: SegmentSteps<'_>,
        (value, end): (usize, usize),
        oldest: usize,
        starts: &Starts,
        visit: &mut impl FnMut(Symbol),
    ) {
        let joined = std::mem::take(&mut self.joined);
        let line = LineValue::new(page, segment.number, value, end);
        let back = value_back(segment.after);
        let distance = line.repeats(page, back, oldest, starts);
        if let Some(distance) = distance
            && (MIN_DISTANCE..=MAX_DISTANCE).contains(&distance)
        {
            let after = joined_start(segment.after).map_or(0, Step::length);
            let other = &page[..value - distance as usize];
            let before = joining(segment.steps, segment.text, other);
            let fits = before + joined <= segment.text.len();
            let before = if fits { before } else { 0 };
            let length = before + (end - value) + after;
            if (MIN_VALUE_MATCH..=MAX_MATCH).contains(&length) {
                visit_segment(segment, joined, before, starts, visit);
                visit(Symbol::Match { length, distance });
                self.joined = after;
                return;
            }
        }
        visit_segment(segment, joined, 0, starts, visit);
        for &byte in &page[value..end] {
            visit(Symbol::Literal(byte));
        }
    }
}

/// Visits the symbols of a segment but for some bytes at its beginning and end.
pub(super) fn visit_segment(
    segment: SegmentSteps<'_>,
    joined: usize,
    joining: usize,
    starts: &Starts,
    visit: &mut impl FnMut(Symbol),
) {
    let mut at = 0;
    let end = segment.text.len() - joining;
    let literals = |from: usize, to: usize, visit: &mut dyn FnMut(Symbol)| {
        for &byte in &segment.text[from.max(joined)..to.min(end).max(from.max(joined))] {
            visit(Symbol::Literal(byte));
        }
    };
    for step in segment.steps {
        let literals_end = at + usize::from(step.literals);
        literals(at, literals_end, visit);
        let length = step.length();
        at = literals_end + length;
        // Parts of matches do not join values.
        if length == 0 || at <= joined || literals_end >= end {
            continue;
        }
        let distance = starts.distance(segment.number, step.back, step.delta);
        if (MIN_DISTANCE..=MAX_DISTANCE).contains(&distance) {
            visit(Symbol::Match { length, distance });
        } else {
            literals(literals_end, at, visit);
        }
    }
}

/// Counts a symbol.
pub(super) fn count(symbol: Symbol, counts: &mut Counts) {
    match symbol {
        Symbol::Literal(byte) => counts.literal(byte),
        Symbol::Match { length, distance } => counts.matched(length, distance),
    }
}

/// Writes a symbol.
pub(super) fn put_symbol(symbol: Symbol, codes: &Codes, output: &mut BitBuffer) {
    match symbol {
        Symbol::Literal(byte) => {
            let code = codes.literal(byte);
            output.put(u64::from(code.bits), code.count);
        }
        Symbol::Match { length, distance } => {
            let code = codes.length(length);
            output.put(u64::from(code.bits), code.count);
            if let Some((bits, count)) = codes.distance(distance) {
                output.put(bits, count);
            }
        }
    }
}
