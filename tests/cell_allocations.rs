//! Counts allocations: updates and readings of every cell make none.

#[path = "support/counting.rs"]
mod counting;

use std::sync::Arc;
use std::time::{Duration, Instant};

use counting::allocations;
use stethoscope::cell::*;

/// Reads a cell in place.
fn read<const N: usize>(cell: &impl Cell) {
    let mut row = [0; N];
    cell.read(&mut row);
    std::hint::black_box(row);
}

/// Enough updates for every window to turn.
const TIMES: u64 = 1000;

#[test]
fn counters_and_gauges_allocate_nothing() {
    let (counter, float_counter) = (Counter::default(), FloatCounter::default());
    let (gauge, float_gauge) = (Gauge::default(), FloatGauge::default());
    let states = StateSet::new(&States::new(3).unwrap());
    let used = allocations(|| {
        for i in 0..TIMES {
            counter.inc();
            counter.inc_by(i);
            counter.raise_to(i);
            float_counter.inc_by(0.5);
            float_counter.raise_to(i as f64);
            gauge.set(7);
            gauge.add(1);
            gauge.sub(2);
            gauge.raise_to(3);
            gauge.set_to_current_time();
            float_gauge.set(0.1);
            float_gauge.add(1.5);
            float_gauge.set_to_current_time();
            states.set(1, true);
            states.select(2);
            read::<1>(&counter);
            read::<1>(&float_counter);
            read::<1>(&gauge);
            read::<1>(&float_gauge);
            read::<3>(&states);
        }
    });
    assert_eq!(used, 0);
}

#[test]
fn single_writers_allocate_nothing() {
    let counter = Arc::new(SingleWriter::<Counter>::default());
    let histogram = SingleWriter::<Histogram>::default();
    let used = allocations(|| {
        for i in 0..TIMES {
            let writer = Writer::claim(Arc::clone(&counter)).unwrap();
            writer.inc();
            let writer = Writer::claim(&histogram).unwrap();
            writer.observe(i as f64);
            drop(Timer::start(&writer));
            read::<1>(&*counter);
            read::<13>(&histogram);
        }
    });
    assert_eq!(used, 0);
}

#[test]
fn native_histograms_allocate_nothing() {
    let options = NativeHistogramOptions::builder()
        .schema(8)
        .negative_values()
        .classic(Buckets::default())
        .build()
        .unwrap();
    let histogram = WithExemplars::<NativeHistogram>::from_options(&options);
    let sharded = ShardedNativeHistogram::new(&options);
    let labels = ExemplarLabels::new([("trace_id", "1")]).unwrap();
    let mut reading = NativeReading::default();
    let mut turn = |value: f64| {
        histogram.observe(value);
        histogram.observe_with_exemplar(-value, &labels);
        sharded.observe(value);
        drop(Timer::start(&sharded));
        read::<13>(&histogram);
        assert!(histogram.read_native(&mut reading) && sharded.read_native(&mut reading));
        reading.schema()
    };
    // The buffers of the reading grow once.
    for i in 0..160 {
        turn(2f64.powf(f64::from(i) / 256.0));
    }
    let used = allocations(|| {
        for i in 0..TIMES {
            turn(2f64.powi(i as i32 - 500));
        }
    });
    assert_eq!(used, 0);
    assert_eq!(turn(f64::MAX), -3, "the schema was lowered on the way");
}

#[test]
fn histograms_allocate_nothing() {
    let histogram = Histogram::new(&Buckets::default());
    let used = allocations(|| {
        for i in 0..TIMES {
            histogram.observe(i as f64 / 100.0);
            drop(Timer::start(&histogram));
            read::<13>(&histogram);
        }
    });
    assert_eq!(used, 0);
}

#[test]
fn static_histograms_allocate_nothing_even_when_created() {
    let used = allocations(|| {
        let histogram = StaticHistogram::new([0.5, 1.0, 2.0]);
        for i in 0..TIMES {
            histogram.observe(i as f64 / 100.0);
            drop(Timer::start(&histogram));
            read::<5>(&histogram);
        }
    });
    assert_eq!(used, 0);
}

#[test]
fn striped_and_sharded_cells_allocate_nothing_once_the_thread_has_a_slot() {
    let counter = StripedCounter::new();
    let histogram = ShardedHistogram::new(&Buckets::default());
    // A thread's first such update assigns its slot.
    counter.inc();
    let used = allocations(|| {
        for i in 0..TIMES {
            counter.inc();
            histogram.observe(i as f64 / 100.0);
            read::<1>(&counter);
            read::<13>(&histogram);
        }
    });
    assert_eq!(used, 0);
}

#[test]
fn turning_windows_allocate_nothing() {
    let quantile = Quantile::new(&QuantileOptions::default());
    let maximum = WindowMax::new(&Window::default());
    let start = Instant::now();
    let used = allocations(|| {
        for i in 0..TIMES {
            let at = start + Duration::from_secs(i);
            quantile.observe_at((i as f64).exp2(), at);
            maximum.observe_at(i as f64, at);
            let mut row = [0; 5];
            quantile.read_at(at, &mut row);
            std::hint::black_box((row, maximum.get_at(at)));
            quantile.observe(1.0);
            maximum.observe(1.0);
            read::<5>(&quantile);
            read::<1>(&maximum);
        }
    });
    assert_eq!(used, 0);
}

#[test]
fn exemplars_allocate_nothing() {
    let counter = WithExemplars::<Counter>::new();
    let histogram = WithExemplars::<Histogram>::from_options(&Buckets::default());
    let used = allocations(|| {
        let mut exemplar = Exemplar::default();
        for i in 0..TIMES {
            let labels = ExemplarLabels::new([("trace_id", "4bf92f3577b34da6")]).unwrap();
            counter.inc_by_with_exemplar(i, &labels);
            histogram.observe_with_exemplar(i as f64, &labels);
            assert!(counter.exemplar(0, &mut exemplar));
            assert!(histogram.exemplar(0, &mut exemplar));
            assert_eq!(exemplar.labels.iter().count(), 1);
        }
    });
    assert_eq!(used, 0);
}
