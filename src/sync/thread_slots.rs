//! Small numbers for threads, for choosing the stripe that a thread writes to.

use super::{AtomicU64, Ordering, const_fn};

/// The number of slots that belong to one living thread each; see
/// [`thread_slot`].
pub(crate) const MAX_EXCLUSIVE_SLOTS: usize = 64;

/// Assigns the exclusive slots, each to one thread at a time.
pub(crate) struct ThreadSlots {
    /// A bit for each slot that is held.
    held: AtomicU64,
}

impl ThreadSlots {
    const_fn! {
        pub(crate) fn new() -> Self {
            Self { held: AtomicU64::new(0) }
        }
    }

    /// Acquires the lowest free slot, or returns `None` if all are held.
    pub(crate) fn acquire(&self) -> Option<usize> {
        // Relaxed: compared again by the exchange.
        let mut held = self.held.load(Ordering::Relaxed);
        while held != u64::MAX {
            let slot = held.trailing_ones() as usize;
            // Acquire: pairs with the Release in `release`, so that this holder
            // sees the plain stores of the one before.
            match self.held.compare_exchange_weak(
                held,
                held | 1 << slot,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(slot),
                Err(current) => held = current,
            }
        }
        None
    }

    /// Frees a slot for the next thread.
    pub(crate) fn release(&self, slot: usize) {
        // Release: pairs with the Acquire in `acquire`.
        self.held.fetch_and(!(1 << slot), Ordering::Release);
    }

    /// Frees all slots but `slot`, and that one too if it is not exclusive.
    #[cfg(all(unix, not(target_os = "emscripten"), not(loom)))]
    pub(crate) fn release_all_but(&self, slot: usize) {
        let kept = if slot < MAX_EXCLUSIVE_SLOTS {
            1 << slot
        } else {
            0
        };
        // Relaxed: the caller is the only thread of its process.
        self.held.fetch_and(kept, Ordering::Relaxed);
    }
}

/// Returns the calling thread's slot. Never fails, not even while the thread is
/// ending.
///
/// A slot below [`MAX_EXCLUSIVE_SLOTS`] belongs to this thread alone until it
/// ends, so what is kept for that slot may be written with a plain load and
/// store. Threads that start while all of these are held get greater numbers,
/// which several threads may share.
#[cfg(not(loom))]
#[inline]
pub(crate) fn thread_slot() -> usize {
    match process::SLOT.get() {
        process::UNASSIGNED => process::assign_slot(),
        slot => slot,
    }
}

/// Returns a shared slot: loom's models assign exclusive ones themselves.
#[cfg(loom)]
pub(crate) fn thread_slot() -> usize {
    MAX_EXCLUSIVE_SLOTS
}

/// The slots of this process.
#[cfg(not(loom))]
mod process {
    use super::super::{AtomicUsize, Ordering};
    use super::{MAX_EXCLUSIVE_SLOTS, ThreadSlots};
    use std::cell::Cell;

    pub(super) const UNASSIGNED: usize = usize::MAX;
    pub(super) static SLOTS: ThreadSlots = ThreadSlots::new();
    /// Counts threads that were given a shared slot.
    static SHARING: AtomicUsize = AtomicUsize::new(0);

    thread_local! {
        // Without a destructor: a single load, at any time of a thread's life.
        pub(super) static SLOT: Cell<usize> = const { Cell::new(UNASSIGNED) };
        static GUARD: ThreadSlotGuard = ThreadSlotGuard::new();
    }

    /// Holds a thread's slot until the thread ends.
    struct ThreadSlotGuard(usize);

    impl ThreadSlotGuard {
        fn new() -> Self {
            // Relaxed: any number will do.
            Self(SLOTS.acquire().unwrap_or_else(|| {
                MAX_EXCLUSIVE_SLOTS + SHARING.fetch_add(1, Ordering::Relaxed) % MAX_EXCLUSIVE_SLOTS
            }))
        }
    }

    impl Drop for ThreadSlotGuard {
        fn drop(&mut self) {
            if self.0 < MAX_EXCLUSIVE_SLOTS {
                // Destructors that still run in this thread share a slot.
                SLOT.set(MAX_EXCLUSIVE_SLOTS + self.0);
                SLOTS.release(self.0);
            }
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn assign_slot() -> usize {
        let slot = GUARD
            .try_with(|guard| guard.0)
            .unwrap_or(MAX_EXCLUSIVE_SLOTS);
        SLOT.set(slot);
        slot
    }
}

/// Frees the slots of threads that a fork left behind in the parent. Called in
/// the child, by its only thread. Async-signal-safe.
#[cfg(all(unix, not(target_os = "emscripten"), not(loom)))]
pub(super) fn release_slots_of_other_threads() {
    process::SLOTS.release_all_but(process::SLOT.get());
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn acquired_slots_are_distinct_until_released() {
        let slots = ThreadSlots::new();
        let all: Vec<_> = (0..MAX_EXCLUSIVE_SLOTS).map(|_| slots.acquire()).collect();
        assert!(all.into_iter().eq((0..MAX_EXCLUSIVE_SLOTS).map(Some)));
        assert_eq!(slots.acquire(), None);
        slots.release(7);
        assert_eq!(slots.acquire(), Some(7));
    }

    #[test]
    #[cfg(unix)]
    fn release_all_but_keeps_one_slot_held() {
        let slots = ThreadSlots::new();
        (0..MAX_EXCLUSIVE_SLOTS).for_each(|_| assert!(slots.acquire().is_some()));
        slots.release_all_but(1);
        assert_eq!([slots.acquire(), slots.acquire()], [Some(0), Some(2)]);
        slots.release_all_but(MAX_EXCLUSIVE_SLOTS);
        assert_eq!([slots.acquire(), slots.acquire()], [Some(0), Some(1)]);
    }

    #[test]
    #[cfg(unix)]
    #[allow(unsafe_code)]
    fn forked_child_has_a_new_generation_and_only_its_own_slot() {
        use super::super::fork_generation;
        use std::sync::Barrier;

        crate::fork::install_handlers();
        let (mine, generation) = (thread_slot(), fork_generation());
        let barrier = Barrier::new(2);
        let status = std::thread::scope(|threads| {
            threads.spawn(|| {
                assert_ne!(thread_slot(), mine);
                barrier.wait();
                barrier.wait();
            });
            barrier.wait();
            // SAFETY: the child calls nothing that is not async-signal-safe.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let held = process::SLOTS.held.load(Ordering::Relaxed);
                let mine = if mine < MAX_EXCLUSIVE_SLOTS {
                    1 << mine
                } else {
                    0
                };
                let right = fork_generation() == generation + 1 && held == mine;
                // SAFETY: as above.
                unsafe { libc::_exit(i32::from(!right)) };
            }
            let mut status = -1;
            // SAFETY: the status is written to a variable that lives.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            barrier.wait();
            status
        });
        assert_eq!(status, 0);
    }
}
