//! What the scheduler knows of its tasks, prefix by prefix: in a pass over all
//! prefixes that may be taken in slices, with the event loop let go between
//! them.
//!
//! There may be any number of prefixes, and a page must not grow without end:
//! the first `max_task_prefixes` have series of their own, the others are added
//! up in series of the prefix `other`. What is added up over all prefixes does
//! not depend on that. A total neither falls nor goes, though the scheduler's own
//! numbers do when the cluster is restarted: it forgets every prefix then.
//!
//! Of thousands of prefixes few change between two passes. What is added up is
//! kept from pass to pass, so that the others need only be
//! [kept](Prefixes::keep).

use super::catalogue::Entry;
use super::registries::Places;
use super::scheduler::{
    COMPUTE, FOLDED, FORGOTTEN, OUTPUT, STATE_TOTALS, SUSPICIOUS, TASKS, TRANSFER, TRANSITIONS,
};
use std::collections::HashMap;
use stethoscope::cell::{Counter, FloatCounter, FloatGauge, Gauge};
use stethoscope::{Family, Handle, RegisterError};

/// The prefix that stands for those beyond the cap.
const OTHER: &str = "other";

/// A state that is no longer one at the scheduler.
const FORGOTTEN_STATE: &str = "forgotten";

/// One thing that is known of each prefix. A version of Dask that lacks one
/// lacks the families that rest on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Column {
    /// How often its tasks were marked suspicious.
    Suspicious,
    /// Bytes of its results that are in memory.
    Output,
    /// Seconds spent on computing and on transfers.
    Durations,
    /// How many of its tasks are in each state.
    States,
    /// How often a task of it came into each state.
    StateCounts,
}

impl Column {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Suspicious,
        Self::Output,
        Self::Durations,
        Self::States,
        Self::StateCounts,
    ];
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
    /// Tasks by state, and the output of the prefixes beyond the cap.
    in_state: Vec<i64>,
    other_output: i128,
}

/// A prefix among those that are known; until [`Prefixes::finish`] forgets some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowId(usize);

#[derive(Debug)]
struct Families {
    suspicious: Option<Family<Counter>>,
    output: Option<Family<FloatGauge>>,
    durations: Option<(Family<FloatCounter>, Family<FloatCounter>)>,
    state_counts: Option<StateCounts>,
    tasks: Option<Family<Gauge>>,
    folded: Handle<FloatGauge>,
}

#[derive(Debug)]
struct StateCounts {
    by_prefix: Family<Counter>,
    transitions: Family<Counter>,
    forgotten: Handle<Counter>,
    /// Cells of `transitions`, by state.
    totals: Vec<Handle<Counter>>,
}

/// The cells of one prefix, or of all beyond the cap.
#[derive(Debug)]
struct Cells {
    suspicious: Option<Handle<Counter>>,
    output: Option<Handle<FloatGauge>>,
    durations: Option<(Handle<FloatCounter>, Handle<FloatCounter>)>,
    /// By state; made when a task first comes into it.
    states: Vec<Option<Handle<Counter>>>,
}

/// What was last known of a prefix.
#[derive(Debug, Default)]
struct Row {
    name: Box<str>,
    /// None beyond the cap.
    cells: Option<Cells>,
    pass: u64,
    suspicious: u64,
    compute: f64,
    transfer: f64,
    /// Beyond the cap: what is in the sum.
    output: i64,
    in_state: Vec<i64>,
    came_into: Vec<u64>,
}

/// What a number that should only grow has grown by; all of it where it has
/// begun anew.
fn growth<N: PartialOrd + Copy + std::ops::Sub<Output = N>>(last: &mut N, now: N) -> N {
    let before = std::mem::replace(last, now);
    if now >= before { now - before } else { now }
}

/// The place of `index`, made if there is none so far out.
fn slot<T: Clone + Default>(places: &mut Vec<T>, index: usize) -> &mut T {
    if places.len() <= index {
        places.resize(index + 1, T::default());
    }
    &mut places[index]
}

/// A prefix whose values are being taken.
#[derive(Debug)]
pub struct Taking<'p> {
    states: &'p mut Vec<Box<str>>,
    families: &'p mut Families,
    row: &'p mut Row,
    other: &'p mut Option<Cells>,
    in_state: &'p mut Vec<i64>,
    other_output: &'p mut i128,
}

