//! Exemplars: one update, kept beside the number that it went into.
//!
//! A cell [`WithExemplars`] has a slot for each number that can have one. A slot
//! is a sequence lock made of atomic words: its sequence is odd while it is being
//! written, and a reader checks that it was even and has not changed. Nobody
//! waits: a writer that finds another one in the slot drops its exemplar, and a
//! reader gives up after a few disturbed attempts.

use std::ops::Deref;

use super::gauge::unix_seconds;
use super::{
    Buckets, Cell, Counter, FloatCounter, Histogram, NativeReading, ShardedHistogram,
    StripedCounter,
};
use crate::sync::{AtomicU64, Ordering, fence, fork_generation};

/// Words of text in a slot. 128 code points have at most 512 bytes, and there are
/// at most 256 terminators of names and values, since no name is empty.
const WORDS: usize = if cfg!(loom) { 1 } else { (512 + 256) / 8 };

/// Attempts of a reader. Under loom, a second one shows nothing new.
const ATTEMPTS: usize = if cfg!(loom) { 1 } else { 4 };

/// The labels of an exemplar: at most 128 code points, names and values
/// together. Once created, they may go with any number of updates.
///
/// A cell stores them as opaque text.
#[derive(Clone, Copy)]
pub struct ExemplarLabels {
    text: [u8; WORDS * 8],
    bytes: usize,
}

impl ExemplarLabels {
    pub(crate) const EMPTY: Self = Self {
        text: [0; WORDS * 8],
        bytes: 0,
    };

    /// Appends bytes. Panics if there is no room for them, which the caller has
    /// checked.
    pub(crate) fn push(&mut self, text: &[u8]) {
        self.text[self.bytes..][..text.len()].copy_from_slice(text);
        self.bytes += text.len();
    }

    /// Returns the bytes that were pushed.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.text[..self.bytes]
    }
}

/// An update, with its time and its labels.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Exemplar {
    /// The observed value, or the amount that a counter was raised by.
    pub value: f64,
    /// The time of the update, in seconds since 1970 (UTC).
    pub timestamp: f64,
    /// The labels, for example the ID of a trace.
    pub labels: ExemplarLabels,
}

impl Default for Exemplar {
    /// An exemplar of nothing, to read another into.
    fn default() -> Self {
        Self {
            value: 0.0,
            timestamp: 0.0,
            labels: ExemplarLabels::EMPTY,
        }
    }
}

/// A cell that can have exemplars: a counter or a histogram.
pub trait SupportsExemplars: Cell {
    /// Returns how many of the first numbers of a reading can have an exemplar.
    fn supported_exemplars(options: &Self::Options) -> usize;
}

/// Counters have one exemplar.
macro_rules! counters_support_exemplars {
    ($($counter:ty),*) => {$(
        impl SupportsExemplars for $counter {
            fn supported_exemplars((): &()) -> usize {
                1
            }
        }
    )*};
}

counters_support_exemplars!(Counter, FloatCounter, StripedCounter);

impl SupportsExemplars for Histogram {
    fn supported_exemplars(buckets: &Buckets) -> usize {
        buckets.bounds().len() + 1
    }
}

impl SupportsExemplars for ShardedHistogram {
    fn supported_exemplars(buckets: &Buckets) -> usize {
        Histogram::supported_exemplars(buckets)
    }
}

/// A cell that keeps the last exemplar of each counter or bucket, for
/// OpenMetrics pages.
///
/// It is updated like the cell that it wraps, at the same cost. An update with an
/// exemplar takes some 50 ns more, most of it for reading the clock. Each counter
/// or bucket takes 800 bytes more.
///
/// ```
/// use stethoscope::cell::{Cell, Counter, Exemplar, ExemplarLabels, WithExemplars};
///
/// let failures = WithExemplars::<Counter>::new();
/// failures.inc();
/// let trace = ExemplarLabels::new([("trace_id", "4bf92f35")])?;
/// failures.inc_by_with_exemplar(2, &trace);
/// assert_eq!(failures.get(), 3);
///
/// let mut exemplar = Exemplar::default();
/// assert!(failures.exemplar(0, &mut exemplar));
/// assert_eq!(exemplar.value, 2.0);
/// assert!(exemplar.labels.iter().eq([("trace_id", "4bf92f35")]));
/// # Ok::<(), stethoscope::ExemplarError>(())
/// ```
///
/// Histograms are created with [`Cell::from_options`]:
/// `WithExemplars::<Histogram>::from_options(&buckets)`.
#[derive(Debug)]
pub struct WithExemplars<C> {
    cell: C,
    slots: Box<[ExemplarSlot]>,
}

impl<C: SupportsExemplars<Options = ()>> WithExemplars<C> {
    /// Creates the cell, at its initial value and without exemplars.
    #[must_use]
    pub fn new() -> Self {
        Self::from_options(&())
    }
}

