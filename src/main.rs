//! `stethoscope`: check an exposition, measure a scrape.

fn main() {}
