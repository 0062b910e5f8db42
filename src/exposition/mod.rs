//! The exposition text, both ways: a registry written as a page, and a page
//! read back as events.

pub mod escape;
mod exemplars;
pub mod format;
mod layout;
pub(crate) mod negotiation;
pub mod number;
pub mod parser;
pub mod rewrite;
mod scan;
mod scraper;
pub mod validate;
mod writer;

pub use crate::name::scheme as name_scheme;
pub use format::{ContentType, Escaping, Format};
pub use scraper::Scraper;
