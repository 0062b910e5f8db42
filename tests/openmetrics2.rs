//! Pages in OpenMetrics 2.0: a line for each metric.

#[path = "support/counting.rs"]
mod counting;

use std::error::Error;

use counting::allocations;
use proptest::prelude::*;
use stethoscope::Registry;
use stethoscope::cell::{
    Buckets, Cell, Counter, ExemplarLabels, FloatGauge, Histogram, NativeHistogram,
    NativeHistogramOptions, NativeReading, Quantile, QuantileOptions, WithExemplars,
};
use stethoscope::exposition::parser::{Event, parse};
use stethoscope::exposition::rewrite::rewrite;
use stethoscope::exposition::validate::validate;
use stethoscope::exposition::{ContentType, Escaping, Format};

type Result = std::result::Result<(), Box<dyn Error>>;

fn page(registry: &Registry) -> String {
    let page = registry.scraper().scrape(Format::OpenMetrics2).to_vec();
    if let Err(error) = validate(&page, Format::OpenMetrics2) {
        panic!("{}", error.display_in(&page));
    }
    assert_eq!(rewrite(&page, Format::OpenMetrics2).unwrap(), page);
    String::from_utf8(page).unwrap()
}

/// Replaces each time after `st@` and at the end of an exemplar, which must be recent.
fn without_times(page: &str) -> String {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let is_time = |text: &str| {
        let seconds = text.parse::<f64>().unwrap_or_default();
        !text.contains('e') && (now.as_secs_f64() - seconds).abs() < 3600.0
    };
    let line = |line: &str| {
        let words = line.split(' ').map(|word| match word.strip_prefix("st@") {
            Some(time) if is_time(time) => "st@T",
            None if is_time(word) => "T",
            _ => word,
        });
        words.collect::<Vec<_>>().join(" ") + "\n"
    };
    page.lines().map(line).collect()
}

#[test]
fn every_type_has_a_line_for_each_metric() -> Result {
    let registry = Registry::new();
    registry
        .counter("requests_total", "Requests \"answered\".")?
        .inc_by(3);
    registry.gauge("jobs", "")?.set(-2);
    let temperature = registry.family::<FloatGauge>("temperature_celsius", "Outside.");
    temperature.unit("celsius").register_single()?.set(17.5);
    registry.info("build", "", [("version", "1")])?;
    let switch = registry.family::<stethoscope::cell::StateSet>("switch", "");
    switch.states(["on", "off"]).register_single()?.select(1);
    let seconds = registry.histogram("wait_seconds", "", Buckets::new([0.5, 1.0])?)?;
    for value in [0.25, 0.5, 0.75, 8.0] {
        seconds.observe(value);
    }
    let options = QuantileOptions::builder([0.5, 0.99]).build()?;
    let sizes = registry
        .family::<Quantile>("size_bytes", "")
        .options(options);
    let sizes = sizes.register_single()?;
    (0..4).for_each(|_| sizes.observe(2.0));
    assert_eq!(
        page(&registry),
        "# TYPE requests_total counter\n# HELP requests_total Requests \\\"answered\\\".\n\
         requests_total 3\n\
         # TYPE jobs gauge\njobs -2\n\
         # TYPE temperature_celsius gauge\n# UNIT temperature_celsius celsius\n\
         # HELP temperature_celsius Outside.\ntemperature_celsius 17.5\n\
         # TYPE build_info info\nbuild_info{version=\"1\"} 1\n\
         # TYPE switch stateset\nswitch{switch=\"on\"} 0\nswitch{switch=\"off\"} 1\n\
         # TYPE wait_seconds histogram\n\
         wait_seconds {count:4,sum:9.5,bucket:[0.5:2,1.0:3,+Inf:4]}\n\
         # TYPE size_bytes summary\nsize_bytes {count:4,sum:8,quantile:[0.5:2.0155038759689923,0.99:2.0155038759689923]}\n\
         # EOF\n"
    );
    Ok(())
}

#[test]
fn family_without_series_has_no_lines() -> Result {
    let registry = Registry::new();
    registry.counter_family("requests_total", "", ["path"])?;
    assert_eq!(page(&registry), "# EOF\n");
    Ok(())
}

#[test]
fn native_histogram_has_spans_and_absolute_counts() -> Result {
    let registry = Registry::new();
    let options = NativeHistogramOptions::builder()
        .schema(0)
        .negative_values();
    let family = registry
        .family::<NativeHistogram>("offset", "")
        .labels(["zone"]);
    let family = family.options(options.build()?).register()?;
    family.with(["empty"])?;
    let some = family.with(["some"])?;
    // In schema 0, bucket n ends at 2^n.
    for value in [0.0, 1.0, 1.0, 4.0, 1024.0, 2000.0, -8.0, -0.5] {
        some.observe(value);
    }
    let zero = "schema:0,zero_threshold:2.938735877055719e-39,zero_count";
    assert_eq!(
        page(&registry),
        format!(
            "# TYPE offset histogram\n\
             offset{{zone=\"empty\"}} {{count:0,sum:0,{zero}:0}}\n\
             offset{{zone=\"some\"}} {{count:8,sum:3021.5,{zero}:1,\
             negative_spans:[-1:1,3:1],negative_buckets:[1,1],\
             positive_spans:[0:3,7:2],positive_buckets:[2,0,1,1,1]}}\n# EOF\n"
        )
    );
    Ok(())
}

