//! The cost of an update, by one thread and by two that update the same metric.
//! Contestants take turns within one run.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use stethoscope_rivals::figures::{record, rounds};
use stethoscope_rivals::round_robin::median;
use stethoscope_rivals::updates::{self, Subject, Update, counted};

const UNFAIR: &str = "\
What is unfair, and to whom:
- Nanoseconds of one update by one thread, the loop around it included; with two
  threads, of the slower. Every crate counts through the same closure, so that loops and
  values cost the same; a loop so tight flatters everyone alike.
- `striped` and `one writer` are other kinds of cells of ours, with more memory or one
  writer at a time. No other crate here has either; prometheus has local metrics, which
  no scrape sees before they are flushed.
- metrics does not sort observations into buckets when they are made, but at the scrape
  or an upkeep, which is not timed here.
- measured looks up among strings that were interned beforehand, the others among any.
  prometheus-client, fastmetrics, metrics and OpenTelemetry must be given labels that own
  their strings; that they are cloned is the price of their look-up.
- OpenTelemetry has no handles: all of its updates look up.
- A run of two threads counts if they ran at the same time for most of it.
";

const UPDATES: [Update; 3] = [Update::Count, Update::LookUp, Update::Observe];
const ROUNDS: usize = 40;
/// Updates that warm a thread up, and those that are timed.
const WARM: usize = 1_000;
const TIMES: usize = 100_000;

fn main() {
    println!("{UNFAIR}");
    let subjects = updates::all();
    let mut columns = Vec::new();
    for update in UPDATES {
        for threads in [1, 2] {
            columns.push((update, threads, times(&subjects, update, threads)));
        }
    }
    println!(
        "{:<26}{:>20}{:>20}{:>20}",
        "", "count", "look up and count", "observe"
    );
    print!("{:<26}", "threads");
    println!("{}", format!("{:>10}{:>10}", 1, 2).repeat(3));
    for (index, (name, _)) in subjects.iter().enumerate() {
        print!("{name:<26}");
        for (update, threads, times) in &columns {
            match times[index] {
                Some(time) => {
                    let table = format!("{update:?}, threads: {threads}");
                    record(&table, name, "update", time, "ns");
                    print!("{time:>10.2}");
                }
                None => print!("{:>10}", "-"),
            }
        }
        println!();
    }
}

/// The median over the rounds of everyone's time.
fn times(
    subjects: &[(&str, Box<dyn Subject>)],
    update: Update,
    threads: usize,
) -> Vec<Option<f64>> {
    let mut times = vec![Vec::new(); subjects.len()];
    for round in 0..rounds(ROUNDS) {
        for place in 0..subjects.len() {
            let index = (round + place) % subjects.len();
            let (name, subject) = &subjects[index];
            times[index].extend(time(name, subject.as_ref(), update, threads));
        }
    }
    let median = |times: Vec<f64>| (!times.is_empty()).then(|| median(&times));
    times.into_iter().map(median).collect()
}

/// The time of one update by the slower thread, after seeing that all of them
/// are on the page. None where so many threads cannot do it, or did not run at
/// the same time.
fn time(name: &str, subject: &dyn Subject, update: Update, threads: usize) -> Option<f64> {
    subject.worker(update, threads)?;
    let mut scrape = subject.scraper();
    let mut page = Vec::new();
    scrape(&mut page);
    let before = counted(&page, update);
    let ready = AtomicUsize::new(0);
    let run = |thread: usize| {
        let mut worker = subject.worker(update, threads).expect("as before");
        worker.run(0, WARM);
        // Spins: a thread that sleeps here would come late.
        ready.fetch_add(1, Ordering::SeqCst);
        while ready.load(Ordering::SeqCst) < threads {
            std::hint::spin_loop();
        }
        let start = Instant::now();
        worker.run(thread * WARM, TIMES);
        (start, Instant::now())
    };
    let run = &run;
    let runs = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|n| scope.spawn(move || run(n))).collect();
        let mut runs = vec![run(0)];
        runs.extend(
            others
                .into_iter()
                .map(|other| other.join().expect("no panic")),
        );
        runs
    });
    scrape(&mut page);
    let done = counted(&page, update) - before;
    assert_eq!(done as usize, threads * (TIMES + WARM), "{name} {update:?}");

    let took = |(start, end): &(Instant, Instant)| end.duration_since(*start).as_secs_f64();
    let slowest = runs.iter().map(took).fold(0.0, f64::max);
    let last_start = runs.iter().map(|(start, _)| *start).max()?;
    let first_end = runs.iter().map(|(_, end)| *end).min()?;
    let together = first_end
        .saturating_duration_since(last_start)
        .as_secs_f64();
    (together > 0.7 * slowest).then_some(slowest * 1e9 / TIMES as f64)
}
