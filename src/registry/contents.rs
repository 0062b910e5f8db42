//! The contents of a page: the families of a registry and of those it includes.

use super::check::check_descriptor;
use super::hooks::Hook;
use super::{Core, RegisterErrorKind};
use crate::family::{Descriptor, Renamed, Source};
use crate::name::NameRules;
use crate::sync::Ordering;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

/// A namespace and constant labels that a view of a registry adds to families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(super) namespace: Option<String>,
    pub(super) const_labels: Vec<(String, String)>,
}

impl Prefix {
    /// Returns `name` with the namespace.
    pub(super) fn name(&self, name: &str) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}_{name}"),
            None => name.to_owned(),
        }
    }

    /// Returns this prefix with `inner` after it.
    pub(super) fn then(&self, inner: &Self) -> Self {
        Self {
            namespace: match (&self.namespace, &inner.namespace) {
                (Some(outer), Some(inner)) => Some(format!("{outer}_{inner}")),
                (outer, inner) => outer.clone().or_else(|| inner.clone()),
            },
            const_labels: [&*self.const_labels, &*inner.const_labels].concat(),
        }
    }

    fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    /// Describes a family with this prefix.
    fn describe(&self, descriptor: &Descriptor) -> Result<Descriptor, RegisterErrorKind> {
        let mut descriptor = descriptor.clone();
        descriptor.name = self.name(&descriptor.name);
        descriptor
            .const_labels
            .splice(..0, self.const_labels.iter().cloned());
        // The family may have been registered with these rules.
        check_descriptor(&descriptor, NameRules::Utf8)?;
        Ok(descriptor)
    }
}

/// A registry that another one includes.
#[derive(Clone)]
pub(super) struct Included {
    pub(super) core: Arc<Core>,
    pub(super) prefix: Prefix,
}

/// Families of included registries under their prefix, by the address of the
/// original.
type RenamedFamilies = HashMap<usize, Vec<(Prefix, Arc<dyn Source>)>>;

/// The families and hooks that a page of a registry is made of.
#[derive(Default)]
pub(crate) struct Contents {
    /// The registries, each with its generation when its families were taken.
    parts: Vec<(Arc<Core>, u64)>,
    /// In the order of the page.
    pub(crate) families: Vec<Arc<dyn Source>>,
    pub(crate) hooks: Vec<Hook>,
    /// The full names of families that are left out, because another family on
    /// the page requires one of their names.
    left_out: Vec<String>,
    /// Kept from one collection to the next: a scraper recognises a family by its
    /// address.
    renamed: RenamedFamilies,
}

impl Contents {
    /// Returns true if no registry has changed since the collection.
    pub(crate) fn is_current(&self) -> bool {
        // Acquire: pairs with the Release of the change, so that the families'
        // own generations are seen at least as new.
        let unchanged = |(core, generation): &(Arc<Core>, u64)| {
            core.shared.generation.load(Ordering::Acquire) == *generation
        };
        !self.parts.is_empty() && self.parts.iter().all(unchanged)
    }

    /// Collects the contents of a registry again.
    pub(crate) fn collect(&mut self, root: &Arc<Core>) {
        let renamed = std::mem::take(&mut self.renamed);
        *self = Collection::of(root, renamed);
        if root.show_left_out(&self.left_out) {
            let renamed = std::mem::take(&mut self.renamed);
            *self = Collection::of(root, renamed);
        }
    }

    /// Returns the full names of families that are left out.
    pub(super) fn left_out(&self) -> &[String] {
        &self.left_out
    }
}

/// A collection under way.
struct Collection {
    contents: Contents,
    /// Families that were renamed by the collection before.
    renamed_before: RenamedFamilies,
    /// The names that the families collected so far require.
    names: HashSet<String>,
    /// The registries collected so far, with their prefix.
    seen: Vec<(*const Core, Prefix)>,
}

impl Collection {
    fn of(root: &Arc<Core>, renamed_before: RenamedFamilies) -> Contents {
        let mut collection = Self {
            contents: Contents::default(),
            renamed_before,
            names: HashSet::new(),
            seen: Vec::new(),
        };
        collection.add_registry(root, &Prefix::default(), &mut Vec::new());
        collection.contents
    }

    /// Adds a registry, then those that it includes. `path` is that of the
    /// registries that include it, which are not included again.
    fn add_registry(&mut self, core: &Arc<Core>, prefix: &Prefix, path: &mut Vec<*const Core>) {
        let address = Arc::as_ptr(core);
        let is_seen = |(seen, with): &(*const Core, Prefix)| *seen == address && with == prefix;
        if path.contains(&address) || self.seen.iter().any(is_seen) {
            return;
        }
        let is_first = !self.seen.iter().any(|(seen, _)| *seen == address);
        self.seen.push((address, prefix.clone()));
        // Acquire: as in `is_current`. Before the families are taken, which are
        // then at least as new.
        let generation = core.shared.generation.load(Ordering::Acquire);
        let state = core.lock();
        let families = state.families.clone();
        let included = state.included.clone();
        if is_first {
            self.contents.parts.push((Arc::clone(core), generation));
            let hooks = state.hooks.iter().map(|(_, hook)| Arc::clone(hook));
            self.contents.hooks.extend(hooks);
        }
        drop(state);
        for family in families {
            if is_first && family.expires() {
                let family = Arc::clone(&family);
                let expire = move || family.expire(Instant::now());
                self.contents.hooks.push(Arc::new(expire));
            }
            self.add_family(family, prefix, path.is_empty());
        }
        path.push(address);
        for other in included {
            self.add_registry(&other.core, &prefix.then(&other.prefix), path);
        }
        path.pop();
    }

    fn add_family(&mut self, family: Arc<dyn Source>, prefix: &Prefix, is_root: bool) {
        let full_name = prefix.name(&family.descriptor().full_name());
        let family = match prefix.is_empty() {
            true => Some(family),
            false => self.renamed(family, prefix),
        };
        let names = family.as_ref().map(|f| f.descriptor().reserved_names());
        match (family, names) {
            // Within a registry no two families require the same name.
            (Some(family), Some(names))
                if is_root || !names.iter().any(|name| self.names.contains(name)) =>
            {
                self.names.extend(names);
                self.contents.families.push(family);
            }
            _ => self.contents.left_out.push(full_name),
        }
    }

    /// Returns the family under the prefix, or `None` if its description would be
    /// invalid.
    fn renamed(&mut self, family: Arc<dyn Source>, prefix: &Prefix) -> Option<Arc<dyn Source>> {
        let address = Arc::as_ptr(&family).cast::<()>().addr();
        let mut known = self.renamed_before.get(&address).into_iter().flatten();
        let known = known.find(|(with, _)| with == prefix).cloned();
        let renamed = match known {
            Some((_, renamed)) => renamed,
            None => {
                let descriptor = prefix.describe(family.descriptor()).ok()?;
                Arc::new(Renamed::new(family, descriptor))
            }
        };
        self.contents
            .renamed
            .entry(address)
            .or_default()
            .push((prefix.clone(), Arc::clone(&renamed)));
        Some(renamed)
    }
}
