//! Models of every cell for loom, which runs each of them in all the orders that
//! the memory orderings allow. Most have two writers, and a reader that asserts
//! what it may never see.

use std::time::{Duration, Instant};

use loom::model;
use loom::sync::Arc;
use loom::thread;

use super::quantile::{BinCounts, Bins};
use super::ring::{Ring, Slice};
use super::*;
use crate::sync::{AtomicU64, MAX_EXCLUSIVE_SLOTS, Ordering, ThreadSlots};

/// Runs `f` in all orders with at most two preemptions of a thread that could have
/// gone on. For models that take minutes in all orders.
fn model_of_two_preemptions(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(f);
}

/// Runs `f` with `value` in a thread of its own.
fn spawn<T: Send + Sync + 'static>(
    value: &Arc<T>,
    f: impl FnOnce(&T) + 'static,
) -> thread::JoinHandle<()> {
    let value = Arc::clone(value);
    thread::spawn(move || f(&value))
}

fn join<const N: usize>(threads: [thread::JoinHandle<()>; N]) {
    for thread in threads {
        thread.join().unwrap();
    }
}

fn reading<const N: usize>(cell: &impl Cell) -> [u64; N] {
    let mut row = [0; N];
    cell.read(&mut row);
    row
}

#[test]
fn counters_lose_nothing_and_are_monotone() {
    model(|| {
        let counter = Arc::new(Counter::default());
        let writers = [
            spawn(&counter, |counter| counter.inc_by(1)),
            spawn(&counter, |counter| {
                counter.inc_by(2);
                counter.raise_to(2);
            }),
        ];
        let before = counter.get();
        assert!(counter.get() >= before);
        join(writers);
        assert_eq!(counter.get(), 3);
    });
}

#[test]
fn float_counters_and_gauges_lose_nothing() {
    model(|| {
        let both = Arc::new((FloatCounter::default(), FloatGauge::default()));
        let writers = [1.0, 2.0].map(|amount| {
            spawn(&both, move |(counter, gauge)| {
                counter.inc_by(amount);
                gauge.sub(amount);
            })
        });
        let before = both.0.get();
        assert!(both.0.get() >= before);
        join(writers);
        assert_eq!((both.0.get(), both.1.get()), (3.0, -3.0));
    });
}

#[test]
fn gauge_additions_are_not_lost() {
    model(|| {
        let gauge = Arc::new(Gauge::default());
        let writers = [1, -2].map(|n| spawn(&gauge, move |gauge| gauge.add(n)));
        assert!((-2..=1).contains(&gauge.get()));
        join(writers);
        assert_eq!(gauge.get(), -1);
    });
}

#[test]
fn states_are_read_as_of_one_moment() {
    model(|| {
        let set = Arc::new(StateSet::new(&States::new(3).unwrap()));
        set.select(0);
        let writers = [1, 2].map(|state| spawn(&set, move |set| set.select(state)));
        assert_eq!(reading::<3>(&*set).iter().sum::<u64>(), 1);
        join(writers);
    });
}

/// Asserts that the sum does not lag behind the counts, when every value is 1.
fn assert_whole([low, all, sum]: [u64; 3]) {
    assert_eq!(low, 0);
    assert!(f64::from_bits(sum) >= all as f64);
}

fn buckets() -> Buckets {
    Buckets::new([0.5]).unwrap()
}

#[test]
fn histogram_sum_never_lags_its_count() {
    model(|| {
        let histogram = Arc::new(Histogram::new(&buckets()));
        let writers = [(); 2].map(|()| spawn(&histogram, |histogram| histogram.observe(1.0)));
        assert_whole(reading(&*histogram));
        join(writers);
        assert_eq!(reading(&*histogram), [0, 2, 2f64.to_bits()]);
    });
}

#[test]
fn next_writer_continues_from_the_last_one() {
    model(|| {
        let histogram = Arc::new(SingleWriter::new(Histogram::new(&buckets())));
        let observe = |histogram: &SingleWriter<Histogram>| {
            Writer::claim(histogram)
                .map(|writer| writer.observe(1.0))
                .is_ok()
        };
        let other = thread::spawn({
            let histogram = Arc::clone(&histogram);
            move || observe(&histogram)
        });
        let reader = spawn(&histogram, |histogram| assert_whole(reading(histogram)));
        let mine = observe(&histogram);
        let other = other.join().unwrap();
        reader.join().unwrap();
        let written = u64::from(mine) + u64::from(other);
        assert!(written > 0);
        assert_eq!(
            reading(&*histogram),
            [0, written, (written as f64).to_bits()]
        );
    });
}

