//! Standard output and standard error.
//!
//! Everything that the tool prints for people goes through here. Characters that a
//! terminal obeys or hides are replaced, because pages and headers come from
//! elsewhere. A write error ends the program the same way everywhere.

use super::USAGE_ERROR;
use std::fmt::Display;
use std::io::{self, Write};
use std::process;
use stethoscope::exposition::parser::is_unprintable;

/// The exit code if the reader of the output has gone, as a shell reports a program
/// that SIGPIPE ended. It is not 0, because nothing was accepted.
const READER_GONE: i32 = 128 + 13;

/// Writes a line of a report to standard output.
pub(super) fn println(text: impl Display) {
    write_line(io::stdout().lock(), text);
}

/// Writes a line to standard error.
pub(super) fn eprintln(text: impl Display) {
    write_line(io::stderr().lock(), text);
}

/// Writes a line to the log of a program that goes on, on standard error, also where
/// nobody reads it any more.
#[cfg(all(feature = "segment", feature = "http", target_os = "linux"))]
pub(super) fn log(text: impl Display) {
    let line = printable(&format!("stethoscope: {text}\n"));
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

/// Writes the line with one call, so that a reader that takes one line and exits has
/// all of it.
fn write_line(mut into: impl Write, text: impl Display) {
    let line = printable(&format!("{text}\n"));
    let written = into.write_all(line.as_bytes());
    written
        .and_then(|()| into.flush())
        .unwrap_or_else(|error| exit_on_write_error(&error));
}

/// Replaces the characters that a terminal obeys or hides, except newlines.
fn printable(text: &str) -> String {
    let replaced = |c: char| match c {
        '\n' => '\n',
        c if is_unprintable(c) => '\u{b7}',
        c => c,
    };
    text.chars().map(replaced).collect()
}

/// Ends the program because its output can't be written.
#[cold]
pub(super) fn exit_on_write_error(error: &io::Error) -> ! {
    if error.kind() == io::ErrorKind::BrokenPipe {
        process::exit(READER_GONE);
    }
    // Standard error may be what can't be written to.
    let _ = writeln!(
        io::stderr(),
        "stethoscope: the report could not be written: {error}"
    );
    process::exit(i32::from(USAGE_ERROR));
}
