//! The page of one server: families of the catalogue, registered as they turn out
//! to be known.

use super::catalogue::catalogue;
use super::entry::{Entry, Role, Source};
use super::events::{Event, EventMetrics, HistogramOptions};
use super::executing::Executing;
use super::prefixes::{PrefixColumns, Prefixes};
use super::python_runtime::{GcTotals, PythonVersion};
use super::registries::Registries;
use super::sampled::SampledFamily;
use super::workers::{self, WORKER_NAME, Workers};
use super::{process, self_metrics};
use crate::instant::AtomicInstant;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use stethoscope::MetricType;
use stethoscope::cell::{Buckets, FloatCounter, FloatGauge, NativeHistogramOptions, Window};
use stethoscope::segment::Segment;
use stethoscope::{Handle, RegisterError, Registry, endpoint};

/// The options of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// The sliding window of medians and maxima, from 6 ms to six years; a minute
    /// unless set.
    pub window: Duration,
    /// The buckets of the histograms of durations, in seconds; unless set, from a
    /// millisecond to a thousand seconds, or none if the histograms are native.
    pub buckets: Option<Buckets>,
    /// Makes the histograms of durations native.
    pub native_histograms: bool,
    /// Task prefixes that have series of their own; 1,000 unless set.
    pub max_task_prefixes: usize,
    /// Workers that have series of their own on a scheduler's page; 0 unless set:
    /// their numbers are added up.
    pub max_workers: usize,
    /// Full names of families that are not shown, as the catalogue has them.
    pub left_out: Vec<String>,
    /// Names and values of labels that each series carries.
    pub labels: Vec<(String, String)>,
    /// The namespace of families about Dask, which their names begin with; `dask`
    /// unless set. Empty for none.
    pub namespace: String,
    /// Sends OpenMetrics 2.0 to scrapers that ask for it.
    pub openmetrics2: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(60),
            buckets: None,
            native_histograms: false,
            max_task_prefixes: 1000,
            max_workers: 0,
            left_out: Vec::new(),
            labels: Vec::new(),
            namespace: "dask".to_owned(),
            openmetrics2: false,
        }
    }
}

impl Options {
    fn histograms(&self) -> HistogramOptions {
        const DEFAULT: [f64; 14] = [
            0.001, 0.003, 0.01, 0.02, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0,
        ];
        if !self.native_histograms {
            let buckets = self.buckets.clone();
            let default = || Buckets::new(DEFAULT).expect("ascending and finite");
            return HistogramOptions::Classic(buckets.unwrap_or_else(default));
        }
        let mut options = NativeHistogramOptions::builder();
        if let Some(buckets) = &self.buckets {
            options = options.classic(buckets.clone());
        }
        HistogramOptions::Native(options.build().expect("the default schema"))
    }
}

/// The reason why a page, or a family of it, could not be made.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PageError {
    /// The window is too short or too long.
    Window(Duration),
    /// The catalogue has no such family for this role and source.
    Unknown {
        /// The family that was asked for.
        name: String,
        /// The role of the page.
        role: Role,
    },
    /// No page of Dask has the family that is to be left out.
    LeftOut(String),
    /// A label for each series has the name of a family's own label.
    Label {
        /// Its name.
        label: String,
        /// One that uses it.
        family: &'static str,
    },
    /// The registry refuses a family, mostly because it has it already.
    Register(RegisterError),
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Window(window) => {
                write!(f, "invalid window {window:?}: expected 6 ms to six years")
            }
            Self::Unknown { name, role } => {
                write!(
                    f,
                    "unknown family {name:?}: the catalogue has none of that name for a {role:?}"
                )
            }
            Self::LeftOut(name) => {
                write!(f, "unknown family {name:?}: it cannot be left out")
            }
            Self::Label { label, family } => {
                write!(
                    f,
                    "label {label:?} cannot be added to each series: {family} has a label of \
                     that name"
                )
            }
            Self::Register(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Register(error) => Some(error),
            _ => None,
        }
    }
}

impl From<RegisterError> for PageError {
    fn from(error: RegisterError) -> Self {
        Self::Register(error)
    }
}

/// The families of one server, and the registry that holds them.
///
/// The families of the process and the interpreter are on the page from the start.
/// Those about Dask join it one by one, as this version of Dask turns out to have
/// them.
#[derive(Debug)]
pub struct Page {
    role: Role,
    /// The registry that is shown, as a view without the page's labels.
    unlabelled: Registry,
    registries: Registries,
    options: Options,
    window: Window,
    gc: GcTotals,
    resident_memory: Option<Handle<FloatGauge>>,
    last_sample: Arc<AtomicInstant>,
    sampling: Handle<FloatCounter>,
    is_in_segment: bool,
}

impl Page {
    /// Makes a page with the families of the process and the interpreter.
    ///
    /// # Errors
    /// An option is invalid.
    pub fn new(role: Role, python: &PythonVersion, options: &Options) -> Result<Self, PageError> {
        Self::make(role, python, options, None)
    }

    /// [`new`](Self::new), with the values in a segment, where other processes read
    /// them. Values that are computed when the page is scraped, such as ages and
    /// medians, are there as of the last scrape.
    ///
    /// # Errors
    /// An option is invalid.
    pub fn in_segment(
        role: Role,
        python: &PythonVersion,
        options: &Options,
        segment: &Segment,
    ) -> Result<Self, PageError> {
        Self::make(role, python, options, Some(segment))
    }

