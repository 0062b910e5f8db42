//! Fuzzing your own exporter or parser, with this crate as the oracle.
//!
//! [`generate`](crate::generate) makes pages from a fuzzer's bytes, and the strict parser says which pages are
//! valid. `cargo add stethoscope --features arbitrary` in your fuzz crate.
//!
//! # A parser
//!
//! Your parser must accept every valid page. With one more generator, it must refuse those faults that it claims to
//! check; a parser that only ingests has fewer of them.
//!
//! ```
//! use stethoscope::exposition::Format;
//! use stethoscope::generate::{self, Fault, Unstructured};
//!
//! // libfuzzer_sys::fuzz_target!(|bytes: &[u8]| target(bytes));
//! fn target(bytes: &[u8]) {
//!     let page = generate::page(&mut Unstructured::new(bytes), Format::Text);
//!     let page = String::from_utf8(page).expect("a page is UTF-8");
//!     assert!(your_parser::samples(&page).is_ok(), "refused a valid page:\n{page}");
//!
//!     let (page, fault) = generate::faulty_page(&mut Unstructured::new(bytes), Format::Text);
//!     let claimed = matches!(fault, Fault::MissingValue | Fault::UnclosedQuote);
//!     if claimed && let Ok(page) = String::from_utf8(page) {
//!         assert!(your_parser::samples(&page).is_err(), "accepted that {fault}:\n{page}");
//!     }
//! }
//! # mod your_parser {
//! #     pub fn samples(page: &str) -> Result<usize, ()> {
//! #         stethoscope::exposition::validate::validate(page, stethoscope::exposition::Format::Text).map_err(drop)?;
//! #         Ok(1)
//! #     }
//! # }
//! # for seed in 0..200u64 {
//! #     target(&seed.to_le_bytes().repeat(40));
//! # }
//! ```
//!
//! To compare samples and not only verdicts, read the same page with
//! [`parser::parse`](crate::exposition::parser::parse), whose events carry names, labels and values.
//!
//! # An exporter
//!
//! What your exporter writes must be valid. Let the fuzzer choose names, labels and values, and validate the page:
//!
//! ```
//! use stethoscope::exposition::{Format, validate::validate};
//!
//! fn target(help: &str, label: &str, value: f64) {
//!     let page = your_exporter::render(help, label, value);
//!     if let Err(error) = validate(&page, Format::Text) {
//!         // The line, with a caret below the fault.
//!         panic!("{}", error.display_in(&page));
//!     }
//! }
//! # mod your_exporter {
//! #     use stethoscope::{Registry, exposition::Format};
//! #     pub fn render(help: &str, label: &str, value: f64) -> Vec<u8> {
//! #         let registry = Registry::new();
//! #         let family = registry.float_gauge_family("x", help, ["a"]).unwrap();
//! #         family.with([label]).unwrap().set(value);
//! #         registry.scraper().scrape(Format::Text).to_vec()
//! #     }
//! # }
//! # target("a\\b\n", "\"", f64::NAN);
//! ```
//!
//! If your code fills a [`Registry`](crate::Registry) that others render, `Registry` implements
//! `arbitrary::Arbitrary`, so a fuzz target can take one as its argument.
//!
//! # Other languages
//!
//! The command line tool prints such pages. A seed always gives the same page of a version of this crate:
//!
//! ```sh
//! stethoscope generate --seed 7 --format openmetrics
//! stethoscope generate --seed 7 --format prometheus --invalid   # standard error names the fault
//!
//! for seed in $(seq 1000); do
//!     stethoscope generate --seed $seed --format openmetrics | your-parser || echo "seed $seed"
//! done
//! ```
