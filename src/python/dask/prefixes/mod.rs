//! The task prefixes of a scheduler, brought up to date in passes.
//!
//! A pass visits every prefix. It may be taken in slices, with the event loop
//! let go between them.
//!
//! There may be any number of prefixes, and a page must not grow without end: at
//! most `max_task_prefixes` have series of their own, and the others are added up
//! as the prefix `other`. A prefix that the scheduler has forgotten keeps its
//! series until another needs the room; if too many prefixes are in use, the
//! busiest have it. When a prefix gives its series back, their counts are added to
//! `other`: a page that is written at this moment may lack them or have them twice,
//! the next one is right. Totals never decrease, even though the scheduler's own do when it is
//! restarted.
//!
//! Of thousands of prefixes few change between two passes. Sums are kept from pass
//! to pass, so that the others need only be [kept](Prefixes::keep).

mod families;
mod update;

pub use update::PrefixUpdate;

use super::prefix_numbers::{NUMBERS, TASKS};
use super::registries::Registries;
use families::{Cells, Families, NumberCell, NumberFamily, StateCounts, series};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use stethoscope::RegisterError;

/// The prefix that stands for those without series of their own.
const OTHER: &str = "other";

/// The state of a task that the scheduler no longer knows.
const FORGOTTEN_STATE: &str = "forgotten";

/// How often busy prefixes take the place of idle ones.
const REBALANCE: Duration = Duration::from_secs(10);

/// How many prefixes change places at most, each time.
const MAX_SWAPS: usize = 16;

/// Activities that have series of their own, for each context. Users can define
/// any number; the others are added up as `other`.
const MAX_ACTIVITIES: usize = 100;

/// The attributes of task prefixes that a version of Dask has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixColumns {
    /// For each of [`NUMBERS`], whether it is known.
    pub numbers: Vec<bool>,
    /// Whether the number of tasks in each state is known.
    pub states: bool,
    /// Whether it is known how often a task came into each state.
    pub state_counts: bool,
    /// Whether the activities of the workers are known.
    pub activities: bool,
}

impl PrefixColumns {
    /// Every attribute there is.
    pub fn all() -> Self {
        Self {
            numbers: vec![true; NUMBERS.len()],
            states: true,
            state_counts: true,
            activities: true,
        }
    }
}

/// The unit of an activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ActivityUnit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// The families of all prefixes.
#[derive(Debug)]
pub struct Prefixes {
    cap: usize,
    /// The states in the order in which they were met.
    states: Vec<Box<str>>,
    families: Families,
    rows: Vec<Row>,
    by_name: HashMap<Box<str>, RowId>,
    shown: usize,
    other: Option<Cells>,
    /// Counts the passes.
    pass: u64,
    /// Tasks by state, over all prefixes.
    in_state: Vec<i64>,
    folded: Sums,
    /// Contexts and activities.
    activities: Vec<(Box<str>, Box<str>)>,
    rebalanced_at: Instant,
}

/// A prefix among those that are known. Valid until [`Prefixes::finish`] returns
/// true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowId(usize);

/// The sums over the prefixes without series of their own.
#[derive(Debug, Default)]
struct Sums {
    /// For each of `NUMBERS` that goes up and down. In whole numbers, so that what
    /// is subtracted again leaves no trace.
    numbers: Vec<i128>,
    in_state: Vec<i64>,
}

/// The last known numbers of a prefix.
#[derive(Debug, Default)]
struct Row {
    name: Box<str>,
    /// `None` if it is folded into `other`.
    cells: Option<Cells>,
    pass: u64,
    /// By the index in `NUMBERS`.
    numbers: Vec<f64>,
    in_state: Vec<i64>,
    transitions: Vec<u64>,
    /// Transitions since the last rebalancing, and the average of those before.
    moved: u64,
    busy: f64,
}

/// Returns the element at `index`; the list grows if it is too short.
fn slot<T: Default>(list: &mut Vec<T>, index: usize) -> &mut T {
    if list.len() <= index {
        list.resize_with(index + 1, T::default);
    }
    &mut list[index]
}