impl Prefixes {
    pub(super) fn register(
        places: &Places,
        columns: &[Column],
        cap: usize,
    ) -> Result<Self, RegisterError> {
        let has = |column| columns.contains(&column);
        let tasks = has(Column::States)
            .then(|| TASKS.family::<Gauge>(places.of(&TASKS)).register())
            .transpose()?;
        let state_counts = has(Column::StateCounts)
            .then(|| StateCounts::register(places))
            .transpose()?;
        let counter = |entry: &Entry| entry.family::<Counter>(places.of(entry)).register();
        let seconds = |entry: &Entry| entry.family::<FloatCounter>(places.of(entry)).register();
        let suspicious = has(Column::Suspicious).then(|| counter(&SUSPICIOUS));
        let durations =
            has(Column::Durations).then(|| Ok((seconds(&COMPUTE)?, seconds(&TRANSFER)?)));
        let output = has(Column::Output)
            .then(|| OUTPUT.family::<FloatGauge>(places.of(&OUTPUT)).register())
            .transpose()?;
        Ok(Self {
            cap,
            states: TASKS.states.iter().map(|&state| state.into()).collect(),
            families: Families {
                suspicious: suspicious.transpose()?,
                output,
                durations: durations.transpose()?,
                state_counts,
                tasks,
                folded: FOLDED.family(places.of(&FOLDED)).register_single()?,
            },
            rows: Vec::new(),
            by_name: HashMap::new(),
            shown: 0,
            other: None,
            pass: 0,
            in_state: vec![0; TASKS.states.len()],
            other_output: 0,
        })
    }

    /// Begins a pass over all prefixes. Where the one before has not been
    /// [finished](Self::finish), what it took counts, and it has forgotten none.
    pub fn begin(&mut self) {
        self.pass += 1;
    }

    /// The prefix of this name, known from now on.
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

    /// Begins to take the values of a prefix; what is not taken stays as it was.
    pub fn take(&mut self, prefix: RowId) -> Taking<'_> {
        let row = &mut self.rows[prefix.0];
        row.pass = self.pass;
        Taking {
            states: &mut self.states,
            families: &mut self.families,
            row,
            other: &mut self.other,
            in_state: &mut self.in_state,
            other_output: &mut self.other_output,
        }
    }

    /// Ends a pass: shows what was added up. Prefixes that were not in it keep
    /// their series and totals; those beyond the cap are forgotten. Whether there
    /// were such: each [`RowId`] is void then.
    pub fn finish(&mut self) -> bool {
        let forgotten = self.forget();
        if let Some(family) = &self.families.tasks {
            for (state, tasks) in self.states.iter().zip(&self.in_state) {
                if &**state != FORGOTTEN_STATE {
                    series(family.with([&**state])).set(*tasks);
                }
            }
        }
        if let Some(Cells {
            output: Some(output),
            ..
        }) = &self.other
        {
            output.set(self.other_output as f64);
        }
        let named_other = usize::from(self.by_name.contains_key(OTHER));
        let folded = self.rows.len() - self.shown - named_other;
        self.families.folded.set(folded as f64);
        forgotten
    }

    fn forget(&mut self) -> bool {
        let pass = self.pass;
        for row in self.rows.iter_mut().filter(|row| row.pass != pass) {
            for (total, tasks) in self.in_state.iter_mut().zip(&row.in_state) {
                *total -= tasks;
            }
            match &row.cells {
                Some(cells) => cells.output.iter().for_each(|cell| cell.set(0.0)),
                None => self.other_output -= i128::from(row.output),
            }
            // Should it come again, the scheduler counts from 0.
            *row = Row {
                name: std::mem::take(&mut row.name),
                cells: row.cells.take(),
                pass: row.pass,
                ..Row::default()
            };
        }
        let gone = |row: &Row| row.pass != pass && row.cells.is_none();
        if !self.rows.iter().any(gone) {
            return false;
        }
        self.rows.retain(|row| !gone(row));
        let names = self.rows.iter().map(|row| row.name.clone());
        self.by_name = names.zip((0..).map(RowId)).collect();
        true
    }
}

/// The families here have as many labels as are given, and no cap of their own.
fn series<C, E: std::fmt::Debug>(found: Result<Handle<C>, E>) -> Handle<C> {
    found.expect("as many values as labels, and no cap on the series")
}

