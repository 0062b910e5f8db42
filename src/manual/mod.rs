//! The manual: longer explanations than fit beside an item.
//!
//! | chapter | for |
//! |---|---|
//! | [`architecture`] | contributors, and anyone who wants to know what depends on what |
//! | [`how_a_value_travels`] | the path from an update to a byte on the page, with its costs |
//! | [`choosing_a_cell`] | which type to use for a value, and what each costs |
//! | [`embedding`] | metrics in a library or a worker: structure, lifetimes, tests |
//! | [`serving`] | answering scrapes: the listener, or your own server (feature `http`) |
//! | `serving_other_processes` | `stethoscope serve`: stopped and dead processes, and several as one (features `cli`, `http`, `segment`) |
//! | [`migrating`] | coming from `prometheus`, `prometheus-client`, `metrics` or `metrics-exporter-prometheus` |
//! | [`comparison`] | other crates beside this one, and what this one leaves out |
//! | [`fuzzing`] | testing your own exporter or parser against this crate (feature `arbitrary`) |
//! | [`reading_pages`] | the parser, validation and lints (feature `parse`) |
//!
// Links to chapters that are not compiled in go to docs.rs.
#![cfg_attr(
    not(feature = "http"),
    doc = "[`serving`]: https://docs.rs/stethoscope/latest/stethoscope/manual/serving/"
)]
#![cfg_attr(
    not(feature = "arbitrary"),
    doc = "[`fuzzing`]: https://docs.rs/stethoscope/latest/stethoscope/manual/fuzzing/"
)]
#![cfg_attr(
    not(feature = "parse"),
    doc = "[`reading_pages`]: https://docs.rs/stethoscope/latest/stethoscope/manual/reading_pages/"
)]

pub mod architecture;
pub mod choosing_a_cell;
pub mod comparison;
pub mod embedding;
#[cfg(feature = "arbitrary")]
pub mod fuzzing;
pub mod how_a_value_travels;
pub mod migrating;
#[cfg(feature = "parse")]
pub mod reading_pages;
#[cfg(feature = "http")]
pub mod serving;
#[cfg(all(feature = "http", feature = "segment", target_os = "linux"))]
pub mod serving_other_processes;
