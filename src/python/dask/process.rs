//! The families of the process, as entries of the catalogue.

use super::entry::{Entry, Source};
use super::registries::Registries;
use stethoscope::cell::FloatGauge;
use stethoscope::process::{self, ProcessFamily};
use stethoscope::{Handle, RegisterError};

const fn entry(family: ProcessFamily) -> Entry {
    Entry {
        metric_type: family.metric_type,
        ..Entry::gauge(family.name, family.help).from(Source::Proc, family.origin)
    }
}

pub(super) const FAMILIES: &[Entry] = &[
    entry(process::VIRTUAL_MEMORY),
    entry(process::MAX_VIRTUAL_MEMORY),
    entry(process::RESIDENT_MEMORY),
    entry(process::START_TIME),
    entry(process::CPU),
    entry(process::THREADS),
    entry(process::OPEN_FDS),
    entry(process::MAX_FDS),
];

/// Registers the families of the process. Returns the resident memory, if it is
/// known.
pub(super) fn register(
    registries: &Registries,
) -> Result<Option<Handle<FloatGauge>>, RegisterError> {
    process::register_in(registries.shown(), |family| registries.of_name(family.name))
}
