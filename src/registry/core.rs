//! The shared state of a registry.

use super::RegisterErrorKind;
use super::contents::Included;
use super::hooks::{Hook, HookId};
use crate::cell::{Counter, Gauge};
#[cfg(feature = "metrics")]
use crate::family::Renamed;
use crate::family::{Descriptor, Family, Metric, Policy, Readers, Shared, Source};
use crate::fork::{ForkSafeGuard, ForkSafeMutex};
use crate::sync::{Arc as SyncArc, AtomicU64, Ordering};
use std::collections::HashMap;
use std::sync::Arc;

/// The state that all clones and views of a registry share.
pub(crate) struct Core {
    pub(super) shared: SyncArc<Shared>,
    state: ForkSafeMutex<CoreState>,
}

#[derive(Default)]
pub(super) struct CoreState {
    pub(super) families: Vec<Arc<dyn Source>>,
    /// Each name that a family requires, with the full name of that family.
    names: HashMap<String, String>,
    pub(super) hooks: Vec<(u64, Hook)>,
    next_hook: u64,
    pub(super) included: Vec<Included>,
    /// Counts the series that limits refused; registered with the first limit.
    refused: Option<Family<Counter>>,
    /// Shows the families that the page leaves out; registered with the first.
    left_out: Option<Family<Gauge>>,
}

impl Core {
    pub(super) fn new() -> Self {
        Self {
            shared: SyncArc::new(Shared {
                generation: AtomicU64::new(0),
                readers: Readers::new(),
                #[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
                segment: std::sync::OnceLock::new(),
            }),
            state: ForkSafeMutex::default(),
        }
    }

    /// Has the cells of families that are registered from now on in a segment. Returns
    /// false if there is one already.
    #[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
    pub(super) fn use_segment(&self, segment: &crate::segment::Segment) -> bool {
        // With the lock, which is not held during a fork.
        let _state = self.lock();
        self.shared.segment.set(segment.clone()).is_ok()
    }

    pub(super) fn lock(&self) -> ForkSafeGuard<'_, CoreState> {
        // No code that can panic leaves the state half changed.
        self.state.lock()
    }

    /// Tells scrapes that the contents have changed. Called with the state locked.
    pub(super) fn changed(&self) {
        // Release: pairs with the Acquire in `Contents`.
        self.shared.generation.fetch_add(1, Ordering::Release);
    }

    /// Returns the full names of the families.
    pub(super) fn names(&self) -> Vec<String> {
        let state = self.lock();
        let families = state.families.iter();
        families.map(|f| f.descriptor().full_name()).collect()
    }

    pub(super) fn find(&self, full_name: &str) -> Option<Arc<dyn Source>> {
        self.lock().find(full_name).cloned()
    }

    pub(super) fn contains(&self, full_name: &str) -> bool {
        self.lock().find(full_name).is_some()
    }

    pub(super) fn unregister(&self, full_name: &str) -> bool {
        let mut state = self.lock();
        let Some(index) = state
            .families
            .iter()
            .position(|family| family.descriptor().full_name() == full_name)
        else {
            return false;
        };
        let family = state.families.remove(index);
        #[cfg(all(feature = "segment", target_os = "linux", not(loom)))]
        family.leave_segment();
        state.names.retain(|_, owner| owner != full_name);
        let is_it = |descriptor: &Descriptor| descriptor.full_name() == full_name;
        state.refused.take_if(|own| is_it(own.descriptor()));
        state.left_out.take_if(|own| is_it(own.descriptor()));
        self.changed();
        drop(state);
        // Without the lock: dropping the cells may run code of the user's.
        drop(family);
        true
    }

    /// Shows a family with another help or unit, if it is still registered.
    #[cfg(feature = "metrics")]
    pub(super) fn describe_again(&self, family: &Arc<dyn Source>, descriptor: Descriptor) {
        // By the cells: the family may have been described again before.
        let cells =
            |family: &Arc<dyn Source>| Arc::as_ptr(&Arc::clone(family).as_any()).cast::<()>();
        let mut state = self.lock();
        let shown = { state.families.iter_mut() }.find(|shown| cells(shown) == cells(family));
        let Some(shown) = shown else {
            return;
        };
        let renamed = Arc::new(Renamed::new(Arc::clone(family), descriptor));
        let replaced = std::mem::replace(shown, renamed);
        self.changed();
        drop(state);
        drop(replaced);
    }

    pub(super) fn add_hook(&self, hook: Hook) -> HookId {
        let mut state = self.lock();
        let id = state.next_hook;
        state.next_hook += 1;
        state.hooks.push((id, hook));
        self.changed();
        HookId(id)
    }

    pub(super) fn remove_hook(&self, hook: HookId) -> bool {
        let mut state = self.lock();
        let Some(index) = state.hooks.iter().position(|(id, _)| *id == hook.0) else {
            return false;
        };
        let hook = state.hooks.remove(index);
        self.changed();
        drop(state);
        // Without the lock: dropping what it captured may run code of the user's.
        drop(hook);
        true
    }

    pub(super) fn include(self: &Arc<Self>, other: Included) {
        let mut state = self.lock();
        let is_known = state
            .included
            .iter()
            .any(|known| Arc::ptr_eq(&known.core, &other.core) && known.prefix == other.prefix);
        if !is_known && !Arc::ptr_eq(self, &other.core) {
            state.included.push(other);
            self.changed();
        }
    }

    pub(super) fn exclude(&self, other: &Arc<Core>) -> bool {
        let mut state = self.lock();
        let excluded: Vec<_> = state
            .included
            .extract_if(.., |known| Arc::ptr_eq(&known.core, other))
            .collect();
        let was_included = !excluded.is_empty();
        if was_included {
            self.changed();
        }
        drop(state);
        drop(excluded);
        was_included
    }

    /// Shows these families as left out. Returns true if that has changed the
    /// registry.
    pub(super) fn show_left_out(&self, names: &[String]) -> bool {
        let mut state = self.lock();
        if names.is_empty() && state.left_out.is_none() {
            return false;
        }
        let Some(family) = state.left_out(self) else {
            return false;
        };
        let before = self.shared.generation.load(Ordering::Relaxed);
        family.retain(|labels| {
            labels
                .iter()
                .all(|(_, value)| names.iter().any(|name| name == value))
        });
        for name in names {
            // Fails only if the name is longer than 4 GiB.
            if let Ok(series) = family.with([name]) {
                series.set(1);
            }
        }
        self.shared.generation.load(Ordering::Relaxed) != before
    }
}

