//! The behaviour of cells that users rely on, through the public API.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use stethoscope::cell::*;
use stethoscope::exposition::Format;
use stethoscope::{ExemplarError, Registry};

/// One reading of a cell.
fn reading<C: Cell>(cell: &C, options: &C::Options) -> Vec<u64> {
    let mut row = vec![u64::MAX; C::width(options)];
    cell.read(&mut row);
    row
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[test]
fn counter_counts_and_never_goes_back() {
    let counter = Counter::default();
    counter.inc();
    counter.inc_by(41);
    counter.raise_to(40);
    assert_eq!(counter.get(), 42);
    counter.raise_to(100);
    assert_eq!(reading(&counter, &()), [100]);
}

#[test]
fn float_counter_ignores_increments_that_are_not_positive_and_finite() {
    let counter = FloatCounter::default();
    counter.inc();
    counter.inc_by(0.5);
    for refused in [-1.0, -0.0, 0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        counter.inc_by(refused);
        counter.raise_to(refused);
    }
    assert_eq!(counter.get(), 1.5);
    counter.raise_to(2.25);
    counter.raise_to(1.0);
    assert_eq!(reading(&counter, &()), [2.25f64.to_bits()]);
}

#[test]
fn float_counter_stays_finite() {
    let counter = FloatCounter::default();
    counter.inc_by(f64::MAX);
    counter.inc_by(f64::MAX);
    assert_eq!(counter.get(), f64::MAX);
}

#[test]
fn gauges_go_up_and_down() {
    let gauge = Gauge::default();
    gauge.set(10);
    gauge.inc();
    gauge.add(5);
    gauge.dec();
    gauge.sub(25);
    assert_eq!(gauge.get(), -10);
    assert_eq!(reading(&gauge, &()), [-10i64 as u64]);
    gauge.raise_to(-20);
    assert_eq!(gauge.get(), -10);
    gauge.raise_to(3);
    assert_eq!(gauge.get(), 3);

    let gauge = FloatGauge::default();
    gauge.set(0.5);
    gauge.inc();
    gauge.add(0.25);
    gauge.dec();
    gauge.sub(1.0);
    assert_eq!(gauge.get(), -0.25);
    gauge.raise_to(f64::NAN);
    gauge.raise_to(-1.0);
    assert_eq!(reading(&gauge, &()), [(-0.25f64).to_bits()]);
    gauge.set(f64::NAN);
    assert!(gauge.get().is_nan());
}

#[test]
fn gauges_can_be_set_to_the_current_time() {
    let now = || {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs_f64()
    };
    let (whole, exact) = (Gauge::default(), FloatGauge::default());
    let before = now();
    whole.set_to_current_time();
    exact.set_to_current_time();
    let after = now();
    assert!((before..=after).contains(&exact.get()));
    assert!((before.floor()..=after).contains(&(whole.get() as f64)));
}

#[test]
fn bucket_includes_its_bound() {
    let buckets = Buckets::new([-1.0, 0.0, 1.0]).unwrap();
    let histogram = Histogram::new(&buckets);
    for value in [-1.0, -0.0, 0.0, 1.0, 1.0f64.next_up(), f64::INFINITY] {
        histogram.observe(value);
    }
    let row = reading(&histogram, &buckets);
    assert_eq!(row[..4], [1, 3, 4, 6]);
    assert_eq!(f64::from_bits(row[4]), f64::INFINITY);
}

#[test]
fn histogram_ignores_nan() {
    let buckets = Buckets::default();
    let histogram = Histogram::new(&buckets);
    histogram.observe(0.5);
    histogram.observe(f64::NAN);
    let row = reading(&histogram, &buckets);
    assert_eq!(row[buckets.bounds().len()], 1);
    assert_eq!(f64::from_bits(row[buckets.bounds().len() + 1]), 0.5);
}

#[test]
fn histogram_without_bounds_counts_and_sums() {
    let buckets = Buckets::new([]).unwrap();
    let histogram = Histogram::new(&buckets);
    histogram.observe(2.0);
    histogram.observe(3.0);
    assert_eq!(reading(&histogram, &buckets), [2, 5f64.to_bits()]);
}

#[test]
fn invalid_bounds_are_refused_with_their_index() {
    let refused = |bounds: &[f64]| Buckets::new(bounds.iter().copied()).unwrap_err();
    assert_eq!(
        refused(&[1.0, f64::NAN]),
        OptionsError::BoundNotFinite { index: 1 }
    );
    assert_eq!(
        refused(&[1.0, 2.0, f64::INFINITY]),
        OptionsError::BoundNotFinite { index: 2 }
    );
    assert_eq!(
        refused(&[1.0, 2.0, 2.0]),
        OptionsError::BoundNotAscending { index: 2 }
    );
    assert_eq!(
        refused(&[-0.0, 0.0]),
        OptionsError::BoundNotAscending { index: 1 }
    );
    for (start, width) in [
        (0.0, 0.0),
        (0.0, -1.0),
        (0.0, f64::NAN),
        (0.0, f64::INFINITY),
    ] {
        assert_eq!(
            Buckets::linear(start, width, 3),
            Err(OptionsError::BoundsNotGrowing)
        );
    }
    for (start, factor) in [(0.0, 2.0), (-1.0, 2.0), (1.0, 1.0), (1.0, f64::NAN)] {
        assert_eq!(
            Buckets::exponential(start, factor, 3),
            Err(OptionsError::BoundsNotGrowing)
        );
    }
    // Too fine, or too far, for an f64.
    assert!(Buckets::linear(1e300, 1.0, 2).is_err());
    assert!(Buckets::exponential(1.0, 1e100, 5).is_err());
}

#[test]
fn bounds_are_linear_or_exponential() {
    let linear = Buckets::linear(-1.0, 0.5, 4).unwrap();
    assert_eq!(linear.bounds(), [-1.0, -0.5, 0.0, 0.5]);
    let exponential = Buckets::exponential(0.25, 4.0, 4).unwrap();
    assert_eq!(exponential.bounds(), [0.25, 1.0, 4.0, 16.0]);
}

/// Any number but NaN.
fn number() -> impl Strategy<Value = f64> {
    any::<u64>()
        .prop_map(f64::from_bits)
        .prop_filter("not NaN", |x| !x.is_nan())
}

/// Bounds as people write them, bounds that are close together, and any others.
fn bounds() -> impl Strategy<Value = Vec<f64>> {
    let whole = proptest::collection::btree_set(-1000i32..1000, 0..80);
    let close = proptest::collection::btree_set(0u64..1000, 0..80);
    let wild = proptest::collection::vec(number().prop_filter("finite", |x| x.is_finite()), 0..20);
    prop_oneof![
        whole.prop_map(|bounds| bounds.into_iter().map(f64::from).collect()),
        (
            any::<f64>().prop_filter("fits", |x| x.abs() > 1e-300 && x.abs() < 1e300),
            close
        )
            .prop_map(|(start, steps)| {
                let mut bounds: Vec<f64> = steps
                    .into_iter()
                    .map(|step| f64::from_bits(start.to_bits() + step))
                    .collect();
                bounds.sort_by(f64::total_cmp);
                bounds
            }),
        wild.prop_map(|mut bounds| {
            bounds.iter_mut().for_each(|bound| *bound += 0.0);
            bounds.sort_by(f64::total_cmp);
            bounds.dedup();
            bounds
        }),
    ]
}

proptest! {
    #[test]
    fn every_value_is_counted_in_the_first_bucket_that_holds_it(
        bounds in bounds(),
        mut values in proptest::collection::vec(prop_oneof![-1100.0..1100.0f64, number()], 0..100),
    ) {
        // The critical values: the bounds, and their neighbours.
        values.extend(bounds.iter().flat_map(|b| [*b, b.next_up(), b.next_down()]));
        let buckets = Buckets::new(bounds.iter().copied()).unwrap();
        let histogram = Histogram::new(&buckets);
        for &value in &values {
            histogram.observe(value);
        }
        let row = reading(&histogram, &buckets);
        for (bound, count) in bounds.iter().chain([&f64::INFINITY]).zip(&row) {
            let below = values.iter().filter(|&value| value <= bound).count();
            prop_assert_eq!(*count, below as u64, "le {}", bound);
        }
        let falls = bounds.first().is_some_and(|bound| *bound < 0.0);
        let sum = values.iter().fold(0.0, |sum, value| {
            sum + if falls { *value } else { value.max(0.0) }
        });
        let shown = f64::from_bits(row[row.len() - 1]);
        prop_assert!(shown == sum || (falls && shown.is_nan() && sum.is_nan()), "{shown} is not {sum}");
        prop_assert_eq!(histogram.count(), row[row.len() - 2]);
        prop_assert_eq!(histogram.sum().to_bits(), shown.to_bits());
    }
}

/// The exact quantile: the ceil(q n)-th least value.
fn exact(sorted: &[f64], q: f64) -> f64 {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

fn quantiles_at(cell: &Quantile, options: &QuantileOptions, at: Instant) -> Vec<f64> {
    let mut row = vec![0; Quantile::width(options)];
    cell.read_at(at, &mut row);
    row[..options.quantiles().len()]
        .iter()
        .map(|&bits| f64::from_bits(bits))
        .collect()
}

fn assert_close(shown: f64, exact: f64) {
    assert!(
        (shown - exact).abs() <= 0.01 * exact.abs(),
        "{shown} is more than 1 % from {exact}"
    );
}

#[test]
fn median_is_not_affected_by_one_large_value() {
    let options = QuantileOptions::new([0.5]).unwrap();
    let cell = Quantile::new(&options);
    let now = Instant::now();
    for _ in 0..100 {
        cell.observe_at(0.02, now);
    }
    cell.observe_at(3.0, now);
    assert_close(quantiles_at(&cell, &options, now)[0], 0.02);
}

#[test]
fn quantile_is_nan_while_the_window_is_empty() {
    let options = QuantileOptions::default();
    let now = Instant::now();
    let cell = Quantile::new_at(&options, now);
    assert!(
        quantiles_at(&cell, &options, now)
            .iter()
            .all(|q| q.is_nan())
    );
    cell.observe_at(f64::NAN, now);
    assert!(
        quantiles_at(&cell, &options, now)
            .iter()
            .all(|q| q.is_nan())
    );

    cell.observe_at(7.0, now);
    // The value is in the window, and for up to a slice of 10 s longer.
    for later in [0.0, 59.0, 69.0] {
        for shown in quantiles_at(&cell, &options, now + seconds(later)) {
            assert_close(shown, 7.0);
        }
    }
    for later in [70.0, 3600.0, 1e6] {
        let shown = quantiles_at(&cell, &options, now + seconds(later));
        assert!(
            shown.iter().all(|q| q.is_nan()),
            "{shown:?} after {later} s"
        );
    }
    cell.observe_at(8.0, now + seconds(1e6));
    assert_close(quantiles_at(&cell, &options, now + seconds(1e6))[0], 8.0);
}

#[test]
fn quantile_with_keep_last_shows_the_last_value_after_the_window() {
    let options = QuantileOptions::builder([0.5]).keep_last().build().unwrap();
    let now = Instant::now();
    let cell = Quantile::new_at(&options, now);
    assert!(quantiles_at(&cell, &options, now)[0].is_nan());
    cell.observe_at(7.0, now);
    for later in [0.0, 59.0, 70.0, 3600.0, 1e6] {
        assert_close(quantiles_at(&cell, &options, now + seconds(later))[0], 7.0);
    }
}

#[test]
fn quantile_of_the_largest_floats_is_finite() {
    let options = QuantileOptions::builder([0.5]).range(1e300, 1.7e308);
    let options = options.build().unwrap();
    let now = Instant::now();
    for value in [1e307, 1.7e308, 1.795e308] {
        let cell = Quantile::new(&options);
        cell.observe_at(value, now);
        assert_close(quantiles_at(&cell, &options, now)[0], value);
    }
}

#[test]
fn ignored_values_do_not_end_a_window_maximum() {
    let cell = WindowMax::new(&Window::default());
    let start = Instant::now();
    cell.observe_at(5.0, start);
    for later in 0..100 {
        let now = start + seconds(10.0 * f64::from(later));
        cell.observe_at(f64::NAN, now);
        cell.observe_at(f64::NEG_INFINITY, now);
        assert_eq!(cell.get_at(now), 5.0);
    }
}

#[test]
fn window_maximum_accepts_instants_in_the_far_future() {
    let cell = WindowMax::new(&Window::default());
    let far = Instant::now() + seconds(600.0 * 365.0 * 86_400.0);
    cell.observe_at(1.0, far);
    assert_eq!(cell.get_at(far), 1.0);
}

#[test]
fn window_moves_on() {
    let options = QuantileOptions::new([0.0, 1.0]).unwrap();
    let cell = Quantile::new(&options);
    let start = Instant::now();
    // One value a second, the second's number.
    for second in 0..600 {
        let now = start + seconds(f64::from(second) + 0.5);
        cell.observe_at(f64::from(second + 1), now);
        let shown = quantiles_at(&cell, &options, now);
        assert_close(shown[1], f64::from(second + 1));
        // All of the last minute, and at most one slice more.
        assert!(
            shown[0] <= f64::from(second + 1 - 60).max(1.0) * 1.01,
            "{shown:?} at {second}"
        );
        assert!(
            shown[0] >= f64::from(second + 1 - 70).max(1.0) * 0.99,
            "{shown:?} at {second}"
        );
    }
}

#[test]
fn summary_sum_and_count_outlive_the_window() {
    let options = QuantileOptions::new([0.5]).unwrap();
    let cell = Quantile::new(&options);
    let start = Instant::now();
    for minute in 0..100 {
        cell.observe_at(0.5, start + seconds(60.0 * f64::from(minute)));
    }
    let row = reading(&cell, &options);
    assert_eq!(f64::from_bits(row[1]), 50.0);
    assert_eq!(row[2], 100);
}

#[test]
fn values_out_of_range_count_as_its_ends() {
    let options = QuantileOptions::builder([0.0, 0.5, 1.0])
        .range(0.001, 1000.0)
        .build()
        .unwrap();
    let now = Instant::now();
    let shown = |values: &[f64]| {
        let cell = Quantile::new(&options);
        for &value in values {
            cell.observe_at(value, now);
        }
        quantiles_at(&cell, &options, now)
    };
    assert_eq!(shown(&[0.0, -5.0, 1e-9]), [0.0, 0.0, 0.0]);
    assert_eq!(
        shown(&[f64::MIN_POSITIVE, -0.0, f64::NEG_INFINITY]),
        [0.0; 3]
    );
    for high in [1e9, f64::MAX, f64::INFINITY] {
        let top = shown(&[high])[0];
        assert!((1000.0..=1024.0).contains(&top), "{top}");
    }
    assert_close(shown(&[0.001])[0], 0.001);
    assert_close(shown(&[1000.0])[0], 1000.0);
}

#[test]
fn negative_values_are_told_apart_on_request() {
    let options = QuantileOptions::builder([0.0, 0.5, 1.0])
        .range(0.1, 1e6)
        .negative_values()
        .build()
        .unwrap();
    let cell = Quantile::new(&options);
    let now = Instant::now();
    for value in [-40.0, -12.5, 0.0, 3.0, 250_000.0] {
        cell.observe_at(value, now);
    }
    let shown = quantiles_at(&cell, &options, now);
    assert_close(shown[0], -40.0);
    assert_eq!(shown[1], 0.0);
    assert_close(shown[2], 250_000.0);
}

#[test]
fn invalid_quantile_options_are_refused_with_their_index() {
    let refused = |quantiles: &[f64]| QuantileOptions::new(quantiles.iter().copied()).unwrap_err();
    assert_eq!(refused(&[]), OptionsError::NoQuantile);
    assert_eq!(
        refused(&[0.5, 1.5]),
        OptionsError::QuantileOutOfRange { index: 1 }
    );
    assert_eq!(
        refused(&[f64::NAN]),
        OptionsError::QuantileOutOfRange { index: 0 }
    );
    assert_eq!(
        refused(&[0.5, 0.9, 0.5]),
        OptionsError::DuplicateQuantile { quantile: 0.5 }
    );
    let options = QuantileOptions::new([0.99, 0.5]).unwrap();
    assert_eq!(options.quantiles(), [0.5, 0.99]);
    let range = |low, high| QuantileOptions::builder([0.5]).range(low, high);
    for (low, high) in [
        (0.0, 1.0),
        (-1.0, 1.0),
        (2.0, 1.0),
        (1.0, f64::INFINITY),
        (f64::NAN, 1.0),
    ] {
        assert_eq!(
            range(low, high).build(),
            Err(OptionsError::RangeNotPositive)
        );
    }
    let widest = 2f64.powi(254);
    assert!(range(1.0, widest).build().is_ok());
    let error = range(1.0, 2.0 * widest).build().unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("narrow it to at most 254 doublings"),
        "{error}"
    );
    assert!(range(1e-38, 1e38).build().is_ok());
    assert!(range(1e-38, 1e38).negative_values().build().is_err());
}

#[test]
fn invalid_windows_are_refused() {
    let minute = Duration::from_secs(60);
    assert!(Window::new(minute, 0).is_err());
    assert!(Window::new(minute, 241).is_err());
    assert!(Window::new(Duration::from_millis(5), 6).is_err());
    assert!(Window::new(Duration::MAX, 6).is_err());
    assert_eq!(Window::new(minute, 6), Ok(Window::default()));
}

#[test]
fn reading_a_window_maximum_does_not_reset_it() {
    let window = Window::new(Duration::from_secs(60), 6).unwrap();
    let cell = WindowMax::new(&window);
    assert!(cell.get().is_nan());
    let start = Instant::now();
    cell.observe_at(1.5, start);
    for second in 1..60 {
        let now = start + seconds(f64::from(second));
        cell.observe_at(0.02, now);
        assert_eq!(cell.get_at(now), 1.5);
        assert_eq!(cell.get_at(now), 1.5);
    }
    for second in 60..200 {
        cell.observe_at(0.02, start + seconds(f64::from(second)));
    }
    assert_eq!(cell.get_at(start + seconds(200.0)), 0.02);
}

#[test]
fn window_maximum_of_negative_values_is_negative() {
    let cell = WindowMax::new(&Window::default());
    let now = Instant::now();
    cell.observe_at(f64::NAN, now);
    assert!(cell.get_at(now).is_nan());
    cell.observe_at(-3.0, now);
    cell.observe_at(-2.0, now);
    assert_eq!(cell.get_at(now), -2.0);
    // After a day without observations, the last one is still shown.
    assert_eq!(cell.get_at(now + seconds(86_400.0)), -2.0);
}

/// Values of all sizes in the default range, and 0.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        1 => Just(0.0),
        8 => (-29.0..43.9f64).prop_map(f64::exp2),
        8 => 0.001..10.0f64,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The oracle keeps every observation, and sorts those of the window: all
    /// that were made since the beginning of the sixth slice before this one.
    #[test]
    fn quantiles_are_within_one_percent_of_the_exact_window(
        steps in proptest::collection::vec((0.0..8.0f64, value()), 1..200),
        pause in 0.0..200.0f64,
    ) {
        let options = QuantileOptions::new([0.0, 0.01, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0]).unwrap();
        let start = Instant::now();
        let cell = Quantile::new_at(&options, start);
        let maximum = WindowMax::new_at(&Window::default(), start);
        let slice = |after: f64| (after / 10.0).floor();

        let mut seen: Vec<(f64, f64)> = Vec::new();
        let mut after = 0.0;
        for (index, (step, value)) in steps.iter().enumerate() {
            after += step;
            if index == steps.len() / 2 {
                after += pause;
            }
            let now = start + seconds(after);
            // The clock counts whole nanoseconds.
            let after = (now - start).as_secs_f64();
            cell.observe_at(*value, now);
            maximum.observe_at(*value, now);
            seen.push((after, *value));
            if index % 4 != 0 {
                continue;
            }

            let mut window: Vec<f64> = seen
                .iter()
                .filter(|(at, _)| slice(*at) >= slice(after) - 6.0)
                .map(|(_, value)| *value)
                .collect();
            window.sort_by(f64::total_cmp);
            for (q, shown) in options.quantiles().iter().zip(quantiles_at(&cell, &options, now)) {
                let exact = exact(&window, *q);
                prop_assert!(
                    (shown - exact).abs() <= 0.01 * exact,
                    "quantile {} is {}, shown as {}", q, exact, shown
                );
            }
            prop_assert_eq!(maximum.get_at(now), exact(&window, 1.0));
        }
    }
}

