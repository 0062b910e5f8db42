//! Time from values to a compressed page: structure-aware, against writing the
//! page and giving it to a compressor. Every page is decompressed by two
//! independent readers before anything is timed.

use std::cell::{Cell, RefCell};
use std::hint::black_box;
use std::io::Read;
use std::time::Instant;
use stethoscope::cell::{Buckets, FloatGauge, Histogram};
use stethoscope::exposition::Format;
use stethoscope::{Family, Handle, Registry, Scraper};
use stethoscope_rivals::figures::{record, rounds};
use stethoscope_rivals::round_robin::{Effort, Turn, median, ratio, readable, round_robin};
use stethoscope_rivals::series::Series;
use stethoscope_rivals::{Rate, Shape, Workload};

const UNFAIR: &str = "\
What is unfair, and to whom:
- Ours knows where the values are; a library is given bytes.
- libdeflate and zlib-rs keep their state, and have room for the worst page.
- Values change at every run, and keep their lengths mostly, as totals do.
";

/// The page of a Dask scheduler.
const SCHEDULER: &str = include_str!("../../pages/scheduler.txt");

/// Values that change, and a scraper of them.
struct Subject {
    update: Box<dyn FnMut(usize)>,
    scraper: Scraper,
    plain: Vec<u8>,
    compressed: Vec<u8>,
}

impl Subject {
    fn new(registry: &Registry, update: Box<dyn FnMut(usize)>) -> Self {
        Self {
            update,
            scraper: registry.scraper(),
            plain: Vec::new(),
            compressed: Vec::new(),
        }
    }

    fn write(&mut self) {
        self.plain.clear();
        self.scraper.scrape_into(Format::Text, &mut self.plain);
    }

    fn compress(&mut self) {
        self.compressed.clear();
        self.scraper
            .scrape_gzip_into(Format::Text, &mut self.compressed);
    }
}

/// The mixed series of the other benchmarks.
fn mixed(lines: usize, rate: Rate) -> Subject {
    let workload = Workload::new(Shape::of_lines(lines));
    let registry = Registry::new();
    let series = Series::register(&registry, &workload);
    series.apply(&workload.first_values());
    let update = move |round| series.apply(&workload.changes(rate, round));
    Subject::new(&registry, Box::new(update))
}

/// The families of a Dask scheduler's page, those of task prefixes with so many
/// prefixes. All values change.
fn dask(prefixes: usize) -> Subject {
    let registry = Registry::new();
    let mut gauges: Vec<(f64, Handle<FloatGauge>)> = Vec::new();
    let mut of_prefixes: Vec<(usize, String, usize, Handle<FloatGauge>)> = Vec::new();
    let mut histograms = Vec::new();
    for family in SCHEDULER.split("# HELP ").skip(1) {
        let (name, rest) = family.split_once(' ').expect("a name");
        let (help, rest) = rest.split_once('\n').expect("a text");
        let samples = rest.lines().skip(1);
        if rest.contains(" histogram\n") {
            let bounds = samples.filter_map(|line| {
                let (_, bound) = line.split_once("le=\"")?;
                bound.split('"').next()?.parse().ok()
            });
            let bounds: Vec<f64> = bounds.filter(|bound: &f64| bound.is_finite()).collect();
            let family = registry.family::<Histogram>(name, help);
            let buckets = Buckets::new(bounds).expect("ascending");
            histograms.push(family.options(buckets).register_single().expect("new"));
            continue;
        }
        let samples: Vec<(Vec<(&str, &str)>, f64)> = samples.map(sample).collect();
        let labels: Vec<&str> = samples[0].0.iter().map(|(label, _)| *label).collect();
        let family = registry.family::<FloatGauge>(name, help);
        let family = family.labels(labels.clone()).register().expect("new");
        if !labels.contains(&"task_prefix_name") {
            for (labels, value) in samples {
                let values: Vec<&str> = labels.iter().map(|(_, value)| *value).collect();
                gauges.push((value, with(&family, &values)));
            }
            continue;
        }
        let states: &[&str] = match labels.len() {
            1 => &[""],
            _ => &STATES,
        };
        for prefix in 0..prefixes {
            let prefix_label = prefix_name(prefix);
            for (index, state) in states.iter().enumerate() {
                let labels = &[prefix_label.as_str(), state][..labels.len()];
                of_prefixes.push((prefix, name.to_owned(), index, with(&family, labels)));
            }
        }
    }
    let update = move |round: usize| {
        for (index, (value, gauge)) in gauges.iter().enumerate() {
            let step = (index * 7 + round * 13) % 97;
            gauge.set(match value.fract() {
                0.0 => value + step as f64,
                _ => micros(value + step as f64 / 7.0),
            });
        }
        for (prefix, family, index, gauge) in &of_prefixes {
            gauge.set(prefix_value(*prefix, family, *index, round));
        }
        for histogram in &histograms {
            histogram.observe(0.02 * (round % 7) as f64);
        }
    };
    Subject::new(&registry, Box::new(update))
}

