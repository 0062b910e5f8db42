//! Monotone counters.
//!
//! [`Counter`] counts in whole numbers; [`FloatCounter`] adds up fractions,
//! mostly seconds. Both can mirror a total that is kept elsewhere.
//! [`StripedCounter`] is for many threads that count the same thing without
//! pause.

use std::ops::Deref;

use super::stripe::stripes;
use super::{
    AtomicF64, Cell, ExemplarLabels, SingleWriter, WithExemplars, Writer, single_writer_reads,
};
use crate::sync::{AtomicU64, Ordering, Padded, const_fn, thread_slot};

/// A `u64` that only goes up, shared by any number of writers.
///
/// ```
/// use stethoscope::cell::Counter;
///
/// static REQUESTS: Counter = Counter::new();
///
/// REQUESTS.inc();
/// REQUESTS.inc_by(2);
/// assert_eq!(REQUESTS.get(), 3);
/// ```
///
/// A counter is eight bytes and is not padded to a cache line. Counters in a
/// registry are far enough apart. Statics that stand side by side and that
/// different threads update without pause belong into a type with
/// `#[repr(align(64))]` each.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Counter(AtomicU64);

impl Counter {
    const_fn! {
        /// Creates a counter that stands at 0.
        #[must_use]
        pub fn new() -> Self {
            Self(AtomicU64::new(0))
        }
    }

    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.inc_by(1);
    }

    /// Adds `n`, wrapping at 2^64.
    #[inline]
    pub fn inc_by(&self, n: u64) {
        // Relaxed: the count publishes nothing but itself.
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// Raises the count to `n` if it is less.
    ///
    /// For mirroring a source that keeps its own count, such as the kernel. The
    /// counter stays monotone in whichever order the source's readings arrive.
    pub fn raise_to(&self, n: u64) {
        // Relaxed: as in `inc_by`.
        self.0.fetch_max(n, Ordering::Relaxed);
    }

    /// Returns the current count.
    #[inline]
    pub fn get(&self) -> u64 {
        // Relaxed: as in `inc_by`.
        self.0.load(Ordering::Relaxed)
    }

    /// Sets the count back to 0, for tests that share a counter.
    ///
    /// To Prometheus this looks like a restart of the process.
    pub fn reset(&self) {
        // Relaxed: as in `inc_by`.
        self.0.store(0, Ordering::Relaxed);
    }
}

single_writer_reads!(Counter {
    "Returns the current count." get: u64,
});

impl<H: Deref<Target = SingleWriter<Counter>>> Writer<Counter, H> {
    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.inc_by(1);
    }

    /// Adds `n`, wrapping at 2^64.
    #[inline]
    pub fn inc_by(&self, n: u64) {
        add_exclusive(&self.cell().0, n);
    }
}

impl WithExemplars<Counter> {
    /// Adds `n` and records it as the exemplar.
    pub fn inc_by_with_exemplar(&self, n: u64, labels: &ExemplarLabels) {
        self.inc_by(n);
        self.record_exemplar(0, n as f64, labels);
    }
}

/// Adds by a plain load and store, to a count that one thread at a time writes.
#[inline]
fn add_exclusive(count: &AtomicU64, n: u64) {
    // Relaxed: the count publishes nothing but itself, and its owner reads its
    // own writes.
    let current = count.load(Ordering::Relaxed);
    count.store(current.wrapping_add(n), Ordering::Relaxed);
}

/// A `u64` that only goes up, for many threads that count without pause. Each
/// thread writes to a stripe of its own, and a reading adds the stripes up.
///
/// It takes four cache lines on two cores, and more on more. A [`Counter`] takes
/// eight bytes, and is the better choice unless updates are the hottest thing a
/// thread does.
///
/// Do not update it in a signal handler: a handler that interrupts an update of
/// the same counter may undo it.
///
/// ```
/// use stethoscope::cell::StripedCounter;
///
/// let rows = StripedCounter::new();
/// std::thread::scope(|threads| {
///     for _ in 0..8 {
///         threads.spawn(|| (0..1000).for_each(|_| rows.inc()));
///     }
/// });
/// assert_eq!(rows.get(), 8000);
/// ```
#[derive(Debug)]
pub struct StripedCounter(Stripes);

#[cfg(not(all(feature = "segment", target_os = "linux", not(loom))))]
type Stripes = Box<[Padded<Stripe>]>;
#[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
type Stripes = super::placement::CellMemory<Padded<Stripe>>;

#[derive(Debug, Default)]
#[repr(C)]
struct Stripe {
    /// Written by the one thread whose slot is the stripe's index.
    exclusive: AtomicU64,
    /// Written by threads whose slot is beyond the stripes.
    shared: AtomicU64,
}

impl Default for StripedCounter {
    fn default() -> Self {
        Self::with_stripes(stripes())
    }
}

