//! Native histograms, against a reference that keeps a map behind a mutex.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use stethoscope::cell::*;
use stethoscope::exposition::{Format, parser::Options, validate};
use stethoscope::registry::Value;
use stethoscope::{MetricType, Registry};

/// A histogram as one would write it with a lock: exact bounds, and pairs of
/// buckets merged whenever there are too many.
struct Reference(Mutex<State>);

struct State {
    schema: i32,
    max_buckets: usize,
    zero: u64,
    sum: f64,
    positive: BTreeMap<i32, u64>,
    negative: BTreeMap<i32, u64>,
}

impl Reference {
    fn new(options: &NativeHistogramOptions) -> Self {
        Self(Mutex::new(State {
            schema: options.schema(),
            max_buckets: options.max_buckets(),
            zero: 0,
            sum: 0.0,
            positive: BTreeMap::new(),
            negative: BTreeMap::new(),
        }))
    }

    fn observe(&self, value: f64) {
        let mut state = self.0.lock().unwrap();
        if value.is_nan() {
            return;
        }
        state.sum += value;
        if value.abs() <= 2f64.powi(-128) {
            state.zero += 1;
            return;
        }
        let index = index(value.abs(), state.schema);
        let side = if value > 0.0 {
            &mut state.positive
        } else {
            &mut state.negative
        };
        *side.entry(index).or_default() += 1;
        while state.width(&state.positive) > state.max_buckets
            || state.width(&state.negative) > state.max_buckets
        {
            state.lower();
        }
    }
}

impl State {
    fn width(&self, side: &BTreeMap<i32, u64>) -> usize {
        let ends = side.keys().next().zip(side.keys().next_back());
        ends.map_or(0, |(first, last)| (last - first) as usize + 1)
    }

    fn lower(&mut self) {
        self.schema -= 1;
        for side in [&mut self.positive, &mut self.negative] {
            for (index, count) in std::mem::take(side) {
                // An even index keeps its upper bound.
                let merged = (index + index.rem_euclid(2)) / 2;
                *side.entry(merged).or_default() += count;
            }
        }
    }
}

/// The index of the bucket of a positive value: the least whose upper bound is not
/// less. A logarithm gives a guess that is at most one off.
fn index(value: f64, schema: i32) -> i32 {
    let bound = |index: i32| {
        // 2^(index/2^schema), with an exact power of two.
        let exponent = f64::from(index) * 2f64.powi(-schema);
        (exponent - exponent.floor()).exp2() * 2f64.powf(exponent.floor())
    };
    if value == f64::INFINITY {
        return index(f64::MAX, schema) + 1;
    }
    let guess = (value.log2() * 2f64.powi(schema)).ceil() as i32;
    let near = (guess - 1..=guess + 1).find(|index| value <= bound(*index));
    near.expect("the guess is at most one off")
}

fn read(cell: &impl Cell) -> NativeReading {
    let mut reading = NativeReading::default();
    assert!(cell.read_native(&mut reading));
    reading
}

fn assert_same(reading: &NativeReading, reference: &Reference) {
    let state = reference.0.lock().unwrap();
    assert_eq!(reading.schema(), state.schema);
    assert_eq!(reading.zero_count(), state.zero);
    let pairs = |side: &BTreeMap<i32, u64>| side.iter().map(|(i, n)| (*i, *n)).collect::<Vec<_>>();
    assert_eq!(
        reading.positive().collect::<Vec<_>>(),
        pairs(&state.positive)
    );
    assert_eq!(
        reading.negative().collect::<Vec<_>>(),
        pairs(&state.negative)
    );
    assert!(reading.sum() == state.sum || reading.sum().is_nan() && state.sum.is_nan());
}

