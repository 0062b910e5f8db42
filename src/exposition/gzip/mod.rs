//! Structure-aware gzip: pages are compressed from what is known of their lines.
//!
//! Between two scrapes only values change. So the constant text, from the end of
//! one value to the beginning of the next, is parsed into literals and matches
//! once, when a series joins ([`matcher`]), and coded once, when the Huffman
//! codes are made ([`code`]). A scrape writes those bits, the distances of the
//! matches, which depend on the lengths of the values between, and the values.
//!
//! ```text
//! text      \nrequests_total{path="/a"}·17\nrequests_total{path="/b"}·4
//! segment   └──────── number 1 ───────┘ │  └──────── number 2 ───────┘ │
//! steps     5 literals, a match ...   value  a match of 23, back 1 ...  value
//! ops       their bits, but for the distances
//! ```
//!
//! - A page is one block of deflate with codes of its own ([`huffman`]). They are
//!   made from the symbols of a page, and again when a page shows that new codes
//!   would make it smaller. Digits that values do not have yet count too: at the
//!   start of a process all values are 0.
//! - The sources of a line's matches are in its own block of lines or the one
//!   before, so that the bits of a block whose text has not changed can be taken
//!   from the previous page, as they are. Metadata refers to other metadata.
//! - A family that changes its members is parsed alone.
//! - Debug builds decompress each page and compare.

mod bits;
mod code;
mod huffman;
mod matcher;
mod run;

pub(super) use run::{FamilyCode, FamilyView};

use super::high_water::HighWater;
use bits::BitBuffer;
use code::{Starts, Symbol, count, put_symbol};
use huffman::{Codes, Counts, VALUE_BYTES};
use run::{Run, for_each_run};

/// Magic number, deflate, no flags, no time, no level, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Pages at most between two looks at the codes.
const LONGEST_INTERVAL: u32 = 64;

/// A family of a page, as the compressor sees it.
pub(super) trait Family {
    /// The family, unless it is not on the page.
    fn view(&mut self) -> Option<FamilyView<'_>>;
}

/// The compressor of the pages of one layout.
pub(super) struct PageCompressor {
    /// Number of runs parsed so far.
    runs: u64,
    codes: Box<Codes>,
    /// Codes made for comparison.
    fresh: Box<Codes>,
    /// Counts the codes that were made; 0 before the first.
    generation: u64,
    /// Every byte has a code.
    any_byte: bool,
    schedule: Schedule,
    starts: Box<Starts>,
    output: BitBuffer,
    /// The output for the page before.
    previous: BitBuffer,
    /// The generation of the codes of `previous`; 0 if it is not complete.
    previous_generation: u64,
    /// The latest lengths of the output.
    output_lens: HighWater,
    #[cfg(debug_assertions)]
    verifier: Verifier,
}

impl PageCompressor {
    /// A compressor that has seen no page.
    pub(super) fn new() -> Self {
        Self {
            runs: 0,
            codes: Codes::new(),
            fresh: Codes::new(),
            generation: 0,
            any_byte: false,
            schedule: Schedule::new(),
            starts: Box::new(Starts::new()),
            output: BitBuffer::default(),
            previous: BitBuffer::default(),
            previous_generation: 0,
            output_lens: HighWater::default(),
            #[cfg(debug_assertions)]
            verifier: Verifier::new(),
        }
    }

    /// Appends a page compressed, which consists of the families as they were
    /// written last, and of `end`. Returns false, and appends nothing, if it does
    /// not or is larger than 4 GiB.
    pub(super) fn compress<F: Family>(
        &mut self,
        families: &mut [F],
        end: &[u8],
        page: &[u8],
        into: &mut Vec<u8>,
    ) -> bool {
        let views = families.iter_mut().filter_map(|family| family.view());
        let len = views.map(|view| view.len()).sum::<usize>() + end.len();
        if len != page.len() || !page.ends_with(end) || u32::try_from(len).is_err() {
            return false;
        }
        self.prepare(families, end, page);
        self.write(families, end, page);
        self.schedule.written(self.output.len(), len);
        self.output_lens.record(self.output.len() / 8);
        let start = into.len();
        into.extend_from_slice(self.output.finish());
        into.extend_from_slice(&libdeflater::crc32(page).to_le_bytes());
        into.extend_from_slice(&(len as u32).to_le_bytes());
        #[cfg(debug_assertions)]
        self.verifier.verify(&into[start..], page);
        let _ = start;
        true
    }

