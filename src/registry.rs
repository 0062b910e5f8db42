//! Families in order. What could spoil a page is refused here, when it is
//! registered: bad names, duplicates, clashes.
//!
//! A registry is a value, never a global: a process that serves two pages has
//! two of them.

use crate::cell::{
    Buckets, Counter, FloatCounter, FloatGauge, Gauge, Histogram, Info, Number, Quantile,
};
use crate::family::{Descriptor, Family, Handle, Kind, Metric, Readers, Shape, Shared, Source};
use crate::name::{self, NameError, NameRules};
use crate::sync::{Arc as SyncArc, AtomicU64, Mutex, MutexGuard, Ordering};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError};

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
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    families: Vec<Arc<dyn Source>>,
    /// Each name on the page, and the full name of the family that has it.
    names: HashMap<String, String>,
    hooks: Vec<(u64, Hook)>,
    next_hook: u64,
    refused: Option<Family<Counter>>,
}

/// Why a family could not be registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterError {
    /// The name of the family as it was to be, with its namespace.
    pub family: String,
    /// What is wrong.
    pub kind: RegisterErrorKind,
}

/// What is wrong with a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterErrorKind {
    /// The family's name is no metric name.
    Name(NameError),
    /// A label's name is no label name.
    Label {
        /// The label.
        label: String,
        /// What is wrong with it.
        error: NameError,
    },
    /// The label is given twice (perhaps once as a constant label, or alike but
    /// for characters that a reader of classic names sees as underscores).
    DuplicateLabel {
        /// The label.
        label: String,
    },
    /// Both families would have a line of this name.
    Clash {
        /// The name on the page.
        name: String,
        /// The family that has it.
        with: String,
    },
    /// The name does not end in the unit.
    Unit {
        /// The unit.
        unit: String,
    },
    /// A single series was asked for, of a family that has labels.
    Labelled,
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't register {:?}: ", self.family)?;
        match &self.kind {
            RegisterErrorKind::Name(error) => error.fmt(f),
            RegisterErrorKind::Label { label, error } => write!(f, "label {label:?}: {error}"),
            RegisterErrorKind::DuplicateLabel { label } => {
                write!(f, "label {label:?} is given twice")
            }
            RegisterErrorKind::Clash { name, with } => write!(
                f,
                "{name:?} is already on the page, by the family {with:?}: rename one or unregister the other"
            ),
            RegisterErrorKind::Unit { unit } => {
                write!(f, "the name must end in its unit, \"_{unit}\"")
            }
            RegisterErrorKind::Labelled => {
                f.write_str("it has labels: register it as a family and ask that for a series")
            }
        }
    }
}

impl std::error::Error for RegisterError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            RegisterErrorKind::Name(error) | RegisterErrorKind::Label { error, .. } => Some(error),
            _ => None,
        }
    }
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
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shared = Shared {
            generation: AtomicU64::new(0),
            readers: Readers::new(cores * 2),
        };
        Self {
            core: Arc::new(Core {
                shared: SyncArc::new(shared),
                state: Mutex::new(State::default()),
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
    /// take such names get them escaped.
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
        FamilyBuilder {
            registry: self,
            name: name.to_owned(),
            help: help.to_owned(),
            unit: None,
            labels: Vec::new(),
            const_labels: Vec::new(),
            options: C::Options::default(),
            shape: None,
            kind: C::KIND,
            max_series: usize::MAX,
            created: false,
        }
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

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }
}

/// A hook that [`Registry::on_scrape`] has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HookId(u64);

impl Core {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic leaves the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called under the lock. Release: pairs with the Acquire of a scrape.
    fn changed(&self) {
        self.shared.generation.fetch_add(1, Ordering::Release);
    }

    /// The families and hooks of now.
    pub(crate) fn contents(&self) -> (Vec<Arc<dyn Source>>, Vec<Hook>) {
        let state = self.lock();
        (
            state.families.clone(),
            state
                .hooks
                .iter()
                .map(|(_, hook)| Arc::clone(hook))
                .collect(),
        )
    }
}

/// A family on its way into a registry.
///
/// ```
/// # use stethoscope::{Registry, cell::Counter};
/// # let registry = Registry::new();
/// let bytes = registry
///     .family::<Counter>("sent_bytes_total", "Bytes sent, by peer.")
///     .unit("bytes")
///     .labels(["peer"])
///     .max_series(1_000)
///     .register()?;
/// # bytes.with(["a"]).unwrap().inc();
/// # Ok::<(), stethoscope::RegisterError>(())
/// ```
#[must_use = "a family is on the page only after `register`"]
pub struct FamilyBuilder<'r, C: Metric> {
    registry: &'r Registry,
    name: String,
    help: String,
    unit: Option<String>,
    labels: Vec<String>,
    const_labels: Vec<(String, String)>,
    options: C::Options,
    shape: Option<Shape>,
    kind: Kind,
    max_series: usize,
    created: bool,
}

