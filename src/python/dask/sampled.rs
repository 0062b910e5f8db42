//! Families whose values a sample of the server's state brings.

use super::catalogue::Entry;
use super::worker::MEMORY;
use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use stethoscope::MetricType;
use stethoscope::cell::{FloatCounter, FloatGauge};
use stethoscope::family::Metric;
use stethoscope::{Family, Handle, RegisterError, Registry};

/// One family, updated as a whole by each sample.
///
/// Where the number comes from is allowed to fail or to fall: a family that
/// could not be sampled is [withdrawn](Self::withdraw) from the page until it
/// can. As long as a series of a counter stays there, it never shows less than
/// it did; one that was gone shows what it is given, which Prometheus takes for a
/// counter that began anew.
#[derive(Debug)]
pub struct Sampled(Cells);

#[derive(Debug)]
enum Cells {
    Gauges(Series<FloatGauge>),
    Counters(Series<FloatCounter>),
    Memory(Memory),
}

impl Sampled {
    /// `resident` is the resident memory of the process, where it is known.
    pub(super) fn register(
        registry: &Registry,
        entry: &Entry,
        resident: Option<&Handle<FloatGauge>>,
    ) -> Result<Self, RegisterError> {
        Ok(Self(match (entry.metric_type, resident) {
            (MetricType::Counter, _) => Cells::Counters(Series::register(registry, entry)?),
            (_, Some(resident)) if *entry == MEMORY => {
                Cells::Memory(Memory::register(registry, entry, resident.clone())?)
            }
            _ => Cells::Gauges(Series::register(registry, entry)?),
        }))
    }

    /// The value of a family without labels.
    pub fn set(&mut self, value: f64) {
        let Ok(()) = self.update(|set| {
            set("", value);
            Ok::<_, Infallible>(())
        });
    }

    /// The values of a family by its label: `fill` is given a function that
    /// sets one. What it does not set leaves the page; one of the states that are
    /// always there shows 0 instead, or as a counter what it showed. Fails as
    /// `fill` does, and then only what was set has changed.
    pub fn update<E>(
        &mut self,
        fill: impl FnOnce(&mut dyn FnMut(&str, f64)) -> Result<(), E>,
    ) -> Result<(), E> {
        match &mut self.0 {
            Cells::Gauges(series) => series.update(fill, FloatGauge::set, |cell| cell.set(0.0)),
            Cells::Counters(series) => series.update(fill, FloatCounter::raise_to, |_| {}),
            Cells::Memory(memory) => memory.update(fill),
        }
    }

    /// Takes the family off the page until the next value.
    pub fn withdraw(&mut self) {
        match &mut self.0 {
            Cells::Gauges(series) => series.withdraw(),
            Cells::Counters(series) => series.withdraw(),
            Cells::Memory(memory) => memory.series.withdraw(),
        }
    }
}

/// The series of a family with at most one label.
#[derive(Debug)]
struct Series<C: Metric> {
    family: Family<C>,
    /// The label's values that are always shown.
    states: &'static [&'static str],
    /// What is shown now.
    shown: Vec<Shown<C>>,
    /// Counts the updates.
    round: u64,
}

#[derive(Debug)]
struct Shown<C> {
    label: Cow<'static, str>,
    cell: Handle<C>,
    /// The update that brought its value.
    round: u64,
}

impl<C: Metric<Options = ()>> Series<C> {
    fn register(registry: &Registry, entry: &Entry) -> Result<Self, RegisterError> {
        Ok(Self {
            family: entry.family(registry).register()?,
            states: entry.states,
            shown: Vec::new(),
            round: 0,
        })
    }

    fn update<E>(
        &mut self,
        fill: impl FnOnce(&mut dyn FnMut(&str, f64)) -> Result<(), E>,
        set: impl Fn(&C, f64),
        miss: impl Fn(&C),
    ) -> Result<(), E> {
        if self.shown.is_empty() {
            for state in self.states {
                self.show(Cow::Borrowed(state));
            }
        }
        self.round += 1;
        fill(&mut |label, value| {
            let at = self.shown.iter().position(|shown| shown.label == label);
            let at = at.unwrap_or_else(|| self.show(Cow::Owned(label.to_owned())));
            let shown = &mut self.shown[at];
            set(&shown.cell, value);
            shown.round = self.round;
        })?;
        let Self {
            family,
            states,
            shown,
            round,
        } = self;
        shown.retain(|series| {
            let is_known = series.round == *round;
            if !is_known && states.is_empty() {
                family.remove([&*series.label]);
                return false;
            }
            if !is_known {
                miss(&series.cell);
            }
            true
        });
        Ok(())
    }

    /// Puts a series on the page; where it is in `shown`.
    fn show(&mut self, label: Cow<'static, str>) -> usize {
        let cell = match self.family.descriptor().label_names() {
            [] => self.family.with(()),
            _ => self.family.with([&*label]),
        };
        self.shown.push(Shown {
            label,
            cell: cell.expect("at most one label, and no cap on the series"),
            round: 0,
        });
        self.shown.len() - 1
    }

    fn withdraw(&mut self) {
        if !self.shown.is_empty() {
            self.shown.clear();
            self.family.retain(|_| false);
        }
    }
}

/// A worker's memory. What is managed is Dask's to say; the rest of the process'
/// is not, and is known to each scrape anew, also while Dask says nothing.
#[derive(Debug)]
struct Memory {
    series: Series<FloatGauge>,
    resident: Handle<FloatGauge>,
    /// Bytes as Dask counts them, which may be more than there are.
    counted: Arc<FloatGauge>,
}

impl Memory {
    fn register(
        registry: &Registry,
        entry: &Entry,
        resident: Handle<FloatGauge>,
    ) -> Result<Self, RegisterError> {
        let memory = Self {
            series: Series::register(registry, entry)?,
            resident,
            counted: Arc::new(FloatGauge::new()),
        };
        let family = memory.series.family.clone();
        let (resident, counted) = (memory.resident.clone(), Arc::clone(&memory.counted));
        registry.on_scrape(move || {
            // Not there while the family is withdrawn.
            if let (Some(managed), Some(unmanaged)) =
                (family.get(["managed"]), family.get(["unmanaged"]))
            {
                let [now, rest] = split(resident.get(), counted.get());
                managed.set(now);
                unmanaged.set(rest);
            }
        });
        Ok(memory)
    }

    fn update<E>(
        &mut self,
        fill: impl FnOnce(&mut dyn FnMut(&str, f64)) -> Result<(), E>,
    ) -> Result<(), E> {
        let (resident, counted) = (self.resident.get(), &self.counted);
        let with_the_rest = |set: &mut dyn FnMut(&str, f64)| {
            fill(&mut |kind, bytes| {
                if kind != "managed" {
                    return set(kind, bytes);
                }
                counted.set(bytes);
                let [managed, unmanaged] = split(resident, bytes);
                set("managed", managed);
                set("unmanaged", unmanaged);
            })
        };
        self.series
            .update(with_the_rest, FloatGauge::set, |cell| cell.set(0.0))
    }
}

/// What is managed of so many resident bytes, and what is not.
fn split(resident: f64, counted: f64) -> [f64; 2] {
    let managed = counted.clamp(0.0, resident.max(0.0));
    [managed, resident - managed]
}