#[test]
fn cell_is_never_claimed_twice_at_once() {
    model(|| {
        let cell = Arc::new(SingleWriter::<Counter>::default());
        let inside = Arc::new(AtomicU64::new(0));
        let enter = |cell: &SingleWriter<Counter>, inside: &AtomicU64| {
            if let Ok(writer) = Writer::claim(cell) {
                assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                writer.inc();
                inside.fetch_sub(1, Ordering::Relaxed);
            }
        };
        let other = thread::spawn({
            let (cell, inside) = (Arc::clone(&cell), Arc::clone(&inside));
            move || enter(&cell, &inside)
        });
        enter(&cell, &inside);
        other.join().unwrap();
    });
}

/// Runs `work` as a thread that holds a slot of its own.
fn with_slot(slots: &ThreadSlots, work: impl FnOnce(usize)) {
    let slot = slots.acquire().expect("more slots than threads");
    work(slot);
    slots.release(slot);
}

#[test]
fn stripe_passed_between_threads_loses_nothing() {
    model(|| {
        let shared = Arc::new((ThreadSlots::new(), StripedCounter::with_stripes(2)));
        let writers = [(); 2].map(|()| {
            spawn(&shared, |(slots, counter)| {
                with_slot(slots, |slot| counter.add(slot, 1));
            })
        });
        let before = shared.1.get();
        assert!(shared.1.get() >= before);
        join(writers);
        assert_eq!(shared.1.get(), 2);
    });
}

#[test]
fn threads_beyond_the_stripes_share_without_loss() {
    model(|| {
        let counter = Arc::new(StripedCounter::with_stripes(1));
        // One owns the only stripe, the others share the count beside it.
        let writers =
            [0, MAX_EXCLUSIVE_SLOTS].map(|thread| spawn(&counter, move |c| c.add(thread, 1)));
        counter.add(MAX_EXCLUSIVE_SLOTS + 1, 1);
        join(writers);
        assert_eq!(counter.get(), 3);
    });
}

#[test]
fn sharded_histogram_sum_never_lags_its_count() {
    model(|| {
        let shared = Arc::new((
            ThreadSlots::new(),
            ShardedHistogram::with_shards(2, &buckets()),
        ));
        let writers = [
            spawn(&shared, |(slots, histogram)| {
                with_slot(slots, |slot| histogram.add(slot, 1.0));
            }),
            spawn(&shared, |(_, histogram)| {
                histogram.add(MAX_EXCLUSIVE_SLOTS, 1.0)
            }),
        ];
        assert_whole(reading(&shared.1));
        join(writers);
        assert_eq!(reading(&shared.1), [0, 2, 2f64.to_bits()]);
    });
}

/// Three levels of two buckets: schema 0, -1 and -2.
const SMALL: native_histogram::Geometry = native_histogram::Geometry {
    steps: 8,
    levels: 3,
    ring: 2,
};

fn native_reading(cell: &impl Cell) -> NativeReading {
    let mut reading = NativeReading::default();
    assert!(cell.read_native(&mut reading));
    reading
}

/// Asserts that the sum does not lag behind the count, when no value is below 1,
/// and that nothing of an earlier reading is gone.
fn assert_grown(before: &NativeReading, now: &NativeReading) {
    assert!(now.sum() >= now.count() as f64);
    assert!(now.count() >= before.count());
    assert!(now.schema() <= before.schema() || before.count() == 0);
}

#[test]
fn native_histogram_loses_nothing_when_its_schema_is_lowered() {
    model_of_two_preemptions(|| {
        let options = NativeHistogramOptions::default();
        let histogram = Arc::new(NativeHistogram::with_geometry(&options, SMALL));
        histogram.observe(1.0);
        // Two buckets up, and one down: neither fits beside the other.
        let writers = [4.0, 2.0].map(|value| {
            spawn(&histogram, move |histogram: &NativeHistogram| {
                histogram.observe(value)
            })
        });
        let before = native_reading(&*histogram);
        assert!(before.count() >= 1 && before.sum() >= before.count() as f64);
        assert_grown(&before, &native_reading(&*histogram));
        join(writers);
        let reading = native_reading(&*histogram);
        assert_eq!((reading.count(), reading.sum()), (3, 7.0));
        // 1 is alone in its bucket; 2 and 4 share the next.
        assert_eq!(reading.schema(), -1);
        assert!(reading.positive().eq([(0, 1), (1, 2)]));
    });
}

