//! Serving the metrics over HTTP: an answer for your own server, or a server.
//!
//! | feature | it has | platforms |
//! |---|---|---|
//! | `responder` | [`Responder`]: turns a scrape request into status, headers and body, for hyper, axum and any other server | all |
//! | `http` | a listener as well: a thread with one event loop that serves `/metrics` | Linux |
//! | `gzip` | compressed pages, from both | all |
//!
//! `responder` brings no dependency; `http` and `gzip` include it. Both answer
//! alike: the format that the `Accept` header asks for (tables for a browser),
//! the families that `name[]` parameters name, and gzip where
//! `Accept-Encoding` asks for it.

mod error_response;
#[cfg_attr(
    not(feature = "gzip"),
    allow(dead_code, reason = "there is no compressor to ask")
)]
mod gzip;
#[cfg_attr(
    not(feature = "http"),
    allow(dead_code, reason = "the index page is the listener's")
)]
mod html;
mod paths;
mod responder;
mod route;
mod selection;

#[cfg(all(feature = "http", target_os = "linux"))]
mod listener;

#[cfg(all(feature = "http", not(target_os = "linux")))]
compile_error!(
    "stethoscope's feature `http` (its listener) needs Linux: use the feature `responder` and an \
     HTTP server of your choice on this platform"
);

#[cfg(all(feature = "http", target_os = "linux"))]
pub use listener::*;
pub use responder::{Responder, ScrapeRequest, ScrapeResponse};
