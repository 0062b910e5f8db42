//! Bringing one prefix up to date.

use super::super::prefix_numbers::{NUMBERS, NumberKind};
use super::families::{Cells, Families, NumberCell, StateCounts, series};
use super::{FORGOTTEN_STATE, OTHER, Row, Sums, slot, whole};

/// A prefix that is being brought up to date.
#[derive(Debug)]
pub struct PrefixUpdate<'p> {
    pub(super) states: &'p mut Vec<Box<str>>,
    pub(super) families: &'p mut Families,
    pub(super) row: &'p mut Row,
    pub(super) other: &'p mut Option<Cells>,
    pub(super) in_state: &'p mut Vec<i64>,
    pub(super) folded: &'p mut Sums,
}

impl PrefixUpdate<'_> {
    /// Sets one of [`NUMBERS`], by its index. NaN stands for a value that is not
    /// known; totals stay as they are then.
    pub fn set_number(&mut self, number: usize, value: f64) {
        let last = slot(&mut self.row.numbers, number);
        let kind = NUMBERS[number].kind;
        if kind != NumberKind::Current {
            if value.is_nan() {
                return;
            }
            let value = match kind {
                NumberKind::Count => value.trunc(),
                _ => value,
            };
            let more = growth(last, value.max(0.0));
            let families = &*self.families;
            let cells = match &self.row.cells {
                Some(cells) => cells,
                None => self.other.get_or_insert_with(|| families.cells(OTHER)),
            };
            if let Some(NumberCell::Total(cell)) = &cells.numbers[number] {
                cell.inc_by(more);
            }
            return;
        }
        let before = std::mem::replace(last, value);
        match &self.row.cells {
            Some(cells) => {
                if let Some(NumberCell::Current(cell)) = &cells.numbers[number] {
                    cell.set(value);
                }
            }
            None => {
                // So that there is a series for the sum.
                let families = &*self.families;
                self.other.get_or_insert_with(|| families.cells(OTHER));
                *slot(&mut self.folded.numbers, number) +=
                    i128::from(whole(value)) - i128::from(whole(before));
            }
        }
    }

    /// Sets how many tasks are in each state. `fill` is given a function that sets
    /// one of them; there are none in the states that it does not set.
    ///
    /// # Errors
    /// Those of `fill`. The states that it has set until then count.
    pub fn set_states<E>(
        &mut self,
        fill: impl FnOnce(&mut dyn FnMut(&str, i64)) -> Result<(), E>,
    ) -> Result<(), E> {
        let before = std::mem::take(&mut self.row.in_state);
        for (total, tasks) in self.in_state.iter_mut().zip(&before) {
            *total -= tasks;
        }
        self.row.in_state.resize(before.len(), 0);
        let filled = fill(&mut |state, tasks| {
            let state = self.state(state);
            *slot(self.in_state, state) += tasks;
            *slot(&mut self.row.in_state, state) += tasks;
        });
        let row = &mut *self.row;
        for (index, &tasks) in row.in_state.iter().enumerate() {
            match &mut row.cells {
                Some(cells) => {
                    let state = &self.states[index];
                    self.families
                        .show_tasks(cells, &row.name, state, index, tasks);
                }
                None => {
                    let before = before.get(index).copied().unwrap_or_default();
                    *slot(&mut self.folded.in_state, index) += tasks - before;
                }
            }
        }
        filled
    }

    /// Sets how often a task of the prefix has come into a state.
    pub fn set_transitions(&mut self, state: &str, times: u64) {
        let index = self.state(state);
        let more = growth(slot(&mut self.row.transitions, index), times);
        if more == 0 {
            return;
        }
        self.row.moved += more;
        let (cells, name) = match &mut self.row.cells {
            Some(cells) => (cells, &*self.row.name),
            None => {
                let families = &*self.families;
                let other = self.other.get_or_insert_with(|| families.cells(OTHER));
                (other, OTHER)
            }
        };
        let Some(StateCounts {
            by_prefix,
            transitions,
            forgotten,
            totals,
        }) = &mut self.families.state_counts
        else {
            return;
        };
        if state == FORGOTTEN_STATE {
            forgotten.inc_by(more);
        }
        while totals.len() <= index {
            let next = &self.states[totals.len()];
            totals.push(series(transitions.with([&**next])));
        }
        totals[index].inc_by(more);
        slot(&mut cells.transitions, index)
            .get_or_insert_with(|| series(by_prefix.with([name, state])))
            .inc_by(more);
    }

    /// Sets everything that goes up and down to 0.
    pub(super) fn clear(&mut self) {
        for (index, number) in NUMBERS.iter().enumerate() {
            if number.kind == NumberKind::Current {
                self.set_number(index, 0.0);
            }
        }
        let Ok(()) = self.set_states(|_| Ok::<_, std::convert::Infallible>(()));
    }

    /// The index of a state. A state that a later Dask has is given the next one.
    fn state(&mut self, state: &str) -> usize {
        if let Some(index) = self.states.iter().position(|known| **known == *state) {
            return index;
        }
        self.states.push(state.into());
        self.in_state.resize(self.states.len(), 0);
        self.states.len() - 1
    }
}

/// How much a number that should only go up has gone up by. All of it if it has
/// started again.
fn growth<N: PartialOrd + Copy + std::ops::Sub<Output = N>>(last: &mut N, now: N) -> N {
    let before = std::mem::replace(last, now);
    if now >= before { now - before } else { now }
}
