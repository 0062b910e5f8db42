//! Segments that anybody may have written: no page is spoiled, no other count changes.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use stethoscope::Registry;
use stethoscope::exposition::Format;
use stethoscope::exposition::validate::validate;
use stethoscope::segment::{Group, Reader, Segment};

/// The bytes of a segment's header.
const HEADER: usize = 512 * 8;
/// The header's word that refers to the log.
const ROOT: std::ops::Range<usize> = 24..32;

/// Reads a segment with a sound header. The input is the header's `ROOT`, then all that
/// comes after the header.
pub(crate) fn hold(input: &[u8]) {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let name = format!("stethoscope-hostile-{}-{call}", std::process::id());
    let directory = Path::new("/dev/shm").join(name);
    let _ = fs::remove_dir_all(&directory);
    hold_in(&directory, input);
    fs::remove_dir_all(&directory).expect("a directory of the property");
}

fn hold_in(directory: &Path, input: &[u8]) {
    let honest = Segment::in_dir(directory).expect("a segment");
    let registry = Registry::in_segment(&honest);
    let counter = registry.counter("count_of_the_honest_one_total", "");
    counter.expect("a new registry").inc_by(3);
    let mut bytes = fs::read(honest.path()).expect("a readable file");
    bytes.truncate(HEADER);
    let (root, rest) = input
        .split_at_checked(ROOT.len())
        .unwrap_or((&[0; 8], input));
    bytes[ROOT].copy_from_slice(root);
    bytes.extend_from_slice(rest);
    let hostile = directory.join("1-1.segment");
    fs::write(&hostile, bytes).expect("a writable directory");

    let mut reader = Reader::open_untrusted(&hostile).expect("the header is sound");
    for _ in 0..2 {
        reader.refresh().expect("nobody changes the file");
        check(reader.page());
    }
    drop(reader);

    let mut group = Group::in_dir(directory).expect("a new group");
    let mut totals = Vec::new();
    for _ in 0..2 {
        group.refresh().expect("there is room for the totals");
        totals.push(totals_of(&group));
        check(group.page());
        assert!(
            !hostile.exists(),
            "it is nobody's, so it is a dead process'"
        );
    }
    drop(group);
    let mut group = Group::in_dir(directory).expect("its own totals");
    group.refresh().expect("as before");
    totals.push(totals_of(&group));
    for page in &totals {
        let line = "count_of_the_honest_one_total 3";
        assert!(page.iter().any(|other| other == line), "{page:?}");
        assert_eq!(page, &totals[0], "totals stay");
    }
}

/// Checks the pages of a group. Returns the lines of one of them that no fork changes: a
/// child that another test forks has a file of its own in each directory, and ends.
fn totals_of(group: &Group) -> Vec<String> {
    let mut page = check(group.registry());
    page.retain(|line| !line.starts_with("stethoscope_group_folded_total "));
    page
}

/// Checks pages of a registry. Returns the sorted lines of one of them.
fn check(registry: &Registry) -> Vec<String> {
    let mut scraper = registry.scraper();
    for format in [Format::Text1, Format::OpenMetrics, Format::Text] {
        let page = scraper.scrape(format).to_vec();
        let page = String::from_utf8(page).expect("pages are UTF-8");
        validate(&page, format).unwrap_or_else(|error| panic!("{error}\n{page}"));
        if format == Format::Text {
            let mut lines: Vec<String> = page.lines().map(str::to_owned).collect();
            lines.sort();
            return lines;
        }
    }
    Vec::new()
}
