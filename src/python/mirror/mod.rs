//! A registry that repeats the metrics of another library, as they were last
//! collected there.
//!
//! Collecting may take long and may need the GIL, so it happens on a thread of
//! its own, round by round; a scrape shows the values of the last round.
//!
//! ```text
//! Collected      one family, as the other library describes it
//!   table.rs       sorted into rows of numbers, one row a series
//!   snapshot.rs    the cells that hold the rows
//! Mirror         the registry, brought up to date family by family
//! ```

mod snapshot;
mod table;

use crate::instant::AtomicInstant;
use snapshot::Repeated;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use stethoscope::cell::{Exemplar, FloatGauge};
use stethoscope::{Handle, RegisterError, Registry};
use table::{Row, Table};

/// One family, as another library collected it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Collected {
    /// Without the suffix that its type adds.
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) unit: String,
    /// The type, by its word in OpenMetrics.
    pub(crate) metric_type: String,
    pub(crate) samples: Vec<Sample>,
}

/// One line of a family.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// With its suffix.
    pub(crate) name: String,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) value: f64,
    pub(crate) exemplar: Option<Box<Exemplar>>,
}

/// The families of another library, shown by a registry of their own.
///
/// A round is one [`update`](Self::update) for each family, and
/// [`finish`](Self::finish).
#[derive(Debug)]
pub(crate) struct Mirror {
    registry: Registry,
    /// By the name that the table has in the registry.
    families: HashMap<String, Shown>,
    /// The names that were updated in this round.
    seen: HashSet<String>,
    last_round: Option<Arc<AtomicInstant>>,
}

/// A table that is on the page.
#[derive(Debug)]
struct Shown {
    /// With its rows taken out.
    heading: Table,
    family: Box<dyn Repeated>,
}

impl Mirror {
    pub(crate) fn new() -> Self {
        Self {
            registry: Registry::new().with_utf8_names(),
            families: HashMap::new(),
            seen: HashSet::new(),
            last_round: None,
        }
    }

    /// Returns the registry, to be included in pages.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Shows a family as it is now.
    ///
    /// # Errors
    /// The first reason why a part of the family cannot be shown; the other
    /// parts are. A family of the same name that came earlier in the round stays.
    pub(crate) fn update(&mut self, collected: Collected) -> Result<(), RegisterError> {
        let mut result = Ok(());
        for table in Table::sort(collected) {
            let shown = self.show(table);
            result = result.and(shown);
        }
        result
    }

    fn show(&mut self, mut table: Table) -> Result<(), RegisterError> {
        let rows = std::mem::take(&mut table.rows);
        let name = table.full_name();
        if self
            .families
            .get(&name)
            .is_none_or(|shown| shown.heading != table)
        {
            if self.seen.contains(&name) {
                // The same name again in one round: the first one keeps it.
                return snapshot::register(&self.registry, &table).map(drop);
            }
            if self.families.remove(&name).is_some() {
                self.registry.unregister(&name);
            }
            let family = snapshot::register(&self.registry, &table)?;
            let heading = table;
            self.families
                .insert(name.clone(), Shown { heading, family });
        }
        let shown = self.families.get_mut(&name).expect("it has just been made");
        let more = !self.seen.insert(name);
        shown.family.update(rows, more);
        Ok(())
    }

    /// Ends a round: families that were not in it leave the page.
    ///
    /// # Errors
    /// The age of the values cannot be shown, because a family has its name.
    pub(crate) fn finish(&mut self) -> Result<(), RegisterError> {
        let seen = std::mem::take(&mut self.seen);
        let registry = &self.registry;
        self.families.retain(|name, _| {
            let stays = seen.contains(name);
            if !stays {
                registry.unregister(name);
            }
            stays
        });
        match &self.last_round {
            Some(round) => round.set_now(),
            None => {
                let round = Arc::new(AtomicInstant::now());
                self.last_round = Some(Arc::clone(&round));
                let age: Handle<FloatGauge> = self
                    .registry
                    .family(AGE, AGE_HELP)
                    .unit("seconds")
                    .register_single()?;
                self.registry
                    .on_scrape(move || age.set(round.seconds_ago()));
            }
        }
        Ok(())
    }
}

/// The name of the gauge that says how old the values are.
pub(crate) const AGE: &str = "stethoscope_prometheus_client_age_seconds";
/// Its help.
pub(crate) const AGE_HELP: &str = "Time since the metrics of prometheus_client were last collected";

#[cfg(test)]
mod tests;
