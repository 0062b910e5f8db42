//! Figures for programs, beside the tables for people.
//!
//! With `FIGURES=FILE` in the environment, each figure is appended to that file as a line of JSON. `make bench` sets it,
//! and `benches/figures.py` reads the lines.

use std::fs::OpenOptions;
use std::io::Write;

/// Appends a figure, if the environment names a file for it.
///
/// `table` and `column` say what was measured, `row` whose figure it is, and `unit` is what a smaller value is better
/// in.
///
/// # Panics
///
/// The file cannot be written.
pub fn record(table: &str, row: &str, column: &str, value: f64, unit: &str) {
    let Some(path) = std::env::var_os("FIGURES") else {
        return;
    };
    if !value.is_finite() {
        return;
    }
    // The debug form of these names is a JSON string: they are ASCII, without control characters.
    let line = format!(
        "{{\"table\":{table:?},\"row\":{row:?},\"column\":{column:?},\"value\":{value},\"unit\":{unit:?}}}\n"
    );
    let file = OpenOptions::new().create(true).append(true).open(&path);
    file.and_then(|mut file| file.write_all(line.as_bytes()))
        .unwrap_or_else(|error| panic!("cannot write figures to {}: {error}", path.display()));
}

/// The number of rounds to run: `full`, or a sixth of it with `QUICK` in the environment.
pub fn rounds(full: usize) -> usize {
    match std::env::var_os("QUICK") {
        Some(quick) if !quick.is_empty() => full.div_ceil(6).max(5).min(full),
        _ => full,
    }
}
