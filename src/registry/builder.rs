//! The builder of a family.

use super::check::{check_descriptor, check_shape};
use super::{RegisterError, RegisterErrorKind, Registry};
use crate::MetricType;
use crate::cell::{Number, Quantile, StateSet, States};
use crate::family::typed::Labels;
use crate::family::{
    Descriptor, ExistingCell, Family, Handle, Metric, MixedFamily, Policy, Shape, TypedFamily,
};
use crate::sync::Arc as SyncArc;
use std::time::Duration;

/// Describes and registers a family.
///
/// Setters cannot fail: whatever is wrong is the error of the registration.
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
    metric_type: MetricType,
    created: bool,
    mixed: bool,
    permanent: bool,
    policy: Policy,
}

impl<C: Metric> std::fmt::Debug for FamilyBuilder<'_, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FamilyBuilder")
            .field("name", &self.name)
            .field("type", &self.metric_type)
            .field("labels", &self.labels)
            .finish_non_exhaustive()
    }
}

impl<'r, C: Metric> FamilyBuilder<'r, C> {
    pub(crate) fn new(registry: &'r Registry, name: &str, help: &str, options: C::Options) -> Self {
        Self {
            registry,
            name: name.to_owned(),
            help: help.to_owned(),
            unit: None,
            labels: Vec::new(),
            const_labels: Vec::new(),
            options,
            shape: None,
            metric_type: C::TYPE,
            created: false,
            mixed: false,
            permanent: false,
            policy: Policy::default(),
        }
    }

