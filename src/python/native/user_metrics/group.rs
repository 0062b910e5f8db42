//! One page for several processes: those whose segments are in a directory.

use super::server::Server;
use crate::native::convert::segment_error;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use stethoscope::Registry;
use stethoscope::segment::{GaugeRule, GaugeRuleError, Group, GroupOptions, SegmentErrorKind};

/// Serve one page for all processes whose metrics are in files of this directory.
#[pyfunction]
pub(in crate::native) fn serve_group(
    py: Python<'_>,
    directory: PathBuf,
    address: (String, u16),
    gauges: &str,
    by_name: Vec<(String, String)>,
    openmetrics2: bool,
) -> PyResult<Server> {
    let mut options = GroupOptions::default().gauges(rule(gauges)?);
    for (name, gauges) in by_name {
        options = options.gauge(name, rule(&gauges)?);
    }
    py.detach(|| {
        let mut group = Group::with_options(directory, options).map_err(segment_error)?;
        group.refresh().map_err(segment_error)?;
        let page = Registry::new();
        page.include(group.page());
        let group = Mutex::new(group);
        page.on_scrape(move || {
            let mut group = group.lock().unwrap_or_else(PoisonError::into_inner);
            // If the sums of the dead cannot be written, their files remain, and the
            // page is right.
            if let Err(error) = group.refresh()
                && matches!(error.kind(), SegmentErrorKind::DirectoryReplaced)
                && group.reopen().is_ok()
            {
                let _ = group.refresh();
            }
        });
        Server::of_page(&page, &address.0, address.1, openmetrics2)
    })
}

fn rule(name: &str) -> PyResult<GaugeRule> {
    name.parse()
        .map_err(|error: GaugeRuleError| PyValueError::new_err(error.to_string()))
}
