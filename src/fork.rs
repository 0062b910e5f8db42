//! Forks of the process: a child must not inherit a locked mutex.
//!
//! A forked child has one thread and a copy of its parent's memory. A mutex that
//! another thread held at that moment stays locked in the child for ever.
//! Therefore each [`ForkSafeMutex`] is taken within a process-wide gate, which
//! `pthread_atfork` handlers close before a fork and open after it, in the parent
//! and in the child:
//!
//! ```text
//! a thread       enter the gate ── lock ── a few microseconds ── unlock ── leave
//! a fork         close the gate ── wait until it is empty ── fork ── open it
//! ```
//!
//! Updates, look-ups and scrapes of unchanged families take no mutex, so they
//! never meet the gate.
//!
//! The handlers cover `fork` and whatever is built on it in any language. They do
//! not run for `vfork`, `posix_spawn` and raw `clone` system calls; the first two
//! do not need them.

use crate::sync::{AtomicBool, AtomicUsize, Mutex, MutexGuard, Ordering, dekker_fence};
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
#[cfg(not(loom))]
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Counts the threads inside, and keeps them out while it is closed.
struct Gate {
    inside: AtomicUsize,
    closed: AtomicBool,
}

impl Gate {
    #[cfg(not(loom))]
    const fn new() -> Self {
        Self {
            inside: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        }
    }

    #[cfg(loom)]
    fn new() -> Self {
        Self {
            inside: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
        }
    }

    /// Enters, after waiting until the gate is open.
    fn enter(&self) {
        loop {
            // SeqCst, both: one half of a Dekker pair with `close`. Either the
            // fork sees this thread inside, or this thread sees the gate closed.
            self.inside.fetch_add(1, Ordering::SeqCst);
            dekker_fence();
            if !self.closed.load(Ordering::SeqCst) {
                return;
            }
            self.leave();
            let mut wait = Wait::default();
            // Relaxed: loaded again above.
            while self.closed.load(Ordering::Relaxed) {
                wait.turn();
            }
        }
    }

    fn leave(&self) {
        // Release: pairs with the load in `close`. The mutex is seen unlocked.
        self.inside.fetch_sub(1, Ordering::Release);
    }

    /// Closes the gate and waits until only `own` threads are inside. Gives up
    /// after `limit`; returns false if another fork held the gate for so long.
    fn close(&self, own: usize, limit: Duration) -> bool {
        let mut wait = Wait::default();
        // Acquire: pairs with the Release in `open`. SeqCst: the other half of
        // the pair in `enter`.
        while self.closed.swap(true, Ordering::SeqCst) {
            if wait.turn() > limit {
                return false;
            }
        }
        dekker_fence();
        // SeqCst: as above; it acquires what the threads that left have released.
        while self.inside.load(Ordering::SeqCst) > own {
            if wait.turn() > limit {
                break;
            }
        }
        true
    }

    fn open(&self) {
        // Release: pairs with the swap in `close` of the next fork.
        self.closed.store(false, Ordering::Release);
    }

    /// Opens the gate in a forked child, in which `own` threads are inside.
    #[cfg(not(loom))]
    fn reset(&self, own: usize) {
        // Relaxed: the child has a single thread.
        self.inside.store(own, Ordering::Relaxed);
        self.open();
    }
}

/// Waiting for another thread, by sleeping for longer and longer.
#[derive(Default)]
struct Wait {
    turns: u32,
    waited: Duration,
}

impl Wait {
    /// Waits a turn; returns the time that has been waited, roughly.
    fn turn(&mut self) -> Duration {
        #[cfg(loom)]
        loom::thread::yield_now();
        #[cfg(not(loom))]
        match self.turns {
            0..64 => std::hint::spin_loop(),
            64..96 => std::thread::yield_now(),
            _ => {
                let nap = Duration::from_micros(u64::from(self.turns - 95) * 10)
                    .min(Duration::from_millis(1));
                std::thread::sleep(nap);
                self.waited += nap;
            }
        }
        self.turns = self.turns.saturating_add(1);
        self.waited
    }
}

/// A mutex that no thread holds while the process forks.
///
/// The code that runs under it must not wait for another thread.
#[derive(Debug, Default)]
pub(crate) struct ForkSafeMutex<T>(Mutex<T>);

