//! Assertions about pages, for the tests of programs that embed the crate.
//!
//! [`Snapshot::of`] scrapes a registry, reads the page with a strict reader, and
//! returns values by name and labels. A sample that does not exist is a panic that
//! lists those that do: a test that misspells a name fails, instead of passing on a
//! zero.
//!
//! ```
//! use stethoscope::{Registry, testing::Snapshot};
//!
//! let registry = Registry::new();
//! let requests = registry.counter_family("requests_total", "Requests.", ["code"])?;
//!
//! let before = Snapshot::of(&registry);
//! requests.with(["200"])?.inc_by(2);
//!
//! let after = Snapshot::of(&registry);
//! assert_eq!(after.value("requests_total", [("code", "200")]), 2.0);
//! assert!(!before.has("requests_total", [("code", "200")]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::exposition::parser::{Error, Event, parse};
use crate::exposition::validate::validate;
use crate::exposition::{ContentType, Escaping, Format};
use crate::registry::Registry;
use std::fmt;

/// The samples of a page, as of one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    samples: Vec<ScrapedSample>,
}

#[derive(Clone, Debug, PartialEq)]
struct ScrapedSample {
    name: String,
    /// Sorted by name.
    labels: Vec<(String, String)>,
    value: f64,
}

impl Snapshot {
    /// Scrapes `registry`.
    ///
    /// # Panics
    /// If the page is not valid, which would be a fault of this crate.
    pub fn of(registry: &Registry) -> Self {
        let content_type = ContentType::new(Format::Text1, Escaping::AllowUtf8);
        let mut scraper = registry.scraper();
        let page = scraper.scrape(content_type);
        Self::read(page, content_type).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Reads a page strictly.
    ///
    /// # Errors
    /// If the page is not valid; the message shows the place.
    pub fn read(page: &[u8], content_type: impl Into<ContentType>) -> Result<Self, InvalidPage> {
        let content_type = content_type.into();
        let invalid = |error: Error| InvalidPage(error.display_in(page).to_string());
        validate(page, content_type).map_err(invalid)?;
        let mut samples = Vec::new();
        for event in parse(page, content_type) {
            if let Event::Sample(sample) = event.map_err(invalid)? {
                let label = |label: crate::exposition::parser::Label<'_>| {
                    (label.name.into_owned(), label.value.into_owned())
                };
                let mut labels: Vec<_> = sample.labels().map(label).collect();
                labels.sort();
                let name = sample.name().into_owned();
                samples.push(ScrapedSample {
                    name,
                    labels,
                    value: sample.value(),
                });
            }
        }
        Ok(Self { samples })
    }

    /// Returns the value of the sample with this name and exactly these labels, in
    /// any order. The name is that on the page: with `_total`, `_bucket`, `_sum` or
    /// `_count`.
    ///
    /// # Panics
    /// If there is no such sample; the message lists those of the same name.
    #[track_caller]
    pub fn value<'l>(&self, name: &str, labels: impl AsRef<[(&'l str, &'l str)]>) -> f64 {
        let labels = labels.as_ref();
        match self.find(name, labels) {
            Some(value) => value,
            None => panic!("{}", self.missing(name, labels)),
        }
    }

    /// Returns true if there is a sample with this name and exactly these labels.
    ///
    /// # Panics
    /// If there are samples of this name, but none whose labels have these names:
    /// the test then asks for a label that does not exist.
    #[track_caller]
    pub fn has<'l>(&self, name: &str, labels: impl AsRef<[(&'l str, &'l str)]>) -> bool {
        let labels = labels.as_ref();
        let mut named = self
            .samples
            .iter()
            .filter(|sample| sample.name == name)
            .peekable();
        if named.peek().is_some() && !named.any(|sample| same_names(&sample.labels, labels)) {
            panic!("{}", self.missing(name, labels));
        }
        self.find(name, labels).is_some()
    }

    /// Returns the names on the page, each once, in the order of the page.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for sample in &self.samples {
            if names.last() != Some(&sample.name.as_str()) && !names.contains(&sample.name.as_str())
            {
                names.push(&sample.name);
            }
        }
        names
    }

    /// Returns the number of samples with this name.
    pub fn count(&self, name: &str) -> usize {
        self.samples
            .iter()
            .filter(|sample| sample.name == name)
            .count()
    }

    fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut wanted = labels.to_vec();
        wanted.sort_unstable();
        let is_it = |sample: &&ScrapedSample| {
            sample.name == name
                && sample.labels.len() == wanted.len()
                && sample
                    .labels
                    .iter()
                    .zip(&wanted)
                    .all(|((name, value), (n, v))| name == n && value == v)
        };
        self.samples.iter().find(is_it).map(|sample| sample.value)
    }

    /// Describes a missing sample, and lists those of the same name.
    fn missing(&self, name: &str, labels: &[(&str, &str)]) -> String {
        let asked = ScrapedSample {
            name: name.to_owned(),
            labels: labels
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            value: f64::NAN,
        };
        let of_that_name: Vec<String> = self
            .samples
            .iter()
            .filter(|sample| sample.name == name)
            .map(|sample| format!("  {sample}"))
            .collect();
        match of_that_name.is_empty() {
            false => format!(
                "no sample {asked}; samples of that name are\n{}",
                of_that_name.join("\n")
            ),
            true => format!(
                "no sample {asked}; the names on the page are\n  {}",
                self.names().join("\n  ")
            ),
        }
    }
}

