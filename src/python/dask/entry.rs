//! An entry of the catalogue: one family of a page, and where its values come from.

use stethoscope::MetricType;
use stethoscope::Registry;
use stethoscope::family::Metric;
use stethoscope::registry::FamilyBuilder;

/// The beginning of the names of families about Dask.
pub(super) const DASK: &str = "dask_";

/// The kind of Dask's servers that a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A scheduler.
    Scheduler,
    /// A worker.
    Worker,
}

/// How a value comes to the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// Read from the server's objects by a sample, on its event loop.
    Sample,
    /// Read by samples too, from each of the scheduler's task prefixes.
    Prefix,
    /// Read by samples too, from each of the scheduler's workers.
    Workers,
    /// Made of values that arrive one by one, as something happens.
    Event,
    /// Known to the interpreter.
    Python,
    /// Read from `/proc` by the scrape.
    Proc,
    /// Known to stethoscope itself.
    Stethoscope,
    /// Counted by the endpoint that serves the page.
    Endpoint,
}

/// The meaning of a sampled value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sampling {
    /// A number that stays as it is until the next sample.
    #[default]
    Value,
    /// Seconds since something, which pass between samples too; 0 for nothing.
    Age,
    /// The managed part of a process's memory. The rest is unmanaged.
    ManagedMemory,
}

/// One family: what a reader of the page sees, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name in the text format: a counter's with `_total`. Families about Dask
    /// begin with `dask_`, which stands for its namespace.
    pub name: &'static str,
    /// The type.
    pub metric_type: MetricType,
    /// The HELP text.
    pub help: &'static str,
    /// The names of the labels.
    pub labels: &'static [&'static str],
    /// Values of the only label that are always on the page, at 0 unless
    /// something else is known.
    pub states: &'static [&'static str],
    /// How the value comes to the page.
    pub source: Source,
    /// The source of the value, in words for the documentation.
    pub origin: &'static str,
    /// The meaning of a sampled value.
    pub sampling: Sampling,
}

impl Entry {
    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            metric_type: MetricType::Gauge,
            help,
            labels: &[],
            states: &[],
            source: Source::Sample,
            origin: "",
            sampling: Sampling::Value,
        }
    }

    pub(super) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self {
            metric_type: MetricType::Counter,
            ..Self::gauge(name, help)
        }
    }

    pub(super) const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self {
            metric_type: MetricType::Histogram,
            ..Self::gauge(name, help)
        }
    }

    pub(super) const fn labels(self, labels: &'static [&'static str]) -> Self {
        Self { labels, ..self }
    }

    pub(super) const fn states(self, states: &'static [&'static str]) -> Self {
        Self { states, ..self }
    }

    pub(super) const fn from(self, source: Source, origin: &'static str) -> Self {
        Self {
            source,
            origin,
            ..self
        }
    }

    pub(super) const fn sampling(self, sampling: Sampling) -> Self {
        Self { sampling, ..self }
    }

    /// The name without Dask's namespace, if it begins with it.
    pub(super) fn name_in_dask(&self) -> Option<&'static str> {
        self.name.strip_prefix(DASK)
    }

    /// Describes the family for its registration, but for the options of its
    /// cells.
    pub(super) fn family<'r, C: Metric>(&self, registry: &'r Registry) -> FamilyBuilder<'r, C>
    where
        C::Options: Default,
    {
        let family = registry
            .family(self.name_in_dask().unwrap_or(self.name), self.help)
            .labels(self.labels.iter().copied());
        match self.unit() {
            Some(unit) => family.unit(unit),
            None => family,
        }
    }

    /// Returns the unit, if the name ends in one.
    pub fn unit(&self) -> Option<&'static str> {
        let bare = self.name.strip_suffix("_total").unwrap_or(self.name);
        ["seconds", "bytes"]
            .into_iter()
            .find(|unit| bare.ends_with(unit))
    }
}