#[test]
fn single_writer_cell_has_one_writer_at_a_time() {
    let cell = SingleWriter::<Counter>::default();
    let writer = Writer::claim(&cell).unwrap();
    assert_eq!(Writer::claim(&cell).unwrap_err(), AlreadyClaimed);
    writer.inc_by(2);
    drop(writer);
    let writer = Writer::claim(&cell).unwrap();
    writer.inc();
    assert_eq!(reading(&cell, &()), [3]);
}

#[test]
fn single_writer_cells_behave_like_shared_ones() {
    let cell = SingleWriter::<FloatCounter>::default();
    let writer = Writer::claim(&cell).unwrap();
    writer.inc();
    for amount in [0.5, -1.0, f64::NAN, f64::INFINITY] {
        writer.inc_by(amount);
    }
    assert_eq!(cell.get(), 1.5);

    let cell = SingleWriter::<Gauge>::default();
    let writer = Writer::claim(&cell).unwrap();
    writer.set(10);
    writer.inc();
    writer.add(5);
    writer.dec();
    writer.sub(25);
    assert_eq!(cell.get(), -10);

    let cell = SingleWriter::<FloatGauge>::default();
    let writer = Writer::claim(&cell).unwrap();
    writer.set(0.5);
    writer.inc();
    writer.add(0.25);
    writer.dec();
    writer.sub(1.0);
    assert_eq!(cell.get(), -0.25);

    let buckets = Buckets::new([1.0, 2.0]).unwrap();
    let cell = SingleWriter::new(Histogram::new(&buckets));
    let writer = Writer::claim(&cell).unwrap();
    for value in [0.5, 2.0, 2.5, f64::NAN] {
        writer.observe(value);
    }
    assert_eq!(reading(&cell, &buckets), [1, 2, 3, 5f64.to_bits()]);
}

