//! Compression of responses, where a client asks for it and it is worth it.
//!
//! The scraper compresses whole pages itself: it knows their structure, and takes
//! a fifth of the time of libdeflate's cheapest level (`cargo bench --bench gzip`
//! in `benches/rivals`). Selections, HTML and documents are compressed by
//! libdeflate at that level, whose state is made once and reused.

use super::route::RequestedPage;
use crate::Scraper;

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

    /// Returns true if the page is large enough to be compressed.
    pub(super) fn is_worth_it(page: &[u8]) -> bool {
        page.len() > WORTH_IT
    }

    /// Replaces the content of `into` by the page compressed. The page is the
    /// response to `requested` that the scraper wrote last.
    pub(super) fn compress(
        &mut self,
        requested: &RequestedPage,
        scraper: &mut Scraper,
        page: &[u8],
        into: &mut Vec<u8>,
    ) {
        into.clear();
        if !(requested.is_whole_page() && scraper.compress_last_page(page, into)) {
            self.compress_any(page, into);
        }
    }

    /// Replaces the content of `into` by any bytes compressed.
    fn compress_any(&mut self, page: &[u8], into: &mut Vec<u8>) {
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

    pub(super) fn is_worth_it(_: &[u8]) -> bool {
        false
    }

    pub(super) fn compress(
        &mut self,
        _: &RequestedPage,
        _: &mut Scraper,
        _: &[u8],
        _: &mut Vec<u8>,
    ) {
        match *self {}
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
        compressor.compress_any(&page, &mut first);
        compressor.compress_any(&page, &mut again);
        assert_eq!(first, again);
        assert!(first.len() < page.len() / 20);
    }
}
