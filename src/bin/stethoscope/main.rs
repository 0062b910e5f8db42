//! The command line tool: arguments in, an exit code out. Each subcommand has a
//! file, and the library does its work.

mod bench;
mod check;
mod duration;
mod failure;
mod json;
mod output;
mod source;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Listens to a busy process without disturbing it.
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
}

/// What a user must put right before a command can begin, as one line.
#[derive(Debug)]
struct UsageError(String);

/// Exit code of a page that is refused, and of scrapes that failed.
const REFUSED: u8 = 1;
/// Exit code of arguments that are unusable, as clap has it too, and of a report
/// that can't be written.
const USAGE_ERROR: u8 = 2;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // Help and the version come as errors, too.
        Err(error) => {
            error
                .print()
                .unwrap_or_else(|error| output::exit_on_write_error(&error));
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE_ERROR));
        }
    };
    let done = match arguments.command {
        Command::Check(check) => check.run(),
        Command::Bench(bench) => bench.run(),
    };
    done.unwrap_or_else(|UsageError(reason)| {
        output::eprintln(format_args!("stethoscope: {reason}"));
        ExitCode::from(USAGE_ERROR)
    })
}
