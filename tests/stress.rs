//! Invariants that hold at every scrape while threads update, add and remove
//! without pause: on real threads, and from the cell to the page.

#[path = "support/page.rs"]
mod support;

use support::sample;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use stethoscope::Registry;
use stethoscope::cell::*;
use stethoscope::exposition::Format;

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

/// The duration of each test.
const DURATION: Duration = Duration::from_secs(1);

/// Runs each of `writers` repeatedly in a thread of its own, and `reader` in this
/// one. Returns how often the reader ran.
fn stress(writers: &[&(dyn Fn() + Sync)], mut reader: impl FnMut()) -> u64 {
    let stop = AtomicBool::new(false);
    thread::scope(|threads| {
        for writer in writers {
            threads.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    for _ in 0..64 {
                        writer();
                    }
                }
            });
        }
        // Ends the writers even if the reader panics.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let _stop = Stop(&stop);
        let begin = Instant::now();
        let mut readings = 0;
        while begin.elapsed() < DURATION {
            reader();
            readings += 1;
        }
        readings
    })
}

#[test]
fn histogram_count_equals_inf_bucket_and_sum_never_lags() -> Result {
    let registry = Registry::new();
    let buckets = Buckets::exponential(1.0, 2.0, 12)?;
    let shared = registry.histogram("shared", "", buckets.clone())?;
    let sharded = registry
        .family::<ShardedHistogram>("sharded", "")
        .options(buckets.clone())
        .register_single()?;
    let single = registry
        .family::<SingleWriter<Histogram>>("single", "")
        .options(buckets)
        .register_single()?;
    let mut scraper = registry.scraper();
    let mut last = [0.0; 3];
    // One value falls into the first bucket, the other into the last, so the counts
    // imply a lower bound of the sum.
    let observe = || {
        for value in [1.0, 4096.0] {
            shared.observe(value);
            sharded.observe(value);
        }
    };
    let observe_alone = || {
        let writer = Writer::claim(single.clone()).unwrap();
        writer.observe(1.0);
        writer.observe(4096.0);
    };
    stress(&[&observe, &observe, &observe_alone], || {
        let page = std::str::from_utf8(scraper.scrape(Format::Text)).unwrap();
        for (name, last) in ["shared", "sharded", "single"].into_iter().zip(&mut last) {
            let count = sample(page, &format!("{name}_count"));
            assert_eq!(
                count,
                sample(page, &format!("{name}_bucket{{le=\"+Inf\"}}"))
            );
            let low = sample(page, &format!("{name}_bucket{{le=\"1\"}}"));
            let sum = sample(page, &format!("{name}_sum"));
            assert!(sum >= low + 4096.0 * (count - low), "the sum lags:\n{page}");
            assert!(count >= *last, "{name} went back from {last} to {count}");
            *last = count;
        }
    });
    assert!(last.iter().all(|count| *count > 0.0));
    Ok(())
}

#[test]
fn counters_never_go_back_and_end_exact() -> Result {
    let registry = Registry::new();
    let counter = registry.counter("shared_total", "")?;
    let float = registry
        .family::<FloatCounter>("float_total", "")
        .register_single()?;
    let striped = registry
        .family::<StripedCounter>("striped_total", "")
        .register_single()?;
    let mut scraper = registry.scraper();
    let mut last = [0.0; 3];
    let count = || {
        counter.inc();
        float.inc_by(0.5);
        striped.inc();
    };
    stress(&[&count, &count, &count], || {
        let page = std::str::from_utf8(scraper.scrape(Format::Text)).unwrap();
        for (name, last) in ["shared", "float", "striped"].into_iter().zip(&mut last) {
            let count = sample(page, &format!("{name}_total"));
            assert!(count >= *last, "{name} went back from {last} to {count}");
            *last = count;
        }
    });
    assert_eq!(striped.get(), counter.get());
    assert_eq!(float.get(), counter.get() as f64 * 0.5);
    Ok(())
}

#[test]
fn window_that_turns_all_the_time_loses_nothing() {
    // Slices of a millisecond: thousands of turns.
    let window = Window::new(Duration::from_millis(20), 20).unwrap();
    let options = QuantileOptions::builder([0.0, 0.5, 1.0]).keep_last();
    let quantile = Quantile::new(&options.window(window).build().unwrap());
    let maximum = WindowMax::new(&window);
    quantile.observe(1.0);
    maximum.observe(1.0);
    let observe = || {
        for value in [1.0, 8.0] {
            quantile.observe(value);
            maximum.observe(value);
        }
    };
    let within = |shown: f64, exact: f64| (shown - exact).abs() <= 0.01 * exact;
    let mut row = [0; 5];
    let mut last = 0;
    stress(&[&observe, &observe], || {
        quantile.read(&mut row);
        let [low, median, high, sum] = [row[0], row[1], row[2], row[3]].map(f64::from_bits);
        for shown in [low, median, high] {
            assert!(within(shown, 1.0) || within(shown, 8.0), "{shown}");
        }
        assert!(low <= median && median <= high, "{low} {median} {high}");
        assert!(row[4] >= last && sum >= row[4] as f64, "{} {sum}", row[4]);
        last = row[4];
        assert!([1.0, 8.0].contains(&maximum.get()), "{}", maximum.get());
    });
    quantile.read(&mut row);
    // A single 1, then pairs of 1 and 8.
    let pairs = (row[4] - 1) / 2;
    assert_eq!(f64::from_bits(row[3]), 1.0 + 9.0 * pairs as f64);
}

#[test]
fn exemplar_is_never_torn() {
    let counter = WithExemplars::<Counter>::new();
    // The value of an exemplar determines its labels.
    let texts: Vec<String> = (0..8).map(|n| n.to_string().repeat(10 * n + 5)).collect();
    let labels: Vec<ExemplarLabels> = texts
        .iter()
        .map(|text| ExemplarLabels::new([("id", &**text)]).unwrap())
        .collect();
    let update = || {
        for (n, labels) in labels.iter().enumerate() {
            counter.inc_by_with_exemplar(n as u64, labels);
        }
    };
    let mut exemplar = Exemplar::default();
    let mut read = || {
        let found = counter.exemplar(0, &mut exemplar);
        if found {
            let text = &texts[exemplar.value as usize];
            assert!(exemplar.labels.iter().eq([("id", &**text)]));
        }
        found
    };
    // Writers without pause may disturb every reading.
    stress(&[&update, &update], || {
        read();
    });
    assert!(read(), "a reading without writers succeeds");
}

#[test]
fn series_come_and_go_under_updates_and_scrapes() -> Result {
    let registry = Registry::new();
    let family = registry.counter_family("x_total", "", ["n"])?;
    let numbers: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    let update = || {
        for n in &numbers {
            family.with([&**n]).unwrap().inc();
        }
    };
    let remove = || {
        for n in numbers.iter().step_by(7) {
            family.remove([&**n]);
        }
    };
    let mut scraper = registry.scraper();
    stress(&[&update, &remove], || {
        let page = std::str::from_utf8(scraper.scrape(Format::OpenMetrics)).unwrap();
        assert!(page.ends_with("# EOF\n"));
        let mut series: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).collect();
        let lines = series.len();
        series
            .iter_mut()
            .for_each(|line| *line = line.split(' ').next().unwrap());
        series.sort_unstable();
        series.dedup();
        assert_eq!(series.len(), lines, "a series twice in\n{page}");
    });
    Ok(())
}
