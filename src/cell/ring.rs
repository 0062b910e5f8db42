//! A sliding window of time, divided into slices, that moves on without a lock:
//! the storage of the quantile and window-maximum cells.
//!
//! The ring has two slots more than the window has slices. One is the *newest*:
//! every write goes there. The others hold the slices before it, except for the
//! *spare*, the slot after the newest, which is cleared ahead of time. `state`
//! names the newest slot and its epoch (the number of the slice of time it began
//! with), in one word.
//!
//! A writer whose clock has passed the newest slice turns the ring by one slot:
//!
//! 1. It checks that `cleared` names the state it saw: the spare is then clean.
//! 2. It raises the newest slot's tag to its epoch. All writers that saw the same
//!    state write the same number, and for one that comes too late the tag is
//!    there already.
//! 3. It exchanges `state`. One writer wins; the others find the new state and
//!    write to the new slot.
//! 4. The winner alone clears the new spare, and then says so in `cleared`.
//!
//! Nobody waits: a writer that wants the next slice while the winner is still in
//! step 4 writes to the newest slot, and the ring turns later. Nothing is written
//! twice. A write lands in the slot that was newest when it read the state; if
//! its thread then slept until that slot was cleared, the observation is older
//! than the window, and may be dropped or counted as new. The ring turns only
//! when there is something to write, so a quiet hour takes no slot, and the
//! newest slot always holds the last observation.
//!
//! A fork that hits the winner in step 4 leaves the child with a spare that is
//! not clean and a thread that does not exist. The first writer that turns the
//! ring in the child therefore clears the spare itself. `generation` tells it
//! that it is the first.
//!
//! A reader loads `state`, reads the slots of the window (never the spare), and
//! loads `state` again: if it is unchanged, no slot that it read was cleared
//! meanwhile.

use std::time::{Duration, Instant};

use super::OptionsError;
use crate::sync::{AtomicU64, Ordering, Padded, fence, fork_generation};

/// The length of a sliding window, and the number of slices in which it moves on.
///
/// A reading covers the slice that has begun and all slices of the window before
/// it: everything within the last `length`, and nothing older than that and one
/// slice more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    slice_nanos: u64,
    slices: u8,
}

impl Window {
    /// Creates a window of `length` that moves on in steps of `length / slices`.
    ///
    /// # Errors
    /// `slices` is not in 1 to 240, or a slice is shorter than a millisecond
    /// or longer than a year.
    pub fn new(length: Duration, slices: usize) -> Result<Self, OptionsError> {
        const LIMIT: usize = 240;
        const YEAR: u128 = 366 * 24 * 3600 * 1_000_000_000;
        if slices == 0 || slices > LIMIT {
            return Err(OptionsError::WindowSlices { limit: LIMIT });
        }
        let slice_nanos = length.as_nanos() / slices as u128;
        if !(1_000_000..=YEAR).contains(&slice_nanos) {
            return Err(OptionsError::WindowLength);
        }
        Ok(Self {
            slice_nanos: slice_nanos as u64,
            slices: slices as u8,
        })
    }

    /// Returns the number of slots of a ring for this window: the newest, the
    /// slices before it, and the spare.
    pub(super) fn slots(self) -> usize {
        usize::from(self.slices) + 2
    }
}

impl Default for Window {
    /// A minute, in six slices.
    fn default() -> Self {
        Self {
            slice_nanos: 10_000_000_000,
            slices: 6,
        }
    }
}

/// The content of a slot.
pub(super) trait Slice {
    /// Removes everything that was written. Each store is `Release`, so that a
    /// reader that saw one of them sees the state that allowed it.
    fn clear(&self);
}

#[derive(Debug)]
struct RingSlot<S> {
    /// The epoch of a slot that is no longer the newest; only ever raised.
    tag: AtomicU64,
    slice: S,
}

/// The newest slot and its epoch: 56 bits of epoch, 8 of position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RingState(u64);

impl RingState {
    fn new(epoch: u64, newest: usize) -> Self {
        Self(epoch << 8 | newest as u64)
    }

    fn epoch(self) -> u64 {
        self.0 >> 8
    }

    fn newest(self) -> usize {
        (self.0 & 0xff) as usize
    }
}

