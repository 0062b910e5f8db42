//! Compression, where it is asked for and worth it.
//!
//! libdeflate, at its cheapest level: on a page of 3,500 series it takes as
//! long as zlib-rs at its cheapest and its output is a quarter smaller
//! (`cargo bench --bench gzip` in `benches/rivals`). It wants the page as a
//! whole, which is how we have it. Its state is made once and used again.

/// A page up to this size travels in one packet, compressed or not.
#[cfg(feature = "gzip")]
const WORTH_IT: usize = 1400;

#[cfg(feature = "gzip")]
pub(super) struct Compressor(libdeflater::Compressor);

#[cfg(feature = "gzip")]
impl Compressor {
    /// `None`: without the `gzip` feature there is no compressor.
    pub(super) fn new() -> Option<Self> {
        // Its level 0, which it calls the fastest, does not compress at all.
        let level = libdeflater::CompressionLvl::new(1).expect("there is a level 1");
        Some(Self(libdeflater::Compressor::new(level)))
    }

    /// Whether the page is large enough to be compressed.
    pub(super) fn is_worth_it(page: &[u8]) -> bool {
        page.len() > WORTH_IT
    }

    /// Replaces what is in `into` by the page compressed.
    pub(super) fn compress(&mut self, page: &[u8], into: &mut Vec<u8>) {
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

    pub(super) fn compress(&mut self, _: &[u8], _: &mut Vec<u8>) {
        match *self {}
    }
}

#[cfg(all(test, feature = "gzip"))]
mod tests {
    use super::*;

    #[test]
    fn whatever_was_in_the_buffer_is_replaced() {
        let mut compressor = Compressor::new().unwrap();
        let (mut first, mut again) = (Vec::new(), vec![7; 100_000]);
        let page = b"a_total{x=\"y\"} 1\n".repeat(1000);
        compressor.compress(&page, &mut first);
        compressor.compress(&page, &mut again);
        assert_eq!(first, again);
        assert!(first.len() < page.len() / 20);
    }
}
