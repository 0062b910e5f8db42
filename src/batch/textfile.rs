//! Pages in files, for the textfile collector of node_exporter.

use crate::Registry;
use crate::exposition::Format;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes a page of a registry to a file, in the text format.
///
/// Atomic: a reader finds the file as it was before or the whole page, also if the
/// process or the machine stops meanwhile. The page goes to a file beside it first,
/// whose name begins with a dot and does not end in `.prom`, so that node_exporter does
/// not read it. A symbolic link at `path` is replaced. node_exporter reads files whose
/// names end in `.prom`.
///
/// ```
/// use stethoscope::{Registry, batch::write_textfile};
///
/// let registry = Registry::new();
/// let finished = registry.gauge("backup_finished_timestamp_seconds", "Time of the last backup.")?;
/// finished.set_to_current_time();
/// # let directory = std::env::temp_dir().join(format!("textfile-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// let path = directory.join("backup.prom"); // in the collector's directory
/// write_textfile(&registry, &path)?;
/// # assert!(std::fs::read_to_string(&path)?.contains("\nbackup_finished_timestamp_seconds "));
/// # std::fs::remove_dir_all(directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If the file beside it cannot be written, or not be renamed to `path`, which the error
/// names.
pub fn write_textfile(registry: &Registry, path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    write(registry, path).map_err(|error| {
        let message = format!("cannot write a page to {path:?}: {error}");
        io::Error::new(error.kind(), message)
    })
}

fn write(registry: &Registry, path: &Path) -> io::Result<()> {
    let mut scraper = registry.scraper();
    let page = scraper.scrape(Format::Text);
    let temporary = Temporary(temporary_path(path)?);
    let mut file = create(&temporary.0)?;
    file.write_all(page)?;
    // Before the rename: otherwise the name may survive a crash, and the page not.
    file.sync_all()?;
    drop(file);
    fs::rename(&temporary.0, path)?;
    // It has the other name now.
    std::mem::forget(temporary);
    Ok(())
}

/// The path of a file, which is removed when this is dropped.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // The error that led here counts.
        let _ = fs::remove_file(&self.0);
    }
}

/// Returns a path beside `path` that no other call of any process uses.
fn temporary_path(path: &Path) -> io::Result<PathBuf> {
    static NEXT: AtomicU64 = AtomicU64::new(0);

    let Some(name) = path.file_name() else {
        let message = "expected the path of a file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    };
    // Relaxed: the number alone matters.
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}.{number}.tmp", process::id()));
    Ok(path.with_file_name(temporary))
}

/// Creates a file. One of this name was left by an earlier process of the same number,
/// which was killed.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            options.open(path)
        }
        result => result,
    }
}
