//! The catalogue of Dask's metrics, and the page that is made of it.

use std::collections::HashSet;
use std::convert::Infallible;
use stethoscope::MetricType;
use stethoscope::Scraper;
use stethoscope::cell::Buckets;
use stethoscope::exposition::Format;
use stethoscope::registry::Value;
use stethoscope::segment::{Reader, Segment};
use stethoscope_python::dask::{
    ActivityUnit, Event, NUMBERS, Options, Page, PageError, PrefixColumns, PythonVersion, Role,
    Source, WorkerReading, catalogue,
};

fn page(role: Role) -> Page {
    let python = PythonVersion::new("CPython", "3.12.1");
    Page::new(role, &python, &Options::default()).expect("the catalogue registers")
}

fn text(scraper: &mut Scraper) -> String {
    String::from_utf8(scraper.scrape(Format::Text).to_vec()).expect("UTF-8")
}

/// A page with every family of its role.
fn full(role: Role) -> Page {
    fill(role, page(role))
}

fn fill(role: Role, page: Page) -> Page {
    for entry in catalogue(role).filter(|entry| entry.source == Source::Sample) {
        let mut family = page.sampled(entry.name).expect(entry.name);
        let Ok(()) = family.update(|set| {
            set(entry.states.first().unwrap_or(&"known"), 1.0);
            Ok::<_, Infallible>(())
        });
    }
    for event in Event::ALL {
        page.events(event).expect("registers").observe(0.02);
    }
    if role == Role::Worker {
        page.executing().expect("registers").begin("inc");
    }
    if role == Role::Scheduler {
        let mut prefixes = page.prefixes(&PrefixColumns::all()).expect("registers");
        prefixes.begin();
        let inc = prefixes.find("inc");
        let mut prefix = prefixes.update(inc);
        for number in 0..NUMBERS.len() {
            prefix.set_number(number, 1.0);
        }
        let Ok(()) = prefix.set_states(|set| {
            set("memory", 1);
            Ok::<_, Infallible>(())
        });
        prefix.set_transitions("memory", 1);
        for unit in [ActivityUnit::Seconds, ActivityUnit::Bytes] {
            prefixes.add_activity("execute", Some("inc"), "compute", unit, 1.0);
        }
        prefixes.finish();
        let mut workers = page.workers().expect("registers");
        let mut pass = workers.begin();
        let mut worker = WorkerReading::default();
        worker.memory = 1.0;
        worker.results_in_memory = 1.0;
        worker.spilled = 1.0;
        worker.memory_limit = 1.0;
        worker.threads = 1.0;
        worker.executing = 1.0;
        worker.cpu_percent = 1.0;
        workers.add(&mut pass, "w", &worker);
        workers.finish(&pass);
    }
    page
}