#[test]
fn native_histogram_with_classic_buckets_has_both() -> Result {
    let registry = Registry::new();
    let options = NativeHistogramOptions::builder();
    let options = options.schema(0).classic(Buckets::new([1.0, 3.0])?);
    let seconds = registry.native_histogram("seconds", "", options.build()?)?;
    for value in [0.5, 2.0, 2.0, 7.0] {
        seconds.observe(value);
    }
    let page = page(&registry);
    assert!(
        page.contains(
            "seconds {count:4,sum:11.5,schema:0,zero_threshold:2.938735877055719e-39,\
             zero_count:0,positive_spans:[-1:5],positive_buckets:[1,0,2,0,1],\
             bucket:[1.0:1,3.0:3,+Inf:4]}\n"
        ),
        "{page}"
    );
    Ok(())
}

#[test]
fn time_of_creation_stands_before_the_exemplars() -> Result {
    let registry = Registry::new();
    let labels = ExemplarLabels::new([("trace_id", "a\"b")])?;
    let failures = registry.family::<WithExemplars<Counter>>("failures_total", "");
    let failures = failures.created_timestamps().labels(["code"]).register()?;
    failures.with(["1"])?.inc();
    failures.with(["2"])?.inc_by_with_exemplar(2, &labels);
    let plain = registry.family::<Counter>("plain_total", "");
    plain.created_timestamps().register_single()?.inc();
    let bare = registry.family::<WithExemplars<Counter>>("bare_total", "");
    bare.register_single()?.inc_by_with_exemplar(1, &labels);
    let seconds = registry.family::<WithExemplars<Histogram>>("seconds", "");
    let seconds = seconds
        .options(Buckets::new([1.0, 2.0])?)
        .created_timestamps();
    let seconds = seconds.register_single()?;
    seconds.observe_with_exemplar(0.5, &labels);
    seconds.observe_with_exemplar(9.0, &ExemplarLabels::new([("trace_id", "c")])?);
    let native = registry.family::<WithExemplars<NativeHistogram>>("native", "");
    let native = native.created_timestamps().register_single()?;
    native.observe_with_exemplar(1.0, &labels);
    let summary = registry.family::<Quantile>("summary", "");
    summary.created_timestamps().register_single()?;
    let gauges = registry
        .family::<FloatGauge>("gauge", "")
        .created_timestamps();
    gauges.register_single()?;
    assert_eq!(
        without_times(&page(&registry)),
        "# TYPE failures_total counter\n\
         failures_total{code=\"1\"} 1 st@T\n\
         failures_total{code=\"2\"} 2 st@T # {trace_id=\"a\\\"b\"} 2 T\n\
         # TYPE plain_total counter\nplain_total 1 st@T\n\
         # TYPE bare_total counter\nbare_total 1 # {trace_id=\"a\\\"b\"} 1 T\n\
         # TYPE seconds histogram\n\
         seconds {count:2,sum:9.5,bucket:[1.0:1,2.0:1,+Inf:2]} st@T \
         # {trace_id=\"a\\\"b\"} 0.5 T # {trace_id=\"c\"} 9 T\n\
         # TYPE native histogram\n\
         native {count:1,sum:1,schema:3,zero_threshold:2.938735877055719e-39,zero_count:0,\
         positive_spans:[0:1],positive_buckets:[1]} st@T # {trace_id=\"a\\\"b\"} 1 T\n\
         # TYPE summary summary\nsummary {count:0,sum:0,quantile:[0.5:NaN,0.9:NaN,0.99:NaN]} st@T\n\
         # TYPE gauge gauge\ngauge 0\n# EOF\n"
    );
    Ok(())
}

#[test]
fn counter_is_called_by_its_full_name_whatever_other_families_there_are() -> Result {
    let registry = Registry::new();
    registry.counter("jobs_total", "")?.inc();
    registry.gauge("jobs", "")?.set(1);
    assert_eq!(
        page(&registry),
        "# TYPE jobs_total counter\njobs_total 1\n# TYPE jobs gauge\njobs 1\n# EOF\n"
    );
    Ok(())
}

#[test]
fn negative_sum_is_shown_and_signed_summary_is_a_gauge() -> Result {
    let registry = Registry::new();
    let drift = registry.histogram("drift", "", Buckets::new([-1.0, 0.0])?)?;
    drift.observe(-3.0);
    let options = QuantileOptions::builder([0.5]).negative_values().build()?;
    let summary = registry.family::<Quantile>("delta", "").options(options);
    summary
        .created_timestamps()
        .register_single()?
        .observe(-2.0);
    assert_eq!(
        page(&registry),
        "# TYPE drift histogram\ndrift {count:1,sum:-3,bucket:[-1.0:1,0.0:1,+Inf:1]}\n\
         # TYPE delta gauge\ndelta{quantile=\"0.5\"} -2.0155038759689923\n# EOF\n"
    );
    Ok(())
}

