//! The path of a value from an update to a byte on the page.
//!
//! ```text
//!  your threads                          the scraping thread
//!
//!  Handle ──> cell          name, label
//!               ▲           (validated once)
//!               │ Arc            │
//!  Family ──> series ────────────┤
//!               ▲                ▼
//!  Registry ────┴──────> Scraper: layout ──> writer ──> page: &[u8]
//!                        (compiled lines)                 │
//!                                                         ▼
//!                                     events <── parser ── any page
//! ```
//!
//! 1. **Update.** Code holds a [`Handle`](crate::Handle) and does one atomic operation on its cell; a histogram takes
//!    two. Handles are cheap to clone, keep their series alive, and are `Send` and `Sync`.
//! 2. **Look-up.** [`Family::with`](crate::Family::with) finds the cell of a set of label values, or creates it.
//!    Finding takes no lock and does not allocate; creating takes the family's mutex. Look up once and keep the handle
//!    where you can.
//! 3. **Scrape.** A [`Scraper`](crate::Scraper) holds the page it wrote last, and the values on it. While the
//!    same series exist as at the previous scrape, it takes no lock: it loads each cell, compares, and prints what has
//!    changed. When series came or went, only the families concerned are compiled again.
//! 4. **Page.** The result borrows from the scraper: send it as it is.
//! 5. **Reading.** The [`parser`] (feature `parse`) turns any page, from this crate or another, into events that
//!    borrow from the text.
//!
//! ```
//! use stethoscope::Registry;
//! use stethoscope::exposition::Format;
//! use stethoscope::exposition::parser::{Event, parse};
//!
//! let registry = Registry::new();
//! let rows = registry.counter_family("rows_total", "Rows read.", ["table"])?;
//! let orders = rows.with(["orders"])?; // 2. look up once
//! orders.inc_by(3);                    // 1. update
//!
//! let mut scraper = registry.scraper();
//! let page = scraper.scrape(Format::Text); // 3. and 4.
//!
//! let text = std::str::from_utf8(page)?;
//! let samples: Vec<_> = parse(text, Format::Text) // 5.
//!     .filter_map(|event| match event {
//!         Ok(Event::Sample(sample)) => Some((sample.name().into_owned(), sample.value())),
//!         _ => None,
//!     })
//!     .collect();
//! assert_eq!(samples, [("rows_total".to_owned(), 3.0)]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Costs
//!
//! On a Zen 4 core, as an order of magnitude: 2 ns for a count in a shared cell, 5 ns for an observation, 10 ns for a
//! look-up by two labels, 14 ns for each line whose value changed and 1 ns for each other line. `benches/README.md` in
//! the repository has the measurements.
//!
//! # What is consistent with what
//!
//! Each value is read atomically. A histogram's count is the sum of the buckets that were read, and its sum includes at
//! least the observations counted. There is no moment at which all series are read together: if a thread increments
//! two counters one after the other, a page may show the second one ahead, as with every lock-free client.
//!
#![cfg_attr(feature = "parse", doc = "[`parser`]: crate::exposition::parser")]
#![cfg_attr(
    not(feature = "parse"),
    doc = "[`parser`]: https://docs.rs/stethoscope/latest/stethoscope/exposition/parser/"
)]