/// A whole number, as near as there is one.
fn whole(value: f64) -> i64 {
    value as i64
}

impl Prefixes {
    pub(super) fn register(
        registries: &Registries,
        columns: &PrefixColumns,
        cap: usize,
    ) -> Result<Self, RegisterError> {
        Ok(Self {
            cap,
            states: TASKS.states.iter().map(|&state| state.into()).collect(),
            families: Families::register(registries, columns)?,
            rows: Vec::new(),
            by_name: HashMap::new(),
            shown: 0,
            other: None,
            pass: 0,
            in_state: vec![0; TASKS.states.len()],
            folded: Sums::default(),
            activities: Vec::new(),
            rebalanced_at: Instant::now(),
        })
    }

    /// Begins a pass over all prefixes. If the one before was not
    /// [finished](Self::finish), its updates count, and it has forgotten none.
    pub fn begin(&mut self) {
        self.pass += 1;
    }

    /// Finds the prefix of this name, which is known from now on.
    pub fn find(&mut self, name: &str) -> RowId {
        if let Some(&known) = self.by_name.get(name) {
            return known;
        }
        let mut row = Row {
            name: name.into(),
            ..Row::default()
        };
        if self.shown < self.cap && name != OTHER {
            row.cells = Some(self.families.cells(name));
            self.shown += 1;
        }
        let id = RowId(self.rows.len());
        self.rows.push(row);
        self.by_name.insert(name.into(), id);
        id
    }

    /// Leaves the values of a prefix as they were in the pass before.
    pub fn keep(&mut self, prefix: RowId) {
        self.rows[prefix.0].pass = self.pass;
    }

