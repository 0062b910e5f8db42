//! Reads the task prefixes of a scheduler from its objects.
//!
//! Here and in `workers.rs` Rust looks into Dask's objects itself: there may be
//! thousands, and in Python a pass over them takes the event loop five times as
//! long.

use super::convert::{count, number, small_int, value_error, whole};
use crate::dask::{
    self, ActivityUnit, NUMBERS, NumberKind, Place, PrefixColumns, PrefixUpdate, RowId,
    STATE_COUNTS, STATES,
};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};
use std::collections::HashMap;

/// Brings the task prefixes of a scheduler up to date in passes: `begin`, `take`
/// for each slice of them, `finish`.
#[pyclass(module = "stethoscope._native")]
pub(super) struct Prefixes {
    prefixes: dask::Prefixes,
    columns: Vec<Column>,
    /// The attribute that changes whenever a task of the prefix changes its state.
    state_counts: Option<Py<PyString>>,
    /// The prefixes of the pass before, in their order. Each pass has the same
    /// order, but for new ones at the end.
    known: Vec<Known>,
    /// The position of this pass in `known`.
    at: usize,
    /// The activities in the order of Dask's mapping, which keeps its keys.
    activities: Vec<Activity>,
    /// The last values of activities that have lost their position there.
    displaced: HashMap<ActivityKey, f64>,
}

struct Activity {
    /// The key in Dask's mapping.
    key: Py<PyAny>,
    /// `None` for a key that is not an activity.
    parsed: Option<ActivityKey>,
    last: f64,
}

struct Known {
    prefix: Py<PyAny>,
    row: RowId,
    /// The changes of its tasks' states until its columns were taken.
    transitions: Option<i64>,
}

/// An attribute of a task prefix, and what is read from it.
struct Column {
    attribute: Py<PyString>,
    fields: Fields,
}

enum Fields {
    /// Indices in `NUMBERS`, each with its place.
    Numbers(Vec<(usize, &'static Place)>),
    States,
    StateCounts,
}

/// Context, prefix, activity and unit.
type ActivityKey = (String, Option<String>, String, ActivityUnit);

/// A column that could not be read: its attribute, the prefix, and why.
type Failure = (Py<PyString>, Py<PyAny>, PyErr);

impl Fields {
    /// Whether the column changes only when a task changes its state.
    fn change_with_transitions(&self) -> bool {
        match self {
            Self::States | Self::StateCounts => true,
            Self::Numbers(numbers) => numbers
                .iter()
                .all(|(index, _)| NUMBERS[*index].kind != NumberKind::Current),
        }
    }

    fn read(&self, prefix: &mut PrefixUpdate<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        match self {
            Self::Numbers(numbers) => {
                for (index, place) in numbers {
                    let Some(value) = item(value, place.key)? else {
                        continue;
                    };
                    let mut value = number(&value)?;
                    if NUMBERS[*index].kind == NumberKind::Count && value.is_nan() {
                        return Err(PyValueError::new_err("expected a count, got NaN"));
                    }
                    value /= place.per_unit;
                    prefix.set_number(*index, value);
                }
            }
            Self::States => {
                let states = value.cast::<PyDict>()?;
                prefix.set_states(|set| {
                    for (state, tasks) in states {
                        set(state.cast::<PyString>()?.to_str()?, whole(&tasks)?);
                    }
                    PyResult::Ok(())
                })?;
            }
            Self::StateCounts => {
                for (state, times) in value.cast::<PyDict>()? {
                    prefix.set_transitions(state.cast::<PyString>()?.to_str()?, count(&times)?);
                }
            }
        }
        Ok(())
    }

    /// Says that the column of a prefix is not known. Its totals stay as they are.
    fn clear(&self, prefix: &mut PrefixUpdate<'_>) {
        match self {
            Self::Numbers(numbers) => {
                for (index, _) in numbers {
                    prefix.set_number(*index, f64::NAN);
                }
            }
            Self::States => {
                let Ok(()) = prefix.set_states(|_| Ok::<_, std::convert::Infallible>(()));
            }
            Self::StateCounts => {}
        }
    }
}

/// The value itself, or that of a key. `None` if there is no such key.
fn item<'py>(value: &Bound<'py, PyAny>, key: Option<&str>) -> PyResult<Option<Bound<'py, PyAny>>> {
    match key {
        None => Ok(Some(value.clone())),
        Some(key) => value
            .cast::<PyDict>()?
            .get_item(PyString::intern(value.py(), key)),
    }
}

