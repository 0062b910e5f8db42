//! A recorder for the facade `metrics`: puts what a whole dependency tree counts with
//! its macros into a registry.
//!
//! ```text
//! counter!("x", "code" => "200")
//!     └── Recorder ── Table ── Entry ── metrics::Counter     if the series is known: no lock
//!           └── Families ── MixedFamily ── Handle            to make it
//! ```

mod families;
mod handles;
mod histograms;

pub use histograms::{Histograms, Matcher};

use crate::Registry;
use crate::family::{Entry, Hashed, Readers, Table};
use crate::fork::ForkSafeMutex;
use crate::sync::Arc as SyncArc;
use ::metrics::{Key, KeyName, Metadata, SetRecorderError, SharedString, Unit};
use families::{Families, InstrumentKind};
use histograms::HistogramRules;
use std::fmt;
use std::sync::Arc;

/// Records what the macros of the facade `metrics` count, measure and observe in a
/// registry. Needs the feature `metrics`.
///
/// Clones are cheap and are the same recorder.
///
/// - A macro call finds its series without a lock. If the labels are literals, it does
///   not allocate.
/// - One name may have different labels at different calls.
/// - Characters that Prometheus does not allow in names become underscores. A label
///   that a constant label of the registry or the lines of a histogram need (`le`) is
///   shown with the prefix `exported_`. Labels without a value are left out.
/// - The page shows a counter with `_total` at its end, whether its name has it or not.
/// - A description may come before the first use or after it. A unit is shown if the
///   name ends in it.
/// - A metric whose name another one requires, a gauge of the name of a histogram for
///   example, is counted nowhere. The page shows its name as
///   `stethoscope_recorder_refused{name="…",type="…"} 1`.
///
/// Series are found by the hash that the facade computes, which is not keyed: do not
/// let strangers choose the values of labels.
///
/// ```
/// use stethoscope::{Registry, bridge::Recorder, exposition::Format};
///
/// let registry = Registry::new();
/// let recorder = Recorder::new(&registry); // recorder.install()? for the whole process
/// metrics::with_local_recorder(&recorder, || {
///     metrics::counter!("requests", "code" => "200").increment(1);
///     metrics::describe_counter!("requests", "Requests answered.");
/// });
/// let mut scraper = registry.scraper();
/// let page = scraper.scrape(Format::Text);
/// assert!(page.starts_with(b"# HELP requests_total Requests answered.\n"));
/// assert!(page.ends_with(b"\nrequests_total{code=\"200\"} 1\n"));
/// ```
#[derive(Clone)]
pub struct Recorder(Arc<Instruments>);

struct Instruments {
    counters: SeriesTable<::metrics::Counter>,
    gauges: SeriesTable<::metrics::Gauge>,
    histograms: SeriesTable<::metrics::Histogram>,
    families: ForkSafeMutex<Families>,
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

impl Recorder {
    /// Creates a recorder into a registry, or into a view of it with a namespace or
    /// constant labels. Histograms have the [default
    /// buckets](crate::cell::Buckets::default).
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        Self::builder(registry).build()
    }

    /// Describes a recorder with other histograms or with a limit.
    pub fn builder(registry: &Registry) -> RecorderBuilder {
        RecorderBuilder {
            registry: registry.clone(),
            rules: HistogramRules::default(),
            max_series: usize::MAX,
        }
    }

    /// Makes this the recorder of the whole process.
    ///
    /// # Errors
    /// If the process has one already.
    pub fn install(&self) -> Result<(), SetRecorderError<Self>> {
        ::metrics::set_global_recorder(self.clone())
    }

    /// Finds a series, or makes it with `make`, which returns `None` if the series is
    /// refused.
    #[inline]
    fn find_or_make<T: Clone + Send + Sync>(
        &self,
        series: &SeriesTable<T>,
        key: &Key,
        make: impl FnOnce(&mut Families) -> Option<T>,
    ) -> Option<T> {
        match series.find(key) {
            Some(entry) => Some(entry.handle.clone()),
            None => self.make(series, key, make),
        }
    }

    #[cold]
    fn make<T: Clone + Send + Sync>(
        &self,
        series: &SeriesTable<T>,
        key: &Key,
        make: impl FnOnce(&mut Families) -> Option<T>,
    ) -> Option<T> {
        let mut families = self.0.families.lock();
        let made = make(&mut families)?;
        let mut entries = series.write();
        // Another thread may have been faster.
        if let Some(entry) = entries.find(key) {
            return Some(entry.handle.clone());
        }
        entries.insert(SyncArc::new(SeriesEntry {
            key: key.to_retained(),
            handle: made.clone(),
        }));
        entries.finish();
        Some(made)
    }