    /// Starts updating a prefix. Fields that are not set keep their values.
    pub fn update(&mut self, prefix: RowId) -> PrefixUpdate<'_> {
        let row = &mut self.rows[prefix.0];
        row.pass = self.pass;
        PrefixUpdate {
            states: &mut self.states,
            families: &mut self.families,
            row,
            other: &mut self.other,
            in_state: &mut self.in_state,
            folded: &mut self.folded,
        }
    }

    /// Adds to an activity of the workers: how many seconds or bytes it has taken
    /// more, for the tasks of a prefix if it is theirs.
    pub fn add_activity(
        &mut self,
        context: &str,
        prefix: Option<&str>,
        activity: &str,
        unit: ActivityUnit,
        more: f64,
    ) {
        let Some(families) = &self.families.activities else {
            return;
        };
        let index = activity_index(&mut self.activities, context, activity);
        let (context, activity) = &self.activities[index];
        let family = &families[unit as usize];
        let label = match prefix {
            None => "",
            Some(name) => {
                let row = self.by_name.get(name).map(|id| &mut self.rows[id.0]);
                match row.and_then(|row| row.cells.as_mut()) {
                    Some(cells) => {
                        cells.activities.insert((unit, index));
                        name
                    }
                    None => OTHER,
                }
            }
        };
        let cell = family.with([&**context, label, &**activity]);
        series(cell).inc_by(more);
    }

    /// Ends a pass: shows the sums, and shares out the series.
    ///
    /// Returns true if prefixes were forgotten. Then every [`RowId`] is void.
    pub fn finish(&mut self) -> bool {
        self.finish_at(Instant::now())
    }

    /// [`finish`](Self::finish), at this instant.
    pub fn finish_at(&mut self, now: Instant) -> bool {
        self.clear_missing();
        let forgotten = self.share_out(now);
        self.show_sums();
        forgotten
    }

    /// Prefixes that were not in the pass have no tasks.
    fn clear_missing(&mut self) {
        let pass = self.pass;
        for index in 0..self.rows.len() {
            if self.rows[index].pass == pass {
                continue;
            }
            let last_seen = self.rows[index].pass;
            self.update(RowId(index)).clear();
            let row = &mut self.rows[index];
            // The scheduler counts from 0 if it meets the prefix again.
            *row = Row {
                name: std::mem::take(&mut row.name),
                cells: row.cells.take(),
                pass: last_seen,
                ..Row::default()
            };
        }
    }

    fn is_missing(&self, row: &Row) -> bool {
        row.pass != self.pass
    }

    /// Forgets missing prefixes that have no series, and gives the series of
    /// missing or idle ones to those that need them more.
    fn share_out(&mut self, now: Instant) -> bool {
        let mut waiting: Vec<usize> = (0..self.rows.len())
            .filter(|&index| {
                let row = &self.rows[index];
                row.cells.is_none() && !self.is_missing(row) && *row.name != *OTHER
            })
            .collect();
        let is_due = now.saturating_duration_since(self.rebalanced_at) >= REBALANCE;
        if is_due {
            self.rebalanced_at = now;
            for row in &mut self.rows {
                row.busy = row.busy / 2.0 + std::mem::take(&mut row.moved) as f64;
            }
        }
        if self.cap > 0 && !waiting.is_empty() {
            // The busiest last.
            let busy = |rows: &[Row], index: usize| rows[index].busy + rows[index].moved as f64;
            let rows = &self.rows;
            waiting.sort_by(|&a, &b| busy(rows, a).total_cmp(&busy(rows, b)).then(b.cmp(&a)));
            let mut missing: Vec<usize> = (0..self.rows.len())
                .filter(|&index| {
                    self.rows[index].cells.is_some() && self.is_missing(&self.rows[index])
                })
                .collect();
            missing.sort_by_key(|&index| self.rows[index].pass);
            let wanted = waiting.len().saturating_sub(self.cap - self.shown);
            for index in missing.into_iter().take(wanted) {
                self.fold(index);
            }
            while self.shown < self.cap
                && let Some(index) = waiting.pop()
            {
                self.unfold(index);
            }
            if is_due {
                self.swap_idle_for_busy(waiting);
            }
        }
        self.forget()
    }

    /// Gives the series of the idlest prefixes to the busiest without, if they are
    /// clearly busier.
    fn swap_idle_for_busy(&mut self, mut waiting: Vec<usize>) {
        let mut idlest: Vec<usize> = (0..self.rows.len())
            .filter(|&index| self.rows[index].cells.is_some())
            .collect();
        idlest.sort_by(|&a, &b| self.rows[a].busy.total_cmp(&self.rows[b].busy));
        for idle in idlest.into_iter().take(MAX_SWAPS) {
            let Some(busy) = waiting.pop() else {
                return;
            };
            if self.rows[busy].busy < 2.0 * self.rows[idle].busy + 10.0 {
                return;
            }
            self.fold(idle);
            self.unfold(busy);
        }
    }

    /// Takes the series of a prefix off the page, and adds what they counted to
    /// `other`.
    fn fold(&mut self, index: usize) {
        let row = &mut self.rows[index];
        let Some(cells) = row.cells.take() else {
            return;
        };
        self.shown -= 1;
        let name = &*row.name;
        let families = &self.families;
        let other = self.other.get_or_insert_with(|| families.cells(OTHER));
        for (number, cell) in cells.numbers.iter().enumerate() {
            match (cell, &families.numbers[number], &other.numbers[number]) {
                (
                    Some(NumberCell::Total(cell)),
                    Some(NumberFamily::Total(family)),
                    Some(NumberCell::Total(other)),
                ) => {
                    family.remove([name]);
                    other.inc_by(cell.get());
                }
                (Some(NumberCell::Current(_)), Some(NumberFamily::Current(family)), _) => {
                    family.remove([name]);
                    let value = row.numbers.get(number).copied().unwrap_or_default();
                    *slot(&mut self.folded.numbers, number) += i128::from(whole(value));
                }
                _ => {}
            }
        }
        if let Some(StateCounts { by_prefix, .. }) = &families.state_counts {
            for (state, cell) in self.states.iter().zip(&cells.transitions) {
                if let Some(cell) = cell {
                    by_prefix.remove([name, &**state]);
                    series(by_prefix.with([OTHER, &**state])).inc_by(cell.get());
                }
            }
        }
        if let Some((_, by_prefix)) = &families.tasks {
            for (index, state) in self.states.iter().enumerate() {
                if cells.in_state.get(index).is_some_and(Option::is_some) {
                    by_prefix.remove([name, &**state]);
                }
                let tasks = row.in_state.get(index).copied().unwrap_or_default();
                *slot(&mut self.folded.in_state, index) += tasks;
            }
        }
        for (unit, index) in &cells.activities {
            if let Some(families) = &families.activities {
                let family = &families[*unit as usize];
                let (context, activity) = &self.activities[*index];
                let own = [&**context, name, &**activity];
                let counted = family.get(own).map_or(0.0, |cell| cell.get());
                family.remove(own);
                series(family.with([&**context, OTHER, &**activity])).inc_by(counted);
            }
        }
    }

    /// Gives a prefix series of its own, which count from now on.
    fn unfold(&mut self, index: usize) {
        let row = &mut self.rows[index];
        let mut cells = self.families.cells(&row.name);
        self.shown += 1;
        for (number, cell) in cells.numbers.iter().enumerate() {
            if let Some(NumberCell::Current(cell)) = cell {
                let value = row.numbers.get(number).copied().unwrap_or_default();
                cell.set(value);
                *slot(&mut self.folded.numbers, number) -= i128::from(whole(value));
            }
        }
        for (index, &tasks) in row.in_state.iter().enumerate() {
            *slot(&mut self.folded.in_state, index) -= tasks;
            self.families
                .show_tasks(&mut cells, &row.name, &self.states[index], index, tasks);
        }
        row.cells = Some(cells);
    }

    /// Forgets the missing prefixes that have no series.
    fn forget(&mut self) -> bool {
        let pass = self.pass;
        let is_gone = |row: &Row| row.pass != pass && row.cells.is_none();
        if !self.rows.iter().any(is_gone) {
            return false;
        }
        self.rows.retain(|row| !is_gone(row));
        let names = self.rows.iter().map(|row| row.name.clone());
        self.by_name = names.zip((0..).map(RowId)).collect();
        true
    }

    fn show_sums(&mut self) {
        if let Some((in_all, _)) = &self.families.tasks {
            for (state, tasks) in self.states.iter().zip(&self.in_state) {
                if &**state != FORGOTTEN_STATE {
                    series(in_all.with([&**state])).set(*tasks);
                }
            }
        }
        if let Some(other) = &mut self.other {
            for (number, cell) in other.numbers.iter().enumerate() {
                if let Some(NumberCell::Current(cell)) = cell {
                    let sum = self.folded.numbers.get(number).copied();
                    cell.set(sum.unwrap_or_default() as f64);
                }
            }
            for (index, &tasks) in self.folded.in_state.iter().enumerate() {
                self.families
                    .show_tasks(other, OTHER, &self.states[index], index, tasks);
            }
        }
        let named_other = self.by_name.contains_key(OTHER);
        let folded = self.rows.len() - self.shown - usize::from(named_other);
        self.families.folded.set(folded as f64);
    }
}

fn activity_index(
    activities: &mut Vec<(Box<str>, Box<str>)>,
    context: &str,
    activity: &str,
) -> usize {
    let position = |all: &[(Box<str>, Box<str>)], activity: &str| {
        all.iter()
            .position(|(c, a)| **c == *context && **a == *activity)
    };
    if let Some(index) = position(activities, activity) {
        return index;
    }
    let of_context = activities.iter().filter(|(c, _)| **c == *context).count();
    let activity = match of_context < MAX_ACTIVITIES {
        true => activity,
        false => OTHER,
    };
    position(activities, activity).unwrap_or_else(|| {
        activities.push((context.into(), activity.into()));
        activities.len() - 1
    })
}