const STATES: [&str; 7] = [
    "waiting",
    "queued",
    "processing",
    "memory",
    "released",
    "forgotten",
    "erred",
];

/// The value of a prefix in a family: from one task to some ten thousand, nearly
/// all of which have passed through the same states; hardly one has failed.
fn prefix_value(prefix: usize, family: &str, index: usize, round: usize) -> f64 {
    let random = prefix.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let tasks = random % (1 << (1 + random % 14)) + 1 + round * (1 + prefix % 3);
    let running = if prefix.is_multiple_of(10) {
        tasks / 9
    } else {
        0
    };
    match family {
        "dask_scheduler_prefix_state_totals_total" => match STATES[index] {
            "waiting" | "queued" => tasks as f64,
            "processing" | "memory" => (tasks - running) as f64,
            "released" | "forgotten" => ((tasks - running) / 2) as f64,
            _ => (random % 50 / 49) as f64,
        },
        "dask_scheduler_tasks_compute_seconds_total" => {
            micros(tasks as f64 * (random % 1000) as f64 / 997.0)
        }
        "dask_scheduler_tasks_transfer_seconds_total" if !random.is_multiple_of(3) => {
            micros(tasks as f64 * (random % 100) as f64 / 1997.0)
        }
        "dask_scheduler_tasks_output_bytes" => (tasks * (random % 1_000_000)) as f64,
        _ => 0.0,
    }
}

/// Times have six digits, as in Dask.
fn micros(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}

fn with(family: &Family<FloatGauge>, values: &[&str]) -> Handle<FloatGauge> {
    family.with(values).expect("as many values as labels")
}

/// A name as the collections of Dask make them.
fn prefix_name(index: usize) -> String {
    const VERBS: [&str; 8] = [
        "read", "getitem", "sum", "mean", "lambda", "merge", "store", "map",
    ];
    const NOUNS: [&str; 5] = ["parquet", "chunk", "agg", "partitions", "csv"];
    format!(
        "{}-{}-{}",
        VERBS[index % 8],
        NOUNS[index / 8 % 5],
        index * 7919 % 10_007
    )
}

fn sample(line: &str) -> (Vec<(&str, &str)>, f64) {
    let (series, value) = line.rsplit_once(' ').expect("a value");
    let labels = series.split_once('{').map_or("", |(_, labels)| labels);
    let labels = labels.trim_end_matches('}').split(',').filter_map(|label| {
        let (name, value) = label.split_once('=')?;
        Some((name, value.trim_matches('"')))
    });
    (labels.collect(), value.parse().expect("a number"))
}

fn main() {
    println!("{UNFAIR}");
    let small = Effort {
        rounds: rounds(40),
        runs: 4,
    };
    let large = Effort {
        rounds: rounds(10),
        runs: 4,
    };
    let only = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let compare = |what: &str, effort, subject: fn() -> Subject| {
        if only
            .as_ref()
            .is_none_or(|only| what.contains(only.as_str()))
        {
            compare(what, effort, subject);
        }
    };
    compare("mixed, 3,500 lines, all changed", small, || {
        mixed(3_500, Rate::All)
    });
    compare("mixed, 3,500 lines, 1 % changed", small, || {
        mixed(3_500, Rate::Percent)
    });
    compare("mixed, 3,500 lines, unchanged", small, || {
        mixed(3_500, Rate::Nothing)
    });
    compare("mixed, 100,000 lines, all changed", large, || {
        mixed(100_000, Rate::All)
    });
    compare("Dask, 4 prefixes, all changed", small, || dask(4));
    compare("Dask, 1,000 prefixes, all changed", large, || dask(1_000));
    compare("Dask, 5,000 prefixes, all changed", large, || dask(5_000));
    first_scrape();
}

