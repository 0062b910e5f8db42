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
use pyo3::types::{PyDict, PyList, PyString};

/// Takes the task prefixes of a scheduler in passes: `begin`, `take` for each
/// slice of them, `finish`.
#[pyclass(module = "stethoscope._native")]
pub(super) struct Prefixes {
    prefixes: dask::Prefixes,
    columns: Vec<(Field, Py<PyString>)>,
    /// Those of the pass before, in the order in which they came, which is the
    /// same in each pass but for the new ones at the end.
    known: Vec<Known>,
    /// Where in `known` this pass is.
    at: usize,
}

struct Known {
    prefix: Py<PyAny>,
    row: RowId,
    /// How often its tasks have moved from state to state.
    moves: u64,
}

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
            Self::Suspicious => prefix.suspicious(value.extract()?),
            Self::Output => prefix.output(value.extract()?),
            Self::Durations(parts) => {
                let py = value.py();
                let times = value.cast::<PyDict>()?;
                if let Some(time) = times.get_item(intern!(py, "compute"))? {
                    prefix.compute(time.extract::<f64>()? / parts);
                }
                if let Some(time) = times.get_item(intern!(py, "transfer"))? {
                    prefix.transfer(time.extract::<f64>()? / parts);
                }
            }
            Self::States => {
                let states = value.cast::<PyDict>()?;
                prefix.now_in(|set| {
                    for (state, tasks) in states {
                        set(state.cast::<PyString>()?.to_str()?, tasks.extract()?);
                    }
                    PyResult::Ok(())
                })?;
            }
            Self::StateCounts => {
                for (state, times) in value.cast::<PyDict>()? {
                    prefix.came_into(state.cast::<PyString>()?.to_str()?, times.extract()?);
                }
            }
        }
        Ok(())
    }
}

impl Prefixes {
    pub(super) fn new(page: &dask::Page, attributes: &Bound<'_, PyDict>) -> PyResult<Self> {
        let columns = attributes
            .iter()
            .map(|(column, attribute)| {
                let field = Field::named(column.cast::<PyString>()?.to_str()?)?;
                Ok((field, attribute.cast_into::<PyString>()?.unbind()))
            })
            .collect::<PyResult<Vec<_>>>()?;
        let wanted: Vec<Column> = columns.iter().map(|(field, _)| field.column()).collect();
        Ok(Self {
            prefixes: page.prefixes(&wanted).map_err(value_error)?,
            columns,
            known: Vec::new(),
            at: 0,
        })
    }

    fn take_one(&mut self, prefix: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = prefix.py();
        let moves = self.moves(prefix)?;
        let known = self.known.get_mut(self.at);
        let (row, unmoved) = match known {
            Some(known) if known.prefix.is(prefix) => {
                let unmoved = moves.is_some_and(|moves| known.moves == moves);
                known.moves = moves.unwrap_or_default();
                (known.row, unmoved)
            }
            _ => {
                // Dask allows for names that are no strings.
                let name = prefix.getattr(intern!(py, "name"))?.str()?;
                let row = self.prefixes.find(name.to_str()?);
                self.known.truncate(self.at);
                self.known.push(Known {
                    prefix: prefix.clone().unbind(),
                    row,
                    moves: moves.unwrap_or_default(),
                });
                (row, false)
            }
        };
        self.at += 1;
        self.prefixes.keep(row);
        for (field, attribute) in &self.columns {
            if !unmoved || !field.changes_with_moves() {
                field.take(&mut self.prefixes.take(row), &prefix.getattr(attribute)?)?;
            }
        }
        Ok(())
    }

    /// How often tasks of this prefix have moved, if it tells.
    fn moves(&self, prefix: &Bound<'_, PyAny>) -> PyResult<Option<u64>> {
        let mut columns = self.columns.iter();
        let Some((_, counts)) = columns.find(|(field, _)| *field == Field::StateCounts) else {
            return Ok(None);
        };
        let counts = prefix.getattr(counts.bind(prefix.py()))?;
        let mut moves = 0u64;
        for (_, times) in counts.cast::<PyDict>()? {
            moves += times.extract::<u64>()?;
        }
        Ok(Some(moves))
    }
}

#[pymethods]
impl Prefixes {
    /// Begins a pass over all prefixes.
    fn begin(&mut self) {
        self.prefixes.begin();
        self.at = 0;
    }

    /// Takes some of them.
    fn take(&mut self, prefixes: &Bound<'_, PyList>) -> PyResult<()> {
        prefixes
            .iter()
            .try_for_each(|prefix| self.take_one(&prefix))
    }

    /// Ends the pass: what was not in it is forgotten.
    fn finish(&mut self) {
        self.known.truncate(self.at);
        if self.prefixes.finish() {
            self.known.clear();
        }
    }
}
