//! The last compressed page of each format, sent again while the page is unchanged.

use super::page_pool::{PageId, PagePool};
use crate::exposition::ContentType;

/// The number of formats that a page can have.
const FORMATS: usize = 3;
/// A page is forgotten if this many others were looked up since it was.
const MAX_AGE: u32 = 64;

/// Compressed pages by format, and the plain pages that they were made from.
#[derive(Default)]
pub(super) struct GzipCache([Option<CachedPage>; FORMATS]);

struct CachedPage {
    content_type: ContentType,
    plain: Vec<u8>,
    /// Held by the cache. `None` after the page has changed.
    gzip: Option<PageId>,
    /// Look-ups of other formats since the last one of this.
    age: u32,
}

impl GzipCache {
    /// Returns the compressed form of a page if it is the one compressed last.
    /// Otherwise lets go of that, so that its buffer can be used for this page.
    pub(super) fn find(
        &mut self,
        content_type: ContentType,
        plain: &[u8],
        pool: &mut PagePool,
    ) -> Option<PageId> {
        let this_format = content_type.format as usize;
        for (format, entry) in self.0.iter_mut().enumerate() {
            let Some(cached) = entry else { continue };
            if format == this_format {
                cached.age = 0;
                if cached.content_type == content_type && cached.plain == plain {
                    return cached.gzip;
                }
                release(cached, pool);
            } else {
                cached.age += 1;
                if cached.age == MAX_AGE {
                    release(cached, pool);
                    *entry = None;
                }
            }
        }
        None
    }

    /// Keeps a page. `plain` is exchanged for a buffer to use for the next one.
    pub(super) fn keep(
        &mut self,
        content_type: ContentType,
        plain: &mut Vec<u8>,
        gzip: PageId,
        pool: &mut PagePool,
    ) {
        pool.hold(gzip);
        let cached = self.0[content_type.format as usize].get_or_insert_with(|| CachedPage {
            content_type,
            plain: Vec::new(),
            gzip: None,
            age: 0,
        });
        release(cached, pool);
        cached.content_type = content_type;
        cached.gzip = Some(gzip);
        std::mem::swap(&mut cached.plain, plain);
        plain.clear();
    }
}

fn release(cached: &mut CachedPage, pool: &mut PagePool) {
    if let Some(gzip) = cached.gzip.take() {
        pool.release(gzip);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::{Escaping, Format};

    fn keep(cache: &mut GzipCache, pool: &mut PagePool, content_type: ContentType, plain: &[u8]) {
        assert_eq!(cache.find(content_type, plain, pool), None);
        let gzip = pool.take();
        cache.keep(content_type, &mut plain.to_vec(), gzip, pool);
        pool.release(gzip);
    }

    #[test]
    fn page_is_found_until_it_changes() {
        let (mut cache, mut pool) = (GzipCache::default(), PagePool::default());
        let text = ContentType::from(Format::Text);
        keep(&mut cache, &mut pool, text, b"a 1\n");
        let gzip = cache.find(text, b"a 1\n", &mut pool);
        assert!(gzip.is_some());
        assert_eq!(
            cache.find(Format::OpenMetrics.into(), b"a 1\n", &mut pool),
            None
        );
        assert_eq!(cache.find(text, b"a 1\n", &mut pool), gzip);
        let escaped = ContentType {
            escaping: Escaping::Dots,
            ..text
        };
        assert_eq!(cache.find(escaped, b"a 1\n", &mut pool), None);
        assert_eq!(
            cache.find(text, b"a 1\n", &mut pool),
            None,
            "it is forgotten"
        );
    }

    #[test]
    fn page_that_changes_each_time_needs_one_buffer() {
        let (mut cache, mut pool) = (GzipCache::default(), PagePool::default());
        let first = pool.take();
        pool.release(first);
        for n in 0..20 {
            let plain = format!("a {n}\n");
            keep(&mut cache, &mut pool, Format::Text.into(), plain.as_bytes());
        }
        cache.find(Format::Text.into(), b"", &mut pool);
        assert_eq!(pool.take(), first);
    }

    #[test]
    fn page_of_a_format_that_is_not_asked_for_is_forgotten() {
        let (mut cache, mut pool) = (GzipCache::default(), PagePool::default());
        keep(&mut cache, &mut pool, Format::Text1.into(), b"a 1\n");
        for _ in 0..MAX_AGE {
            cache.find(Format::Text.into(), b"a 1\n", &mut pool);
        }
        assert!(cache.0.iter().all(Option::is_none));
    }
}