impl Prefixes {
    /// `example` has the attributes that prefixes have: their class, or one of
    /// them.
    pub(super) fn new(
        page: &dask::Page,
        example: &Bound<'_, PyAny>,
        with_activities: bool,
    ) -> PyResult<Self> {
        let py = example.py();
        let mut columns: Vec<Column> = Vec::new();
        let mut column = |attribute: &str, fields: Fields| -> PyResult<bool> {
            let known = example.hasattr(attribute)?;
            if known {
                let attribute = PyString::intern(py, attribute).unbind();
                columns.push(Column { attribute, fields });
            }
            Ok(known)
        };
        // Numbers that are in the same attribute are read from it at once.
        let mut by_attribute: Vec<(&str, Vec<(usize, &'static Place)>)> = Vec::new();
        let mut numbers = Vec::new();
        for (index, number) in NUMBERS.iter().enumerate() {
            let mut known = None;
            for place in number.places {
                if known.is_none() && example.hasattr(place.attribute)? {
                    known = Some(place);
                }
            }
            numbers.push(known.is_some());
            let Some(place) = known else {
                continue;
            };
            let same = by_attribute.iter_mut().find(|(a, _)| *a == place.attribute);
            match same {
                Some((_, fields)) => fields.push((index, place)),
                None => by_attribute.push((place.attribute, vec![(index, place)])),
            }
        }
        for (attribute, fields) in by_attribute {
            column(attribute, Fields::Numbers(fields))?;
        }
        let columns_known = PrefixColumns {
            numbers,
            states: column(STATES, Fields::States)?,
            state_counts: column(STATE_COUNTS, Fields::StateCounts)?,
            activities: with_activities,
        };
        let state_counts = columns_known
            .state_counts
            .then(|| PyString::intern(py, STATE_COUNTS).unbind());
        Ok(Self {
            prefixes: page.prefixes(&columns_known).map_err(value_error)?,
            columns,
            state_counts,
            known: Vec::new(),
            at: 0,
            activities: Vec::new(),
            displaced: HashMap::new(),
        })
    }

    fn take_one(&mut self, prefix: &Bound<'_, PyAny>, failures: &mut Vec<Failure>) {
        let transitions = self.transitions(prefix);
        let (row, unchanged) = match self.known.get(self.at) {
            Some(known) if known.prefix.is(prefix) => (
                known.row,
                transitions.is_some() && transitions == known.transitions,
            ),
            _ => match self.register(prefix) {
                Ok(row) => (row, false),
                Err(error) => {
                    let attribute = intern!(prefix.py(), "name").clone();
                    failures.push((attribute.unbind(), prefix.clone().unbind(), error));
                    return;
                }
            },
        };
        self.prefixes.keep(row);
        let failed_before = failures.len();
        for Column { attribute, fields } in &self.columns {
            if unchanged && fields.change_with_transitions() {
                continue;
            }
            let mut update = self.prefixes.update(row);
            let value = prefix.getattr(attribute);
            if let Err(error) = value.and_then(|value| fields.read(&mut update, &value)) {
                fields.clear(&mut update);
                let attribute = attribute.clone_ref(prefix.py());
                failures.push((attribute, prefix.clone().unbind(), error));
            }
        }
        if !unchanged {
            let all_read = failures.len() == failed_before;
            self.known[self.at].transitions = transitions.filter(|_| all_read);
        }
        self.at += 1;
    }

    /// Finds a prefix that was not at this position in the pass before.
    fn register(&mut self, prefix: &Bound<'_, PyAny>) -> PyResult<RowId> {
        let name = prefix.getattr(intern!(prefix.py(), "name"))?;
        let row = self.prefixes.find(name.cast::<PyString>()?.to_str()?);
        self.known.truncate(self.at);
        self.known.push(Known {
            prefix: prefix.clone().unbind(),
            row,
            transitions: None,
        });
        Ok(row)
    }

    /// Adds up how often tasks of this prefix have changed their states. `None`
    /// unless the prefix tells it in ints.
    fn transitions(&self, prefix: &Bound<'_, PyAny>) -> Option<i64> {
        let attribute = self.state_counts.as_ref()?;
        let counts = prefix.getattr(attribute.bind(prefix.py())).ok()?;
        let mut transitions = 0i64;
        for (_, times) in counts.cast::<PyDict>().ok()? {
            transitions = transitions.wrapping_add(small_int(&times)?);
        }
        Some(transitions)
    }
}

#[pymethods]
impl Prefixes {
    /// Begins a pass over all prefixes. If the one before was not finished, it
    /// has forgotten none.
    fn begin(&mut self) {
        self.prefixes.begin();
        self.at = 0;
    }

    /// Takes some of them. Returns the failures: the attribute, the prefix and
    /// the exception of each.
    fn take<'py>(&mut self, prefixes: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyTuple>> {
        let mut failures = Vec::new();
        for prefix in prefixes {
            self.take_one(&prefix, &mut failures);
        }
        PyTuple::new(prefixes.py(), failures)
    }

    /// Ends the pass. Prefixes that were not in it are forgotten.
    fn finish(&mut self) {
        self.known.truncate(self.at);
        if self.prefixes.finish() {
            self.known.clear();
        }
    }

    /// Takes some items of the scheduler's `cumulative_worker_metrics`, of which
    /// `before` others come first. Keys that are not activities, or whose unit is
    /// another one, are skipped.
    fn take_activities(&mut self, items: &Bound<'_, PyList>, before: usize) -> PyResult<()> {
        for (index, item) in items.iter().enumerate() {
            let item = item.cast::<PyTuple>()?;
            let (key, value) = (item.get_borrowed_item(0)?, item.get_borrowed_item(1)?);
            self.find_activity(before + index, &key);
            let Activity { parsed, last, .. } = &mut self.activities[before + index];
            let Some((context, prefix, activity, unit)) = parsed else {
                continue;
            };
            let value = number(&value)?;
            let more = if value >= *last { value - *last } else { value };
            if more > 0.0 && more.is_finite() {
                *last = value;
                self.prefixes
                    .add_activity(context, prefix.as_deref(), activity, *unit, more);
            }
        }
        Ok(())
    }
}

impl Prefixes {
    /// Sees to it that the activity at this position is that of `key`.
    fn find_activity(&mut self, at: usize, key: &Bound<'_, PyAny>) {
        if self
            .activities
            .get(at)
            .is_some_and(|known| known.key.is(key))
        {
            return;
        }
        for moved in self.activities.drain(at.min(self.activities.len())..) {
            if let Some(parsed) = moved.parsed {
                self.displaced.insert(parsed, moved.last);
            }
        }
        let parsed = activity_key(key);
        let last = parsed.as_ref().and_then(|key| self.displaced.remove(key));
        self.activities.push(Activity {
            key: key.clone().unbind(),
            parsed,
            last: last.unwrap_or_default(),
        });
    }
}

/// Reads `(context, prefix, activity, unit)` or `(context, activity, unit)`.
fn activity_key(key: &Bound<'_, PyAny>) -> Option<ActivityKey> {
    let key = key.cast::<PyTuple>().ok()?;
    let text = |index| -> Option<String> { key.get_item(index).ok()?.extract().ok() };
    let last = key.len().checked_sub(1)?;
    let prefix = match key.len() {
        3 => None,
        4 => Some(text(1)?),
        _ => return None,
    };
    let unit = match &*text(last)? {
        "seconds" => ActivityUnit::Seconds,
        "bytes" => ActivityUnit::Bytes,
        _ => return None,
    };
    Some((text(0)?, prefix, text(last - 1)?, unit))
}