#[derive(Debug)]
pub(super) struct Ring<S> {
    window: Window,
    /// The beginning of epoch 0.
    start: Instant,
    slots: Box<[RingSlot<S>]>,
    /// Written once a slice, read at every write: kept away from what writers
    /// write.
    turn: Padded<Turn>,
}

#[derive(Debug)]
struct Turn {
    state: AtomicU64,
    /// The last state whose spare has been cleared.
    cleared: AtomicU64,
    /// The fork generation of the process that turned the ring last.
    generation: AtomicU64,
}

impl<S: Slice> Ring<S> {
    /// Creates a ring whose first slice begins at `start`.
    pub(super) fn new(window: Window, start: Instant, slice: impl Fn() -> S) -> Self {
        let begin = RingState::new(0, 0);
        Self {
            window,
            start,
            slots: (0..window.slots())
                .map(|_| RingSlot {
                    tag: AtomicU64::new(0),
                    slice: slice(),
                })
                .collect(),
            turn: Padded(Turn {
                state: AtomicU64::new(begin.0),
                cleared: AtomicU64::new(begin.0),
                generation: AtomicU64::new(fork_generation()),
            }),
        }
    }

    /// Returns the nanoseconds since the start; 0 for an instant before that.
    fn nanos(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.start);
        // In 64 bits, unlike `as_nanos`: enough for 584 years.
        let whole = since.as_secs().saturating_mul(1_000_000_000);
        whole.saturating_add(u64::from(since.subsec_nanos()))
    }

    fn state(&self) -> RingState {
        // Acquire: pairs with the Release of the exchange in `turn`. The spare
        // that was published is seen clean, and older slots with their tags.
        RingState(self.turn.state.load(Ordering::Acquire))
    }

    /// Returns the slice to write to.
    #[inline]
    pub(super) fn newest(&self, at: Instant) -> &S {
        let state = self.state();
        let nanos = self.nanos(at);
        // A product, where finding the epoch would take a division. It cannot
        // overflow before the ring is centuries old, and then the ring stands.
        let end = (state.epoch() + 1).saturating_mul(self.window.slice_nanos);
        if nanos < end {
            return &self.slots[state.newest()].slice;
        }
        let epoch = nanos / self.window.slice_nanos;
        self.turn_to(state, epoch, fork_generation())
    }

    /// Like [`newest`](Self::newest), in a process that was forked so often.
    #[cfg(test)]
    pub(super) fn newest_in_generation(&self, at: Instant, generation: u64) -> &S {
        let epoch = self.nanos(at) / self.window.slice_nanos;
        self.turn_to(self.state(), epoch, generation)
    }

    /// Turns the ring until its newest slice is that of `epoch` or later.
    #[cold]
    fn turn_to(&self, mut state: RingState, epoch: u64, generation: u64) -> &S {
        self.finish_abandoned_turn(generation);
        while state.epoch() < epoch {
            // Acquire: pairs with the Release of `cleared` in `clear_spare`. The
            // slot published next is clean to all that acquire it from here; and
            // if the ring has turned meanwhile, the state read next says so.
            if self.turn.cleared.load(Ordering::Acquire) != state.0 {
                let current = self.state();
                if current == state {
                    break;
                }
                state = current;
                continue;
            }
            match self.exchange(state, epoch) {
                Ok(next) => {
                    self.clear_spare(next);
                    state = next;
                }
                Err(current) => state = current,
            }
        }
        &self.slots[state.newest()].slice
    }

    /// Makes the spare the newest slot, or returns the state that another thread
    /// has set.
    fn exchange(&self, state: RingState, epoch: u64) -> Result<RingState, RingState> {
        // Relaxed: published by the exchange below.
        self.slots[state.newest()]
            .tag
            .fetch_max(state.epoch(), Ordering::Relaxed);
        let next = RingState::new(epoch, self.after(state.newest()));
        // Release: publishes the tag, and the clean spare. Acquire, on failure: as
        // in `state`.
        self.turn
            .state
            .compare_exchange(state.0, next.0, Ordering::AcqRel, Ordering::Acquire)
            .map(|_| next)
            .map_err(RingState)
    }

    /// Clears the spare of `state`. Only one thread may do so.
    fn clear_spare(&self, state: RingState) {
        self.slots[self.after(state.newest())].slice.clear();
        // Release: pairs with the Acquire in `turn_to`.
        self.turn.cleared.store(state.0, Ordering::Release);
    }

    /// Clears the spare if the thread that should have done so was left behind by
    /// a fork.
    fn finish_abandoned_turn(&self, generation: u64) {
        // Acquire: pairs with the Release of the exchange below.
        let last = self.turn.generation.load(Ordering::Acquire);
        if last == generation {
            return;
        }
        // No thread of this process exchanges the state before `generation` is
        // its own. If the exchange below succeeds, both are therefore as the fork
        // left them.
        let state = self.state();
        let cleared = self.turn.cleared.load(Ordering::Acquire);
        // Release: threads that find the new generation see the state. Relaxed,
        // on failure: another thread has taken over the turn.
        let first = self.turn.generation.compare_exchange(
            last,
            generation,
            Ordering::Release,
            Ordering::Relaxed,
        );
        if first.is_ok() && cleared != state.0 {
            self.clear_spare(state);
        }
    }

    /// Turns the ring by one slot up to step 3, as a fork would leave it that hits
    /// the winner of a turn.
    #[cfg(test)]
    pub(super) fn abandon_turn(&self) {
        let state = self.state();
        self.exchange(state, state.epoch() + 1)
            .expect("no other thread turns the ring");
    }

    fn after(&self, slot: usize) -> usize {
        if slot + 1 == self.slots.len() {
            0
        } else {
            slot + 1
        }
    }

    /// Reads the window with `read`, and again if the ring turned meanwhile. The
    /// result of the third attempt is taken as it is: a ring that turns three
    /// times while it is read has slices too short to be told apart.
    pub(super) fn read<R>(&self, at: Instant, mut read: impl FnMut(RingView<'_, S>) -> R) -> R {
        let nanos = self.nanos(at);
        let mut tries = 3;
        loop {
            let state = self.state();
            let epoch = (nanos / self.window.slice_nanos).max(state.epoch());
            let result = read(RingView {
                ring: self,
                state,
                epoch,
            });
            tries -= 1;
            // Acquire: pairs with the Release stores of `Slice::clear`. If
            // `read` saw one of them, the load below sees the turn before it.
            fence(Ordering::Acquire);
            if tries == 0 || self.turn.state.load(Ordering::Relaxed) == state.0 {
                return result;
            }
        }
    }
}

