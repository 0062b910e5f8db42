//! Cells: the atomics that hold the value of a metric. They know nothing of names
//! or text.
//!
//! A cell is updated by one atomic operation (two for a histogram). A scrape reads
//! it as a row of numbers: [`Cell::read`] writes the bits of each value into a
//! slice that the scrape owns.

mod buckets;
mod counter;
mod error;
mod exemplar;
mod float;
mod gauge;
mod histogram;
mod info;
#[cfg(all(test, loom))]
mod models;
mod native_histogram;
#[cfg(any(
    all(feature = "segment", target_os = "linux"),
    all(loom, test, target_os = "linux")
))]
mod placement;
mod quantile;
mod ring;
mod single_writer;
mod state_set;
mod static_histogram;
mod stripe;
mod timer;
mod window_max;

pub use buckets::Buckets;
pub use counter::{Counter, FloatCounter, StripedCounter};
pub use error::OptionsError;
pub use exemplar::{Exemplar, ExemplarLabels, SupportsExemplars, WithExemplars};
pub use gauge::{FloatGauge, Gauge, GaugeGuard};
pub use histogram::{Histogram, ShardedHistogram};
pub use info::Info;
pub use native_histogram::{
    NativeHistogram, NativeHistogramOptions, NativeHistogramOptionsBuilder, NativeReading,
    ShardedNativeHistogram,
};
#[cfg(any(
    all(feature = "segment", target_os = "linux"),
    all(loom, test, target_os = "linux")
))]
pub(crate) use placement::Encoding;
#[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
pub(crate) use placement::Placed;
#[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
#[doc(hidden)]
pub use placement::Placement;
pub use quantile::{Quantile, QuantileOptions, QuantileOptionsBuilder};
pub use ring::Window;
use single_writer::single_writer_reads;
pub use single_writer::{AlreadyClaimed, SingleWriter, Writer};
pub use state_set::{StateSet, States};
pub use static_histogram::{StaticBuckets, StaticHistogram};
pub use timer::{Observe, ObserveWithExemplar, Timer};
pub use window_max::WindowMax;

use float::AtomicF64;

/// The meaning of the 64 bits of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Number {
    /// An unsigned integer.
    U64,
    /// A signed integer in two's complement.
    I64,
    /// An IEEE 754 double.
    F64,
}

/// A value that many threads may update while a scrape reads it.
///
/// A reading is a row of [`width`](Cell::width) numbers. The width depends only on
/// the options, never on the values, so that a scrape can lay out its lines once.
///
/// The name is that of a memory cell, as in crossbeam's `AtomicCell`. Users name
/// this trait only to write a cell of their own, where it does not meet
/// [`std::cell::Cell`].
pub trait Cell: Send + Sync + 'static {
    /// The options that a cell is created with, such as bucket bounds or the length
    /// of a window; `()` for most.
    type Options: Clone + Send + Sync + 'static;

    /// Creates the cell, at its initial value. Families call this for each new
    /// series.
    fn from_options(options: &Self::Options) -> Self;

    /// Returns how many numbers a reading has.
    fn width(options: &Self::Options) -> usize;

    /// Writes the bits of each number of one reading. Takes no lock and allocates
    /// nothing.
    ///
    /// `into.len()` is the [`width`](Cell::width) of the options that the cell was
    /// created with.
    fn read(&self, into: &mut [u64]);

    /// Returns how many of a reading's first numbers may have an exemplar.
    fn exemplars(options: &Self::Options) -> usize {
        let _ = options;
        0
    }

    /// Reads the exemplar of the number at `index`. Returns false if there is none,
    /// or if it is being replaced. Takes no lock and allocates nothing.
    fn exemplar(&self, index: usize, into: &mut Exemplar) -> bool {
        let _ = (index, into);
        false
    }

    /// Reads a native histogram. Returns false, and changes nothing, if the cell is
    /// not one. Takes no lock, and allocates nothing once the buffers of `into` have
    /// grown.
    ///
    /// It counts no less than a [reading](Cell::read) that was taken before.
    fn read_native(&self, into: &mut NativeReading) -> bool {
        let _ = into;
        false
    }

    /// Returns when the value began to count, in seconds since the epoch, if the
    /// cell knows better than the family, which says when it made the series.
    /// Asked once for each page layout.
    fn created(&self) -> Option<f64> {
        None
    }

    /// Returns how the cell lives in words that it does not own, if it can. Only
    /// cells of this crate do.
    #[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
    #[doc(hidden)]
    fn placement() -> Option<Placement<Self>>
    where
        Self: Sized,
    {
        None
    }

    /// Returns the table that holds the readings of all cells with these options, if
    /// there is one.
    #[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
    #[doc(hidden)]
    fn table(options: &Self::Options) -> Option<&dyn RowTable> {
        let _ = options;
        None
    }

    /// Returns the number of the cell's row in the table.
    #[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
    #[doc(hidden)]
    fn row(&self) -> u32 {
        0
    }
}

/// The readings of many cells, side by side.
#[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
#[doc(hidden)]
pub trait RowTable: Send + Sync {
    /// Writes the readings of a row and of those after it, as far as `into` has room.
    fn read(&self, first: u32, into: &mut [u64]);
}

/// Implements [`Cell`] for types that are one number, have no options and start at
/// their default. `$bits` converts the result of their `get`. Those with an encoding
/// are transparent over one 64-bit atomic.
macro_rules! one_number {
    ($($cell:ty: $bits:expr $(, in one word as $encoding:ident)?;)*) => {$(
        impl Cell for $cell {
            type Options = ();

            fn from_options((): &()) -> Self {
                Self::default()
            }

            fn width((): &()) -> usize {
                1
            }

            fn read(&self, into: &mut [u64]) {
                into[0] = $bits(self.get());
            }

            $(
                #[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
                #[allow(unsafe_code)]
                fn placement() -> Option<Placement<Self>> {
                    // SAFETY: the type is transparent over an atomic, and its default
                    // is the one whose bits are 0.
                    Some(unsafe { Placement::one_word(Encoding::$encoding) })
                }
            )?
        }
    )*};
}

one_number! {
    Counter: std::convert::identity, in one word as U64;
    FloatCounter: f64::to_bits, in one word as F64;
    Gauge: i64::cast_unsigned, in one word as I64;
    FloatGauge: f64::to_bits, in one word as F64;
}