/// Any number, or one that is likely to fall near another.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        3 => (-30i32..30, 1.0f64..2.0).prop_map(|(e, m)| m * 2f64.powi(e)),
        1 => (-30i32..30).prop_map(|e| 2f64.powi(e)),
        1 => any::<f64>(),
        1 => prop::sample::select(vec![
            0.0, -0.0, f64::MAX, f64::MIN_POSITIVE, f64::INFINITY, f64::NEG_INFINITY, f64::NAN,
            5e-324, 2f64.powi(-128),
        ]),
    ]
}

fn options() -> impl Strategy<Value = NativeHistogramOptions> {
    (-4i32..=8, 73usize..300).prop_map(|(schema, buckets)| {
        NativeHistogramOptions::builder()
            .schema(schema)
            .max_buckets(buckets)
            .negative_values()
            .build()
            .unwrap()
    })
}

proptest! {
    #[test]
    fn readings_are_those_of_the_reference(
        options in options(), values in prop::collection::vec(value(), 0..300),
    ) {
        let histogram = NativeHistogram::new(&options);
        let reference = Reference::new(&options);
        for (n, value) in values.iter().enumerate() {
            histogram.observe(*value);
            reference.observe(*value);
            if n % 50 == 0 {
                assert_same(&read(&histogram), &reference);
            }
        }
        assert_same(&read(&histogram), &reference);
        prop_assert_eq!(histogram.count(), read(&histogram).count());
    }

    #[test]
    fn shards_and_single_writers_count_the_same(
        options in options(), values in prop::collection::vec(value(), 0..100),
    ) {
        let plain = NativeHistogram::new(&options);
        let sharded = ShardedNativeHistogram::new(&options);
        let single = SingleWriter::new(NativeHistogram::new(&options));
        let writer = Writer::claim(&single).unwrap();
        for value in values {
            plain.observe(value);
            sharded.observe(value);
            writer.observe(value);
        }
        let reading = read(&plain);
        prop_assert_eq!(reading.count(), sharded.count());
        prop_assert_eq!(&format!("{reading:?}"), &format!("{:?}", read(&sharded)));
        prop_assert_eq!(&format!("{reading:?}"), &format!("{:?}", read(&single)));
    }
}

#[test]
fn shards_with_distant_values_are_merged_within_the_bound() {
    let options = NativeHistogramOptions::default();
    let histogram = ShardedNativeHistogram::new(&options);
    let reference = Reference::new(&options);
    for power in [-40, -20, 0, 20, 40] {
        let value = 2f64.powi(power);
        reference.observe(value);
        // A thread that lives on, so that the next one has another shard.
        std::thread::scope(|threads| {
            threads.spawn(|| {
                histogram.observe(value);
                std::thread::scope(|inner| {
                    inner.spawn(|| histogram.observe(value));
                });
            });
        });
        reference.observe(value);
    }
    let reading = read(&histogram);
    assert_eq!(reading.count(), 10);
    assert_same(&reading, &reference);
}

#[test]
fn observations_of_many_threads_are_all_counted_while_the_schema_falls() {
    const THREADS: usize = 3;
    const TIMES: usize = if cfg!(miri) { 50 } else { 20_000 };
    let options = NativeHistogramOptions::builder()
        .schema(8)
        .max_buckets(73)
        .build()
        .unwrap();
    let histogram = Arc::new(NativeHistogram::new(&options));
    let reference = Reference::new(&options);
    let value = |thread: usize, n: usize| {
        let spread = (n * 60 / TIMES) as i32;
        (1.0 + (n % 97) as f64 / 97.0) * 2f64.powi(if thread == 0 { spread } else { -spread })
    };
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let writers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let histogram = &histogram;
                threads.spawn(move || {
                    for n in 0..TIMES {
                        histogram.observe(value(thread, n));
                    }
                })
            })
            .collect();
        let reader = threads.spawn(|| {
            let mut before = read(&*histogram);
            while !done.load(Ordering::Relaxed) {
                let now = read(&*histogram);
                assert_only_grew(&before, &now);
                before = now;
            }
        });
        writers
            .into_iter()
            .for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    for thread in 0..THREADS {
        (0..TIMES).for_each(|n| reference.observe(value(thread, n)));
    }
    let reading = read(&*histogram);
    assert_eq!(reading.count(), (THREADS * TIMES) as u64);
    let state = reference.0.lock().unwrap();
    assert_eq!(reading.schema(), state.schema);
    assert!(
        reading
            .positive()
            .eq(state.positive.iter().map(|(i, n)| (*i, *n)))
    );
    // Additions of doubles are not associative.
    assert!((reading.sum() / state.sum - 1.0).abs() < 1e-9);
}

