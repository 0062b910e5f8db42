//! Batch jobs: metrics of programs that end before somebody scrapes them.
//!
//! - [`write_textfile`] writes a page for the textfile collector of node_exporter. It
//!   is the simplest way, and needs no server.
#![cfg_attr(
    feature = "push",
    doc = "- [`Pushgateway`] sends a page to a Pushgateway, which Prometheus scrapes."
)]
#![cfg_attr(
    not(feature = "push"),
    doc = "- `Pushgateway` (feature `push`) sends a page to a Pushgateway, which Prometheus scrapes."
)]

#[cfg(feature = "push")]
mod push;
mod textfile;

#[cfg(feature = "push")]
pub use push::{PushError, Pushgateway};
pub use textfile::write_textfile;
