//! Families in order. What could spoil a page is refused here, when it is
//! registered: bad names, duplicates, clashes.
//!
//! A registry is a value, never a global: a process that serves two pages has
//! two of them.
//!
//! # Forks
//!
//! The process may fork at any time, from any language: the first registry
//! installs `pthread_atfork` handlers, which wait the few microseconds that
//! another thread may take to change a family, so that a child never inherits a
//! locked mutex. In the child every registry, family and handle works, with the
//! values of the moment of the fork. Threads do not survive a fork, so an endpoint
//! does not serve there, and a [`Scraper`](crate::Scraper) or a lock of the
//! program's own that another thread used at that moment must not be used.
//!
//! The handlers do not run for raw `clone` system calls. In a child of such a
//! call only updates and look-ups of existing series are safe.

mod builder;
mod error;

pub use builder::FamilyBuilder;
pub use error::{RegisterError, RegisterErrorKind};

use crate::MetricType;
use crate::cell::{Buckets, Counter, FloatCounter, FloatGauge, Gauge, Histogram, Info};
use crate::family::{Descriptor, Family, Handle, Metric, Readers, Shared, Source};
use crate::fork::{self, ForkSafeGuard, ForkSafeMutex};
use crate::name::NameRules;
use crate::sync::{Arc as SyncArc, AtomicU64, Ordering};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The families of one page, in the order of their registration.
///
/// Cheap to clone; clones are the same registry. Registering, removing and
/// scraping may happen on any threads at once.
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
    /// What this view of the registry puts before each name.
    namespace: Option<Arc<str>>,
    /// The labels that this view of the registry gives each series.
    const_labels: Arc<[(String, String)]>,
    rules: NameRules,
}

/// A function that runs before each scrape.
pub(crate) type Hook = Arc<dyn Fn() + Send + Sync>;

pub(crate) struct Core {
    pub(crate) shared: SyncArc<Shared>,
    state: ForkSafeMutex<State>,
}

#[derive(Default)]
struct State {
    families: Vec<Arc<dyn Source>>,
    /// Each name on the page, and the full name of the family that has it.
    names: HashMap<String, String>,
    hooks: Vec<(u64, Hook)>,
    next_hook: u64,
    included: Vec<Arc<Core>>,
    refused: Option<Family<Counter>>,
}

