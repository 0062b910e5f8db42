//! stethoscope.

use super::Contestant;
use crate::series::Series;
use crate::workload::*;
use stethoscope::exposition::Format;
use stethoscope::{Registry, Scraper};

struct Stethoscope {
    series: Series,
    scraper: Scraper,
    page: Vec<u8>,
}

pub(super) fn build(workload: &Workload) -> Box<dyn Contestant> {
    let registry = Registry::new();
    Box::new(Stethoscope {
        series: Series::register(&registry, workload),
        scraper: registry.scraper(),
        page: Vec::new(),
    })
}

impl Contestant for Stethoscope {
    fn apply(&mut self, changes: &Changes) {
        self.series.apply(changes);
    }

    fn encode(&mut self) {
        self.page.clear();
        self.scraper.scrape_into(Format::Text, &mut self.page);
    }

    fn drop_handles(&mut self) {
        self.series.drop_handles();
    }

    fn page(&self) -> &[u8] {
        &self.page
    }
}
