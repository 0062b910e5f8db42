//! The parser, validation and lints.
//!
//! | to | use |
//! |---|---|
//! | read a page that is in memory | [`parser::parse`](crate::exposition::parser::parse) |
//! | read a page that arrives in pieces | [`parser::Chunks`](crate::exposition::parser::Chunks) |
//! | check that lines make sense together | [`validate`](crate::exposition::validate) |
//! | assert on the values of your own registry | [`testing::Snapshot`](crate::testing::Snapshot) |
//! | check a page from a shell | `stethoscope check URL --lint` (feature `cli`) |
//!
//! The parser is strict by default: it accepts what the standard of the page's format allows, and nothing else. The
//! mode `Lenient` accepts what the Prometheus server accepts. Events borrow from the text; only escaped values are
//! copied.
//!
//! ```
//! use stethoscope::exposition::Format;
//! use stethoscope::exposition::parser::{Event, parse};
//! use stethoscope::exposition::validate::validate;
//!
//! let page = "# TYPE depth gauge\ndepth{queue=\"in\"} 3\n";
//! for event in parse(page, Format::Text) {
//!     if let Event::Sample(sample) = event? {
//!         assert_eq!(sample.name(), "depth");
//!         assert_eq!(sample.label("queue").as_deref(), Some("in"));
//!         assert_eq!(sample.value(), 3.0);
//!     }
//! }
//!
//! // A page can be well formed line by line, and still be wrong.
//! let twice = format!("{page}depth{{queue=\"in\"}} 4\n");
//! assert!(parse(&*twice, Format::Text).all(|event| event.is_ok()));
//! assert!(validate(&twice, Format::Text).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Error::position`](crate::exposition::parser::Error::position) finds the line and column of an error, and
//! [`Error::display_in`](crate::exposition::parser::Error::display_in) prints the line with a caret below the offending
//! byte. `src/exposition/CONFORMANCE.md` lists each rule, and how other readers treat it.
