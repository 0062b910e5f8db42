//! Forks of a process whose other threads register, remove and scrape.
#![cfg(unix)]
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use stethoscope::cell::{Cell, Number};
use stethoscope::exposition::Format;
use stethoscope::family::{Metric, Shape};
use stethoscope::{MetricType, Registry};

/// Forks, and runs `in_child` there. Returns false if that panics, or does not
/// finish within `limit`; the child is then killed.
fn fork(limit: Duration, in_child: impl FnOnce()) -> bool {
    // SAFETY: the child only calls `in_child` and `_exit`, and the allocator of the
    // C library may be used after a fork.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork failed");
    if child == 0 {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(in_child));
        // SAFETY: ends the child without running the parent's handlers.
        unsafe { libc::_exit(i32::from(result.is_err())) };
    }
    let start = Instant::now();
    let mut status = 0;
    loop {
        // SAFETY: `child` is a child of this process that was not waited for.
        match unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } {
            0 if start.elapsed() > limit => {
                // SAFETY: as above.
                unsafe {
                    libc::kill(child, libc::SIGKILL);
                    libc::waitpid(child, &mut status, 0);
                }
                return false;
            }
            0 => std::thread::sleep(Duration::from_micros(200)),
            waited => {
                return (waited, status) == (child, 0);
            }
        }
    }
}

#[test]
fn forked_child_can_use_what_other_threads_were_changing() {
    const FORKS: usize = 300;
    let registry = Registry::new();
    let family = registry.counter_family("churned", "", ["n"]).unwrap();
    let kept = registry.counter("kept", "").unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..3u64 {
            let (registry, family, done) = (&registry, &family, &done);
            scope.spawn(move || {
                let name = format!("own_{thread}");
                for round in (0..).take_while(|_| !done.load(Ordering::Relaxed)) {
                    let n = (round % 50).to_string();
                    family.with([&*n]).unwrap().inc();
                    family.remove([&*n]);
                    registry.gauge(&name, "").unwrap();
                    registry.unregister(&name);
                }
            });
        }
        scope.spawn(|| {
            let mut scraper = registry.scraper();
            while !done.load(Ordering::Relaxed) {
                scraper.scrape(Format::Text);
            }
        });
        let mut failed = 0;
        for _ in 0..FORKS {
            let finished = fork(Duration::from_secs(10), || {
                kept.inc();
                family.with(["child"]).unwrap().inc();
                assert!(family.remove(["child"]));
                registry.gauge("child", "").unwrap().set(1);
                let mut scraper = registry.scraper();
                assert!(scraper.scrape(Format::Text).ends_with(b"\nchild 1\n"));
                Registry::new().counter("c", "").unwrap().inc();
            });
            failed += usize::from(!finished);
            if failed == 3 {
                break;
            }
        }
        done.store(true, Ordering::Relaxed);
        assert_eq!(failed, 0, "children that hung or panicked");
    });
    assert_eq!(kept.get(), 0, "children have a copy");
}

#[test]
fn forked_child_can_fork() {
    let registry = Registry::new();
    let counter = registry.counter_family("c", "", ["x"]).unwrap();
    assert!(fork(Duration::from_secs(30), || {
        counter.with(["1"]).unwrap().inc();
        assert!(fork(Duration::from_secs(20), || {
            counter.with(["2"]).unwrap().inc();
            assert_eq!(counter.len(), 2);
        }));
        assert_eq!(counter.len(), 1);
    }));
}

/// Counts how many of it were dropped.
struct Dropped;

static DROPPED: AtomicUsize = AtomicUsize::new(0);

impl Drop for Dropped {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

impl Cell for Dropped {
    type Options = ();

    fn from_options((): &()) -> Self {
        Self
    }

    fn width((): &()) -> usize {
        1
    }

    fn read(&self, into: &mut [u64]) {
        into[0] = 0;
    }
}

impl Metric for Dropped {
    const TYPE: MetricType = MetricType::Gauge;

    fn shape((): &()) -> Shape {
        Shape::Single(Number::U64)
    }
}

#[test]
fn forked_child_frees_series_though_a_look_up_was_under_way() {
    let registry = Registry::new();
    let family = registry.family::<Dropped>("g", "").labels(["x"]);
    let family = family.register().unwrap();
    family.with(["looked at"]).unwrap();
    family.with(["removed"]).unwrap();
    let (found, is_found) = std::sync::mpsc::channel();
    let (finish, is_finished) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let family = &family;
        scope.spawn(move || {
            family.update(["looked at"], |_| {
                found.send(()).unwrap();
                is_finished.recv().unwrap();
            })
        });
        is_found.recv().unwrap();
        let finished = fork(Duration::from_secs(30), || {
            assert!(family.remove(["removed"]));
            assert_eq!(DROPPED.load(Ordering::Relaxed), 1);
        });
        // In the parent the look-up goes on, so the series may be in use.
        let removed = family.remove(["removed"]);
        let dropped = DROPPED.load(Ordering::Relaxed);
        finish.send(()).unwrap();
        assert_eq!((finished, removed, dropped), (true, true, 0));
    });
}

#[test]
fn fork_within_an_update_leaves_the_update_intact() {
    let registry = Registry::new();
    let family = registry.counter_family("c", "", ["x"]).unwrap();
    family.with(["1"]).unwrap();
    let update = || {
        family.update(["1"], |counter| {
            let finished = fork(Duration::from_secs(30), || {
                family.remove(["1"]);
                counter.inc();
                assert_eq!(counter.get(), 1);
            });
            assert!(finished);
            counter.inc_by(5);
        })
    };
    update().unwrap();
    assert_eq!(family.get(["1"]).unwrap().get(), 5);
}
