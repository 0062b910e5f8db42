//! The options of a group.

use super::gauge_rule::GaugeRule;
use crate::segment::reader::SegmentInfo;
use std::collections::HashMap;

/// Returns true for processes that belong to the group.
pub(super) type MemberFilter = Box<dyn FnMut(&SegmentInfo) -> bool + Send>;

/// Options of a [`Group`](super::Group).
///
/// ```
/// use stethoscope::segment::{GaugeRule, GroupOptions};
/// let options = GroupOptions::default()
///     .gauges(GaugeRule::Sum)
///     .gauge("queue_age_seconds", GaugeRule::Max);
/// ```
#[derive(Default)]
#[non_exhaustive]
pub struct GroupOptions {
    pub(super) rules: GaugeRules,
    pub(super) is_member: Option<MemberFilter>,
}

/// The rules for gauges.
#[derive(Clone, Debug, Default)]
pub(super) struct GaugeRules {
    default: GaugeRule,
    by_name: HashMap<String, GaugeRule>,
}

impl GaugeRules {
    /// Returns the rule for the gauge of this name.
    pub(super) fn of(&self, name: &str) -> GaugeRule {
        self.by_name.get(name).copied().unwrap_or(self.default)
    }
}

impl GroupOptions {
    /// Sets the rule for gauges.
    #[must_use]
    pub fn gauges(mut self, rule: GaugeRule) -> Self {
        self.rules.default = rule;
        self
    }

    /// Sets the rule for the gauge of this name.
    #[must_use]
    pub fn gauge(mut self, name: impl Into<String>, rule: GaugeRule) -> Self {
        self.rules.by_name.insert(name.into(), rule);
        self
    }

    /// Sets which processes belong to the group. All do unless set. It is asked at
    /// each refresh about the processes that it has refused.
    #[must_use]
    pub fn members(mut self, is_member: impl FnMut(&SegmentInfo) -> bool + Send + 'static) -> Self {
        self.is_member = Some(Box::new(is_member));
        self
    }
}

impl std::fmt::Debug for GroupOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupOptions")
            .field("gauges", &self.rules.default)
            .field("by_name", &self.rules.by_name)
            .finish_non_exhaustive()
    }
}
