//! Files of forked children that count nothing.
#![cfg(target_os = "linux")]
#![allow(unsafe_code)]

#[path = "support/directory.rs"]
mod directory;
#[path = "support/segments.rs"]
mod segments;

use directory::Directory;
use segments::{eventually, page, process_of_this_test, run_on_small_tmpfs};
use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use stethoscope::Registry;
use stethoscope::cell::Buckets;
use stethoscope::exposition::Format;
use stethoscope::segment::{self, Reader, Segment};

/// The most files that a process keeps of children that are dead and unused.
const MAX_UNUSED: usize = 8;

/// Forks, and runs `in_child` there, which must not return.
fn fork(in_child: impl FnOnce()) -> i32 {
    // SAFETY: the child only calls `in_child` and ends, and the allocator of the C library
    // may be used after a fork.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork failed");
    if child == 0 {
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(in_child));
        // SAFETY: ends the child without running the parent's handlers.
        unsafe { libc::_exit(7) };
    }
    child
}

/// Waits for a child. Returns its status.
fn wait(child: i32) -> i32 {
    let mut status = 0;
    // SAFETY: a child of this process, which was not waited for.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    status
}

/// Ends this process without any handler.
fn exit_at_once() {
    // SAFETY: does nothing but end the process.
    unsafe { libc::_exit(0) }
}

fn kill_this_process() {
    // SAFETY: sends a signal to this process.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
}

/// Waits until this process is killed, as it is when its parent ends.
fn wait_for_a_signal() {
    // SAFETY: changes nothing but the signal that this process gets.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    loop {
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}

/// Replaces this process by another program, as `subprocess` does.
fn execute() {
    let path = c"/bin/true".as_ptr();
    let arguments = [path, std::ptr::null()];
    // SAFETY: the arguments end with a null pointer.
    unsafe { libc::execv(path, arguments.as_ptr()) };
}

/// Ends this process in an orderly way, with its handlers.
fn exit() {
    // SAFETY: the child has a single thread.
    unsafe { libc::exit(0) }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    segment::list(directory).unwrap()
}

fn read(path: &Path) -> String {
    let mut reader = Reader::open(path).unwrap();
    reader.refresh().unwrap();
    page(reader.registry(), Format::OpenMetrics)
}

/// Starts a process of this test's binary that plays a role. Returns its output.
fn play(role: &str, directory: &Directory) {
    let output = process_of_this_test()
        .env("ROLE", role)
        .env("DIRECTORY", directory.path())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}{output:?}");
    assert!(stdout.contains("\nplayed\n"), "{stdout}");
}