#[test]
fn every_catalogue_family_is_shown_as_described() {
    for role in [Role::Scheduler, Role::Worker] {
        let page = full(role);
        let endpoint = page.endpoint().listen("127.0.0.1:0").spawn();
        let endpoint = endpoint.expect("its families register");
        let text = text(&mut page.registry().scraper());
        endpoint.shutdown();
        let mut names = HashSet::new();
        for entry in catalogue(role) {
            assert!(names.insert(entry.name), "{} is there twice", entry.name);
            let kind = match entry.metric_type {
                MetricType::Counter => "counter",
                MetricType::Gauge | MetricType::Info => "gauge",
                MetricType::Histogram => "histogram",
                other => panic!("{} is a {other:?}", entry.name),
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
fn endpoint_metrics_are_excluded_and_labelled_like_the_rest() {
    let options = Options {
        left_out: vec!["stethoscope_http_page_seconds".to_owned()],
        labels: vec![("cluster".to_owned(), "blue".to_owned())],
        ..Options::default()
    };
    let python = PythonVersion::new("CPython", "3.12.1");
    let page = Page::new(Role::Worker, &python, &options).unwrap();
    let endpoint = page.endpoint().listen("127.0.0.1:0").spawn();
    let text = text(&mut page.registry().scraper());
    endpoint.unwrap().shutdown();
    assert!(!text.contains("stethoscope_http_page_seconds"), "{text}");
    let series = "\nstethoscope_http_responses_total{cluster=\"blue\",code=\"200\"} 0\n";
    assert!(text.contains(series), "{text}");
}

#[test]
fn family_label_cannot_be_a_label_of_each_series() {
    let python = PythonVersion::new("CPython", "3.12.1");
    for label in ["le", "generation", "state", "task_prefix_name", "reason"] {
        let options = Options {
            labels: vec![(label.to_owned(), "x".to_owned())],
            ..Options::default()
        };
        let error = Page::new(Role::Scheduler, &python, &options).unwrap_err();
        assert!(matches!(error, PageError::Label { .. }), "{error}");
    }
}

#[test]
fn dask_families_are_in_its_namespace() {
    for (namespace, prefix) in [("team", "team_"), ("", "")] {
        let options = Options {
            namespace: namespace.to_owned(),
            left_out: vec!["dask_worker_latency_seconds".to_owned()],
            ..Options::default()
        };
        let python = PythonVersion::new("CPython", "3.12.1");
        let page = Page::new(Role::Worker, &python, &options).unwrap();
        for name in ["dask_worker_threads", "dask_worker_latency_seconds"] {
            page.sampled(name).unwrap().set(2.0);
        }
        page.events(Event::Tick).unwrap().observe(0.02);
        let text = text(&mut page.registry().scraper());
        for series in ["worker_threads 2", "worker_tick_duration_seconds_count 1"] {
            let line = format!("\n{prefix}{series}\n");
            assert!(text.contains(&line), "{line:?} is not in\n{text}");
        }
        assert!(text.contains("\npython_info{"), "not Dask's own\n{text}");
        assert!(
            !text.contains("dask_") && !text.contains("latency"),
            "{text}"
        );
    }
}

#[test]
fn page_in_a_segment_is_read_from_outside() {
    let directory = format!("/dev/shm/stethoscope-catalogue-{}", std::process::id());
    let segment = Segment::in_dir(&directory).expect("/dev/shm is in memory");
    let python = PythonVersion::new("CPython", "3.12.1");
    let page = Page::in_segment(Role::Worker, &python, &Options::default(), &segment);
    let page = fill(Role::Worker, page.expect("the catalogue registers"));
    let shown = text(&mut page.registry().scraper());
    let mut reader = Reader::open(segment.path()).unwrap();
    reader.refresh().unwrap();
    let read = text(&mut reader.registry().scraper());
    std::fs::remove_dir_all(&directory).unwrap();
    for entry in catalogue(Role::Worker).filter(|entry| entry.source != Source::Endpoint) {
        let line = |page: &str| {
            let series = |line: &&str| line.starts_with(&format!("{}{{", entry.name));
            let plain = |line: &&str| line.starts_with(&format!("{} ", entry.name));
            let lines = page.lines().filter(|line| series(line) || plain(line));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(line(&read), line(&shown), "{}", entry.name);
        assert!(entry.metric_type == MetricType::Histogram || !line(&read).is_empty());
    }
    assert_eq!(segment.unplaced(), 0);
}

#[test]
fn executing_prefixes_stay_at_0_up_to_a_bound() {
    let page = page(Role::Worker);
    let mut executing = page.executing().unwrap();
    let mut scraper = page.registry().scraper();
    executing.begin("long");
    for number in 0..1000 {
        let prefix = format!("prefix-{number}");
        executing.begin(&prefix);
        executing.begin(&prefix);
        executing.end(&prefix);
        executing.end(&prefix);
        executing.end(&prefix);
    }
    executing.end("unknown");
    let text = text(&mut scraper);
    let lines = || {
        let of_family = |line: &&str| line.starts_with("dask_worker_executing{");
        text.lines().filter(of_family)
    };
    assert!((1..=100).contains(&lines().count()), "{text}");
    let running: Vec<&str> = lines().filter(|line| !line.ends_with(" 0")).collect();
    let long = "dask_worker_executing{task_prefix_name=\"long\"} 1";
    assert_eq!(running, [long]);
}

#[test]
fn unsampled_family_is_withdrawn_until_it_is_sampled() {
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
fn family_is_registered_once_by_role_and_source() {
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
fn sample_age_grows_until_the_next_sample() {
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
fn process_metrics_are_current() {
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

#[test]
fn worker_memory_is_at_most_that_of_its_process() {
    let page = page(Role::Worker);
    let mut memory = page.sampled("dask_worker_memory_bytes").unwrap();
    let mut scraper = page.registry().scraper();
    let mut shown = |managed: f64| -> [f64; 3] {
        let Ok(()) = memory.update(|set| {
            set("managed", managed);
            set("spilled", 7.0);
            Ok::<_, Infallible>(())
        });
        let text = text(&mut scraper);
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.expect(name).trim().parse().unwrap()
        };
        assert_eq!(value("dask_worker_memory_bytes{type=\"spilled\"}"), 7.0);
        [
            value("dask_worker_memory_bytes{type=\"managed\"}"),
            value("dask_worker_memory_bytes{type=\"unmanaged\"}"),
            value("process_resident_memory_bytes"),
        ]
    };
    let [managed, unmanaged, resident] = shown(1000.0);
    assert_eq!([managed, unmanaged], [1000.0, resident - 1000.0]);
    let [managed, unmanaged, resident] = shown(1e15);
    assert_eq!([managed, unmanaged], [resident, 0.0]);
}

#[test]
fn a_blocked_loop_shows_while_it_is_blocked() {
    let page = page(Role::Scheduler);
    let ticks = page.events(Event::Tick).unwrap();
    let mut scraper = page.registry().scraper();
    let mut value = |name: &str| -> f64 {
        let text = text(&mut scraper);
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.expect(name).trim().parse().unwrap()
    };
    ticks.observe(0.001);
    std::thread::sleep(std::time::Duration::from_millis(30));
    assert!(value("dask_scheduler_tick_age_seconds ") >= 0.03);
    assert!(value("dask_scheduler_tick_duration_maximum_seconds ") >= 0.03);
    ticks.observe(0.5);
    assert!(value("dask_scheduler_tick_duration_maximum_seconds ") >= 0.5);
}

#[test]
fn native_durations_have_classic_buckets_only_if_given() {
    let python = PythonVersion::new("CPython", "3.12.1");
    for (buckets, shown) in [
        (None, &["+Inf"][..]),
        (Some(vec![0.5, 5.0]), &["0.5", "5", "+Inf"][..]),
    ] {
        let options = Options {
            buckets: buckets.map(|bounds| Buckets::new(bounds).unwrap()),
            native_histograms: true,
            ..Options::default()
        };
        let page = Page::new(Role::Worker, &python, &options).unwrap();
        page.events(Event::Task).unwrap().observe(0.25);
        let text = text(&mut page.registry().scraper());
        let start = "dask_worker_task_duration_seconds_bucket{le=\"";
        let bounds = text.lines().filter_map(|line| {
            let (bound, _) = line.strip_prefix(start)?.split_once('"')?;
            Some(bound)
        });
        assert_eq!(bounds.collect::<Vec<_>>(), shown);
        assert!(text.contains("dask_worker_task_duration_seconds_sum 0.25\n"));
        let gathered = page.registry().gather();
        let mut families = gathered.iter();
        let family = families.find(|family| family.name == "dask_worker_task_duration_seconds");
        let Some(Value::NativeHistogram(reading)) = family.unwrap().value([]) else {
            panic!("expected a native histogram: {family:?}");
        };
        assert_eq!((reading.count(), reading.sum()), (1, 0.25));
    }
}

/// The README's table of metrics, as the catalogue has it.
fn table() -> String {
    let [scheduler, worker] = [Role::Scheduler, Role::Worker].map(|role| {
        catalogue(role)
            .map(|entry| entry.name)
            .collect::<HashSet<_>>()
    });
    let mut seen = HashSet::new();
    let rows = catalogue(Role::Scheduler)
        .chain(catalogue(Role::Worker))
        .filter(|entry| seen.insert(entry.name))
        .map(|entry| {
            let labels = match entry.labels {
                [] => String::new(),
                labels => format!("{{{}}}", labels.join(",")),
            };
            let on = |page: &HashSet<&str>| if page.contains(entry.name) { "x" } else { "" };
            format!(
                "| `{}{labels}` | {} | {} | {} | {} |\n",
                entry.name,
                entry.help,
                on(&scheduler),
                on(&worker),
                entry.origin
            )
        });
    let head = "| metric | help | scheduler | worker | source |\n|---|---|---|---|---|\n";
    std::iter::once(head.to_owned()).chain(rows).collect()
}

#[test]
fn metrics_document_lists_the_catalogue() {
    let document = include_str!("../../src/python/METRICS.md");
    let table = table();
    assert!(
        document.contains(&table),
        "the table in src/python/METRICS.md must be:\n{table}"
    );
}

#[test]
fn busiest_prefixes_have_series_of_their_own() {
    let python = PythonVersion::new("CPython", "3.12.1");
    let options = Options {
        max_task_prefixes: 2,
        ..Options::default()
    };
    let page = Page::new(Role::Scheduler, &python, &options).unwrap();
    let mut prefixes = page.prefixes(&PrefixColumns::all()).unwrap();
    let mut scraper = page.registry().scraper();
    let mut now = std::time::Instant::now();
    let mut busy = 0;
    let mut take = |names: &[&str], busy_name: &str| {
        prefixes.begin();
        busy += 100;
        for name in names {
            let id = prefixes.find(name);
            let mut prefix = prefixes.update(id);
            let times = if *name == busy_name { busy } else { 1 };
            prefix.set_transitions("memory", times);
        }
        now += std::time::Duration::from_secs(11);
        assert!(!prefixes.finish_at(now), "no prefix is forgotten");
        let text = text(&mut scraper);
        let line = |name: &str| {
            let series = format!(
                "dask_scheduler_prefix_state_totals_total{{task_prefix_name=\"{name}\",state=\"memory\"}} "
            );
            let value = text.lines().find_map(|line| line.strip_prefix(&*series));
            value.map(|value| value.parse::<u64>().unwrap())
        };
        let sum = text
            .lines()
            .filter(|line| line.starts_with("dask_scheduler_prefix_state_totals_total{"))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum::<u64>();
        (names.iter().map(|name| line(name)).collect::<Vec<_>>(), sum)
    };
    let names = ["a", "b", "c"];
    // The busiest prefix takes the place of another, and counts from then on.
    let (_, first) = take(&names, "c");
    let (shown, second) = take(&names, "c");
    assert!(shown[2].is_some(), "{shown:?}");
    assert_eq!(second, first + 100);
    // A little more is not enough to change places for.
    let (again, third) = take(&names, "nothing");
    assert_eq!(
        again.iter().map(Option::is_some).collect::<Vec<_>>(),
        shown.iter().map(Option::is_some).collect::<Vec<_>>()
    );
    assert!(third >= second);
}
