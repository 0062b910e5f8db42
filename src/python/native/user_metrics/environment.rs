//! The segment that the environment asks for.

use pyo3::exceptions::PyRuntimeWarning;
use pyo3::prelude::*;
use std::ffi::CString;
use stethoscope::Registry;
use stethoscope::segment::Segment;

/// The environment variable with the directory of segments.
const VARIABLE: &str = "STETHOSCOPE_SEGMENT_DIR";

/// Makes the segment that the environment asks for. If that fails, warns and goes on
/// without: metrics are not worth failing for.
pub(super) fn use_segment_of_environment(registry: &Registry) {
    let Some(directory) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) else {
        return;
    };
    let error = match Segment::in_dir(directory) {
        Ok(segment) => {
            if !registry.use_segment(&segment) {
                // The registry has a segment already, whose path others may have.
                let _ = std::fs::remove_file(segment.path());
            }
            return;
        }
        Err(error) => error,
    };
    let text = format!("{VARIABLE}: other processes cannot read the metrics: {error}");
    Python::attach(|py| {
        let text = CString::new(text).unwrap_or_default();
        let category = py.get_type::<PyRuntimeWarning>();
        // A filter may turn the warning into an error. No caller expects one here.
        if let Err(error) = PyErr::warn(py, &category, &text, 1) {
            error.write_unraisable(py, None);
        }
    });
}
