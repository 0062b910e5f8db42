//! The command line tool: parses arguments, runs a subcommand, returns an exit code.
//! Each subcommand has a file; the library does the work.

mod bench;
mod check;
mod content_type;
mod fetch_error;
mod findings;
mod generate;
mod http;
mod json;
mod output;
mod protobuf;
#[cfg(all(feature = "segment", target_os = "linux"))]
mod read;
#[cfg(all(feature = "segment", feature = "http", target_os = "linux"))]
mod serve;
mod server;
mod source;
mod units;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Checks Prometheus metrics pages and measures what scraping them costs.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(check::Check),
    Bench(bench::Bench),
    Generate(generate::Generate),
    #[cfg(all(feature = "segment", target_os = "linux"))]
    Read(read::Read),
    #[cfg(all(feature = "segment", feature = "http", target_os = "linux"))]
    Serve(serve::Serve),
}

/// An error that the user must fix before a command can begin.
#[derive(Debug)]
struct UsageError {
    /// One line.
    reason: String,
    /// Lines that show where the fault is.
    excerpt: Option<String>,
}

impl UsageError {
    fn new(reason: String) -> Self {
        Self {
            reason,
            excerpt: None,
        }
    }
}

/// The exit code of a refused page, of failed scrapes, and of a cost above its limit.
const REFUSED: u8 = 1;
/// The exit code of unusable arguments, which clap uses too, and of a report that
/// can't be written.
const USAGE_ERROR: u8 = 2;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // Help and version are errors, too.
        Err(error) => {
            let printed = error.print();
            printed.unwrap_or_else(|error| output::exit_on_write_error(&error));
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE_ERROR));
        }
    };
    let result = match arguments.command {
        Command::Check(check) => check.run(),
        Command::Bench(bench) => bench.run(),
        Command::Generate(generate) => generate.run(),
        #[cfg(all(feature = "segment", target_os = "linux"))]
        Command::Read(read) => read.run(),
        #[cfg(all(feature = "segment", feature = "http", target_os = "linux"))]
        Command::Serve(serve) => serve.run(),
    };
    result.unwrap_or_else(|UsageError { reason, excerpt }| {
        output::eprintln(format_args!("stethoscope: {reason}"));
        if let Some(excerpt) = excerpt {
            output::eprint_lines(excerpt);
        }
        ExitCode::from(USAGE_ERROR)
    })
}
