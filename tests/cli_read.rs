//! `stethoscope read`, as people and scripts rely on it.
#![cfg(target_os = "linux")]

#[path = "support/directory.rs"]
mod directory;

use directory::Directory;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use stethoscope::exposition::Format;
use stethoscope::exposition::validate::validate;
use stethoscope::segment::Segment;
use stethoscope::{Handle, Registry, cell::Counter};

/// A process (this one) with a segment, in a directory that is removed in the end.
struct Process {
    directory: Directory,
    segment: Segment,
    registry: Registry,
    jobs: Handle<Counter>,
}

impl Process {
    fn new(name: &str) -> Self {
        let directory = Directory::to_create_in_memory(&format!("read-{name}"));
        let segment = Segment::in_dir(directory.path()).unwrap();
        let registry = Registry::in_segment(&segment);
        let jobs = registry.counter("jobs_total", "Jobs.").unwrap();
        jobs.inc_by(3);
        Self {
            directory,
            segment,
            registry,
            jobs,
        }
    }

    /// Runs `stethoscope read ARGUMENTS` with the directory as its default.
    fn tool(&self, arguments: &[&str]) -> Command {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_stethoscope"));
        tool.env_clear()
            .env("STETHOSCOPE_SEGMENT_DIR", self.directory.path())
            .arg("read")
            .args(arguments);
        tool
    }