/// Asserts what a server takes for a reset if it fails: no bucket of the later
/// reading has less than the buckets that were merged into it.
fn assert_only_grew(before: &NativeReading, now: &NativeReading) {
    let steps = before.schema() - now.schema();
    assert!(steps >= 0 || before.count() == 0, "the schema was raised");
    assert!(now.count() >= before.count());
    let counts: BTreeMap<i32, u64> = now.positive().collect();
    let mut merged = BTreeMap::new();
    for (mut index, count) in before.positive() {
        (0..steps).for_each(|_| index = (index + index.rem_euclid(2)) / 2);
        *merged.entry(index).or_insert(0) += count;
    }
    for (index, count) in merged {
        assert!(
            counts.get(&index).is_some_and(|now| *now >= count),
            "bucket {index} shrank"
        );
    }
    // All values are positive.
    assert!(now.sum() >= before.sum());
}

#[test]
fn negative_values_without_buckets_are_zeros() {
    let histogram = NativeHistogram::default();
    for value in [-1.0, f64::NEG_INFINITY, -0.0, f64::NAN, 2.0] {
        histogram.observe(value);
    }
    let reading = read(&histogram);
    assert_eq!(
        (reading.count(), reading.zero_count(), reading.sum()),
        (4, 3, 2.0)
    );
    assert_eq!(reading.negative().count(), 0);
}

#[test]
fn default_reading_is_an_empty_histogram() {
    let reading = NativeReading::default();
    assert_eq!((reading.count(), reading.sum()), (0, 0.0));
    let empty = read(&NativeHistogram::default());
    assert_eq!((empty.count(), empty.schema()), (0, 3));
}

#[test]
fn options_out_of_range_are_refused() {
    let schema = |schema| NativeHistogramOptions::builder().schema(schema).build();
    assert_eq!(schema(9).unwrap_err(), OptionsError::Schema { schema: 9 });
    assert_eq!(schema(-5).unwrap_err(), OptionsError::Schema { schema: -5 });
    let buckets = |buckets| {
        NativeHistogramOptions::builder()
            .max_buckets(buckets)
            .build()
    };
    for refused in [0, 72, 16_385] {
        let error = buckets(refused).unwrap_err();
        assert_eq!(
            error.to_string(),
            "expected a native histogram of 73 to 16384 buckets, for example 160"
        );
    }
    assert!(buckets(73).is_ok() && buckets(16_384).is_ok());
}

#[test]
fn all_numbers_fit_into_the_fewest_buckets() {
    let options = NativeHistogramOptions::builder()
        .schema(8)
        .max_buckets(73)
        .build()
        .unwrap();
    let histogram = NativeHistogram::new(&options);
    histogram.observe(2f64.powi(-128).next_up());
    histogram.observe(f64::INFINITY);
    let reading = read(&histogram);
    assert_eq!(reading.schema(), -4);
    assert!(reading.positive().eq([(-7, 1), (65, 1)]));
}

#[test]
fn widest_ring_holds_its_widest_range() {
    let options = NativeHistogramOptions::builder()
        .schema(8)
        .max_buckets(16_384)
        .build()
        .unwrap();
    let histogram = NativeHistogram::new(&options);
    let bound = |index: i32| 2f64.powf(f64::from(index) / 256.0);
    histogram.observe(bound(0));
    histogram.observe(bound(16_383) * 0.9999);
    assert_eq!(read(&histogram).schema(), 8);
    histogram.observe(bound(16_384) * 1.0001);
    assert_eq!(read(&histogram).schema(), 7);
}

