//! The exposition formats: writing a registry as a page, and reading a page back
//! as events.

mod body;
pub mod escape;
mod format;
mod fresh;
#[cfg(feature = "gzip")]
mod gzip;
mod high_water;
mod layout;
pub(crate) mod negotiation;
pub mod number;
mod page;
#[cfg(feature = "parse")]
pub mod parser;
mod protobuf;
#[cfg(feature = "parse")]
pub mod rewrite;
mod scan;
mod scraper;
mod template;
#[cfg(feature = "parse")]
pub mod validate;
mod writer;

pub use crate::name::escaping::Escaping;
pub use format::{ContentType, Format};
#[cfg(any(feature = "gzip", feature = "responder"))]
pub(crate) use high_water::HighWater;
pub use negotiation::Offer;
pub use scraper::Scraper;