    fn read(&self, arguments: &[&str]) -> Output {
        self.tool(arguments).output().expect("the tool starts")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn process_is_found_by_pid_file_and_directory() {
    let process = Process::new("found");
    let pid = std::process::id().to_string();
    let file = process.segment.path().display().to_string();
    let directory = process.directory.path().display().to_string();
    for arguments in [&[&*pid][..], &[&*file], &[&*pid, "--dir", &*directory]] {
        let output = process.read(arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let table = text(&output.stdout);
        let row = |name: &str| {
            let line = table.lines().find(|line| line.starts_with(name));
            line.unwrap_or_else(|| panic!("no {name} in {table}"))
                .to_owned()
        };
        assert!(row("process ").contains(&pid));
        assert!(row("state ").ends_with(" running"));
        assert!(row("heartbeat ").ends_with(" s ago"));
        assert!(row("jobs_total ").ends_with(" 3"));
    }
    for arguments in [&[][..], &[&*directory]] {
        let output = process.read(arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let table = text(&output.stdout);
        let mut lines = table
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        let heading = lines.next().unwrap();
        let columns = ["PID", "STATE", "HEARTBEAT", "SERIES", "FILE", "COMMAND"];
        assert_eq!(heading, columns);
        let row = lines.next().unwrap();
        assert_eq!((row[0], row[1]), (&*pid, "running"));
        // The heartbeat is three words.
        let name = process.segment.path();
        assert_eq!(row[6], name.file_name().unwrap().to_str().unwrap());
        assert_eq!(lines.next(), None);
    }
}

#[test]
fn pages_of_all_formats_are_valid_and_say_the_state() {
    let process = Process::new("pages");
    let family = process
        .registry
        .with_utf8_names()
        .gauge_family("size.of \u{2603}", "", ["a b"])
        .unwrap();
    family.with(["\u{1b}[31m"]).unwrap().set(-1);
    let pid = std::process::id().to_string();
    for (name, format) in [
        ("prometheus", Format::Text),
        ("prometheus1", Format::Text1),
        ("openmetrics", Format::OpenMetrics),
    ] {
        let output = process.read(&[&pid, "--format", name]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let page = text(&output.stdout);
        validate(&page, format).unwrap_or_else(|error| panic!("{error}\n{page}"));
        for line in [
            "stethoscope_process_state{stethoscope_process_state=\"running\"} 1\n",
            "stethoscope_process_alive 1\n",
            "stethoscope_heartbeat_age_seconds ",
            "stethoscope_segment_unplaced_series 0\n",
            "stethoscope_segment_damaged 0\n",
            "stethoscope_segment_left_out 0\n",
            "jobs_total 3\n",
        ] {
            assert!(page.contains(line), "no {line} in {page}");
        }
        assert!(page.contains("\u{1b}[31m\"} -1\n"), "{page}");
    }
    // A table is for terminals.
    let table = text(&process.read(&[&pid]).stdout);
    assert!(!table.contains('\u{1b}'), "{table}");
}

#[test]
fn unusable_targets_are_usage_errors() {
    let process = Process::new("unusable");
    let other = process.directory.join("other.segment");
    fs::write(&other, "something else").unwrap();
    let link = process.directory.join("link.segment");
    symlink(process.segment.path(), &link).unwrap();
    let directory = process.directory.path().display().to_string();
    let other = other.display().to_string();
    let link = link.display().to_string();
    for (arguments, why) in [
        (&["1"][..], "no segment of process 1 in "),
        (&["/nowhere/at.all"], "No such file or directory"),
        (&[&*other], "is not a segment"),
        (
            &[&*directory, "--format", "prometheus"],
            "name a file or a process",
        ),
        (&["--dir", "/nowhere"], "No such file or directory"),
        (&["/sys"], "no segments in /sys: expected files"),
        (&["--dir", "/sys"], "no segments in /sys: expected files"),
        (&[&*link], "is a symbolic link, which is refused"),
        (&["--interval", "1s"], "--watch"),
    ] {
        let output = process.read(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(
            text(&output.stderr).contains(why),
            "{arguments:?}: {output:?}"
        );
    }
    // In the list of a directory, one file that cannot be read is not the end.
    let output = process.read(&[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("is not a segment"));
    assert_eq!(text(&output.stdout).lines().count(), 2);
}

#[test]
fn damaged_segment_is_shown_up_to_the_damage() {
    let process = Process::new("damaged");
    process.registry.gauge("last", "").unwrap().set(1);
    let mut bytes = fs::read(process.segment.path()).unwrap();
    let name = bytes
        .windows(4)
        .rposition(|bytes| bytes == b"last")
        .unwrap();
    bytes[name] = 0xff;
    let damaged = process.directory.join("damaged.segment");
    fs::write(&damaged, bytes).unwrap();
    let output = process.read(&[damaged.to_str().unwrap(), "--format", "prometheus"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let why = "damaged.segment: the segment is damaged, its end is missing";
    assert!(text(&output.stderr).contains(why), "{output:?}");
    let list = process.read(&[]);
    assert_eq!(list.status.code(), Some(1), "{list:?}");
    assert_eq!(text(&list.stderr).matches(why).count(), 1, "{list:?}");
    assert_eq!(text(&list.stderr).lines().count(), 1, "{list:?}");
    let page = text(&output.stdout);
    assert!(page.contains("jobs_total 3\n"), "{page}");
    assert!(!page.contains("\nlast "), "{page}");
    assert!(page.contains("\nstethoscope_segment_damaged 1\n"), "{page}");
    assert!(page.contains("stethoscope_process_alive 0\n"), "{page}");
}

#[test]
fn text_from_elsewhere_begins_no_line() {
    let process = Process::new("one-line");
    let mut bytes = fs::read(process.segment.path()).unwrap();
    let program = std::env::args().next().unwrap();
    let mut windows = bytes.windows(program.len());
    let at = windows.position(|bytes| bytes == program.as_bytes());
    let forged = b"x\n1  dead";
    bytes[at.unwrap()..][..forged.len()].copy_from_slice(forged);
    let path = process.directory.join("y\n1  dead.segment");
    fs::write(&path, bytes).unwrap();
    // For the warning.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o622)).unwrap();
    fs::write(process.directory.join("z\n1  dead.segment"), "garbage").unwrap();
    let file = path.to_str().unwrap();
    for (arguments, lines) in [(&[][..], 3), (&[file], 7), (&["/nowhere/\n1  dead"], 0)] {
        let output = process.read(arguments);
        let (table, log) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(table.lines().count(), lines, "{table}");
        if lines > 0 {
            assert!(table.contains("  x\\n1  dead"), "{table}");
            assert!(table.contains("y\\n1  dead.segment"), "{table}");
        }
        let from_tool = |line: &str| line.starts_with("stethoscope: ");
        assert!(!log.is_empty() && log.lines().all(from_tool), "{log}");
        assert!(!table.contains("\n1  dead"), "{table}");
    }
}

#[test]
fn segment_of_others_is_shown_with_a_warning() {
    let process = Process::new("foreign");
    let pid = std::process::id().to_string();
    let copy = process.directory.join("copy.segment");
    fs::copy(process.segment.path(), &copy).unwrap();
    let file = copy.to_str().unwrap();
    let warned = |arguments: &[&str]| {
        let output = process.read(arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        text(&output.stderr).contains("what it says may be made up")
            || text(&output.stderr).contains("what they say may be made up")
    };
    assert!(!warned(&[file]));
    assert!(!warned(&[]));
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o622)).unwrap();
    assert!(warned(&[file]));
    assert!(warned(&[]));
    // The process itself has a file of its own.
    assert!(!warned(&[&pid]));
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
    match chown(&copy, Some(65_534), None) {
        Ok(()) => {
            assert!(warned(&[file]));
            assert!(warned(&[]));
            assert!(!warned(&[&pid]));
            fs::remove_file(process.segment.path()).unwrap();
            assert!(warned(&[&pid]));
        }
        Err(error) => println!("skipped: a file of another user: {error}"),
    }
}

#[test]
fn watch_shows_changes_until_the_process_is_dead() {
    let process = Process::new("watch");
    // A copy of a dead process is shown once.
    let copy = process.directory.join("copy.segment");
    fs::copy(process.segment.path(), &copy).unwrap();
    let arguments = [copy.to_str().unwrap(), "--watch", "--interval", "1ms"];
    let output = process.read(&arguments);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("dead"));

    let file = process.segment.path().display().to_string();
    let mut watching = process
        .tool(&[
            &file,
            "--watch",
            "--interval",
            "1ms",
            "--format",
            "prometheus",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the tool starts");
    let mut output = std::io::BufReader::new(watching.stdout.take().unwrap());
    let start = Instant::now();
    let mut line = String::new();
    let mut next = 4;
    while next < 20 {
        process.jobs.inc();
        loop {
            line.clear();
            std::io::BufRead::read_line(&mut output, &mut line).unwrap();
            assert!(start.elapsed() < Duration::from_secs(60), "{line}");
            if line == format!("jobs_total {next}\n") {
                break;
            }
        }
        next += 1;
    }
    watching.kill().unwrap();
    watching.wait().unwrap();
}
