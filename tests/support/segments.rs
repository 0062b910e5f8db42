//! Directories of segments, and pages that are checked.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use stethoscope::Registry;
use stethoscope::exposition::Format;
use stethoscope::exposition::validate::validate;

/// A directory in memory, which is removed in the end.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    /// The path of a directory that does not exist yet.
    pub(crate) fn new(name: &str) -> Self {
        let path = PathBuf::from(format!(
            "/dev/shm/stethoscope-{name}-{}",
            std::process::id()
        ));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns the page of a registry, after checking that it is strictly valid.
pub(crate) fn page(registry: &Registry, format: Format) -> String {
    let page = String::from_utf8(registry.scraper().scrape(format).to_vec()).unwrap();
    validate(&page, format).unwrap_or_else(|error| panic!("{error}\n{page}"));
    page
}

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
