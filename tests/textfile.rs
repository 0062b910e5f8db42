//! Pages in files.

#[path = "support/directory.rs"]
mod directory;

use directory::Directory;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use stethoscope::Registry;
use stethoscope::batch::write_textfile;

fn names(directory: &Directory) -> Vec<String> {
    let entries = fs::read_dir(directory.path()).expect("a directory");
    let name = |entry: fs::DirEntry| entry.file_name().into_string().expect("UTF-8");
    entries
        .map(|entry| name(entry.expect("an entry")))
        .collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a file")
}

#[test]
fn page_replaces_the_file_and_leaves_no_other() {
    let directory = Directory::new("textfile-replaces");
    let path = directory.join("job.prom");
    let registry = Registry::new();
    let runs = registry.gauge("runs", "Runs.").unwrap();
    for run in 1..=2 {
        runs.set(run);
        write_textfile(&registry, &path).unwrap();
        assert_eq!(
            read(&path),
            format!("# HELP runs Runs.\n# TYPE runs gauge\nruns {run}\n")
        );
    }
    assert_eq!(names(&directory), ["job.prom"]);
}

#[test]
fn reader_never_sees_a_part_of_a_page() {
    let directory = Directory::new("textfile-whole");
    let path = directory.join("job.prom");
    let registry = Registry::new();
    let family = registry.gauge_family("g", "", ["n"]).unwrap();
    for n in 0..2_000 {
        family.with([n.to_string()]).unwrap().set(1);
    }
    write_textfile(&registry, &path).unwrap();
    let expected = read(&path);
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        // Two writers at once do not disturb each other.
        for _ in 0..2 {
            threads.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    write_textfile(&registry, &path).unwrap();
                }
            });
        }
        for _ in 0..200 {
            // Compared without a message, which would be long.
            assert!(read(&path) == expected, "a part of a page");
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(names(&directory), ["job.prom"]);
}

#[test]
fn failure_leaves_the_old_file_and_no_other() {
    let directory = Directory::new("textfile-fails");
    let registry = Registry::new();
    let path = directory.join("missing/job.prom");
    let error = write_textfile(&registry, &path).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    let message = error.to_string();
    let start = format!("cannot write a page to {path:?}: ");
    assert!(message.starts_with(&start), "{message}");
    for path in ["/", ""] {
        let error = write_textfile(&registry, path).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot write a page to {path:?}: expected the path of a file")
        );
    }
    // A directory cannot be replaced by a file.
    let occupied = directory.join("job.prom");
    fs::create_dir(&occupied).unwrap();
    assert!(write_textfile(&registry, &occupied).is_err());
    assert_eq!(names(&directory), ["job.prom"]);
}
