//! Finds, once, which parts of a constant text repeat earlier ones.
//!
//! The constant texts of a page are the segments between its values. A match
//! lies within one segment, and so does its source: values may change. Hash
//! chains with lazy evaluation, as in zlib; optimal parsing made pages 1 to 2 %
//! smaller and took forty times as long.

use super::huffman::{MAX_DISTANCE, MAX_MATCH, MIN_DISTANCE};
use crate::exposition::number::MAX_LEN;

/// Matches are at least this long: their first bytes are hashed.
const MIN_MATCH: usize = 4;
/// Sources compared at most for one match, as many as by zlib at level 6. With a
/// quarter of them, pages of similar names were 6 % larger.
const DEPTH: usize = 128;
/// A match of this length is taken without a look at the next position.
const GOOD_MATCH: usize = 48;
const WINDOW: usize = MAX_DISTANCE as usize;
const HASH_BITS: u32 = 13;
/// Offsets within a segment beyond this take no part in matches.
const MAX_OFFSET: usize = i16::MAX as usize;

/// Some literals and then a match, or no match at the end of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) literals: u16,
    /// Length of the match, and [`LAST`].
    length: u16,
    /// Number of segments between that of the source and this one.
    pub(super) back: u16,
    /// The offset of the match in its segment less that of the source in its own.
    pub(super) delta: i16,
}

/// Set in the length of the last step of a segment.
const LAST: u16 = 1 << 15;

/// The farthest segment that a match refers to.
pub(super) const MAX_BACK: usize = 1023;

impl Step {
    /// Length of the match, 0 if there is none.
    pub(super) fn length(self) -> usize {
        usize::from(self.length & !LAST)
    }

    /// Returns true at the end of a segment.
    pub(super) fn is_last(self) -> bool {
        self.length & LAST != 0
    }
}

#[derive(Clone, Copy)]
struct SegmentSpan {
    start: usize,
    end: usize,
}

#[derive(Clone, Copy, Default)]
struct Match {
    length: usize,
    source: usize,
    segment: usize,
}

/// The segments seen so far. Positions are those of the page.
pub(super) struct MatchFinder {
    /// The latest position + 1 of each hash.
    latest: Vec<u32>,
    /// The position + 1 before, of the same hash, by position modulo the window.
    before: Vec<u32>,
    /// The segment of a position, by position modulo the window.
    owners: Vec<u32>,
    segments: Vec<SegmentSpan>,
    /// The segment whose end the end of the last one repeats, if a match does so.
    last_source: Option<usize>,
}

impl MatchFinder {
    /// A match finder without segments.
    pub(super) fn new() -> Self {
        Self {
            latest: vec![0; 1 << HASH_BITS],
            before: vec![0; WINDOW],
            owners: vec![0; WINDOW],
            segments: Vec::new(),
            last_source: None,
        }
    }

    /// Forgets all segments.
    pub(super) fn clear(&mut self) {
        self.latest.fill(0);
        self.segments.clear();
        self.last_source = None;
    }

    /// Adds a segment as a source only.
    pub(super) fn skip(&mut self, page: &[u8], start: usize, end: usize) {
        self.segments.push(SegmentSpan { start, end });
        for at in start..end {
            self.insert(page, at, end);
        }
    }

    /// Adds a segment, and appends the steps that it consists of. Sources lie in
    /// the segments from number `oldest` on.
    pub(super) fn parse(
        &mut self,
        page: &[u8],
        start: usize,
        end: usize,
        oldest: usize,
        steps: &mut Vec<Step>,
    ) {
        let number = self.segments.len();
        self.segments.push(SegmentSpan { start, end });
        let first_step = steps.len();
        let mut literals_from = start;
        let mut at = start;
        let mut found = self.find_next(page, oldest);
        let mut last_source = None;
        while at < end {
            let chosen = at == start && found.is_some();
            let here = found.take().unwrap_or_else(|| self.find(page, at, oldest));
            self.insert(page, at, end);
            if here.length < MIN_MATCH {
                at += 1;
                continue;
            }
            if !chosen && here.length < GOOD_MATCH && at + 1 < end {
                let next = self.find(page, at + 1, oldest);
                if next.length > here.length {
                    found = Some(next);
                    at += 1;
                    continue;
                }
            }
            let literals = push_literals(at - literals_from, steps);
            let source_offset = here.source - self.segments[here.segment].start;
            steps.push(Step {
                literals,
                length: here.length as u16,
                back: (number - here.segment) as u16,
                // Neither offset is beyond `MAX_OFFSET`.
                delta: ((at - start) as i32 - source_offset as i32) as i16,
            });
            for covered in at + 1..at + here.length {
                self.insert(page, covered, end);
            }
            at += here.length;
            literals_from = at;
            let source_end = self.segments[here.segment].end;
            let to_the_end = at == end && here.source + here.length == source_end;
            last_source = to_the_end.then_some(here.segment);
        }
        self.last_source = last_source;
        if literals_from < end || steps.len() == first_step {
            let literals = push_literals(end - literals_from, steps);
            steps.push(Step {
                literals,
                length: 0,
                back: 0,
                delta: 0,
            });
        }
        if let Some(last) = steps.last_mut() {
            last.length |= LAST;
        }
    }