/// What a scrape takes over from a registry.
pub(crate) struct Contents {
    pub(crate) families: Vec<Arc<dyn Source>>,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) included: Vec<Arc<Core>>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self
            .core
            .lock()
            .families
            .iter()
            .map(|f| f.descriptor().full_name())
            .collect();
        f.debug_struct("Registry")
            .field("families", &names)
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// A registry with no families.
    pub fn new() -> Self {
        fork::install_handlers();
        let shared = Shared {
            generation: AtomicU64::new(0),
            readers: Readers::new(),
        };
        Self {
            core: Arc::new(Core {
                shared: SyncArc::new(shared),
                state: ForkSafeMutex::default(),
            }),
            namespace: None,
            const_labels: Arc::default(),
            rules: NameRules::Classic,
        }
    }

    /// The same registry, but what is registered through it has `namespace_`
    /// before its name (and before what an outer namespace puts there: the
    /// inner one stands nearer to the name).
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
        let namespace = match &self.namespace {
            Some(outer) => format!("{outer}_{namespace}"),
            None => namespace.to_owned(),
        };
        Self {
            namespace: Some(namespace.into()),
            ..self.clone()
        }
    }

    /// The same registry, but what is registered through it has these labels on
    /// each of its series, before its own.
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
    pub fn with_const_labels<'l>(
        &self,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
    ) -> Self {
        let more = labels
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let const_labels = self.const_labels.iter().cloned().chain(more).collect();
        Self {
            const_labels,
            ..self.clone()
        }
    }

    /// The same registry, but what is registered through it may have any UTF-8
    /// in the names of metrics and labels. Scrapers that have not said that they
    /// take such names get them escaped; names that would then be one clash.
    #[must_use]
    pub fn with_utf8_names(&self) -> Self {
        Self {
            rules: NameRules::Utf8,
            ..self.clone()
        }
    }

    /// Begins a family of `C`: name and help, then what else is wanted.
    ///
    /// A counter's name may be given with `_total` or without, an info's with
    /// `_info` or without; the page has it as each format wants it.
    pub fn family<C: Metric>(&self, name: &str, help: &str) -> FamilyBuilder<'_, C>
    where
        C::Options: Default,
    {
        FamilyBuilder::new(self, name, help)
    }

    /// A counter without labels.
    pub fn counter(&self, name: &str, help: &str) -> Result<Handle<Counter>, RegisterError> {
        self.family(name, help).register_single()
    }

    /// An integer gauge without labels.
    pub fn gauge(&self, name: &str, help: &str) -> Result<Handle<Gauge>, RegisterError> {
        self.family(name, help).register_single()
    }

    /// A gauge of floats without labels.
    pub fn float_gauge(&self, name: &str, help: &str) -> Result<Handle<FloatGauge>, RegisterError> {
        self.family(name, help).register_single()
    }

    /// A counter of floats without labels.
    pub fn float_counter(
        &self,
        name: &str,
        help: &str,
    ) -> Result<Handle<FloatCounter>, RegisterError> {
        self.family(name, help).register_single()
    }

    /// A histogram without labels.
    ///
    /// Where observations may be negative, give a bound below 0: OpenMetrics then
    /// shows neither sum nor count, for a sum that may fall is not valid there.
    /// Without such a bound, a sum that became negative (or NaN, of infinities)
    /// is shown as it is, and strict readers of OpenMetrics refuse the page.
    /// Readers of text take it.
    ///
    /// ```
    /// # use stethoscope::{Registry, cell::Buckets};
    /// # let registry = Registry::new();
    /// let buckets = Buckets::exponential(0.001, 2.0, 12)?;
    /// let latency = registry.histogram("latency_seconds", "Time to answer.", buckets)?;
    /// latency.observe(0.03);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn histogram(
        &self,
        name: &str,
        help: &str,
        buckets: Buckets,
    ) -> Result<Handle<Histogram>, RegisterError> {
        self.family(name, help).options(buckets).register_single()
    }

    /// Counters that labels tell apart.
    pub fn counter_family<'l>(
        &self,
        name: &str,
        help: &str,
        labels: impl IntoIterator<Item = &'l str>,
    ) -> Result<Family<Counter>, RegisterError> {
        self.family(name, help).labels(labels).register()
    }

    /// Integer gauges that labels tell apart.
    pub fn gauge_family<'l>(
        &self,
        name: &str,
        help: &str,
        labels: impl IntoIterator<Item = &'l str>,
    ) -> Result<Family<Gauge>, RegisterError> {
        self.family(name, help).labels(labels).register()
    }

    /// Gauges of floats that labels tell apart.
    pub fn float_gauge_family<'l>(
        &self,
        name: &str,
        help: &str,
        labels: impl IntoIterator<Item = &'l str>,
    ) -> Result<Family<FloatGauge>, RegisterError> {
        self.family(name, help).labels(labels).register()
    }

    /// Histograms with the same buckets that labels tell apart.
    pub fn histogram_family<'l>(
        &self,
        name: &str,
        help: &str,
        labels: impl IntoIterator<Item = &'l str>,
        buckets: Buckets,
    ) -> Result<Family<Histogram>, RegisterError> {
        self.family(name, help)
            .options(buckets)
            .labels(labels)
            .register()
    }

    /// Text that does not change, as the labels of a 1.
    ///
    /// ```
    /// # let registry = stethoscope::Registry::new();
    /// registry.info("build", "What is running.", [("version", "1.2"), ("commit", "abc")])?;
    /// # Ok::<(), stethoscope::RegisterError>(())
    /// ```
    pub fn info<'l>(
        &self,
        name: &str,
        help: &str,
        labels: impl IntoIterator<Item = (&'l str, &'l str)>,
    ) -> Result<Handle<Info>, RegisterError> {
        let mut builder = self.family(name, help);
        for (label, value) in labels {
            builder = builder.const_label(label, value);
        }
        builder.register_single()
    }

    /// Takes a family off the page; whether it was there. Its name is free
    /// again; handles and families that are held stay usable, but nothing shows
    /// what they count.
    ///
    /// `name` is the full name in the text format: with namespace, `_total` and
    /// `_info`.
    pub fn unregister(&self, name: &str) -> bool {
        let mut state = self.core.lock();
        let before = state.families.len();
        state
            .families
            .retain(|family| family.descriptor().full_name() != name);
        state.names.retain(|_, owner| owner != name);
        let was_there = state.families.len() < before;
        if was_there {
            if state
                .refused
                .as_ref()
                .is_some_and(|own| own.descriptor().full_name() == name)
            {
                state.refused = None;
            }
            self.core.changed();
        }
        was_there
    }

    /// Whether a family of this full name is registered.
    pub fn contains(&self, name: &str) -> bool {
        self.core
            .lock()
            .families
            .iter()
            .any(|family| family.descriptor().full_name() == name)
    }

    /// Runs `hook` at the beginning of each scrape, on the thread that scrapes:
    /// for values that live elsewhere and are fetched when somebody looks. The
    /// hook may do anything that any code may, registering included; what it
    /// costs, the scrape costs.
    ///
    /// ```
    /// # use stethoscope::Registry;
    /// # let registry = Registry::new();
    /// let uptime = registry.float_gauge("uptime_seconds", "Since the start.")?;
    /// let start = std::time::Instant::now();
    /// registry.on_scrape(move || uptime.set(start.elapsed().as_secs_f64()));
    /// # Ok::<(), stethoscope::RegisterError>(())
    /// ```
    pub fn on_scrape(&self, hook: impl Fn() + Send + Sync + 'static) -> HookId {
        let mut state = self.core.lock();
        let id = state.next_hook;
        state.next_hook += 1;
        state.hooks.push((id, Arc::new(hook)));
        self.core.changed();
        HookId(id)
    }

    /// Takes a hook away; whether it was there. A scrape that has begun may
    /// still run it.
    pub fn remove_hook(&self, hook: HookId) -> bool {
        let mut state = self.core.lock();
        let before = state.hooks.len();
        state.hooks.retain(|(id, _)| *id != hook.0);
        let was_there = state.hooks.len() < before;
        if was_there {
            self.core.changed();
        }
        was_there
    }

    /// Shows the families of `other` behind those of this registry, on each of
    /// its pages, and runs its hooks before each scrape: for what several pages
    /// have in common, or what is counted before there is a page. What `other`
    /// itself includes is not taken along.
    ///
    /// A page never has a name twice. Clashes are refused within a registry;
    /// between registries, the family that comes later on the page is left out.
    ///
    /// ```
    /// # use stethoscope::{Registry, exposition::Format};
    /// let process = Registry::new();
    /// process.gauge("threads", "Threads.")?.set(4);
    /// let server = Registry::new();
    /// server.gauge("clients", "Clients.")?.set(2);
    /// server.include(&process);
    /// let mut scraper = server.scraper();
    /// assert!(scraper.scrape(Format::Text).ends_with(b"threads 4\n"));
    /// # Ok::<(), stethoscope::RegisterError>(())
    /// ```
    pub fn include(&self, other: &Registry) {
        let mut state = self.core.lock();
        let is_known = |core: &Arc<Core>| Arc::ptr_eq(core, &other.core);
        if !is_known(&self.core) && !state.included.iter().any(is_known) {
            state.included.push(Arc::clone(&other.core));
            self.core.changed();
        }
    }

    /// Takes an included registry off the pages of this one; whether it was
    /// there.
    pub fn exclude(&self, other: &Registry) -> bool {
        let mut state = self.core.lock();
        let before = state.included.len();
        state
            .included
            .retain(|core| !Arc::ptr_eq(core, &other.core));
        let was_there = state.included.len() < before;
        if was_there {
            self.core.changed();
        }
        was_there
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }
}

