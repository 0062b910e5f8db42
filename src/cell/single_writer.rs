//! Cells that one thread at a time writes, and any number read.
//!
//! With one writer a locked instruction protects nothing: [`Writer`] updates by
//! a plain load and store, several times cheaper. That there is one only is
//! checked when it is claimed.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use super::Cell;
use crate::sync::{AtomicBool, Ordering};

/// A cell that is updated through its one [`Writer`] only.
///
/// It stands in a family like the cell it is made of, and is read like it. The
/// counters, the gauges and the histogram have this form.
///
/// ```
/// use stethoscope::cell::{Cell, Counter, SingleWriter, Writer};
/// use std::sync::Arc;
///
/// let rows = Arc::new(SingleWriter::<Counter>::new(&()));
/// let mut writer = Writer::claim(Arc::clone(&rows))?;
/// assert!(Writer::claim(&*rows).is_err());
/// std::thread::spawn(move || {
///     for _ in 0..1000 {
///         writer.inc();
///     }
/// })
/// .join()
/// .unwrap();
/// assert_eq!(rows.get(), 1000);
/// # Ok::<(), stethoscope::cell::AlreadyClaimed>(())
/// ```
#[derive(Debug, Default)]
pub struct SingleWriter<C> {
    cell: C,
    claimed: AtomicBool,
}

impl<C: Cell> Cell for SingleWriter<C> {
    type Options = C::Options;

    fn new(options: &C::Options) -> Self {
        Self {
            cell: C::new(options),
            claimed: AtomicBool::new(false),
        }
    }

    fn width(options: &C::Options) -> usize {
        C::width(options)
    }

    fn read(&self, into: &mut [u64]) {
        self.cell.read(into);
    }
}

impl<C> SingleWriter<C> {
    /// The cell, to read: updates of its own would race with the writer's.
    pub(super) fn cell(&self) -> &C {
        &self.cell
    }
}

/// The one writer of a [`SingleWriter`] cell, held through `H`: a reference, an
/// `Arc`, or a family's handle.
///
/// It may be sent to another thread, but not shared. When it is dropped,
/// another may be claimed, and goes on from where this one stopped.
pub struct Writer<C, H: Deref<Target = SingleWriter<C>>> {
    handle: H,
    /// Two threads with one writer would lose updates: not `Sync`.
    not_sync: PhantomData<std::cell::Cell<()>>,
}

impl<C, H: Deref<Target = SingleWriter<C>>> Writer<C, H> {
    /// Becomes the writer of the cell behind `handle`.
    ///
    /// # Errors
    /// The cell has a writer.
    pub fn claim(handle: H) -> Result<Self, AlreadyClaimed> {
        // Acquire: pairs with the Release in `drop`, so that this writer goes
        // on from the last value that the one before stored.
        match handle.claimed.swap(true, Ordering::Acquire) {
            true => Err(AlreadyClaimed),
            false => Ok(Self {
                handle,
                not_sync: PhantomData,
            }),
        }
    }

    /// The cell, of which this is the only writer.
    pub(super) fn cell(&self) -> &C {
        &self.handle.cell
    }
}

impl<C, H: Deref<Target = SingleWriter<C>>> Drop for Writer<C, H> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `claim`.
        self.handle.claimed.store(false, Ordering::Release);
    }
}

impl<C: fmt::Debug, H: Deref<Target = SingleWriter<C>>> fmt::Debug for Writer<C, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Writer").field(self.cell()).finish()
    }
}

/// The cell has a writer already: drop that one first, or use the shared form
/// of the cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadyClaimed;

impl fmt::Display for AlreadyClaimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the cell has a writer already: drop it first, or use the shared form of the cell",
        )
    }
}

impl std::error::Error for AlreadyClaimed {}
