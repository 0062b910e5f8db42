//! Handles to series that may not exist yet.

use super::{Family, Handle, LabelSet, Metric, SeriesError};
use crate::fork::ForkSafeMutex;
use crate::sync::Ordering;
use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

/// A handle that finds or makes its series when it is first used, and tries again
/// if the family was full.
///
/// Made by [`Family::lazy`].
pub struct LazyHandle<C: Metric> {
    family: Family<C>,
    values: Vec<String>,
    /// True if the family has refused the series.
    was_refused: AtomicBool,
    handle: OnceLock<Handle<C>>,
    /// Held while `handle` is set: a forked child must not find that half done.
    setting: ForkSafeMutex<()>,
}

impl<C: Metric> LazyHandle<C> {
    pub(super) fn new(family: Family<C>, values: impl LabelSet) -> Self {
        Self {
            family,
            values: values.read(|values| values.iter().map(|&value| value.to_owned()).collect()),
            was_refused: AtomicBool::new(false),
            handle: OnceLock::new(),
            setting: ForkSafeMutex::new(()),
        }
    }

    /// Returns the handle of the series, which is made if it does not exist.
    ///
    /// While the family is full, this takes no lock, and counts one refused series
    /// however often it is called.
    ///
    /// # Errors
    /// As for [`Family::with`].
    #[inline]
    pub fn get(&self) -> Result<&Handle<C>, SeriesError> {
        match self.handle.get() {
            Some(handle) => Ok(handle),
            None => self.resolve(),
        }
    }

    #[cold]
    fn resolve(&self) -> Result<&Handle<C>, SeriesError> {
        // Relaxed, all: hints. The family itself decides.
        if self.was_refused.load(Ordering::Relaxed) && self.family.is_full() {
            let max_series = self.family.0.policy.max_series;
            return Err(SeriesError::Full { max_series });
        }
        match self.family.with(&self.values) {
            Ok(handle) => {
                let _setting = self.setting.lock();
                Ok(self.handle.get_or_init(|| handle))
            }
            Err(error) => {
                let is_full = matches!(error, SeriesError::Full { .. });
                self.was_refused.store(is_full, Ordering::Relaxed);
                Err(error)
            }
        }
    }
}

impl<C: Metric> fmt::Debug for LazyHandle<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazyHandle")
            .field("family", &self.family)
            .field("labels", &self.values)
            .field("is_resolved", &self.handle.get().is_some())
            .finish_non_exhaustive()
    }
}
