//! Families whose series have different labels.

use super::{Descriptor, Family, Handle, Metric, SeriesError, SeriesLabels};
use crate::label::LookupKey;
use crate::name::{self, NameRules};
use smallvec::SmallVec;
use std::fmt;
use std::time::Duration;

/// A metric whose series may have different labels, which are named with each
/// look-up.
///
/// Legal on a page, but for bridges and collectors only: queries are simpler if all
/// series of a metric have the same labels, as in a [`Family`]. Made by
/// [`FamilyBuilder::register_mixed`](crate::registry::FamilyBuilder::register_mixed).
///
/// The order of the labels does not matter. A label with an empty value is the same
/// as none, as Prometheus has it. If constant labels of the family, of the registry,
/// or of a registry that includes it have the name of a label, the page shows the
/// label as `exported_…`.
///
/// ```
/// # use stethoscope::{Registry, cell::Counter, exposition::Format};
/// # let registry = Registry::new();
/// let events = registry.family::<Counter>("events_total", "Events.").register_mixed()?;
/// events.with([("kind", "read")])?.inc();
/// events.with([("kind", "write"), ("disk", "a")])?.inc();
/// let mut scraper = registry.scraper();
/// assert!(scraper.scrape(Format::Text).ends_with(
///     b"events_total{kind=\"read\"} 1\n\
///       events_total{disk=\"a\",kind=\"write\"} 1\n"
/// ));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MixedFamily<C: Metric>(Family<C>);

impl<C: Metric> Clone for MixedFamily<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C: Metric> fmt::Debug for MixedFamily<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MixedFamily").field(&self.0).finish()
    }
}

impl<C: Metric> MixedFamily<C> {
    pub(crate) fn new(family: Family<C>) -> Self {
        Self(family)
    }

    /// Returns the series with these labels, which is made if it does not exist.
    ///
    /// Finding takes no lock, and does not allocate for up to 8 labels.
    ///
    /// # Errors
    /// If the family has reached its limit, a name is not a classic label name, or
    /// one is given twice.
    pub fn with<'l>(
        &self,
        labels: impl AsRef<[(&'l str, &'l str)]>,
    ) -> Result<Handle<C>, SeriesError> {
        let labels = labels.as_ref();
        self.with_key(labels, |key| match self.0.0.find(key) {
            Some(series) => Ok(Handle(series)),
            None => {
                check_labels(labels)?;
                self.0.0.make(key)
            }
        })
    }

    /// Removes a series. Returns true if it existed.
    ///
    /// Handles to it remain usable, but their updates are not shown.
    pub fn remove<'l>(&self, labels: impl AsRef<[(&'l str, &'l str)]>) -> bool {
        self.with_key(labels.as_ref(), |key| self.0.0.remove(key))
    }

    /// Removes the series for which `keep` returns false. Returns their number. As
    /// [`Family::retain`].
    pub fn retain(&self, keep: impl FnMut(SeriesLabels<'_>) -> bool) -> usize {
        self.0.retain(keep)
    }

    /// Removes the series whose values have not changed for `age`. Returns their
    /// number. As [`Family::remove_stale`].
    pub fn remove_stale(&self, age: Duration) -> usize {
        self.0.remove_stale(age)
    }

    /// Returns the number of series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns true if there is no series.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the family's name, help, type and unit.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        self.0.descriptor()
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn source(&self) -> std::sync::Arc<dyn super::Source> {
        self.0.source()
    }

    /// Calls `read` with the key of these labels: names and values in turn, sorted by
    /// name, without those that are empty.
    fn with_key<R>(&self, labels: &[(&str, &str)], read: impl FnOnce(&LookupKey<'_>) -> R) -> R {
        let mut sorted: SmallVec<[(&str, &str); 8]> = labels
            .iter()
            .copied()
            .filter(|(_, value)| !value.is_empty())
            .collect();
        sorted.sort_unstable();
        let values: SmallVec<[&str; 16]> = sorted
            .iter()
            .flat_map(|(name, value)| [*name, *value])
            .collect();
        read(&LookupKey::new(self.0.0.seed, &values))
    }
}

/// Checks the names of the labels of a series.
fn check_labels(labels: &[(&str, &str)]) -> Result<(), SeriesError> {
    for (index, (name, _)) in labels.iter().enumerate() {
        name::check_label_name(name, NameRules::Classic)
            .map_err(|_| SeriesError::LabelName { index })?;
        if labels[..index].iter().any(|(earlier, _)| earlier == name) {
            return Err(SeriesError::DuplicateLabel { index });
        }
    }
    Ok(())
}
