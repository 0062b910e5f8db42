//! The cost of one update of a cell, by one thread and by two at the same time.
//!
//! Times are of one update by one thread, the loop around it included. With two
//! threads, both run the same number of updates and the slower is timed. What
//! was counted is asserted after each run.

mod effort;

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use stethoscope::Registry;
use stethoscope::cell::*;

/// The twelve bounds that PEERS compare with: 1, 2, 4, … 2048.
fn buckets() -> Buckets {
    Buckets::exponential(1.0, 2.0, 12).unwrap()
}

/// Values that fall into all buckets, in an order that no branch predictor
/// learns.
fn values() -> Vec<f64> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    (0..VALUES)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 11) as f64 / (1u64 << 53) as f64 * 13.0).exp2()
        })
        .collect()
}

const VALUES: usize = 4096;

/// The time that `threads` threads take for `updates` of their own each.
fn time(threads: usize, updates: u64, update: impl Fn(u64) + Sync) -> Duration {
    let barrier = Barrier::new(threads);
    let run = || {
        barrier.wait();
        let start = Instant::now();
        for i in 0..updates {
            update(i);
        }
        start.elapsed()
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let mine = run();
        let times = others.into_iter().map(|other| other.join().unwrap());
        times.fold(mine, Duration::max)
    })
}

/// Times `update` on one and on two threads, after asserting that it counts.
fn one_and_two(
    c: &mut Criterion,
    name: &str,
    update: impl Fn(u64) + Sync,
    count: impl Fn() -> u64,
) {
    for threads in [1, 2] {
        c.bench_function(&format!("{name}/{threads}"), |b| {
            b.iter_custom(|updates| {
                let before = count();
                let took = time(threads, updates, &update);
                assert_eq!(count() - before, updates * threads as u64, "{name}");
                took
            });
        });
    }
}

/// Times `update` on one thread.
fn one(c: &mut Criterion, name: &str, mut update: impl FnMut(u64)) {
    c.bench_function(&format!("{name}/1"), |b| {
        b.iter_custom(|updates| {
            let start = Instant::now();
            for i in 0..updates {
                update(i);
            }
            start.elapsed()
        });
    });
}

/// The last bucket of a histogram.
fn count<C: Cell<Options = Buckets>>(cell: &C) -> u64 {
    let mut row = [0; 14];
    cell.read(&mut row);
    row[12]
}

fn counters(c: &mut Criterion) {
    let counter = Counter::default();
    one_and_two(c, "inc/shared", |_| counter.inc(), || counter.get());
    let counter = StripedCounter::new();
    one_and_two(c, "inc/striped", |_| counter.inc(), || counter.get());
    let counter = SingleWriter::<Counter>::default();
    let writer = Writer::claim(&counter).unwrap();
    one(c, "inc/single_writer", |_| writer.inc());

    let counter = FloatCounter::default();
    one_and_two(
        c,
        "inc_by/float_shared",
        |_| counter.inc_by(black_box(0.5)),
        || (counter.get() * 2.0) as u64,
    );
    let counter = SingleWriter::<FloatCounter>::default();
    let writer = Writer::claim(&counter).unwrap();
    one(c, "inc_by/float_single_writer", |_| {
        writer.inc_by(black_box(0.5))
    });
}

fn gauges(c: &mut Criterion) {
    let gauge = Gauge::default();
    one_and_two(
        c,
        "add/gauge",
        |_| gauge.add(black_box(1)),
        || gauge.get() as u64,
    );
    one(c, "set/gauge", |i| gauge.set(i as i64));
    let gauge = SingleWriter::<Gauge>::default();
    let writer = Writer::claim(&gauge).unwrap();
    one(c, "add/gauge_single_writer", |_| writer.add(black_box(1)));
    let gauge = FloatGauge::default();
    one_and_two(
        c,
        "add/float_gauge",
        |_| gauge.add(black_box(1.0)),
        || gauge.get() as u64,
    );
}

