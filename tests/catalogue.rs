//! The catalogue of Dask's metrics, and the page that is made of it.

#![cfg(feature = "http")]

use std::collections::HashSet;
use stethoscope::Scraper;
use stethoscope::dask::{Options, Page, PageError, PythonVersion, Role, Source, Type, catalogue};
use stethoscope::exposition::Format;

fn page(role: Role) -> Page {
    let python = PythonVersion::new("CPython", "3.12.1");
    Page::new(role, &python, &Options::default()).expect("the catalogue registers")
}

fn text(scraper: &mut Scraper) -> String {
    String::from_utf8(scraper.scrape(Format::Text).to_vec()).expect("UTF-8")
}

/// A page with every family of its role.
fn full(role: Role) -> Page {
    let page = page(role);
    for entry in catalogue(role) {
        match entry.source {
            Source::Sample => {
                let mut family = page.sampled(entry.name).expect(entry.name);
                match entry.labels {
                    [] => family.set(1.0),
                    _ => family
                        .update(|set| {
                            set("known", 1.0);
                            Ok::<_, ()>(())
                        })
                        .expect("nothing fails"),
                }
            }
            Source::Median => page.median(entry.name).expect(entry.name).observe(0.02),
            Source::Python | Source::Proc | Source::Own => {}
        }
    }
    page
}

#[test]
fn every_family_of_the_catalogue_can_be_on_the_page_as_it_says() {
    for role in [Role::Scheduler, Role::Worker] {
        let page = full(role);
        let text = text(&mut page.registry().scraper());
        let mut names = HashSet::new();
        for entry in catalogue(role) {
            assert!(names.insert(entry.name), "{} is there twice", entry.name);
            let kind = match entry.kind {
                Type::Counter => "counter",
                Type::Gauge | Type::Info => "gauge",
            };
            let head = format!(
                "# HELP {0} {1}\n# TYPE {0} {kind}\n{0}",
                entry.name, entry.help
            );
            assert!(text.contains(&head), "{head:?} is not in\n{text}");
            for state in entry.states {
                let [label] = entry.labels else {
                    panic!("{}: states are values of the only label", entry.name);
                };
                let series = format!("\n{}{{{label}=\"{state}\"}} ", entry.name);
                assert!(text.contains(&series), "{series:?} is not in\n{text}");
            }
            assert!(
                !entry.origin.is_empty(),
                "{} comes from nowhere",
                entry.name
            );
        }
    }
}

#[test]
fn a_family_that_cannot_be_sampled_leaves_until_it_can() {
    let page = page(Role::Worker);
    let mut scraper = page.registry().scraper();
    let mut threads = page.sampled("dask_worker_threads").unwrap();
    assert!(!text(&mut scraper).contains("dask_worker_threads"));
    threads.set(2.0);
    assert!(text(&mut scraper).contains("\ndask_worker_threads 2\n"));
    threads.withdraw();
    assert!(!text(&mut scraper).contains("dask_worker_threads"));
    threads.set(3.0);
    assert!(text(&mut scraper).contains("\ndask_worker_threads 3\n"));
}

#[test]
fn a_family_is_asked_for_by_role_and_source_and_only_once() {
    let page = page(Role::Scheduler);
    for other in ["dask_worker_threads", "python_info", "nonsense"] {
        let error = page.sampled(other).unwrap_err();
        assert!(matches!(error, PageError::Unknown { .. }), "{error}");
    }
    let _clients = page.sampled("dask_scheduler_clients").unwrap();
    let error = page.sampled("dask_scheduler_clients").unwrap_err();
    assert!(matches!(error, PageError::Register(_)), "{error}");
}

#[test]
fn the_age_of_the_sample_grows_until_the_next() {
    let page = page(Role::Worker);
    let mut scraper = page.registry().scraper();
    let mut age = || -> f64 {
        let text = text(&mut scraper);
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("stethoscope_sample_age_seconds "));
        line.expect("it is on every page").parse().unwrap()
    };
    page.sample_taken();
    let young = age();
    std::thread::sleep(std::time::Duration::from_millis(20));
    let old = age();
    assert!(old >= young + 0.02, "{young} then {old}");
    page.sample_taken();
    assert!(age() < old);
}

#[test]
fn the_process_is_that_of_now() {
    let page = page(Role::Worker);
    let mut scraper = page.registry().scraper();
    let mut value = |name: &str| -> f64 {
        let text = text(&mut scraper);
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.expect("it is on the page").parse().unwrap()
    };
    let before = value("process_resident_memory_bytes");
    let block = vec![1u8; 64 << 20];
    let after = value("process_resident_memory_bytes");
    assert!(after > before + 5e7, "{before} then {after}");
    assert!(value("process_virtual_memory_bytes") > after);
    drop(block);

    let fds = value("process_open_fds");
    assert!(fds >= 3.0 && fds < value("process_max_fds"));
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_secs_f64();
    let start = value("process_start_time_seconds");
    assert!(
        start > now - 3600.0 && start < now + 1.0,
        "{start} at {now}"
    );
    assert!(value("process_cpu_seconds_total") > 0.0);
}
