//! Directories of tests.

// Each test uses a part.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

/// A directory for one test, removed with its contents when it is dropped.
pub(crate) struct Directory(PathBuf);

impl Directory {
    /// Creates an empty directory below the system's directory for temporary files.
    ///
    /// # Panics
    ///
    /// The directory cannot be created.
    pub(crate) fn new(name: &str) -> Self {
        let directory = Self::at(&std::env::temp_dir(), name);
        std::fs::create_dir(directory.path()).expect("a directory");
        directory
    }

    /// Names a directory in memory, which does not exist yet.
    pub(crate) fn to_create_in_memory(name: &str) -> Self {
        Self::at(Path::new("/dev/shm"), name)
    }

    fn at(parent: &Path, name: &str) -> Self {
        let path = parent.join(format!("stethoscope-{name}-{}", std::process::id()));
        // Left by an earlier process of the same number.
        let _ = std::fs::remove_dir_all(&path);
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