#[test]
fn striped_cells_lose_nothing_when_threads_come_and_go() {
    let counter = StripedCounter::new();
    let buckets = Buckets::new([0.5]).unwrap();
    let histogram = ShardedHistogram::new(&buckets);
    // More threads than a cell can have stripes, some of them one after another.
    for _ in 0..3 {
        std::thread::scope(|threads| {
            for _ in 0..100 {
                threads.spawn(|| {
                    for _ in 0..100 {
                        counter.inc();
                        histogram.observe(1.0);
                    }
                });
            }
        });
    }
    assert_eq!(counter.get(), 30_000);
    assert_eq!(
        reading(&histogram, &buckets),
        [0, 30_000, 30_000f64.to_bits()]
    );
}

#[test]
fn timer_observes_its_time_once() {
    let buckets = Buckets::new([]).unwrap();
    let histogram = Histogram::new(&buckets);
    let observed = || {
        let row = reading(&histogram, &buckets);
        (row[0], f64::from_bits(row[1]))
    };
    drop(Timer::start(&histogram));
    assert_eq!(observed().0, 1);
    let before = observed().1;

    let timer = Timer::start(&histogram);
    std::thread::sleep(Duration::from_millis(5));
    let took = timer.stop();
    assert!(took >= Duration::from_millis(5));
    assert_eq!(observed(), (2, before + took.as_secs_f64()));

    let took = Timer::start(&histogram).stop_and_discard();
    assert!(took < Duration::from_secs(60));
    assert_eq!(observed().0, 2);
}

