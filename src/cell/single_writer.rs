//! Cells that one thread at a time writes, and any number of threads read.
//!
//! With a single writer a locked instruction protects nothing: [`Writer`]
//! updates by a plain load and store, which is several times cheaper. That there
//! is only one is checked when it is claimed.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use super::{Cell, NativeReading};
use crate::sync::{AtomicBool, Ordering, const_fn};

/// A cell that is updated only through its one [`Writer`].
///
/// It stands in a family like the cell that it wraps, and is read like it.
/// Counters, gauges and histograms have this form, native ones too.
///
/// ```
/// use stethoscope::cell::{Counter, SingleWriter, Writer};
///
/// static ROWS: SingleWriter<Counter> = SingleWriter::new(Counter::new());
///
/// let writer = Writer::claim(&ROWS)?;
/// assert!(Writer::claim(&ROWS).is_err());
/// std::thread::spawn(move || {
///     for _ in 0..1000 {
///         writer.inc();
///     }
/// })
/// .join()
/// .unwrap();
/// assert_eq!(ROWS.get(), 1000);
/// # Ok::<(), stethoscope::cell::AlreadyClaimed>(())
/// ```
///
/// In a forked child the cell stays claimed if it was claimed at the fork: the
/// writer may be the child's own.
#[derive(Debug, Default)]
pub struct SingleWriter<C> {
    cell: C,
    claimed: AtomicBool,
}

impl<C: Cell> Cell for SingleWriter<C> {
    type Options = C::Options;

    fn from_options(options: &C::Options) -> Self {
        Self::new(C::from_options(options))
    }

    fn width(options: &C::Options) -> usize {
        C::width(options)
    }

    fn read(&self, into: &mut [u64]) {
        self.cell.read(into);
    }

    fn read_native(&self, into: &mut NativeReading) -> bool {
        self.cell.read_native(into)
    }
}

impl<C> SingleWriter<C> {
    const_fn! {
        /// Wraps `cell`, without a writer yet.
        #[must_use]
        pub fn new(cell: C) -> Self {
            Self { cell, claimed: AtomicBool::new(false) }
        }
    }

    /// Returns the cell for reading. Updating it would race with the writer.
    pub(super) fn cell(&self) -> &C {
        &self.cell
    }
}

/// Implements methods for a [`SingleWriter`] that only read its cell.
macro_rules! single_writer_reads {
    ($cell:ty { $($doc:literal $name:ident: $value:ty,)+ }) => {
        impl SingleWriter<$cell> {
            $(
                #[doc = $doc]
                #[must_use]
                #[inline]
                pub fn $name(&self) -> $value {
                    self.cell().$name()
                }
            )+
        }
    };
}
pub(super) use single_writer_reads;

/// The one writer of a [`SingleWriter`] cell.
///
/// Holds the cell through `H`: a reference, an `Arc`, or a family's handle. It
/// may be sent to another thread, but not shared. When it is dropped, another
/// writer may be claimed, and goes on from where this one stopped.
#[must_use = "the cell can be claimed again once its writer is dropped"]
pub struct Writer<C, H: Deref<Target = SingleWriter<C>>> {
    handle: H,
    /// Two threads that share a writer would lose updates: it is not `Sync`.
    not_sync: PhantomData<std::cell::Cell<()>>,
}

impl<C, H: Deref<Target = SingleWriter<C>>> Writer<C, H> {
    /// Claims the cell that `handle` refers to.
    ///
    /// # Errors
    /// The cell has a writer.
    pub fn claim(handle: H) -> Result<Self, AlreadyClaimed> {
        // Acquire: pairs with the Release in `drop`, so that this writer goes on
        // from the last value that the one before stored.
        match handle.claimed.swap(true, Ordering::Acquire) {
            true => Err(AlreadyClaimed),
            false => Ok(Self {
                handle,
                not_sync: PhantomData,
            }),
        }
    }

    /// Returns the cell, for updates by plain loads and stores.
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

/// The error of [`Writer::claim`]: the cell has a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadyClaimed;

impl fmt::Display for AlreadyClaimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the cell already has a writer: drop it first, or use the shared form of the cell",
        )
    }
}

impl std::error::Error for AlreadyClaimed {}
