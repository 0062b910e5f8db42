//! Making, finding and removing series, also from many threads at once.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;
use stethoscope::MetricType;
use stethoscope::cell::{Cell, Number};
use stethoscope::exposition::Format;
use stethoscope::family::{Metric, Shape};
use stethoscope::{Family, Registry, SeriesError};

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

fn sample_lines(registry: &Registry) -> Vec<String> {
    let page = registry.scraper().scrape(Format::Text).to_vec();
    let page = String::from_utf8(page).expect("a page is UTF-8");
    page.lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_series_made_again_is_a_new_series() -> Result {
    let registry = Registry::new();
    let family = registry.counter_family("c", "", ["x"])?;
    let old = family.with(["1"])?;
    old.inc_by(5);
    assert!(family.remove(["1"]));
    assert!(!family.remove(["1"]));
    assert!(family.get(["1"]).is_none());
    old.inc();
    assert_eq!(sample_lines(&registry), [""; 0]);
    let new = family.with(["1"])?;
    new.inc();
    old.inc();
    assert_eq!(sample_lines(&registry), ["c_total{x=\"1\"} 1"]);
    assert_eq!(old.get(), 7);
    Ok(())
}

/// Looks at its own family when it is dropped.
struct Nosy;

static NOSY: OnceLock<Family<Nosy>> = OnceLock::new();

impl Drop for Nosy {
    fn drop(&mut self) {
        if let Some(family) = NOSY.get() {
            family.len();
        }
    }
}

impl Cell for Nosy {
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

impl Metric for Nosy {
    const TYPE: MetricType = MetricType::Gauge;

    fn shape((): &()) -> Shape {
        Shape::Single(Number::U64)
    }
}

#[test]
fn a_cell_of_ones_own_may_do_anything_when_it_is_dropped() -> Result {
    let registry = Registry::new();
    let family = registry.family::<Nosy>("nosy", "").labels(["x"]);
    let family = NOSY.get_or_init(|| family.register().unwrap());
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        let mut scraper = registry.scraper();
        let removals: [fn(&Family<Nosy>); 3] = [
            |family| assert!(family.remove(["1"])),
            |family| assert_eq!(family.retain(|_| false), 1),
            |family| assert_eq!(family.remove_matching([("x", "1")]), 1),
        ];
        for remove in removals {
            family.with(["1"]).unwrap();
            scraper.scrape(Format::Text);
            remove(family);
            scraper.scrape(Format::Text);
        }
        done.send(())
    });
    // It would wait for itself for ever.
    is_done.recv_timeout(Duration::from_secs(60))?;
    Ok(())
}

#[test]
fn removing_by_part_of_the_labels_leaves_the_rest() -> Result {
    let registry = Registry::new();
    let family = registry.gauge_family("g", "", ["worker", "state"])?;
    for worker in ["a", "b", "c"] {
        for state in ["idle", "busy"] {
            family.with([worker, state])?;
        }
    }
    assert_eq!(
        family.remove_matching([("state", "idle"), ("worker", "b")]),
        1
    );
    assert_eq!(family.remove_matching([("worker", "a")]), 2);
    assert_eq!(family.remove_matching([("no such label", "a")]), 0);
    assert_eq!(family.retain(|labels| labels.get("worker") == Some("c")), 1);
    assert_eq!(
        sample_lines(&registry),
        [
            "g{worker=\"c\",state=\"idle\"} 0",
            "g{worker=\"c\",state=\"busy\"} 0"
        ]
    );
    assert_eq!(family.remove_matching([]), 2);
    assert!(family.is_empty());
    Ok(())
}

#[test]
fn a_question_about_a_series_may_use_the_family() -> Result {
    let registry = Registry::new();
    let family = registry.gauge_family("g", "", ["x"])?;
    for x in ["a", "b", "c"] {
        family.with([x])?;
    }
    let removed = family.retain(|labels| {
        family.with(["made meanwhile"]).unwrap();
        family.remove(["b"]);
        labels.get("x") == Some("c")
    });
    assert_eq!(removed, 1, "b was gone already");
    assert_eq!(
        sample_lines(&registry),
        ["g{x=\"c\"} 0", "g{x=\"made meanwhile\"} 0"]
    );
    let panicked = std::panic::catch_unwind(|| family.retain(|_| panic!("in the question")));
    assert!(panicked.is_err());
    assert_eq!(family.len(), 2);
    Ok(())
}

#[test]
fn series_that_stand_still_expire() -> Result {
    let registry = Registry::new();
    let family = registry.counter_family("c", "", ["x"])?;
    let moving = family.with(["moving"])?;
    family.with(["still"])?;
    let age = Duration::from_millis(20);
    assert_eq!(
        family.remove_unchanged(age),
        0,
        "nothing is known of its past yet"
    );
    std::thread::sleep(age * 2);
    moving.inc();
    assert_eq!(family.remove_unchanged(age), 1);
    assert_eq!(sample_lines(&registry), ["c_total{x=\"moving\"} 1"]);
    Ok(())
}

