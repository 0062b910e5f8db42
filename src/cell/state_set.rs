//! State sets: a few states, each of which is on or off.

use super::{Cell, OptionsError};
use crate::sync::{AtomicU64, Ordering};

/// The number of states of a [`StateSet`]. Their names belong to the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct States(u8);

impl States {
    /// Creates the options of a set with `count` states.
    ///
    /// # Errors
    /// `count` is not in 1 to 64.
    pub const fn new(count: usize) -> Result<Self, OptionsError> {
        const LIMIT: usize = 64;
        match count {
            1..=LIMIT => Ok(Self(count as u8)),
            _ => Err(OptionsError::States { limit: LIMIT }),
        }
    }

    /// Returns the number of states.
    #[must_use]
    pub const fn count(self) -> usize {
        self.0 as usize
    }
}

impl Default for States {
    /// One state.
    fn default() -> Self {
        Self(1)
    }
}

/// States that are on or off, shared by any number of writers. All are off at
/// first.
///
/// A reading is a 0 or 1 (`u64`) for each state, all as of one moment. States are
/// identified by their position, from 0. A position that the set does not have
/// changes nothing.
///
/// ```
/// use stethoscope::cell::{Cell, StateSet, States};
///
/// let phase = StateSet::new(&States::new(3)?);
/// phase.select(0);
/// phase.select(2);
/// let mut reading = [9; 3];
/// phase.read(&mut reading);
/// assert_eq!(reading, [0, 0, 1]);
/// # Ok::<(), stethoscope::cell::OptionsError>(())
/// ```
#[derive(Debug, Default)]
#[repr(C)]
pub struct StateSet {
    /// A bit for each state.
    on: AtomicU64,
    states: States,
}

impl StateSet {
    /// Creates a set with all states off.
    #[must_use]
    pub fn new(states: &States) -> Self {
        Self {
            on: AtomicU64::new(0),
            states: *states,
        }
    }

    fn bit(&self, state: usize) -> u64 {
        if state < self.states.count() {
            1 << state
        } else {
            0
        }
    }

    /// Turns one state on or off, and leaves the others as they are.
    pub fn set(&self, state: usize, on: bool) {
        let bit = self.bit(state);
        // Relaxed, here and below: the states publish nothing but themselves.
        match on {
            true => self.on.fetch_or(bit, Ordering::Relaxed),
            false => self.on.fetch_and(!bit, Ordering::Relaxed),
        };
    }

    /// Turns one state on and all others off, at once.
    pub fn select(&self, state: usize) {
        let bit = self.bit(state);
        if bit != 0 {
            self.on.store(bit, Ordering::Relaxed);
        }
    }

    /// Returns true if the state is on.
    #[must_use]
    pub fn is_on(&self, state: usize) -> bool {
        self.on.load(Ordering::Relaxed) & self.bit(state) != 0
    }
}

impl Cell for StateSet {
    type Options = States;

    fn from_options(states: &States) -> Self {
        Self::new(states)
    }

    fn width(states: &States) -> usize {
        states.count()
    }

    fn read(&self, into: &mut [u64]) {
        let on = self.on.load(Ordering::Relaxed);
        for (state, value) in into.iter_mut().enumerate() {
            *value = on >> state & 1;
        }
    }

    #[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
    fn placement() -> Option<super::Placement<Self>> {
        const {
            assert!(size_of::<StateSet>() == 2 * size_of::<u64>());
            assert!(std::mem::offset_of!(StateSet, states) == size_of::<u64>());
        }
        Some(super::Placement {
            encoding: super::Encoding::StateSet,
            parts: 1,
            place: |states, words| {
                let [_, second] = words else {
                    unreachable!("a state set has two words");
                };
                // The first byte is `states`, the others are padding. Relaxed: no
                // other thread uses the cell yet.
                let bytes = [states.0, 0, 0, 0, 0, 0, 0, 0];
                second.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
                super::Placed::Inside(std::ptr::NonNull::from(words).cast())
            },
        })
    }
}
