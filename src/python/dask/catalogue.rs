//! The catalogue: every family that a page may show, by role.

use super::entry::{Entry, Role};
use super::prefix_numbers::{self, NUMBERS};
use super::{process, python_runtime, scheduler, self_metrics, worker, workers};

/// Returns every family that a server of this role may show, in the order of the
/// page.
pub fn catalogue(role: Role) -> impl Iterator<Item = &'static Entry> {
    let (of_role, numbers, by_prefix, of_workers): (&[Entry], _, &[Entry], &[Entry]) = match role {
        Role::Scheduler => (
            scheduler::FAMILIES,
            NUMBERS,
            prefix_numbers::FAMILIES,
            workers::FAMILIES,
        ),
        Role::Worker => (worker::FAMILIES, &[][..], &[], &[]),
    };
    let of_interpreter = python_runtime::FAMILIES.iter().chain(process::FAMILIES);
    of_interpreter
        .chain(of_role)
        .chain(numbers.iter().map(|number| &number.entry))
        .chain(by_prefix)
        .chain(of_workers)
        .chain(self_metrics::FAMILIES)
}
