//! stethoscope.

use super::Contestant;
use crate::series::Series;
use crate::workload::*;
use stethoscope::exposition::Format;
use stethoscope::{Registry, Scraper};

struct Stethoscope {
    series: Series,
    scraper: Scraper,
}

/// With a scraper that keeps nothing but the page.
pub(super) fn build_lean(workload: &Workload) -> Box<dyn Contestant> {
    let registry = Registry::new();
    Box::new(Stethoscope {
        series: Series::register(&registry, workload),
        scraper: registry.scraper().lean(true),
    })
}

pub(super) fn build(workload: &Workload) -> Box<dyn Contestant> {
    let registry = Registry::new();
    Box::new(Stethoscope {
        series: Series::register(&registry, workload),
        scraper: registry.scraper(),
    })
}

impl Contestant for Stethoscope {
    fn apply(&mut self, changes: &Changes) {
        self.series.apply(changes);
    }

    fn encode(&mut self) {
        self.scraper.scrape(Format::Text);
    }

    fn drop_handles(&mut self) {
        self.series.drop_handles();
    }

    fn page(&mut self) -> &[u8] {
        // Brings the page that the scraper keeps up to date, and returns it.
        self.scraper.scrape(Format::Text)
    }
}
