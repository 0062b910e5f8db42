//! Which registry a family of the catalogue joins.

use super::catalogue::Entry;
use std::collections::HashSet;
use stethoscope::Registry;

/// The page's registry, and one that nobody scrapes, for the families that are
/// left out: they are updated like the others and cost no line.
#[derive(Debug)]
pub(super) struct Places {
    shown: Registry,
    /// The same, for the families that are Dask's: in its namespace.
    shown_of_dask: Registry,
    hidden: Registry,
    left_out: HashSet<String>,
}

impl Places {
    /// Without a namespace for an empty one, as Dask has it.
    pub(super) fn new(shown: Registry, namespace: &str, left_out: HashSet<String>) -> Self {
        Self {
            shown_of_dask: match namespace {
                "" => shown.clone(),
                namespace => shown.with_namespace(namespace),
            },
            shown,
            hidden: Registry::new(),
            left_out,
        }
    }

    pub(super) fn of(&self, entry: &Entry) -> &Registry {
        if self.left_out.contains(entry.name) {
            &self.hidden
        } else if entry.name_in_dask().is_some() {
            &self.shown_of_dask
        } else {
            &self.shown
        }
    }

    pub(super) fn shown(&self) -> &Registry {
        &self.shown
    }
}