    fn make(
        role: Role,
        python: &PythonVersion,
        options: &Options,
        segment: Option<&Segment>,
    ) -> Result<Self, PageError> {
        let window =
            Window::new(options.window, 6).map_err(|_| PageError::Window(options.window))?;
        for name in &options.left_out {
            let mut all = catalogue(Role::Scheduler).chain(catalogue(Role::Worker));
            if !all.any(|entry| entry.name == name) {
                return Err(PageError::LeftOut(name.clone()));
            }
        }
        for entry in catalogue(role) {
            let of_histograms: &[_] = match entry.metric_type {
                MetricType::Histogram => &["le"],
                _ => &[],
            };
            let of_workers: &[_] = match options.max_workers {
                0 => &[],
                _ if workers::FAMILIES.contains(entry) => &[WORKER_NAME],
                _ => &[],
            };
            let mut own = entry.labels.iter().chain(of_histograms).chain(of_workers);
            if let Some(label) =
                own.find(|own| options.labels.iter().any(|(name, _)| name == **own))
            {
                return Err(PageError::Label {
                    label: (*label).to_owned(),
                    family: entry.name,
                });
            }
        }
        let labels = options
            .labels
            .iter()
            .map(|(name, value)| (&**name, &**value));
        let unlabelled = segment.map_or_else(Registry::new, Registry::in_segment);
        let registry = unlabelled.with_const_labels(labels);
        let left_out = options.left_out.iter().cloned().collect();
        let registries = Registries::new(registry, &options.namespace, left_out);
        let gc = GcTotals::register(&registries)?;
        python.register(&registries)?;
        let resident_memory = process::register(&registries)?;

        let last_sample = Arc::new(AtomicInstant::now());
        let registry = registries.of(&self_metrics::SAMPLE_AGE);
        let age: Handle<FloatGauge> = self_metrics::SAMPLE_AGE
            .family(registry)
            .register_single()?;
        let since = Arc::clone(&last_sample);
        registry.on_scrape(move || age.set(since.seconds_ago()));
        let sampling = self_metrics::SAMPLING
            .family(registries.of(&self_metrics::SAMPLING))
            .register_single()?;
        Ok(Self {
            role,
            unlabelled,
            registries,
            options: options.clone(),
            window,
            gc,
            resident_memory,
            last_sample,
            sampling,
            is_in_segment: segment.is_some(),
        })
    }

    /// Returns the registry that is scraped. More may be registered there.
    pub fn registry(&self) -> &Registry {
        self.registries.shown()
    }

    /// Shows the metrics of another registry after those of the page, without the
    /// page's labels: they are not the server's.
    pub fn include(&self, other: &Registry) {
        self.unlabelled.include(other);
    }

    /// Takes them off the page. Returns true if they were on it.
    pub fn exclude(&self, other: &Registry) -> bool {
        self.unlabelled.exclude(other)
    }

    /// Returns an endpoint that serves this page, with the endpoint's own metrics on
    /// it. It has no listener yet. A page can have one endpoint.
    pub fn endpoint(&self) -> endpoint::Builder {
        let left_out = self.options.left_out.clone();
        endpoint::Builder::new(self.registry())
            .openmetrics2(self.options.openmetrics2)
            .self_metrics_filter(move |name| !left_out.iter().any(|out| out == name))
    }

    /// Returns the totals of the garbage collector.
    pub fn gc(&self) -> &GcTotals {
        &self.gc
    }

    /// Returns a sampled family, which joins the page with its first value.
    ///
    /// # Errors
    /// The catalogue has no such family for this role, or the page has it already.
    pub fn sampled(&self, name: &str) -> Result<SampledFamily, PageError> {
        let entry = catalogue(self.role)
            .find(|entry| entry.name == name && entry.source == Source::Sample)
            .ok_or_else(|| PageError::Unknown {
                name: name.to_owned(),
                role: self.role,
            })?;
        let resident = self.resident_memory.as_ref();
        Ok(SampledFamily::register(
            self.registries.of(entry),
            entry,
            resident,
        )?)
    }

    /// Puts the families of workers on a scheduler's page.
    ///
    /// # Errors
    /// The page has them already.
    pub fn workers(&self) -> Result<Workers, PageError> {
        let max_workers = self.options.max_workers;
        Ok(Workers::register(&self.registries, max_workers)?)
    }

    /// Puts the families of task prefixes on a scheduler's page, as far as their
    /// columns are known.
    ///
    /// # Errors
    /// The page has them already.
    pub fn prefixes(&self, columns: &PrefixColumns) -> Result<Prefixes, PageError> {
        let cap = self.options.max_task_prefixes;
        Ok(Prefixes::register(&self.registries, columns, cap)?)
    }

    /// Puts the families that one kind of event feeds on the page.
    ///
    /// # Errors
    /// The page has them already.
    pub fn events(&self, event: Event) -> Result<EventMetrics, PageError> {
        let (window, histograms) = (self.window, self.options.histograms());
        let of = |entry: &Entry| self.registries.of(entry);
        let plain = self.is_in_segment;
        Ok(EventMetrics::register(
            event,
            self.role,
            window,
            &histograms,
            plain,
            of,
        )?)
    }

    /// Puts the family of executing tasks on a worker's page.
    ///
    /// # Errors
    /// The page has it already.
    pub fn executing(&self) -> Result<Executing, PageError> {
        Ok(Executing::register(&self.registries)?)
    }

    /// Notes that the sampled values are fresh.
    pub fn sample_taken(&self) {
        self.last_sample.set_now();
    }

    /// Adds the event loop's time that a sample has taken.
    pub fn sampling_took(&self, seconds: f64) {
        self.sampling.inc_by(seconds);
    }
}
