//! What a scheduler knows of its tasks, from its objects.
//!
//! The one place in Rust that looks into Dask's objects, since there may be
//! thousands, and in Python a pass over them takes the event loop five times as
//! long. Which attributes there are, Python says.

use super::convert::value_error;
use crate::dask::{self, Column, RowId, Taking};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyList, PyString, PyTuple};
use std::convert::Infallible;

/// Takes the task prefixes of a scheduler in passes: `begin`, `take` for each
/// slice of them, `finish`.
#[pyclass(module = "stethoscope._native")]
pub(super) struct Prefixes {
    prefixes: dask::Prefixes,
    columns: Vec<(Field, Py<PyString>)>,
    /// One of them: the attribute that tells whether the others may have changed.
    state_counts: Option<Py<PyString>>,
    /// Those of the pass before, in the order in which they came, which is the
    /// same in each pass but for the new ones at the end.
    known: Vec<Known>,
    /// Where in `known` this pass is.
    at: usize,
}

struct Known {
    prefix: Py<PyAny>,
    row: RowId,
    /// How often its tasks had moved from state to state when all was taken that
    /// changes with it.
    moves: Option<i64>,
}

/// A field of a prefix that could not be taken: its attribute, the prefix, and why.
type Failure = (Py<PyString>, Py<PyAny>, PyErr);

/// What an attribute of a prefix is.
#[derive(Clone, Copy, PartialEq)]
enum Field {
    Suspicious,
    Output,
    /// A dict from actions to times, and what part of a second the times count.
    Durations(f64),
    States,
    StateCounts,
}

impl Field {
    fn named(name: &str) -> PyResult<Self> {
        Ok(match name {
            "suspicious" => Self::Suspicious,
            "output" => Self::Output,
            "seconds" => Self::Durations(1.0),
            "microseconds" => Self::Durations(1e6),
            "states" => Self::States,
            "state_counts" => Self::StateCounts,
            other => {
                let error = format!("nothing is known of prefixes as {other:?}");
                return Err(PyValueError::new_err(error));
            }
        })
    }

    fn column(self) -> Column {
        match self {
            Self::Suspicious => Column::Suspicious,
            Self::Output => Column::Output,
            Self::Durations(_) => Column::Durations,
            Self::States => Column::States,
            Self::StateCounts => Column::StateCounts,
        }
    }

    /// Whether it changes only when a task moves from state to state, and so
    /// never without `StateCounts`.
    fn changes_with_moves(self) -> bool {
        self != Self::Output
    }

    fn take(self, prefix: &mut Taking<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        match self {
            Self::Suspicious => prefix.suspicious(count(value)?),
            Self::Output => prefix.output(number(value)?),
            Self::Durations(parts) => {
                let py = value.py();
                let times = value.cast::<PyDict>()?;
                if let Some(time) = times.get_item(intern!(py, "compute"))? {
                    prefix.compute(number(&time)? / parts);
                }
                if let Some(time) = times.get_item(intern!(py, "transfer"))? {
                    prefix.transfer(number(&time)? / parts);
                }
            }
            Self::States => {
                let states = value.cast::<PyDict>()?;
                prefix.now_in(|set| {
                    for (state, tasks) in states {
                        set(state.cast::<PyString>()?.to_str()?, whole(&tasks)?);
                    }
                    PyResult::Ok(())
                })?;
            }
            Self::StateCounts => {
                for (state, times) in value.cast::<PyDict>()? {
                    prefix.came_into(state.cast::<PyString>()?.to_str()?, count(&times)?);
                }
            }
        }
        Ok(())
    }

    /// Says that it is not known of a prefix. Its totals stay as they are.
    fn lose(self, prefix: &mut Taking<'_>) {
        match self {
            Self::Output => prefix.output(f64::NAN),
            Self::States => {
                let Ok(()) = prefix.now_in(|_| Ok::<_, Infallible>(()));
            }
            Self::Suspicious | Self::Durations(_) | Self::StateCounts => {}
        }
    }
}

/// A number of whatever kind, as near as an `f64` comes to it.
fn number(value: &Bound<'_, PyAny>) -> PyResult<f64> {
    match small_int(value) {
        Some(int) => Ok(int as f64),
        None => value.extract(),
    }
}