/// The process that other tests start.
#[test]
#[ignore = "other tests run it"]
fn process_of_a_test() {
    let Ok(role) = std::env::var("ROLE") else {
        return;
    };
    let directory = PathBuf::from(std::env::var("DIRECTORY").unwrap());
    let segment = Segment::in_dir(&directory).unwrap();
    let registry = Registry::in_segment(&segment);
    // Of each encoding, also those with a word that is not 0 in a child.
    let jobs = registry.counter("jobs_total", "Jobs.").unwrap();
    jobs.inc_by(5);
    registry.float_gauge("depth", "").unwrap().set(-1.0);
    let phase = registry.state_set("phase", "", ["a", "b"]).unwrap();
    phase.select(1);
    registry.info("about", "", [("a", "b")]).unwrap();
    let seconds = registry.histogram("seconds", "", Buckets::default());
    seconds.unwrap().observe(1.0);
    match role.as_str() {
        "unused" => {
            for ways in [exit_at_once, kill_this_process, execute, exit] {
                for _ in 0..50 {
                    wait(fork(ways));
                    let files = files(&directory).len();
                    assert!(files <= 1 + MAX_UNUSED, "{files} files");
                }
            }
            // Alive at the last fork, dead at the end.
            let children = [(); 2 * MAX_UNUSED].map(|()| fork(wait_for_a_signal));
            eventually("all have files", || {
                let files = files(&directory);
                let has_header = |path: &PathBuf| Reader::open(path).is_ok();
                files.len() > 2 * MAX_UNUSED && files.iter().all(has_header)
            });
            for child in children {
                // SAFETY: a child of this process, which was not waited for.
                unsafe { libc::kill(child, libc::SIGKILL) };
                wait(child);
            }
        }
        "orderly" => {
            // The child removes its own file; the parent has not forked often enough.
            for _ in 0..3 {
                wait(fork(exit));
                assert_eq!(files(&directory), [segment.path()]);
            }
            // A generation later, too.
            wait(fork(|| {
                wait(fork(exit));
                exit();
            }));
            assert_eq!(files(&directory), [segment.path()]);
        }
        "used" => {
            let uses: [&dyn Fn(); 5] = [
                &|| jobs.inc(),
                &|| phase.select(0),
                // Not a number, but something that was said.
                &|| drop(registry.counter("born", "").unwrap()),
                &|| segment.beat(),
                &|| assert!(registry.unregister("depth")),
            ];
            for (count, used) in uses.iter().enumerate() {
                wait(fork(|| {
                    used();
                    kill_this_process();
                }));
                // Looks at the directory.
                for _ in 0..10 {
                    wait(fork(exit_at_once));
                }
                segment::remove_unused(&directory).unwrap();
                assert_eq!(files(&directory).len(), 2 + count);
            }
            // One that lives is left alone, until it is dead.
            let child = fork(wait_for_a_signal);
            eventually("the child has a file", || {
                let files = files(&directory);
                let has_header = |path: &PathBuf| Reader::open(path).is_ok();
                files.len() == 7 && files.iter().all(has_header)
            });
            assert_eq!(segment::remove_unused(&directory).unwrap(), 0);
            assert_eq!(files(&directory).len(), 7);
            // SAFETY: a child of this process, which was not waited for.
            unsafe { libc::kill(child, libc::SIGKILL) };
            wait(child);
            assert_eq!(segment::remove_unused(&directory).unwrap(), 1);
        }
        "orphan" => {
            // Its child has no parent to clean up.
            wait(fork(|| {
                wait(fork(exit_at_once));
                kill_this_process();
            }));
            assert_eq!(files(&directory).len(), 3);
            exit_at_once_after_playing();
        }
        "small" => {
            println!("\nmounted");
            let filler = fs::File::create(directory.join("filler")).unwrap();
            // SAFETY: a descriptor that is open.
            let filled = unsafe { libc::posix_fallocate(filler.as_raw_fd(), 0, 850 << 10) };
            assert_eq!(filled, 0);
            // There is room for its file, but that is for others.
            let status = wait(fork(|| {
                jobs.inc_by(3);
                assert_eq!(jobs.get(), 3);
                assert_eq!(files(&directory), [segment.path()]);
                exit();
            }));
            assert_eq!(status, 0);
            assert_eq!(files(&directory), [segment.path()]);
            assert!(read(&segment.path()).contains("jobs_total 5\n"));
            drop((filler, Segment::in_dir(&directory).unwrap()));
            fs::remove_file(directory.join("filler")).unwrap();
            wait(fork(|| {
                jobs.inc();
                exit();
            }));
            assert_eq!(files(&directory).len(), 3);
        }
        role => panic!("no role {role}"),
    }
    println!("\nplayed");
}

/// Ends this process without its handlers, as a crash does.
fn exit_at_once_after_playing() {
    println!("\nplayed");
    exit_at_once();
}

#[test]
fn unused_files_of_dead_children_are_few_and_gone_after_the_parent() {
    let directory = Directory::to_create_in_memory("unused");
    play("unused", &directory);
    assert_eq!(files(directory.path()).len(), 1, "the parent's");
}

#[test]
fn child_that_exits_in_an_orderly_way_removes_its_unused_file() {
    let directory = Directory::to_create_in_memory("unused-orderly");
    play("orderly", &directory);
    assert_eq!(files(directory.path()).len(), 1);
}

#[test]
fn children_that_have_done_anything_keep_their_files() {
    let directory = Directory::to_create_in_memory("used");
    play("used", &directory);
    let pages: Vec<String> = files(directory.path()).iter().map(|p| read(p)).collect();
    assert_eq!(pages.len(), 6);
    let count = |line: &str| pages.iter().filter(|page| page.contains(line)).count();
    assert_eq!(count("jobs_total 5\n"), 1);
    assert_eq!(count("jobs_total 1\n"), 1);
    assert_eq!(count("born_total 0\n"), 1);
    assert_eq!(count("depth"), 5);
}

#[test]
fn next_process_of_the_directory_removes_what_orphans_have_left() {
    let directory = Directory::to_create_in_memory("unused-orphans");
    play("orphan", &directory);
    assert_eq!(files(directory.path()).len(), 3);
    let segment = Segment::in_dir(directory.path()).unwrap();
    let left = files(directory.path());
    assert_eq!(left.len(), 2, "that of the dead parent, and the new one");
    assert!(left.contains(&segment.path()));
}

#[test]
fn children_leave_a_quarter_of_the_file_system() {
    let directory = Directory::to_create_in_memory("unused-small");
    let path = directory.path();
    let environment = [("ROLE", "small"), ("DIRECTORY", path.to_str().unwrap())];
    run_on_small_tmpfs(path, 1024, &environment);
}