impl CoreState {
    fn find(&self, full_name: &str) -> Option<&Arc<dyn Source>> {
        self.families
            .iter()
            .find(|family| family.descriptor().full_name() == full_name)
    }

    /// Checks that no other family requires a name that this one requires. If one
    /// of the same name is registered, returns it with the error.
    pub(super) fn check_names(
        &self,
        descriptor: &Descriptor,
    ) -> Result<(), (RegisterErrorKind, Option<Arc<dyn Source>>)> {
        let full_name = descriptor.full_name();
        if let Some(registered) = self.find(&full_name) {
            let kind = RegisterErrorKind::AlreadyRegistered;
            return Err((kind, Some(Arc::clone(registered))));
        }
        for name in descriptor.reserved_names() {
            if let Some(by) = self.names.get(&name) {
                let by = by.clone();
                return Err((RegisterErrorKind::NameTaken { name, by }, None));
            }
        }
        Ok(())
    }

    pub(super) fn add<C: Metric>(&mut self, family: &Family<C>) {
        let descriptor = family.descriptor();
        let full_name = descriptor.full_name();
        let names = descriptor.reserved_names().into_iter();
        self.names
            .extend(names.map(|name| (name, full_name.clone())));
        self.families.push(family.source());
    }

    /// Returns the family that counts the series that limits refused, or `None` if
    /// the user has registered one of its name.
    pub(super) fn refused(&mut self, core: &Core) -> Option<Family<Counter>> {
        if self.refused.is_none() {
            self.refused = self.add_own(
                core,
                "stethoscope_series_refused",
                "Series that were refused because the family had reached its limit.",
            );
        }
        self.refused.clone()
    }

    /// Returns the family that shows families that are left out, or `None` if the
    /// user has registered one of its name.
    fn left_out(&mut self, core: &Core) -> Option<Family<Gauge>> {
        if self.left_out.is_none() {
            self.left_out = self.add_own(
                core,
                "stethoscope_family_left_out",
                "Families of included registries that this page leaves out, because another \
                 family requires one of their names, or because its labels make them invalid.",
            );
        }
        self.left_out.clone()
    }

    /// Registers a family of the registry's own, by family.
    fn add_own<C: Metric<Options = ()>>(
        &mut self,
        core: &Core,
        name: &str,
        help: &str,
    ) -> Option<Family<C>> {
        let descriptor = Descriptor {
            name: name.to_owned(),
            help: help.to_owned(),
            unit: None,
            metric_type: C::TYPE,
            shape: C::shape(&()),
            label_names: vec!["family".to_owned()],
            const_labels: Vec::new(),
            created: false,
            mixed: false,
            permanent: false,
        };
        self.check_names(&descriptor).ok()?;
        let shared = SyncArc::clone(&core.shared);
        let family = Family::new(descriptor, (), Policy::default(), shared);
        self.add(&family);
        core.changed();
        Some(family)
    }
}
