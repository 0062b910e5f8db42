//! Atomics from `std`, or from `loom` under `cfg(loom)`: the only place that
//! names them, so that every cell and every table can be put through loom's
//! model checker exactly as it ships.

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicI64, AtomicPtr, AtomicU64, AtomicUsize, fence,
};
#[cfg(not(loom))]
pub(crate) use std::sync::{Arc, Mutex};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{
    AtomicBool, AtomicI64, AtomicPtr, AtomicU64, AtomicUsize, fence,
};
#[cfg(loom)]
pub(crate) use loom::sync::{Arc, Mutex};

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