#[test]
fn timer_works_with_every_cell_that_takes_observations() {
    let cell = SingleWriter::new(Histogram::new(&Buckets::new([]).unwrap()));
    let writer = Writer::claim(&cell).unwrap();
    drop(Timer::start(&writer));
    let mut row = [0; 2];
    cell.read(&mut row);
    assert_eq!(row[0], 1);

    let sharded = ShardedHistogram::new(&Buckets::new([]).unwrap());
    drop(Timer::start(&sharded));
    sharded.read(&mut row);
    assert_eq!(row[0], 1);

    let maximum = WindowMax::new(&Window::default());
    let took = Timer::start(&maximum).stop();
    assert_eq!(maximum.get(), took.as_secs_f64());

    let options = QuantileOptions::new([0.5]).unwrap();
    let quantile = Quantile::new(&options);
    let took = Timer::start(&quantile).stop();
    assert_eq!(
        reading(&quantile, &options)[1..],
        [took.as_secs_f64().to_bits(), 1]
    );
}

#[test]
fn states_are_set_one_by_one_or_selected() {
    let states = States::new(3).unwrap();
    let set = StateSet::new(&states);
    assert_eq!(reading(&set, &states), [0, 0, 0]);
    set.set(0, true);
    set.set(2, true);
    assert_eq!(reading(&set, &states), [1, 0, 1]);
    set.set(0, false);
    assert!(!set.is_on(0) && set.is_on(2));
    set.select(1);
    assert_eq!(reading(&set, &states), [0, 1, 0]);
    // There is no such state.
    set.set(3, true);
    set.select(64);
    assert_eq!(reading(&set, &states), [0, 1, 0]);
    assert!(!set.is_on(3));
    assert!(States::new(0).is_err() && States::new(65).is_err());

    let all = States::new(64).unwrap();
    let set = StateSet::new(&all);
    set.select(63);
    assert_eq!(reading(&set, &all).iter().sum::<u64>(), 1);
    assert!(set.is_on(63));
}

