//! Making, finding and removing series, from one thread and from many.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};
use stethoscope::MetricType;
use stethoscope::cell::{Buckets, Cell, Counter, Histogram, Number};
use stethoscope::exposition::Format;
use stethoscope::family::{Metric, Shape};
use stethoscope::registry::RegisterErrorKind;
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
fn series_made_again_after_removal_is_a_new_series() -> Result {
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

/// A cell that uses its family when it is dropped.
struct UsesFamily;

static FAMILY: OnceLock<Family<UsesFamily>> = OnceLock::new();

impl Drop for UsesFamily {
    fn drop(&mut self) {
        if let Some(family) = FAMILY.get() {
            let _ = family.len();
        }
    }
}

impl Cell for UsesFamily {
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

impl Metric for UsesFamily {
    const TYPE: MetricType = MetricType::Gauge;

    fn shape((): &()) -> Shape {
        Shape::Single(Number::U64)
    }
}

#[test]
fn custom_cell_may_use_its_family_when_dropped() -> Result {
    let registry = Registry::new();
    let family = registry
        .family::<UsesFamily>("uses_family", "")
        .labels(["x"]);
    let family = FAMILY.get_or_init(|| family.register().unwrap());
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        let mut scraper = registry.scraper();
        let removals: [fn(&Family<UsesFamily>); 3] = [
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
    // A deadlock would last for ever.
    is_done.recv_timeout(Duration::from_secs(60))?;
    Ok(())
}

#[test]
fn remove_matching_removes_only_series_with_these_labels() -> Result {
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
fn retain_closure_may_use_the_family() -> Result {
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
    assert_eq!(removed, 1, "b was removed already");
    assert_eq!(
        sample_lines(&registry),
        ["g{x=\"c\"} 0", "g{x=\"made meanwhile\"} 0"]
    );
    let panicked = std::panic::catch_unwind(|| family.retain(|_| panic!("on purpose")));
    assert!(panicked.is_err());
    assert_eq!(family.len(), 2);
    Ok(())
}

#[test]
fn unchanged_series_are_removed_at_their_age() -> Result {
    let registry = Registry::new();
    let family = registry.counter_family("c", "", ["x"])?;
    let moving = family.with(["moving"])?;
    family.with(["still"])?;
    let age = Duration::from_secs(60);
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(
        family.remove_stale_at(age, at(0)),
        0,
        "seen for the first time"
    );
    assert_eq!(family.remove_stale_at(age, at(59)), 0);
    moving.inc();
    family.with(["new"])?;
    assert_eq!(family.remove_stale_at(age, at(60)), 1);
    assert_eq!(
        sample_lines(&registry),
        ["c_total{x=\"moving\"} 1", "c_total{x=\"new\"} 0"]
    );
    assert_eq!(family.remove_stale_at(age, at(119)), 0);
    assert_eq!(family.remove_stale_at(age, at(120)), 2);
    assert!(family.is_empty());
    Ok(())
}

#[test]
fn scrapes_remove_the_series_that_expire() -> Result {
    let registry = Registry::new();
    let family = registry
        .family::<stethoscope::cell::Counter>("c", "")
        .labels(["x"])
        // Every scrape looks, and whatever the scrape before has seen is old.
        .expire_after(Duration::ZERO)
        .register()?;
    let moving = family.with(["moving"])?;
    family.with(["still"])?;
    let mut scraper = registry.scraper();
    let mut lines = || {
        let page = String::from_utf8(scraper.scrape(Format::Text).to_vec()).unwrap();
        page.lines().filter(|line| !line.starts_with('#')).count()
    };
    assert_eq!(lines(), 2, "seen for the first time");
    moving.inc();
    assert_eq!(lines(), 1);
    assert_eq!(lines(), 0);
    family.with(["still"])?;
    assert_eq!(lines(), 1, "made again");
    assert_eq!(registry.gather()[0].series.len(), 0);
    Ok(())
}

#[test]
fn label_values_may_be_strings_of_any_kind() -> Result {
    let registry = Registry::new();
    let family = registry.counter_family("c", "", ["x", "y"])?;
    let (x, y) = (
        String::from("1"),
        String::from("a long value, compared by its text"),
    );
    family.with([&x, &y])?.inc();
    family.with([&*x, &y])?.inc();
    let array = [&*x, &*y];
    family.with(array)?.inc();
    family.with(&[&*x, &*y][..])?.inc();
    family.with(vec![x.clone(), y.clone()])?.inc();
    let vector = vec![&x, &y];
    family.update(&vector, |counter| counter.inc())?;
    assert_eq!(family.get([x.clone(), y.clone()]).unwrap().get(), 6);
    assert!(family.remove(&[x, y]));
    assert_eq!(family.len(), 0);
    assert_eq!(
        family.with(()).unwrap_err(),
        SeriesError::LabelCount {
            expected: 2,
            found: 0
        }
    );
    Ok(())
}

#[test]
fn existing_cells_become_series() -> Result {
    use std::sync::Arc;
    use stethoscope::cell::{Buckets, Counter, Histogram};
    static HITS: Counter = Counter::new();
    static MISSES: Counter = Counter::new();

    let registry = Registry::new();
    let family = registry.family::<&'static Counter>("lookups_total", "");
    let family = family.labels(["result"]).register()?;
    family.insert(["hit"], &HITS)?;
    family.insert(["miss"], &MISSES)?;
    HITS.inc_by(2);
    MISSES.inc_by(7);
    assert_eq!(
        family.insert(["hit"], &HITS).unwrap_err(),
        SeriesError::AlreadyExists
    );

    let seconds = Arc::new(Histogram::new(&Buckets::new([0.5])?));
    registry.register("seconds", "", Arc::clone(&seconds))?;
    seconds.observe(0.25);
    let by_peer = registry
        .family::<Arc<Histogram>>("peer_seconds", "")
        .labels(["peer"])
        .register()?;
    assert_eq!(
        by_peer.insert(["a"], seconds).unwrap_err(),
        SeriesError::OtherOptions
    );
    assert_eq!(
        sample_lines(&registry),
        [
            "lookups_total{result=\"hit\"} 2",
            "lookups_total{result=\"miss\"} 7",
            "seconds_bucket{le=\"0.5\"} 1",
            "seconds_bucket{le=\"+Inf\"} 1",
            "seconds_sum 0.25",
            "seconds_count 1",
        ]
    );
    Ok(())
}

#[test]
fn get_or_register_returns_the_registered_family_if_it_is_the_same() -> Result {
    use stethoscope::cell::{Counter, Gauge};
    let registry = Registry::new();
    let app = registry.with_namespace("app");
    let first = app.counter_family("c_total", "Help.", ["x"])?;
    first.with(["1"])?.inc();
    let again = |labels: &[&str]| {
        let family = app.family::<Counter>("c", "Other help.");
        family.labels(labels.iter().copied()).get_or_register()
    };
    assert_eq!(again(&["x"])?.with(["1"])?.get(), 1);
    let already = |error: stethoscope::RegisterError| {
        assert_eq!(*error.kind(), RegisterErrorKind::AlreadyRegistered);
        assert_eq!(error.family(), "app_c_total");
        assert_eq!(
            error.to_string(),
            "cannot register \"app_c_total\": a family of this name is registered already (type \
             counter, labels [\"x\"]): share it with get_or_register, which needs the same cells, \
             labels and unit, or unregister it first"
        );
    };
    already(again(&["y"]).unwrap_err());
    already(app.counter("c", "").unwrap_err());
    already(
        app.family::<Counter>("c", "")
            .get_or_register_single()
            .unwrap_err(),
    );
    assert!(registry.get::<Counter>("app_c_total").is_some());
    assert!(registry.get::<Gauge>("app_c_total").is_none());
    // Another type of cell of the same metric type cannot be shared.
    let floats = app.family::<stethoscope::cell::FloatCounter>("c", "");
    already(floats.labels(["x"]).get_or_register().unwrap_err());
    let single = || app.family::<Gauge>("g", "").get_or_register_single();
    single()?.set(4);
    assert_eq!(single()?.get(), 4);
    Ok(())
}

#[test]
fn gather_returns_the_samples_as_data() -> Result {
    use stethoscope::cell::{Buckets, QuantileOptions};
    use stethoscope::registry::Value;
    let registry = Registry::new();
    let counter = registry.counter("c_total", "Help.")?;
    registry.on_scrape(move || counter.inc());
    registry
        .with_const_labels([("zone", "a")])
        .histogram_family("h", "", ["x"], Buckets::new([1.0, 2.0])?)?
        .with(["1"])?
        .observe(1.5);
    registry
        .summary("s", "", QuantileOptions::new([0.5])?)?
        .observe(3.0);
    registry.state_set("phase", "", ["on", "off"])?.select(1);
    registry.gauge("g", "")?.set(-3);

    let families = registry.gather();
    let value = |n: usize| families[n].series[0].value.clone();
    assert_eq!(
        (&*families[0].name, &*families[0].help),
        ("c_total", "Help.")
    );
    assert_eq!(families[0].metric_type, MetricType::Counter);
    assert_eq!(value(0), Value::Single(1.0), "after the hook");
    assert_eq!(
        families[1].value([("x", "1"), ("zone", "a")]),
        Some(&Value::Histogram {
            buckets: vec![(1.0, 0), (2.0, 1), (f64::INFINITY, 1)],
            sum: 1.5
        })
    );
    assert_eq!(families[1].value([("x", "1")]), None);
    let Value::Summary { count, sum, .. } = value(2) else {
        panic!("{families:?}");
    };
    assert_eq!((count, sum), (1, 3.0));
    assert_eq!(value(3), Value::States(vec!["off".to_owned()]));
    assert_eq!(value(4), Value::Single(-3.0));
    Ok(())
}

#[test]
fn series_beyond_the_limit_are_counted_in_the_overflow_series() -> Result {
    let registry = Registry::new();
    let family = registry
        .family::<stethoscope::cell::Counter>("c", "")
        .labels(["x", "y"])
        .max_series(1)
        .overflow("other")
        .register()?;
    family.with(["1", "1"])?.inc();
    for n in 2..5 {
        family.with([n.to_string(), n.to_string()])?.inc();
        family.update([n.to_string(), n.to_string()], |counter| counter.inc())?;
    }
    assert_eq!(
        sample_lines(&registry),
        [
            "stethoscope_series_refused_total{family=\"c_total\"} 6",
            "c_total{x=\"1\",y=\"1\"} 1",
            "c_total{x=\"other\",y=\"other\"} 6"
        ]
    );
    // Room for a series of its own.
    family.retain(|_| false);
    family.with(["5", "5"])?.inc();
    assert_eq!(family.get(["5", "5"]).unwrap().get(), 1);
    assert_eq!(family.len(), 1);
    Ok(())
}

#[test]
fn update_makes_a_missing_series() -> Result {
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
fn update_closure_may_use_the_family() -> Result {
    let registry = Registry::new();
    let family = registry.counter_family("c", "", ["x"])?;
    family.with(["1"])?;
    let again = family.update(["1"], |counter| {
        counter.inc_by(5);
        assert!(family.remove(["1"]));
        // Makes the table grow, and frees what no reader uses.
        for n in 0..100 {
            family.update([&*n.to_string()], |other| other.inc())?;
        }
        registry.scraper().scrape(Format::Text);
        assert_eq!(family.retain(|labels| labels.get("x") == Some("1")), 99);
        counter.inc();
        assert_eq!(
            counter.get(),
            6,
            "the old cell is there, though not on the page"
        );
        family.update(["1"], |counter| counter.get())
    })??;
    assert_eq!(again, 1);
    assert_eq!(sample_lines(&registry), ["c_total{x=\"1\"} 1"]);
    Ok(())
}

#[test]
fn panicking_update_leaves_the_family_usable() -> Result {
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
fn series_refused_by_the_limit_are_counted() -> Result {
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
fn refused_series_is_usable_through_its_lazy_handle_when_there_is_room() -> Result {
    let registry = Registry::new();
    let family = registry
        .family::<stethoscope::cell::Counter>("c", "")
        .labels(["x"])
        .max_series(1)
        .register()?;
    family.with(["1"])?;
    let lazy = family.lazy(["2"]);
    for _ in 0..3 {
        assert_eq!(lazy.get().unwrap_err(), SeriesError::Full { max_series: 1 });
    }
    family.remove(["1"]);
    lazy.get()?.inc();
    lazy.get()?.inc();
    assert_eq!(
        sample_lines(&registry),
        [
            "stethoscope_series_refused_total{family=\"c_total\"} 1",
            "c_total{x=\"2\"} 2"
        ]
    );
    assert!(matches!(
        family.lazy(["1", "2"]).get(),
        Err(SeriesError::LabelCount { .. })
    ));
    Ok(())
}

#[test]
fn a_thousand_series_are_found_after_removals() -> Result {
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

/// Compares the page of a scraper that has seen every change with that of a fresh one.
#[test]
fn page_after_removals_is_that_of_a_fresh_scraper() -> Result {
    let registry = Registry::new();
    let counts = registry.counter_family("c", "Counted.", ["n"])?;
    let times = registry.family::<Histogram>("h_seconds", "Observed.");
    let buckets = Buckets::new([0.1, 1.0])?;
    let times = times.labels(["n"]).options(buckets).register()?;
    let formats = [Format::Text, Format::OpenMetrics, Format::Protobuf];
    let mut scrapers = formats.map(|format| (format, registry.scraper()));
    let mut series = 0;
    for round in 0..80usize {
        for _ in 0..round * 7 % 40 {
            series += 1;
            let name = &*series.to_string();
            counts.with([name])?.inc_by(series % 1_000);
            times.with([name])?.observe(series as f64 / 100.0);
        }
        let keep = |n: &str| match round {
            39 | 59 => false,
            _ => n.parse::<usize>().is_ok_and(|n| (n * 31 + round) % 11 > 0),
        };
        counts.retain(|labels| keep(labels.get("n").unwrap_or_default()));
        times.retain(|labels| keep(labels.get("n").unwrap_or_default()));
        for (format, scraper) in &mut scrapers {
            let expected = registry.scraper().scrape(*format).to_vec();
            assert!(
                scraper.scrape(*format) == expected,
                "round {round}, {format:?}"
            );
            // Debug builds decompress the page and compare.
            #[cfg(feature = "gzip")]
            scraper.scrape_gzip_into(*format, &mut Vec::new());
        }
    }
    Ok(())
}

/// Four threads make, update, remove and look up series of a few names while a
/// fifth scrapes. No update of a kept series is lost, no page is malformed, and no
/// series is on a page twice.
#[test]
fn concurrent_changes_and_scrapes_lose_nothing() -> Result {
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

#[test]
fn mixed_family_refuses_invalid_labels() {
    let registry = Registry::new();
    let mixed = registry
        .family::<Counter>("events_total", "Events.")
        .register_mixed()
        .unwrap();
    for (labels, error) in [
        (
            &[("a", "1"), ("9", "2")][..],
            SeriesError::LabelName { index: 1 },
        ),
        (&[("__a", "1")], SeriesError::LabelName { index: 0 }),
        (
            &[("a", "1"), ("a", "2")],
            SeriesError::DuplicateLabel { index: 1 },
        ),
    ] {
        assert_eq!(mixed.with(labels).unwrap_err(), error);
    }
    assert!(mixed.is_empty());
    // It cannot be had as a family whose labels have fixed names, or be shared as one.
    assert!(registry.get::<Counter>("events_total").is_none());
    let shared = registry
        .family::<Counter>("events_total", "Events.")
        .get_or_register();
    assert!(shared.is_err());
    let labelled = registry
        .family::<Counter>("x_total", "X.")
        .labels(["a"])
        .register_mixed();
    assert_eq!(labelled.unwrap_err().kind(), &RegisterErrorKind::HasLabels);
}

#[test]
fn mixed_family_removes_series_by_their_labels() {
    let registry = Registry::new();
    let mixed = registry
        .family::<Counter>("events_total", "Events.")
        .register_mixed()
        .unwrap();
    mixed.with([("kind", "a"), ("disk", "b")]).unwrap().inc();
    mixed.with([("kind", "a")]).unwrap().inc();
    mixed.with([]).unwrap().inc();
    assert_eq!(mixed.len(), 3);
    assert_eq!(mixed.retain(|labels| labels.get("disk") != Some("b")), 1);
    assert!(!mixed.remove([("kind", "a"), ("disk", "b")]));
    assert!(mixed.remove([("kind", "a"), ("disk", "")]));
    let mut scraper = registry.scraper();
    assert!(
        scraper
            .scrape(Format::Text)
            .ends_with(b"\nevents_total 1\n")
    );
}