impl Families {
    fn cells(&self, prefix: &str) -> Cells {
        Cells {
            suspicious: self.suspicious.as_ref().map(|f| series(f.with([prefix]))),
            output: self.output.as_ref().map(|f| series(f.with([prefix]))),
            durations: self.durations.as_ref().map(|(compute, transfer)| {
                (
                    series(compute.with([prefix])),
                    series(transfer.with([prefix])),
                )
            }),
            states: Vec::new(),
        }
    }
}

impl StateCounts {
    fn register(places: &Places) -> Result<Self, RegisterError> {
        let transitions = TRANSITIONS
            .family::<Counter>(places.of(&TRANSITIONS))
            .register()?;
        let totals = TRANSITIONS.states.iter();
        Ok(Self {
            by_prefix: STATE_TOTALS.family(places.of(&STATE_TOTALS)).register()?,
            totals: totals
                .map(|&state| series(transitions.with([state])))
                .collect(),
            transitions,
            forgotten: FORGOTTEN.family(places.of(&FORGOTTEN)).register_single()?,
        })
    }
}

impl Taking<'_> {
    /// How often tasks of it were marked suspicious.
    pub fn suspicious(&mut self, times: u64) {
        let more = growth(&mut self.row.suspicious, times);
        if let Some(cell) = &self.cells().suspicious {
            cell.inc_by(more);
        }
    }

    /// Seconds spent on computing its tasks.
    pub fn compute(&mut self, seconds: f64) {
        let more = growth(&mut self.row.compute, seconds);
        if let Some((compute, _)) = &self.cells().durations {
            compute.inc_by(more);
        }
    }

    /// Seconds spent on transferring what its tasks need.
    pub fn transfer(&mut self, seconds: f64) {
        let more = growth(&mut self.row.transfer, seconds);
        if let Some((_, transfer)) = &self.cells().durations {
            transfer.inc_by(more);
        }
    }

    /// Bytes of its results in memory: any number, for Dask takes whatever a
    /// result is said to measure; NaN where it is not known. Beyond the cap, whole
    /// bytes are added up, and of what is no number none.
    pub fn output(&mut self, bytes: f64) {
        match &self.row.cells {
            Some(cells) => {
                if let Some(cell) = &cells.output {
                    cell.set(bytes);
                }
            }
            None => {
                // There to be set at the end of the pass.
                self.cells();
                // In whole numbers, so that what is taken off again leaves no trace.
                let whole = bytes as i64;
                *self.other_output += i128::from(whole) - i128::from(self.row.output);
                self.row.output = whole;
            }
        }
    }

    /// How many of its tasks are in which state: `fill` is given a function that
    /// says it of one. There are none in the others. Fails as `fill` does, and then
    /// those count that it has said.
    pub fn now_in<E>(
        &mut self,
        fill: impl FnOnce(&mut dyn FnMut(&str, i64)) -> Result<(), E>,
    ) -> Result<(), E> {
        for (total, tasks) in self.in_state.iter_mut().zip(&mut self.row.in_state) {
            *total -= std::mem::take(tasks);
        }
        fill(&mut |state, tasks| {
            let state = self.state(state);
            self.in_state[state] += tasks;
            *slot(&mut self.row.in_state, state) += tasks;
        })
    }

    /// How often a task of it came into this state.
    pub fn came_into(&mut self, state: &str, times: u64) {
        let index = self.state(state);
        let more = growth(slot(&mut self.row.came_into, index), times);
        if more == 0 {
            return;
        }
        let (cells, name) = match &mut self.row.cells {
            Some(cells) => (cells, &*self.row.name),
            None => {
                let other = self.other.get_or_insert_with(|| self.families.cells(OTHER));
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
        slot(&mut cells.states, index)
            .get_or_insert_with(|| series(by_prefix.with([name, state])))
            .inc_by(more);
    }

    /// Its own cells, or those of all beyond the cap.
    fn cells(&mut self) -> &Cells {
        match &self.row.cells {
            Some(cells) => cells,
            None => self.other.get_or_insert_with(|| self.families.cells(OTHER)),
        }
    }

    /// The place of a state. One that a later Dask has is given the next.
    fn state(&mut self, state: &str) -> usize {
        if let Some(index) = self.states.iter().position(|known| **known == *state) {
            return index;
        }
        self.states.push(state.into());
        self.in_state.push(0);
        self.states.len() - 1
    }
}
