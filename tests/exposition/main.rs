//! The exposition's text, as its readers and writers rely on it.

#[path = "../properties/mod.rs"]
mod properties;

mod any_bytes;
mod corpus;
mod grammar;
mod lints;
mod numbers;
mod openmetrics2;
mod round_trip;
mod rules;
