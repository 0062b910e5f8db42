//! The tasks that a worker executes, by task prefix.

use super::registries::Registries;
use super::worker::EXECUTING;
use std::collections::HashMap;
use stethoscope::cell::Gauge;
use stethoscope::{Family, Handle, RegisterError};

/// The prefixes that are shown at 0. With one more, those at 0 leave the page.
const IDLE_PREFIXES: usize = 100;

/// Counts the executing tasks of each prefix, as they begin and end.
///
/// A prefix that has been executed stays on the page, at 0: its series would
/// otherwise come and go with each task.
#[derive(Debug)]
pub struct Executing {
    family: Family<Gauge>,
    prefixes: HashMap<Box<str>, Handle<Gauge>>,
}

impl Executing {
    pub(super) fn register(registries: &Registries) -> Result<Self, RegisterError> {
        Ok(Self {
            family: EXECUTING.family(registries.of(&EXECUTING)).register()?,
            prefixes: HashMap::new(),
        })
    }

    /// Counts a task that begins.
    pub fn begin(&mut self, prefix: &str) {
        if let Some(tasks) = self.prefixes.get(prefix) {
            return tasks.inc();
        }
        if self.prefixes.len() >= IDLE_PREFIXES {
            let family = &self.family;
            self.prefixes.retain(|prefix, tasks| {
                let is_executed = tasks.get() > 0;
                if !is_executed {
                    family.remove([&**prefix]);
                }
                is_executed
            });
        }
        // It cannot fail: the family has one label, and no cap on its series.
        if let Ok(tasks) = self.family.with([prefix]) {
            tasks.inc();
            self.prefixes.insert(prefix.into(), tasks);
        }
    }

    /// Counts a task that has ended. One that did not begin is ignored.
    pub fn end(&mut self, prefix: &str) {
        if let Some(tasks) = self.prefixes.get(prefix)
            && tasks.get() > 0
        {
            tasks.dec();
        }
    }
}