#[test]
fn each_bucket_keeps_its_last_exemplar() {
    let buckets = Buckets::new([1.0, 2.0]).unwrap();
    let histogram = WithExemplars::<Histogram>::from_options(&buckets);
    assert_eq!(WithExemplars::<Histogram>::exemplars(&buckets), 3);
    let mut exemplar = Exemplar::default();
    assert!((0..5).all(|index| !histogram.exemplar(index, &mut exemplar)));

    let long = "x".repeat(120);
    let labels = [
        ExemplarLabels::new([("trace_id", &*long)]).unwrap(),
        ExemplarLabels::new([("trace_id", "abc"), ("span_id", "7")]).unwrap(),
    ];
    histogram.observe(0.5);
    assert!(!histogram.exemplar(0, &mut exemplar));
    histogram.observe_with_exemplar(1.5, &labels[0]);
    histogram.observe_with_exemplar(2.0, &labels[1]);
    histogram.observe_with_exemplar(f64::INFINITY, &labels[0]);
    histogram.observe_with_exemplar(f64::NAN, &labels[0]);
    assert_eq!(reading(&histogram, &buckets)[..3], [1, 3, 4]);

    assert!(!histogram.exemplar(0, &mut exemplar));
    assert!(histogram.exemplar(2, &mut exemplar));
    assert!(exemplar.labels.iter().eq([("trace_id", &*long)]));
    assert_eq!(exemplar.value, f64::INFINITY);
    assert!(histogram.exemplar(1, &mut exemplar));
    assert!(
        exemplar
            .labels
            .iter()
            .eq([("trace_id", "abc"), ("span_id", "7")])
    );
    assert_eq!(exemplar.value, 2.0);
    let age = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64() - exemplar.timestamp;
    assert!((0.0..3600.0).contains(&age));
}

