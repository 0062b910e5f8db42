//! The cost of a page, of all contestants in one run. Each page is asserted
//! before it is timed.
//!
//! `cargo bench --bench encode -- 3500` measures one size only.

use std::cell::RefCell;
use std::hint::black_box;
use stethoscope_rivals::contestants::{self, FASTEST_PEER, STETHOSCOPE};
use stethoscope_rivals::counting::{self, Asked, Counting};
use stethoscope_rivals::figures::{record, rounds};
use stethoscope_rivals::page::{Model, assert_shows};
use stethoscope_rivals::round_robin::{Effort, Turn, median, ratio, readable, round_robin};
use stethoscope_rivals::{Contestant, Rate, Shape, Workload};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const UNFAIR: &str = "\
What is unfair, and to whom:
- measured is 0.0.25, the newest that Rust 1.88 to 1.97 builds: 0.1 needs Rust 1.98.
- measured is given all label values beforehand (enums, interned strings) and cannot
  remove a series in this form; everyone else makes series as they come.
- prometheus-client writes OpenMetrics, the others the text format 0.0.4: the same lines.
- stethoscope brings the page that it keeps up to date; the others write theirs into a
  buffer again. It pays at the scrape after a series came or went (bench `growth`).
- metrics and OpenTelemetry take observations into account only at the scrape, and pay
  for them here; here it is one for each histogram that changed.
- OpenTelemetry has no handles; its look-ups are in no column, being updates.
- Those who return a String could not reuse a buffer; all of these can, and do.
- `first` is the first scrape after the others had the caches, as all are in a process that
  is scraped every 15 s and works in between; `warm` comes after scrapes of its own.
  Updates between scrapes are not timed, and leave the cells in the caches.
";

struct Row {
    name: String,
    rate: Rate,
    contestant: RefCell<Box<dyn Contestant>>,
    asked: Asked,
}

fn main() {
    let only = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse::<usize>().ok());
    println!("{UNFAIR}");
    let small = Shape {
        counters: 12,
        gauges: 12,
        histograms: 1,
    };
    for (shape, rounds, runs) in [
        (small, 60, 60),
        (Shape::of_lines(3_500), 60, 4),
        (Shape::of_lines(100_000), 12, 4),
    ] {
        if only.is_none_or(|lines| lines == shape.lines()) {
            encode(shape, Effort { rounds, runs });
        }
    }
}

fn encode(shape: Shape, effort: Effort) {
    let workload = Workload::new(shape);
    let mut plan: Vec<(&str, Rate)> = contestants::ALL
        .iter()
        .map(|(name, _)| (*name, Rate::All))
        .collect();
    for rate in [Rate::Percent, Rate::Nothing] {
        plan.extend([STETHOSCOPE, FASTEST_PEER].map(|name| (name, rate)));
    }
    let rows: Vec<Row> = plan
        .into_iter()
        .map(|(name, rate)| checked(name, rate, &workload))
        .collect();
    let page = rows[0].contestant.borrow_mut().page().to_vec();
    let mut copy = vec![0; page.len()];

    let mut turns: Vec<Turn> = rows
        .iter()
        .map(|row| Turn {
            prepare: Box::new(|number| {
                // The checks have had round 0.
                let changes = workload.changes(row.rate, number + 1);
                row.contestant.borrow_mut().apply(&changes);
            }),
            run: Box::new(|| row.contestant.borrow_mut().encode()),
        })
        .collect();
    turns.push(Turn {
        prepare: Box::new(|_| {}),
        run: Box::new(|| black_box(&mut copy[..]).copy_from_slice(black_box(&page))),
    });
    let times = round_robin(&mut turns, effort);

    println!(
        "\n{} lines, {} bytes; medians of {} rounds",
        shape.lines(),
        page.len(),
        rounds(effort.rounds)
    );
    println!(
        "{:<34} {:>9} {:>10} {:>10} {:>10} {:>10} {:>9} {:>11}",
        "", "changed", "warm", "first", "x measured", "x ours", "allocs", "bytes"
    );
    let of = |name: &str, rate: Rate| {
        rows.iter()
            .position(|row| row.name == name && row.rate == rate)
            .expect("both are in every run")
    };
    for (index, times_of) in times.iter().enumerate() {
        let (name, rate, asked) = match rows.get(index) {
            Some(row) => (&*row.name, row.rate, row.asked),
            None => ("memcpy of the page", Rate::Nothing, Asked::default()),
        };
        // A peer that was not timed at this rate does not know rates.
        let peer = &times[of(FASTEST_PEER, rate)].warm;
        let ours = &times[of(STETHOSCOPE, rate)].warm;
        let table = format!("page of {} lines, {}", shape.lines(), changed(rate));
        record(&table, name, "warm", median(&times_of.warm), "ns");
        record(&table, name, "allocations", asked.calls as f64, "");
        println!(
            "{name:<34} {:>9} {:>10} {:>10} {:>10.3} {:>10.2} {:>9} {:>11}",
            changed(rate),
            readable(median(&times_of.warm)),
            readable(median(&times_of.first)),
            ratio(&times_of.warm, peer),
            ratio(&times_of.warm, ours),
            asked.calls,
            asked.bytes,
        );
    }
}

fn changed(rate: Rate) -> &'static str {
    match rate {
        Rate::All => "all",
        Rate::Percent => "1 %",
        Rate::Nothing => "nothing",
    }
}

/// The contestant with the workload's series, warm, its pages compared with
/// what they must show and its allocations counted.
fn checked(name: &str, rate: Rate, workload: &Workload) -> Row {
    let mut contestant = contestants::build(name, workload);
    let mut model = Model::new(workload);
    // A scrape before anything was counted, so that the one after shows that
    // nothing is left of it.
    contestant.encode();
    for changes in [
        workload.first_values(),
        workload.changes(Rate::All, 0),
        workload.changes(Rate::Percent, 0),
    ] {
        contestant.apply(&changes);
        model.apply(&changes);
        contestant.encode();
        assert_shows(contestant.page(), &model, name);
    }
    contestant.apply(&workload.changes(rate, 0));
    let ((), asked) = counting::count(|| contestant.encode());
    Row {
        name: name.to_owned(),
        rate,
        contestant: RefCell::new(contestant),
        asked,
    }
}
