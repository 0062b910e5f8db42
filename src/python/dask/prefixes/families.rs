//! The families of task prefixes, and the cells of one prefix.

use super::super::entry::Entry;
use super::super::prefix_numbers::{
    ACTIVITY_BYTES, ACTIVITY_SECONDS, FOLDED, FORGOTTEN, NUMBERS, NumberKind, PREFIX_TASKS,
    PrefixNumber, STATE_TOTALS, TASKS, TRANSITIONS,
};
use super::super::registries::Registries;
use super::{ActivityUnit, FORGOTTEN_STATE, PrefixColumns, slot};
use std::collections::BTreeSet;
use stethoscope::cell::{Counter, FloatCounter, FloatGauge, Gauge};
use stethoscope::{Family, Handle, RegisterError};

/// The families that have a series for each prefix, or a sum over them.
#[derive(Debug)]
pub(super) struct Families {
    /// By the index in `NUMBERS`; `None` if this version of Dask lacks it.
    pub(super) numbers: Vec<Option<NumberFamily>>,
    pub(super) state_counts: Option<StateCounts>,
    pub(super) tasks: Option<(Family<Gauge>, Family<Gauge>)>,
    /// By unit.
    pub(super) activities: Option<[Family<FloatCounter>; 2]>,
    pub(super) folded: Handle<FloatGauge>,
}

#[derive(Debug)]
pub(super) enum NumberFamily {
    Total(Family<FloatCounter>),
    Current(Family<FloatGauge>),
}

#[derive(Debug)]
pub(super) struct StateCounts {
    pub(super) by_prefix: Family<Counter>,
    pub(super) transitions: Family<Counter>,
    pub(super) forgotten: Handle<Counter>,
    /// Cells of `transitions`, by state.
    pub(super) totals: Vec<Handle<Counter>>,
}

/// The cells of one prefix, or of all that are folded.
#[derive(Debug)]
pub(super) struct Cells {
    /// By the index in `NUMBERS`.
    pub(super) numbers: Vec<Option<NumberCell>>,
    /// By state; made when a task first comes into it.
    pub(super) transitions: Vec<Option<Handle<Counter>>>,
    /// Likewise.
    pub(super) in_state: Vec<Option<Handle<Gauge>>>,
    /// The activities that have a series for this prefix.
    pub(super) activities: BTreeSet<(ActivityUnit, usize)>,
}

#[derive(Debug)]
pub(super) enum NumberCell {
    Total(Handle<FloatCounter>),
    Current(Handle<FloatGauge>),
}

impl Families {
    pub(super) fn register(
        registries: &Registries,
        columns: &PrefixColumns,
    ) -> Result<Self, RegisterError> {
        let of = |entry: &Entry| registries.of(entry);
        let number = |(number, known): (&PrefixNumber, &bool)| {
            let entry = &number.entry;
            Ok(match (known, number.kind) {
                (false, _) => None,
                (true, NumberKind::Current) => {
                    Some(NumberFamily::Current(entry.family(of(entry)).register()?))
                }
                (true, _) => Some(NumberFamily::Total(entry.family(of(entry)).register()?)),
            })
        };
        let numbers: Result<Vec<_>, RegisterError> =
            NUMBERS.iter().zip(&columns.numbers).map(number).collect();
        let tasks = columns.states.then(|| {
            let by_prefix = PREFIX_TASKS.family(of(&PREFIX_TASKS)).register()?;
            Ok((TASKS.family(of(&TASKS)).register()?, by_prefix))
        });
        let state_counts = columns
            .state_counts
            .then(|| StateCounts::register(registries));
        let activities = columns.activities.then(|| {
            let bytes = ACTIVITY_BYTES.family(of(&ACTIVITY_BYTES)).register()?;
            let seconds = ACTIVITY_SECONDS.family(of(&ACTIVITY_SECONDS)).register()?;
            Ok([seconds, bytes])
        });
        Ok(Self {
            numbers: numbers?,
            tasks: tasks.transpose()?,
            state_counts: state_counts.transpose()?,
            activities: activities.transpose()?,
            folded: FOLDED.family(of(&FOLDED)).register_single()?,
        })
    }

    pub(super) fn cells(&self, prefix: &str) -> Cells {
        let cell = |family: &Option<NumberFamily>| {
            Some(match family.as_ref()? {
                NumberFamily::Total(family) => NumberCell::Total(series(family.with([prefix]))),
                NumberFamily::Current(family) => NumberCell::Current(series(family.with([prefix]))),
            })
        };
        Cells {
            numbers: self.numbers.iter().map(cell).collect(),
            transitions: Vec::new(),
            in_state: Vec::new(),
            activities: BTreeSet::new(),
        }
    }

    /// Shows how many tasks of a prefix are in a state, if ever one was.
    pub(super) fn show_tasks(
        &self,
        cells: &mut Cells,
        name: &str,
        state: &str,
        index: usize,
        tasks: i64,
    ) {
        let Some((_, by_prefix)) = &self.tasks else {
            return;
        };
        match slot(&mut cells.in_state, index) {
            Some(cell) => cell.set(tasks),
            None if tasks == 0 || state == FORGOTTEN_STATE => {}
            cell @ None => {
                let made = series(by_prefix.with([name, state]));
                made.set(tasks);
                *cell = Some(made);
            }
        }
    }
}

impl StateCounts {
    fn register(registries: &Registries) -> Result<Self, RegisterError> {
        let transitions = TRANSITIONS
            .family::<Counter>(registries.of(&TRANSITIONS))
            .register()?;
        let totals = TRANSITIONS.states.iter();
        Ok(Self {
            by_prefix: STATE_TOTALS
                .family(registries.of(&STATE_TOTALS))
                .register()?,
            totals: totals
                .map(|&state| series(transitions.with([state])))
                .collect(),
            transitions,
            forgotten: FORGOTTEN
                .family(registries.of(&FORGOTTEN))
                .register_single()?,
        })
    }
}

/// The families here have as many labels as are given, and no cap of their own.
pub(super) fn series<C, E: std::fmt::Debug>(found: Result<Handle<C>, E>) -> Handle<C> {
    found.expect("as many values as labels, and no cap on the series")
}
