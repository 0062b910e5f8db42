//! The segment of the process: its metrics, for others to read.

use super::registry::process_registry;
use crate::native::convert::segment_error;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::path::PathBuf;
use stethoscope::exposition::Format;
use stethoscope::segment::{Reader, Segment};

/// Keep the metrics of the process in a file of this directory. Return its path.
///
/// Raises `RuntimeError` if there are metrics already, or a segment.
#[pyfunction]
pub(in crate::native) fn use_segment(py: Python<'_>, directory: PathBuf) -> PyResult<PathBuf> {
    let store = process_registry(py)?.get().store().clone();
    store.skip_environment();
    if !store.is_empty() {
        return Err(PyRuntimeError::new_err(
            "expected no metrics yet: call configure before the first one is made",
        ));
    }
    let segment = Segment::in_dir(directory).map_err(segment_error)?;
    let path = segment.path();
    if store.registry().use_segment(&segment) {
        return Ok(path);
    }
    let _ = std::fs::remove_file(path);
    Err(PyRuntimeError::new_err(
        "the process has a segment already: configure it once",
    ))
}

/// Return the page of the process that has this segment, in the text format.
#[pyfunction]
pub(in crate::native) fn read_segment<'py>(
    py: Python<'py>,
    path: PathBuf,
) -> PyResult<Bound<'py, PyBytes>> {
    let page = py.detach(|| {
        let mut reader = Reader::open(path)?;
        reader.refresh()?;
        Ok::<_, stethoscope::segment::SegmentError>(
            reader.page().scraper().scrape(Format::Text).to_vec(),
        )
    });
    Ok(PyBytes::new(py, &page.map_err(segment_error)?))
}
