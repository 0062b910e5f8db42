//! Structs of metrics that register all of their fields.

use super::{FamilyBuilder, RegisterError, Registry};
use crate::family::typed::Labels;
use crate::family::{Family, Handle, Metric, MixedFamily, TypedFamily};

/// A struct of metrics, which a registry fills in.
///
/// Derive it with the feature `derive`: each field is a handle, a family, or another
/// struct of metrics. The name of a metric is that of its field, and its help the
/// field's documentation.
///
#[cfg_attr(feature = "derive", doc = "```")]
#[cfg_attr(not(feature = "derive"), doc = "```ignore")]
/// use stethoscope::cell::{Buckets, Counter, Gauge, Histogram};
/// use stethoscope::{Family, Handle, Metrics, Registry};
///
/// #[derive(Metrics)]
/// #[metrics(namespace = "pool")]
/// struct PoolMetrics {
///     /// Threads at work.
///     busy_threads: Handle<Gauge>,
///     /// Jobs finished.
///     #[metric(labels = ["outcome"], max_series = 10)]
///     jobs_total: Family<Counter>,
///     /// Time to run a job.
///     #[metric(unit = "seconds", options = Buckets::exponential(0.001, 2.0, 12).unwrap())]
///     job_seconds: Handle<Histogram>,
/// }
///
/// let registry = Registry::new();
/// let pool = PoolMetrics::register(&registry)?;
/// pool.busy_threads.inc();
/// pool.jobs_total.with(["done"])?.inc();
/// pool.job_seconds.observe(0.2);
/// assert!(registry.contains("pool_jobs_total"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Metrics: Sized {
    /// Registers all fields in a registry, or in a view of it.
    ///
    /// # Errors
    /// As for [`FamilyBuilder::register`]. Fields before the one at fault remain
    /// registered.
    fn register(registry: &Registry) -> Result<Self, RegisterError>;
}

/// A field of a struct of [`Metrics`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of a struct of metrics",
    note = "use a `Handle`, a `Family`, a `TypedFamily` or a `MixedFamily`, or mark a struct of \
            metrics with `#[metric(nested)]`"
)]
pub trait MetricField: Sized {
    /// The cell of the metric.
    type Cell: Metric;

    /// Registers the metric.
    ///
    /// # Errors
    /// As for [`FamilyBuilder::register`].
    fn register(builder: FamilyBuilder<'_, Self::Cell>) -> Result<Self, RegisterError>;
}

impl<C: Metric> MetricField for Handle<C> {
    type Cell = C;

    fn register(builder: FamilyBuilder<'_, C>) -> Result<Self, RegisterError> {
        builder.register_single()
    }
}

impl<C: Metric> MetricField for Family<C> {
    type Cell = C;

    fn register(builder: FamilyBuilder<'_, C>) -> Result<Self, RegisterError> {
        builder.register()
    }
}

impl<C: Metric> MetricField for MixedFamily<C> {
    type Cell = C;

    fn register(builder: FamilyBuilder<'_, C>) -> Result<Self, RegisterError> {
        builder.register_mixed()
    }
}

impl<L: Labels, C: Metric> MetricField for TypedFamily<L, C> {
    type Cell = C;

    fn register(builder: FamilyBuilder<'_, C>) -> Result<Self, RegisterError> {
        builder.register_typed()
    }
}