    /// Adds labels whose values distinguish the series.
    pub fn labels<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.labels.extend(names.into_iter().map(S::into));
        self
    }

    /// Adds a label that has the same value on every series.
    pub fn const_label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.const_labels.push((name.into(), value.into()));
        self
    }

    /// Sets the unit, which OpenMetrics shows: the last word of the name (before
    /// `_total`), of letters, digits and underscores. An info and a state set
    /// have none.
    pub fn unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = Some(unit.into());
        self
    }

    /// Sets the options that each cell is made with.
    pub fn options(mut self, options: C::Options) -> Self {
        self.options = options;
        self
    }

    /// Limits the number of series. Further ones are refused, and counted in
    /// `stethoscope_series_refused_total{family="…"}`, which is then on the page
    /// too. A limit of 0 refuses every series; it does not mean that there is no limit.
    pub fn max_series(mut self, series: usize) -> Self {
        self.policy.max_series = series;
        self
    }

    /// Counts the series beyond [`max_series`](Self::max_series) in one more
    /// series, whose labels all have this value. Without it they are errors.
    ///
    /// ```
    /// # use stethoscope::{Registry, cell::Counter};
    /// # let registry = Registry::new();
    /// let requests = registry
    ///     .family::<Counter>("requests_total", "Requests, by client.")
    ///     .labels(["client"])
    ///     .max_series(1)
    ///     .overflow("other")
    ///     .register()?;
    /// requests.with(["a"])?.inc();
    /// requests.with(["b"])?.inc();
    /// requests.with(["c"])?.inc();
    /// assert_eq!(requests.with(["other"])?.get(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn overflow(mut self, value: impl Into<String>) -> Self {
        self.policy.overflow = Some(value.into());
        self
    }

    /// Removes series whose values have not changed for `age`.
    ///
    /// Scrapes do it, before they write the page: no thread is started, and
    /// updates pay nothing. The age of a series starts when a scrape first sees
    /// its values, and it expires up to a quarter of `age` late. A scrape that
    /// looks for expired series, which is one of those in a quarter of `age`,
    /// takes the family's lock and allocates.
    ///
    /// A handle that is kept longer counts where no page shows it: the next look-up
    /// makes a new series. Look a series up for each update here, with
    /// [`Family::update`] for example.
    pub fn expire_after(mut self, age: Duration) -> Self {
        self.policy.expire_after = Some(age);
        self
    }

    /// Shows in OpenMetrics when each series was made (`_created`), for types that
    /// have it: counters, histograms and summaries.
    pub fn created_timestamps(mut self) -> Self {
        self.created = true;
        self
    }

    /// Registers the family.
    ///
    /// # Errors
    /// If the description is invalid, or another family has one of the names that
    /// this family requires.
    pub fn register(self) -> Result<Family<C>, RegisterError> {
        self.register_or(|_, kind| Err(kind))
    }

    /// Registers the family, or returns the registered one of this name.
    ///
    /// Two places of a program can share a family this way. The help, the limit
    /// and the options of cells are those of the first.
    ///
    /// ```
    /// # use stethoscope::{Registry, cell::Counter};
    /// # let registry = Registry::new();
    /// let retries = || {
    ///     let family = registry.family::<Counter>("retries_total", "Retries.");
    ///     family.labels(["operation"]).get_or_register()
    /// };
    /// retries()?.with(["read"])?.inc();
    /// retries()?.with(["read"])?.inc();
    /// assert_eq!(retries()?.with(["read"])?.get(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`register`](Self::register). The registered family is returned only
    /// if it has the same type of cell, labels, constant labels, unit and shape.
    pub fn get_or_register(self) -> Result<Family<C>, RegisterError> {
        self.register_or(|registered, kind| registered.ok_or(kind))
    }

    /// Registers a family without labels and returns its one series.
    ///
    /// # Errors
    /// As for [`register`](Self::register), or if labels were given.
    pub fn register_single(self) -> Result<Handle<C>, RegisterError> {
        self.without_labels()?
            .register()
            .map(|family| the_series(&family))
    }

    /// Registers a family without labels, or finds the registered one of this
    /// name, and returns its one series.
    ///
    /// # Errors
    /// As for [`get_or_register`](Self::get_or_register), or if labels were given.
    pub fn get_or_register_single(self) -> Result<Handle<C>, RegisterError> {
        self.without_labels()?
            .get_or_register()
            .map(|family| the_series(&family))
    }

    /// Registers a family whose labels are those of the type `L`. See
    /// [`TypedFamily`].
    ///
    /// # Errors
    /// As for [`register`](Self::register), or if labels were given.
    pub fn register_typed<L: Labels>(self) -> Result<TypedFamily<L, C>, RegisterError> {
        self.with_labels_of::<L>()?.register().map(TypedFamily::new)
    }

    /// Registers a family whose labels are those of the type `L`, or returns one for
    /// the registered family of this name.
    ///
    /// # Errors
    /// As for [`get_or_register`](Self::get_or_register), or if labels were given.
    pub fn get_or_register_typed<L: Labels>(self) -> Result<TypedFamily<L, C>, RegisterError> {
        let builder = self.with_labels_of::<L>()?;
        builder.get_or_register().map(TypedFamily::new)
    }

    fn with_labels_of<L: Labels>(mut self) -> Result<Self, RegisterError> {
        if !self.labels.is_empty() {
            return Err(RegisterError::new(self.name, RegisterErrorKind::HasLabels));
        }
        if L::COUNT.is_some() {
            self.permanent = true;
            self.policy.expire_after = None;
        }
        Ok(self.labels(L::NAMES.iter().copied()))
    }

    /// Registers a family whose series may have different labels.
    ///
    /// For bridges and collectors, which are given labels by others. An
    /// [`overflow`](Self::overflow) value is not used.
    ///
    /// # Errors
    /// As for [`register`](Self::register), or if labels were given.
    pub fn register_mixed(mut self) -> Result<MixedFamily<C>, RegisterError> {
        if !self.labels.is_empty() {
            return Err(RegisterError::new(self.name, RegisterErrorKind::HasLabels));
        }
        self.mixed = true;
        self.policy.overflow = None;
        self.register().map(MixedFamily::new)
    }

    /// Registers a family without labels, of a cell that exists. See
    /// [`Registry::register`]. The options are those of the cell.
    ///
    /// # Errors
    /// As for [`register`](Self::register), or if labels were given.
    #[allow(clippy::missing_panics_doc, reason = "the family is new")]
    pub fn register_cell(mut self, cell: C) -> Result<Handle<C>, RegisterError>
    where
        C: ExistingCell,
    {
        self.options = cell.options();
        let family = self.without_labels()?.register()?;
        Ok(family
            .insert((), cell)
            .expect("a new family has no series, and the cell's options"))
    }

    /// Prepares the registration of a single series, which no limit refuses.
    fn without_labels(mut self) -> Result<Self, RegisterError> {
        if !self.labels.is_empty() {
            return Err(RegisterError::new(self.name, RegisterErrorKind::HasLabels));
        }
        self.policy = Policy::default();
        Ok(self)
    }

    /// Registers the family. If one of this name is registered, returns what
    /// `otherwise` makes of that family, if it is interchangeable, and the error.
    fn register_or(
        self,
        otherwise: impl FnOnce(
            Option<Family<C>>,
            RegisterErrorKind,
        ) -> Result<Family<C>, RegisterErrorKind>,
    ) -> Result<Family<C>, RegisterError> {
        let core = &self.registry.core;
        let rules = self.registry.rules;
        let (descriptor, options, mut policy) = self.describe();
        let full_name = descriptor.full_name();
        let checked = check_descriptor(&descriptor, rules).and_then(|()| {
            let (shape, metric_type) = (&descriptor.shape, descriptor.metric_type);
            check_shape(shape, metric_type, C::width(&options))
        });
        if let Err(kind) = checked {
            return Err(RegisterError::new(full_name, kind));
        }
        let mut state = core.lock();
        if let Err((kind, registered)) = state.check_names(&descriptor) {
            let same = { registered.as_ref() }
                .filter(|family| family.descriptor().is_interchangeable(&descriptor))
                .and_then(Family::from_source);
            return otherwise(same, kind)
                .map_err(|kind| RegisterError::new(full_name, kind).with_existing(registered));
        }
        if policy.max_series != usize::MAX {
            policy.refused = state
                .refused(core)
                .and_then(|refused| refused.with([&*full_name]).ok());
        }
        let shared = SyncArc::clone(&core.shared);
        let family = Family::new(descriptor, options, policy, shared);
        state.add(&family);
        core.changed();
        Ok(family)
    }

    /// Describes the family as the registry's view has it.
    fn describe(self) -> (Descriptor, C::Options, Policy) {
        let metric_type = self.metric_type;
        let mut name = self.registry.prefix.name(&self.name);
        if let Some(base) = name.strip_suffix(metric_type.name_suffix()) {
            name.truncate(base.len());
        }
        let mut const_labels = self.registry.prefix.const_labels.clone();
        const_labels.extend(self.const_labels);
        let descriptor = Descriptor {
            name,
            help: self.help,
            unit: self.unit,
            metric_type,
            shape: self.shape.unwrap_or_else(|| C::shape(&self.options)),
            label_names: self.labels,
            const_labels,
            created: self.created && metric_type.may_have_created(),
            mixed: self.mixed,
            permanent: self.permanent,
        };
        (descriptor, self.options, self.policy)
    }
}

