//! The page of a group.

use super::super::output;
use std::collections::BTreeSet;
use std::path::PathBuf;
use stethoscope::MetricType;
use stethoscope::endpoint::{Responder, ScrapeRequest, ScrapeResponse};
use stethoscope::segment::{GaugeRule, Group, GroupOptions, SegmentError, SegmentErrorKind};

/// The rules for gauges: of one name, or of all others.
pub(super) struct RulesByName(pub(super) Vec<(Option<String>, GaugeRule)>);

impl RulesByName {
    fn options(&self) -> GroupOptions {
        let rules = self.0.iter();
        rules.fold(
            GroupOptions::default(),
            |options, (name, rule)| match name {
                Some(name) => options.gauge(name, *rule),
                None => options.gauges(*rule),
            },
        )
    }

    /// Returns the names of rules that are not among those of gauges.
    pub(super) fn unused(&self, gauges: &BTreeSet<String>) -> Vec<&str> {
        let names = { self.0.iter() }.filter_map(|(name, _)| name.as_deref());
        names.filter(|name| !gauges.contains(*name)).collect()
    }
}

/// The page of a group.
pub(super) struct MergedPage {
    path: PathBuf,
    group: Group,
    responder: Responder,
    /// Files that were not a segment at the last look.
    unfinished: BTreeSet<String>,
}

/// The most families that are named as left out.
const MAX_FAMILIES: usize = 100;

impl MergedPage {
    pub(super) fn open(path: PathBuf, rules: &RulesByName) -> Result<Self, SegmentError> {
        let group = Group::with_options(&path, rules.options())?;
        Ok(Self {
            path,
            responder: Responder::new(group.page()),
            group,
            unfinished: BTreeSet::new(),
        })
    }

    /// Reads the segments.
    pub(super) fn refresh(&mut self) -> Result<(), SegmentError> {
        self.group.refresh()
    }

    /// Reads the segments. If the directory was removed or replaced, the page is that of
    /// the new one from now on, which is locked, and has sums of its own.
    pub(super) fn refresh_or_reopen(&mut self) -> Result<(), SegmentError> {
        match self.refresh() {
            Err(error) if matches!(error.kind(), SegmentErrorKind::DirectoryReplaced) => {
                self.group.reopen()?;
                output::log(format_args!(
                    "{} was removed or replaced: its sums begin again",
                    self.path.display()
                ));
                self.refresh()
            }
            result => result,
        }
    }

    /// Returns the problems that the last reading has found, each as a line. A process
    /// makes its file some microseconds before it is a segment, so a file without a header
    /// is one only if it was so at the look before.
    pub(super) fn problems(&mut self) -> Vec<String> {
        let is_unfinished =
            |error: &&SegmentError| matches!(error.kind(), SegmentErrorKind::NotASegment);
        let (unfinished, refused): (Vec<_>, Vec<_>) =
            { self.group.files_refused().iter() }.partition(is_unfinished);
        let unfinished: BTreeSet<String> = unfinished.iter().map(|e| e.to_string()).collect();
        let again = self.unfinished.intersection(&unfinished).cloned();
        let mut problems: Vec<String> = again
            .chain(refused.into_iter().map(ToString::to_string))
            .map(|error| format!("a file is left out of its group: {error}"))
            .collect();
        problems.extend(self.group.files_damaged().iter().map(|path| {
            let path = path.display();
            format!("{path} is damaged: its group has what is before the damage")
        }));
        let directory = self.path.display();
        problems.extend(self.group.families_left_out().take(MAX_FAMILIES).map(|name| {
            format!(
                "{directory}: the family {name} of some processes is left out, because others have \
                 it with another type, other labels or other buckets"
            )
        }));
        self.unfinished = unfinished;
        problems
    }

    /// Returns true if a process of the group is alive.
    pub(super) fn is_alive(&self) -> bool {
        self.group.info().alive > 0
    }

    /// Returns the names of the gauges on the page.
    pub(super) fn gauges(&self) -> impl Iterator<Item = String> {
        let families = self.group.registry().gather().into_iter();
        families
            .filter(|family| family.metric_type == MetricType::Gauge)
            .map(|family| family.name)
    }

    /// Responds to a scrape.
    pub(super) fn respond(&mut self, request: &ScrapeRequest<'_>) -> ScrapeResponse<'_> {
        self.responder.respond(request)
    }
}
