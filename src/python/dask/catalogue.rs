//! What an entry of the catalogue says, and the whole of it by role.

use stethoscope::MetricType;
use stethoscope::Registry;
use stethoscope::family::Metric;
use stethoscope::registry::FamilyBuilder;

use super::{process, python_runtime, scheduler, self_metrics, worker};

/// Which of Dask's servers a page is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A scheduler.
    Scheduler,
    /// A worker.
    Worker,
}

/// How a value comes to the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// Read from the server's objects by a sample, on its event loop.
    Sample,
    /// Likewise, prefix by prefix of the tasks that the scheduler knows.
    Prefix,
    /// Made of values that arrive one by one, as something happens.
    Event,
    /// Known to the interpreter.
    Python,
    /// Read from `/proc` by the scrape.
    Proc,
    /// Known to stethoscope itself.
    Own,
    /// Counted by the endpoint that serves the page.
    Endpoint,
}

/// One family: what a reader of the page sees, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As in the text format: a counter's with `_total`. What is Dask's begins
    /// with `dask_`, its namespace unless it is given another.
    pub name: &'static str,
    /// The type.
    pub metric_type: MetricType,
    /// The HELP text.
    pub help: &'static str,
    /// The names of the labels.
    pub labels: &'static [&'static str],
    /// Values of the only label that are always on the page, at 0 if nothing
    /// else is known.
    pub states: &'static [&'static str],
    /// How the value comes to the page.
    pub source: Source,
    /// Where the value is, in words for the documentation.
    pub origin: &'static str,
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

    /// The name without Dask's namespace, if it has that.
    pub(super) fn name_in_dask(&self) -> Option<&'static str> {
        self.name.strip_prefix("dask_")
    }

    /// The family as it is about to be registered, in the place that it has: all
    /// but the options of its cells is said.
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

    /// The unit, if the name ends in one.
    pub fn unit(&self) -> Option<&'static str> {
        let bare = self.name.strip_suffix("_total").unwrap_or(self.name);
        ["seconds", "bytes"]
            .into_iter()
            .find(|unit| bare.ends_with(unit))
    }
}

/// Every family that a server of this role may show, in the order of the page.
pub fn catalogue(role: Role) -> impl Iterator<Item = &'static Entry> {
    let of_role = match role {
        Role::Scheduler => scheduler::FAMILIES,
        Role::Worker => worker::FAMILIES,
    };
    [
        python_runtime::FAMILIES,
        process::FAMILIES,
        of_role,
        self_metrics::FAMILIES,
    ]
    .into_iter()
    .flatten()
}