impl<T> ForkSafeMutex<T> {
    #[cfg(not(loom))]
    pub(crate) const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    #[cfg(loom)]
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Locks the mutex. What a thread that panicked has left is taken as it is.
    pub(crate) fn lock(&self) -> ForkSafeGuard<'_, T> {
        let pass = Pass::new();
        ForkSafeGuard {
            guard: self.0.lock().unwrap_or_else(PoisonError::into_inner),
            _pass: pass,
        }
    }
}

/// The lock of a [`ForkSafeMutex`].
pub(crate) struct ForkSafeGuard<'m, T> {
    /// Before the pass: fields are dropped in this order.
    guard: MutexGuard<'m, T>,
    _pass: Pass,
}

impl<T> Deref for ForkSafeGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for ForkSafeGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// The presence of this thread inside the process-wide gate. Passes may be nested
/// within a thread, of which the outermost one counts: the others must not wait
/// for a gate that waits for the first.
struct Pass {
    /// A thread leaves with the passes that it entered with.
    not_send: PhantomData<*const ()>,
}

#[cfg(loom)]
impl Pass {
    /// Models do not fork.
    fn new() -> Self {
        Self {
            not_send: PhantomData,
        }
    }
}

#[cfg(not(loom))]
impl Pass {
    fn new() -> Self {
        let depth = DEPTH.get();
        if depth == 0 {
            GATE.enter();
        }
        DEPTH.set(depth + 1);
        Self {
            not_send: PhantomData,
        }
    }
}

#[cfg(not(loom))]
impl Drop for Pass {
    fn drop(&mut self) {
        let depth = DEPTH.get() - 1;
        DEPTH.set(depth);
        if depth == 0 {
            GATE.leave();
        }
    }
}

#[cfg(not(loom))]
static GATE: Gate = Gate::new();

