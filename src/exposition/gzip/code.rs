//! Constant text, coded once for many pages, and values, coded for each.

use super::bits::{BitBuffer, BitWriter, MAX_PUT};
use super::huffman::{
    Codes, Counts, MAX_DISTANCE, MAX_DISTANCE_LEN, MAX_MATCH, MIN_DISTANCE, are_plain,
};
use super::matcher::{MAX_BACK, Step};
use crate::exposition::number::MAX_LEN;
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
/// The segment begins with this match, which repeats the beginning of the segment
/// before: a match of the value before can go on with it.
const JOINS_START: u8 = 8;
/// The end of the segment, either the match or the last literals, repeats the end
/// of the segment before: a match of the value after can begin with it.
const JOINS_VALUE: u8 = 16;

/// Bytes that an op takes at most, and a match of a value after it.
pub(super) const MAX_OP_LEN: usize = 20;
/// Bytes that a value of the writer takes at most: 24 codes of 13 bits.
pub(super) const MAX_VALUE_LEN: usize = 40;
/// The most literals that join a value.
const MAX_JOINING: usize = 8;

/// The positions on the page of the latest segments, by their numbers.
pub(super) struct Starts([u32; MAX_BACK + 1]);

impl Starts {
    /// No positions.
    pub(super) fn new() -> Self {
        Self([0; MAX_BACK + 1])
    }

    #[inline(always)]
    pub(super) fn set(&mut self, number: usize, start: usize) {
        self.0[number & MAX_BACK] = start as u32;
    }