#[test]
fn counters_keep_their_last_exemplar() {
    let labels = ExemplarLabels::new([("trace_id", "abc")]).unwrap();
    let mut exemplar = Exemplar::default();

    let counter = WithExemplars::<Counter>::new();
    counter.inc();
    assert!(!counter.exemplar(0, &mut exemplar));
    counter.inc_by_with_exemplar(4, &labels);
    assert!(counter.exemplar(0, &mut exemplar));
    assert_eq!((counter.get(), exemplar.value), (5, 4.0));

    let counter = WithExemplars::<StripedCounter>::new();
    counter.inc_by_with_exemplar(3, &labels);
    assert!(counter.exemplar(0, &mut exemplar));
    assert_eq!((counter.get(), exemplar.value), (3, 3.0));

    let counter = WithExemplars::<FloatCounter>::new();
    counter.inc_by_with_exemplar(-1.0, &labels);
    assert!(!counter.exemplar(0, &mut exemplar));
    counter.inc_by_with_exemplar(0.25, &labels);
    assert!(counter.exemplar(0, &mut exemplar));
    assert_eq!((counter.get(), exemplar.value), (0.25, 0.25));
}

#[test]
fn all_forms_of_a_cell_have_the_same_lines() -> Result<(), Box<dyn std::error::Error>> {
    let registry = Registry::new();
    let buckets = Buckets::new([1.0])?;
    let single = |name| {
        registry
            .family::<SingleWriter<Counter>>(name, "")
            .register_single()
    };
    let writer = Writer::claim(single("single_total")?)?;
    let striped = registry
        .family::<StripedCounter>("striped_total", "")
        .register_single()?;
    let with = registry
        .family::<WithExemplars<Counter>>("with_total", "")
        .register_single()?;
    let sharded = registry
        .family::<ShardedHistogram>("sharded", "")
        .options(buckets.clone())
        .register_single()?;
    let owned = registry
        .family::<SingleWriter<Histogram>>("owned", "")
        .options(buckets)
        .register_single()?;
    // The writer of a family's cell can go to the thread that needs it.
    std::thread::spawn(move || writer.inc()).join().unwrap();
    striped.inc();
    with.inc();
    sharded.observe(0.5);
    Writer::claim(owned)?.observe(0.5);
    let page = String::from_utf8(registry.scraper().scrape(Format::Text).to_vec())?;
    let counter = |name| format!("# TYPE {name}_total counter\n{name}_total 1\n");
    let histogram = |name| {
        format!(
            "# TYPE {name} histogram\n{name}_bucket{{le=\"1\"}} 1\n\
             {name}_bucket{{le=\"+Inf\"}} 1\n{name}_sum 0.5\n{name}_count 1\n"
        )
    };
    let expected = ["single", "striped", "with"].map(counter).concat()
        + &["sharded", "owned"].map(histogram).concat();
    assert_eq!(page, expected);
    Ok(())
}

