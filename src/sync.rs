//! Atomics from `std`, or from `loom` under `cfg(loom)`: the only place that
//! names them, so that every cell and every table can be put through loom's
//! model checker exactly as it ships.

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, fence,
};
#[cfg(not(loom))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{
    AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, fence,
};
#[cfg(loom)]
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};

pub(crate) use std::sync::atomic::Ordering;

/// A fence that a store-then-load pair needs beside its `SeqCst` operations
/// under loom alone, which models `SeqCst` accesses as acquire and release.
/// In the memory model of the language the accesses are enough, and the
/// `SeqCst` read-modify-write is a full barrier on every machine.
#[inline]
pub(crate) fn dekker_fence() {
    #[cfg(loom)]
    fence(Ordering::SeqCst);
}

/// A number for this thread, for picking a stripe: the first thread has 0, the
/// next 1, and so on. Never fails, also while the thread is ending.
#[inline]
pub(crate) fn thread_stripe() -> usize {
    use std::cell::Cell;
    // Not loom's: which stripe a thread has is no part of what is modelled.
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    thread_local! {
        static STRIPE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    STRIPE
        .try_with(|stripe| match stripe.get() {
            usize::MAX => {
                let mine = NEXT.fetch_add(1, Ordering::Relaxed);
                stripe.set(mine);
                mine
            }
            mine => mine,
        })
        .unwrap_or(0)
}

/// So many words of 0. Taken from the allocator as zeroed memory: a page that
/// is never written to is never resident.
#[cfg(not(loom))]
#[allow(unsafe_code)]
pub(crate) fn zeroed(words: usize) -> Box<[AtomicU32]> {
    let words = Box::into_raw(vec![0u32; words].into_boxed_slice());
    // SAFETY: the pointer comes from a box that is given up here, and an
    // `AtomicU32` has the size, alignment and bit validity of a `u32`.
    unsafe { Box::from_raw(words as *mut [AtomicU32]) }
}

#[cfg(loom)]
pub(crate) fn zeroed(words: usize) -> Box<[AtomicU32]> {
    (0..words).map(|_| AtomicU32::new(0)).collect()
}

/// A value on a cache line of its own, so that a writer of one does not slow
/// the writers and readers of its neighbours.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Padded<T>(pub(crate) T);

impl<T> std::ops::Deref for Padded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