fn same_names(labels: &[(String, String)], asked: &[(&str, &str)]) -> bool {
    labels.len() == asked.len()
        && labels
            .iter()
            .all(|(name, _)| asked.iter().any(|(other, _)| other == name))
}

impl fmt::Display for ScrapedSample {
    /// Writes the series as in a query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (index, (name, value)) in self.labels.iter().enumerate() {
            write!(f, "{}{name}={value:?}", if index == 0 { '{' } else { ',' })?;
        }
        if !self.labels.is_empty() {
            f.write_str("}")?;
        }
        Ok(())
    }
}

/// The error of a page that is not valid: where, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPage(String);

impl fmt::Display for InvalidPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidPage {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::Buckets;

    fn snapshot() -> Snapshot {
        let registry = Registry::new();
        let family = registry
            .gauge_family("tasks", "", ["state", "worker"])
            .unwrap();
        family.with(["idle", "a\"\n"]).unwrap().set(-3);
        family.with(["busy", "b"]).unwrap();
        let buckets = Buckets::new([0.1, 1.0]).unwrap();
        registry
            .histogram("latency_seconds", "", buckets)
            .unwrap()
            .observe(0.5);
        Snapshot::of(&registry)
    }

    fn panic_of(asking: impl FnOnce() + std::panic::UnwindSafe) -> String {
        let panic = std::panic::catch_unwind(asking).expect_err("no panic");
        *panic.downcast::<String>().expect("a panic with a message")
    }

    #[test]
    fn samples_are_found_by_name_and_labels_in_any_order() {
        let page = snapshot();
        assert_eq!(
            page.value("tasks", [("worker", "a\"\n"), ("state", "idle")]),
            -3.0
        );
        assert_eq!(page.value("latency_seconds_bucket", [("le", "1")]), 1.0);
        assert_eq!(page.value("latency_seconds_sum", []), 0.5);
        assert!(!page.has("tasks", [("worker", "c"), ("state", "idle")]));
        assert_eq!(page.count("tasks"), 2);
        assert_eq!(page.names()[..2], ["tasks", "latency_seconds_bucket"]);
    }

    #[test]
    fn missing_sample_panics() {
        let said = panic_of(|| _ = snapshot().value("task", []));
        assert!(
            said.starts_with("no sample task; the names on the page are\n  tasks\n"),
            "{said}"
        );
        let said = panic_of(|| _ = snapshot().value("tasks", [("state", "idle")]));
        assert!(
            said.contains("samples of that name are\n  tasks{state=\"idle\",worker="),
            "{said}"
        );
        panic_of(|| _ = snapshot().has("tasks", [("stat", "idle"), ("worker", "a")]));
    }

    #[test]
    fn malformed_page_is_refused_with_the_position() {
        let error = Snapshot::read(b"a 1\nb oops\n", Format::Text).unwrap_err();
        assert!(error.to_string().contains("b oops"), "{error}");
    }

    #[test]
    fn page_with_inconsistent_lines_is_refused_with_the_position() {
        for (page, place) in [
            ("a 1\na 2\n", "a 2"),
            (
                "# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_count 2\n",
                "h_",
            ),
        ] {
            let error = Snapshot::read(page.as_bytes(), Format::Text).unwrap_err();
            assert!(error.to_string().contains(place), "{error}");
        }
    }
}
