//! The families that a recorder has registered, by name, and their descriptions.

use super::histograms::{HistogramRules, Histograms};
use crate::cell::{Counter, FloatGauge, Gauge, Histogram, NativeHistogram, Quantile};
use crate::family::{Descriptor, Metric, MixedFamily, SeriesError, Source, ends_in_unit};
use crate::name::{Escaping, written_label_name, written_metric_name};
use crate::registry::{FamilyBuilder, RegisterError};
use crate::{Family, Handle, MetricType, Registry};
use metrics::{Key, Unit};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// A kind of instrument of the facade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InstrumentKind {
    Counter,
    Gauge,
    Histogram,
}

impl InstrumentKind {
    fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    /// Returns the name of an instrument on a text page, without the namespace.
    fn full_name(self, name: &str) -> String {
        let name = match name {
            // No name is empty on a page.
            "" => Cow::Borrowed("_"),
            _ => written_metric_name(name, Escaping::Underscores),
        };
        let suffix = MetricType::Counter.name_suffix();
        match self {
            Self::Counter if !name.ends_with(suffix) => format!("{name}{suffix}"),
            _ => name.into_owned(),
        }
    }
}

#[derive(Clone)]
enum AnyFamily {
    Counter(MixedFamily<Counter>),
    Gauge(MixedFamily<FloatGauge>),
    Histogram(MixedFamily<Histogram>),
    Summary(MixedFamily<Quantile>),
    Native(MixedFamily<NativeHistogram>),
}

