//! Standard output and standard error. All that the tool says goes through here,
//! so that output which can't be written is treated alike everywhere: the program
//! ends, and says so if there is somebody to say it to.

use super::USAGE_ERROR;
use std::fmt::Display;
use std::io::{self, Write};
use std::process;

/// Exit code where the reader has gone, as shells have it of a program that
/// SIGPIPE ends. It is not 0: what was not read to its end is not accepted.
const READER_GONE: i32 = 128 + 13;

/// Writes a line of a report to standard output.
pub(super) fn report(text: impl Display) {
    whole(io::stdout().lock(), text);
}

/// Writes a line to standard error.
pub(super) fn eprintln(text: impl Display) {
    whole(io::stderr().lock(), text);
}

/// At once, so that a reader that takes one line and goes has all of it.
fn whole(mut into: impl Write, text: impl Display) {
    let line = format!("{text}\n");
    let written = into.write_all(line.as_bytes());
    written
        .and_then(|()| into.flush())
        .unwrap_or_else(|error| exit_on_write_error(&error));
}

/// LabelEnd the program, whose output can't be written.
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
