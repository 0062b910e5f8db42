//! An allocator that counts, for tests of what allocates nothing.

// Passing on to the system's allocator is unsafe by its nature.
#![allow(unsafe_code)]
// Each test looks at some of the counts.
#![allow(dead_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

pub(crate) struct Counted {
    /// Allocations of the thread that asks.
    pub(crate) by_this_thread: u64,
    /// Allocations of all threads.
    pub(crate) by_all: u64,
    /// Bytes that are allocated now.
    pub(crate) live_bytes: i64,
}

/// The counts up to now.
pub(crate) fn counted() -> Counted {
    // Relaxed: who compares two counts has made the threads meet in between.
    Counted {
        by_this_thread: BY_THIS_THREAD.get(),
        by_all: BY_ALL.load(Ordering::Relaxed),
        live_bytes: LIVE_BYTES.load(Ordering::Relaxed),
    }
}

/// How often `work` allocates in this thread; other tests run on other threads.
pub(crate) fn allocations(work: impl FnOnce()) -> u64 {
    let before = counted().by_this_thread;
    work();
    counted().by_this_thread - before
}

thread_local! {
    static BY_THIS_THREAD: Cell<u64> = const { Cell::new(0) };
}
static BY_ALL: AtomicU64 = AtomicU64::new(0);
static LIVE_BYTES: AtomicI64 = AtomicI64::new(0);

struct Counting;

fn count(more: usize, less: usize) {
    if more > 0 {
        // A thread that is ending has no counter any more.
        let _ = BY_THIS_THREAD.try_with(|count| count.set(count.get() + 1));
        BY_ALL.fetch_add(1, Ordering::Relaxed);
    }
    LIVE_BYTES.fetch_add(more as i64 - less as i64, Ordering::Relaxed);
}

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