    fn describe(
        &self,
        kind: InstrumentKind,
        name: &KeyName,
        unit: Option<Unit>,
        help: SharedString,
    ) {
        let mut families = self.0.families.lock();
        families.describe(kind, name.as_str(), unit, help.into_owned());
    }
}

/// The instruments of one kind, by their key.
type SeriesTable<T> = Table<SeriesEntry<T>, ()>;

struct SeriesEntry<T> {
    key: Key,
    handle: T,
}

impl<T: Send + Sync> Entry for SeriesEntry<T> {
    type Key<'k> = Key;

    #[inline]
    fn hash(&self) -> u64 {
        self.key.get_hash()
    }

    #[inline]
    fn matches(&self, key: &Key) -> bool {
        self.key == *key
    }
}

impl Hashed for Key {
    #[inline]
    fn hash(&self) -> u64 {
        self.get_hash()
    }
}

impl ::metrics::Recorder for Recorder {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe(InstrumentKind::Counter, &name, unit, help);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe(InstrumentKind::Gauge, &name, unit, help);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.describe(InstrumentKind::Histogram, &name, unit, help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> ::metrics::Counter {
        self.find_or_make(&self.0.counters, key, |families| families.counter(key))
            .unwrap_or(::metrics::Counter::noop())
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> ::metrics::Gauge {
        self.find_or_make(&self.0.gauges, key, |families| families.gauge(key))
            .unwrap_or(::metrics::Gauge::noop())
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> ::metrics::Histogram {
        self.find_or_make(&self.0.histograms, key, |families| families.histogram(key))
            .unwrap_or(::metrics::Histogram::noop())
    }
}

/// Describes a [`Recorder`].
///
/// ```
/// use stethoscope::Registry;
/// use stethoscope::bridge::{Matcher, Recorder};
/// use stethoscope::cell::{Buckets, QuantileOptions};
///
/// let registry = Registry::new();
/// let recorder = Recorder::builder(&registry)
///     .histograms(Matcher::Suffix("_bytes".into()), Buckets::exponential(256.0, 4.0, 8)?)
///     .histograms(Matcher::Full("rpc.latency".into()), QuantileOptions::new([0.5, 0.99])?)
///     .max_series(10_000)
///     .build();
/// metrics::with_local_recorder(&recorder, || {
///     metrics::histogram!("rpc.latency").record(0.02);
/// });
/// # assert!(registry.contains("rpc_latency"));
/// # Ok::<(), stethoscope::cell::OptionsError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` or `install`"]
pub struct RecorderBuilder {
    registry: Registry,
    rules: HistogramRules,
    max_series: usize,
}

impl RecorderBuilder {
    /// Sets the form of the histograms whose names match. A full name precedes
    /// prefixes, and these precede suffixes; among several of a kind, the first counts.
    pub fn histograms(mut self, names: Matcher, form: impl Into<Histograms>) -> Self {
        self.rules.add(names, form.into());
        self
    }

    /// Sets the form of all other histograms.
    pub fn default_histograms(mut self, form: impl Into<Histograms>) -> Self {
        self.rules.set_default(form.into());
        self
    }

    /// Limits the series of each name. Further ones are counted in
    /// `stethoscope_series_refused_total{family="…"}` only. A limit of 0 refuses every series;
    /// it does not mean that there is no limit.
    pub fn max_series(mut self, series: usize) -> Self {
        self.max_series = series;
        self
    }

    /// Creates the recorder.
    #[must_use]
    pub fn build(self) -> Recorder {
        let readers = Readers::new();
        let families = Families::new(self.registry, self.rules, self.max_series);
        Recorder(Arc::new(Instruments {
            counters: Table::new(SyncArc::clone(&readers), ()),
            gauges: Table::new(SyncArc::clone(&readers), ()),
            histograms: Table::new(readers, ()),
            families: ForkSafeMutex::new(families),
        }))
    }

    /// Creates the recorder, and makes it the recorder of the whole process.
    ///
    /// # Errors
    /// If the process has one already.
    pub fn install(self) -> Result<Recorder, SetRecorderError<Recorder>> {
        let recorder = self.build();
        recorder.install()?;
        Ok(recorder)
    }
}
