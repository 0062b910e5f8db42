//! Monotone counters.
//!
//! [`Counter`] counts in whole numbers, [`FloatCounter`] adds up what comes in
//! fractions (seconds, mostly). Both are one word on a cache line of its own,
//! and both can mirror a count that lives elsewhere. [`StripedCounter`] is for
//! many threads that count the same thing without pause.

use std::ops::Deref;

use super::stripe::stripes;
use super::{AtomicF64, ExemplarLabels, SingleWriter, WithExemplars, Writer};
use crate::sync::{AtomicU64, Ordering, Padded, thread_number};

/// A `u64` that only goes up, shared by any number of writers.
///
/// ```
/// use stethoscope::cell::{Cell, Counter};
///
/// let requests = Counter::new(&());
/// requests.inc();
/// requests.inc_by(2);
/// assert_eq!(requests.get(), 3);
/// ```
#[derive(Debug, Default)]
pub struct Counter(Padded<AtomicU64>);

impl Counter {
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

    /// Raises the count to `n` if it is less: the mirror of a source that
    /// counts by itself, such as the kernel. It stays monotone whichever order
    /// its readings arrive in.
    pub fn set_to_at_least(&self, n: u64) {
        // Relaxed: as in `inc_by`.
        self.0.fetch_max(n, Ordering::Relaxed);
    }

    /// The count now.
    #[inline]
    pub fn get(&self) -> u64 {
        // Relaxed: as in `inc_by`.
        self.0.load(Ordering::Relaxed)
    }
}

impl SingleWriter<Counter> {
    /// The count now.
    #[inline]
    pub fn get(&self) -> u64 {
        self.cell().get()
    }
}

impl<H: Deref<Target = SingleWriter<Counter>>> Writer<Counter, H> {
    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.inc_by(1);
    }

    /// Adds `n`, wrapping at 2^64.
    #[inline]
    pub fn inc_by(&self, n: u64) {
        add_owned(&self.cell().0, n);
    }
}

impl WithExemplars<Counter> {
    /// Adds `n`, and keeps it as the exemplar.
    pub fn inc_by_with_exemplar(&self, n: u64, labels: &ExemplarLabels) {
        self.inc_by(n);
        self.keep(0, n as f64, labels);
    }
}

/// Adds by a plain load and store, to a count that one thread at a time writes.
#[inline]
fn add_owned(count: &AtomicU64, n: u64) {
    // Relaxed: the count publishes nothing but itself, and its owner reads what
    // it wrote itself.
    let now = count.load(Ordering::Relaxed);
    count.store(now.wrapping_add(n), Ordering::Relaxed);
}

/// A `u64` that only goes up, for many threads that count without pause: each
/// has a stripe of its own to write to, and a reading adds the stripes up.
///
/// It takes four cache lines on two cores, and more on more; a [`Counter`]
/// takes one, and is the better choice where updates are not the hottest thing
/// a thread does. Not for signal handlers: one that
/// interrupts an update of the same counter may undo it.
///
/// ```
/// use stethoscope::cell::{Cell, StripedCounter};
///
/// let rows = StripedCounter::new(&());
/// std::thread::scope(|threads| {
///     for _ in 0..8 {
///         threads.spawn(|| (0..1000).for_each(|_| rows.inc()));
///     }
/// });
/// assert_eq!(rows.get(), 8000);
/// ```
#[derive(Debug)]
pub struct StripedCounter(Box<[Padded<Stripe>]>);

#[derive(Debug, Default)]
struct Stripe {
    /// Written by the one thread with the stripe's number.
    own: AtomicU64,
    /// Written by threads whose number is beyond the stripes.
    shared: AtomicU64,
}

impl Default for StripedCounter {
    fn default() -> Self {
        Self::with_stripes(stripes())
    }
}

