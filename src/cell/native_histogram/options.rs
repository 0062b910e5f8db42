//! The options of a native histogram.

use super::super::{Buckets, OptionsError};
use super::index::{MAX_SCHEMA, MIN_SCHEMA};
use super::scale::{Geometry, MAX_RING};

/// The schema, the number of buckets and the classic buckets of a
/// [`NativeHistogram`](super::NativeHistogram).
///
/// ```
/// use stethoscope::cell::{Buckets, NativeHistogramOptions};
///
/// let options = NativeHistogramOptions::builder()
///     .schema(5)
///     .max_buckets(320)
///     .classic(Buckets::default())
///     .build()?;
/// assert_eq!(options.schema(), 5);
/// # Ok::<(), stethoscope::cell::OptionsError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct NativeHistogramOptions {
    schema: i32,
    max_buckets: usize,
    negative_values: bool,
    classic: Option<Buckets>,
}

/// Buckets that hold all numbers above the zero threshold in schema -4: from the one
/// above 2^-128, index -7, to that of infinity, index 65.
const MIN_BUCKETS: usize = 73;

impl Default for NativeHistogramOptions {
    /// Schema 3, whose buckets are 9 % wide, at most 160 buckets, neither negative
    /// values nor classic buckets.
    fn default() -> Self {
        Self {
            schema: 3,
            max_buckets: 160,
            negative_values: false,
            classic: None,
        }
    }
}

impl NativeHistogramOptions {
    /// Starts building options, beginning with the [defaults](Self::default).
    pub fn builder() -> NativeHistogramOptionsBuilder {
        NativeHistogramOptionsBuilder(Self::default())
    }

    /// Returns the schema that a histogram starts with.
    #[must_use]
    pub fn schema(&self) -> i32 {
        self.schema
    }

    /// Returns the greatest number of buckets of positive values, and of negative
    /// ones.
    #[must_use]
    pub fn max_buckets(&self) -> usize {
        self.max_buckets
    }

    /// Returns true if negative values have buckets of their own.
    #[must_use]
    pub fn has_negative_values(&self) -> bool {
        self.negative_values
    }

    /// Returns the finite bounds of the classic buckets, ascending.
    #[must_use]
    pub fn classic_bounds(&self) -> &[f64] {
        self.classic.as_ref().map_or(&[], Buckets::bounds)
    }

    pub(super) fn geometry(&self) -> Geometry {
        Geometry {
            steps: (MAX_SCHEMA - self.schema) as u32,
            levels: (self.schema - MIN_SCHEMA) as usize + 1,
            ring: self.max_buckets,
        }
    }

    /// Returns the index of the classic bucket of `value`, `+Inf` included. `value`
    /// is not NaN.
    pub(super) fn classic_bucket(&self, value: f64) -> usize {
        let located = self
            .classic
            .as_ref()
            .and_then(|classic| classic.locate(value));
        located.map_or(0, |(bucket, _)| bucket)
    }

    /// Returns true if there are classic buckets.
    #[inline]
    pub(super) fn has_classic(&self) -> bool {
        self.classic.is_some()
    }

    /// Returns the index of the classic bucket of `value`, unless it is `+Inf`.
    #[inline]
    pub(super) fn finite_classic_bucket(&self, value: f64) -> Option<usize> {
        let classic = self.classic.as_ref()?;
        let (bucket, _) = classic.locate(value)?;
        (bucket < classic.bounds().len()).then_some(bucket)
    }
}

/// Builds [`NativeHistogramOptions`].
#[derive(Clone, Debug)]
#[must_use = "options are made by `build`"]
pub struct NativeHistogramOptionsBuilder(NativeHistogramOptions);

impl NativeHistogramOptionsBuilder {
    /// Sets the schema to start with, from -4 to 8: there are 2^schema buckets from
    /// one power of two to the next. The default, 3, makes buckets 9 % wide; with 5
    /// they are 2.2 % wide, with 0 each spans a power of two.
    pub fn schema(mut self, schema: i32) -> Self {
        self.0.schema = schema;
        self
    }

    /// Sets the greatest number of buckets of positive values, and of negative ones:
    /// from 73, which suffices for all numbers in schema -4, to 16,384. The default
    /// is 160: with schema 3, values within a factor of a million fit.
    ///
    /// Each costs 8 bytes for each schema from the first down to -4.
    pub fn max_buckets(mut self, buckets: usize) -> Self {
        self.0.max_buckets = buckets;
        self
    }

    /// Gives negative values buckets of their own, and adds them to the sum. The
    /// histogram then takes twice the memory, and OpenMetrics pages show neither sum
    /// nor count, because there a sum must not decrease.
    pub fn negative_values(mut self) -> Self {
        self.0.negative_values = true;
        self
    }

    /// Counts observations in classic buckets as well: on text pages, and on protobuf
    /// pages beside the native buckets, for servers that store both.
    pub fn classic(mut self, buckets: Buckets) -> Self {
        self.0.classic = Some(buckets);
        self
    }

    /// Checks the options.
    ///
    /// # Errors
    /// The schema or the number of buckets is out of range.
    pub fn build(self) -> Result<NativeHistogramOptions, OptionsError> {
        let NativeHistogramOptions {
            schema,
            max_buckets,
            ..
        } = self.0;
        if !(MIN_SCHEMA..=MAX_SCHEMA).contains(&schema) {
            return Err(OptionsError::Schema { schema });
        }
        if !(MIN_BUCKETS..=MAX_RING).contains(&max_buckets) {
            return Err(OptionsError::NativeBuckets {
                least: MIN_BUCKETS,
                limit: MAX_RING,
            });
        }
        Ok(self.0)
    }
}
