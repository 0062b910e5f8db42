//! The listener: one thread with one event loop.
//!
//! ```text
//! client ──> kernel ──peek──> whose? ── the host's ──> ConnectionHandler, untouched
//!                               │ ours, and whole
//!                               ▼
//!                             route ── nothing there ──> error response
//!                               │ format, families, gzip
//!                               ▼
//!            fresh values? ── not yet ──> the scrape waits, others go on
//!                               │ yes, or waited long enough
//!                               ▼
//!        Scraper ──> page, one for all who ask for it now ──> gzip ──> client
//! ```
//!
//! A request stays in the kernel's buffer until it is known to be ours, so that a
//! connection for the host can be handed over with every byte that it brought. A
//! page is held once, however many clients are sent it. Nothing that a client does
//! or fails to do delays another, and everything that is held has a bound
//! ([`Limits`]). On a connection that is kept alive a request allocates nothing,
//! compressed or not.

mod accept;
mod answer;
mod builder;
mod connection;
mod connections;
mod document;
mod error;
mod event_loop;
mod hand_over;
mod handle;
mod handlers;
mod input;
mod limits;
mod listening_socket;
mod page_pool;
mod request;
mod response;
mod scrapes;
pub mod self_metrics;
mod signals;

pub use builder::{Builder, serve};
pub use document::Document;
pub use error::{SpawnError, SpawnErrorKind};
pub use handle::Endpoint;
pub use handlers::{ConnectionHandler, Pages, Refresh, RefreshDone};
pub use limits::Limits;
pub use listening_socket::Address;

/// Asserts what must hold when any bytes are read as a request: the property of
/// the fuzz target, which the tests check too.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn check_request_reading(bytes: &[u8]) {
    request::check_reading(bytes);
}
