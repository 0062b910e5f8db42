//! Registries: the families of a page, in order.
//!
//! Whatever could spoil a page is refused when it is registered: invalid names,
//! duplicates, names that two families require.
//!
//! A registry is a value, not a global: a process that serves two pages has two of
//! them.
//!
//! # Forks
//!
//! The process may fork at any time, from any language: the first registry
//! installs `pthread_atfork` handlers, which wait the few microseconds that
//! another thread may take to change a family, so that a child never inherits a
//! locked mutex. In the child every registry, family and handle works, with the
//! values of the moment of the fork (of a registry in a segment: at 0). Threads do not survive a fork, so an endpoint
//! does not serve there, and a [`Scraper`](crate::Scraper) or a lock of the
//! program's own that another thread used at that moment must not be used.
//!
//! The handlers do not run for raw `clone` system calls. In a child of such a
//! call only updates and look-ups of existing series are safe.

mod builder;
mod check;
mod contents;
mod core;
mod error;
mod gather;
pub(crate) mod hooks;
mod metrics;

pub use builder::FamilyBuilder;
pub(crate) use contents::Contents;
pub(crate) use core::Core;
pub use error::{RegisterError, RegisterErrorKind};
pub use gather::{GatheredFamily, GatheredSeries, Value};
pub use hooks::HookId;
pub use metrics::{MetricField, Metrics};

use crate::cell::{
    Buckets, Counter, FloatCounter, FloatGauge, Gauge, Histogram, Info, NativeHistogram,
    NativeHistogramOptions, Quantile, QuantileOptions, StateSet,
};
use crate::family::{ExistingCell, Family, Handle, Metric};
use crate::fork;
use crate::name::NameRules;
use contents::{Included, Prefix};
use std::fmt;
use std::sync::Arc;

/// The families of one page, in the order of their registration.
///
/// Clones are cheap and are the same registry. Registering, removing and scraping
/// may happen on any threads at once.
///
/// ```
/// use stethoscope::{Registry, exposition::Format};
///
/// let registry = Registry::new();
/// let tasks = registry.gauge_family("tasks", "Tasks by state.", ["state"])?;
/// tasks.with(["executing"])?.set(3);
///
/// let mut scraper = registry.scraper();
/// assert_eq!(
///     scraper.scrape(Format::Text),
///     b"# HELP tasks Tasks by state.\n# TYPE tasks gauge\ntasks{state=\"executing\"} 3\n"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Registry {
    core: Arc<Core>,
    /// The namespace and the labels that this view of the registry adds.
    prefix: Arc<Prefix>,
    rules: NameRules,
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("families", &self.core.names())
            .finish_non_exhaustive()
    }
}

/// # Views
impl Registry {
    /// Creates a registry without families.
    #[must_use]
    pub fn new() -> Self {
        fork::install_handlers();
        Self {
            core: Arc::new(Core::new()),
            prefix: Arc::default(),
            rules: NameRules::Classic,
        }
    }

    /// Creates a registry whose cells are in a segment, where other processes can
    /// read them. See [`segment`](crate::segment) for which cells can be.
    ///
    /// ```
    /// use stethoscope::{Registry, segment::Segment};
    ///
    /// # let directory = format!("/dev/shm/stethoscope-registry-{}", std::process::id());
    /// let segment = Segment::in_dir(&directory)?;
    /// let registry = Registry::in_segment(&segment);
    /// registry.counter("jobs_total", "Jobs.")?.inc();
    /// # std::fs::remove_dir_all(&directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
    #[must_use]
    pub fn in_segment(segment: &crate::segment::Segment) -> Self {
        let registry = Self::new();
        registry.use_segment(segment);
        registry
    }

