//! A sliding window of time, cut into slices, that turns without a lock: what
//! the quantile and the window maximum are kept in.
//!
//! The ring has two slots more than the window has slices. One is the
//! *newest*: every write goes there. The others hold the slices before it, but
//! for the *spare*, the slot after the newest, which is cleared ahead of time.
//! `state` names the newest slot and its epoch (the number of the slice of
//! time it began with), in one word.
//!
//! A writer whose clock has passed the newest slice turns the ring by one slot:
//!
//! 1. `cleared` must name the state it saw: then the spare is clean.
//! 2. It raises the newest slot's tag to its epoch. All who saw the same state
//!    write the same number, and for one who comes too late the tag is there
//!    already.
//! 3. It exchanges `state`. One wins; the others find the new state and write
//!    to the new slot.
//! 4. The winner alone clears the new spare, and then says so in `cleared`.
//!
//! Nobody waits: a writer that wants the next slice while the winner is still in
//! step 4 writes to the newest slot, and the ring turns later. Nothing is
//! written twice. A write lands in the slot that was newest when it read
//! the state; if its thread then slept until that slot was cleared, the
//! observation is older than the window, and may be dropped or counted as new.
//! The ring turns only where there is something to write, so a quiet hour
//! takes no slot and the newest slot always holds the last thing seen.
//!
//! A reader looks at `state`, reads the slots of the window (never the spare),
//! and looks at `state` again: if it is unchanged, no slot that it read was
//! cleared meanwhile.

use std::time::{Duration, Instant};

use super::OptionsError;
use crate::sync::{AtomicU64, Ordering, Padded, fence};

/// How long a sliding window is, and in how many slices it moves on.
///
/// A reading covers the slice that has begun and all slices of the window
/// before it: everything of the last `length`, and nothing older than that and
/// one slice more.
///
/// While nothing happens in a whole window, the last slice in which something
/// did is shown on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    slice_nanos: u64,
    slices: u8,
}

impl Window {
    /// A window of `length` that moves on in steps of `length / slices`.
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

    /// Slots of a ring for this window: the newest, the slices before it, and
    /// the spare.
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

/// What a slot holds.
pub(super) trait Slice {
    /// Takes out what was written. Each store is `Release`, so that a reader
    /// that saw one of them sees the state that allowed it.
    fn clear(&self);
}

#[derive(Debug)]
struct Slot<S> {
    /// The epoch of a slot that is no longer the newest; only ever raised.
    tag: AtomicU64,
    slice: S,
}

/// The newest slot and its epoch: 56 bits of epoch, 8 of position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State(u64);

impl State {
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
    slots: Box<[Slot<S>]>,
    /// Written once a slice, read at every write: away from what writers write.
    turn: Padded<Turn>,
}

#[derive(Debug)]
struct Turn {
    state: AtomicU64,
    /// The last state whose spare has been cleared.
    cleared: AtomicU64,
}

impl<S: Slice> Ring<S> {
    pub(super) fn new(window: Window, slice: impl Fn() -> S) -> Self {
        let begin = State::new(0, 0);
        Self {
            window,
            start: Instant::now(),
            slots: (0..window.slots())
                .map(|_| Slot {
                    tag: AtomicU64::new(0),
                    slice: slice(),
                })
                .collect(),
            turn: Padded(Turn {
                state: AtomicU64::new(begin.0),
                cleared: AtomicU64::new(begin.0),
            }),
        }
    }

    /// Nanoseconds since the ring was made; 0 for an instant before that.
    fn nanos(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.start);
        // In 64 bits, unlike `as_nanos`: enough for 584 years.
        let whole = since.as_secs().saturating_mul(1_000_000_000);
        whole.saturating_add(u64::from(since.subsec_nanos()))
    }

    fn state(&self) -> State {
        // Acquire: pairs with the Release of the exchange in `turn`. The spare
        // that was published is seen clean, and older slots with their tags.
        State(self.turn.state.load(Ordering::Acquire))
    }

    /// The slice to write to.
    pub(super) fn newest(&self, at: Instant) -> &S {
        let state = self.state();
        let nanos = self.nanos(at);
        // A product, where finding the epoch would take a division. It cannot
        // overflow before the ring is centuries old; then the ring stands.
        let end = (state.epoch() + 1).saturating_mul(self.window.slice_nanos);
        if nanos < end {
            return &self.slots[state.newest()].slice;
        }
        self.turn(state, nanos / self.window.slice_nanos)
    }

    /// Turns the ring until its newest slice is that of `epoch` or later.
    #[cold]
    fn turn(&self, mut state: State, epoch: u64) -> &S {
        while state.epoch() < epoch {
            // Acquire: pairs with the Release of `cleared` below. What we
            // publish next is clean to whoever acquires it from us; and if the
            // ring has turned since we looked, the state read next says so.
            if self.turn.cleared.load(Ordering::Acquire) != state.0 {
                let now = self.state();
                if now == state {
                    break;
                }
                state = now;
                continue;
            }
            // Relaxed: published by the exchange below.
            self.slots[state.newest()]
                .tag
                .fetch_max(state.epoch(), Ordering::Relaxed);
            let next = State::new(epoch, self.after(state.newest()));
            // Release: publishes the tag, and the clean spare. Acquire, on
            // failure: as in `state`.
            match self.turn.state.compare_exchange(
                state.0,
                next.0,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => {
                    self.slots[self.after(next.newest())].slice.clear();
                    // Release: pairs with the Acquire above.
                    self.turn.cleared.store(next.0, Ordering::Release);
                    state = next;
                }
                Err(now) => state = State(now),
            }
        }
        &self.slots[state.newest()].slice
    }

    fn after(&self, slot: usize) -> usize {
        if slot + 1 == self.slots.len() {
            0
        } else {
            slot + 1
        }
    }

    /// Reads the window with `read`, again if the ring turned meanwhile. The
    /// result of the third try is taken as it is: a ring that turns thrice
    /// while it is read has slices too short to be told apart.
    pub(super) fn read<R>(&self, at: Instant, mut read: impl FnMut(View<'_, S>) -> R) -> R {
        let nanos = self.nanos(at);
        let mut tries = 3;
        loop {
            let state = self.state();
            let epoch = (nanos / self.window.slice_nanos).max(state.epoch());
            let result = read(View {
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
pub(super) struct View<'a, S> {
    ring: &'a Ring<S>,
    state: State,
    epoch: u64,
}

impl<'a, S> View<'a, S> {
    /// The slices that may hold something, the newest first, each with whether
    /// it is in the window.
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

impl<S> Clone for View<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for View<'_, S> {}
