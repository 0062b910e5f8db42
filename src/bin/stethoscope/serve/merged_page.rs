//! The page of a group.

use super::super::output;
use std::path::PathBuf;
use stethoscope::endpoint::{Responder, ScrapeRequest, ScrapeResponse};
use stethoscope::segment::{GaugeRule, Group, GroupOptions, SegmentError, SegmentErrorKind};

/// The rules for gauges: of one name, or of all others.
#[derive(Clone)]
pub(super) struct GaugeRules(pub(super) Vec<(Option<String>, GaugeRule)>);

impl GaugeRules {
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
}

/// The page of a group.
pub(super) struct MergedPage {
    path: PathBuf,
    rules: GaugeRules,
    group: Group,
    responder: Responder,
}

impl MergedPage {
    pub(super) fn open(path: PathBuf, rules: GaugeRules) -> Result<Self, SegmentError> {
        let group = Group::with_options(&path, rules.options())?;
        Ok(Self {
            path,
            rules,
            responder: Responder::new(group.page()),
            group,
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
                *self = Self::open(self.path.clone(), self.rules.clone())?;
                output::log(format_args!(
                    "{} was removed or replaced: its sums begin again",
                    self.path.display()
                ));
                self.refresh()
            }
            result => result,
        }
    }

    /// Responds to a scrape.
    pub(super) fn respond(&mut self, request: &ScrapeRequest<'_>) -> ScrapeResponse<'_> {
        self.responder.respond(request)
    }
}