    /// Makes a position of the last segment a source.
    fn insert(&mut self, page: &[u8], at: usize, end: usize) {
        if at + MIN_MATCH > end {
            return;
        }
        let latest = &mut self.latest[hash(page, at)];
        self.before[at % WINDOW] = *latest;
        self.owners[at % WINDOW] = self.segments.len() as u32 - 1;
        *latest = at as u32 + 1;
    }

    /// Returns a match at the beginning of the last segment, with the segment after
    /// that whose end the segment before repeats: if their values are the same too,
    /// both matches are one. None if two matches reach farther otherwise.
    fn find_next(&self, page: &[u8], oldest: usize) -> Option<Match> {
        let number = self.segments.len() - 1;
        let SegmentSpan { start, end } = self.segments[number];
        let segment = self.last_source.filter(|&last| last + 1 < number)? + 1;
        let from = self.segments[segment];
        let back = number - segment;
        let distance = start - from.start;
        let value = |segment: usize| {
            let end = self.segments[segment].start;
            &page[self.segments[segment - 1].end..end]
        };
        if segment < oldest
            || back > MAX_BACK
            || distance < MIN_DISTANCE as usize
            || distance + back * MAX_LEN > WINDOW
            || value(segment) != value(number)
        {
            return None;
        }
        let limit = (end - start).min(MAX_MATCH);
        let next = Match {
            length: common_prefix_len(&page[start..][..limit], &page[from.start..from.end]),
            source: from.start,
            segment,
        };
        let reach =
            |first: Match| first.length + self.find(page, start + first.length, oldest).length;
        let other = self.find(page, start, oldest);
        (next.length >= MIN_MATCH && reach(next) >= reach(other)).then_some(next)
    }

    /// Returns the longest match at a position of the last segment; the nearest,
    /// if several are equally long.
    fn find(&self, page: &[u8], at: usize, oldest: usize) -> Match {
        let mut best = Match::default();
        let number = self.segments.len() - 1;
        let here = self.segments[number];
        let limit = (here.end - at).min(MAX_MATCH);
        if limit < MIN_MATCH || at - here.start > MAX_OFFSET {
            return best;
        }
        let text = &page[at..][..limit];
        let mut next = self.latest[hash(page, at)] as usize;
        for _ in 0..DEPTH {
            let Some(source) = next.checked_sub(1) else {
                break;
            };
            if source + WINDOW <= at {
                break;
            }
            let segment = self.owners[source % WINDOW] as usize;
            let back = number - segment;
            // The values between may all become as long as can be.
            let farthest = at - source + back * MAX_LEN;
            if segment < oldest || back > MAX_BACK || farthest > WINDOW {
                break;
            }
            next = self.before[source % WINDOW] as usize;
            let from = self.segments[segment];
            if at - source < MIN_DISTANCE as usize || source - from.start > MAX_OFFSET {
                continue;
            }
            let length = common_prefix_len(text, &page[source..from.end]);
            if length > best.length {
                best = Match {
                    length,
                    source,
                    segment,
                };
                if length == limit {
                    break;
                }
            }
        }
        best
    }
}

/// Appends steps for so many literals, except for those that the next step can
/// have; returns how many that are.
fn push_literals(mut literals: usize, steps: &mut Vec<Step>) -> u16 {
    while literals > usize::from(u16::MAX) {
        steps.push(Step {
            literals: u16::MAX,
            length: 0,
            back: 0,
            delta: 0,
        });
        literals -= usize::from(u16::MAX);
    }
    literals as u16
}

fn hash(page: &[u8], at: usize) -> usize {
    let bytes = page[at..at + MIN_MATCH].try_into().expect("four bytes");
    (u32::from_le_bytes(bytes).wrapping_mul(0x9e37_79b1) >> (32 - HASH_BITS)) as usize
}

fn common_prefix_len(a: &[u8], b: &[u8]) -> usize {
    let len = a.len().min(b.len());
    let (a, b) = (&a[..len], &b[..len]);
    let mut at = 0;
    while let (Some(x), Some(y)) = (a[at..].first_chunk::<8>(), b[at..].first_chunk::<8>()) {
        let different = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if different != 0 {
            return at + different.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while at < len && a[at] == b[at] {
        at += 1;
    }
    at
}
