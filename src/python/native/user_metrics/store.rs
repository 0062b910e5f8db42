//! The families of a registry, by the names that Python asked for.

use super::environment::use_segment_of_environment;
use super::spec::{FromSpec, Kind, Spec};
use crate::dask::{Role, catalogue};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use stethoscope::{Family, RegisterError, Registry};

/// A registry, and how each of its metrics was asked for.
pub(in crate::native) struct Store {
    registry: Registry,
    /// By [`Spec::key`]. Never locked while the GIL is waited for.
    known: Mutex<HashMap<String, Known>>,
    /// True if these are the metrics of the process. They are shown beside Dask's,
    /// and may be pickled, because every process has them.
    of_process: bool,
    /// True once the environment was asked for a segment, or need not be.
    environment_is_read: AtomicBool,
}

struct Known {
    spec: Arc<Spec>,
    /// A `Family` of the cells that the spec's kind has.
    family: Box<dyn Any + Send + Sync>,
    /// As on the page in text.
    full_name: String,
    /// True if only a child of the process has asked for it yet.
    of_child: bool,
}

impl Store {
    pub(super) fn new(of_process: bool) -> Self {
        Self {
            registry: Registry::new(),
            known: Mutex::default(),
            of_process,
            environment_is_read: AtomicBool::new(!of_process),
        }
    }

    pub(in crate::native) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(super) fn is_of_process(&self) -> bool {
        self.of_process
    }

    /// Returns true if there are no metrics.
    pub(super) fn is_empty(&self) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.is_empty()
    }

    /// Does not ask the environment for a segment.
    pub(in crate::native) fn skip_environment(&self) {
        // Relaxed, here and in `family`: the GIL is held, or the order does not matter.
        self.environment_is_read.store(true, Ordering::Relaxed);
    }

    /// Finds the family that the spec names, or makes it. Returns it with the
    /// spec that it was made by.
    ///
    /// # Errors
    /// `ValueError` if the spec contradicts an earlier one, or the name cannot be
    /// registered.
    pub(super) fn family<C: FromSpec>(&self, spec: Spec) -> PyResult<(Arc<Spec>, Family<C>)> {
        self.find_or_make(spec, false)
    }

    /// Finds the family that a child of the process counts in, or makes it. It gives way if
    /// the process itself asks for something else by that name.
    ///
    /// # Errors
    /// As of [`family`](Self::family).
    pub(super) fn family_of_child<C: FromSpec>(
        &self,
        spec: Spec,
    ) -> PyResult<(Arc<Spec>, Family<C>)> {
        self.find_or_make(spec, true)
    }

    fn find_or_make<C: FromSpec>(
        &self,
        mut spec: Spec,
        of_child: bool,
    ) -> PyResult<(Arc<Spec>, Family<C>)> {
        let options = C::options(&spec.kind)?;
        C::normalize(&mut spec.kind, &options);
        if !self.environment_is_read.swap(true, Ordering::Relaxed) {
            use_segment_of_environment(&self.registry);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !of_child {
            self.take_over(&mut known, &spec);
        }
        if let Some(known) = known.get(&spec.key()) {
            spec.check_agrees(&known.spec)?;
            let family = known.family.downcast_ref::<Family<C>>();
            let family = family.expect("a kind has one type of cell").clone();
            return Ok((Arc::clone(&known.spec), family));
        }
        if self.of_process
            && let Some(reason) = reserved_for_dask(&spec.name)
        {
            let error = format!("can't register {:?}: {reason}", spec.name);
            return Err(PyValueError::new_err(error));
        }
        let mut builder = self
            .registry
            .family::<C>(&spec.name, &spec.help)
            .options(options)
            .labels(spec.labels.iter().map(String::as_str));
        if let Some(most) = spec.max_series {
            builder = builder.max_series(most);
        }
        let family = builder.register().map_err(|error| refused(&spec, &error))?;
        let spec = Arc::new(spec.with_defaults());
        let entry = Known {
            spec: Arc::clone(&spec),
            full_name: family.descriptor().full_name(),
            family: Box::new(family.clone()),
            of_child,
        };
        known.insert(spec.key(), entry);
        Ok((spec, family))
    }

    /// Makes the family that a child has asked for the process' own, or takes it away if the
    /// process wants something else by that name.
    fn take_over(&self, known: &mut HashMap<String, Known>, spec: &Spec) {
        match known.get_mut(&spec.key()) {
            Some(entry) => {
                let was_of_child = std::mem::take(&mut entry.of_child);
                if was_of_child && spec.check_agrees(&entry.spec).is_err() {
                    self.registry.unregister(&entry.full_name);
                    known.remove(&spec.key());
                }
            }
            None => known.retain(|_, entry| {
                let is_same = base_name(&entry.full_name) == base_name(&spec.name);
                let gives_way = entry.of_child && is_same;
                if gives_way {
                    self.registry.unregister(&entry.full_name);
                }
                !gives_way
            }),
        }
    }

    /// Returns true if the spec asks for a native histogram, or leaves that to an
    /// earlier one that did.
    pub(super) fn is_native(&self, spec: &Spec) -> bool {
        let native = |kind: &Kind| match kind {
            Kind::Histogram { native, .. } => *native,
            _ => None,
        };
        native(&spec.kind).unwrap_or_else(|| {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let earlier = known.get(&spec.key());
            earlier.and_then(|known| native(&known.spec.kind)) == Some(true)
        })
    }

    /// Takes a metric off the page, by its name with or without `_total`.
    /// Returns true if it was there.
    pub(super) fn unregister(&self, name: &str) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let with_total = format!("{name}_total");
        let Some(entry) = known.remove(name).or_else(|| known.remove(&with_total)) else {
            return false;
        };
        self.registry.unregister(&entry.full_name)
    }

    /// Returns why another library's metric of this name cannot be shown beside
    /// these, if so.
    pub(in crate::native) fn name_is_taken(&self, name: &str) -> Option<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known
            .values()
            .any(|known| base_name(&known.full_name) == base_name(name))
        {
            return Some("stethoscope has a metric of that name".to_owned());
        }
        drop(known);
        reserved_for_dask(name)
    }
}

fn refused(spec: &Spec, error: &RegisterError) -> PyErr {
    let error = match spec.name.is_empty() {
        // The error would name a counter's suffix, which the caller has not written.
        true => "can't register \"\": a name cannot be empty".to_owned(),
        // Registries of Python have classic names only.
        false => error.to_string().replace(" (or allow UTF-8 names)", ""),
    };
    PyValueError::new_err(error)
}

/// Returns why the process may not have a metric of this name, if a page of
/// Dask's has it.
fn reserved_for_dask(name: &str) -> Option<String> {
    let is_known = || {
        [Role::Scheduler, Role::Worker]
            .into_iter()
            .flat_map(catalogue)
            .any(|entry| base_name(entry.name) == base_name(name))
    };
    let prefix = ["dask_", "stethoscope_"]
        .into_iter()
        .find(|prefix| name.starts_with(prefix));
    match prefix {
        Some(prefix) => Some(format!(
            "names that begin with {prefix} are reserved for the pages of Dask"
        )),
        None if is_known() => Some("the pages of Dask have a metric of that name".to_owned()),
        None => None,
    }
}

/// The name without the suffix that a counter or an info has in text.
fn base_name(name: &str) -> &str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    name.strip_suffix("_info").unwrap_or(name)
}
