//! The latency of single updates of one thread, while a second thread scrapes
//! without pause and a third adds and removes series.
//!
//! Prints percentiles and draws `target/latency.svg`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stethoscope_rivals::figures::record;
use stethoscope_rivals::latency::{Latencies, plot};
use stethoscope_rivals::updates::{self, NAMES, Subject, Update, Worker};

const UNFAIR: &str = "\
What is unfair, and to whom:
- Each update is timed by one reading of the clock, whose own time is in every figure:
  `no update` shows it. Differences of a nanosecond are the business of bench `update`.
- The worker has a core of its own where there are two, the scraper and the third thread
  have the rest. Whatever else runs on the machine shows in the worst times of everyone.
- The page has 1,000 series, one of which is replaced every 100 us. fastmetrics, metrics
  and OpenTelemetry cannot remove series: theirs come to 2,000 and stay.
- Without pause, a crate whose scrape is slow disturbs its worker less often: `pages` says
  how many were written meanwhile. So there is a second table, in which nobody scrapes
  more than 500 times a second; those who cannot keep that up do what they can.
- metrics and OpenTelemetry have more to do at a scrape the more was observed.
";

/// How long each is watched in a round.
const FOR: Duration = Duration::from_millis(300);
const ROUNDS: usize = 8;
/// Series on the page, and how often one is replaced.
const SERIES: usize = 1_000;
const PAUSE: Duration = Duration::from_micros(100);
/// Between the pages of those who take their time.
const PACE: Duration = Duration::from_millis(2);

/// Measurements of one subject.
#[derive(Default)]
struct Seen {
    latencies: Latencies,
    pages: u64,
}

fn main() {
    println!("{UNFAIR}");
    let subjects = updates::all();
    for (_, subject) in &subjects {
        for number in 0..SERIES {
            // Nothing to remove yet: it removes what it will add last.
            subject.replace(number, NAMES - 1);
        }
    }
    let mut drawn = Vec::new();
    for (pace, update, title) in [
        (None, Update::Count, "count, scraped without pause"),
        (None, Update::Observe, "observe, scraped without pause"),
        (
            None,
            Update::LookUp,
            "look up and count, scraped without pause",
        ),
        (Some(PACE), Update::Count, "count, 500 scrapes a second"),
        (Some(PACE), Update::Observe, "observe, 500 scrapes a second"),
        (
            Some(PACE),
            Update::LookUp,
            "look up and count, 500 scrapes a second",
        ),
    ] {
        let mut seen: Vec<Seen> = subjects.iter().map(|_| Seen::default()).collect();
        let mut nothing = Seen::default();
        for round in 0..ROUNDS {
            watch(subjects[0].1.as_ref(), None, pace, &mut nothing);
            for place in 0..subjects.len() {
                let index = (round + place) % subjects.len();
                watch(
                    subjects[index].1.as_ref(),
                    Some(update),
                    pace,
                    &mut seen[index],
                );
            }
        }
        println!(
            "{title}\n{:<26}{:>9}{:>9}{:>9}{:>10}{:>12}{:>12}{:>9}",
            "ns", "p50", "p99", "p99.9", "p99.99", "worst", "updates", "pages"
        );
        let names = subjects.iter().map(|(name, _)| *name);
        let rows = names.zip(seen).chain([("no update", nothing)]);
        let mut curves = Vec::new();
        for (name, seen) in rows.filter(|(_, seen)| seen.latencies.count() > 0) {
            let at = |share| seen.latencies.at(share);
            record(title, name, "p99", at(0.99) as f64, "ns");
            record(title, name, "p99.9", at(0.999) as f64, "ns");
            println!(
                "{name:<26}{:>9}{:>9}{:>9}{:>10}{:>12}{:>12}{:>9}",
                at(0.5),
                at(0.99),
                at(0.999),
                at(0.9999),
                at(1.0),
                seen.latencies.count(),
                seen.pages
            );
            curves.push((name, seen.latencies));
        }
        println!();
        drawn.push((title, curves));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/target/latency.svg");
    std::fs::write(path, plot(&drawn)).expect("the target directory is there");
    println!("drawn in {path}");
}

/// One round of one subject; of nothing but the clock where there is no update.
fn watch(subject: &dyn Subject, update: Option<Update>, pace: Option<Duration>, seen: &mut Seen) {
    if update.is_some_and(|update| subject.worker(update, 1).is_none()) {
        return;
    }
    let stop = AtomicBool::new(false);
    let pages = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            pin(false);
            let mut scrape = subject.scraper();
            let mut page = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                scrape(&mut page);
                pages.fetch_add(1, Ordering::Relaxed);
                if let Some(pace) = pace {
                    thread::sleep(pace);
                }
            }
        });
        scope.spawn(|| {
            pin(false);
            let mut number = SERIES;
            while !stop.load(Ordering::Relaxed) {
                subject.replace(number % NAMES, (number - SERIES) % NAMES);
                number += 1;
                thread::sleep(PAUSE);
            }
        });
        let work = || {
            pin(true);
            let mut worker = update.and_then(|update| subject.worker(update, 1));
            let latencies = time_each(worker.as_deref_mut());
            stop.store(true, Ordering::Relaxed);
            latencies
        };
        let worker = scope.spawn(work);
        seen.latencies.add(&worker.join().expect("no panic"));
    });
    seen.pages += pages.into_inner();
}

/// Updates for as long as a round goes, each between two readings of the clock.
fn time_each(mut worker: Option<&mut (dyn Worker + '_)>) -> Latencies {
    let mut latencies = Latencies::default();
    // The other two are at work by then.
    thread::sleep(Duration::from_millis(10));
    let begin = Instant::now();
    let mut last = begin;
    let mut number = 0;
    while last.duration_since(begin) < FOR {
        if let Some(worker) = &mut worker {
            worker.run(number, 1);
        }
        let now = Instant::now();
        latencies.record(now.duration_since(last));
        number += 1;
        // Recording is not part of the next.
        last = Instant::now();
    }
    latencies
}

/// Keeps this thread on the first core, or off it, where there are two.
fn pin(first: bool) {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    if cores > 1 {
        let mut set = rustix::thread::CpuSet::new();
        for core in 0..cores {
            if (core == 0) == first {
                set.set(core);
            }
        }
        // Where that is not allowed, the machine decides.
        let _ = rustix::thread::sched_setaffinity(None, &set);
    }
}
