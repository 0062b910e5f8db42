//! Structure-aware gzip: pages are compressed from what is known of their lines.
//!
//! Between two scrapes only values change. So the constant text, from the end of
//! one value to the beginning of the next, is parsed into literals and matches
//! once, when a series joins ([`match_finder`]), and coded once, when the Huffman
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
//! - Each large family is a block of deflate with codes of its own, and so are the
//!   small families between two of them ([`huffman`]). Codes are made from the
//!   symbols of a page, and again when a page shows that new codes would make it
//!   smaller. Digits that values do not have yet count too: at the start of a
//!   process all values are 0.
//! - The sources of a line's matches are in its own block of lines or the one
//!   before, so that the bits of a block whose text has not changed can be taken
//!   from the previous page, as they are. Metadata refers to other metadata.
//! - A family that changes its members is parsed alone.
//! - Debug builds decompress each page and compare.

mod bits;
mod code;
mod coder;
mod huffman;
mod match_finder;
mod run;

pub(super) use run::{FamilyCode, PageFamilyView};

use super::high_water::HighWater;
use bits::BitBuffer;
use code::Starts;
use coder::{Coder, Workshop};
use huffman::write_last_block;
use run::{FamilyRun, for_each_run};

/// Magic number, deflate, no flags, no time, no level, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Appends any text, compressed by the library's cheapest level. Makes the compressor on
/// first use.
pub(super) fn compress_plainly(
    compressor: &mut Option<libdeflater::Compressor>,
    text: &[u8],
    into: &mut Vec<u8>,
) {
    let compressor = compressor.get_or_insert_with(|| {
        let level = libdeflater::CompressionLvl::new(1).expect("there is a level 1");
        libdeflater::Compressor::new(level)
    });
    let start = into.len();
    into.resize(start + compressor.gzip_compress_bound(text.len()), 0);
    let compressed = compressor.gzip_compress(text, &mut into[start..]);
    let len = compressed.expect("there is room for the worst text of that length");
    into.truncate(start + len);
}

/// A family of a page, as the compressor sees it.
pub(super) trait PageFamily {
    /// The family, unless it is not on the page.
    fn view(&mut self) -> Option<PageFamilyView<'_>>;
}

/// The compressor of the pages of one layout.
pub(super) struct PageCompressor {
    /// Number of runs parsed so far.
    runs: u64,
    /// The codes of the runs of small families.
    coder: Coder,
    workshop: Workshop,
    starts: Box<Starts>,
    output: BitBuffer,
    /// The output for the page before.
    previous: BitBuffer,
    /// Number of the present page.
    pages: u64,
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
            coder: Coder::new(),
            workshop: Workshop::new(),
            starts: Box::new(Starts::new()),
            output: BitBuffer::default(),
            previous: BitBuffer::default(),
            pages: 1,
            output_lens: HighWater::default(),
            #[cfg(debug_assertions)]
            verifier: Verifier::new(),
        }
    }

    /// Appends a page compressed, which consists of the families as they were
    /// written last, and of `end`. Returns false, and appends nothing, if it does
    /// not or is larger than 4 GiB.
    pub(super) fn compress<F: PageFamily>(
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
        self.prepare(families, page);
        self.write(families, end, page);
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

    /// Parses what is new on the page, and makes new codes where that is due.
    fn prepare<F: PageFamily>(&mut self, families: &mut [F], page: &[u8]) {
        let Self {
            runs,
            coder,
            workshop,
            starts,
            ..
        } = self;
        let mut match_finder = None;
        let mut any_small = false;
        for_each_run(families, |families, position| {
            let mut run = FamilyRun { families, position };
            run.parse(page, runs, &mut match_finder);
            if run.is_large() {
                let mut own = run.take_coder();
                own.prepare(page, starts, workshop, |visit| visit(&mut run));
                run.return_coder(own);
            } else {
                any_small = true;
            }
        });
        if any_small {
            coder.prepare(page, starts, workshop, |visit| {
                for_each_run(families, |families, position| {
                    let mut run = FamilyRun { families, position };
                    if !run.is_large() {
                        visit(&mut run);
                    }
                });
            });
        }
    }

    /// Writes the page to the output, but for its checksum and length.
    fn write<F: PageFamily>(&mut self, families: &mut [F], end: &[u8], page: &[u8]) {
        std::mem::swap(&mut self.output, &mut self.previous);
        self.output.trim(&self.output_lens);
        // Counted now: an incomplete page must not be taken for the one before it.
        self.pages += 1;
        let number = self.pages;
        let (previous, starts, output) = (&self.previous, &mut self.starts, &mut self.output);
        for byte in HEADER {
            output.put(u64::from(byte), 8);
        }
        let small = &mut self.coder;
        let mut is_open = false;
        for_each_run(families, |families, position| {
            let mut run = FamilyRun { families, position };
            let is_large = run.is_large();
            if is_open && is_large {
                small.end_block(output);
                is_open = false;
            }
            if is_large {
                let mut own = run.take_coder();
                own.begin_block(output);
                run.write(page, &mut own, number, previous, starts, output);
                own.end_block(output);
                own.page_written(number);
                run.return_coder(own);
                return;
            }
            if !is_open {
                small.begin_block(output);
                is_open = true;
            }
            run.write(page, small, number, previous, starts, output);
        });
        if is_open {
            small.end_block(output);
        }
        small.page_written(number);
        write_last_block(end, output);
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