    /// Has the cells of families that are registered from now on in a segment, where
    /// other processes can read them. Returns false if the registry has a segment
    /// already.
    ///
    /// ```
    /// use stethoscope::{Registry, segment::{Reader, Segment}};
    ///
    /// # let directory = format!("/dev/shm/stethoscope-use-{}", std::process::id());
    /// let registry = Registry::new();
    /// registry.counter("early_total", "Only this process sees it.")?;
    /// let segment = Segment::in_dir(&directory)?;
    /// assert!(registry.use_segment(&segment));
    /// registry.counter("jobs_total", "Jobs.")?;
    ///
    /// let mut reader = Reader::open(segment.path())?;
    /// reader.refresh()?;
    /// assert!(reader.registry().contains("jobs_total"));
    /// assert!(!reader.registry().contains("early_total"));
    /// # std::fs::remove_dir_all(&directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
    pub fn use_segment(&self, segment: &crate::segment::Segment) -> bool {
        self.core.use_segment(segment)
    }

    /// Returns a view of the registry that adds a namespace: `namespace_` precedes
    /// the names that are registered through it.
    ///
    /// In a view of a view, the inner namespace is nearer to the name.
    ///
    /// ```
    /// # let registry = stethoscope::Registry::new();
    /// let http = registry.with_namespace("myapp").with_namespace("http");
    /// http.counter("requests_total", "Requests.")?;
    /// assert!(registry.contains("myapp_http_requests_total"));
    /// # Ok::<(), stethoscope::RegisterError>(())
    /// ```
    #[must_use]
    pub fn with_namespace(&self, namespace: &str) -> Self {
        self.with_prefix(Prefix {
            namespace: Some(namespace.to_owned()),
            const_labels: Vec::new(),
        })
    }

    /// Returns a view of the registry that adds labels: the series of families
    /// that are registered through it have these labels before their own.
    ///
    /// ```
    /// # use stethoscope::{Registry, exposition::Format};
    /// let registry = Registry::new();
    /// registry.with_const_labels([("cluster", "blue")]).gauge("up", "Up.")?.set(1);
    /// let mut scraper = registry.scraper();
    /// assert!(scraper.scrape(Format::Text).ends_with(b"up{cluster=\"blue\"} 1\n"));
    /// # Ok::<(), stethoscope::RegisterError>(())
    /// ```
    #[must_use]
    pub fn with_const_labels<N: Into<String>, V: Into<String>>(
        &self,
        labels: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let labels = labels.into_iter();
        self.with_prefix(Prefix {
            namespace: None,
            const_labels: labels.map(|(n, v)| (n.into(), v.into())).collect(),
        })
    }

    fn with_prefix(&self, inner: Prefix) -> Self {
        Self {
            prefix: Arc::new(self.prefix.then(&inner)),
            ..self.clone()
        }
    }

    /// Returns a view of the registry that accepts any UTF-8 in the names of
    /// metrics and labels.
    ///
    /// Scrapers that do not support such names get them escaped. Two names that
    /// some escaping writes alike cannot both be registered.
    #[must_use]
    pub fn with_utf8_names(&self) -> Self {
        Self {
            rules: NameRules::Utf8,
            ..self.clone()
        }
    }
}

/// # Registering
impl Registry {
    /// Describes a family of `C`, beginning with name and help.
    ///
    /// A counter's name may be given with or without `_total`, an info's with or
    /// without `_info`: each format shows the name as it requires.
    pub fn family<C: Metric>(&self, name: &str, help: &str) -> FamilyBuilder<'_, C>
    where
        C::Options: Default,
    {
        FamilyBuilder::new(self, name, help, C::Options::default())
    }

    /// Registers a cell that exists, without labels: an [`Arc`], a `&'static`
    /// reference, or the cell itself. To add such cells to a family with labels,
    /// use [`Family::insert`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// use stethoscope::{Registry, cell::{Counter, Gauge}};
    ///
    /// static REQUESTS: Counter = Counter::new();
    ///
    /// let registry = Registry::new();
    /// registry.register("requests_total", "Requests.", &REQUESTS)?;
    /// let depth = Arc::new(Gauge::default());
    /// registry.register("queue_depth", "Requests that wait.", Arc::clone(&depth))?;
    /// depth.set(3);
    /// # Ok::<(), stethoscope::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`FamilyBuilder::register`].
    pub fn register<C: ExistingCell>(
        &self,
        name: &str,
        help: &str,
        cell: C,
    ) -> Result<Handle<C>, RegisterError> {
        FamilyBuilder::new(self, name, help, cell.options()).register_cell(cell)
    }

