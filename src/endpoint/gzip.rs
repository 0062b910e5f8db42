//! Compression of responses, where a client asks for it and it is worth it.
//!
//! The scraper compresses whole pages itself: it knows their structure, and takes
//! a fifth of the time of libdeflate's cheapest level (`cargo bench --bench gzip`
//! in `benches/rivals`). Selections, HTML and documents are compressed by
//! libdeflate at that level, whose state is made once and reused.

use super::route::RequestedPage;
use crate::Scraper;
use crate::exposition::HighWater;

/// Bytes of a page that fit into one packet, compressed or not.
#[cfg(feature = "gzip")]
const WORTH_IT: usize = 1400;

/// The compressor of responses.
#[cfg(feature = "gzip")]
pub(super) struct Compressor(libdeflater::Compressor);

#[cfg(feature = "gzip")]
impl Compressor {
    /// Makes a compressor; `None` without the feature `gzip`.
    pub(super) fn new() -> Option<Self> {
        // Its level 0, which it calls the fastest, does not compress at all.
        let level = libdeflater::CompressionLvl::new(1).expect("there is a level 1");
        Some(Self(libdeflater::Compressor::new(level)))
    }

    /// Returns true if a page of this length is large enough to be compressed.
    #[cfg(all(feature = "http", target_os = "linux"))]
    fn is_worth_it(len: usize) -> bool {
        len > WORTH_IT
    }

    /// Replaces the content of `into` by the requested page, compressed if it is
    /// large enough. Returns true if it is compressed.
    pub(super) fn write(
        &mut self,
        requested: &RequestedPage,
        scraper: &mut Scraper,
        scratch: &mut GzipBuffers,
        into: &mut Vec<u8>,
    ) -> bool {
        into.clear();
        if let Some(content_type) = requested.whole_page() {
            return scraper.scrape_gzip_above(WORTH_IT, content_type, into);
        }
        let plain = &mut scratch.plain;
        plain.clear();
        requested.write(scraper, &mut scratch.text, plain);
        let worth_it = plain.len() > WORTH_IT;
        match worth_it {
            true => self.compress(plain, into),
            false => into.extend_from_slice(plain),
        }
        worth_it
    }

    /// Replaces the content of `into` by any bytes compressed.
    fn compress(&mut self, page: &[u8], into: &mut Vec<u8>) {
        into.resize(self.0.gzip_compress_bound(page.len()), 0);
        let compressed = self.0.gzip_compress(page, into);
        into.truncate(compressed.expect("there is room for the worst page of that length"));
    }
}

#[cfg(not(feature = "gzip"))]
pub(super) enum Compressor {}

#[cfg(not(feature = "gzip"))]
impl Compressor {
    pub(super) fn new() -> Option<Self> {
        None
    }

    #[cfg(all(feature = "http", target_os = "linux"))]
    fn is_worth_it(_: usize) -> bool {
        false
    }

    pub(super) fn write(
        &mut self,
        _: &RequestedPage,
        _: &mut Scraper,
        _: &mut GzipBuffers,
        _: &mut Vec<u8>,
    ) -> bool {
        match *self {}
    }
}

/// The length of a response if it is known without making the page.
#[cfg(all(feature = "http", target_os = "linux"))]
pub(super) fn known_len(requested: &RequestedPage) -> Option<usize> {
    let is_plain = |len: &usize| !requested.gzip || !Compressor::is_worth_it(*len);
    requested.fixed_len().filter(is_plain)
}

/// Buffers for the steps between a scraper and a response.
#[derive(Default)]
pub(super) struct GzipBuffers {
    /// The text that HTML is made from.
    pub(super) text: Vec<u8>,
    /// The page to be compressed.
    #[cfg(feature = "gzip")]
    plain: Vec<u8>,
    /// The latest lengths of both.
    lengths: HighWater,
}

impl GzipBuffers {
    /// Bytes that the buffers hold.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        #[cfg(feature = "gzip")]
        return self.text.capacity() + self.plain.capacity();
        #[cfg(not(feature = "gzip"))]
        self.text.capacity()
    }

    /// Gives back buffers that are much larger than their latest contents. To be
    /// called after each page.
    pub(super) fn trim(&mut self) {
        #[cfg(not(feature = "gzip"))]
        let buffers = [&mut self.text];
        #[cfg(feature = "gzip")]
        let buffers = [&mut self.text, &mut self.plain];
        let longest = buffers.iter().map(|buffer| buffer.len()).max();
        self.lengths.record(longest.unwrap_or(0));
        for buffer in buffers {
            buffer.clear();
            self.lengths.trim(buffer);
        }
    }
}

#[cfg(all(test, feature = "gzip"))]
mod tests {
    use super::*;

    #[test]
    fn content_of_the_buffer_is_replaced() {
        let mut compressor = Compressor::new().unwrap();
        let (mut first, mut again) = (Vec::new(), vec![7; 100_000]);
        let page = b"a_total{x=\"y\"} 1\n".repeat(1000);
        compressor.compress(&page, &mut first);
        compressor.compress(&page, &mut again);
        assert_eq!(first, again);
        assert!(first.len() < page.len() / 20);
    }
}