fn observations(c: &mut Criterion) {
    let values = values();
    let value = |i: u64| values[i as usize % VALUES];

    let histogram = Histogram::new(&buckets());
    one_and_two(
        c,
        "observe/shared",
        |i| histogram.observe(value(i)),
        || count(&histogram),
    );
    let histogram = ShardedHistogram::new(&buckets());
    one_and_two(
        c,
        "observe/sharded",
        |i| histogram.observe(value(i)),
        || count(&histogram),
    );
    let histogram = SingleWriter::new(Histogram::new(&buckets()));
    let writer = Writer::claim(&histogram).unwrap();
    one(c, "observe/single_writer", |i| writer.observe(value(i)));

    // 13 powers of two in 8 buckets each.
    let histogram = NativeHistogram::default();
    one_and_two(
        c,
        "observe/native",
        |i| histogram.observe(value(i)),
        || histogram.count(),
    );
    let histogram = ShardedNativeHistogram::default();
    one_and_two(
        c,
        "observe/native_sharded",
        |i| histogram.observe(value(i)),
        || histogram.count(),
    );
    let histogram = SingleWriter::new(NativeHistogram::default());
    let writer = Writer::claim(&histogram).unwrap();
    one(c, "observe/native_single_writer", |i| {
        writer.observe(value(i))
    });

    let quantile = Quantile::new(&QuantileOptions::default());
    let observed = || {
        let mut row = [0; 5];
        quantile.read(&mut row);
        row[4]
    };
    let now = Instant::now();
    one_and_two(
        c,
        "observe/quantile",
        |i| quantile.observe(value(i)),
        observed,
    );
    one_and_two(
        c,
        "observe_at/quantile",
        |i| quantile.observe_at(value(i), now),
        observed,
    );

    let maximum = WindowMax::new(&Window::default());
    one(c, "observe/window_max", |i| maximum.observe(value(i)));
    one(c, "observe_at/window_max", |i| {
        maximum.observe_at(value(i), now)
    });

    // How the search for the bucket grows with their number.
    for bounds in [0, 4, 12, 16, 24, 32, 33, 64, 256] {
        let scaled = Buckets::linear(0.0, 8192.0 / bounds.max(1) as f64, bounds).unwrap();
        let histogram = SingleWriter::new(Histogram::new(&scaled));
        let writer = Writer::claim(&histogram).unwrap();
        one(c, &format!("observe/bounds_{bounds}"), |i| {
            writer.observe(value(i))
        });
    }
}

/// The cost of reading each cell in a scrape.
fn readings(c: &mut Criterion) {
    let values = values();
    let now = Instant::now();
    let mut row = [0; 16];
    let histogram = Histogram::new(&buckets());
    let sharded = ShardedHistogram::new(&buckets());
    let native = NativeHistogram::default();
    let native_sharded = ShardedNativeHistogram::default();
    let mut native_row = NativeReading::default();
    let quantile = Quantile::new(&QuantileOptions::default());
    let maximum = WindowMax::new(&Window::default());
    // Seven slices, all of them full.
    for (i, value) in values.iter().enumerate() {
        let at = now + Duration::from_secs(i as u64 * 60 / VALUES as u64);
        histogram.observe(*value);
        sharded.observe(*value);
        native.observe(*value);
        native_sharded.observe(*value);
        quantile.observe_at(*value, at);
        maximum.observe_at(*value, at);
    }
    one(c, "read/histogram", |_| {
        histogram.read(black_box(&mut row[..14]))
    });
    one(c, "read/sharded_histogram", |_| {
        sharded.read(black_box(&mut row[..14]))
    });
    one(c, "read/native_histogram", |_| {
        native.read_native(black_box(&mut native_row));
    });
    one(c, "read/native_histogram_sharded", |_| {
        native_sharded.read_native(black_box(&mut native_row));
    });
    one(c, "read/window_max", |_| {
        maximum.read(black_box(&mut row[..1]))
    });
    one(c, "read/quantile", |_| {
        quantile.read(black_box(&mut row[..5]))
    });
}

/// The whole way of an update that did not keep its handle.
fn look_up(c: &mut Criterion) {
    let registry = Registry::new();
    let family = registry
        .counter_family("requests_total", "Requests.", ["method", "code"])
        .unwrap();
    let codes: Vec<String> = (200..300).map(|code| code.to_string()).collect();
    let code = |i: u64| codes[i as usize % codes.len()].as_str();
    for i in 0..codes.len() as u64 {
        family.with(["GET", code(i)]).unwrap();
    }
    let count = || {
        let handles = codes.iter().map(|code| family.get(["GET", code]).unwrap());
        handles.map(|handle| handle.get()).sum()
    };
    one_and_two(
        c,
        "look_up/with",
        |i| family.with(["GET", code(i)]).unwrap().inc(),
        count,
    );
    one_and_two(
        c,
        "look_up/update",
        |i| {
            family
                .update(["GET", code(i)], |counter| counter.inc())
                .unwrap();
        },
        count,
    );
}

criterion_group! {
    name = benches;
    config = effort::brief();
    targets = counters, gauges, observations, readings, look_up
}
criterion_main!(benches);