impl<C: Metric> FamilyBuilder<'_, C> {
    /// The names of the labels that tell the series apart.
    pub fn labels<'l>(mut self, names: impl IntoIterator<Item = &'l str>) -> Self {
        self.labels.extend(names.into_iter().map(str::to_owned));
        self
    }

    /// A label with the same value on every series.
    pub fn const_label(mut self, name: &str, value: &str) -> Self {
        self.const_labels.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The unit, for OpenMetrics: the last word of the name (before `_total`).
    pub fn unit(mut self, unit: &str) -> Self {
        self.unit = Some(unit.to_owned());
        self
    }

    /// What each cell is made with.
    pub fn options(mut self, options: C::Options) -> Self {
        self.options = options;
        self
    }

    /// The most series that the family may have. One more is refused, and
    /// counted in `stethoscope_series_refused_total{family="…"}`, which is then
    /// on the page too.
    pub fn max_series(mut self, series: usize) -> Self {
        self.max_series = series;
        self
    }

    /// Shows in OpenMetrics when each series was made (`_created`), for kinds
    /// that have it: counters, histograms, summaries.
    pub fn created_timestamps(mut self) -> Self {
        self.created = matches!(self.kind, Kind::Counter | Kind::Histogram | Kind::Summary);
        self
    }

    /// Registers the family.
    pub fn register(self) -> Result<Family<C>, RegisterError> {
        let registry = self.registry;
        let max_series = self.max_series;
        let (descriptor, options) = self.describe()?;
        let full_name = descriptor.full_name();
        let claims = descriptor.claims();

        let mut state = registry.core.lock();
        if let Some(name) = claims.iter().find(|name| state.names.contains_key(*name)) {
            let with = state.names[name].clone();
            let kind = RegisterErrorKind::Clash {
                name: name.clone(),
                with,
            };
            return Err(RegisterError {
                family: full_name,
                kind,
            });
        }
        let refused = match max_series {
            usize::MAX => None,
            _ => state
                .refused(&registry.core)
                .and_then(|refused| refused.with([&*full_name]).ok()),
        };
        let shared = SyncArc::clone(&registry.core.shared);
        let family = Family::new(descriptor, options, max_series, refused, shared);
        state.add(&family, claims);
        registry.core.changed();
        Ok(family)
    }

    /// Registers a family without labels and gives its one series.
    pub fn register_single(self) -> Result<Handle<C>, RegisterError> {
        if !self.labels.is_empty() {
            return Err(RegisterError {
                family: self.name,
                kind: RegisterErrorKind::Labelled,
            });
        }
        let family = self.max_series(usize::MAX).register()?;
        Ok(family
            .with([])
            .expect("a family without labels and cap has room for its one series"))
    }

    /// Checks everything that does not depend on the other families.
    fn describe(self) -> Result<(Descriptor, C::Options), RegisterError> {
        let mut name = match &self.registry.namespace {
            Some(namespace) => format!("{namespace}_{}", self.name),
            None => self.name,
        };
        let family = name.clone();
        let error = |kind| RegisterError {
            family: family.clone(),
            kind,
        };

        let mut descriptor = Descriptor {
            name: String::new(),
            help: self.help,
            unit: self.unit,
            kind: self.kind,
            shape: self.shape.unwrap_or_else(|| C::shape(&self.options)),
            label_names: self.labels,
            const_labels: self
                .registry
                .const_labels
                .iter()
                .cloned()
                .chain(self.const_labels)
                .collect(),
            created: self.created,
        };
        if let Some(bare) = name.strip_suffix(descriptor.suffix()) {
            name.truncate(bare.len());
        }
        name::check_metric_name(&name, self.registry.rules)
            .map_err(|e| error(RegisterErrorKind::Name(e)))?;
        if let Some(unit) = &descriptor.unit
            && !name
                .strip_suffix(unit.as_str())
                .is_some_and(|rest| rest.ends_with('_'))
        {
            return Err(error(RegisterErrorKind::Unit { unit: unit.clone() }));
        }

        // The label that the lines of this kind carry beside the user's.
        let own = match descriptor.shape {
            Shape::Histogram { .. } => Some("le"),
            Shape::Summary { .. } => Some("quantile"),
            Shape::StateSet { .. } => Some(name.as_str()),
            Shape::Single(_) => None,
        };
        let labels: Vec<&str> = descriptor
            .const_labels
            .iter()
            .map(|(label, _)| label)
            .chain(&descriptor.label_names)
            .map(String::as_str)
            .collect();
        for (index, label) in labels.iter().enumerate() {
            let refused = |e| {
                error(RegisterErrorKind::Label {
                    label: (*label).to_owned(),
                    error: e,
                })
            };
            name::check_label_name(label, self.registry.rules).map_err(refused)?;
            if own == Some(*label) {
                return Err(refused(NameError::Reserved));
            }
            let same = |other: &&str| name::underscored(other) == name::underscored(label);
            if labels[..index].iter().any(same) {
                return Err(error(RegisterErrorKind::DuplicateLabel {
                    label: (*label).to_owned(),
                }));
            }
        }
        descriptor.name = name;
        Ok((descriptor, self.options))
    }
}

impl FamilyBuilder<'_, Quantile> {
    /// Shows the first of the quantiles as a gauge, not all of them as a
    /// summary.
    ///
    /// ```
    /// # use stethoscope::{Registry, cell::{Quantile, QuantileOptions}};
    /// # let registry = Registry::new();
    /// let median = registry
    ///     .family::<Quantile>("task_duration_median_seconds", "Median task duration.")
    ///     .options(QuantileOptions::new([0.5])?)
    ///     .as_gauge()
    ///     .register_single()?;
    /// median.observe(0.02);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn as_gauge(mut self) -> Self {
        self.kind = Kind::Gauge;
        self.shape = Some(Shape::Single(Number::F64));
        self
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
                kind: Kind::Counter,
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