#[cfg(all(feature = "segment", target_os = "linux"))]
impl Registry {
    /// Registers a family by its description, with the checks of a registration.
    pub(crate) fn register_described<C: Metric>(
        &self,
        descriptor: Descriptor,
        options: C::Options,
    ) -> Result<Family<C>, RegisterError> {
        let name = descriptor.full_name();
        FamilyBuilder {
            registry: self,
            name,
            help: descriptor.help,
            unit: descriptor.unit,
            labels: descriptor.label_names,
            const_labels: descriptor.const_labels,
            options,
            shape: Some(descriptor.shape),
            metric_type: descriptor.metric_type,
            created: descriptor.created,
            mixed: descriptor.mixed,
            permanent: descriptor.permanent,
            policy: Policy::default(),
        }
        .register()
    }
}

fn the_series<C: Metric>(family: &Family<C>) -> Handle<C> {
    family
        .with(())
        .expect("a family without labels and limit has room for its one series")
}

impl FamilyBuilder<'_, Quantile> {
    /// Shows the first quantile as a gauge, instead of all quantiles as a summary.
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
        self.metric_type = MetricType::Gauge;
        self.shape = Some(Shape::Single(Number::F64));
        self
    }
}

impl FamilyBuilder<'_, StateSet> {
    /// Sets the names of the states, in the order of their numbers: 1 to 64
    /// different names.
    ///
    /// The label that distinguishes the states has the same name as the family,
    /// which must therefore be a valid label name: without a colon, for example.
    ///
    /// ```
    /// # use stethoscope::{Registry, cell::StateSet};
    /// # let registry = Registry::new();
    /// let phase = registry
    ///     .family::<StateSet>("phase", "Phase of the process.")
    ///     .states(["starting", "running", "stopping"])
    ///     .register_single()?;
    /// phase.select(1);
    /// let mut scraper = registry.scraper();
    /// let page = scraper.scrape(stethoscope::exposition::Format::Text);
    /// assert!(page.ends_with(
    ///     b"phase{phase=\"starting\"} 0\n\
    ///       phase{phase=\"running\"} 1\n\
    ///       phase{phase=\"stopping\"} 0\n"
    /// ));
    /// # Ok::<(), stethoscope::RegisterError>(())
    /// ```
    pub fn states<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        let states: Vec<String> = names.into_iter().map(S::into).collect();
        // A number of states that is out of range is refused by the registration.
        self.options = States::new(states.len()).unwrap_or_default();
        self.shape = Some(Shape::StateSet { states });
        self
    }
}
