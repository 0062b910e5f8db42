//! How does the cost of a scrape grow? By series, from ten to a million; and by
//! what has changed in the registry since the scrape before.

use std::cell::RefCell;
use std::hint::black_box;
use std::time::Instant;
use stethoscope::Registry;
use stethoscope::exposition::Format;
use stethoscope_rivals::contestants::{self, FASTEST_PEER, STETHOSCOPE};
use stethoscope_rivals::figures::record;
use stethoscope_rivals::page::{Model, assert_shows};
use stethoscope_rivals::round_robin::{Effort, Turn, median, readable, round_robin};
use stethoscope_rivals::series::Series;
use stethoscope_rivals::{Contestant, Rate, Shape, Workload};

fn main() {
    by_series();
    by_membership();
}

/// Time a line must stay flat, but for the caches.
fn by_series() {
    println!(
        "Warm scrapes of counters and gauges, half and half, by the number of series;\n\
         medians of nanoseconds a line (bytes of page a nanosecond).\n\
         Caches here: see lscpu; from 10,000 series on little stays in the second level.\n"
    );
    let contestants: [(&str, Rate); 6] = [
        (STETHOSCOPE, Rate::All),
        (STETHOSCOPE, Rate::Percent),
        (STETHOSCOPE, Rate::Nothing),
        (FASTEST_PEER, Rate::All),
        ("prometheus-client 0.25", Rate::All),
        ("fastmetrics 0.7", Rate::All),
    ];
    print!("{:>9}", "series");
    for (name, rate) in contestants {
        let name = name.split(' ').next().unwrap_or_default();
        match rate {
            Rate::All => print!(" {name:>20}"),
            Rate::Percent => print!(" {:>20}", "1 % changed"),
            Rate::Nothing => print!(" {:>20}", "nothing changed"),
        }
    }
    println!(" {:>20}", "memcpy");
    for (series, rounds, runs) in [
        (10, 60, 60),
        (100, 60, 30),
        (1_000, 60, 8),
        (10_000, 30, 4),
        (100_000, 10, 4),
        (1_000_000, 3, 4),
    ] {
        let shape = Shape {
            counters: series / 2,
            gauges: series / 2,
            histograms: 0,
        };
        let workload = Workload::new(shape);
        let built: Vec<(RefCell<Box<dyn Contestant>>, Rate)> = contestants
            .iter()
            .map(|&(name, rate)| {
                let mut contestant = contestants::build(name, &workload);
                let mut model = Model::new(&workload);
                let first = workload.first_values();
                contestant.apply(&first);
                model.apply(&first);
                contestant.encode();
                assert_shows(contestant.page(), &model, name);
                (RefCell::new(contestant), rate)
            })
            .collect();
        let page = built[0].0.borrow_mut().page().to_vec();
        let mut copy = vec![0; page.len()];
        let mut turns: Vec<Turn> = built
            .iter()
            .map(|(contestant, rate)| Turn {
                prepare: Box::new(|number| {
                    let changes = workload.changes(*rate, number);
                    contestant.borrow_mut().apply(&changes);
                }),
                run: Box::new(|| contestant.borrow_mut().encode()),
            })
            .collect();
        turns.push(Turn {
            prepare: Box::new(|_| {}),
            run: Box::new(|| black_box(&mut copy[..]).copy_from_slice(black_box(&page))),
        });
        let times = round_robin(&mut turns, Effort { rounds, runs });
        print!("{series:>9}");
        for (index, times) in times.iter().enumerate() {
            let time = median(&times.warm);
            let bytes = match built.get(index) {
                Some((contestant, _)) => contestant.borrow_mut().page().len(),
                None => page.len(),
            };
            let a_line = time / series as f64;
            let row = match contestants.get(index) {
                Some((name, Rate::All)) => (*name).to_owned(),
                Some((name, rate)) => format!("{name}, {rate:?} changed"),
                None => "memcpy".to_owned(),
            };
            record(
                &format!("line, {series} series"),
                &row,
                "warm",
                a_line,
                "ns",
            );
            print!(
                " {:>20}",
                format!("{a_line:.1} ({:.2})", bytes as f64 / time)
            );
        }
        println!();
    }
}

/// The cost of compiling a layout, and of changing it. No other crate has one:
/// their scrapes cost what the table above shows, whatever came and went.
fn by_membership() {
    println!(
        "\nstethoscope, after the series themselves have changed; medians.\n\
         A series goes from a third of the way into the largest family, or comes at its end.\n"
    );
    println!(
        "{:>9} {:>14} {:>16} {:>18} {:>18}",
        "lines", "first scrape", "nothing changed", "one series added", "one series removed"
    );
    for (lines, rounds) in [(3_500, 100), (100_000, 12)] {
        let shape = Shape::of_lines(lines);
        let workload = Workload::new(shape);
        let registry = Registry::new();
        let ours = Series::register(&registry, &workload);
        ours.apply(&workload.first_values());
        let mut page = Vec::new();
        let mut times: [Vec<f64>; 4] = Default::default();
        for round in 0..rounds {
            page.clear();
            page.shrink_to_fit();
            let mut scraper = registry.scraper();
            let mut scrape = |times: &mut Vec<f64>| {
                page.clear();
                let start = Instant::now();
                scraper.scrape_into(Format::Text, &mut page);
                times.push(start.elapsed().as_secs_f64() * 1e9);
            };
            let [first, nothing, added, removed] = &mut times;
            scrape(first);
            scrape(nothing);
            let new = format!("/new/{round}");
            ours.requests.with(["GET", &new, "200"]).expect("made");
            scrape(added);
            let [method, route, status] = &workload.counters[shape.counters / 3 + round];
            assert!(ours.requests.remove([&**method, route, status]));
            scrape(removed);
            // One came, one went, and the page knows.
            let text = str::from_utf8(&page).expect("a page is UTF-8");
            let samples = text.lines().filter(|line| !line.starts_with('#'));
            assert_eq!(samples.count(), shape.lines());
            assert!(text.contains(&new));
        }
        print!("{:>9}", shape.lines());
        for (times, width) in times.iter().zip([14, 16, 18, 18]) {
            print!(" {:>width$}", readable(median(times)));
        }
        println!();
    }
}