impl<C: SupportsExemplars<Options = ()>> Default for WithExemplars<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> WithExemplars<C> {
    /// Makes this update the exemplar of the number at `index`.
    pub(super) fn record_exemplar(&self, index: usize, value: f64, labels: &ExemplarLabels) {
        self.slots[index].write(value, unix_seconds(), labels, fork_generation());
    }

    /// Leaves the exemplar of the number at `index` as a fork would that hits a
    /// writer midway.
    #[cfg(all(test, loom))]
    pub(super) fn abandon_write(&self, index: usize) {
        self.slots[index].begin(fork_generation());
    }

    /// Records an exemplar as a process that has forked so often.
    #[cfg(all(test, loom))]
    pub(super) fn record_in_generation(&self, value: f64, labels: &ExemplarLabels, forks: u64) {
        self.slots[0].write(value, 0.0, labels, forks);
    }
}

impl<C> Deref for WithExemplars<C> {
    type Target = C;

    #[inline]
    fn deref(&self) -> &C {
        &self.cell
    }
}

impl<C: SupportsExemplars> Cell for WithExemplars<C> {
    type Options = C::Options;

    fn from_options(options: &C::Options) -> Self {
        Self {
            cell: C::from_options(options),
            slots: (0..C::supported_exemplars(options))
                .map(|_| ExemplarSlot::new())
                .collect(),
        }
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

    fn exemplars(options: &C::Options) -> usize {
        C::supported_exemplars(options)
    }

    fn exemplar(&self, index: usize, into: &mut Exemplar) -> bool {
        self.slots.get(index).is_some_and(|slot| slot.read(into))
    }
}

/// Room for one exemplar.
#[derive(Debug)]
struct ExemplarSlot {
    /// 0 before the first write, odd during one. The highest 16 bits are the
    /// fork generation of the last writer.
    sequence: AtomicU64,
    value: AtomicU64,
    timestamp: AtomicU64,
    bytes: AtomicU64,
    text: [AtomicU64; WORDS],
}

/// The position of the fork generation in a sequence.
const GENERATION_SHIFT: u32 = 48;

impl ExemplarSlot {
    fn new() -> Self {
        Self {
            sequence: AtomicU64::new(0),
            value: AtomicU64::new(0),
            timestamp: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            text: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Makes the sequence odd, and returns it unless another writer has done so.
    fn begin(&self, generation: u64) -> Option<u64> {
        // Relaxed: compared again by the exchange.
        let sequence = self.sequence.load(Ordering::Relaxed);
        let generation = generation << GENERATION_SHIFT;
        let writes = sequence & !(u64::MAX << GENERATION_SHIFT);
        let next = match writes % 2 {
            0 => writes + 1,
            // The writer was a thread of the process that this one was forked
            // from: it will never finish here.
            _ if sequence - writes != generation => writes + 2,
            _ => return None,
        };
        let next = generation | next;
        // Acquire: pairs with the Release of the previous writer in `write`.
        self.sequence
            .compare_exchange(sequence, next, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
            .then_some(next)
    }

    fn write(&self, value: f64, timestamp: f64, labels: &ExemplarLabels, generation: u64) {
        let Some(sequence) = self.begin(generation) else {
            return;
        };
        // Release: pairs with the Acquire fence in `read`. A reader that sees one
        // of the stores below sees that the sequence is odd.
        fence(Ordering::Release);
        self.value.store(value.to_bits(), Ordering::Relaxed);
        self.timestamp.store(timestamp.to_bits(), Ordering::Relaxed);
        self.bytes.store(labels.bytes as u64, Ordering::Relaxed);
        let (words, _) = labels.text.as_chunks();
        let written = labels.bytes.div_ceil(8);
        for (to, from) in self.text.iter().zip(words).take(written) {
            to.store(u64::from_le_bytes(*from), Ordering::Relaxed);
        }
        // Release: pairs with the Acquire in `read`, and with that in `begin`.
        self.sequence.store(sequence + 1, Ordering::Release);
    }

    /// Returns false if there is no exemplar, or if it is being replaced.
    fn read(&self, into: &mut Exemplar) -> bool {
        for _ in 0..ATTEMPTS {
            // Acquire: pairs with the Release at the end of `write`.
            let sequence = self.sequence.load(Ordering::Acquire);
            if sequence == 0 {
                return false;
            }
            into.value = f64::from_bits(self.value.load(Ordering::Relaxed));
            into.timestamp = f64::from_bits(self.timestamp.load(Ordering::Relaxed));
            into.labels.bytes = self.bytes.load(Ordering::Relaxed) as usize;
            let (words, _) = into.labels.text.as_chunks_mut();
            let written = into.labels.bytes.div_ceil(8);
            for (to, from) in words.iter_mut().zip(&self.text).take(written) {
                *to = from.load(Ordering::Relaxed).to_le_bytes();
            }
            // Acquire: pairs with the Release fence in `write`. If any of the
            // loads above saw a later write, the load below sees its sequence.
            fence(Ordering::Acquire);
            if sequence.is_multiple_of(2) && self.sequence.load(Ordering::Relaxed) == sequence {
                return true;
            }
        }
        false
    }
}
