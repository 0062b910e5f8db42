//! Atomics from `std`, or from `loom` under `cfg(loom)`.
//!
//! No other module names either of the two, so loom's model checker runs every
//! cell and every table exactly as it ships.

mod fork;
mod thread_slots;

#[cfg(all(unix, not(target_os = "emscripten"), not(loom)))]
pub(crate) use fork::enter_child;
pub(crate) use fork::fork_generation;
#[cfg(loom)]
pub(crate) use thread_slots::ThreadSlots;
pub(crate) use thread_slots::{MAX_EXCLUSIVE_SLOTS, thread_slot};

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

/// Declares a `const fn`. Under loom, whose atomics have no `const` constructor,
/// it is an ordinary function.
macro_rules! const_fn {
    (
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident($($parameter:ident: $type:ty),*) -> $result:ty
        $body:block
    ) => {
        $(#[$attribute])*
        #[cfg(not(loom))]
        $visibility const fn $name($($parameter: $type),*) -> $result $body

        $(#[$attribute])*
        #[cfg(loom)]
        $visibility fn $name($($parameter: $type),*) -> $result $body
    };
}
pub(crate) use const_fn;

/// The fence that a store followed by a load needs under loom in addition to
/// their `SeqCst` ordering: loom models `SeqCst` accesses as acquire and release.
///
/// In the language's memory model the accesses suffice, since no machine may
/// swap a `SeqCst` store with a later `SeqCst` load.
#[inline]
pub(crate) fn dekker_fence() {
    #[cfg(loom)]
    fence(Ordering::SeqCst);
}

/// Spins for `turns` turns of the processor's pause instruction, to leave a
/// contended cache line to another thread.
#[inline]
pub(crate) fn pause(turns: u32) {
    // Loom runs all orders without being told to wait.
    if cfg!(not(loom)) {
        for _ in 0..turns {
            std::hint::spin_loop();
        }
    }
}

/// Allocates `words` zeroed atomics with `alloc_zeroed`, so that untouched pages
/// never become resident.
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

/// Allocates `words` zeroed atomics like [`zeroed`].
#[cfg(all(target_pointer_width = "64", not(loom)))]
#[allow(unsafe_code)]
pub(crate) fn zeroed_words(words: usize) -> Box<[AtomicU64]> {
    const { assert!(align_of::<AtomicU64>() == align_of::<u64>()) };
    let words = Box::into_raw(vec![0u64; words].into_boxed_slice());
    // SAFETY: the pointer comes from a box that is given up here, and an
    // `AtomicU64` has the size, alignment (asserted above) and bit validity of a
    // `u64`.
    unsafe { Box::from_raw(words as *mut [AtomicU64]) }
}

// On some targets of 32 bits the atomic needs a greater alignment.
#[cfg(any(not(target_pointer_width = "64"), loom))]
pub(crate) fn zeroed_words(words: usize) -> Box<[AtomicU64]> {
    (0..words).map(|_| AtomicU64::new(0)).collect()
}

/// A value on a cache line of its own, so that writing it does not slow down
/// readers and writers of its neighbours.
///
/// Only values that stand side by side in arrays are padded. 64 bytes, not 128:
/// with two threads counting without pause, neighbours took 2.4 ns an update at
/// either distance (14 ns on one line). Processors that fetch lines in pairs may
/// gain a little more from 128, at twice the memory.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Padded<T>(pub(crate) T);

impl<T> std::ops::Deref for Padded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
