//! What a scheduler knows of its tasks, from Python's tuples and dicts.

use super::convert::value_error;
use crate::dask::{self, Column, Taking};
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

/// Takes the task prefixes of a scheduler in passes: `begin`, `take` for each
/// slice of them, `finish`.
#[pyclass(module = "stethoscope._native")]
pub(super) struct Prefixes {
    prefixes: dask::Prefixes,
    columns: Vec<Field>,
}

/// What stands at a place of a prefix' tuple, after its name.
#[derive(Clone, Copy)]
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
                for (state, tasks) in value.cast::<PyDict>()? {
                    prefix.now_in(state.cast::<PyString>()?.to_str()?, tasks.extract()?);
                }
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
    pub(super) fn new(page: &dask::Page, columns: &[String]) -> PyResult<Self> {
        let columns: Vec<Field> = columns
            .iter()
            .map(|name| Field::named(name))
            .collect::<PyResult<_>>()?;
        let wanted: Vec<Column> = columns.iter().map(|field| field.column()).collect();
        Ok(Self {
            prefixes: page.prefixes(&wanted).map_err(value_error)?,
            columns,
        })
    }
}

#[pymethods]
impl Prefixes {
    /// Begins a pass over all prefixes.
    fn begin(&mut self) {
        self.prefixes.begin();
    }

    /// Takes some of them: tuples of a name and the columns.
    fn take(&mut self, rows: &Bound<'_, PyList>) -> PyResult<()> {
        for row in rows {
            let row = row.cast::<PyTuple>()?;
            let name = row.get_borrowed_item(0)?;
            // Dask allows for names that are no strings.
            let name = name.str()?;
            let mut prefix = self.prefixes.take(name.to_str()?);
            for (place, field) in self.columns.iter().enumerate() {
                field.take(&mut prefix, &row.get_item(place + 1)?)?;
            }
        }
        Ok(())
    }

    /// Ends the pass: what was not in it is forgotten.
    fn finish(&mut self) {
        self.prefixes.finish();
    }
}