impl StripedCounter {
    /// Creates a counter that stands at 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a counter with so many stripes, which must be a power of two.
    pub(super) fn with_stripes(stripes: usize) -> Self {
        Self((0..stripes).map(|_| Padded::default()).collect())
    }

    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.inc_by(1);
    }

    /// Adds `n`, wrapping at 2^64.
    #[inline]
    pub fn inc_by(&self, n: u64) {
        self.add(thread_slot(), n);
    }

    /// Adds `n` as the thread with this slot.
    #[inline]
    pub(super) fn add(&self, slot: usize, n: u64) {
        match self.0.get(slot) {
            Some(stripe) => add_exclusive(&stripe.exclusive, n),
            None => {
                // Relaxed: the count publishes nothing but itself.
                let stripe = &self.0[slot & (self.0.len() - 1)];
                stripe.shared.fetch_add(n, Ordering::Relaxed);
            }
        }
    }

    /// Returns the current count.
    ///
    /// It includes everything that the calling thread has added, and no thread
    /// ever sees it go back.
    #[inline]
    pub fn get(&self) -> u64 {
        // Relaxed: each stripe only goes up, and so does their sum.
        let count = |stripe: &Padded<Stripe>| {
            let exclusive = stripe.exclusive.load(Ordering::Relaxed);
            exclusive.wrapping_add(stripe.shared.load(Ordering::Relaxed))
        };
        self.0.iter().map(count).fold(0, u64::wrapping_add)
    }

    /// Sets the count back to 0, for tests that share a counter. An update that
    /// runs at the same time may undo part of it.
    ///
    /// To Prometheus this looks like a restart of the process.
    pub fn reset(&self) {
        for stripe in self.0.iter() {
            // Relaxed: as in `add`.
            stripe.exclusive.store(0, Ordering::Relaxed);
            stripe.shared.store(0, Ordering::Relaxed);
        }
    }
}

impl Cell for StripedCounter {
    type Options = ();

    fn from_options((): &()) -> Self {
        Self::default()
    }

    fn width((): &()) -> usize {
        1
    }

    fn read(&self, into: &mut [u64]) {
        into[0] = self.get();
    }

    #[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
    fn placement() -> Option<super::Placement<Self>> {
        const WORDS: usize = size_of::<Padded<Stripe>>() / size_of::<u64>();
        Some(super::Placement {
            encoding: super::Encoding::U64,
            parts: stripes(),
            #[allow(unsafe_code)]
            place: |(), words| {
                assert!(words.len() == stripes() * WORDS);
                // SAFETY: the words begin a cache line, as stripes do, and are as many
                // as theirs: two atomics, and padding. They are valid for as long as
                // the cell: the duties of `Placement::place`.
                super::Placed::Beside(Self(unsafe {
                    let first = words.as_ptr().cast::<Padded<Stripe>>();
                    Stripes::borrowed(std::slice::from_raw_parts(first, stripes()))
                }))
            },
        })
    }
}

impl WithExemplars<StripedCounter> {
    /// Adds `n` and records it as the exemplar.
    pub fn inc_by_with_exemplar(&self, n: u64, labels: &ExemplarLabels) {
        self.inc_by(n);
        self.record_exemplar(0, n as f64, labels);
    }
}

/// An `f64` that only goes up, shared by any number of writers.
///
/// A counter is monotone, so increments that would break this are ignored:
/// negative ones, NaN, and the infinities. The total stops at `f64::MAX`.
///
/// ```
/// use stethoscope::cell::FloatCounter;
///
/// static SECONDS: FloatCounter = FloatCounter::new();
///
/// SECONDS.inc_by(0.25);
/// SECONDS.inc_by(-1.0);
/// SECONDS.inc_by(f64::NAN);
/// assert_eq!(SECONDS.get(), 0.25);
/// ```
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct FloatCounter(AtomicF64);

impl FloatCounter {
    const_fn! {
        /// Creates a counter that stands at 0.
        #[must_use]
        pub fn new() -> Self {
            Self(AtomicF64::new(0.0))
        }
    }

    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.inc_by(1.0);
    }

    /// Adds `amount`. Ignored unless it is finite and greater than 0.
    #[inline]
    pub fn inc_by(&self, amount: f64) {
        if is_increment(amount) {
            self.0.update(|total| Some(saturating_sum(total, amount)));
        }
    }

    /// Raises the total to `total` if it is less. Ignored if `total` is NaN or
    /// infinite.
    ///
    /// For mirroring a source that keeps its own total, such as CPU seconds.
    pub fn raise_to(&self, total: f64) {
        if total.is_finite() {
            self.0.raise(total);
        }
    }

    /// Returns the current total.
    #[inline]
    pub fn get(&self) -> f64 {
        // Relaxed: the total publishes nothing but itself.
        self.0.load(Ordering::Relaxed)
    }

    /// Sets the total back to 0, for tests that share a counter.
    ///
    /// To Prometheus this looks like a restart of the process.
    pub fn reset(&self) {
        // Relaxed: as in `get`.
        self.0.store(0.0, Ordering::Relaxed);
    }
}

fn is_increment(amount: f64) -> bool {
    amount > 0.0 && amount < f64::INFINITY
}

fn saturating_sum(total: f64, amount: f64) -> f64 {
    (total + amount).min(f64::MAX)
}

single_writer_reads!(FloatCounter {
    "Returns the current total." get: f64,
});

impl<H: Deref<Target = SingleWriter<FloatCounter>>> Writer<FloatCounter, H> {
    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.inc_by(1.0);
    }

    /// Adds `amount`. Ignored unless it is finite and greater than 0.
    #[inline]
    pub fn inc_by(&self, amount: f64) {
        if is_increment(amount) {
            let total = &self.cell().0;
            total.update_exclusive(|total| saturating_sum(total, amount));
        }
    }
}

impl WithExemplars<FloatCounter> {
    /// Adds `amount` and records it as the exemplar. Ignored unless it is finite
    /// and greater than 0.
    pub fn inc_by_with_exemplar(&self, amount: f64, labels: &ExemplarLabels) {
        if is_increment(amount) {
            self.inc_by(amount);
            self.record_exemplar(0, amount, labels);
        }
    }
}
