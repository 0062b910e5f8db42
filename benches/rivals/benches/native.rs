//! Native histograms and protobuf pages: an observation by one thread and by two
//! that share a histogram, and a page beside our own text page.

use std::cell::RefCell;
use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use ::metrics::{Key, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{Matcher, NativeHistogramConfig, PrometheusBuilder};
use prometheus_client::metrics::histogram as client;
use stethoscope::Registry;
use stethoscope::cell::{NativeHistogram, ShardedNativeHistogram, SingleWriter, Writer};
use stethoscope::exposition::Format;
use stethoscope_rivals::counting::{self, Counting};
use stethoscope_rivals::figures::{record, rounds};
use stethoscope_rivals::round_robin::{Effort, Turn, median, ratio, readable, round_robin};
use stethoscope_rivals::series::Series;
use stethoscope_rivals::{Rate, Shape, Workload};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const UNFAIR: &str = "\
What is unfair, and to whom:
- An observation of metrics goes into a queue; sorting it into a bucket is paid at the
  scrape or an upkeep, which is not timed here.
- `sharded` has no counterpart in the other crates, and takes six times the memory.
- All histograms have schema 3; ours has at most 160 buckets, prometheus-client's as
  many as it needs.
- The values are between 1 and 8192, evenly by their logarithm: 104 buckets.
- Protobuf pages are compared with our own text pages only: prometheus-client writes
  them through prost, with a build script that needs `protoc`.
";

const ROUNDS: usize = 30;
const WARM: usize = 1_000;
const TIMES: usize = 100_000;
const VALUES: usize = 4096;

/// Observes so many values, from an index on.
type Observe<'a> = Box<dyn Fn(usize, usize) + Sync + 'a>;

fn main() {
    println!("{UNFAIR}");
    observations();
    pages();
}

fn values() -> Vec<f64> {
    let spread = |index: usize| {
        let mut bits = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ bits >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        (bits >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..VALUES)
        .map(|index| (spread(index) * 13.0).exp2())
        .collect()
}

fn each<'a>(values: &'a [f64], observe: impl Fn(f64) + Sync + 'a) -> Observe<'a> {
    Box::new(move |from, times| {
        for number in from..from + times {
            observe(values[number % VALUES]);
        }
    })
}

fn observations() {
    let values = values();
    let shared = NativeHistogram::default();
    let sharded = ShardedNativeHistogram::default();
    let single = SingleWriter::<NativeHistogram>::default();
    let peer = client::Histogram::new_native(client::NativeHistogramConfig::default());
    let config = NativeHistogramConfig::new(1.1, 160, 2f64.powi(-128)).expect("a good factor");
    let recorder = PrometheusBuilder::new()
        .set_native_histogram_for_metric(Matcher::Full("observed".to_owned()), config)
        .build_recorder();
    let metadata = Metadata::new(module_path!(), Level::INFO, None);
    let facade = recorder.register_histogram(&Key::from_static_name("observed"), &metadata);
    let subjects: Vec<(&str, usize, Observe<'_>)> = vec![
        (
            "stethoscope",
            2,
            each(&values, |value| shared.observe(value)),
        ),
        (
            "stethoscope, sharded",
            2,
            each(&values, |value| sharded.observe(value)),
        ),
        (
            "stethoscope, one writer",
            1,
            Box::new(|from, times| {
                let writer = Writer::claim(&single).expect("the only one");
                for number in from..from + times {
                    writer.observe(values[number % VALUES]);
                }
            }),
        ),
        (
            "prometheus-client 0.25",
            2,
            each(&values, |value| peer.observe(value)),
        ),
        (
            "metrics-exporter-prometheus 0.18",
            2,
            each(&values, |value| facade.record(value)),
        ),
    ];
    let handle = recorder.handle();
    let mut times = vec![[Vec::new(), Vec::new()]; subjects.len()];
    for round in 0..rounds(ROUNDS) {
        for place in 0..subjects.len() {
            let index = (round + place) % subjects.len();
            let (_, most, observe) = &subjects[index];
            for threads in 1..=*most {
                times[index][threads - 1].extend(time(observe, threads));
            }
            // Empties the queue of metrics, as a scrape would.
            handle.run_upkeep();
        }
    }
    println!(
        "{:<34}{:>10}{:>10}   ns of one observation",
        "threads", 1, 2
    );
    for ((name, ..), times) in subjects.iter().zip(&times) {
        print!("{name:<34}");
        for (threads, times) in times.iter().enumerate() {
            match times.is_empty() {
                true => print!("{:>10}", "-"),
                false => {
                    let table = format!("native observation, threads: {}", threads + 1);
                    record(&table, name, "update", median(times), "ns");
                    print!("{:>10.2}", median(times));
                }
            }
        }
        println!();
    }
    drop(subjects);
    assert!(shared.count() >= TIMES as u64 && shared.count() < sharded.count() * 2);
}

/// The time of one observation by the slowest thread; none if the threads did not
/// run at the same time for most of it.
fn time(observe: &Observe<'_>, threads: usize) -> Option<f64> {
    let barrier = Barrier::new(threads);
    let run = |thread: usize| {
        observe(0, WARM);
        barrier.wait();
        let start = Instant::now();
        observe(thread * WARM, TIMES);
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
    let slowest = { runs.iter() }
        .map(|(start, end)| end.duration_since(*start).as_secs_f64())
        .fold(0.0, f64::max);
    let last_start = runs.iter().map(|(start, _)| *start).max()?;
    let first_end = runs.iter().map(|(_, end)| *end).min()?;
    let together = first_end
        .saturating_duration_since(last_start)
        .as_secs_f64();
    (together > 0.7 * slowest).then_some(slowest * 1e9 / TIMES as f64)
}

fn pages() {
    let shape = Shape::of_lines(3_500);
    let workload = Workload::new(shape);
    let plan = [Rate::All, Rate::Percent, Rate::Nothing]
        .into_iter()
        .flat_map(|rate| [(rate, Format::Text), (rate, Format::Protobuf)]);
    let plan: Vec<(Rate, Format)> = plan.collect();
    let rows: Vec<_> = plan
        .iter()
        .map(|_| {
            let registry = Registry::new();
            let series = Series::register(&registry, &workload);
            series.apply(&workload.first_values());
            (series, RefCell::new(registry.scraper()))
        })
        .collect();
    for ((_, format), (series, scraper)) in plan.iter().zip(&rows) {
        let scrape = || black_box(scraper.borrow_mut().scrape(*format).len());
        scrape();
        series.apply(&workload.changes(Rate::All, 0));
        scrape();
        let ((), asked) = counting::count(|| {
            scrape();
        });
        assert_eq!(asked.calls, 0, "{format:?}");
    }
    let page = rows[1].1.borrow_mut().scrape(Format::Protobuf).to_vec();
    let mut copy = vec![0; page.len()];
    let mut turns: Vec<Turn> = plan
        .iter()
        .zip(&rows)
        .map(|((rate, format), (series, scraper))| Turn {
            prepare: Box::new(|number| series.apply(&workload.changes(*rate, number + 1))),
            run: Box::new(|| {
                black_box(scraper.borrow_mut().scrape(*format).len());
            }),
        })
        .collect();
    turns.push(Turn {
        prepare: Box::new(|_| {}),
        run: Box::new(|| black_box(&mut copy[..]).copy_from_slice(black_box(&page))),
    });
    let times = round_robin(
        &mut turns,
        Effort {
            rounds: 60,
            runs: 4,
        },
    );
    drop(turns);
    println!(
        "\n{} lines, {} bytes of protobuf; no allocations",
        shape.lines(),
        page.len()
    );
    println!("{:<10}{:>10}{:>12}{:>12}", "", "changed", "warm", "x text");
    for (index, (rate, format)) in plan.iter().enumerate() {
        let warm = &times[index].warm;
        let text = &times[index / 2 * 2].warm;
        let name = format!("{format:?}");
        let table = format!("protobuf page of {} lines, {rate:?}", shape.lines());
        record(&table, &name, "warm", median(warm), "ns");
        println!(
            "{name:<10}{:>10}{:>12}{:>12.3}",
            format!("{rate:?}"),
            readable(median(warm)),
            ratio(warm, text)
        );
    }
    let memcpy = &times[plan.len()].warm;
    println!("memcpy of the protobuf page: {}", readable(median(memcpy)));
}
