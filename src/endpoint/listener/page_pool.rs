//! Reused buffers of pages.
//!
//! A page is held by the code that makes it, by the cache that keeps it, and by
//! the connections that are sending it, its readers. When its last holder lets
//! go, the buffer is free for the next page. The caller bounds the number of
//! pages with readers, see [`PagePool::pages_with_readers`]. Buffers that have
//! not been needed for some pages are given back to the allocator.

use crate::exposition::HighWater;

/// A page in the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PageId(usize);

#[derive(Default)]
struct PooledPage {
    bytes: Vec<u8>,
    /// Includes the readers.
    holders: usize,
    readers: usize,
}

/// A pool of pages, see the module.
#[derive(Default)]
pub(super) struct PagePool {
    pages: Vec<PooledPage>,
    /// The latest lengths of pages.
    lengths: HighWater,
    /// The latest numbers of pages held at once.
    held: HighWater,
}

impl PagePool {
    /// Takes an empty page, with the caller as its only holder.
    pub(super) fn take(&mut self) -> PageId {
        let free = |page: &PooledPage| page.holders == 0;
        // One that has a buffer, if possible.
        let index = self
            .pages
            .iter()
            .position(|page| free(page) && page.bytes.capacity() > 0)
            .or_else(|| self.pages.iter().position(free))
            .unwrap_or_else(|| {
                self.pages.push(PooledPage::default());
                self.pages.len() - 1
            });
        let page = &mut self.pages[index];
        page.holders = 1;
        page.bytes.clear();
        self.held.record(self.held_pages());
        PageId(index)
    }

    /// Adds a holder.
    pub(super) fn hold(&mut self, page: PageId) {
        let page = &mut self.pages[page.0];
        debug_assert!(page.holders > 0, "a free page cannot be held");
        page.holders += 1;
    }

    /// Removes a holder.
    pub(super) fn release(&mut self, page: PageId) {
        let page = &mut self.pages[page.0];
        page.holders -= 1;
        if page.holders > 0 {
            return;
        }
        self.lengths.record(page.bytes.len());
        self.lengths.trim(&mut page.bytes);
        let buffers = self.pages.iter().filter(|p| p.bytes.capacity() > 0).count();
        if buffers > self.held.get() {
            let is_spare = |page: &&mut PooledPage| page.holders == 0 && page.bytes.capacity() > 0;
            if let Some(spare) = self.pages.iter_mut().find(is_spare) {
                spare.bytes = Vec::new();
            }
        }
    }

    /// Adds a reader.
    pub(super) fn hold_for_reader(&mut self, page: PageId) {
        self.hold(page);
        self.pages[page.0].readers += 1;
    }

    /// Removes a reader.
    pub(super) fn release_by_reader(&mut self, page: PageId) {
        self.pages[page.0].readers -= 1;
        self.release(page);
    }

    /// The number of pages that have readers.
    pub(super) fn pages_with_readers(&self) -> usize {
        self.pages.iter().filter(|page| page.readers > 0).count()
    }

    fn held_pages(&self) -> usize {
        self.pages.iter().filter(|page| page.holders > 0).count()
    }

    pub(super) fn bytes(&self, page: PageId) -> &[u8] {
        &self.pages[page.0].bytes
    }

    /// The buffer of a page that has no holder but the caller.
    pub(super) fn bytes_mut(&mut self, page: PageId) -> &mut Vec<u8> {
        let page = &mut self.pages[page.0];
        debug_assert_eq!(page.holders, 1, "the page has other holders");
        &mut page.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffer_is_reused_when_its_page_has_no_holder() {
        let mut pool = PagePool::default();
        let first = pool.take();
        pool.bytes_mut(first).extend_from_slice(&[1; 1000]);
        let buffer = pool.bytes(first).as_ptr();
        pool.hold(first);
        pool.release(first);
        let second = pool.take();
        assert_ne!(first, second, "the first page has a holder left");
        pool.release(second);
        pool.release(first);
        let again = pool.take();
        assert_eq!(
            (pool.bytes(again).as_ptr(), pool.bytes(again)),
            (buffer, &[][..])
        );
    }

    #[test]
    fn pages_with_readers_are_counted_without_those_that_are_only_kept() {
        let mut pool = PagePool::default();
        let (kept, sent) = (pool.take(), pool.take());
        pool.hold(kept);
        assert_eq!(pool.pages_with_readers(), 0);
        pool.hold_for_reader(sent);
        pool.hold_for_reader(sent);
        pool.release(sent);
        assert_eq!(pool.pages_with_readers(), 1);
        pool.release_by_reader(sent);
        pool.release_by_reader(sent);
        assert_eq!(pool.pages_with_readers(), 0);
    }

    fn capacity(pool: &PagePool) -> usize {
        pool.pages.iter().map(|page| page.bytes.capacity()).sum()
    }

    fn one_scrape(pool: &mut PagePool, len: usize) {
        let page = pool.take();
        pool.bytes_mut(page).resize(len, b'x');
        pool.hold_for_reader(page);
        pool.release(page);
        pool.release_by_reader(page);
    }

    #[test]
    fn one_scraper_at_a_time_needs_one_page() {
        let mut pool = PagePool::default();
        for _ in 0..100 {
            one_scrape(&mut pool, 100_000);
        }
        assert_eq!(pool.pages.len(), 1);
        assert!(capacity(&pool) < 200_000);
    }

    #[test]
    fn buffers_of_a_crowd_are_given_back() {
        let mut pool = PagePool::default();
        let crowd: Vec<PageId> = (0..20).map(|_| pool.take()).collect();
        for page in crowd {
            pool.bytes_mut(page).resize(100_000, b'x');
            pool.release(page);
        }
        for _ in 0..100 {
            one_scrape(&mut pool, 100_000);
        }
        assert!(capacity(&pool) < 200_000, "{} bytes", capacity(&pool));
    }

    #[test]
    fn buffer_shrinks_when_pages_have_become_small() {
        let mut pool = PagePool::default();
        one_scrape(&mut pool, 10_000_000);
        for _ in 0..100 {
            one_scrape(&mut pool, 1_000);
        }
        assert!(capacity(&pool) < 100_000, "{} bytes", capacity(&pool));
    }
}