    /// The distance between a match in segment `number` and its source.
    #[inline(always)]
    fn distance(&self, number: usize, back: u16, delta: i16) -> u32 {
        let start = self.0[number & MAX_BACK];
        let source = self.0[number.wrapping_sub(usize::from(back)) & MAX_BACK];
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
/// after it: they repeat the end of the segment before.
fn joining(steps: &[Step], text: &[u8], before: &[u8]) -> usize {
    let Some(last) = steps.last() else {
        return 0;
    };
    let length = last.length();
    if length > 0 {
        let to_the_end = text.len() as isize - before.len() as isize == isize::from(last.delta);
        return if last.back == 1 && to_the_end {
            length
        } else {
            0
        };
    }
    let most = usize::from(last.literals).min(MAX_JOINING);
    let pairs = text.iter().rev().zip(before.iter().rev());
    pairs.take(most).take_while(|(a, b)| a == b).count()
}

/// Returns the length of the match that a segment begins with, if it repeats the
/// beginning of the segment before.
fn joined_start(steps: &[Step]) -> usize {
    match steps.first() {
        Some(first) if first.literals == 0 && first.back == 1 && first.delta == 0 => first.length(),
        _ => 0,
    }
}

/// Appends the ops of a segment. `before` is the text of the segment before, if
/// it is of the same block. Returns false if a literal has no code.
pub(super) fn code_segment(
    steps: &[Step],
    text: &[u8],
    before: Option<&[u8]>,
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
    if before.is_some() && joined_start(steps) & 0xff == joined_start(steps) {
        let joins = joined_start(steps) > 0;
        ops[first].flags |= if joins { JOINS_START } else { 0 };
    }
    let last = ops.last_mut().expect("one was pushed");
    last.flags |= LAST;
    let joining = before.map_or(0, |before| joining(steps, text, before));
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

/// Writes segments, each with the value after it.
pub(super) struct LineWriter<'a> {
    page: &'a [u8],
    codes: &'a Codes,
    latest: LatestValues,
    ops: Iter<'a, Op>,
    /// The first op of the next segment is written.
    joined: bool,
}

impl<'a> LineWriter<'a> {
    pub(super) fn new(page: &'a [u8], codes: &'a Codes, ops: &'a [Op]) -> Self {
        Self {
            page,
            codes,
            latest: LatestValues::default(),
            ops: ops.iter(),
            joined: false,
        }
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
        let repeats = self.latest.find(self.page, value, end);
        if let Repeats::One(distance) = repeats
            && let Some((bits, count)) = codes.distance(distance)
        {
            let before = match !written && op.flags & JOINS_VALUE != 0 {
                true => usize::from(op.length),
                false => 0,
            };
            let next = self.ops.as_slice().first();
            let after = match next {
                Some(next) if next.flags & JOINS_START != 0 => usize::from(next.length),
                _ => 0,
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
                self.joined = after > 0;
                return true;
            }
        }
        if !written && !put_op(op, number, starts, codes, writer) {
            return false;
        }
        let value = &self.page[value..end];
        match repeats {
            Repeats::Two(distance) if value.len() >= MIN_VALUE_MATCH => {
                let Some((bits, count)) = codes.distance(distance) else {
                    return false;
                };
                let code = codes.length(value.len());
                writer.put(u64::from(code.bits), code.count);
                writer.put(bits, count);
                writer.flush();
            }
            _ => put_literals(value, codes, writer),
        }
        true
    }
}

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

/// The values of a block's latest lines.
#[derive(Default)]
struct LatestValues {
    one: LatestValue,
    two: LatestValue,
}

/// A value on the page.
#[derive(Clone, Copy, Default)]
struct LatestValue {
    start: usize,
    len: usize,
    /// The last eight bytes of the value, or all.
    last: u64,
}

impl LatestValue {
    #[inline(always)]
    fn new(page: &[u8], start: usize, end: usize) -> Self {
        let len = end - start;
        // Metadata precedes a value, so there are eight bytes.
        let bytes = page.get(end.wrapping_sub(8)..end);
        let bytes = bytes.map_or([0; 8], |bytes| bytes.try_into().expect("eight bytes"));
        let before = 8usize.saturating_sub(len) as u32 * 8;
        Self {
            start,
            len,
            last: u64::from_le_bytes(bytes).checked_shr(before).unwrap_or(0),
        }
    }

    /// Compares the texts of two values, none of which is empty.
    #[inline(always)]
    fn is_same(self, other: Self, page: &[u8]) -> bool {
        let text = |value: Self| &page[value.start..value.start + value.len];
        self.last == other.last
            && self.len == other.len
            && (self.len <= 8 || text(self) == text(other))
    }
}

/// A line whose value a value repeats, and the distance to it.
#[derive(Clone, Copy)]
enum Repeats {
    Nothing,
    /// The line before.
    One(u32),
    /// The line before that.
    Two(u32),
}

/// Matches of values, with what joins them, are at least this long.
const MIN_VALUE_MATCH: usize = 4;

impl LatestValues {
    /// Compares a value with the two before, and remembers it.
    #[inline(always)]
    fn find(&mut self, page: &[u8], start: usize, end: usize) -> Repeats {
        let new = LatestValue::new(page, start, end);
        let Self { one, two } = *self;
        *self = Self { one: new, two: one };
        if new.is_same(one, page) {
            return Repeats::One((start - one.start) as u32);
        }
        if new.is_same(two, page) {
            return Repeats::Two((start - two.start) as u32);
        }
        Repeats::Nothing
    }
}

/// A symbol of a page, before it is coded.
pub(super) enum Symbol {
    Literal(u8),
    Match { length: usize, distance: u32 },
}

/// Visits the symbols of segments and values, as [`LineWriter`] writes them. Some
/// more literals may join a value. Sources may be too far away: such a match
/// becomes literals.
#[derive(Default)]
pub(super) struct LineVisitor {
    latest: LatestValues,
    /// Bytes of the next segment that are written.
    joined: usize,
}

/// A segment with its steps.
#[derive(Clone, Copy)]
pub(super) struct Segment<'a> {
    pub(super) steps: &'a [Step],
    pub(super) text: &'a [u8],
    pub(super) number: usize,
    /// The text of the segment before, if it is of the same block.
    pub(super) before: Option<&'a [u8]>,
    /// Steps from the next segment on, if it is of the same block.
    pub(super) after: &'a [Step],
}

impl LineVisitor {
    /// Visits a segment and a value.
    pub(super) fn visit(
        &mut self,
        page: &[u8],
        segment: Segment<'_>,
        (value, end): (usize, usize),
        starts: &Starts,
        visit: &mut impl FnMut(Symbol),
    ) {
        let joined = std::mem::take(&mut self.joined);
        let repeats = self.latest.find(page, value, end);
        let Segment { steps, text, .. } = segment;
        if let Repeats::One(distance) = repeats
            && (MIN_DISTANCE..=MAX_DISTANCE).contains(&distance)
        {
            let before = segment.before;
            let before = before.map_or(0, |before| joining(steps, text, before));
            let before = if before + joined > text.len() {
                0
            } else {
                before
            };
            let after = joined_start(segment.after);
            let length = before + (end - value) + after;
            if (MIN_VALUE_MATCH..=MAX_MATCH).contains(&length) && length - after - before <= MAX_LEN
            {
                visit_segment(segment, joined, before, starts, visit);
                visit(Symbol::Match { length, distance });
                self.joined = after;
                return;
            }
        }
        visit_segment(segment, joined, 0, starts, visit);
        let length = end - value;
        match repeats {
            Repeats::Two(distance)
                if (MIN_VALUE_MATCH..=MAX_LEN).contains(&length)
                    && (MIN_DISTANCE..=MAX_DISTANCE).contains(&distance) =>
            {
                visit(Symbol::Match { length, distance });
            }
            _ => page[value..end]
                .iter()
                .for_each(|&byte| visit(Symbol::Literal(byte))),
        }
    }
}

/// Visits the symbols of a segment but for some bytes at its beginning and end.
pub(super) fn visit_segment(
    segment: Segment<'_>,
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