#[test]
fn an_update_makes_the_series_that_it_does_not_find() -> Result {
    let registry = Registry::new();
    let family = registry.counter_family("c", "", ["x", "y"])?;
    for y in ["1", "a long value, looked up by its text"] {
        assert_eq!(family.update(["x", y], |counter| counter.get())?, 0);
        family.update(["x", y], |counter| counter.inc_by(2))?;
        family.with(["x", y])?.inc();
        assert_eq!(family.update(["x", y], |counter| counter.get())?, 3);
    }
    assert_eq!(family.len(), 2);
    assert_eq!(
        family.update(["x"], |_| ()),
        Err(SeriesError::LabelCount {
            expected: 2,
            found: 1
        })
    );
    Ok(())
}

#[test]
fn an_update_may_do_anything_to_its_family() -> Result {
    let registry = Registry::new();
    let family = registry.counter_family("c", "", ["x"])?;
    family.with(["1"])?;
    let again = family.update(["1"], |counter| {
        counter.inc_by(5);
        assert!(family.remove(["1"]));
        // Makes the table grow, and frees what nobody looks at any more.
        for n in 0..100 {
            family.update([&*n.to_string()], |other| other.inc())?;
        }
        registry.scraper().scrape(Format::Text);
        assert_eq!(family.retain(|labels| labels.get("x") == Some("1")), 99);
        counter.inc();
        assert_eq!(counter.get(), 6, "the old series is there, if off the page");
        family.update(["1"], |counter| counter.get())
    })??;
    assert_eq!(again, 1);
    assert_eq!(sample_lines(&registry), ["c_total{x=\"1\"} 1"]);
    Ok(())
}

#[test]
fn an_update_that_panics_leaves_the_family_as_it_was() -> Result {
    let registry = Registry::new();
    let family = registry.counter_family("c", "", ["x"])?;
    for name in ["there", "new"] {
        family.with(["there"])?;
        let panics = || family.update([name], |_| panic!("on purpose"));
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).unwrap_err();
        family.update([name], |counter| counter.inc())?;
        assert!(family.remove([name]));
    }
    Ok(())
}

#[test]
fn what_the_cap_refuses_is_counted() -> Result {
    let registry = Registry::new();
    let family = registry
        .family::<stethoscope::cell::Counter>("c", "")
        .labels(["x"])
        .max_series(2)
        .register()?;
    family.with(["1"])?;
    family.with(["2"])?;
    for _ in 0..3 {
        assert_eq!(
            family.with(["3"]).unwrap_err(),
            SeriesError::Full { max_series: 2 }
        );
    }
    family.with(["1"])?.inc();
    family.remove(["2"]);
    family.with(["3"])?;
    assert_eq!(
        sample_lines(&registry),
        [
            "stethoscope_series_refused_total{family=\"c_total\"} 3",
            "c_total{x=\"1\"} 1",
            "c_total{x=\"3\"} 0"
        ]
    );
    Ok(())
}

#[test]
fn a_thousand_series_are_found_again() -> Result {
    let registry = Registry::new();
    let family = registry.counter_family("c", "", ["n"])?;
    for n in 0..1_000 {
        family.with([&*n.to_string()])?.inc_by(n);
    }
    for n in (0..1_000).step_by(3) {
        assert!(family.remove([&*n.to_string()]));
    }
    for n in 0..1_000u64 {
        let found = family.get([&*n.to_string()]).map(|counter| counter.get());
        assert_eq!(found, (n % 3 != 0).then_some(n));
    }
    Ok(())
}

/// Four threads make, count, remove and look up series of a few names while a
/// fifth scrapes: nothing is lost that was not removed, no page is malformed,
/// no series is on it twice.
#[test]
fn everything_at_once() -> Result {
    const ROUNDS: u64 = if cfg!(debug_assertions) {
        3_000
    } else {
        30_000
    };
    let registry = Registry::new();
    let churned: Family<_> = registry.counter_family("churned", "", ["n"])?;
    let kept = registry.counter_family("kept", "", ["n"])?;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let scraper = scope.spawn(|| {
            let mut scraper = registry.scraper();
            let mut scrapes = 0;
            while !done.load(Ordering::Relaxed) || scrapes == 0 {
                let page = std::str::from_utf8(scraper.scrape(Format::Text)).unwrap();
                assert!(page.is_empty() || page.ends_with('\n'));
                let mut seen = HashSet::new();
                for line in page.lines().filter(|line| !line.starts_with('#')) {
                    let (series, value) = line.rsplit_once(' ').unwrap();
                    assert!(seen.insert(series), "twice on a page: {series}");
                    value.parse::<u64>().unwrap();
                }
                scrapes += 1;
            }
        });
        let workers: Vec<_> = (0..4u64)
            .map(|thread| {
                let (registry, churned, kept) = (&registry, &churned, &kept);
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let name = ((round + thread) % 7).to_string();
                        kept.with([&*name]).unwrap().inc();
                        churned.with([&*name]).unwrap().inc();
                        churned.update([&*name], |counter| counter.inc()).unwrap();
                        if round % 3 == thread % 3 {
                            churned.remove([&*name]);
                        }
                        if round % 64 == 0 {
                            churned.retain(|labels| labels.get("n") != Some("3"));
                            let own = format!("own_{thread}");
                            registry.gauge(&own, "").unwrap().set(1);
                            assert!(registry.unregister(&own));
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        scraper.join().unwrap();
    });
    let total: u64 = (0..7)
        .map(|n| kept.get([&*n.to_string()]).unwrap().get())
        .sum();
    assert_eq!(total, 4 * ROUNDS);
    Ok(())
}
