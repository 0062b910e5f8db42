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
/// In the memory model of the language the accesses are enough: the store and
/// the loads behind it are all `SeqCst`, so no machine may swap them.
#[inline]
pub(crate) fn dekker_fence() {
    #[cfg(loom)]
    fence(Ordering::SeqCst);
}

/// Numbers below this belong to one living thread each; see [`thread_number`].
pub(crate) const OWN_NUMBERS: usize = 64;

/// Hands out the numbers below [`OWN_NUMBERS`], each to one holder at a time.
pub(crate) struct Numbers {
    /// A bit for each number that is held.
    held: AtomicU64,
}

impl Numbers {
    #[cfg(not(loom))]
    const fn new() -> Self {
        Self {
            held: AtomicU64::new(0),
        }
    }

    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Self {
            held: AtomicU64::new(0),
        }
    }

    /// The least number that is free, if there is one.
    pub(crate) fn take(&self) -> Option<usize> {
        // Relaxed: compared again by the exchange.
        let mut held = self.held.load(Ordering::Relaxed);
        while held != u64::MAX {
            let number = held.trailing_ones() as usize;
            // Acquire: pairs with the Release in `give_back`. What the holder
            // before wrote with plain stores is seen by this one.
            match self.held.compare_exchange_weak(
                held,
                held | 1 << number,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(number),
                Err(now) => held = now,
            }
        }
        None
    }

    pub(crate) fn give_back(&self, number: usize) {
        // Release: pairs with the Acquire in `take`.
        self.held.fetch_and(!(1 << number), Ordering::Release);
    }
}

/// A number for this thread, for picking a stripe. Never fails, also while the
/// thread is ending.
///
/// A number below [`OWN_NUMBERS`] is this thread's alone until it ends: what is
/// kept for that number may be written with a plain load and store. Greater
/// numbers, which threads get while all others are held, may be shared.
#[cfg(not(loom))]
#[inline]
pub(crate) fn thread_number() -> usize {
    use std::cell::Cell;

    const NONE: usize = usize::MAX;
    static NUMBERS: Numbers = Numbers::new();
    static OTHERS: AtomicUsize = AtomicUsize::new(0);

    struct Lease(usize);

    impl Lease {
        fn new() -> Self {
            // Relaxed: any number will do.
            Self(NUMBERS.take().unwrap_or_else(|| {
                OWN_NUMBERS + OTHERS.fetch_add(1, Ordering::Relaxed) % OWN_NUMBERS
            }))
        }
    }

    impl Drop for Lease {
        fn drop(&mut self) {
            if self.0 < OWN_NUMBERS {
                // What still runs in this thread may share.
                NUMBER.set(OWN_NUMBERS + self.0);
                NUMBERS.give_back(self.0);
            }
        }
    }

    thread_local! {
        // Without a destructor: one load, at any time of a thread's life.
        static NUMBER: Cell<usize> = const { Cell::new(NONE) };
        static LEASE: Lease = Lease::new();
    }

    #[cold]
    #[inline(never)]
    fn first() -> usize {
        let number = LEASE.try_with(|lease| lease.0).unwrap_or(OWN_NUMBERS);
        NUMBER.set(number);
        number
    }

    match NUMBER.get() {
        NONE => first(),
        number => number,
    }
}

/// Under loom every thread shares: models that are about numbers hand them out
/// by themselves.
#[cfg(loom)]
pub(crate) fn thread_number() -> usize {
    OWN_NUMBERS
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
///
/// 64 bytes, not 128: with two threads counting without pause, neighbours took
/// 2.4 ns an update at either distance (14 ns on one line). Machines that fetch
/// lines in pairs may see a little more; the page of a registry would take
/// twice the memory on all of them.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Padded<T>(pub(crate) T);

impl<T> std::ops::Deref for Padded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
