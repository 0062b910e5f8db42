//! Compression, where it is asked for and worth it.
//!
//! libdeflate, at its cheapest level: on a page of 3,500 series it takes as
//! long as zlib-rs at its cheapest and its output is a quarter smaller
//! (`cargo bench --bench gzip` in `benches/rivals`). It wants the page as a
//! whole, which is how we have it. Its state is made once and used again.

use super::page_pool::{PageId, PagePool};
use crate::exposition::ContentType;

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

/// The formats that a page can have.
const FORMATS: usize = 3;

/// What was compressed last, by format, so that a page that is still the same
/// is not compressed again.
#[derive(Default)]
pub(super) struct Kept([Option<KeptPage>; FORMATS]);

/// A page plain and compressed, of each of which it is a holder.
struct KeptPage {
    content_type: ContentType,
    plain: PageId,
    gzip: PageId,
}

impl Kept {
    /// The page compressed, if it is the one that was compressed last.
    pub(super) fn find(
        &self,
        content_type: ContentType,
        plain: PageId,
        pool: &PagePool,
    ) -> Option<PageId> {
        let kept = self.0[content_type.format as usize].as_ref()?;
        let same = kept.content_type == content_type && pool.bytes(kept.plain) == pool.bytes(plain);
        same.then_some(kept.gzip)
    }

    /// Keeps a page in place of the one before.
    pub(super) fn keep(
        &mut self,
        content_type: ContentType,
        plain: PageId,
        gzip: PageId,
        pool: &mut PagePool,
    ) {
        pool.hold(plain);
        pool.hold(gzip);
        let page = KeptPage {
            content_type,
            plain,
            gzip,
        };
        if let Some(before) = self.0[content_type.format as usize].replace(page) {
            pool.release(before.plain);
            pool.release(before.gzip);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::{Escaping, Format};

    #[test]
    fn a_page_is_compressed_again_only_when_it_has_changed() {
        let mut pool = PagePool::default();
        let mut kept = Kept::default();
        let page = |pool: &mut PagePool, text: &[u8]| {
            let page = pool.take();
            pool.bytes_mut(page).extend_from_slice(text);
            page
        };
        let content_type = ContentType::from(Format::Text);
        let (plain, gzip) = (page(&mut pool, b"a 1\n"), page(&mut pool, b"compressed"));
        assert_eq!(kept.find(content_type, plain, &pool), None);
        kept.keep(content_type, plain, gzip, &mut pool);

        let same = page(&mut pool, b"a 1\n");
        let other = page(&mut pool, b"a 2\n");
        assert_eq!(kept.find(content_type, same, &pool), Some(gzip));
        assert_eq!(kept.find(content_type, other, &pool), None);
        assert_eq!(kept.find(Format::OpenMetrics.into(), same, &pool), None);
        let escaped = ContentType {
            escaping: Escaping::Dots,
            ..content_type
        };
        assert_eq!(kept.find(escaped, same, &pool), None);
    }

    #[test]
    fn one_page_of_each_format_is_kept() {
        let mut pool = PagePool::default();
        let mut kept = Kept::default();
        let mut seen = Vec::new();
        for turn in 0..20 {
            let format = [Format::Text, Format::Text1, Format::OpenMetrics][turn % FORMATS];
            let (plain, gzip) = (pool.take(), pool.take());
            kept.keep(format.into(), plain, gzip, &mut pool);
            for page in [plain, gzip] {
                pool.release(page);
                if !seen.contains(&page) {
                    seen.push(page);
                }
            }
        }
        assert_eq!(
            seen.len(),
            2 * FORMATS + 2,
            "what is kept no more is used again"
        );
    }

    #[cfg(feature = "gzip")]
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
