//! Which of a few states are on.

use super::{Cell, OptionsError};
use crate::sync::{AtomicU64, Ordering};

/// How many states a [`StateSet`] has. Their names are the family's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct States(u8);

impl States {
    /// So many states.
    ///
    /// # Errors
    /// `count` is not in 1 to 64.
    pub fn new(count: usize) -> Result<Self, OptionsError> {
        const LIMIT: usize = 64;
        match count {
            1..=LIMIT => Ok(Self(count as u8)),
            _ => Err(OptionsError::States { limit: LIMIT }),
        }
    }

    /// How many.
    pub fn count(self) -> usize {
        usize::from(self.0)
    }
}

impl Default for States {
    /// One.
    fn default() -> Self {
        Self(1)
    }
}

/// States that are on or off, shared by any number of writers. All are off at
/// first.
///
/// A reading is a 0 or 1 (`u64`) for each state, all as of one moment. States
/// are told by their position, from 0; a position that the set does not have
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
#[derive(Debug)]
pub struct StateSet {
    /// A bit for each state.
    on: AtomicU64,
    states: States,
}

impl StateSet {
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

    /// Whether the state is on.
    pub fn is_on(&self, state: usize) -> bool {
        self.on.load(Ordering::Relaxed) & self.bit(state) != 0
    }
}

impl Cell for StateSet {
    type Options = States;

    fn new(states: &States) -> Self {
        Self {
            on: AtomicU64::new(0),
            states: *states,
        }
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
}
