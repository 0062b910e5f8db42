//! Directories of segments.

use super::error::SegmentError;
use super::file::EXTENSION;
use std::path::{Path, PathBuf};

/// Returns the directory of segments that tools use if they are told no other:
/// `STETHOSCOPE_SEGMENT_DIR` of the environment, or `/dev/shm/stethoscope-` and the
/// number of the user.
///
/// ```
/// let directory = stethoscope::segment::default_directory();
/// assert!(directory.is_absolute() || std::env::var_os("STETHOSCOPE_SEGMENT_DIR").is_some());
/// ```
#[must_use]
pub fn default_directory() -> PathBuf {
    match std::env::var_os("STETHOSCOPE_SEGMENT_DIR") {
        Some(directory) if !directory.is_empty() => directory.into(),
        _ => {
            let user = rustix::process::geteuid().as_raw();
            format!("/dev/shm/stethoscope-{user}").into()
        }
    }
}

/// Lists the files of segments in a directory, in the order of their names.
///
/// # Errors
/// If the directory cannot be read.
pub fn list(directory: impl AsRef<Path>) -> Result<Vec<PathBuf>, SegmentError> {
    let directory = directory.as_ref();
    let error = |error: std::io::Error| SegmentError::io(directory, error);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(error)? {
        let path = entry.map_err(error)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == EXTENSION)
        {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
