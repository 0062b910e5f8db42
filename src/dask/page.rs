//! The page of one server: the catalogue's families, registered as they turn
//! out to be known.

use super::catalogue::{Entry, Role, Source, catalogue};
use super::python_runtime::{GcTotals, PythonVersion};
use super::sampled::Sampled;
use super::{own, process};
use crate::cell::{FloatGauge, Quantile, QuantileOptions, Window};
use crate::{Handle, RegisterError, Registry};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What the owner of a server may choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The sliding window of the medians: from 6 ms to six years. A minute by
    /// default.
    pub window: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(60),
        }
    }
}

/// Why a page, or a family of it, could not be made.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PageError {
    /// The window is too short or too long to be kept.
    Window(Duration),
    /// The catalogue has no such family for this role and source.
    Unknown {
        /// The family that was asked for.
        name: String,
        /// Whose page it was to be on.
        role: Role,
    },
    /// The registry does not take it: mostly, because it is there already.
    Register(RegisterError),
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Window(window) => {
                write!(f, "a window of {window:?} can't be kept: try a minute")
            }
            Self::Unknown { name, role } => {
                write!(
                    f,
                    "the catalogue has no {name:?} of this kind for a {role:?}"
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
            Self::Window(_) | Self::Unknown { .. } => None,
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
/// What the process and the interpreter know is on the page from the start. The
/// families whose values are Dask's come one by one, as a version of Dask turns
/// out to have them.
#[derive(Debug)]
pub struct Page {
    role: Role,
    registry: Registry,
    window: Window,
    gc: GcTotals,
    last_sample: Arc<Moment>,
}

impl Page {
    /// A page with the families of process and interpreter.
    pub fn new(role: Role, python: &PythonVersion, options: &Options) -> Result<Self, PageError> {
        let window =
            Window::new(options.window, 6).map_err(|_| PageError::Window(options.window))?;
        let registry = Registry::new();
        let gc = GcTotals::register(&registry)?;
        python.register(&registry)?;
        process::register(&registry)?;

        let last_sample = Arc::new(Moment::now());
        let age: Handle<FloatGauge> = own::SAMPLE_AGE.family(&registry).register_single()?;
        let since = Arc::clone(&last_sample);
        registry.on_scrape(move || age.set(since.elapsed().as_secs_f64()));
        Ok(Self {
            role,
            registry,
            window,
            gc,
            last_sample,
        })
    }

    /// Where everything is registered; more may be.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What the garbage collector did.
    pub fn gc(&self) -> &GcTotals {
        &self.gc
    }

    /// Puts a family that samples bring on the page, with its first value.
    pub fn sampled(&self, name: &str) -> Result<Sampled, PageError> {
        let entry = self.entry(name, Source::Sample)?;
        Ok(Sampled::register(&self.registry, entry)?)
    }

    /// Puts a median on the page, NaN until something is observed.
    pub fn median(&self, name: &str) -> Result<Handle<Quantile>, PageError> {
        let entry = self.entry(name, Source::Median)?;
        let options = QuantileOptions::new([0.5])
            .expect("one quantile between 0 and 1")
            .window(self.window);
        let family = entry
            .family::<Quantile>(&self.registry)
            .options(options)
            .as_gauge();
        Ok(family.register_single()?)
    }

    /// Says that the sampled values are those of now.
    pub fn sample_taken(&self) {
        self.last_sample.set_now();
    }

    fn entry(&self, name: &str, source: Source) -> Result<&'static Entry, PageError> {
        catalogue(self.role)
            .find(|entry| entry.name == name && entry.source == source)
            .ok_or_else(|| PageError::Unknown {
                name: name.to_owned(),
                role: self.role,
            })
    }
}

/// A moment that one thread sets and others measure from.
#[derive(Debug)]
struct Moment {
    origin: Instant,
    /// Nanoseconds since the origin.
    nanos: AtomicU64,
}

impl Moment {
    fn now() -> Self {
        Self {
            origin: Instant::now(),
            nanos: AtomicU64::new(0),
        }
    }

    fn set_now(&self) {
        let nanos = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // Relaxed: the moment publishes nothing but itself.
        self.nanos.store(nanos, Ordering::Relaxed);
    }

    fn elapsed(&self) -> Duration {
        // Relaxed: as above.
        let then = Duration::from_nanos(self.nanos.load(Ordering::Relaxed));
        self.origin.elapsed().saturating_sub(then)
    }
}