impl StripedCounter {
    /// `stripes` is a power of two.
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
        self.add(thread_number(), n);
    }

    #[inline]
    pub(super) fn add(&self, thread: usize, n: u64) {
        match self.0.get(thread) {
            Some(stripe) => add_owned(&stripe.own, n),
            None => {
                // Relaxed: the count publishes nothing but itself.
                let stripe = &self.0[thread & (self.0.len() - 1)];
                stripe.shared.fetch_add(n, Ordering::Relaxed);
            }
        }
    }

    /// The count now. What a thread has added is in every count that it asks
    /// for later, and no thread ever sees the count go back.
    #[inline]
    pub fn get(&self) -> u64 {
        // Relaxed: each stripe only goes up, so their sum does.
        let count = |stripe: &Padded<Stripe>| {
            let own = stripe.own.load(Ordering::Relaxed);
            own.wrapping_add(stripe.shared.load(Ordering::Relaxed))
        };
        self.0.iter().map(count).fold(0, u64::wrapping_add)
    }
}

impl WithExemplars<StripedCounter> {
    /// Adds `n`, and keeps it as the exemplar.
    pub fn inc_by_with_exemplar(&self, n: u64, labels: &ExemplarLabels) {
        self.inc_by(n);
        self.keep(0, n as f64, labels);
    }
}

/// An `f64` that only goes up, shared by any number of writers.
///
/// Monotone is the promise, so what would break it is ignored: an increment
/// that is negative, NaN or infinite changes nothing. The sum stops at
/// `f64::MAX`.
///
/// ```
/// use stethoscope::cell::{Cell, FloatCounter};
///
/// let seconds = FloatCounter::new(&());
/// seconds.inc_by(0.25);
/// seconds.inc_by(-1.0);
/// seconds.inc_by(f64::NAN);
/// assert_eq!(seconds.get(), 0.25);
/// ```
#[derive(Debug, Default)]
pub struct FloatCounter(Padded<AtomicF64>);

impl FloatCounter {
    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.inc_by(1.0);
    }

    /// Adds `amount`; ignored unless it is finite and above 0.
    #[inline]
    pub fn inc_by(&self, amount: f64) {
        if is_increment(amount) {
            self.0.update(|now| Some(sum(now, amount)));
        }
    }

    /// Raises the sum to `total` if it is less: the mirror of a source that
    /// adds up by itself, such as CPU seconds. Ignored where `total` is NaN or
    /// infinite.
    pub fn set_to_at_least(&self, total: f64) {
        if total.is_finite() {
            self.0.raise(total);
        }
    }

    /// The sum now.
    #[inline]
    pub fn get(&self) -> f64 {
        // Relaxed: the sum publishes nothing but itself.
        self.0.load(Ordering::Relaxed)
    }
}

fn is_increment(amount: f64) -> bool {
    amount > 0.0 && amount < f64::INFINITY
}

fn sum(now: f64, amount: f64) -> f64 {
    (now + amount).min(f64::MAX)
}

impl SingleWriter<FloatCounter> {
    /// The sum now.
    #[inline]
    pub fn get(&self) -> f64 {
        self.cell().get()
    }
}

impl<H: Deref<Target = SingleWriter<FloatCounter>>> Writer<FloatCounter, H> {
    /// Adds one.
    #[inline]
    pub fn inc(&self) {
        self.inc_by(1.0);
    }

    /// Adds `amount`; ignored unless it is finite and above 0.
    #[inline]
    pub fn inc_by(&self, amount: f64) {
        if is_increment(amount) {
            self.cell().0.update_owned(|now| sum(now, amount));
        }
    }
}

impl WithExemplars<FloatCounter> {
    /// Adds `amount`, and keeps it as the exemplar; both ignored unless it is
    /// finite and above 0.
    pub fn inc_by_with_exemplar(&self, amount: f64, labels: &ExemplarLabels) {
        if is_increment(amount) {
            self.inc_by(amount);
            self.keep(0, amount, labels);
        }
    }
}