fn compare(what: &str, effort: Effort, subject: impl Fn() -> Subject) {
    let [plain, ours, library] = [0; 3].map(|_| RefCell::new(subject()));
    // The codes settle within a few pages.
    for round in 0..10 {
        (ours.borrow_mut().update)(round);
        ours.borrow_mut().compress();
    }
    let mut checked = ours.borrow_mut();
    checked.write();
    let page = std::mem::take(&mut checked.plain);
    checked.compress();
    assert_same(&checked.compressed, &page);
    let size = checked.compressed.len();
    drop(checked);

    let level = libdeflater::CompressionLvl::new(1).expect("a level");
    let mut libdeflate = libdeflater::Compressor::new(level);
    let mut zlib = flate2::Compress::new_gzip(flate2::Compression::new(6), 15);
    let libdeflate_size = Cell::new(0);
    let zlib_page = RefCell::new(subject());
    let mut room = vec![0; libdeflate.gzip_compress_bound(page.len() * 2)];
    let mut zlib_room = Vec::with_capacity(page.len() * 2);
    let size_by_zlib = zlib_size(&mut zlib, &page, &mut zlib_room);
    let names = [
        "plain page",
        "ours, compressed",
        "plain page + libdeflate 1",
        "plain page + zlib-rs 6",
    ];
    let mut turns = vec![
        Turn {
            prepare: Box::new(|round| (plain.borrow_mut().update)(round + 10)),
            run: Box::new(|| plain.borrow_mut().write()),
        },
        Turn {
            prepare: Box::new(|round| (ours.borrow_mut().update)(round + 10)),
            run: Box::new(|| ours.borrow_mut().compress()),
        },
        Turn {
            prepare: Box::new(|round| (library.borrow_mut().update)(round + 10)),
            run: Box::new(|| {
                let mut subject = library.borrow_mut();
                subject.write();
                let len = libdeflate.gzip_compress(&subject.plain, &mut room);
                libdeflate_size.set(black_box(len.expect("room")));
            }),
        },
        Turn {
            prepare: Box::new(|round| (zlib_page.borrow_mut().update)(round + 10)),
            run: Box::new(|| {
                let mut subject = zlib_page.borrow_mut();
                subject.write();
                black_box(zlib_size(&mut zlib, &subject.plain, &mut zlib_room));
            }),
        },
    ];
    let times = round_robin(&mut turns, effort);
    drop(turns);
    println!(
        "\n{what}: {} bytes, medians of {} rounds",
        page.len(),
        effort.rounds
    );
    println!(
        "{:<28} {:>10} {:>14} {:>10} {:>10} {:>8}",
        "", "time", "x libdeflate 1", "x plain", "bytes", "ratio"
    );
    let sizes = [page.len(), size, libdeflate_size.get(), size_by_zlib];
    for ((name, times_of), size) in names.iter().zip(&times).zip(sizes) {
        println!(
            "{name:<28} {:>10} {:>14.3} {:>10.2} {size:>10} {:>8.2}",
            readable(median(&times_of.warm)),
            ratio(&times_of.warm, &times[2].warm),
            ratio(&times_of.warm, &times[0].warm),
            page.len() as f64 / size as f64,
        );
        let row = format!("{name}, {what}");
        record("gzip", &row, "time", median(&times_of.warm), "ns");
        record("gzip", &row, "bytes", size as f64, "B");
    }
}

fn zlib_size(zlib: &mut flate2::Compress, page: &[u8], into: &mut Vec<u8>) -> usize {
    zlib.reset();
    into.clear();
    let status = zlib.compress_vec(page, into, flate2::FlushCompress::Finish);
    assert_eq!(status.expect("a page"), flate2::Status::StreamEnd);
    into.len()
}

/// The first compressed scrape after a family changed its members.
fn first_scrape() {
    println!("\nfirst compressed scrape");
    for series in [5_000, 100_000] {
        let registry = Registry::new();
        let labels = ["worker", "state"];
        let family = registry.float_gauge_family("load", "Load.", labels);
        let family = family.expect("new");
        let mut scraper = registry.scraper();
        let mut scrape = |what: &str| {
            let mut compressed = Vec::new();
            let start = Instant::now();
            scraper.scrape_gzip_into(Format::Text, &mut compressed);
            let spent = start.elapsed().as_nanos() as f64;
            println!("{what:<60} {:>10}", readable(spent));
        };
        let name = |index: usize| format!("tcp://10.0.{}.{}:4000", index / 256, index % 256);
        for index in 0..series {
            family.with([name(index).as_str(), "idle"]).expect("labels");
        }
        scrape(&format!("of {series} series"));
        scrape("the same, warm");
        family.with(["other", "idle"]).expect("labels");
        scrape("after one was added");
        family.remove(["other", "idle"]);
        scrape("after one was removed");
    }
}

fn assert_same(compressed: &[u8], page: &[u8]) {
    let mut read = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(compressed);
    decoder.read_to_end(&mut read).expect("valid gzip");
    assert!(read == page, "by zlib-rs");
    let mut read = vec![0; page.len()];
    let len = libdeflater::Decompressor::new().gzip_decompress(compressed, &mut read);
    assert!(len == Ok(page.len()) && read == page, "by libdeflate");
}
