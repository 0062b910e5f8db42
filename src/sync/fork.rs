//! The generation of this process: how often its line of parents has forked.
//!
//! A forked child has one thread, and a copy of the atomics that other threads were
//! writing. State that one of them had claimed, and would have released, stays
//! claimed in the child, where that thread does not exist. State that carries the
//! generation of its claim can be taken over when the generation has changed.

#[cfg(not(loom))]
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(not(loom))]
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// Returns a number that differs between a process and its forked children. It
/// changes once [`crate::fork`]'s handlers are installed, on platforms with `fork`.
#[cfg(not(loom))]
#[inline]
pub(crate) fn fork_generation() -> u64 {
    // Relaxed: written only while the process has a single thread.
    GENERATION.load(Ordering::Relaxed)
}

/// Models do not fork: those about forks pass generations themselves.
#[cfg(loom)]
pub(crate) fn fork_generation() -> u64 {
    0
}

/// Begins a new generation, and frees the slots of threads that exist only in the
/// parent. Called in a forked child by its only thread. Async-signal-safe.
#[cfg(all(unix, not(target_os = "emscripten"), not(loom)))]
pub(crate) fn enter_child() {
    // Relaxed: as in `fork_generation`.
    GENERATION.fetch_add(1, Ordering::Relaxed);
    super::thread_slots::release_slots_of_other_threads();
}