#[test]
fn native_histogram_is_lowered_by_two_threads_at_once() {
    model_of_two_preemptions(|| {
        let options = NativeHistogramOptions::default();
        let histogram = Arc::new(NativeHistogram::with_geometry(&options, SMALL));
        histogram.observe(1.0);
        let writers = [16.0, 4.0].map(|value| {
            spawn(&histogram, move |histogram: &NativeHistogram| {
                histogram.observe(value)
            })
        });
        join(writers);
        let reading = native_reading(&*histogram);
        assert_eq!((reading.count(), reading.sum()), (3, 21.0));
        assert_eq!(reading.schema(), -2);
        assert!(reading.positive().eq([(0, 1), (1, 2)]));
    });
}

#[test]
fn sharded_native_histogram_is_read_in_the_coarsest_schema() {
    model_of_two_preemptions(|| {
        let options = NativeHistogramOptions::default();
        let shared = Arc::new((
            ThreadSlots::new(),
            ShardedNativeHistogram::with_shards(2, &options, SMALL),
        ));
        let writers = [1.0, 4.0].map(|value| {
            spawn(&shared, move |(slots, histogram)| {
                with_slot(slots, |slot| histogram.add(slot, value));
            })
        });
        assert_grown(&NativeReading::default(), &native_reading(&shared.1));
        join(writers);
        let reading = native_reading(&shared.1);
        assert_eq!((reading.count(), reading.schema()), (2, -1));
        assert!(reading.positive().eq([(0, 1), (1, 1)]));
    });
}

#[test]
fn classic_counts_are_never_ahead_of_native_ones() {
    model_of_two_preemptions(|| {
        let options = NativeHistogramOptions::builder()
            .classic(Buckets::new([1.0]).unwrap())
            .build()
            .unwrap();
        let histogram = Arc::new(NativeHistogram::with_geometry(&options, SMALL));
        let writers = [(); 2].map(|()| {
            spawn(&histogram, |histogram: &NativeHistogram| {
                histogram.observe(1.0)
            })
        });
        let [classic, all, sum] = reading(&*histogram);
        assert!(classic <= all && all as f64 <= f64::from_bits(sum));
        assert!(native_reading(&*histogram).count() >= classic);
        join(writers);
        assert_eq!(reading(&*histogram), [2, 2, 2f64.to_bits()]);
    });
}

/// A slice of two words that are always written together.
#[derive(Default)]
struct Pair([AtomicU64; 2]);

