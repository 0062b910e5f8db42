//! The command line tool: arguments in, an exit code out. Each subcommand has a
//! file, and the library does its work.

mod bench;
mod check;
mod json;
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
struct Unusable(String);

/// Exit code of a page that is refused, and of scrapes that failed.
const REFUSED: u8 = 1;
/// Exit code of arguments that are unusable, as clap has it too.
const UNUSABLE: u8 = 2;

pub(crate) fn run() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Check(check) => check.run(),
        Command::Bench(bench) => bench.run(),
    };
    done.unwrap_or_else(|Unusable(reason)| {
        eprintln!("stethoscope: {reason}");
        ExitCode::from(UNUSABLE)
    })
}