#[test]
fn invalid_states_are_refused() {
    let registry = Registry::new();
    let refused = |states: &[&str]| {
        let family = registry.family::<StateSet>("s", "");
        family
            .states(states.iter().copied())
            .register()
            .unwrap_err()
            .to_string()
    };
    assert!(refused(&[]).contains("expected 1 to 64 states, found 0"));
    assert!(refused(&["x"; 65]).contains("found 65"));
    assert!(refused(&["a", "b", "a"]).contains("\"a\" is given twice"));
}

#[test]
fn too_long_exemplar_labels_are_refused() {
    let long = "x".repeat(128);
    assert_eq!(
        ExemplarLabels::new([("a", &*long)]).unwrap_err(),
        ExemplarError::TooLong { index: 0 }
    );
    assert!(ExemplarLabels::new([("a", &long[1..])]).is_ok());
}

#[test]
fn cells_can_be_statics() {
    static COUNTER: Counter = Counter::new();
    static SECONDS: FloatCounter = FloatCounter::new();
    static GAUGE: Gauge = Gauge::new();
    static LOAD: FloatGauge = FloatGauge::new();
    static ROWS: SingleWriter<Counter> = SingleWriter::new(Counter::new());
    static LATENCY: StaticHistogram<2> = StaticHistogram::new([0.5, 1.0]);
    COUNTER.inc();
    SECONDS.inc_by(0.5);
    GAUGE.dec();
    LOAD.set(0.25);
    Writer::claim(&ROWS).unwrap().inc();
    LATENCY.observe(0.75);
    assert_eq!((COUNTER.get(), SECONDS.get()), (1, 0.5));
    assert_eq!((GAUGE.get(), LOAD.get(), ROWS.get()), (-1, 0.25, 1));
    assert_eq!(
        reading(&LATENCY, LATENCY.buckets()),
        [0, 1, 1, 0.75f64.to_bits()]
    );
}

#[test]
#[should_panic(expected = "ascending")]
fn static_buckets_that_are_not_ascending_panic() {
    let _ = StaticBuckets::new([1.0, 1.0]);
}

#[test]
#[should_panic(expected = "finite")]
fn static_buckets_that_are_not_finite_panic() {
    let _ = StaticBuckets::new([f64::NAN]);
}

#[test]
fn reset_counters_start_again_at_zero() {
    let (counter, float, striped) = (Counter::new(), FloatCounter::new(), StripedCounter::new());
    counter.inc_by(3);
    float.inc_by(2.5);
    striped.inc_by(4);
    counter.reset();
    float.reset();
    striped.reset();
    assert_eq!((counter.get(), float.get(), striped.get()), (0, 0.0, 0));
    counter.inc();
    assert_eq!(counter.get(), 1);
}

#[test]
fn gauge_guard_subtracts_on_drop_and_on_panic() {
    let gauge = std::sync::Arc::new(Gauge::new());
    let guard = gauge.track();
    assert_eq!(gauge.get(), 1);
    {
        let _owned = GaugeGuard::new(std::sync::Arc::clone(&gauge));
        assert_eq!(gauge.get(), 2);
    }
    let panicked = std::thread::spawn({
        let gauge = std::sync::Arc::clone(&gauge);
        move || {
            let _guard = gauge.track();
            assert_eq!(gauge.get(), 1, "panics while it tracks");
        }
    });
    assert!(panicked.join().is_err());
    assert_eq!(gauge.get(), 1);
    drop(guard);
    assert_eq!(gauge.get(), 0);
}