/// A hook that [`Registry::on_scrape`] has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HookId(u64);

impl Core {
    fn lock(&self) -> ForkSafeGuard<'_, State> {
        // No code that can panic leaves the state half changed.
        self.state.lock()
    }

    /// Called under the lock. Release: pairs with the Acquire of a scrape.
    fn changed(&self) {
        self.shared.generation.fetch_add(1, Ordering::Release);
    }

    /// What there is now.
    pub(crate) fn contents(&self) -> Contents {
        let state = self.lock();
        let hooks = state.hooks.iter().map(|(_, hook)| Arc::clone(hook));
        Contents {
            families: state.families.clone(),
            hooks: hooks.collect(),
            included: state.included.clone(),
        }
    }
}

impl State {
    fn add<C: Metric>(&mut self, family: &Family<C>, claims: Vec<String>) {
        let full_name = family.descriptor().full_name();
        self.names
            .extend(claims.into_iter().map(|name| (name, full_name.clone())));
        self.families.push(family.source());
    }

    /// The family that counts what caps refuse; made when the first cap is. The
    /// page does without it if somebody else has its name.
    fn refused(&mut self, core: &Arc<Core>) -> Option<Family<Counter>> {
        if self.refused.is_none() {
            let descriptor = Descriptor {
                name: "stethoscope_series_refused".to_owned(),
                help: "Series that were not made because the family had reached its cap."
                    .to_owned(),
                unit: None,
                metric_type: MetricType::Counter,
                shape: Counter::shape(&()),
                label_names: vec!["family".to_owned()],
                const_labels: Vec::new(),
                created: false,
            };
            let claims = descriptor.claims();
            if claims.iter().any(|name| self.names.contains_key(name)) {
                return None;
            }
            let shared = SyncArc::clone(&core.shared);
            let family = Family::new(descriptor, (), usize::MAX, None, shared);
            self.add(&family, claims);
            self.refused = Some(family);
        }
        self.refused.clone()
    }
}
