//! Exemplars: one update, kept beside the number that it went into.
//!
//! A cell [`WithExemplars`] has a slot for each number that may have one. The
//! slot is a sequence lock made of atomic words: its sequence is odd while it is
//! written, and who reads checks that it was even and stayed the same. Nobody
//! waits: a writer that finds another at the slot leaves it its exemplar, and a
//! reader that is disturbed a few times goes without.

use std::ops::Deref;

use super::gauge::seconds_since_1970;
use super::{Buckets, Cell, Counter, FloatCounter, Histogram, ShardedHistogram, StripedCounter};
use crate::sync::{AtomicU64, Ordering, fence};

/// Words of text that a slot holds. 128 code points have at most 512 bytes, and
/// 256 ends of names and values between them: no name is empty.
const WORDS: usize = if cfg!(loom) { 1 } else { (512 + 256) / 8 };

/// How often a reader tries. Under loom, a second time shows nothing new.
const TRIES: usize = if cfg!(loom) { 1 } else { 4 };

/// The labels of an exemplar: at most 128 code points, names and values
/// together. Made once, they may go with any number of updates.
///
/// To a cell they are a piece of text that is kept as it is.
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

    /// Appends bytes as they are; whoever calls this has seen to it that they
    /// fit.
    pub(crate) fn push(&mut self, text: &[u8]) {
        self.text[self.bytes..][..text.len()].copy_from_slice(text);
        self.bytes += text.len();
    }

    /// What was pushed.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.text[..self.bytes]
    }
}

/// One update, and when and with which labels it was made.
#[derive(Clone, Copy, Debug)]
pub struct Exemplar {
    /// What was observed, or what was added to a counter.
    pub value: f64,
    /// When, in seconds since 1970 (UTC).
    pub timestamp: f64,
    /// What it was about, such as the id of a trace.
    pub labels: ExemplarLabels,
}

impl Default for Exemplar {
    /// Of nothing: room to read one into.
    fn default() -> Self {
        Self {
            value: 0.0,
            timestamp: 0.0,
            labels: ExemplarLabels::EMPTY,
        }
    }
}

/// A cell that can have exemplars: a counter or a histogram.
pub trait Exemplify: Cell {
    /// How many of the first numbers of a reading may have one.
    fn slots(options: &Self::Options) -> usize;
}

impl Exemplify for Counter {
    fn slots((): &()) -> usize {
        1
    }
}

impl Exemplify for FloatCounter {
    fn slots((): &()) -> usize {
        1
    }
}

impl Exemplify for StripedCounter {
    fn slots((): &()) -> usize {
        1
    }
}

impl Exemplify for Histogram {
    fn slots(buckets: &Buckets) -> usize {
        buckets.bounds().len() + 1
    }
}

impl Exemplify for ShardedHistogram {
    fn slots(buckets: &Buckets) -> usize {
        Histogram::slots(buckets)
    }
}

/// A cell that keeps the last exemplar of each counter or bucket, for
/// OpenMetrics pages.
///
/// It can be updated like the cell it is made of, at the same cost; an update
/// with an exemplar takes some 50 ns more, most of it for the time of day. Each
/// counter or bucket takes 800 bytes more.
///
/// ```
/// use stethoscope::cell::{Cell, Counter, Exemplar, ExemplarLabels, WithExemplars};
///
/// let failures = WithExemplars::<Counter>::new(&());
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
#[derive(Debug)]
pub struct WithExemplars<C> {
    cell: C,
    slots: Box<[Slot]>,
}

impl<C> WithExemplars<C> {
    /// Makes this update the exemplar of the number at `index`.
    pub(super) fn keep(&self, index: usize, value: f64, labels: &ExemplarLabels) {
        self.slots[index].write(value, seconds_since_1970(), labels);
    }
}

impl<C> Deref for WithExemplars<C> {
    type Target = C;

    #[inline]
    fn deref(&self) -> &C {
        &self.cell
    }
}

impl<C: Exemplify> Cell for WithExemplars<C> {
    type Options = C::Options;

    fn new(options: &C::Options) -> Self {
        Self {
            cell: C::new(options),
            slots: (0..C::slots(options)).map(|_| Slot::new()).collect(),
        }
    }

    fn width(options: &C::Options) -> usize {
        C::width(options)
    }

    fn read(&self, into: &mut [u64]) {
        self.cell.read(into);
    }

    fn exemplars(options: &C::Options) -> usize {
        C::slots(options)
    }

    fn exemplar(&self, index: usize, into: &mut Exemplar) -> bool {
        self.slots.get(index).is_some_and(|slot| slot.read(into))
    }
}

/// Room for one exemplar.
#[derive(Debug)]
struct Slot {
    /// 0 before the first write, odd during one.
    sequence: AtomicU64,
    value: AtomicU64,
    timestamp: AtomicU64,
    bytes: AtomicU64,
    text: [AtomicU64; WORDS],
}

impl Slot {
    fn new() -> Self {
        Self {
            sequence: AtomicU64::new(0),
            value: AtomicU64::new(0),
            timestamp: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            text: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    fn write(&self, value: f64, timestamp: f64, labels: &ExemplarLabels) {
        // Relaxed: compared again by the exchange.
        let sequence = self.sequence.load(Ordering::Relaxed);
        // Acquire: pairs with the Release below, of the writer before.
        let mine = sequence.is_multiple_of(2)
            && self
                .sequence
                .compare_exchange(sequence, sequence + 1, Ordering::Acquire, Ordering::Relaxed)
                .is_ok();
        if !mine {
            return;
        }
        // Release: pairs with the Acquire fence in `read`. Who sees one of the
        // stores below sees that the sequence is odd.
        fence(Ordering::Release);
        self.value.store(value.to_bits(), Ordering::Relaxed);
        self.timestamp.store(timestamp.to_bits(), Ordering::Relaxed);
        self.bytes.store(labels.bytes as u64, Ordering::Relaxed);
        let (words, _) = labels.text.as_chunks();
        let written = labels.bytes.div_ceil(8);
        for (to, from) in self.text.iter().zip(words).take(written) {
            to.store(u64::from_le_bytes(*from), Ordering::Relaxed);
        }
        // Release: pairs with the Acquire in `read`, and with that above.
        self.sequence.store(sequence + 2, Ordering::Release);
    }

    fn read(&self, into: &mut Exemplar) -> bool {
        for _ in 0..TRIES {
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
