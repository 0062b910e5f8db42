//! The buffers that pages are made in, used again and again.
//!
//! A page is held by the connections that are sending it and by whoever makes
//! it; when nobody holds it, its buffer is free for the next. There are never
//! more buffers than the bound, however far behind their readers are.

/// A page in the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageId(usize);

struct Page {
    bytes: Vec<u8>,
    holders: usize,
}

/// See the module.
pub(super) struct PagePool {
    pages: Vec<Page>,
    limit: usize,
}

impl PagePool {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            pages: Vec::with_capacity(limit),
            limit,
        }
    }

    /// An empty page with one holder, or `None` where all are held.
    pub(super) fn take(&mut self) -> Option<PageId> {
        let free = self.pages.iter().position(|page| page.holders == 0);
        let at = match free {
            Some(at) => at,
            None if self.pages.len() < self.limit => {
                self.pages.push(Page {
                    bytes: Vec::new(),
                    holders: 0,
                });
                self.pages.len() - 1
            }
            None => return None,
        };
        let page = &mut self.pages[at];
        page.holders = 1;
        page.bytes.clear();
        Some(PageId(at))
    }

    /// One more holder.
    pub(super) fn hold(&mut self, page: PageId) {
        debug_assert!(
            self.pages[page.0].holders > 0,
            "a free page can't be held on to"
        );
        self.pages[page.0].holders += 1;
    }

    /// One holder less.
    pub(super) fn release(&mut self, page: PageId) {
        self.pages[page.0].holders -= 1;
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_when_nobody_holds_its_page() {
        let mut pool = PagePool::new(2);
        let first = pool.take().unwrap();
        pool.bytes_mut(first).extend_from_slice(&[1; 1000]);
        let buffer = pool.bytes(first).as_ptr();
        pool.hold(first);
        pool.release(first);
        let second = pool.take().unwrap();
        assert_ne!(first, second, "the first page has a holder left");
        pool.release(first);
        let again = pool.take().unwrap();
        assert_eq!(
            (pool.bytes(again).as_ptr(), pool.bytes(again)),
            (buffer, &[][..])
        );
    }

    #[test]
    fn there_are_never_more_pages_than_the_bound() {
        let mut pool = PagePool::new(2);
        let first = pool.take().unwrap();
        let _second = pool.take().unwrap();
        assert_eq!(pool.take(), None);
        pool.release(first);
        assert_eq!(pool.take(), Some(first));
    }
}
