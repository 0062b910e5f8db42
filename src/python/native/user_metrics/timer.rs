//! Timers: how long a `with` block or a decorated function takes.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyModule;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::Instant;

/// Observes how long a `with` block, or each call of a decorated function, takes.
///
/// Made by `Histogram.time` and `Summary.time`. As a context manager it may be
/// nested, and shared by threads and asyncio tasks: each `with` observes its own
/// time, however it is left.
///
/// As a decorator it takes functions, coroutine functions and generator functions
/// (asynchronous ones too). A coroutine is timed while it is awaited, and a
/// generator from its first value to its end.
#[pyclass(frozen, module = "stethoscope")]
pub(in crate::native) struct Timer {
    observe: Box<dyn Fn(f64) + Send + Sync>,
    /// The histogram or summary.
    metric: Py<PyAny>,
    /// The blocks that are running.
    running: Mutex<Vec<(Context, Instant)>>,
}

/// Identifies the thread, and the asyncio task in it, that runs a block. Blocks
/// of one context end in the opposite order of their beginnings.
type Context = (ThreadId, usize);

impl Timer {
    pub(super) fn new(metric: Py<PyAny>, observe: impl Fn(f64) + Send + Sync + 'static) -> Self {
        Self {
            observe: Box::new(observe),
            metric,
            running: Mutex::new(Vec::new()),
        }
    }

    /// Never held while the GIL is waited for.
    fn running(&self) -> MutexGuard<'_, Vec<(Context, Instant)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn context(py: Python<'_>) -> PyResult<Context> {
    Ok((std::thread::current().id(), current_task(py)?))
}

/// The address of the asyncio task that is running on this thread, or 0.
fn current_task(py: Python<'_>) -> PyResult<usize> {
    let modules = py
        .import(intern!(py, "sys"))?
        .getattr(intern!(py, "modules"))?;
    let Ok(asyncio) = modules.get_item(intern!(py, "asyncio")) else {
        return Ok(0);
    };
    let Ok(asyncio) = asyncio.cast_into::<PyModule>() else {
        return Ok(0);
    };
    // Cheap where no loop runs, which `current_task` would raise for.
    let event_loop = asyncio.call_method0(intern!(py, "_get_running_loop"))?;
    if event_loop.is_none() {
        return Ok(0);
    }
    let task = asyncio.call_method1(intern!(py, "current_task"), (event_loop,))?;
    Ok(if task.is_none() {
        0
    } else {
        task.as_ptr() as usize
    })
}

#[pymethods]
impl Timer {
    fn __enter__(this: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        let context = context(this.py())?;
        this.get().running().push((context, Instant::now()));
        Ok(this)
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let now = Instant::now();
        let context = context(py)?;
        let mut running = self.running();
        let last = running.iter().rposition(|(other, _)| *other == context);
        let started = last.map(|at| running.remove(at).1);
        drop(running);
        if let Some(started) = started {
            (self.observe)(now.saturating_duration_since(started).as_secs_f64());
        }
        Ok(())
    }

    /// Return the function, timed at each call.
    fn __call__<'py>(&self, function: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = function.py();
        let module = py.import(intern!(py, "stethoscope._timing"))?;
        module.call_method1(intern!(py, "timed"), (function, &self.metric))
    }

    fn __reduce__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyAny>,))> {
        let module = py.import(intern!(py, "stethoscope._timing"))?;
        let metric = self.metric.bind(py).clone();
        Ok((module.getattr(intern!(py, "timer"))?, (metric,)))
    }
}
