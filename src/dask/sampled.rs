//! Families whose values a sample of the server's state brings.

use super::catalogue::{Entry, Type};
use crate::cell::{FloatCounter, FloatGauge};
use crate::family::Metric;
use crate::{Family, Handle, RegisterError, Registry};
use std::borrow::Cow;
use std::convert::Infallible;

/// One family, updated as a whole by each sample.
///
/// Where the number comes from is allowed to fail or to fall: a family that
/// could not be sampled is [withdrawn](Self::withdraw) from the page until it
/// can, and a counter never shows less than it did.
#[derive(Debug)]
pub struct Sampled(Cells);

#[derive(Debug)]
enum Cells {
    Gauges(Series<FloatGauge>),
    Counters(Series<FloatCounter>),
}

impl Sampled {
    pub(super) fn register(registry: &Registry, entry: &Entry) -> Result<Self, RegisterError> {
        Ok(Self(match entry.kind {
            Type::Counter => Cells::Counters(Series::register(registry, entry)?),
            Type::Gauge | Type::Info => Cells::Gauges(Series::register(registry, entry)?),
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
    /// sets one. What it does not set shows 0 from now on, or as a counter what
    /// it showed. Fails as `fill` does, and then only what was set has changed.
    pub fn update<E>(
        &mut self,
        fill: impl FnOnce(&mut dyn FnMut(&str, f64)) -> Result<(), E>,
    ) -> Result<(), E> {
        match &mut self.0 {
            Cells::Gauges(series) => series.update(fill, FloatGauge::set, |cell| cell.set(0.0)),
            Cells::Counters(series) => series.update(fill, FloatCounter::set_to_at_least, |_| {}),
        }
    }

    /// Takes the family off the page until the next value.
    pub fn withdraw(&mut self) {
        match &mut self.0 {
            Cells::Gauges(series) => series.withdraw(),
            Cells::Counters(series) => series.withdraw(),
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
        for shown in &self.shown {
            if shown.round != self.round {
                miss(&shown.cell);
            }
        }
        Ok(())
    }

    /// Puts a series on the page; where it is in `shown`.
    fn show(&mut self, label: Cow<'static, str>) -> usize {
        let cell = match self.family.descriptor().label_names() {
            [] => self.family.with([]),
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
