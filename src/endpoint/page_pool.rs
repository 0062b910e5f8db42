//! The buffers that pages are made in, used again and again.
//!
//! A page is held by whoever makes it or keeps it, and by the connections that
//! are sending it, its readers; when nobody holds it, its buffer is free for the
//! next. There are as many buffers as were ever held at once: who makes pages
//! sees to it that few have readers, see [`PagePool::with_readers`].

/// A page in the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageId(usize);

#[derive(Default)]
struct Page {
    bytes: Vec<u8>,
    /// Readers too.
    holders: usize,
    readers: usize,
}

/// See the module.
#[derive(Default)]
pub(super) struct PagePool {
    pages: Vec<Page>,
}

impl PagePool {
    /// An empty page with one holder.
    pub(super) fn take(&mut self) -> PageId {
        let free = self.pages.iter().position(|page| page.holders == 0);
        let at = free.unwrap_or_else(|| {
            self.pages.push(Page::default());
            self.pages.len() - 1
        });
        let page = &mut self.pages[at];
        page.holders = 1;
        page.bytes.clear();
        PageId(at)
    }

    /// One more holder.
    pub(super) fn hold(&mut self, page: PageId) {
        let page = &mut self.pages[page.0];
        debug_assert!(page.holders > 0, "a free page can't be held on to");
        page.holders += 1;
    }

    /// One holder less.
    pub(super) fn release(&mut self, page: PageId) {
        self.pages[page.0].holders -= 1;
    }

    /// One more reader.
    pub(super) fn hold_for_reader(&mut self, page: PageId) {
        self.hold(page);
        self.pages[page.0].readers += 1;
    }

    /// One reader less.
    pub(super) fn release_by_reader(&mut self, page: PageId) {
        self.release(page);
        self.pages[page.0].readers -= 1;
    }

    /// How many pages have readers.
    pub(super) fn with_readers(&self) -> usize {
        self.pages.iter().filter(|page| page.readers > 0).count()
    }

    pub(super) fn bytes(&self, page: PageId) -> &[u8] {
        &self.pages[page.0].bytes
    }

    pub(super) fn bytes_mut(&mut self, page: PageId) -> &mut Vec<u8> {
        debug_assert_eq!(
            self.pages[page.0].holders, 1,
            "others are sending this page"
        );
        &mut self.pages[page.0].bytes
    }

    /// Two different pages, one to read and one to write.
    pub(super) fn read_and_write(&mut self, from: PageId, into: PageId) -> (&[u8], &mut Vec<u8>) {
        let [from, into] = self
            .pages
            .get_disjoint_mut([from.0, into.0])
            .expect("the pages are in the pool, and not the same");
        (&from.bytes, &mut into.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_when_nobody_holds_its_page() {
        let mut pool = PagePool::default();
        let first = pool.take();
        pool.bytes_mut(first).extend_from_slice(&[1; 1000]);
        let buffer = pool.bytes(first).as_ptr();
        pool.hold(first);
        pool.release(first);
        let second = pool.take();
        assert_ne!(first, second, "the first page has a holder left");
        pool.release(first);
        let again = pool.take();
        assert_eq!(
            (pool.bytes(again).as_ptr(), pool.bytes(again)),
            (buffer, &[][..])
        );
    }

    #[test]
    fn pages_with_readers_are_told_from_those_that_are_only_kept() {
        let mut pool = PagePool::default();
        let (kept, sent) = (pool.take(), pool.take());
        pool.hold(kept);
        assert_eq!(pool.with_readers(), 0);
        pool.hold_for_reader(sent);
        pool.hold_for_reader(sent);
        pool.release(sent);
        assert_eq!(pool.with_readers(), 1);
        pool.release_by_reader(sent);
        pool.release_by_reader(sent);
        assert_eq!(pool.with_readers(), 0);
        assert_eq!(pool.take(), sent, "nobody holds it");
    }
}
