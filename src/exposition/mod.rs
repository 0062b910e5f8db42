//! The exposition text, both ways: a registry written as a page, and a page
//! read back as events.

pub mod escape;
pub mod format;
pub mod name_scheme;
pub mod number;

pub use format::{ContentType, Escaping, Format};
