//! The memory of a series: bytes that are alive after series were registered, the
//! bytes that a scrape adds permanently, and the resident memory that both take.

use std::process::Command;
use stethoscope_rivals::contestants;
use stethoscope_rivals::counting::{self, Counting};
use stethoscope_rivals::figures::record;
use stethoscope_rivals::workload::LINES_A_HISTOGRAM;
use stethoscope_rivals::{Rate, Shape, Workload};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const UNFAIR: &str = "\
Bytes alive per series, by what was asked of the allocator (its own overhead, some 8 to
16 bytes an allocation, comes on top). The application's handles are not counted.
`resident` is the growth of the resident memory, each in a process of its own: with the
allocator's overhead, and what it has kept of memory that was freed.

What is unfair, and to whom:
- measured is given all label values beforehand: it shares their text among the series
  and has a cell for every combination, wanted or not. Here all are wanted.
- The page that each keeps from one scrape to the next is counted in `scrape adds`; its
  length is the last column.
- `lean` keeps nothing but the page from one scrape to the next. It renders every line at
  every scrape, for which it takes more memory until the page is written.
- The counts of a stethoscope histogram begin a cache line; those of the other crates
  share lines with their neighbours.
";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, command, name, counters, gauges, histograms] = &arguments[..]
        && command == RESIDENT
    {
        let number = |text: &String| text.parse().expect("a number");
        let shape = Shape {
            counters: number(counters),
            gauges: number(gauges),
            histograms: number(histograms),
        };
        println!("{}", resident_growth(name, shape));
        return;
    }
    println!("{UNFAIR}");
    let singles = Shape {
        counters: 10_000,
        gauges: 10_000,
        histograms: 0,
    };
    let histograms = Shape {
        counters: 0,
        gauges: 0,
        histograms: 2_000,
    };
    table("counters and gauges", singles, 20_000);
    table("histograms of 12 buckets", histograms, 2_000);
}

fn table(what: &str, shape: Shape, series: usize) {
    let workload = Workload::new(shape);
    let changes = workload.changes(Rate::All, 0);
    println!(
        "\n{series} {what}, {} lines a series",
        match shape.histograms {
            0 => 1,
            _ => LINES_A_HISTOGRAM,
        }
    );
    println!(
        "{:<34} {:>10} {:>12} {:>10} {:>10} {:>10}",
        "", "registered", "scrape adds", "together", "page", "resident"
    );
    for (name, build) in contestants() {
        let (mut contestant, registered) = counting::count(|| {
            let mut contestant = build(&workload);
            contestant.apply(&changes);
            contestant.drop_handles();
            contestant
        });
        let ((), scraped) = counting::count(|| {
            // Twice: what one scrape leaves for the next is settled then.
            contestant.encode();
            contestant.encode();
        });
        let each = |bytes: isize| bytes as f64 / series as f64;
        let together = each(registered.live + scraped.live);
        let resident = resident(name, shape);
        record(&format!("memory of {what}"), name, "bytes", together, "B");
        if let Some(resident) = resident {
            record(
                &format!("memory of {what}"),
                name,
                "resident",
                each(resident),
                "B",
            );
        }
        println!(
            "{name:<34} {:>10.0} {:>12.0} {:>10.0} {:>10.0} {:>10}",
            each(registered.live),
            each(scraped.live),
            together,
            each(contestant.page().len() as isize),
            resident.map_or("-".to_owned(), |bytes| format!("{:.0}", each(bytes))),
        );
    }
}

fn contestants() -> impl Iterator<Item = (&'static str, contestants::Build)> {
    contestants::ALL.into_iter().chain([contestants::LEAN])
}

/// The argument of a process that measures its own resident memory.
const RESIDENT: &str = "resident";

/// The growth of the resident memory of a process with these series, if the system
/// tells it.
fn resident(name: &str, shape: Shape) -> Option<isize> {
    let mut command = Command::new(std::env::current_exe().ok()?);
    let numbers = [shape.counters, shape.gauges, shape.histograms];
    command.args([RESIDENT, name]);
    command.args(numbers.map(|number| number.to_string()));
    let output = command.output().expect("this program can be started again");
    assert!(output.status.success(), "{name}: {output:?}");
    let growth: isize = String::from_utf8(output.stdout).ok()?.trim().parse().ok()?;
    (growth > 0).then_some(growth)
}

/// Registers the series and scrapes them twice; returns the growth of the resident
/// memory in bytes, 0 if it is unknown.
fn resident_growth(name: &str, shape: Shape) -> usize {
    let build = contestants().find(|(other, _)| *other == name);
    let (_, build) = build.expect("a contestant");
    let workload = Workload::new(shape);
    let changes = workload.changes(Rate::All, 0);
    let before = resident_bytes();
    let mut contestant = build(&workload);
    contestant.apply(&changes);
    contestant.drop_handles();
    contestant.encode();
    contestant.encode();
    resident_bytes().saturating_sub(before)
}

/// The resident memory of this process; 0 where Linux does not tell it.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * 4096
}
