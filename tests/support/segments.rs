//! Pages that are checked, waiting, and processes that tests start.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::process::Command;
use std::time::{Duration, Instant};
use stethoscope::Registry;
use stethoscope::exposition::Format;
use stethoscope::exposition::validate::validate;

/// Returns the page of a registry, after checking that it is strictly valid.
pub(crate) fn page(registry: &Registry, format: Format) -> String {
    let page = String::from_utf8(registry.scraper().scrape(format).to_vec()).unwrap();
    validate(&page, format).unwrap_or_else(|error| panic!("{error}\n{page}"));
    page
}

/// Returns the command that runs the test `process_of_a_test` of this test binary, in a
/// process of its own.
pub(crate) fn process_of_this_test() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([
        "--exact",
        "process_of_a_test",
        "--nocapture",
        "--include-ignored",
    ]);
    command
}

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