    /// Registers a counter without labels.
    ///
    /// # Errors
    /// As for [`FamilyBuilder::register`].
    pub fn counter(&self, name: &str, help: &str) -> Result<Handle<Counter>, RegisterError> {
        self.family(name, help).register_single()
    }

    /// Registers a family of counters with these labels.
    ///
    /// # Errors
    /// As for [`FamilyBuilder::register`].
    pub fn counter_family<S: Into<String>>(
        &self,
        name: &str,
        help: &str,
        labels: impl IntoIterator<Item = S>,
    ) -> Result<Family<Counter>, RegisterError> {
        self.family(name, help).labels(labels).register()
    }

    /// Registers a counter of floats without labels.
    ///
    /// # Errors
    /// As for [`FamilyBuilder::register`].
    pub fn float_counter(
        &self,
        name: &str,
        help: &str,
    ) -> Result<Handle<FloatCounter>, RegisterError> {
        self.family(name, help).register_single()
    }

    /// Registers a family of counters of floats with these labels.
    ///
    /// # Errors
    /// As for [`FamilyBuilder::register`].
    pub fn float_counter_family<S: Into<String>>(
        &self,
        name: &str,
        help: &str,
        labels: impl IntoIterator<Item = S>,
    ) -> Result<Family<FloatCounter>, RegisterError> {
        self.family(name, help).labels(labels).register()
    }

    /// Registers an integer gauge without labels.
    ///
    /// # Errors
    /// As for [`FamilyBuilder::register`].
    pub fn gauge(&self, name: &str, help: &str) -> Result<Handle<Gauge>, RegisterError> {
        self.family(name, help).register_single()
    }

    /// Registers a family of integer gauges with these labels.
    ///
    /// # Errors
    /// As for [`FamilyBuilder::register`].
    pub fn gauge_family<S: Into<String>>(
        &self,
        name: &str,
        help: &str,
        labels: impl IntoIterator<Item = S>,
    ) -> Result<Family<Gauge>, RegisterError> {
        self.family(name, help).labels(labels).register()
    }

    /// Registers a gauge of floats without labels.
    ///
    /// # Errors
    /// As for [`FamilyBuilder::register`].
    pub fn float_gauge(&self, name: &str, help: &str) -> Result<Handle<FloatGauge>, RegisterError> {
        self.family(name, help).register_single()
    }

    /// Registers a family of gauges of floats with these labels.
    ///
    /// # Errors
    /// As for [`FamilyBuilder::register`].
    pub fn float_gauge_family<S: Into<String>>(
        &self,
        name: &str,
        help: &str,
        labels: impl IntoIterator<Item = S>,
    ) -> Result<Family<FloatGauge>, RegisterError> {
        self.family(name, help).labels(labels).register()
    }

    /// Registers a histogram without labels.
    ///
    /// If observations may be negative, give a bound below 0: OpenMetrics then
    /// shows neither sum nor count, because there a sum must not decrease. Without
    /// such a bound, a negative observation is counted and adds 0 to the sum, so that
    /// the sum stays a counter.
    ///
    /// ```
    /// # use stethoscope::{Registry, cell::Buckets};
    /// # let registry = Registry::new();
    /// let buckets = Buckets::exponential(0.001, 2.0, 12)?;
    /// let latency = registry.histogram("latency_seconds", "Time to answer.", buckets)?;
    /// latency.observe(0.03);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`FamilyBuilder::register`].
    pub fn histogram(
        &self,
        name: &str,
        help: &str,
        buckets: Buckets,
    ) -> Result<Handle<Histogram>, RegisterError> {
        self.family(name, help).options(buckets).register_single()
    }

    /// Registers a native histogram without labels.
    ///
    /// ```
    /// # use stethoscope::{Registry, cell::NativeHistogramOptions};
    /// # let registry = Registry::new();
    /// let options = NativeHistogramOptions::builder().schema(5).build()?;
    /// let latency = registry.native_histogram("latency_seconds", "Time to answer.", options)?;
    /// latency.observe(0.03);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`FamilyBuilder::register`].
    pub fn native_histogram(
        &self,
        name: &str,
        help: &str,
        options: NativeHistogramOptions,
    ) -> Result<Handle<NativeHistogram>, RegisterError> {
        self.family(name, help).options(options).register_single()
    }