impl Pair {
    fn add(&self) {
        for word in &self.0 {
            word.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Slice for Pair {
    fn clear(&self) {
        for word in &self.0 {
            word.store(0, Ordering::Release);
        }
    }
}

const SLICE: Duration = Duration::from_secs(10);

fn window(slices: u32) -> Window {
    Window::new(SLICE * slices, slices as usize).unwrap()
}

fn quantile_options<const N: usize>(quantiles: [f64; N], high: f64) -> QuantileOptions {
    QuantileOptions::builder(quantiles)
        .window(window(1))
        .range(1.0, high)
        .keep_last()
        .build()
        .unwrap()
}

/// An instant in the slice with this number, for a ring made about now.
fn slice(number: u32) -> Instant {
    Instant::now() + SLICE * number
}

/// The number of calls of `add` in the window, by the first and the second word.
fn counted(ring: &Ring<Pair>, at: Instant) -> [u64; 2] {
    ring.read(at, |view| {
        let mut sums = [0; 2];
        for (pair, _) in view.slices().filter(|(_, in_window)| *in_window) {
            for (sum, word) in sums.iter_mut().zip(&pair.0) {
                *sum += word.load(Ordering::Relaxed);
            }
        }
        sums
    })
}

#[test]
fn ring_turn_loses_nothing() {
    model(|| {
        let ring = Arc::new(Ring::new(window(2), Instant::now(), Pair::default));
        ring.newest(slice(0)).add();
        // Both want to turn the ring, one of them further.
        let writers = [1, 2].map(|number| {
            spawn(&ring, move |ring: &Ring<Pair>| {
                ring.newest(slice(number)).add()
            })
        });
        join(writers);
        assert_eq!(counted(&ring, slice(2)), [3, 3]);
        // Nothing is counted for longer than the window, except what came too late
        // to turn the ring further.
        assert!(counted(&ring, slice(4))[0] <= 2);
        assert_eq!(counted(&ring, slice(5)), [0, 0]);
    });
}

#[test]
fn observations_after_a_long_silence_are_in_the_window() {
    model(|| {
        let ring = Arc::new(Ring::new(window(1), Instant::now(), Pair::default));
        ring.newest(slice(0)).add();
        let writers =
            [(); 2].map(|()| spawn(&ring, |ring: &Ring<Pair>| ring.newest(slice(100)).add()));
        join(writers);
        assert_eq!(counted(&ring, slice(100)), [2, 2]);
    });
}

#[test]
fn slice_is_read_whole_or_not_at_all() {
    model(|| {
        let ring = Arc::new(Ring::new(window(1), Instant::now(), Pair::default));
        ring.newest(slice(0)).add();
        ring.newest(slice(1)).add();
        // Clears the first slice, which is in the reader's window.
        let writer = spawn(&ring, |ring| {
            ring.newest(slice(2));
        });
        let [first, second] = counted(&ring, slice(1));
        assert_eq!(first, second);
        writer.join().unwrap();
    });
}

#[test]
fn reused_slot_shows_nothing_of_before() {
    model(|| {
        let ring = Arc::new(Ring::new(window(1), Instant::now(), Pair::default));
        for _ in 0..3 {
            ring.newest(slice(0)).add();
        }
        ring.newest(slice(1)).add();
        // The second of these goes to the slot of the first three.
        let writer = spawn(&ring, |ring| {
            ring.newest(slice(2)).add();
            ring.newest(slice(3)).add();
        });
        let counts = counted(&ring, slice(3));
        assert!(counts.iter().all(|count| *count <= 2), "{counts:?}");
        writer.join().unwrap();
        assert_eq!(counted(&ring, slice(3)), [2, 2]);
    });
}

#[test]
fn maximum_is_not_affected_by_a_cleared_peak() {
    model_of_two_preemptions(|| {
        let maximum = Arc::new(WindowMax::new(&window(1)));
        maximum.observe_at(9.0, slice(0));
        maximum.observe_at(1.0, slice(1));
        // Slice 3 goes to the slot of the 9.
        let writers = [
            spawn(&maximum, |maximum| {
                maximum.observe_at(2.0, slice(2));
                maximum.observe_at(3.0, slice(3));
            }),
            spawn(&maximum, |maximum| maximum.observe_at(4.0, slice(3))),
        ];
        join(writers);
        assert_eq!(maximum.get_at(slice(3)), 4.0);
    });
}

#[test]
fn late_observation_leaves_no_bin_unmarked() {
    model(|| {
        let counts = Arc::new(BinCounts::new(&Bins::new(1.0, 1.5, false).unwrap()));
        counts.count(1);
        let late = spawn(&counts, |counts| counts.count(1));
        counts.clear();
        late.join().unwrap();
        assert!(counts.is_marked(1) || counts.is_empty(1));
    });
}

#[test]
fn quantile_is_of_whole_slices() {
    model_of_two_preemptions(|| {
        // A range that needs two words of marks.
        let options = quantile_options([0.5], 1e20);
        let quantile = Arc::new(Quantile::new(&options));
        for (value, number) in [(1.0, 0), (1e20, 0), (1e20, 0), (1.0, 1)] {
            quantile.observe_at(value, slice(number));
        }
        // Clears the first slice. Were its 1 gone before the others, 1e20 would
        // be the median.
        let writer = spawn(&quantile, |quantile| quantile.observe_at(1.0, slice(2)));
        let mut row = [0; 3];
        quantile.read_at(slice(1), &mut row);
        let median = f64::from_bits(row[0]);
        assert!(median < 2.0, "{median}");
        writer.join().unwrap();
    });
}

#[test]
fn quantile_that_keeps_the_last_is_never_nan() {
    model(|| {
        let options = quantile_options([0.5], 1.5);
        let quantile = Arc::new(Quantile::new(&options));
        quantile.observe_at(1.0, slice(0));
        let writer = spawn(&quantile, |quantile| quantile.observe_at(1.0, slice(100)));
        let read = |at| {
            let mut row = [0; 3];
            quantile.read_at(at, &mut row);
            assert!(f64::from_bits(row[0]) >= 1.0);
            assert!(f64::from_bits(row[1]) >= row[2] as f64, "the sum lags");
        };
        read(slice(100));
        writer.join().unwrap();
        read(slice(100));
    });
}

#[test]
fn quantiles_lose_no_observation() {
    model(|| {
        let options = quantile_options([0.0, 1.0], 1.5);
        let quantile = Arc::new(Quantile::new(&options));
        let writers = [(1.0, 0), (1.5, 1)].map(|(value, number)| {
            spawn(&quantile, move |quantile| {
                quantile.observe_at(value, slice(number))
            })
        });
        join(writers);
        let mut row = [0; 4];
        quantile.read_at(slice(1), &mut row);
        let [least, greatest, sum] = [row[0], row[1], row[2]].map(f64::from_bits);
        assert!(least < 1.5 && greatest >= 1.5, "{least} {greatest}");
        assert_eq!((sum, row[3]), (2.5, 2));
    });
}

#[test]
fn window_maximum_loses_no_peak() {
    model(|| {
        let maximum = Arc::new(WindowMax::new(&window(1)));
        maximum.observe_at(1.0, slice(0));
        let writers = [(3.0, 0), (2.0, 1)].map(|(value, number)| {
            spawn(&maximum, move |maximum| {
                maximum.observe_at(value, slice(number))
            })
        });
        assert!(maximum.get_at(slice(1)) >= 1.0);
        join(writers);
        assert_eq!(maximum.get_at(slice(1)), 3.0);
    });
}

/// Labels that repeat one byte.
fn labels(byte: u8) -> ExemplarLabels {
    let mut labels = ExemplarLabels::EMPTY;
    labels.push(&[byte; 8]);
    labels
}

/// Returns true if there is an exemplar. Asserts that its value and text belong
/// together.
fn assert_untorn(counter: &WithExemplars<Counter>) -> bool {
    let mut exemplar = Exemplar::default();
    let found = counter.exemplar(0, &mut exemplar);
    if found {
        assert_eq!(exemplar.labels.bytes(), [exemplar.value as u8; 8]);
    }
    found
}

#[test]
fn exemplar_is_read_whole_or_not_at_all() {
    model(|| {
        let counter = Arc::new(WithExemplars::<Counter>::new());
        counter.inc_by_with_exemplar(1, &labels(1));
        // The reader is the second thread: loom remembers the last access to
        // each atomic, and a writer's would hide the reader's.
        let reader = spawn(&counter, |counter| {
            assert_untorn(counter);
        });
        counter.inc_by_with_exemplar(2, &labels(2));
        reader.join().unwrap();
        assert!(assert_untorn(&counter));
    });
}

#[test]
fn one_of_two_concurrent_exemplars_is_kept() {
    model(|| {
        let counter = Arc::new(WithExemplars::<Counter>::new());
        let writer = spawn(&counter, |counter| {
            counter.inc_by_with_exemplar(2, &labels(2))
        });
        counter.inc_by_with_exemplar(1, &labels(1));
        writer.join().unwrap();
        assert!(assert_untorn(&counter));
        assert_eq!(counter.get(), 3);
    });
}

#[test]
fn exemplar_abandoned_at_a_fork_is_replaced_whole() {
    model(|| {
        let counter = Arc::new(WithExemplars::<Counter>::new());
        counter.abandon_write(0);
        let writer = spawn(&counter, |counter| {
            counter.record_in_generation(2.0, &labels(2), 1);
        });
        counter.record_in_generation(1.0, &labels(1), 1);
        assert_untorn(&counter);
        writer.join().unwrap();
        assert!(assert_untorn(&counter));
    });
}

#[test]
fn turn_abandoned_at_a_fork_is_finished_once() {
    model(|| {
        let ring = Arc::new(Ring::new(window(3), Instant::now(), Pair::default));
        ring.newest(slice(0)).add();
        ring.abandon_turn();
        // Both want to turn the ring in the child, one of them further.
        let writers = [2, 3].map(|number| {
            spawn(&ring, move |ring: &Ring<Pair>| {
                ring.newest_in_generation(slice(number), 1).add();
            })
        });
        join(writers);
        assert_eq!(counted(&ring, slice(3)), [3, 3]);
        // The ring turns on.
        for number in 4..8 {
            ring.newest_in_generation(slice(number), 1).add();
        }
        assert_eq!(counted(&ring, slice(7)), [4, 4]);
    });
}

#[test]
fn static_histogram_sum_never_lags_its_count() {
    model(|| {
        let histogram = Arc::new(StaticHistogram::new([0.5]));
        let writers = [(); 2].map(|()| spawn(&histogram, |histogram| histogram.observe(1.0)));
        assert_whole(reading(&*histogram));
        join(writers);
        assert_eq!(reading(&*histogram), [0, 2, 2f64.to_bits()]);
    });
}
