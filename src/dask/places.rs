//! Which registry a family of the catalogue joins.

use super::catalogue::Entry;
use crate::Registry;
use std::collections::HashSet;

/// The page's registry, and one that nobody scrapes, for the families that are
/// left out: they are updated like the others and cost no line.
#[derive(Debug)]
pub(super) struct Places {
    shown: Registry,
    hidden: Registry,
    left_out: HashSet<String>,
}

impl Places {
    pub(super) fn new(shown: Registry, left_out: HashSet<String>) -> Self {
        Self {
            shown,
            hidden: Registry::new(),
            left_out,
        }
    }

    pub(super) fn of(&self, entry: &Entry) -> &Registry {
        if self.left_out.contains(entry.name) {
            &self.hidden
        } else {
            &self.shown
        }
    }

    pub(super) fn shown(&self) -> &Registry {
        &self.shown
    }
}
