//! The black box of a server: its page in a file that outlives the process.

use super::convert::{segment_error, value_error};
use super::user_metrics::{Children, OF_DASK, process_registry};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use stethoscope::exposition::Format;
use stethoscope::segment::{self, Reader, Segment, SegmentError};
use stethoscope::{RegisterError, Registry, Scraper};

/// The number of heartbeats from one removal of leftover files to the next.
const BEATS_PER_SWEEP: u32 = 10;

/// The age at which the file of a dead server is removed, if nobody has read it.
const LEFT_OVER: Duration = Duration::from_secs(3600);

/// A file in memory that holds the page of a server.
#[pyclass(frozen, module = "stethoscope._native")]
pub(super) struct BlackBox {
    segment: Segment,
    /// Ends the thread that keeps the page up to date when it is dropped.
    keeper: Mutex<Option<SyncSender<()>>>,
    /// The children of the process, until the keeper takes them over.
    children: Arc<Mutex<Option<Children>>>,
}

impl BlackBox {
    pub(super) fn segment(&self) -> &Segment {
        &self.segment
    }
}

#[pymethods]
impl BlackBox {
    /// Makes a file in this directory, or in that of the environment.
    ///
    /// Raises `OSError` or `ValueError` if the directory cannot be used.
    #[new]
    #[pyo3(signature = (directory=None))]
    fn new(directory: Option<PathBuf>) -> PyResult<Self> {
        let directory = directory.unwrap_or_else(segment::default_directory);
        remove_leftovers(&directory);
        Ok(Self {
            segment: Segment::in_dir(directory).map_err(segment_error)?,
            keeper: Mutex::new(None),
            children: Arc::default(),
        })
    }

    /// The path of the file.
    #[getter]
    fn path(&self) -> PathBuf {
        self.segment.path()
    }

    /// Keep the metrics of the process there too, as far as they are made from now
    /// on, and add to them what its children count. Does nothing if they are in a file
    /// already.
    fn include_process(&self, py: Python<'_>) -> PyResult<()> {
        let registry = process_registry(py)?;
        let store = registry.get().store();
        if store.registry().use_segment(&self.segment) {
            store.skip_environment();
            let children = Children::of(&self.segment.path(), store);
            *self.children.lock().unwrap_or_else(PoisonError::into_inner) = children;
        }
        Ok(())
    }

    /// Stop the thread and remove the file, and those of dead children that have counted
    /// nothing. May be called twice.
    fn close(&self) {
        *self.lock() = None;
        let path = self.segment.path();
        // It may be gone, read by another process.
        let _ = std::fs::remove_file(&path);
        if let Some(directory) = path.parent() {
            let _ = segment::remove_unused(directory);
        }
    }
}

impl BlackBox {
    /// Starts a thread that brings the page of a registry up to date at each interval,
    /// without the GIL, and says that the process is alive.
    pub(super) fn keep(&self, registry: &Registry, interval: Duration) -> PyResult<()> {
        let (stop, stopped) = sync_channel(1);
        let (segment, registry) = (self.segment.clone(), registry.clone());
        let children = Arc::clone(&self.children);
        let mut keeper = self.lock();
        if keeper.is_some() {
            return Err(PyRuntimeError::new_err("the black box has a page already"));
        }
        std::thread::Builder::new()
            .name("stethoscope-box".to_owned())
            .spawn(move || {
                let children = { children.lock() }
                    .unwrap_or_else(PoisonError::into_inner)
                    .take();
                let mut keeper = Keeper::new(segment, &registry, children);
                keeper.beat();
                while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                    keeper.beat();
                }
            })?;
        *keeper = Some(stop);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<SyncSender<()>>> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Brings a page in a segment up to date.
struct Keeper {
    segment: Segment,
    scraper: Scraper,
    children: Option<Children>,
    beats: u32,
}

impl Keeper {
    fn new(segment: Segment, registry: &Registry, children: Option<Children>) -> Self {
        Self {
            segment,
            scraper: registry.scraper(),
            children,
            beats: 0,
        }
    }

    fn beat(&mut self) {
        if let Some(children) = &mut self.children {
            children.count();
        }
        // For its hooks: they compute ages and medians, and read /proc.
        self.scraper.scrape(Format::Text);
        self.segment.beat();
        self.beats += 1;
        if self.beats.is_multiple_of(BEATS_PER_SWEEP)
            && let Some(directory) = self.segment.path().parent()
        {
            remove_leftovers(directory);
        }
    }
}

/// Removes files of servers of Dask that have died long ago, and those of their
/// children: each forked child gets a copy.
fn remove_leftovers(directory: &Path) {
    // There is nothing to remove if the directory does not exist.
    for path in segment::list(directory).unwrap_or_default() {
        // Files of others, which cannot be read, are theirs to remove.
        if is_left_over(&path).unwrap_or(false) {
            let _ = std::fs::remove_file(&path);
        }
    }
}

fn is_left_over(path: &Path) -> Result<bool, SegmentError> {
    let mut reader = Reader::open(path)?;
    if reader.info().heartbeat_age() < LEFT_OVER || reader.state().is_alive() {
        return Ok(false);
    }
    reader.refresh()?;
    Ok(reader.registry().contains(OF_DASK))
}

/// Reads the black box of another process.
#[pyclass(frozen, module = "stethoscope._native")]
pub(super) struct BlackBoxReader(Mutex<Inner>);

struct Inner {
    reader: Reader,
    /// The page of the process, after how it died.
    page: Registry,
}

#[pymethods]
impl BlackBoxReader {
    /// Opens the file.
    ///
    /// Raises `OSError` or `ValueError` if there is none.
    #[new]
    fn new(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let reader = py.detach(|| Reader::open(path)).map_err(segment_error)?;
        let page = Registry::new();
        page.include(reader.page());
        Ok(Self(Mutex::new(Inner { reader, page })))
    }

    /// Return the state of the process in a word, and the seconds since it has last
    /// shown that it makes progress.
    fn state(&self, py: Python<'_>) -> PyResult<(&'static str, f64)> {
        let state = py.detach(|| {
            let mut inner = self.lock();
            inner.reader.refresh()?;
            let age = inner.reader.info().heartbeat_age();
            Ok((inner.reader.state().word(), age.as_secs_f64()))
        });
        state.map_err(segment_error)
    }

    /// Say on the page how the process died, and when: labels with their values, and
    /// seconds since 1970.
    fn died(&self, labels: Vec<(String, String)>, at: f64) -> PyResult<()> {
        let inner = self.lock();
        let add = || -> Result<(), RegisterError> {
            let labels = labels.iter().map(|(name, value)| (&**name, &**value));
            let labels = [("state", inner.reader.state().word())]
                .into_iter()
                .chain(labels);
            inner
                .page
                .info("stethoscope_process_exit", "How the process died.", labels)?;
            let died_at = inner.page.float_gauge(
                "stethoscope_process_death_timestamp_seconds",
                "When the process died, in seconds since 1970.",
            )?;
            died_at.set(at);
            Ok(())
        };
        add().map_err(value_error)
    }

    /// Return the page of the process in the text format.
    fn page<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let page = py.detach(|| {
            let mut inner = self.lock();
            inner.reader.refresh()?;
            Ok(inner.page.scraper().scrape(Format::Text).to_vec())
        });
        Ok(PyBytes::new(py, &page.map_err(segment_error)?))
    }
}

impl BlackBoxReader {
    /// Never held while the GIL is waited for.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
