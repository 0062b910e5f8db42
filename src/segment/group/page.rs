//! The page of a group.

use super::GroupInfo;
use crate::cell::Gauge;
use crate::{Handle, RegisterError, Registry};

/// The families about the group, before its own.
pub(super) struct GroupPage {
    registry: Registry,
    alive: Handle<Gauge>,
    refused: Handle<Gauge>,
    damaged: Handle<Gauge>,
    left_out: Handle<Gauge>,
}

impl GroupPage {
    /// A page without values. `group` has the families of the group.
    pub(super) fn new(group: &Registry) -> Result<Self, RegisterError> {
        let registry = Registry::new();
        let page = Self {
            alive: registry.gauge(
                "stethoscope_group_processes",
                "Processes of the group that are alive.",
            )?,
            refused: registry.gauge(
                "stethoscope_group_files_refused",
                "Files in the directory of the group that could not be read.",
            )?,
            damaged: registry.gauge(
                "stethoscope_group_files_damaged",
                "Segments of the group that count up to a damage only.",
            )?,
            left_out: registry.gauge(
                "stethoscope_group_left_out",
                "Families and series of the group that are not on the page.",
            )?,
            registry,
        };
        page.registry.include(group);
        Ok(page)
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Shows the facts of a refresh.
    pub(super) fn show(&self, info: &GroupInfo) {
        let set = |gauge: &Handle<Gauge>, value: u64| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&self.alive, info.alive as u64);
        set(&self.refused, info.refused as u64);
        set(&self.damaged, info.damaged as u64);
        set(&self.left_out, info.left_out.saturating_add(info.lost));
    }
}
