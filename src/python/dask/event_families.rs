//! The families that events feed, as the catalogues of both roles name them.

use super::entry::Entry;

/// The families that one kind of event feeds.
pub(super) struct EventFamilies {
    pub(super) median: Option<Entry>,
    pub(super) histogram: Option<Entry>,
    pub(super) tick: Option<TickGauges>,
}

impl EventFamilies {
    pub(super) const NONE: Self = Self {
        median: None,
        histogram: None,
        tick: None,
    };
}

/// The families that show that the event loop has not ticked for some time.
pub(super) struct TickGauges {
    pub(super) maximum: Entry,
    pub(super) age: Entry,
}
