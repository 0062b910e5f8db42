//! Uses two versions of the crate in one program.

use stethoscope::exposition::Format;

fn main() {
    let registry = stethoscope::Registry::new();
    registry.counter("new_total", "").unwrap().inc();
    let others = other::Registry::new();
    others.counter("other_total", "").unwrap().inc();
    let page = registry.scraper().scrape(Format::Text).to_vec();
    let others_page = others.scraper().scrape(other::exposition::Format::Text).to_vec();
    print!("{}", String::from_utf8(page).unwrap());
    print!("{}", String::from_utf8(others_page).unwrap());
}

/// Passes a registry of one version to a function of the other.
#[cfg(feature = "mixed")]
pub fn mixed(registry: &other::Registry) -> stethoscope::Scraper {
    stethoscope::Registry::scraper(registry)
}