fn page(registry: &Registry, format: Format) -> String {
    let mut scraper = registry.scraper();
    let page = scraper.scrape(format).to_vec();
    validate::validate(&page, Options::strict(format)).unwrap();
    String::from_utf8(page).unwrap()
}

#[test]
fn text_pages_show_a_classic_histogram() {
    let registry = Registry::new();
    let options = NativeHistogramOptions::default();
    let plain = registry.native_histogram("plain", "", options).unwrap();
    let classic = NativeHistogramOptions::builder()
        .classic(Buckets::new([0.5, 1.0]).unwrap())
        .build()
        .unwrap();
    let classic = registry.native_histogram("classic", "", classic).unwrap();
    for value in [0.25, 1.0, 8.0] {
        plain.observe(value);
        classic.observe(value);
    }
    assert_eq!(
        page(&registry, Format::Text),
        "# TYPE plain histogram\nplain_bucket{le=\"+Inf\"} 3\nplain_sum 9.25\nplain_count 3\n\
         # TYPE classic histogram\nclassic_bucket{le=\"0.5\"} 1\nclassic_bucket{le=\"1\"} 2\n\
         classic_bucket{le=\"+Inf\"} 3\nclassic_sum 9.25\nclassic_count 3\n"
    );
    assert!(page(&registry, Format::OpenMetrics).contains("plain_sum 9.25\nplain_count 3\n"));
    page(&registry, Format::Text1);
}

#[test]
fn openmetrics_shows_no_sum_that_may_fall() {
    let registry = Registry::new();
    let options = NativeHistogramOptions::builder()
        .negative_values()
        .build()
        .unwrap();
    let histogram = registry.native_histogram("offset", "", options).unwrap();
    histogram.observe(-2.0);
    assert_eq!(
        page(&registry, Format::OpenMetrics),
        "# TYPE offset histogram\noffset_bucket{le=\"+Inf\"} 1\n# EOF\n"
    );
    assert!(page(&registry, Format::Text).contains("offset_sum -2\n"));
    let families = registry.gather();
    let Some(Value::NativeHistogram(reading)) = families[0].value([]) else {
        panic!("expected a native histogram, found {families:?}");
    };
    assert!(reading.negative().eq([(8, 1)]));
    assert_eq!(families[0].metric_type, MetricType::Histogram);
}

#[test]
fn exemplar_is_that_of_the_classic_bucket() {
    let labels = ExemplarLabels::new([("trace_id", "1")]).unwrap();
    let options = NativeHistogramOptions::builder()
        .classic(Buckets::new([1.0]).unwrap())
        .build()
        .unwrap();
    let registry = Registry::new();
    let histogram = registry
        .family::<WithExemplars<NativeHistogram>>("seconds", "")
        .options(options)
        .register_single()
        .unwrap();
    histogram.observe_with_exemplar(0.5, &labels);
    histogram.observe_with_exemplar(f64::NAN, &labels);
    let page = page(&registry, Format::OpenMetrics);
    assert!(
        page.contains("seconds_bucket{le=\"1.0\"} 1 # {trace_id=\"1\"} 0.5 "),
        "{page}"
    );
    assert_eq!(read(&**histogram).count(), 1);
    assert!(read(&*histogram).positive().eq([(-8, 1)]));
}

#[test]
fn existing_histogram_can_be_registered() {
    let histogram = Arc::new(ShardedNativeHistogram::default());
    let registry = Registry::new();
    registry
        .register("seconds", "", Arc::clone(&histogram))
        .unwrap();
    drop(Timer::start(&*histogram));
    assert!(page(&registry, Format::Text).contains("seconds_count 1\n"));
    let families = registry.gather();
    assert!(matches!(families[0].value([]), Some(Value::NativeHistogram(r)) if r.count() == 1));
}
