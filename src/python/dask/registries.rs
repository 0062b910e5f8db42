//! The registry that each family of the catalogue joins.

use super::entry::{DASK, Entry};
use std::collections::HashSet;
use stethoscope::Registry;

/// The registries of a page. Families that are left out go into one that is never
/// scraped, so that updating them needs no special case.
#[derive(Debug)]
pub(super) struct Registries {
    shown: Registry,
    /// The page's registry too, with names in Dask's namespace.
    shown_of_dask: Registry,
    hidden: Registry,
    left_out: HashSet<String>,
}

impl Registries {
    /// As in Dask, an empty namespace stands for none.
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
        self.of_name(entry.name)
    }

    /// [`of`](Self::of), by the family's name in the catalogue.
    pub(super) fn of_name(&self, name: &str) -> &Registry {
        if self.left_out.contains(name) {
            &self.hidden
        } else if name.starts_with(DASK) {
            &self.shown_of_dask
        } else {
            &self.shown
        }
    }

    pub(super) fn shown(&self) -> &Registry {
        &self.shown
    }
}