#[cfg(not(loom))]
thread_local! {
    /// The passes that this thread holds.
    static DEPTH: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// State that has to be corrected in a forked child: it counts threads, or is shared
/// with the parent.
#[cfg(not(loom))]
pub(crate) trait CorrectInChild: Send + Sync {
    /// Makes the state that of a process with the calling thread alone.
    ///
    /// # Safety
    /// The process must have no other thread.
    #[allow(unsafe_code)]
    unsafe fn correct_in_child(&self);

    /// Runs in the parent, after the fork, while other threads run and fork. A forking
    /// thread holds none of the locks of this crate here.
    fn clean_in_parent(&self) {}
}

#[cfg(not(loom))]
static CORRECTED: ForkSafeMutex<Vec<Weak<dyn CorrectInChild>>> = ForkSafeMutex::new(Vec::new());

/// Has `state` corrected in forked children for as long as it lives.
#[cfg(not(loom))]
pub(crate) fn correct_in_children(state: &Arc<impl CorrectInChild + 'static>) {
    let mut states = CORRECTED.lock();
    states.retain(|state| state.strong_count() > 0);
    states.push(Arc::downgrade(state) as Weak<dyn CorrectInChild>);
}

/// The time of the last fork, in milliseconds from 1 on; 0 if there was none.
#[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
static LAST_FORK: AtomicUsize = AtomicUsize::new(0);

/// Returns the moment from which `LAST_FORK` counts.
#[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
fn epoch() -> std::time::Instant {
    static EPOCH: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    *EPOCH.get_or_init(std::time::Instant::now)
}

#[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
fn note_fork() {
    let milliseconds = epoch().elapsed().as_millis();
    let milliseconds = usize::try_from(milliseconds).unwrap_or(usize::MAX - 1);
    // Relaxed: written before the gate opens, read inside of it.
    LAST_FORK.store(milliseconds + 1, Ordering::Relaxed);
}

/// Returns the time of the last fork of this process.
#[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
pub(crate) fn last_fork() -> Option<std::time::Instant> {
    // Relaxed: as in `note_fork`.
    let milliseconds = LAST_FORK.load(Ordering::Relaxed);
    // A millisecond late rather than early.
    (milliseconds > 0).then(|| epoch() + Duration::from_millis(milliseconds as u64))
}

/// Installs the handlers that keep the gate closed during forks. Does so once a
/// process; later calls return at once.
pub(crate) fn install_handlers() {
    #[cfg(all(unix, not(target_os = "emscripten"), not(loom)))]
    handlers::install();
}

#[cfg(all(unix, not(target_os = "emscripten"), not(loom)))]
mod handlers {
    use super::{CORRECTED, DEPTH, GATE};
    use std::cell::Cell;
    use std::ffi::c_int;
    use std::sync::Weak;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    /// The longest that a fork waits for threads inside the gate. They stay for
    /// microseconds, so this long a wait means that one of them was stopped.
    const LIMIT: Duration = Duration::from_secs(5);

    type Handler = Option<unsafe extern "C" fn()>;

    // SAFETY: the declaration of POSIX. `std` links to the C library that has it.
    #[allow(unsafe_code)]
    unsafe extern "C" {
        fn pthread_atfork(prepare: Handler, parent: Handler, child: Handler) -> c_int;
    }

    thread_local! {
        /// True while this thread forks and holds the gate closed.
        static FORKING: Cell<bool> = const { Cell::new(false) };
    }

    #[allow(unsafe_code)]
    pub(super) fn install() {
        static INSTALLED: AtomicBool = AtomicBool::new(false);
        // Relaxed: the first caller installs, and no other waits for it.
        if !INSTALLED.load(Ordering::Relaxed) && !INSTALLED.swap(true, Ordering::Relaxed) {
            // SAFETY: the handlers are functions of this image; the C library
            // forgets them if it is unloaded. If there is no memory for them,
            // forks go on unprotected.
            unsafe { pthread_atfork(Some(prepare), Some(in_parent), Some(in_child)) };
        }
    }

    fn own_passes() -> usize {
        usize::from(DEPTH.get() > 0)
    }

    extern "C" fn prepare() {
        FORKING.set(GATE.close(own_passes(), LIMIT));
    }

    extern "C" fn in_parent() {
        #[cfg(all(feature = "segment", target_os = "linux"))]
        super::note_fork();
        if FORKING.replace(false) {
            GATE.open();
        }
        if DEPTH.get() > 0 {
            // Within a lock of this crate, which may be one that is needed here.
            return;
        }
        let states: Vec<_> = CORRECTED.lock().iter().filter_map(Weak::upgrade).collect();
        for state in states {
            state.clean_in_parent();
        }
    }

    #[allow(unsafe_code)]
    extern "C" fn in_child() {
        FORKING.set(false);
        GATE.reset(own_passes());
        crate::sync::enter_child();
        // Locked only if the fork gave up waiting.
        let Ok(states) = CORRECTED.0.try_lock() else {
            return;
        };
        for state in &*states {
            if let Some(state) = state.upgrade() {
                // SAFETY: a forked child has one thread until its handlers have
                // run.
                unsafe { state.correct_in_child() };
            }
        }
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;

    /// Memory that threads inside the gate write, and a fork reads.
    struct SharedMemory(UnsafeCell<()>);

    // SAFETY: loom panics if two threads access the memory without order.
    #[allow(unsafe_code)]
    unsafe impl Sync for SharedMemory {}

    #[test]
    fn fork_finds_no_thread_inside_the_gate() {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(3);
        builder.check(|| {
            let gate = Arc::new(Gate::new());
            let inside = Arc::new(SharedMemory(UnsafeCell::new(())));
            let thread = loom::thread::spawn({
                let (gate, inside) = (Arc::clone(&gate), Arc::clone(&inside));
                move || {
                    gate.enter();
                    inside.0.with_mut(|_| ());
                    gate.leave();
                }
            });
            assert!(gate.close(0, Duration::MAX));
            // A fork copies the memory here.
            inside.0.with(|_| ());
            gate.open();
            thread.join().unwrap();
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn fork_gives_up_waiting_at_the_limit() {
        let gate = Gate::new();
        gate.enter();
        let start = Instant::now();
        assert!(gate.close(0, Duration::from_millis(20)));
        assert!(
            !gate.close(0, Duration::from_millis(20)),
            "closed by the first"
        );
        assert!(start.elapsed() >= Duration::from_millis(40));
        gate.reset(0);
        gate.enter();
    }

    #[test]
    fn locks_may_be_nested_within_a_thread() {
        let (outer, inner) = (ForkSafeMutex::new(1), ForkSafeMutex::new(2));
        let outer = outer.lock();
        let inner = inner.lock();
        assert_eq!((*outer, *inner, DEPTH.get()), (1, 2, 2));
        drop(outer);
        assert_eq!(DEPTH.get(), 1);
        drop(inner);
        assert_eq!(DEPTH.get(), 0);
    }
}
