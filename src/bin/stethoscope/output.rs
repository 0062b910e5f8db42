//! Standard output and standard error.
//!
//! Everything that the tool prints for people goes through here. Characters that a
//! terminal obeys or hides are replaced, because pages and headers come from
//! elsewhere. So are newlines, which could begin a line that looks like the tool's own:
//! callers that print several lines use `print_lines` or `eprint_lines`, and call
//! `one_line` for the foreign parts. A write error ends the program the same way
//! everywhere.

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
    write_lines(io::stdout().lock(), one_line(&text.to_string()));
}

/// Writes a line to standard error.
pub(super) fn eprintln(text: impl Display) {
    write_lines(io::stderr().lock(), one_line(&text.to_string()));
}

/// Writes the lines of a report to standard output.
pub(super) fn print_lines(text: impl Display) {
    write_lines(io::stdout().lock(), text);
}

/// Writes lines to standard error.
pub(super) fn eprint_lines(text: impl Display) {
    write_lines(io::stderr().lock(), text);
}

/// Writes a line to the log of a program that goes on, on standard error, also where
/// nobody reads it any more.
#[cfg(all(feature = "segment", feature = "http", target_os = "linux"))]
pub(super) fn log(text: impl Display) {
    let line = one_line(&format!("stethoscope: {text}")) + "\n";
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

/// Writes the lines with one call, so that a reader that takes one line and exits has
/// all of it.
fn write_lines(mut into: impl Write, text: impl Display) {
    let lines = printable(&format!("{text}\n"));
    let written = into.write_all(lines.as_bytes());
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

/// Returns a text from elsewhere as a part of a line: newlines, carriage returns and
/// tabs as in Rust, and characters that a terminal obeys or hides replaced.
pub(super) fn one_line(text: &str) -> String {
    let text = text.replace('\n', "\\n");
    printable(&text.replace('\r', "\\r").replace('\t', "\\t"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_elsewhere_stays_on_one_line() {
        assert_eq!(
            one_line("a\nb\r\n\tc\u{1b}[2J\u{2028}\u{85}\u{e9}"),
            "a\\nb\\r\\n\\tc\u{b7}[2J\u{b7}\u{b7}\u{e9}"
        );
    }
}