/// The whole part of a number of whatever kind, as near as an `i64` comes to it.
fn whole(value: &Bound<'_, PyAny>) -> PyResult<i64> {
    if let Some(int) = small_int(value) {
        return Ok(int);
    }
    let number: f64 = value.extract()?;
    if number.is_nan() {
        return Err(PyValueError::new_err("NaN is no number of anything"));
    }
    Ok(number as i64)
}

/// The same, of what there is not less than none of.
fn count(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    Ok(whole(value)?.max(0).unsigned_abs())
}

/// What nearly all numbers are: the quick way to them, and the one without a
/// loss. Asked for an int, another number would raise, which is dear.
#[inline]
fn small_int(value: &Bound<'_, PyAny>) -> Option<i64> {
    if value.is_exact_instance_of::<PyInt>() {
        value.extract().ok()
    } else {
        None
    }
}

impl Prefixes {
    pub(super) fn new(page: &dask::Page, attributes: &Bound<'_, PyDict>) -> PyResult<Self> {
        let py = attributes.py();
        let columns = attributes
            .iter()
            .map(|(column, attribute)| {
                let field = Field::named(column.cast::<PyString>()?.to_str()?)?;
                Ok((field, attribute.cast_into::<PyString>()?.unbind()))
            })
            .collect::<PyResult<Vec<_>>>()?;
        let mut attributes = columns.iter();
        let state_counts = attributes.find(|(field, _)| *field == Field::StateCounts);
        let wanted: Vec<Column> = columns.iter().map(|(field, _)| field.column()).collect();
        Ok(Self {
            prefixes: page.prefixes(&wanted).map_err(value_error)?,
            state_counts: state_counts.map(|(_, attribute)| attribute.clone_ref(py)),
            columns,
            known: Vec::new(),
            at: 0,
        })
    }

    fn take_one(&mut self, prefix: &Bound<'_, PyAny>, failures: &mut Vec<Failure>) {
        let moves = self.moves(prefix);
        let (row, unmoved) = match self.known.get(self.at) {
            Some(known) if known.prefix.is(prefix) => {
                (known.row, moves.is_some() && moves == known.moves)
            }
            _ => match self.meet(prefix) {
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
        for (field, attribute) in &self.columns {
            if unmoved && field.changes_with_moves() {
                continue;
            }
            let mut taking = self.prefixes.take(row);
            let value = prefix.getattr(attribute);
            if let Err(error) = value.and_then(|value| field.take(&mut taking, &value)) {
                field.lose(&mut taking);
                let attribute = attribute.clone_ref(prefix.py());
                failures.push((attribute, prefix.clone().unbind(), error));
            }
        }
        if !unmoved {
            let all_taken = failures.len() == failed_before;
            self.known[self.at].moves = moves.filter(|_| all_taken);
        }
        self.at += 1;
    }

    /// Finds a prefix that did not come here in the pass before.
    fn meet(&mut self, prefix: &Bound<'_, PyAny>) -> PyResult<RowId> {
        let name = prefix.getattr(intern!(prefix.py(), "name"))?;
        let row = self.prefixes.find(name.cast::<PyString>()?.to_str()?);
        self.known.truncate(self.at);
        self.known.push(Known {
            prefix: prefix.clone().unbind(),
            row,
            moves: None,
        });
        Ok(row)
    }

    /// How often tasks of this prefix have moved, if it tells in ints.
    fn moves(&self, prefix: &Bound<'_, PyAny>) -> Option<i64> {
        let attribute = self.state_counts.as_ref()?;
        let counts = prefix.getattr(attribute.bind(prefix.py())).ok()?;
        let mut moves = 0i64;
        for (_, times) in counts.cast::<PyDict>().ok()? {
            moves = moves.wrapping_add(small_int(&times)?);
        }
        Some(moves)
    }
}

#[pymethods]
impl Prefixes {
    /// Begins a pass over all prefixes. One that was not finished has forgotten
    /// nothing.
    fn begin(&mut self) {
        self.prefixes.begin();
        self.at = 0;
    }

    /// Takes some of them, and returns what could not be taken: the attribute,
    /// the prefix and the exception of each.
    fn take<'py>(&mut self, prefixes: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyTuple>> {
        let mut failures = Vec::new();
        for prefix in prefixes {
            self.take_one(&prefix, &mut failures);
        }
        PyTuple::new(prefixes.py(), failures)
    }

    /// Ends the pass: what was not in it is forgotten.
    fn finish(&mut self) {
        self.known.truncate(self.at);
        if self.prefixes.finish() {
            self.known.clear();
        }
    }
}
