//! The time of each single update of one thread, while a second thread scrapes at
//! one rate for every crate and a third adds and removes series.
//!
//! Prints percentiles and draws `target/latency.svg`. With arguments, only the tables
//! whose titles contain one of them: `cargo bench --bench latency -- "look up"`.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stethoscope_rivals::figures::{record, rounds};
use stethoscope_rivals::latency::{Latencies, plot};
use stethoscope_rivals::updates::{self, NAMES, Subject, Update, Worker};

const UNFAIR: &str = "\
What is unfair, and to whom:
- Each update is timed by one reading of the clock, whose own time is in every figure:
  `no update` shows it. The benchmark `update` measures differences of a nanosecond.
- The worker has a core of its own where there are two; the scraper and the third thread
  share the rest. Anything else that runs on the machine shows in the worst times of all.
- The page has 1,000 series, one of which is replaced every 100 us. fastmetrics, metrics
  and OpenTelemetry cannot remove series: theirs come to 2,000 and stay.
- The percentiles up to 99.9 are medians of the rounds', so that a neighbour on the host
  who disturbs one round does not decide; `least` and `most` are the rounds' extremes.
- `slow` has the updates of a million that took more than 150 ns: a scrape reads each
  cell, and the next update of it waits for the cache line. Some look-ups always do.
- A crate that cannot write 500 pages a second writes as many as it can: `pages` has the
  number. It disturbs its worker less often.
- The scraping thread compresses: stethoscope with `scrape_gzip_into`, the pages of the
  others with libdeflate at level 1, which is faster than what their servers use.
- metrics and OpenTelemetry have more to do at a scrape the more was observed.
";

/// The time of a round.
const FOR: Duration = Duration::from_millis(300);
const ROUNDS: usize = 8;
/// Series on the page, and the time between two replacements of one.
const SERIES: usize = 1_000;
const PAUSE: Duration = Duration::from_micros(100);
/// Updates above so many nanoseconds have waited for a cache line of another processor.
const SLOW: u64 = 150;
/// Scrapes a second.
const RATES: [u32; 2] = [10, 500];

/// The work of the scraper.
#[derive(Clone, Copy)]
struct Scrapes {
    a_second: u32,
    gzip: bool,
}

/// The figures of one subject.
#[derive(Default)]
struct Figures {
    latencies: Latencies,
    rounds: Vec<Latencies>,
    pages: u64,
}

impl Figures {
    /// The latencies of each round that this share did not exceed, in ascending order.
    fn of_rounds(&self, share: f64) -> Vec<u64> {
        let mut rounds: Vec<u64> = { self.rounds.iter() }
            .map(|round| round.at(share))
            .collect();
        rounds.sort_unstable();
        rounds
    }
}