#[test]
fn names_beyond_the_classic_alphabet_are_quoted_or_escaped() -> Result {
    let registry = Registry::new().with_utf8_names();
    let family = registry
        .family::<Histogram>("größe.bytes", "")
        .labels(["zone.name"]);
    let family = family.options(Buckets::new([1.0])?).register()?;
    family.with(["a"])?.observe(1.0);
    let mut scraper = registry.scraper();
    let mut page = |escaping| {
        let page = scraper.scrape(ContentType::new(Format::OpenMetrics2, escaping));
        String::from_utf8(page.to_vec()).unwrap()
    };
    assert_eq!(
        page(Escaping::AllowUtf8),
        "# TYPE \"größe.bytes\" histogram\n\
         {\"größe.bytes\",\"zone.name\"=\"a\"} {count:1,sum:1,bucket:[1.0:1,+Inf:1]}\n# EOF\n"
    );
    assert_eq!(
        page(Escaping::Underscores),
        "# TYPE gr__e_bytes histogram\n\
         gr__e_bytes{zone_name=\"a\"} {count:1,sum:1,bucket:[1.0:1,+Inf:1]}\n# EOF\n"
    );
    Ok(())
}

#[test]
fn page_is_brought_up_to_date_without_allocations() -> Result {
    let registry = Registry::new();
    let counters = registry.counter_family("requests_total", "", ["path"])?;
    let family = registry.family::<Histogram>("seconds", "").labels(["path"]);
    let family = family
        .options(Buckets::exponential(0.001, 2.0, 12)?)
        .register()?;
    let native = registry.native_histogram("native", "", NativeHistogramOptions::default())?;
    for path in 0..100 {
        let path = path.to_string();
        counters.with([&*path])?.inc();
        family.with([&*path])?.observe(0.1);
    }
    let mut scraper = registry.scraper();
    for power in [-60, 60] {
        native.observe(2f64.powi(power));
    }
    scraper.scrape(Format::OpenMetrics2);
    for round in 0..5u32 {
        let some = counters.with(["7"])?;
        let seconds = family.with([&*round.to_string()])?;
        some.inc_by(1 << (5 * round));
        seconds.observe(2f64.powi(-(round as i32)));
        native.observe(f64::from(round));
        let made = allocations(|| assert!(!scraper.scrape(Format::OpenMetrics2).is_empty()));
        assert_eq!(made, 0, "round {round}");
        let fresh = registry.scraper().scrape(Format::OpenMetrics2).to_vec();
        assert_eq!(scraper.scrape(Format::OpenMetrics2), fresh);
    }
    Ok(())
}

proptest! {
    /// The page says what the cell holds, also where the schema was lowered, and reads
    /// back as it was written.
    #[test]
    fn native_histogram_comes_back(
        values in prop::collection::vec(
            prop_oneof![
                -1e3..1e3f64,
                any::<f64>(),
                prop::sample::select(vec![0.0, 1.0, -1.0, f64::MAX, f64::INFINITY, 1e-300]),
            ],
            0..40,
        ),
        schema in -4..=8i32,
        classic: bool,
    ) {
        let options = NativeHistogramOptions::builder().schema(schema).negative_values();
        let options = match classic {
            true => options.classic(Buckets::new([-1.0, 0.0, 10.0]).unwrap()),
            false => options,
        };
        let options = options.build().unwrap();
        let registry = Registry::new();
        let histogram = registry.native_histogram("a", "", options).unwrap();
        for value in &values {
            histogram.observe(*value);
        }
        let mut reading = NativeReading::default();
        histogram.read_native(&mut reading);
        let page = page(&registry);
        let sample = parse(&page, Format::OpenMetrics2).find_map(|event| match event {
            Ok(Event::Sample(sample)) => Some(sample),
            _ => None,
        });
        let value = sample.unwrap().composite().unwrap();
        let native = value.native().unwrap();
        prop_assert_eq!(value.count(), reading.count() as f64);
        let sum = reading.sum();
        prop_assert!(value.sum() == sum || value.sum().is_nan() && sum.is_nan());
        prop_assert_eq!(native.schema(), reading.schema());
        prop_assert_eq!(native.zero_threshold(), NativeReading::ZERO_THRESHOLD);
        prop_assert_eq!(native.zero_count(), reading.zero_count() as f64);
        let wide = |(index, count): (i32, u64)| (i64::from(index), count as f64);
        let populated = |(_, count): &(i64, f64)| *count > 0.0;
        prop_assert!(native.positive().filter(populated).eq(reading.positive().map(wide)));
        prop_assert!(native.negative().filter(populated).eq(reading.negative().map(wide)));
        let not_nan = || values.iter().filter(|value| !value.is_nan());
        let below = |bound: f64| not_nan().filter(|value| **value <= bound).count() as f64;
        for (bound, count) in value.classic_buckets() {
            prop_assert_eq!(count, below(bound), "{}", bound);
        }
        prop_assert_eq!(value.classic_buckets().count(), if classic { 4 } else { 0 });
    }
}
