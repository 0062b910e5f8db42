//! A family on its way into a registry: described, checked, registered.

use super::{RegisterError, RegisterErrorKind, Registry};
use crate::MetricType;
use crate::cell::{Number, Quantile, StateSet, States};
use crate::family::{Descriptor, Family, Handle, Metric, Shape, ends_in_unit};
use crate::name::scheme::{self, Escaping};
use crate::name::{self, NameError};
use crate::sync::Arc as SyncArc;

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
    metric_type: MetricType,
    max_series: usize,
    created: bool,
}

impl<'r, C: Metric> FamilyBuilder<'r, C> {
    pub(super) fn new(registry: &'r Registry, name: &str, help: &str) -> Self
    where
        C::Options: Default,
    {
        Self {
            registry,
            name: name.to_owned(),
            help: help.to_owned(),
            unit: None,
            labels: Vec::new(),
            const_labels: Vec::new(),
            options: C::Options::default(),
            shape: None,
            metric_type: C::TYPE,
            max_series: usize::MAX,
            created: false,
        }
    }

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

    /// The unit, for OpenMetrics: the last word of the name (before `_total`),
    /// of letters, digits and underscores. An info and a state set have none.
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
        self.created = true;
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
            metric_type: self.metric_type,
            shape: self.shape.unwrap_or_else(|| C::shape(&self.options)),
            label_names: self.labels,
            const_labels: self
                .registry
                .const_labels
                .iter()
                .cloned()
                .chain(self.const_labels)
                .collect(),
            created: self.created
                && matches!(
                    self.metric_type,
                    MetricType::Counter | MetricType::Histogram | MetricType::Summary
                ),
        };
        if let Some(bare) = name.strip_suffix(descriptor.metric_type.name_suffix()) {
            name.truncate(bare.len());
        }
        name::check_metric_name(&name, self.registry.rules)
            .map_err(|e| error(RegisterErrorKind::Name(e)))?;
        if let Some(unit) = &descriptor.unit {
            check_unit(unit, &name, self.metric_type).map_err(error)?;
        }
        if let Shape::StateSet { states } = &descriptor.shape {
            let count = states.len();
            States::new(count).map_err(|_| error(RegisterErrorKind::States { count }))?;
            let twice = |(index, state): (usize, &String)| states[..index].contains(state);
            if let Some(index) = states.iter().enumerate().position(twice) {
                let state = states[index].clone();
                return Err(error(RegisterErrorKind::DuplicateState { state }));
            }
            let is_label = |escaping| {
                scheme::written_label_name(&name, escaping)
                    == scheme::written_metric_name(&name, escaping)
            };
            if name.starts_with("__") || !Escaping::ALL.into_iter().all(is_label) {
                return Err(error(RegisterErrorKind::StateLabel));
            }
        }
        check_shape(&descriptor.shape, self.metric_type, C::width(&self.options)).map_err(error)?;

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
            // Some reader may see two names as one.
            let same = |other: &&str| {
                let written = scheme::written_label_name;
                Escaping::ALL
                    .into_iter()
                    .any(|escaping| written(other, escaping) == written(label, escaping))
            };
            if own.as_ref().is_some_and(same) {
                return Err(refused(NameError::Reserved));
            }
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

/// Checks the unit of a family of that name, which is without suffix.
fn check_unit(unit: &str, name: &str, metric_type: MetricType) -> Result<(), RegisterErrorKind> {
    if matches!(metric_type, MetricType::Info | MetricType::StateSet) {
        return Err(RegisterErrorKind::UnitNotAllowed);
    }
    let fits = |character: char| character.is_ascii_alphanumeric() || "_:".contains(character);
    if !unit.chars().all(fits) {
        let unit = unit.to_owned();
        return Err(RegisterErrorKind::UnitCharacters { unit });
    }
    match ends_in_unit(name, unit) {
        true => Ok(()),
        false => Err(RegisterErrorKind::Unit {
            unit: unit.to_owned(),
        }),
    }
}

/// Checks what a cell of anybody's making says of itself: the writer relies on
/// it. A cell may read more than the one number that is shown of it.
fn check_shape(
    shape: &Shape,
    metric_type: MetricType,
    read: usize,
) -> Result<(), RegisterErrorKind> {
    let shown = shape.width();
    if read != shown && !(matches!(shape, Shape::Single(_)) && read > shown) {
        return Err(RegisterErrorKind::Width { shown, read });
    }
    match shape.is_of(metric_type) {
        true => Ok(()),
        false => Err(RegisterErrorKind::Shape),
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
        self.metric_type = MetricType::Gauge;
        self.shape = Some(Shape::Single(Number::F64));
        self
    }
}

impl FamilyBuilder<'_, StateSet> {
    /// The names of the states, in the order in which the cell knows them:
    /// from 1 to 64, each another.
    ///
    /// The label that tells them apart is called as the family, whose name must
    /// therefore be one for labels: without a colon, for example.
    ///
    /// ```
    /// # use stethoscope::{Registry, cell::StateSet};
    /// # let registry = Registry::new();
    /// let phase = registry
    ///     .family::<StateSet>("phase", "What the process is doing.")
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
    pub fn states<'n>(mut self, names: impl IntoIterator<Item = &'n str>) -> Self {
        let states: Vec<String> = names.into_iter().map(str::to_owned).collect();
        // A number of states that cannot be is refused with the registration.
        self.options = States::new(states.len()).unwrap_or_default();
        self.shape = Some(Shape::StateSet { states });
        self
    }
}