fn main() {
    println!("{UNFAIR}");
    let subjects = updates::all();
    for (_, subject) in &subjects {
        for number in 0..SERIES {
            // Nothing to remove yet: it removes the series that it will add last.
            subject.replace(number, NAMES - 1);
        }
    }
    let mut drawn = Vec::new();
    let filters: Vec<String> = std::env::args().skip(1).collect();
    // Cargo adds an argument of its own.
    let mut filters = filters
        .iter()
        .filter(|filter| !filter.starts_with("--"))
        .peekable();
    let is_any = filters.peek().is_none();
    let is_wanted = |title: &str| {
        is_any
            || filters
                .clone()
                .any(|filter| title.contains(filter.as_str()))
    };
    for a_second in RATES {
        for gzip in [false, true] {
            for (update, name) in [
                (Update::Count, "count"),
                (Update::Observe, "observe"),
                (Update::LookUp, "look up and count"),
            ] {
                let pages = if gzip { "compressed pages" } else { "pages" };
                let title: &str = format!("{name}, {a_second} {pages} a second").leak();
                if !is_wanted(title) {
                    continue;
                }
                let scrapes = Scrapes { a_second, gzip };
                drawn.push((title, compare(&subjects, update, scrapes, title)));
            }
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/target/latency.svg");
    std::fs::write(path, plot(&drawn)).expect("the target directory exists");
    println!("drawn in {path}");
}

/// Watches each subject in turn, and prints a table.
fn compare(
    subjects: &[(&'static str, Box<dyn Subject>)],
    update: Update,
    scrapes: Scrapes,
    title: &str,
) -> Vec<(&'static str, Latencies)> {
    let mut seen: Vec<Figures> = subjects.iter().map(|_| Figures::default()).collect();
    let mut nothing = Figures::default();
    for round in 0..rounds(ROUNDS) {
        watch(subjects[0].1.as_ref(), None, scrapes, &mut nothing);
        for place in 0..subjects.len() {
            let index = (round + place) % subjects.len();
            let subject = subjects[index].1.as_ref();
            watch(subject, Some(update), scrapes, &mut seen[index]);
        }
    }
    println!(
        "{title}\n{:<26}{:>9}{:>9}{:>9}{:>9}{:>9}{:>10}{:>10}{:>12}{:>12}{:>9}",
        "ns", "p50", "p99", "p99.9", "least", "most", "p99.99", "slow", "worst", "updates", "pages"
    );
    let names = subjects.iter().map(|(name, _)| *name);
    let rows = names.zip(seen).chain([("no update", nothing)]);
    let mut curves = Vec::new();
    for (name, seen) in rows.filter(|(_, seen)| seen.latencies.count() > 0) {
        let median = |share| {
            let rounds = seen.of_rounds(share);
            rounds[rounds.len() / 2]
        };
        let tails = seen.of_rounds(0.999);
        record(title, name, "p99", median(0.99) as f64, "ns");
        record(title, name, "p99.9", median(0.999) as f64, "ns");
        println!(
            "{name:<26}{:>9}{:>9}{:>9}{:>9}{:>9}{:>10}{:>10.0}{:>12}{:>12}{:>9}",
            median(0.5),
            median(0.99),
            median(0.999),
            tails[0],
            tails[tails.len() - 1],
            seen.latencies.at(0.9999),
            seen.latencies.above(SLOW) * 1e6,
            seen.latencies.at(1.0),
            seen.latencies.count(),
            seen.pages
        );
        curves.push((name, seen.latencies));
    }
    println!();
    curves
}

/// Runs one round of one subject, or of the clock alone if there is no update.
fn watch(subject: &dyn Subject, update: Option<Update>, scrapes: Scrapes, seen: &mut Figures) {
    if update.is_some_and(|update| subject.worker(update, 1).is_none()) {
        return;
    }
    let stop = AtomicBool::new(false);
    let pages = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            pin(false);
            let own = subject.gzip_scraper().filter(|_| scrapes.gzip);
            let compress = scrapes.gzip && own.is_none();
            let mut scrape = own.unwrap_or_else(|| subject.scraper());
            let mut page = Vec::new();
            let mut compressed = Vec::new();
            let level = libdeflater::CompressionLvl::new(1).expect("there is a level 1");
            let mut compressor = libdeflater::Compressor::new(level);
            let pace = Duration::from_secs(1) / scrapes.a_second;
            let mut next = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                scrape(&mut page);
                if compress {
                    compressed.resize(compressor.gzip_compress_bound(page.len()), 0);
                    let len = compressor.gzip_compress(&page, &mut compressed);
                    std::hint::black_box(len.expect("there is room for the worst page"));
                }
                pages.fetch_add(1, Ordering::Relaxed);
                // One that is late starts at once, and does not catch up.
                next = (next + pace).max(Instant::now());
                thread::sleep(next.saturating_duration_since(Instant::now()));
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
        let latencies = worker.join().expect("no panic");
        seen.latencies.add(&latencies);
        seen.rounds.push(latencies);
    });
    seen.pages += pages.into_inner();
}

/// Updates until the round is over, each between two readings of the clock.
fn time_each(mut worker: Option<&mut (dyn Worker + '_)>) -> Latencies {
    let mut latencies = Latencies::default();
    // Time for the other two threads to start.
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

/// Keeps this thread on the first core or off it, if there are two.
fn pin(first: bool) {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    if cores > 1 {
        let mut set = rustix::thread::CpuSet::new();
        for core in 0..cores {
            if (core == 0) == first {
                set.set(core);
            }
        }
        // It may not be allowed: the system decides then.
        let _ = rustix::thread::sched_setaffinity(None, &set);
    }
}
