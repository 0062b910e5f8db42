//! A series: label values, and the cell that holds the value.

use super::storage::Storage;
use super::table::Entry;
use crate::cell::Cell;
use crate::label::{LabelValues, LookupKey};
use crate::sync::Arc;
use std::fmt;
use std::ops::Deref;

pub(super) struct Series<C> {
    pub(super) hash: u64,
    /// Increases with each series of a family. A series that is made again gets
    /// a new one.
    pub(super) ordinal: u64,
    /// Seconds since 1970 (UTC).
    pub(super) created: f64,
    pub(super) labels: LabelValues,
    pub(super) cell: Storage<C>,
}

impl<C: Cell> Entry for Series<C> {
    type Key<'k> = LookupKey<'k>;

    #[inline]
    fn hash(&self) -> u64 {
        self.hash
    }

    #[inline]
    fn matches(&self, key: &LookupKey<'_>) -> bool {
        self.labels.matches(key)
    }
}

/// A reference to the cell of a series.
///
/// Cloning it increments one atomic; an update costs what the cell says. It keeps
/// the cell alive after the series was removed.
///
/// ```
/// # let registry = stethoscope::Registry::new();
/// let requests = registry.counter("requests_total", "Requests answered.")?;
/// let in_a_thread = requests.clone();
/// std::thread::spawn(move || in_a_thread.inc()).join().unwrap();
/// assert_eq!(requests.get(), 1);
/// # Ok::<(), stethoscope::RegisterError>(())
/// ```
pub struct Handle<C>(pub(super) Arc<Series<C>>);

#[cfg(feature = "tower")]
impl<C> Handle<C> {
    /// Returns the values of the series' labels, in the order of the family's names.
    pub(crate) fn label_values(&self) -> impl Iterator<Item = &str> {
        self.0.labels.iter()
    }
}

impl<C> Clone for Handle<C> {
    #[inline]
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C> Deref for Handle<C> {
    type Target = C;

    #[inline]
    fn deref(&self) -> &C {
        &self.0.cell
    }
}

impl<C: fmt::Debug> fmt::Debug for Handle<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<&str> = self.0.labels.iter().collect();
        f.debug_struct("Handle")
            .field("labels", &labels)
            .field("cell", &*self.0.cell)
            .finish()
    }
}

/// Returns the labels of a series. The values of a mixed family, which has no names,
/// alternate with the names of the labels.
pub(super) fn label_pairs<'a>(
    names: &'a [String],
    values: &'a LabelValues,
) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> + use<'a> {
    let labels = match names.len() {
        0 => values.len() / 2,
        labels => labels,
    };
    let (mut names, mut values) = (names.iter(), values.iter());
    let mut next = move || values.next().unwrap_or_default();
    (0..labels).map(move |_| match names.next() {
        Some(name) => (name.as_str(), next()),
        None => (next(), next()),
    })
}

/// The label values of one series, with their names.
#[derive(Clone, Copy)]
pub struct SeriesLabels<'a> {
    pub(super) names: &'a [String],
    pub(super) values: &'a LabelValues,
}

impl<'a> SeriesLabels<'a> {
    /// Returns names and values, in the order of the family's labels.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> + use<'a> {
        label_pairs(self.names, self.values)
    }

    /// Returns the value of the label `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }
}

impl fmt::Debug for SeriesLabels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