    /// Parses what is new on the page, and makes new codes if that is due.
    fn prepare<F: Family>(&mut self, families: &mut [F], end: &[u8], page: &[u8]) {
        // An exemplar has labels, which may contain anything.
        let mut views = families.iter_mut().filter_map(|family| family.view());
        let any_byte = views.any(|view| view.extents.is_some());
        let mut matcher = None;
        for_each_run(families, |families, position| {
            let mut run = Run { families, position };
            run.parse(page, &mut self.runs, &mut matcher);
        });
        let complete =
            self.generation > 0 && (self.any_byte || !any_byte) && self.code(families, page);
        let due = self.schedule.is_due();
        if complete && !due {
            return;
        }
        let counts = self.count(families, end, page, any_byte);
        self.fresh.train(&counts);
        let gain = match (self.codes.cost(&counts), self.fresh.cost(&counts)) {
            (Some(old), Some(new)) => new + new / 100 < old,
            _ => true,
        };
        if !complete || gain {
            std::mem::swap(&mut self.codes, &mut self.fresh);
            self.generation += 1;
            self.any_byte = any_byte;
            self.schedule.restart();
            let complete = self.code(families, page);
            debug_assert!(complete, "each symbol of the page was counted");
        }
    }

    /// Codes the constant text that is not yet. Returns false if a literal has no
    /// code.
    fn code<F: Family>(&mut self, families: &mut [F], page: &[u8]) -> bool {
        let mut complete = true;
        for_each_run(families, |families, position| {
            let mut run = Run { families, position };
            complete &= run.code(page, &self.codes, self.generation);
        });
        complete
    }

    /// Counts the symbols of a page.
    fn count<F: Family>(
        &mut self,
        families: &mut [F],
        end: &[u8],
        page: &[u8],
        any_byte: bool,
    ) -> Counts {
        let mut counts = Counts::new();
        let mut lines = 0;
        for_each_run(families, |families, position| {
            let views = families.iter_mut().filter_map(|family| family.view());
            lines += views.map(|view| view.body.lines()).sum::<usize>();
            let mut run = Run { families, position };
            run.visit(page, &mut self.starts, |symbol| count(symbol, &mut counts));
        });
        end.iter().for_each(|&byte| counts.literal(byte));
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

    /// Writes the page to the output, but for its checksum and length.
    fn write<F: Family>(&mut self, families: &mut [F], end: &[u8], page: &[u8]) {
        let same_codes = self.previous_generation == self.generation;
        // Until this page is complete.
        self.previous_generation = 0;
        std::mem::swap(&mut self.output, &mut self.previous);
        self.output.trim(&self.output_lens);
        let previous = same_codes.then_some(&self.previous);
        let (codes, output) = (&*self.codes, &mut self.output);
        output.clear();
        for byte in HEADER {
            output.put(u64::from(byte), 8);
        }
        codes.write_header(output);
        for_each_run(families, |families, position| {
            let mut run = Run { families, position };
            run.write(page, codes, &mut self.starts, previous, output);
        });
        for &byte in end {
            put_symbol(Symbol::Literal(byte), codes, output);
        }
        let code = codes.end_of_block();
        output.put(u64::from(code.bits), code.count);
        self.previous_generation = self.generation;
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

/// Decompresses pages, in debug builds. Allocates nothing once it has seen the
/// largest.
#[cfg(debug_assertions)]
struct Verifier {
    decompressor: libdeflater::Decompressor,
    page: Vec<u8>,
    page_lens: HighWater,
}

#[cfg(debug_assertions)]
impl Verifier {
    fn new() -> Self {
        Self {
            decompressor: libdeflater::Decompressor::new(),
            page: Vec::new(),
            page_lens: HighWater::default(),
        }
    }

    fn verify(&mut self, compressed: &[u8], page: &[u8]) {
        self.page_lens.record(page.len());
        self.page_lens.trim(&mut self.page);
        if self.page.len() < page.len() {
            self.page.resize(page.len(), 0);
        }
        let into = &mut self.page[..page.len()];
        let len = self.decompressor.gzip_decompress(compressed, into);
        assert_eq!(len, Ok(page.len()), "a compressed page is valid");
        assert!(into == page, "a compressed page is that page");
    }
}
