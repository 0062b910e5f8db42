//! `stethoscope serve`, as Prometheus meets it.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

#[path = "support/directory.rs"]
mod directory;
#[path = "support/segments.rs"]
mod segments;

use directory::Directory;
use segments::{eventually, process_of_this_test};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use stethoscope::exposition::Format;
use stethoscope::exposition::validate::validate;
use stethoscope::segment::{self, Segment};
use stethoscope::{Handle, Registry, cell::Counter};

/// A running agent, which is killed in the end.
struct Agent {
    process: Child,
    address: String,
    /// What it writes to standard error.
    log: Arc<Mutex<String>>,
}

/// Returns the command of an agent.
fn command(directory: &Directory, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stethoscope"));
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--dir"])
        .arg(directory.path())
        .args(arguments)
        .stderr(Stdio::piped());
    command
}

impl Agent {
    fn start(directory: &Directory, arguments: &[&str]) -> Self {
        let mut process = command(directory, arguments)
            .spawn()
            .expect("the tool starts");
        let stderr = BufReader::new(process.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        let written = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                *written.lock().unwrap() += &(line + "\n");
            }
        });
        let mut address = None;
        eventually("it serves", || {
            assert!(process.try_wait().unwrap().is_none(), "{log:?}");
            let log = log.lock().unwrap();
            let line = log
                .lines()
                .find_map(|line| line.strip_prefix("stethoscope: serving at http://"));
            address = line.map(|address| address.trim_end_matches('/').to_owned());
            address.is_some()
        });
        Self {
            process,
            address: address.unwrap(),
            log,
        }
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Sends a request. Returns status and body.
    fn request(&self, method: &str, path: &str) -> (u16, String) {
        let mut client = TcpStream::connect(&self.address).unwrap();
        write!(client, "{method} {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut response = String::new();
        client.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").expect("a whole response");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    /// Returns a page, after checking that it is strictly valid.
    fn page(&self, path: &str) -> String {
        let (status, page) = self.request("GET", path);
        assert_eq!(status, 200, "{path}: {page}");
        validate(&page, Format::Text).unwrap_or_else(|error| panic!("{error}\n{page}"));
        page
    }

    /// Checks that a path has a page, or is the list of targets.
    fn page_or_list(&self, path: &str) {
        match path {
            "/metrics/targets" => assert_eq!(self.status(path), 200),
            _ => drop(self.page(path)),
        }
    }

    fn status(&self, path: &str) -> u16 {
        self.request("GET", path).0
    }

    /// Returns the labels of the target with this path.
    fn target(&self, path: &str) -> Option<serde_json::Value> {
        let (status, list) = self.request("GET", "/metrics/targets");
        assert_eq!(status, 200);
        let list: serde_json::Value = serde_json::from_str(&list).unwrap();
        let targets = list.as_array().unwrap();
        let target = targets
            .iter()
            .find(|target| target["labels"]["__metrics_path__"] == path)?;
        assert_eq!(target["targets"], serde_json::json!([self.address]));
        Some(target["labels"].clone())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A segment of this process.
struct Process {
    segment: Segment,
    registry: Registry,
    jobs: Handle<Counter>,
}

impl Process {
    fn new(directory: &Path) -> Self {
        let segment = Segment::in_dir(directory).unwrap();
        let registry = Registry::in_segment(&segment);
        let jobs = registry.counter("jobs_total", "Jobs.").unwrap();
        Self {
            segment,
            registry,
            jobs,
        }
    }

    fn id(&self) -> String {
        id(&self.segment.path())
    }
}

fn id(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

/// Starts a process that counts to 41 and waits, and returns it with the id of its
/// segment.
fn spawn(directory: &Directory) -> (Child, String) {
    let mut child = process_of_this_test()
        .env("SERVE_DIRECTORY", directory.path())
        .stdout(Stdio::piped())
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut lines = output.lines().map_while(Result::ok);
    let path = lines.find_map(|line| line.strip_prefix("ready ").map(PathBuf::from));
    (child, id(&path.expect("it began")))
}

/// The process that other tests start.
#[test]
#[ignore = "other tests run it"]
fn process_of_a_test() {
    let Ok(directory) = std::env::var("SERVE_DIRECTORY") else {
        return;
    };
    let process = Process::new(Path::new(&directory));
    process.jobs.inc_by(41);
    println!("\nready {}", process.segment.path().display());
    // Until the test closes it, or kills this process.
    let _ = std::io::stdin().read(&mut [0]);
}

fn kill(child: &Child, signal: i32) {
    // SAFETY: a child of this process, which was not waited for.
    assert_eq!(unsafe { libc::kill(child.id().cast_signed(), signal) }, 0);
}

#[test]
fn each_process_has_a_page_and_a_target() {
    let directory = Directory::to_create_in_memory("serve-pages");
    let agent = Agent::start(&directory, &[]);
    let processes = [
        Process::new(directory.path()),
        Process::new(directory.path()),
    ];
    for (n, process) in processes.iter().enumerate() {
        process.jobs.inc_by(n as u64 + 3);
        // At once, though the agent has not looked yet.
        let page = agent.page(&format!("/process/{}", process.id()));
        assert!(
            page.contains(&format!("\njobs_total {}\n", n + 3)),
            "{page}"
        );
        assert!(page.contains("\nstethoscope_process_alive 1\n"), "{page}");
        process.jobs.inc();
        let page = agent.page(&format!("/process/{}", process.id()));
        assert!(
            page.contains(&format!("\njobs_total {}\n", n + 4)),
            "{page}"
        );
    }
    for process in &processes {
        let id = process.id();
        let path = format!("/process/{id}");
        eventually("it is listed", || agent.target(&path).is_some());
        let labels = agent.target(&path).unwrap();
        assert_eq!(labels["instance"], format!("{}/{id}", agent.address));
        let pid = std::process::id().to_string();
        assert_eq!(labels["__meta_stethoscope_pid"], pid);
        assert_eq!(agent.status(&format!("/postmortem/{id}")), 404);
    }
    let page = agent.page("/metrics");
    let running = "\nstethoscope_agent_processes{state=\"running\"} 2\n";
    assert!(page.contains(running), "{page}");
    let (status, body) = agent.request("HEAD", &format!("/process/{}", processes[0].id()));
    assert_eq!((status, body.as_str()), (200, ""));
    for path in [
        "/process/",
        "/process/none",
        "/process/../x",
        "/group/none",
        "/else",
    ] {
        let (status, body) = agent.request("GET", path);
        assert_eq!(status, 404, "{path}");
        assert!(body.contains("href=\"/metrics/targets\""), "{body}");
    }
    let (status, index) = agent.request("GET", "/");
    assert_eq!(status, 200);
    for path in ["/process/ID", "/postmortem/ID", "/group/NAME"] {
        assert!(index.contains(path), "{index}");
    }
}

#[test]
fn index_and_missing_pages_have_links_to_all_pages() {
    let directory = Directory::to_create_in_memory("serve-index");
    let agent = Agent::start(&directory, &["--merge", "web"]);
    let process = Process::new(directory.path());
    let (mut child, dead) = spawn(&directory);
    child.kill().unwrap();
    child.wait().unwrap();
    let program = std::env::args().next().unwrap();
    let program = program.rsplit('/').next().unwrap().to_owned();
    let links = [
        ("/metrics".to_owned(), "the agent itself"),
        ("/metrics/targets".to_owned(), "the list of all targets"),
        ("/group/web".to_owned(), "one page"),
        (
            format!("/process/{}", process.id()),
            &format!("running  {program}"),
        ),
        (format!("/postmortem/{dead}"), &format!("dead  {program}")),
    ];
    for (page, status) in [("/", 200), ("/else", 404), ("/process/none", 404)] {
        for (path, words) in &links {
            let line = format!("\n<a href=\"{path}\">{path}</a>  {words}");
            eventually("it has the link", || {
                agent.request("GET", page).1.contains(&line)
            });
            agent.page_or_list(path);
        }
        assert_eq!(agent.status(page), status);
    }
    let (status, body) = agent.request("GET", &format!("/process/{dead}"));
    assert_eq!(status, 503);
    assert!(body.ends_with(&format!(" /postmortem/{dead}\n")), "{body}");
}

#[test]
fn rule_for_a_gauge_that_no_group_has_is_logged() {
    let directory = Directory::to_create_in_memory("serve-rules");
    let rules = [
        "--gauge",
        "open=sum",
        "--gauge",
        "opne=sum",
        "--gauge",
        "jobs_total=max",
    ];
    let arguments = [&["--merge", "web", "--merge", "mail"][..], &rules].concat();
    let agent = Agent::start(&directory, &arguments);
    let processes = ["web", "mail"].map(|group| Process::new(&directory.path().join(group)));
    processes[1].registry.gauge("open", "").unwrap().set(1);
    // The second is a counter.
    for name in ["opne", "jobs_total"] {
        let line = format!("stethoscope: --gauge {name}=RULE has no effect so far");
        eventually("it is logged", || agent.log().contains(&line));
    }
    assert!(!agent.log().contains("--gauge open="), "{}", agent.log());
}

#[test]
fn problems_of_groups_are_logged_once_with_names_and_reasons() {
    let directory = Directory::to_create_in_memory("serve-problems");
    let group = directory.path().join("web");
    let web = &group;
    let agent = Agent::start(&directory, &["--merge", "web"]);
    let [first, second] = ["a", "b"].map(|label| {
        let process = Process::new(web);
        let sent = process.registry.counter_family("sent_total", "", [label]);
        sent.unwrap().with(["x"]).unwrap().inc();
        process
    });
    let bytes = fs::read(first.segment.path()).unwrap();
    let cut = web.join("9999-1.segment");
    fs::write(&cut, &bytes[..600 * 8]).unwrap();
    // As if its process lived, so that it is not removed.
    let held = fs::File::open(&cut).unwrap();
    // SAFETY: the descriptor is open.
    assert_eq!(unsafe { libc::flock(held.as_raw_fd(), libc::LOCK_EX) }, 0);
    fs::write(web.join("garb\nage.segment"), "something else").unwrap();
    symlink(first.segment.path(), web.join("link.segment")).unwrap();
    let web = web.display();
    let lines = [
        format!("{web}/garb\\nage.segment: the file is not a segment\n"),
        format!("{web}/link.segment: this is a symbolic link"),
        format!("stethoscope: {web}/9999-1.segment is damaged: its group has"),
        format!("stethoscope: {web}: the family sent_total of some processes is left out"),
    ];
    for line in &lines {
        eventually("it is logged", || agent.log().contains(line));
    }
    for _ in 0..3 {
        agent.page("/group/web");
    }
    // A look that has begun after those scrapes has logged nothing more.
    let process = Process::new(directory.path());
    let path = format!("/process/{}", process.id());
    eventually("it looks", || agent.target(&path).is_some());
    for line in &lines {
        assert_eq!(agent.log().matches(line).count(), 1, "{}", agent.log());
    }
    // A group that cannot be read.
    drop((first, second));
    eventually("it is removed", || fs::remove_dir_all(&group).is_ok());
    fs::write(&group, "").unwrap();
    let failure = format!("stethoscope: {web}: Not a directory");
    eventually("it is logged", || agent.log().contains(&failure));
    assert_eq!(agent.status("/group/web"), 503);
    let errors = "\nstethoscope_agent_group_errors_total{group=\"web\"} ";
    assert!(agent.page("/metrics").contains(errors));
}

#[test]
fn directory_that_is_replaced_is_locked_again() {
    let directory = Directory::to_create_in_memory("serve-replaced");
    let arguments = ["--merge", "web"];
    let agent = Agent::start(&directory, &arguments);
    let web = directory.path().join("web");
    let count = |expected: u64| {
        let member = Process::new(&web);
        member.jobs.inc_by(expected);
        drop(member);
        let line = format!("\njobs_total {expected}\n");
        eventually("the sums are those of the new directory", || {
            let (status, page) = agent.request("GET", "/group/web");
            status == 200 && page.contains(&line)
        });
        // Once the file is removed, its counts are in the sums.
        eventually("the file is removed", || {
            segment::list(&web).unwrap().is_empty()
        });
        assert!(agent.page("/group/web").contains(&line));
        for merge in [&[][..], &arguments] {
            let second = command(&directory, merge).output().unwrap();
            assert_eq!(second.status.code(), Some(2), "{second:?}");
        }
    };
    count(2);
    // The agent may make the group's directory while that around it is being removed.
    let remove = || {
        eventually("it is removed", || {
            fs::remove_dir_all(directory.path()).is_ok()
        });
    };
    // Only the group; all of it; and all of it, made by another.
    fs::remove_dir_all(&web).unwrap();
    count(3);
    remove();
    eventually("it is made", || web.exists());
    count(4);
    remove();
    let process = Process::new(directory.path());
    let path = format!("/process/{}", process.id());
    eventually("it is served", || agent.status(&path) == 200);
    eventually("the group is made", || web.exists());
    count(5);
    for line in [
        " was removed or replaced: serving the new one",
        "/web was removed or replaced: its sums begin again",
    ] {
        eventually("it is logged", || agent.log().contains(line));
    }
}

#[test]
fn agent_ends_if_another_one_has_the_new_directory() {
    let directory = Directory::to_create_in_memory("serve-lost");
    let mut agent = Agent::start(&directory, &["--merge", "web"]);
    let lost = directory.path().with_extension("lost");
    fs::rename(directory.path(), &lost).unwrap();
    let other = segment::DirectoryLock::acquire(directory.path());
    let mut status = None;
    eventually("it ends", || {
        status = agent.process.try_wait().unwrap();
        // The agent may have been first, and made the directory.
        status.is_some() || other.is_err()
    });
    fs::remove_dir_all(&lost).unwrap();
    if other.is_ok() {
        assert_eq!(status.and_then(|status| status.code()), Some(2));
        eventually("it says why", || {
            agent.log().contains("served or merged already")
        });
        assert!(agent.log().contains(" and the new one cannot be locked\n"));
    }
}

#[test]
fn directory_that_does_not_exist_is_made_and_logged() {
    let directory = Directory::to_create_in_memory("serve-made");
    let made = format!("stethoscope: made {}, ", directory.path().display());
    let agent = Agent::start(&directory, &[]);
    assert!(agent.log().contains(&made), "{}", agent.log());
    let mode = fs::metadata(directory.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let process = Process::new(directory.path());
    process.jobs.inc();
    agent.page(&format!("/process/{}", process.id()));
    drop(agent);
    let agent = Agent::start(&directory, &[]);
    assert!(!agent.log().contains(&made), "{}", agent.log());
}

#[test]
fn stopped_process_has_a_page_that_says_so() {
    let directory = Directory::to_create_in_memory("serve-stopped");
    let agent = Agent::start(&directory, &[]);
    let (mut child, id) = spawn(&directory);
    let path = format!("/process/{id}");
    for _ in 0..5 {
        kill(&child, libc::SIGSTOP);
        let line = "stethoscope_process_state{stethoscope_process_state=\"stopped\"} 1\n";
        eventually("it stops", || agent.page(&path).contains(line));
        assert!(agent.page(&path).contains("\njobs_total 41\n"));
        kill(&child, libc::SIGCONT);
        let line = "stethoscope_process_state{stethoscope_process_state=\"running\"} 1\n";
        eventually("it goes on", || agent.page(&path).contains(line));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Returns true if the kernel tells how processes end that are no children.
fn kernel_tells_exits() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release
        .split('.')
        .map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    version >= (6, 15)
}

#[test]
fn forked_children_that_counted_nothing_are_no_deaths() {
    let directory = Directory::to_create_in_memory("serve-unused");
    let process = Process::new(directory.path());
    let fork = |jobs: u64| {
        let (mut ready, mut child) = UnixStream::pair().unwrap();
        // SAFETY: the child only counts, writes, reads and ends.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork failed");
        if pid == 0 {
            process.jobs.inc_by(jobs);
            let _ = child.write(&[1]);
            // SAFETY: waits until the signal comes, and ends with the test.
            unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                libc::pause();
                libc::_exit(1);
            }
        }
        ready.read_exact(&mut [0]).unwrap();
        pid
    };
    let children = [fork(0), fork(3)];
    let agent = Agent::start(&directory, &[]);
    let ids = children.map(|pid| {
        let files = segment::list(directory.path()).unwrap();
        let mut ids = files.iter().map(|path| id(path));
        let prefix = format!("{pid}-");
        ids.find(|id| id.starts_with(&prefix)).unwrap()
    });
    for (pid, id) in children.into_iter().zip(&ids) {
        let path = format!("/process/{id}");
        eventually("it is listed", || agent.target(&path).is_some());
        // SAFETY: a child of this process, which was not waited for.
        unsafe {
            libc::kill(pid, libc::SIGKILL);
            libc::waitpid(pid, std::ptr::null_mut(), 0);
        }
    }
    let last = ids.map(|id| format!("/postmortem/{id}"));
    eventually("it is listed", || agent.target(&last[1]).is_some());
    assert!(agent.page(&last[1]).contains("\njobs_total 3\n"));
    assert_eq!(segment::list(directory.path()).unwrap().len(), 2);
    assert!(agent.target(&last[0]).is_none());
    let page = agent.page("/metrics");
    let unseen = "\nstethoscope_agent_postmortems_unseen_total 0\n";
    assert!(page.contains(unseen), "{page}");
}

#[test]
fn killed_process_fails_and_has_a_last_page_until_it_was_scraped_twice() {
    let directory = Directory::to_create_in_memory("serve-killed");
    let agent = Agent::start(&directory, &["--keep-at-least", "1ms"]);
    let (mut child, id) = spawn(&directory);
    let (process, last) = (format!("/process/{id}"), format!("/postmortem/{id}"));
    assert!(agent.page(&process).contains("\njobs_total 41\n"));
    assert!(agent.target(&last).is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(agent.status(&process), 503);
    eventually("it is listed", || agent.target(&last).is_some());
    let labels = agent.target(&last).unwrap();
    assert_eq!(labels["job"], "stethoscope-postmortem");
    assert_eq!(labels["__meta_stethoscope_state"], "dead");
    assert!(agent.target(&process).is_some(), "its target fails");
    let page = agent.page(&last);
    let signal = match kernel_tells_exits() {
        true => "SIGKILL",
        false => "",
    };
    for line in [
        "\njobs_total 41\n",
        "\nstethoscope_process_alive 0\n",
        &format!(
            "\nstethoscope_process_exit_info{{state=\"dead\",code=\"\",signal=\"{signal}\"}} 1\n"
        ),
        "\nstethoscope_process_death_timestamp_seconds ",
    ] {
        assert!(page.contains(line), "no {line} in {page}");
    }
    let file = directory.path().join(format!("{id}.segment"));
    assert!(file.exists());
    agent.page(&last);
    eventually("its file is removed", || !file.exists());
    eventually("it is gone", || agent.status(&last) == 404);
    assert!(agent.target(&process).is_none());
    let page = agent.page("/metrics");
    assert!(
        page.contains("\nstethoscope_agent_files_removed_total 1\n"),
        "{page}"
    );
    assert!(
        page.contains("\nstethoscope_agent_postmortems_unseen_total 0\n"),
        "{page}"
    );
}

#[test]
fn last_pages_are_bounded_in_time_and_number() {
    let directory = Directory::to_create_in_memory("serve-bounds");
    for bound in [&["--keep-at-most", "1ms"][..], &["--keep-processes", "2"]] {
        let agent = Agent::start(&directory, bound);
        let ids: Vec<String> = (0..4)
            .map(|_| Process::new(directory.path()).id())
            .collect();
        let left = match bound[0] {
            "--keep-processes" => 2,
            _ => 0,
        };
        let count = || segment::list(directory.path()).unwrap().len();
        eventually("files are removed", || count() == left);
        let pages = ids
            .iter()
            .filter(|id| agent.status(&format!("/postmortem/{id}")) == 200);
        assert_eq!(pages.count(), left);
        drop(agent);
        let _ = segment::list(directory.path())
            .unwrap()
            .iter()
            .try_for_each(fs::remove_file);
    }
}

#[test]
fn group_has_one_page_whatever_dies() {
    let directory = Directory::to_create_in_memory("serve-group");
    let group = directory.path().join("web");
    let arguments = ["--merge", "web", "--gauge", "sum", "--gauge", "oldest=max"];
    let mut agent = Agent::start(&directory, &arguments);
    let mut expected = 0;
    for round in 0..3 {
        let processes: Vec<Process> = (0..4).map(|_| Process::new(&group)).collect();
        for (n, process) in processes.iter().enumerate() {
            process.jobs.inc_by(n as u64);
            process.registry.gauge("open", "").unwrap().set(2);
            process.registry.gauge("oldest", "").unwrap().set(n as i64);
            expected += n as u64;
        }
        let page = agent.page("/group/web");
        for line in [
            &format!("\njobs_total {expected}\n"),
            "\nopen 8\n",
            "\noldest 3\n",
            "\nstethoscope_group_processes 4\n",
            &format!("\nstethoscope_group_folded_total {}\n", 4 * round),
        ] {
            assert!(page.contains(line), "round {round}: no {line} in {page}");
        }
        assert!(agent.target("/group/web").is_some());
        let id = processes[0].id();
        assert_eq!(agent.status(&format!("/process/{id}")), 404);
        drop(processes);
        // Without a scrape, too.
        eventually("files are removed", || {
            segment::list(&group).unwrap().is_empty()
        });
        drop(agent);
        agent = Agent::start(&directory, &arguments);
        let page = agent.page("/group/web");
        assert!(
            page.contains(&format!("\njobs_total {expected}\n")),
            "{page}"
        );
        assert!(page.contains("\nstethoscope_group_processes 0\n"), "{page}");
    }
}

#[test]
fn unsafe_directories_and_second_agents_are_refused() {
    let directory = Directory::to_create_in_memory("serve-unsafe");
    let refused = |directory: &Directory, arguments: &[&str], why: &str| {
        let output = command(directory, arguments).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
    };
    let agent = Agent::start(&directory, &["--merge", "web"]);
    refused(&directory, &[], "another process");
    let twice = Directory::to_create_in_memory("serve-twice");
    let arguments = ["--merge", "a", "--merge", "b", "--merge", "a"];
    refused(&twice, &arguments, "--merge a is given twice");
    let arguments = ["--merge", "a", "--gauge", "x=sum", "--gauge", "x=max"];
    refused(&twice, &arguments, "--gauge x=RULE is given twice");
    let arguments = ["--merge", "a", "--gauge", "=sum"];
    refused(&twice, &arguments, "no name in \"=sum\"");
    refused(
        &twice,
        &["--listen", "9464"],
        "\"9464\": expected HOST:PORT",
    );
    refused(
        &twice,
        &["--listen", "no.invalid:1"],
        "address \"no.invalid:1\"",
    );
    assert!(!twice.path().exists(), "nothing was made");
    refused(&directory, &["--merge", "../web"], "invalid group");
    refused(&directory, &["--gauge", "mean"], "unknown rule");
    refused(&directory, &["--gauge", "sum"], "--merge");
    refused(&directory, &["--address", "node"], "a host and a port");
    let bounds = ["--keep-at-least", "2m", "--keep-at-most", "1m"];
    refused(&directory, &bounds, "--keep-at-least is longer");
    drop(agent);
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    refused(&directory, &[], "nobody else can write to");
    let link = Directory::to_create_in_memory("serve-link");
    symlink(directory.path(), link.path()).unwrap();
    refused(&link, &[], "this is a symbolic link, which is refused");
    fs::remove_file(link.path()).unwrap();
    let deep = Directory::to_create_in_memory("serve-none/deeper");
    refused(&deep, &[], "because the one around it does not exist");
}

#[test]
fn hostile_files_change_no_other_page() {
    let directory = Directory::to_create_in_memory("serve-hostile");
    let process = Process::new(directory.path());
    process.jobs.inc_by(3);
    let file = process.segment.path();
    let bytes = fs::read(&file).unwrap();
    let path = |name: &str| directory.path().join(format!("{name}.segment"));
    fs::write(path("garbage"), "something else").unwrap();
    symlink(&file, path("symlink")).unwrap();
    fs::write(path("no path"), &bytes).unwrap();
    fs::write(path("writable"), &bytes).unwrap();
    fs::set_permissions(path("writable"), fs::Permissions::from_mode(0o622)).unwrap();
    // A terabyte that takes no memory.
    fs::write(path("long"), &bytes).unwrap();
    let long = fs::OpenOptions::new()
        .write(true)
        .open(path("long"))
        .unwrap();
    long.set_len(1 << 40).unwrap();
    let mut reasons = vec![
        ("garbage", "the file is not a segment"),
        ("symlink", "symbolic link"),
        ("no path", "expected a name"),
        ("writable", "nobody else can write to"),
        ("long", "longer than 256 MiB"),
    ];
    fs::write(path("foreign"), &bytes).unwrap();
    match chown(path("foreign"), Some(65_534), None) {
        Ok(()) => reasons.push(("foreign", "a file of this user's")),
        Err(error) => {
            println!("skipped: a file of another user: {error}");
            fs::remove_file(path("foreign")).unwrap();
        }
    }
    let mut old = bytes.clone();
    // Word 10: the boot.
    old[80..88].copy_from_slice(&5_u64.to_ne_bytes());
    fs::write(path("old"), old).unwrap();
    reasons.push(("old", "from before the last boot"));
    let agent = Agent::start(&directory, &["--keep-at-most", "60m"]);
    let own = format!("/process/{}", process.id());
    assert!(agent.page(&own).contains("\njobs_total 3\n"));
    let metrics = agent.page("/metrics");
    let line = format!("\nstethoscope_agent_files_refused {}\n", reasons.len());
    assert!(metrics.contains(&line), "{metrics}");
    // Each is named once, with the reason.
    for (name, reason) in &reasons {
        let start = format!("stethoscope: {name}.segment is not served: ");
        eventually("it is logged", || agent.log().contains(&start));
        let log = agent.log();
        let line = log.lines().find(|line| line.starts_with(&start)).unwrap();
        assert!(line.contains(reason), "{line}");
    }
    // Later looks say nothing more.
    let looks = agent.log();
    for _ in 0..3 {
        agent.status("/process/none");
    }
    assert_eq!(looks, agent.log());
    assert_eq!(looks.matches(" is not served: ").count(), reasons.len());
    // Damaged at many places, and cut: served as far as they go.
    for round in 0..40_usize {
        let mut damaged = bytes.clone();
        let at = 512 * 8 + round * 997 % (bytes.len() - 512 * 8);
        damaged[at] ^= 1 << (round % 8);
        damaged.truncate(bytes.len() - round * 13 % (bytes.len() / 2));
        let name = format!("damaged-{round}");
        fs::write(path(&name), damaged).unwrap();
        agent.page(&format!("/postmortem/{name}"));
        assert!(agent.page(&own).contains("\njobs_total 3\n"));
    }
}

#[test]
fn damaged_segments_say_so_on_their_page_in_the_log_and_in_a_metric() {
    let directory = Directory::to_create_in_memory("serve-damaged");
    let process = Process::new(directory.path());
    let whole = format!("/process/{}", process.id());
    let bytes = fs::read(process.segment.path()).unwrap();
    let agent = Agent::start(&directory, &[]);
    let page = agent.page(&whole);
    assert!(page.contains("\nstethoscope_segment_damaged 0\n"), "{page}");
    // Cut within the log, and within the header of its chunk.
    for (id, len) in [("9999-1", 600 * 8), ("9999-2", 512 * 8 + 8)] {
        fs::write(
            directory.path().join(format!("{id}.segment")),
            &bytes[..len],
        )
        .unwrap();
        let page = agent.page(&format!("/postmortem/{id}"));
        assert!(page.contains("\nstethoscope_segment_damaged 1\n"), "{page}");
        assert!(!page.contains("\njobs_total "), "{page}");
        let line = format!("stethoscope: {id}.segment is damaged: its page ends where");
        eventually("it is logged", || agent.log().contains(&line));
    }
    let damaged = "\nstethoscope_agent_files_damaged 2\n";
    eventually("it is counted", || agent.page("/metrics").contains(damaged));
    // A page that was whole, and is cut afterwards.
    let cut = directory.path().join("9999-3.segment");
    fs::write(&cut, &bytes).unwrap();
    let held = fs::OpenOptions::new().write(true).open(&cut).unwrap();
    // SAFETY: the descriptor is open. The lock is that of a process that lives.
    assert_eq!(unsafe { libc::flock(held.as_raw_fd(), libc::LOCK_EX) }, 0);
    let page = agent.page("/process/9999-3");
    assert!(page.contains("\njobs_total 0\n"), "{page}");
    held.set_len(512 * 8 + 256).unwrap();
    let page = agent.page("/process/9999-3");
    assert!(page.contains("\nstethoscope_segment_damaged 1\n"), "{page}");
    let lines = || agent.log().matches(" is damaged: ").count();
    eventually("it is logged", || lines() == 3);
    // Another look logs nothing more.
    let process = Process::new(directory.path());
    let path = format!("/process/{}", process.id());
    eventually("it looks", || agent.target(&path).is_some());
    assert_eq!(lines(), 3);
}

#[test]
fn command_lines_are_shown_only_on_demand() {
    let directory = Directory::to_create_in_memory("serve-commands");
    let process = Process::new(directory.path());
    let path = format!("/process/{}", process.id());
    let whole = {
        let bytes = fs::read("/proc/self/cmdline").unwrap();
        let text = String::from_utf8(bytes).unwrap();
        text.trim_end_matches('\0').replace('\0', " ")
    };
    let program = std::env::args().next().unwrap();
    let program = program.rsplit('/').next().unwrap().to_owned();
    for (arguments, command) in [(&[][..], &program), (&["--show-commands"], &whole)] {
        let agent = Agent::start(&directory, arguments);
        let labels = agent.target(&path).unwrap();
        assert_eq!(labels["__meta_stethoscope_command"], **command);
    }
}

#[test]
fn pid_that_is_used_again_is_another_process() {
    let directory = Directory::to_create_in_memory("serve-reused");
    let process = Process::new(directory.path());
    let mut bytes = fs::read(process.segment.path()).unwrap();
    // Word 8: the time at which the process was started.
    bytes[64..72].copy_from_slice(&1_u64.to_ne_bytes());
    let old = directory.path().join("1-1.segment");
    fs::write(&old, bytes).unwrap();
    // As if a child of the old process held its file.
    let held = fs::File::open(&old).unwrap();
    // SAFETY: the descriptor is open.
    assert_eq!(unsafe { libc::flock(held.as_raw_fd(), libc::LOCK_EX) }, 0);
    let agent = Agent::start(&directory, &[]);
    assert_eq!(agent.status("/process/1-1"), 503);
    let page = agent.page("/postmortem/1-1");
    assert!(page.contains("\nstethoscope_process_alive 0\n"), "{page}");
    // Nobody knows how it ended: the process of this id lives.
    let exit = "\nstethoscope_process_exit_info{state=\"dead\",code=\"\",signal=\"\"} 1\n";
    assert!(page.contains(exit), "{page}");
    let own = agent.page(&format!("/process/{}", process.id()));
    assert!(own.contains("\nstethoscope_process_alive 1\n"), "{own}");
}

#[test]
fn processes_killed_and_stopped_at_random_instants_have_valid_pages() {
    let directory = Directory::to_create_in_memory("serve-random");
    let agent = Agent::start(&directory, &["--keep-at-least", "1ms"]);
    for death in 0..10_u64 {
        let (mut child, id) = spawn(&directory);
        let stopped = death % 2 == 0;
        if stopped {
            kill(&child, libc::SIGSTOP);
        }
        assert!(
            agent
                .page(&format!("/process/{id}"))
                .contains("\njobs_total 41\n")
        );
        // Not SIGQUIT, which the background jobs of a shell ignore.
        let signals = [
            (libc::SIGKILL, "SIGKILL"),
            (libc::SIGABRT, "SIGABRT"),
            (libc::SIGTERM, "SIGTERM"),
        ];
        let (signal, name) = signals[(death % 3) as usize];
        kill(&child, signal);
        if stopped {
            kill(&child, libc::SIGCONT);
        }
        child.wait().unwrap();
        assert_eq!(agent.status(&format!("/process/{id}")), 503);
        let page = agent.page(&format!("/postmortem/{id}"));
        assert!(page.contains("\njobs_total 41\n"), "{page}");
        if kernel_tells_exits() {
            assert!(page.contains(&format!("signal=\"{name}\"}} 1\n")), "{page}");
        }
    }
}

#[test]
fn promtool_accepts_every_page() {
    let directory = Directory::to_create_in_memory("serve-promtool");
    let process = Process::new(directory.path());
    process.jobs.inc();
    let member = Process::new(&directory.path().join("web"));
    member.jobs.inc();
    let dead = Process::new(directory.path());
    let last = format!("/postmortem/{}", dead.id());
    drop(dead);
    let agent = Agent::start(&directory, &["--merge", "web"]);
    let own = format!("/process/{}", process.id());
    for path in ["/metrics", "/group/web", &own, &last] {
        let page = agent.page(path);
        let promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut promtool) = promtool else {
            assert!(std::env::var_os("CI").is_none(), "promtool is needed in CI");
            eprintln!("skipped: there is no promtool");
            return;
        };
        let mut stdin = promtool.stdin.take().unwrap();
        stdin.write_all(page.as_bytes()).unwrap();
        drop(stdin);
        let output = promtool.wait_with_output().unwrap();
        // 3: it would name some metrics otherwise.
        let is_valid = matches!(output.status.code(), Some(0 | 3));
        assert!(is_valid, "{path}: {output:?}\n{page}");
    }
}