#[test]
fn nested_and_concurrent_timers_observe_each_run() {
    let histogram = Histogram::new(&Buckets::new([]).unwrap());
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                for _ in 0..50 {
                    let outer = Timer::start(&histogram);
                    let inner = Timer::start(&histogram).stop();
                    assert!(outer.stop() >= inner);
                }
            });
        }
    });
    assert_eq!(histogram.count(), 800);
    assert!(histogram.sum() > 0.0);
}

#[test]
fn timer_stopped_with_exemplar_records_it_in_the_bucket_of_its_time() {
    let labels = ExemplarLabels::new([("trace_id", "abc")]).unwrap();
    let buckets = Buckets::new([3600.0]).unwrap();
    let mut exemplar = Exemplar::default();

    let histogram = WithExemplars::<Histogram>::from_options(&buckets);
    let elapsed = Timer::start(&histogram).stop_with_exemplar(&labels);
    assert!(histogram.exemplar(0, &mut exemplar));
    assert_eq!(exemplar.value, elapsed.as_secs_f64());
    assert_eq!(histogram.count(), 1);
    drop(Timer::start(&histogram));
    assert_eq!(histogram.count(), 2);

    let sharded = WithExemplars::<ShardedHistogram>::from_options(&buckets);
    Timer::start(&sharded).stop_with_exemplar(&labels);
    assert!(sharded.exemplar(0, &mut exemplar));
    assert_eq!(sharded.count(), 1);
}

#[test]
fn negative_and_infinite_observations_leave_openmetrics_pages_valid()
-> Result<(), Box<dyn std::error::Error>> {
    let registry = Registry::new();
    let shared = registry.histogram("shared", "", Buckets::new([1.0])?)?;
    let sharded = registry
        .family::<ShardedHistogram>("sharded", "")
        .options(Buckets::new([1.0])?)
        .register_single()?;
    let below_zero = registry.histogram("below_zero", "", Buckets::new([-1.0, 1.0])?)?;
    let summary = registry
        .family::<Quantile>("summary", "")
        .register_single()?;
    let constant = StaticHistogram::new([1.0]);
    for value in [-1.0, f64::NEG_INFINITY, f64::INFINITY, -1.0, 0.5] {
        shared.observe(value);
        sharded.observe(value);
        below_zero.observe(value);
        summary.observe(value);
        constant.observe(value);
    }
    for (count, sum) in [
        (shared.count(), shared.sum()),
        (sharded.count(), sharded.sum()),
        (summary.count(), summary.sum()),
        (constant.count(), constant.sum()),
    ] {
        assert_eq!((count, sum), (5, f64::INFINITY));
    }
    assert!(below_zero.sum().is_nan());
    let mut scraper = registry.scraper();
    for format in [Format::OpenMetrics, Format::Text] {
        let page = scraper.scrape(format);
        stethoscope::testing::Snapshot::read(page, format)?;
    }
    Ok(())
}

#[test]
fn exponential_range_has_clean_bounds_between_exact_ends() {
    let bounds = |min, max, count| {
        let buckets = Buckets::exponential_range(min, max, count).unwrap();
        buckets.bounds().to_vec()
    };
    assert_eq!(bounds(0.001, 10.0, 5), [0.001, 0.01, 0.1, 1.0, 10.0]);
    assert_eq!(
        bounds(0.001, 1.0, 10),
        [
            0.001, 0.0022, 0.0046, 0.01, 0.022, 0.046, 0.1, 0.22, 0.46, 1.0
        ]
    );
    assert_eq!(bounds(7.0, 9.0, 2), [7.0, 9.0]);
    let widest = bounds(f64::from_bits(1), f64::MAX, 100);
    assert_eq!((widest[0], widest[99]), (f64::from_bits(1), f64::MAX));
    for (min, max, count) in [
        (0.0, 1.0, 3),
        (1.0, 1.0, 3),
        (1.0, f64::INFINITY, 3),
        (f64::NAN, 1.0, 3),
        (1.0, 2.0, 1),
    ] {
        assert_eq!(
            Buckets::exponential_range(min, max, count),
            Err(OptionsError::BoundsNotGrowing)
        );
    }
    // There is no number between the ends.
    assert!(Buckets::exponential_range(1.0, 1f64.next_up(), 3).is_err());
}

proptest! {
    #[test]
    fn exponential_range_bounds_ascend_by_nearly_equal_factors(
        min in (-300.0..300.0f64).prop_map(|x| 10f64.powf(x)),
        decades in 0.1..7.0f64,
        count in 2..60usize,
    ) {
        let buckets = Buckets::exponential_range(min, min * 10f64.powf(decades), count).unwrap();
        prop_assert_eq!(buckets.bounds().len(), count);
        let step = decades * 10f64.ln() / (count - 1) as f64;
        for pair in buckets.bounds().windows(2) {
            let factor = (pair[1] / pair[0]).ln();
            prop_assert!((factor - step).abs() <= 0.11 * step, "{pair:?} for {step}");
        }
    }
}