    /// Registers a family of histograms with the same buckets with these labels.
    ///
    /// # Errors
    /// As for [`FamilyBuilder::register`].
    pub fn histogram_family<S: Into<String>>(
        &self,
        name: &str,
        help: &str,
        labels: impl IntoIterator<Item = S>,
        buckets: Buckets,
    ) -> Result<Family<Histogram>, RegisterError> {
        self.family(name, help)
            .labels(labels)
            .options(buckets)
            .register()
    }

    /// Registers a summary without labels.
    ///
    /// # Errors
    /// As for [`FamilyBuilder::register`].
    pub fn summary(
        &self,
        name: &str,
        help: &str,
        quantiles: QuantileOptions,
    ) -> Result<Handle<Quantile>, RegisterError> {
        self.family(name, help).options(quantiles).register_single()
    }

    /// Registers a family of summaries with the same quantiles with these labels.
    ///
    /// # Errors
    /// As for [`FamilyBuilder::register`].
    pub fn summary_family<S: Into<String>>(
        &self,
        name: &str,
        help: &str,
        labels: impl IntoIterator<Item = S>,
        quantiles: QuantileOptions,
    ) -> Result<Family<Quantile>, RegisterError> {
        self.family(name, help)
            .labels(labels)
            .options(quantiles)
            .register()
    }

    /// Registers a state set without labels, with 1 to 64 states.
    ///
    /// # Errors
    /// As for [`FamilyBuilder::register`].
    pub fn state_set<S: Into<String>>(
        &self,
        name: &str,
        help: &str,
        states: impl IntoIterator<Item = S>,
    ) -> Result<Handle<StateSet>, RegisterError> {
        self.family(name, help).states(states).register_single()
    }

    /// Registers a family of state sets with these labels and the same states.
    ///
    /// # Errors
    /// As for [`FamilyBuilder::register`].
    pub fn state_set_family<S: Into<String>, T: Into<String>>(
        &self,
        name: &str,
        help: &str,
        labels: impl IntoIterator<Item = S>,
        states: impl IntoIterator<Item = T>,
    ) -> Result<Family<StateSet>, RegisterError> {
        self.family(name, help)
            .labels(labels)
            .states(states)
            .register()
    }

    /// Registers text that does not change, as the labels of a sample that is 1.
    ///
    /// ```
    /// # let registry = stethoscope::Registry::new();
    /// registry.info("build", "The running build.", [("version", "1.2"), ("commit", "abc")])?;
    /// # Ok::<(), stethoscope::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`FamilyBuilder::register`].
    pub fn info<N: Into<String>, V: Into<String>>(
        &self,
        name: &str,
        help: &str,
        labels: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Handle<Info>, RegisterError> {
        let mut builder = self.family(name, help);
        for (label, value) in labels {
            builder = builder.const_label(label, value);
        }
        builder.register_single()
    }

    /// Registers a family of infos with these labels.
    ///
    /// # Errors
    /// As for [`FamilyBuilder::register`].
    pub fn info_family<S: Into<String>>(
        &self,
        name: &str,
        help: &str,
        labels: impl IntoIterator<Item = S>,
    ) -> Result<Family<Info>, RegisterError> {
        self.family(name, help).labels(labels).register()
    }

    /// Removes a family from the page. Returns true if it was registered.
    ///
    /// Its name can be registered again. Handles and families that are held
    /// remain usable, but their updates are not shown.
    ///
    /// `name` is the full name in the text format: with namespace, `_total` and
    /// `_info`.
    pub fn unregister(&self, name: &str) -> bool {
        self.core.unregister(name)
    }

    /// Returns true if a family of this full name is registered.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.core.contains(name)
    }

