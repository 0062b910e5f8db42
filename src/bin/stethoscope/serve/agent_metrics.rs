//! The metrics of the agent itself.

use stethoscope::cell::{Counter, Gauge};
use stethoscope::segment::ProcessState;
use stethoscope::{Family, Handle, RegisterError, Registry};

pub(super) struct AgentMetrics {
    processes: [Handle<Gauge>; ProcessState::ALL.len()],
    pub(super) refused: Handle<Gauge>,
    pub(super) damaged: Handle<Gauge>,
    pub(super) removed: Handle<Counter>,
    pub(super) unseen: Handle<Counter>,
    group_errors: Family<Counter>,
}

impl AgentMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, RegisterError> {
        let processes = registry.gauge_family(
            "stethoscope_agent_processes",
            "Processes with a page of their own, by state.",
            ["state"],
        )?;
        let state = |state: ProcessState| {
            let series = processes.with([state.word()]);
            series.expect("a family without a limit has room for its states")
        };
        Ok(Self {
            processes: ProcessState::ALL.map(state),
            refused: registry.gauge(
                "stethoscope_agent_files_refused",
                "Files in the directory that are not served: not a segment, unreadable, or too \
                 many.",
            )?,
            damaged: registry.gauge(
                "stethoscope_agent_files_damaged",
                "Segments whose pages end where a damage begins.",
            )?,
            removed: registry.counter(
                "stethoscope_agent_files_removed_total",
                "Segments of dead processes that were removed.",
            )?,
            unseen: registry.counter(
                "stethoscope_agent_postmortems_unseen_total",
                "Dead processes whose segment was removed before its last page was scraped twice.",
            )?,
            group_errors: registry.counter_family(
                "stethoscope_agent_group_errors_total",
                "Readings of a group that failed.",
                ["group"],
            )?,
        })
    }

    pub(super) fn count_group_error(&self, group: &str) {
        // The number of values is that of the labels.
        if let Ok(errors) = self.group_errors.with([group]) {
            errors.inc();
        }
    }

    /// Shows the number of processes in each state.
    pub(super) fn show(&self, states: impl Iterator<Item = ProcessState> + Clone) {
        for (state, gauge) in ProcessState::ALL.into_iter().zip(&self.processes) {
            let count = states.clone().filter(|other| *other == state).count();
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}
