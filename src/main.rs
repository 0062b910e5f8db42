//! `stethoscope`: check an exposition, measure a scrape.

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
