//! Families whose values come with samples of the server's state.

use super::entry::{Entry, Sampling};
use crate::instant::AtomicInstant;
use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use stethoscope::MetricType;
use stethoscope::cell::{FloatCounter, FloatGauge};
use stethoscope::family::Metric;
use stethoscope::{Family, Handle, RegisterError, Registry};

/// One family, updated as a whole by each sample.
///
/// The source of the value may fail, or may go down. A family that could not be
/// sampled is [withdrawn](Self::withdraw) from the page until it can be. A series of
/// a counter never decreases while it is on the page; one that was withdrawn shows
/// the value that it is given, which Prometheus takes for a restarted counter.
#[derive(Debug)]
pub struct SampledFamily(Cells);

#[derive(Debug)]
enum Cells {
    Gauges(Series<FloatGauge>),
    Counters(Series<FloatCounter>),
    Age(Age),
    Memory(Memory),
}

impl SampledFamily {
    /// `resident` is the resident memory of the process, if it is known.
    pub(super) fn register(
        registry: &Registry,
        entry: &Entry,
        resident: Option<&Handle<FloatGauge>>,
    ) -> Result<Self, RegisterError> {
        Ok(Self(match (entry.metric_type, entry.sampling, resident) {
            (MetricType::Counter, ..) => Cells::Counters(Series::register(registry, entry)?),
            (_, Sampling::ManagedMemory, Some(resident)) => {
                Cells::Memory(Memory::register(registry, entry, resident.clone())?)
            }
            (_, Sampling::Age, _) => Cells::Age(Age::register(registry, entry)?),
            _ => Cells::Gauges(Series::register(registry, entry)?),
        }))
    }

    /// Sets the value of a family without labels.
    pub fn set(&mut self, value: f64) {
        let Ok(()) = self.update(|set| {
            set("", value);
            Ok::<_, Infallible>(())
        });
    }

    /// Sets the values of a family by its label. `fill` is given a function that
    /// sets one of them. Series that it does not set leave the page; but the states
    /// that are always there show 0 instead, or as counters what they showed.
    ///
    /// # Errors
    /// Those of `fill`. Then only the series that it has set have changed.
    pub fn update<E>(
        &mut self,
        fill: impl FnOnce(&mut dyn FnMut(&str, f64)) -> Result<(), E>,
    ) -> Result<(), E> {
        match &mut self.0 {
            Cells::Gauges(series) => series.update(fill, FloatGauge::set, |cell| cell.set(0.0)),
            Cells::Counters(series) => series.update(fill, FloatCounter::raise_to, |_| {}),
            Cells::Age(age) => age.update(fill),
            Cells::Memory(memory) => memory.update(fill),
        }
    }

    /// Takes the family off the page until the next value.
    pub fn withdraw(&mut self) {
        match &mut self.0 {
            Cells::Gauges(series) => series.withdraw(),
            Cells::Counters(series) => series.withdraw(),
            Cells::Age(age) => age.series.withdraw(),
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
    /// The series that are shown now.
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
        // Labels mostly come in the order of the sample before.
        let mut next = 0;
        fill(&mut |label, value| {
            let at = match self.shown.get(next) {
                Some(shown) if shown.label == label => Some(next),
                _ => self.shown.iter().position(|shown| shown.label == label),
            };
            let at = at.unwrap_or_else(|| self.show(Cow::Owned(label.to_owned())));
            next = at + 1;
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

    /// Puts a series on the page. Returns its index in `shown`.
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

/// Seconds since something, as of a sample. They pass while there is no other.
#[derive(Debug)]
struct Age {
    series: Series<FloatGauge>,
    sampled: Arc<SampledAge>,
}

#[derive(Debug)]
struct SampledAge {
    at: AtomicInstant,
    /// 0 if there is nothing whose age could grow.
    seconds: FloatGauge,
}

impl Age {
    fn register(registry: &Registry, entry: &Entry) -> Result<Self, RegisterError> {
        let age = Self {
            series: Series::register(registry, entry)?,
            sampled: Arc::new(SampledAge {
                at: AtomicInstant::now(),
                seconds: FloatGauge::new(),
            }),
        };
        let (family, sampled) = (age.series.family.clone(), Arc::clone(&age.sampled));
        registry.on_scrape(move || {
            // There is no series while the family is withdrawn.
            if let Some(shown) = family.get(()) {
                let seconds = sampled.seconds.get();
                if seconds > 0.0 {
                    shown.set(seconds + sampled.at.seconds_ago());
                }
            }
        });
        Ok(age)
    }

    fn update<E>(
        &mut self,
        fill: impl FnOnce(&mut dyn FnMut(&str, f64)) -> Result<(), E>,
    ) -> Result<(), E> {
        let sampled = &self.sampled;
        let set = |cell: &FloatGauge, seconds: f64| {
            sampled.seconds.set(seconds);
            sampled.at.set_now();
            cell.set(seconds);
        };
        self.series.update(fill, set, |cell| cell.set(0.0))
    }
}

/// A worker's memory. Dask says how much is managed. The rest of the process's
/// memory is unmanaged, and each scrape computes it afresh, even if Dask is silent.
#[derive(Debug)]
struct Memory {
    series: Series<FloatGauge>,
    resident: Handle<FloatGauge>,
    /// Bytes as Dask counts them, which may be more than are resident.
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
            // There are no series while the family is withdrawn.
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

/// Splits resident bytes into managed and unmanaged ones.
fn split(resident: f64, counted: f64) -> [f64; 2] {
    let managed = counted.clamp(0.0, resident.max(0.0));
    [managed, resident - managed]
}