    /// Returns the registered family of this full name, if its cells are of type
    /// `C` and it is not a mixed family.
    ///
    /// ```
    /// # use stethoscope::{Registry, cell::{Counter, Gauge}};
    /// # let registry = Registry::new();
    /// registry.counter("requests_total", "Requests.")?.inc();
    /// let requests = registry.get::<Counter>("requests_total").expect("it is registered");
    /// assert_eq!(requests.with(()).unwrap().get(), 1);
    /// assert!(registry.get::<Gauge>("requests_total").is_none());
    /// # Ok::<(), stethoscope::RegisterError>(())
    /// ```
    #[must_use]
    pub fn get<C: Metric>(&self, name: &str) -> Option<Family<C>> {
        let found = self.core.find(name)?;
        match found.descriptor().mixed {
            true => None,
            false => Family::from_source(&found),
        }
    }
}

/// # Hooks and other registries
impl Registry {
    /// Runs `hook` at the beginning of each scrape, on the thread that scrapes.
    ///
    /// For values that live elsewhere and are fetched when they are asked for. A
    /// hook may do anything, including registering families. If it scrapes a
    /// registry itself, no hooks run for that page. The scrape takes as much longer
    /// as the hook does.
    ///
    /// ```
    /// # use stethoscope::Registry;
    /// # let registry = Registry::new();
    /// let uptime = registry.float_gauge("uptime_seconds", "Time since the start.")?;
    /// let start = std::time::Instant::now();
    /// registry.on_scrape(move || uptime.set(start.elapsed().as_secs_f64()));
    /// # Ok::<(), stethoscope::RegisterError>(())
    /// ```
    pub fn on_scrape(&self, hook: impl Fn() + Send + Sync + 'static) -> HookId {
        self.core.add_hook(Arc::new(hook))
    }

    /// Removes a hook. Returns true if it existed. A scrape that has begun may
    /// still run it.
    pub fn remove_hook(&self, hook: HookId) -> bool {
        self.core.remove_hook(hook)
    }

    /// Shows the families of `other`, and of the registries that `other` includes,
    /// after those of this registry on each of its pages, and runs their hooks
    /// before each scrape.
    ///
    /// For metrics that several pages share, or that are counted before there is a
    /// page. Through a view with a namespace or constant labels, they are shown
    /// with these.
    ///
    /// A page never shows a name twice. If another family of the page requires one
    /// of its names, or the namespace or the labels make it invalid, a family of
    /// `other` is left out. Nothing is left out silently: see
    /// [`left_out`](Self::left_out).
    ///
    /// ```
    /// # use stethoscope::{Registry, exposition::Format};
    /// let process = Registry::new();
    /// process.gauge("threads", "Threads.")?.set(4);
    /// let server = Registry::new();
    /// server.gauge("clients", "Clients.")?.set(2);
    /// server.with_namespace("process").include(&process);
    /// let mut scraper = server.scraper();
    /// assert!(scraper.scrape(Format::Text).ends_with(b"process_threads 4\n"));
    /// # Ok::<(), stethoscope::RegisterError>(())
    /// ```
    pub fn include(&self, other: &Registry) {
        self.core.include(Included {
            core: Arc::clone(&other.core),
            prefix: Prefix::clone(&self.prefix),
        });
    }

    /// Removes an included registry from the pages of this one, whatever namespace
    /// and labels it was included with. Returns true if it was included.
    pub fn exclude(&self, other: &Registry) -> bool {
        self.core.exclude(&other.core)
    }

    /// Returns the full names of families of included registries that the page
    /// leaves out, because another family requires one of their names, or because
    /// the labels make them invalid.
    ///
    /// The page itself shows each as
    /// `stethoscope_family_left_out{family="…"} 1`.
    #[must_use]
    pub fn left_out(&self) -> Vec<String> {
        let mut contents = Contents::default();
        contents.collect(&self.core);
        contents.left_out().to_vec()
    }

    /// Shows a registered family with another help or unit.
    #[cfg(feature = "metrics")]
    pub(crate) fn describe_again(
        &self,
        family: &Arc<dyn crate::family::Source>,
        descriptor: crate::family::Descriptor,
    ) {
        self.core.describe_again(family, descriptor);
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }
}
