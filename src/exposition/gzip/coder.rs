//! Codes, made when they are needed, for some runs of a page.

use super::PageFamily;
use super::bits::BitBuffer;
use super::code::{Starts, count};
use super::huffman::{Codes, Counts, VALUE_BYTES};
use super::run::FamilyRun;

/// Pages at most between two looks at the codes.
const LONGEST_INTERVAL: u32 = 64;

/// The codes of some runs.
pub(super) struct Coder {
    codes: Box<Codes>,
    /// The header of a block with these codes.
    header: BitBuffer,
    /// Distinguishes the codes from all others; 0 before the first.
    generation: u64,
    /// Every byte has a code.
    any_byte: bool,
    schedule: Schedule,
    /// The page written last with these codes, and their generation then.
    last_page: (u64, u64),
    /// Bits of the present page and bytes of its text.
    bits: usize,
    text_len: usize,
}

/// State that coders share.
pub(super) struct Workshop {
    /// Codes made for comparison.
    fresh: Box<Codes>,
    /// Number of codes made so far.
    generations: u64,
}

impl Workshop {
    pub(super) fn new() -> Self {
        Self {
            fresh: Codes::new(),
            generations: 0,
        }
    }
}

impl Coder {
    /// A coder without codes.
    pub(super) fn new() -> Self {
        Self {
            codes: Codes::new(),
            header: BitBuffer::default(),
            generation: 0,
            any_byte: false,
            schedule: Schedule::new(),
            last_page: (0, 0),
            bits: 0,
            text_len: 0,
        }
    }

    pub(super) fn codes(&self) -> &Codes {
        &self.codes
    }

    /// Returns true if page `number` is the one after that which was written last,
    /// and has the same codes.
    pub(super) fn is_continued(&self, number: u64) -> bool {
        self.last_page == (number - 1, self.generation)
    }

    /// Makes new codes for some runs if that is due. `for_each` passes each of the
    /// runs on.
    pub(super) fn prepare<F: PageFamily>(
        &mut self,
        page: &[u8],
        starts: &mut Starts,
        workshop: &mut Workshop,
        mut for_each: impl FnMut(&mut dyn FnMut(&mut FamilyRun<'_, F>)),
    ) {
        // An exemplar has labels, which may contain anything.
        let mut any_byte = false;
        for_each(&mut |run| any_byte |= run.has_exemplars());
        let has_codes = self.generation > 0 && (self.any_byte || !any_byte);
        let complete = has_codes && self.code(page, starts, &mut for_each);
        let due = self.schedule.is_due();
        if complete && !due {
            return;
        }
        let counts = self.count(page, starts, any_byte, &mut for_each);
        let fresh = &mut workshop.fresh;
        fresh.train(&counts);
        let gain = match (self.codes.cost(&counts), fresh.cost(&counts)) {
            (Some(old), Some(new)) => new + new / 100 < old,
            _ => true,
        };
        if !complete || gain {
            std::mem::swap(&mut self.codes, fresh);
            workshop.generations += 1;
            self.generation = workshop.generations;
            self.header.clear();
            self.codes.write_header(&mut self.header);
            self.any_byte = any_byte;
            self.schedule.restart();
            let complete = self.code(page, starts, &mut for_each);
            debug_assert!(complete, "each symbol of the page was counted");
        }
    }

    /// Codes the constant text that is not yet. Returns false if a literal has no
    /// code.
    fn code<F: PageFamily>(
        &self,
        page: &[u8],
        starts: &mut Starts,
        for_each: &mut impl FnMut(&mut dyn FnMut(&mut FamilyRun<'_, F>)),
    ) -> bool {
        let mut complete = true;
        for_each(&mut |run| complete &= run.code(page, starts, &self.codes, self.generation));
        complete
    }

    /// Counts the symbols of the runs.
    fn count<F: PageFamily>(
        &self,
        page: &[u8],
        starts: &mut Starts,
        any_byte: bool,
        for_each: &mut impl FnMut(&mut dyn FnMut(&mut FamilyRun<'_, F>)),
    ) -> Counts {
        let mut counts = Counts::new();
        let mut lines = 0;
        for_each(&mut |run| {
            lines += run.lines();
            run.visit(page, starts, |symbol| count(symbol, &mut counts));
        });
        // Digits that the values will have: four a value at the first page, when
        // most are 0, and some later.
        let digits = match self.generation {
            0 => 4 * lines,
            _ => lines / 2,
        };
        for digit in b'0'..=b'9' {
            counts.literals[usize::from(digit)] += (digits / 10) as u32;
        }
        counts.at_least_once(VALUE_BYTES.iter().copied());
        if any_byte {
            counts.at_least_once(0..=u8::MAX);
        }
        counts
    }

    /// Begins a block.
    pub(super) fn begin_block(&mut self, output: &mut BitBuffer) {
        output.copy(&self.header, 0, self.header.len());
    }

    /// Ends a block.
    pub(super) fn end_block(&mut self, output: &mut BitBuffer) {
        let code = self.codes.end_of_block();
        output.put(u64::from(code.bits), code.count);
    }

    /// Notes that a run of the present page was written.
    pub(super) fn run_written(&mut self, bits: usize, text_len: usize) {
        self.bits += bits;
        self.text_len += text_len;
    }

    /// Notes that all runs of page `number` were written.
    pub(super) fn page_written(&mut self, number: u64) {
        self.schedule.written(self.bits, self.text_len);
        (self.bits, self.text_len) = (0, 0);
        self.last_page = (number, self.generation);
    }
}

/// Decides when to compare the codes with those that would be best.
struct Schedule {
    pages_left: u32,
    interval: u32,
    /// Output bits per KiB of the page at most since the codes were compared; 0
    /// for no page.
    bits_per_kib: usize,
}

impl Schedule {
    fn new() -> Self {
        Self {
            pages_left: 1,
            interval: 1,
            bits_per_kib: 0,
        }
    }

    /// Begins again with short intervals.
    fn restart(&mut self) {
        *self = Self::new();
    }

    /// Counts a page; returns true if the codes are to be compared at this one.
    fn is_due(&mut self) -> bool {
        self.pages_left -= 1;
        if self.pages_left > 0 {
            return false;
        }
        self.interval = (self.interval * 2).min(LONGEST_INTERVAL);
        self.pages_left = self.interval;
        self.bits_per_kib = 0;
        true
    }

    /// Looks at the size of the output: a ratio that becomes worse by a thirtieth
    /// calls for a comparison at the next page.
    fn written(&mut self, bits: usize, page_len: usize) {
        let bits_per_kib = bits * 1024 / page_len.max(1);
        if self.bits_per_kib > 0 && bits_per_kib > self.bits_per_kib + self.bits_per_kib / 30 {
            self.pages_left = 1;
        }
        self.bits_per_kib = self.bits_per_kib.max(bits_per_kib);
    }
}
