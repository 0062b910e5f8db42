//! Pages as tests look at them.

// Each test uses a part.
#![allow(dead_code)]

use stethoscope::Registry;
use stethoscope::exposition::ContentType;
use stethoscope::exposition::validate::validate;

/// Scrapes a registry and returns the page as text.
///
/// # Panics
///
/// The page is not valid to the strict reader.
#[track_caller]
pub(crate) fn page(registry: &Registry, content_type: impl Into<ContentType>) -> String {
    let content_type = content_type.into();
    let page = registry.scraper().scrape(content_type).to_vec();
    let text = String::from_utf8(page).expect("a page is UTF-8");
    validate(&text, content_type)
        .unwrap_or_else(|error| panic!("{}", error.display_in(text.as_bytes())));
    text
}

/// Returns the value of a series, which is given as it is on the page: `name{label="value"}`.
///
/// # Panics
///
/// The page does not have the series.
#[track_caller]
pub(crate) fn sample(page: &str, series: &str) -> f64 {
    page.lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
        .unwrap_or_else(|| panic!("no {series} in\n{page}"))
        .parse()
        .expect("a number")
}