impl AnyFamily {
    fn source(&self) -> Arc<dyn Source> {
        match self {
            Self::Counter(family) => family.source(),
            Self::Gauge(family) => family.source(),
            Self::Histogram(family) => family.source(),
            Self::Summary(family) => family.source(),
            Self::Native(family) => family.source(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Description {
    help: String,
    unit: Option<Unit>,
}

impl Description {
    /// Returns the unit if the name, which is without `_total`, ends in it.
    fn unit_of(&self, name: &str) -> Option<&'static str> {
        let unit = self.unit?.as_str();
        ends_in_unit(name, unit).then_some(unit)
    }
}

/// The most names that the page shows as refused.
const MAX_REFUSED: usize = 100;

pub(super) struct Families {
    registry: Registry,
    rules: HistogramRules,
    max_series: usize,
    /// By the full name, without the namespace.
    families: HashMap<String, AnyFamily>,
    descriptions: HashMap<String, Description>,
    /// Shows the metrics that were refused; registered with the first.
    refused: Option<Family<Gauge>>,
}

impl Families {
    pub(super) fn new(registry: Registry, rules: HistogramRules, max_series: usize) -> Self {
        Self {
            registry,
            rules,
            max_series,
            families: HashMap::new(),
            descriptions: HashMap::new(),
            refused: None,
        }
    }

    pub(super) fn counter(&mut self, key: &Key) -> Option<metrics::Counter> {
        let family = self.family(
            InstrumentKind::Counter,
            key.name(),
            |this, name, description| {
                let family = this.builder::<Counter>(name, description, ());
                family.register_mixed().map(AnyFamily::Counter)
            },
        );
        match family {
            Some(AnyFamily::Counter(family)) => {
                Some(metrics::Counter::from_arc(series(&family, key)?))
            }
            _ => self.refuse(InstrumentKind::Counter, key.name()),
        }
    }

    pub(super) fn gauge(&mut self, key: &Key) -> Option<metrics::Gauge> {
        let family = self.family(
            InstrumentKind::Gauge,
            key.name(),
            |this, name, description| {
                let family = this.builder::<FloatGauge>(name, description, ());
                family.register_mixed().map(AnyFamily::Gauge)
            },
        );
        match family {
            Some(AnyFamily::Gauge(family)) => Some(metrics::Gauge::from_arc(series(&family, key)?)),
            _ => self.refuse(InstrumentKind::Gauge, key.name()),
        }
    }

    pub(super) fn histogram(&mut self, key: &Key) -> Option<metrics::Histogram> {
        let given = key.name();
        let family = self.family(
            InstrumentKind::Histogram,
            given,
            |this, name, description| {
                Ok(match this.rules.form(given, name).clone() {
                    Histograms::Buckets(buckets) => {
                        let family = this.builder(name, description, buckets);
                        AnyFamily::Histogram(family.register_mixed()?)
                    }
                    Histograms::Quantiles(options) => {
                        let family = this.builder(name, description, options);
                        AnyFamily::Summary(family.register_mixed()?)
                    }
                    Histograms::Native(options) => {
                        let family = this.builder(name, description, options);
                        AnyFamily::Native(family.register_mixed()?)
                    }
                })
            },
        );
        match family {
            Some(AnyFamily::Histogram(family)) => {
                Some(metrics::Histogram::from_arc(series(&family, key)?))
            }
            Some(AnyFamily::Summary(family)) => {
                Some(metrics::Histogram::from_arc(series(&family, key)?))
            }
            Some(AnyFamily::Native(family)) => {
                Some(metrics::Histogram::from_arc(series(&family, key)?))
            }
            _ => self.refuse(InstrumentKind::Histogram, given),
        }
    }

    /// Returns the family of an instrument, which is registered if it is new. `None`
    /// if it cannot be.
    fn family(
        &mut self,
        kind: InstrumentKind,
        name: &str,
        register: impl FnOnce(&Self, &str, &Description) -> Result<AnyFamily, RegisterError>,
    ) -> Option<AnyFamily> {
        let full_name = kind.full_name(name);
        if let Some(family) = self.families.get(&full_name) {
            return Some(family.clone());
        }
        let description = self.descriptions.get(&full_name).cloned();
        let family = register(self, &full_name, &description.unwrap_or_default()).ok()?;
        self.families.insert(full_name, family.clone());
        Some(family)
    }

    fn builder<C: Metric>(
        &self,
        full_name: &str,
        description: &Description,
        options: C::Options,
    ) -> FamilyBuilder<'_, C> {
        let builder = FamilyBuilder::new(&self.registry, full_name, &description.help, options)
            .max_series(self.max_series);
        let suffix = C::TYPE.name_suffix();
        match description.unit_of(full_name.strip_suffix(suffix).unwrap_or(full_name)) {
            Some(unit) => builder.unit(unit),
            None => builder,
        }
    }

    /// Shows an instrument as refused.
    fn refuse<T>(&mut self, kind: InstrumentKind, name: &str) -> Option<T> {
        if self.refused.is_none() {
            let family = self.registry.family(
                "stethoscope_recorder_refused",
                "Metrics of the facade that are counted nowhere, because another metric requires \
                 their name.",
            );
            let family = family.labels(["name", "type"]).max_series(MAX_REFUSED);
            self.refused = family.get_or_register().ok();
        }
        if let Some(refused) = &self.refused
            && let Ok(series) = refused.with([name, kind.word()])
        {
            series.set(1);
        }
        None
    }

    /// Describes an instrument, whether it exists yet or not.
    pub(super) fn describe(
        &mut self,
        kind: InstrumentKind,
        name: &str,
        unit: Option<Unit>,
        help: String,
    ) {
        let full_name = kind.full_name(name);
        let description = Description { help, unit };
        if self.descriptions.get(&full_name) == Some(&description) {
            return;
        }
        if let Some(family) = self.families.get(&full_name) {
            let source = family.source();
            let old = source.descriptor();
            let descriptor = Descriptor {
                help: description.help.clone(),
                unit: description.unit_of(&old.name).map(str::to_owned),
                ..old.clone()
            };
            self.registry.describe_again(&source, descriptor);
        }
        self.descriptions.insert(full_name, description);
    }
}

/// Returns the series of a key. `None` if the family is full.
fn series<C: Metric>(family: &MixedFamily<C>, key: &Key) -> Option<Arc<Handle<C>>> {
    let mut labels: Vec<(Cow<'_, str>, &str)> = Vec::new();
    for label in key.labels() {
        let name = match label.key() {
            "" => Cow::Borrowed("_"),
            name => written_label_name(name, Escaping::Underscores),
        };
        // Reserved names that are classic are not changed by the escaping.
        let name = match name.strip_prefix("__") {
            Some(rest) => Cow::Owned(format!("_{}", rest.trim_start_matches('_'))),
            None => name,
        };
        // The last one counts of several that are written alike.
        labels.retain(|(earlier, _)| *earlier != name);
        labels.push((name, label.value()));
    }
    let labels: Vec<(&str, &str)> = labels.iter().map(|(n, v)| (&**n, *v)).collect();
    match family.with(labels) {
        Ok(series) => Some(Arc::new(series)),
        Err(SeriesError::Full { .. }) => None,
        Err(error) => {
            debug_assert!(matches!(error, SeriesError::TooLong), "{error}");
            None
        }
    }
}
