//! Pages that are checked, waiting, and processes that tests start.
#![allow(dead_code, unused_imports, reason = "each test uses a part of it")]

#[path = "eventually.rs"]
mod eventually;

pub(crate) use eventually::eventually;

use std::path::Path;
use std::process::Command;
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

/// Runs that test where `directory` is a file system in memory of its own, of so many
/// KiB. Returns false if this machine does not let it. The test has to print a line that
/// is `mounted`.
pub(crate) fn run_on_small_tmpfs(directory: &Path, kib: u32, environment: &[(&str, &str)]) -> bool {
    std::fs::create_dir(directory).unwrap();
    let test = process_of_this_test();
    let mount = "d=$1; shift; mount -t tmpfs -o mode=700,size=$0k none \"$d\" && exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", mount])
        .arg(kib.to_string())
        .arg(directory)
        .arg(test.get_program())
        .args(test.get_args())
        .envs(environment.iter().copied())
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            println!("skipped: a full file system: unshare: {error}");
            return false;
        }
    };
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let is_mounted = stdout.lines().any(|line| line == "mounted");
    match is_mounted {
        true => assert!(output.status.success(), "{stdout}{stderr}"),
        false => println!("skipped: a full file system: {stderr}"),
    }
    is_mounted
}