/// The ring as one reading sees it.
pub(super) struct RingView<'a, S> {
    ring: &'a Ring<S>,
    state: RingState,
    epoch: u64,
}

impl<'a, S> RingView<'a, S> {
    /// Returns the slices that may hold observations, the newest first. The flag
    /// says whether the slice is in the window.
    pub(super) fn slices(&self) -> impl Iterator<Item = (&'a S, bool)> + use<'a, S> {
        let Self { ring, state, epoch } = *self;
        let length = ring.slots.len();
        (0..length - 1).map(move |back| {
            let slot = &ring.slots[(state.newest() + length - back) % length];
            let tag = match back {
                0 => state.epoch(),
                // Relaxed: raised before the state that we acquired.
                _ => slot.tag.load(Ordering::Relaxed),
            };
            let age = epoch - tag.min(epoch);
            (&slot.slice, age <= u64::from(ring.window.slices))
        })
    }
}

impl<S> Clone for RingView<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for RingView<'_, S> {}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[derive(Debug, Default)]
    struct Count(AtomicU64);

    impl Slice for Count {
        fn clear(&self) {
            self.0.store(0, Ordering::Release);
        }
    }

    #[test]
    fn turn_that_a_fork_abandoned_is_finished_in_the_child() {
        let start = Instant::now();
        let slice = Duration::from_secs(1);
        let ring = Ring::new(Window::new(slice, 1).unwrap(), start, Count::default);
        let at = |epoch: u32| start + slice * epoch;
        let add = |slice: &Count| slice.0.fetch_add(1, Ordering::Relaxed);
        add(ring.newest(at(0)));
        ring.abandon_turn();
        // In the parent, the thread that turns the ring is still clearing.
        add(ring.newest_in_generation(at(2), fork_generation()));
        assert_eq!(ring.state().epoch(), 1);

        let child = fork_generation() + 1;
        add(ring.newest_in_generation(at(2), child));
        assert_eq!(ring.state().epoch(), 2);
        assert_eq!(ring.turn.cleared.load(Ordering::Relaxed), ring.state().0);
        ring.newest_in_generation(at(3), child);
        assert_eq!(ring.state().epoch(), 3);
    }
}
