//! The facade `metrics` with our recorder and with metrics-exporter-prometheus: the cost of a
//! macro call and of a page, in one run.

use metrics::{Recorder, counter, gauge, histogram, with_local_recorder};
use std::cell::RefCell;
use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;
use stethoscope::Registry;
use stethoscope::bridge;
use stethoscope::cell::Buckets;
use stethoscope::exposition::Format;
use stethoscope_rivals::contestants::metrics::{Series, builder};
use stethoscope_rivals::figures::{record, rounds};
use stethoscope_rivals::page::{Model, assert_shows};
use stethoscope_rivals::round_robin::{Effort, Turn, median, ratio, readable, round_robin};
use stethoscope_rivals::workload::{BOUNDS, METHODS};
use stethoscope_rivals::{Rate, Shape, Workload};

const UNFAIR: &str = "\
What is unfair, and to whom:
- A macro call finds the recorder in a thread-local, as with `with_local_recorder`; a global
  one is found a nanosecond sooner by both.
- The exporter does not sort observations into buckets when they are made, but at the scrape,
  which pays for them here: one for each histogram that changed.
- The exporter keeps no text of earlier pages; ours does, and pays in memory.
- Labels of strings are cloned for each call, as the macros require; both pay for that alike.
";

const NAMES: [&str; 2] = ["stethoscope", "metrics-exporter-prometheus"];
const ROUNDS: usize = 40;
const CALLS: usize = 20_000;
const KEYS: usize = 100;

type Recording = Box<dyn Recorder + Sync>;

fn main() {
    println!("{UNFAIR}");
    calls();
    for (lines, effort) in [
        (
            3_500,
            Effort {
                rounds: 60,
                runs: 4,
            },
        ),
        (100_000, Effort { rounds: 6, runs: 4 }),
    ] {
        pages(Shape::of_lines(lines), effort);
    }
}

fn buckets() -> Buckets {
    Buckets::new(BOUNDS).expect("some buckets")
}

fn recorders() -> [Recording; 2] {
    let ours = bridge::Recorder::builder(&Registry::new()).default_histograms(buckets());
    [Box::new(ours.build()), Box::new(builder().build_recorder())]
}

fn calls() {
    let keys: Vec<[String; 2]> = (0..KEYS)
        .map(|index| [METHODS[index % 4].to_owned(), (200 + index).to_string()])
        .collect();
    type Call<'a> = (&'a str, usize, &'a (dyn Fn(usize) + Sync));
    let calls: [Call<'_>; 6] = [
        ("counter, literal labels", 1, &|_| {
            counter!("calls", "method" => "GET", "status" => "200").increment(1);
        }),
        ("the same, two threads", 2, &|_| {
            counter!("calls", "method" => "GET", "status" => "200").increment(1);
        }),
        ("counter, labels of strings", 1, &|index| {
            let [method, status] = &keys[index % KEYS];
            counter!("found", "method" => method.clone(), "status" => status.clone()).increment(1);
        }),
        ("the same, two threads", 2, &|index| {
            let [method, status] = &keys[index % KEYS];
            counter!("found", "method" => method.clone(), "status" => status.clone()).increment(1);
        }),
        ("gauge, literal labels", 1, &|index| {
            gauge!("depth", "queue" => "main").set(index as f64);
        }),
        ("histogram, literal labels", 1, &|index| {
            histogram!("seconds", "method" => "GET").record(index as f64 * 1e-4);
        }),
    ];
    println!("ns a macro call, medians of {} rounds", rounds(ROUNDS));
    println!(
        "{:<32}{:>12}{:>12}{:>10}",
        "", "stethoscope", "exporter", "ratio"
    );
    for (name, threads, call) in calls {
        let recorders = recorders();
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..rounds(ROUNDS) {
            for place in 0..2 {
                let index = (round + place) % 2;
                times[index].push(time(&recorders[index], threads, call));
            }
        }
        let [ours, theirs] = [median(&times[0]), median(&times[1])];
        let column = format!("{threads} threads");
        record(&format!("facade, {name}"), NAMES[0], &column, ours, "ns");
        record(&format!("facade, {name}"), NAMES[1], &column, theirs, "ns");
        let ratio = ratio(&times[0], &times[1]);
        println!("{name:<32}{ours:>12.1}{theirs:>12.1}{ratio:>10.3}");
    }
}

/// The time of a call by the slowest of some threads.
fn time(recorder: &Recording, threads: usize, call: &(dyn Fn(usize) + Sync)) -> f64 {
    let ready = Barrier::new(threads);
    let run = || {
        with_local_recorder(recorder, || {
            (0..1_000).for_each(call);
            ready.wait();
            let start = Instant::now();
            for index in 0..CALLS {
                call(black_box(index));
            }
            start.elapsed().as_secs_f64() * 1e9 / CALLS as f64
        })
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let own = run();
        let others = others
            .into_iter()
            .map(|other| other.join().expect("no panic"));
        others.fold(own, f64::max)
    })
}

/// A recorder with the workload's series, and what writes its page.
struct Subject<'a> {
    series: Series,
    scrape: Box<dyn FnMut(&mut Vec<u8>) + 'a>,
    page: Vec<u8>,
}

fn subjects(workload: &Workload) -> [Subject<'static>; 2] {
    let registry = Registry::new();
    let ours = bridge::Recorder::builder(&registry)
        .default_histograms(buckets())
        .build();
    let mut scraper = registry.scraper();
    let exporter = builder().build_recorder();
    let handle = exporter.handle();
    [
        Subject {
            series: Series::register(&ours, workload),
            scrape: Box::new(move |page| scraper.scrape_into(Format::Text, page)),
            page: Vec::new(),
        },
        Subject {
            series: Series::register(&exporter, workload),
            scrape: Box::new(move |page| handle.render_to_write(page).expect("a Vec takes all")),
            page: Vec::new(),
        },
    ]
}

fn pages(shape: Shape, effort: Effort) {
    let workload = Workload::new(shape);
    println!(
        "\n{} lines, medians of {} rounds",
        shape.lines(),
        rounds(effort.rounds)
    );
    for rate in [Rate::All, Rate::Percent] {
        let mut model = Model::new(&workload);
        let subjects = subjects(&workload).map(RefCell::new);
        for changes in [workload.first_values(), workload.changes(rate, 0)] {
            model.apply(&changes);
            for subject in &subjects {
                subject.borrow().series.apply(&changes);
            }
        }
        for (subject, name) in subjects.iter().zip(NAMES) {
            scrape(&mut subject.borrow_mut());
            assert_shows(&subject.borrow().page, &model, name);
        }
        let mut turns: Vec<Turn> = subjects
            .iter()
            .map(|subject| Turn {
                prepare: Box::new(|number| {
                    let changes = workload.changes(rate, number + 1);
                    subject.borrow().series.apply(&changes);
                }),
                run: Box::new(|| scrape(&mut subject.borrow_mut())),
            })
            .collect();
        let times = round_robin(&mut turns, effort);
        for (name, times) in NAMES.iter().zip(&times) {
            let table = format!("facade, page of {} lines", shape.lines());
            record(
                &table,
                name,
                &format!("{rate:?}"),
                median(&times.warm),
                "ns",
            );
        }
        println!(
            "{:<32}{:>12}{:>12}{:>10.1}",
            format!("{rate:?} changed"),
            readable(median(&times[0].warm)),
            readable(median(&times[1].warm)),
            ratio(&times[1].warm, &times[0].warm),
        );
    }
}

fn scrape(subject: &mut Subject<'_>) {
    subject.page.clear();
    (subject.scrape)(&mut subject.page);
}
