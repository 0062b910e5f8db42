//! A segment in ordinary memory, for tests and models.

use super::arena::Backing;
use super::view::Words;
use crate::sync::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// The extents of a segment, which the writer grows and a reader copies.
#[derive(Clone)]
pub(super) struct Heap(Arc<Extents>);

struct Extents {
    extents: Mutex<Vec<&'static [AtomicU64]>>,
    /// The words of an extent, at least.
    extent: usize,
    /// The words that all extents may have.
    limit: Mutex<usize>,
}

impl Heap {
    pub(super) fn new(extent: usize, limit: usize) -> Self {
        Self(Arc::new(Extents {
            extents: Mutex::default(),
            extent,
            limit: Mutex::new(limit),
        }))
    }

    #[cfg(not(loom))]
    pub(super) fn set_limit(&self, limit: usize) {
        *self.0.limit.lock().unwrap() = limit;
    }

    #[cfg(not(loom))]
    pub(super) fn to_vec(&self) -> Vec<u64> {
        let mut words = vec![0; self.len()];
        assert!(self.copy(0, &mut words));
        words
    }
}

impl Drop for Extents {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        for extent in self.extents.get_mut().unwrap().drain(..) {
            // SAFETY: it was leaked by `grow`. The writers and readers of a test are
            // dropped before its memory.
            drop(unsafe { Box::from_raw(std::ptr::from_ref(extent).cast_mut()) });
        }
    }
}

impl Backing for Heap {
    fn grow(&mut self, at_least: usize) -> Option<&'static [AtomicU64]> {
        let len = at_least.max(self.0.extent);
        if self.len() + len > *self.0.limit.lock().unwrap() {
            return None;
        }
        let words: Box<[AtomicU64]> = (0..len).map(|_| AtomicU64::new(0)).collect();
        let words: &'static [AtomicU64] = Box::leak(words);
        self.0.extents.lock().unwrap().push(words);
        Some(words)
    }
}

impl Words for Heap {
    fn len(&self) -> usize {
        self.0.extents.lock().unwrap().iter().map(|e| e.len()).sum()
    }

    fn copy(&self, offset: usize, into: &mut [u64]) -> bool {
        let extents = self.0.extents.lock().unwrap().clone();
        let mut words = extents.iter().flat_map(|extent| extent.iter()).skip(offset);
        into.iter_mut().all(|into| match words.next() {
            Some(word) => {
                // Relaxed: as weak as a copy by the kernel may be.
                *into = word.load(Ordering::Relaxed);
                true
            }
            None => false,
        })
    }
}
