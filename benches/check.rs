//! Checks a page of 1 GB, and prints time and memory.
//!
//!     cargo bench --features cli --bench check
//!
//! The page of 3,500 samples over and over, with new names of families each
//! time, in a file below target/ that stays in the page cache. Memory is what
//! the kernel says that the process had at most (VmHWM), read every 10 ms. An
//! argument sets how many MB: `-- 100`.

#![allow(missing_docs)]

mod pages;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};
use stethoscope::exposition::Format;

const ROUNDS: usize = 3;

/// Each family's name, and what it is replaced by, as long and with a number.
const FAMILIES: [&str; 3] = [
    "http_server_requests",
    "worker_task_load_ratio",
    "http_request_duration_seconds",
];

fn main() -> io::Result<()> {
    let megabytes = std::env::args().find_map(|argument| argument.parse().ok());
    let len = megabytes.unwrap_or(1_000) * 1_000_000;
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("page-to-check");
    println!(
        "{:14}{:12}{:>10}{:>10}{:>10}{:>12}",
        "", "", "bytes", "seconds", "GB/s", "peak MB"
    );
    for format in [Format::Text, Format::OpenMetrics] {
        write_page(&path, format, len)?;
        for arguments in [&[][..], &["--lenient"]] {
            measure(&path, format, arguments)?;
        }
    }
    fs::remove_file(&path)
}

/// Writes whole copies of the page until it has so many bytes.
fn write_page(path: &Path, format: Format, len: usize) -> io::Result<()> {
    let page = pages::of_3500_lines(format);
    let page = String::from_utf8(page).expect("a page is UTF-8");
    let page = page.strip_suffix("# EOF\n").unwrap_or(&page);
    let mut into = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for copy in 0..len.div_ceil(page.len()) {
        let renamed = FAMILIES.iter().fold(page.to_owned(), |page, family| {
            assert!(page.contains(family), "{family}");
            // A page has each of its families' names in other words, too.
            let (start, end) = family.split_once('_').expect("a name of several words");
            page.replace(family, &format!("{start}_{copy:05}_{end}"))
        });
        into.write_all(renamed.as_bytes())?;
    }
    if format == Format::OpenMetrics {
        into.write_all(b"# EOF\n")?;
    }
    into.flush()
}

fn measure(path: &Path, format: Format, arguments: &[&str]) -> io::Result<()> {
    let name = match format {
        Format::OpenMetrics => "openmetrics",
        _ => "prometheus",
    };
    let bytes = fs::metadata(path)?.len();
    let mut best = Duration::MAX;
    let mut peak = 0;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut check = Command::new(env!("CARGO_BIN_EXE_stethoscope"))
            .args(["check", "--format", name])
            .args(arguments)
            .arg(path)
            .spawn()?;
        let (status, most) = watch(&mut check)?;
        best = best.min(start.elapsed());
        peak = peak.max(most);
        assert!(status.success(), "the page is accepted");
    }
    let seconds = best.as_secs_f64();
    println!(
        "{name:14}{:12}{bytes:>10}{seconds:>10.2}{:>10.2}{:>12.1}",
        arguments.first().unwrap_or(&"strict"),
        bytes as f64 / seconds / 1e9,
        peak as f64 / 1e6,
    );
    Ok(())
}

/// Waits for a process; gives the most memory that it was seen to have had.
fn watch(process: &mut Child) -> io::Result<(ExitStatus, usize)> {
    let status = format!("/proc/{}/status", process.id());
    let mut peak = 0;
    loop {
        // Once it has ended there is no such line.
        let text = fs::read_to_string(&status)?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
        peak = peak.max(kib.unwrap_or(0) << 10);
        if let Some(ended) = process.try_wait()? {
            return Ok((ended, peak));
        }
        thread::sleep(Duration::from_millis(10));
    }
}
