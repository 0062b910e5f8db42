//! The memory of a series: bytes that are alive after series were registered,
//! and the bytes that a scrape adds permanently.

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

What is unfair, and to whom:
- measured is given all label values beforehand: it shares their text among the series
  and has a cell for every combination, wanted or not. Here all are wanted.
- The page that each keeps from one scrape to the next is counted in `scrape adds`; its
  length is the last column.
- The counts of a stethoscope histogram begin a cache line; those of the other crates
  share lines with their neighbours.
";

fn main() {
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
        "{:<34} {:>10} {:>12} {:>10} {:>10}",
        "", "registered", "scrape adds", "together", "page"
    );
    for (name, build) in contestants::ALL {
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
        record(&format!("memory of {what}"), name, "bytes", together, "B");
        println!(
            "{name:<34} {:>10.0} {:>12.0} {:>10.0} {:>10.0}",
            each(registered.live),
            each(scraped.live),
            together,
            each(contestant.page().len() as isize),
        );
    }
}
