//! Families whose values arrive one by one, as something happens.

use super::entry::{Entry, Role};
use super::event_families::{EventFamilies, TickGauges};
use super::{scheduler, worker};
use crate::instant::AtomicInstant;
use std::sync::Arc;
use stethoscope::cell::{
    Buckets, Cell, FloatGauge, Histogram, NativeHistogram, NativeHistogramOptions, Quantile,
    QuantileOptions, Window, WindowMax,
};
use stethoscope::{Handle, RegisterError, Registry};

/// A kind of event in the life of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A tick of the event loop; its value is the time since the last one, in
    /// seconds.
    Tick,
    /// A task that has run; its value is the run time in seconds.
    Task,
    /// A transfer that has ended; its value is in bytes per second.
    Transfer,
}

impl Event {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Tick, Self::Task, Self::Transfer];

    fn families(self, role: Role) -> EventFamilies {
        match (role, self) {
            (Role::Scheduler, Self::Tick) => scheduler::TICK,
            (Role::Scheduler, Self::Task) => scheduler::TASK,
            (Role::Scheduler, Self::Transfer) => EventFamilies::NONE,
            (Role::Worker, Self::Tick) => worker::TICK,
            (Role::Worker, Self::Task) => worker::TASK,
            (Role::Worker, Self::Transfer) => worker::TRANSFER,
        }
    }
}

/// The cells that one kind of event feeds.
#[derive(Clone, Debug, Default)]
pub struct EventMetrics {
    median: Option<Median>,
    histogram: Option<Durations>,
    tick: Option<Arc<Tick>>,
}

/// The form of the histograms of durations.
pub(super) enum HistogramOptions {
    Classic(Buckets),
    Native(NativeHistogramOptions),
}

/// A histogram of durations.
#[derive(Clone, Debug)]
enum Durations {
    Classic(Handle<Histogram>),
    Native(Handle<NativeHistogram>),
}

impl Durations {
    fn register(
        entry: &Entry,
        registry: &Registry,
        options: &HistogramOptions,
    ) -> Result<Self, RegisterError> {
        Ok(match options {
            HistogramOptions::Classic(buckets) => {
                let family = entry.family(registry).options(buckets.clone());
                Self::Classic(family.register_single()?)
            }
            HistogramOptions::Native(options) => {
                let family = entry.family(registry).options(options.clone());
                Self::Native(family.register_single()?)
            }
        })
    }

    fn observe(&self, value: f64) {
        match self {
            Self::Classic(histogram) => histogram.observe(value),
            Self::Native(histogram) => histogram.observe(value),
        }
    }
}

/// The median over the window.
#[derive(Clone, Debug)]
enum Median {
    /// The cell that the page shows.
    Shown(Handle<Quantile>),
    /// A cell that each scrape copies the median from, to a gauge: only plain numbers
    /// can be in a segment.
    Copied(Arc<Quantile>),
}

impl Median {
    fn register(
        entry: &Entry,
        registry: &Registry,
        window: Window,
        plain: bool,
    ) -> Result<Self, RegisterError> {
        let options = QuantileOptions::builder([0.5])
            .window(window)
            .keep_last()
            .build()
            .expect("one quantile between 0 and 1");
        if !plain {
            let family = entry.family::<Quantile>(registry);
            let shown = family.options(options).as_gauge().register_single()?;
            return Ok(Self::Shown(shown));
        }
        let shown: Handle<FloatGauge> = entry.family(registry).register_single()?;
        let median = Arc::new(Quantile::new(&options));
        let copied = Arc::clone(&median);
        registry.on_scrape(move || {
            let mut reading = [0; 3];
            copied.read(&mut reading);
            shown.set(f64::from_bits(reading[0]));
        });
        Ok(Self::Copied(median))
    }

    fn observe(&self, value: f64) {
        match self {
            Self::Shown(median) => median.observe(value),
            Self::Copied(median) => median.observe(value),
        }
    }
}

/// The ticks of the event loop.
#[derive(Debug)]
struct Tick {
    last: AtomicInstant,
    longest: WindowMax,
}

impl EventMetrics {
    /// `registry_of` returns the registry of a family. `plain` is true if its cells
    /// must be plain numbers.
    pub(super) fn register<'r>(
        event: Event,
        role: Role,
        window: Window,
        histograms: &HistogramOptions,
        plain: bool,
        registry_of: impl Fn(&Entry) -> &'r Registry,
    ) -> Result<Self, RegisterError> {
        let families = event.families(role);
        let median = families
            .median
            .map(|entry| Median::register(&entry, registry_of(&entry), window, plain));
        let histogram = families
            .histogram
            .map(|entry| Durations::register(&entry, registry_of(&entry), histograms));
        let tick = families.tick.map(|TickGauges { maximum, age }| {
            let tick = Arc::new(Tick {
                last: AtomicInstant::now(),
                longest: WindowMax::new(&window),
            });
            let registry = registry_of(&maximum);
            let maximum: Handle<FloatGauge> = maximum.family(registry).register_single()?;
            let since = Arc::clone(&tick);
            registry.on_scrape(move || {
                // `max` ignores the NaN of an empty window.
                maximum.set(since.longest.get().max(since.last.seconds_ago()));
            });
            let registry = registry_of(&age);
            let age: Handle<FloatGauge> = age.family(registry).register_single()?;
            let since = Arc::clone(&tick);
            registry.on_scrape(move || age.set(since.last.seconds_ago()));
            Ok(tick)
        });
        Ok(Self {
            median: median.transpose()?,
            histogram: histogram.transpose()?,
            tick: tick.transpose()?,
        })
    }

    /// Takes one event into account, at this instant.
    pub fn observe(&self, value: f64) {
        if let Some(median) = &self.median {
            median.observe(value);
        }
        if let Some(histogram) = &self.histogram {
            histogram.observe(value);
        }
        if let Some(tick) = &self.tick {
            tick.longest.observe(value);
            tick.last.set_now();
        }
    }
}
