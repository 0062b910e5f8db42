use super::*;
use stethoscope::cell::ExemplarLabels;
use stethoscope::exposition::Format;
use stethoscope::testing::Snapshot;

fn sample(name: &str, labels: &[(&str, &str)], value: f64) -> Sample {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Sample {
        name: name.to_owned(),
        labels: labels.iter().map(owned).collect(),
        value,
        exemplar: None,
    }
}

fn family(name: &str, metric_type: &str, samples: Vec<Sample>) -> Collected {
    Collected {
        name: name.to_owned(),
        help: "Help.".to_owned(),
        unit: String::new(),
        metric_type: metric_type.to_owned(),
        samples,
    }
}

/// The lines of the page that are samples, but for the age.
fn lines(mirror: &Mirror, format: Format) -> Vec<String> {
    let page = mirror.registry().scraper().scrape(format).to_vec();
    Snapshot::read(&page, format).unwrap();
    let page = String::from_utf8(page).unwrap();
    let samples = page
        .lines()
        .filter(|line| !line.starts_with('#') && !line.starts_with(AGE));
    samples.map(str::to_owned).collect()
}

#[test]
fn series_that_are_not_collected_again_leave_the_page() {
    let mut mirror = Mirror::new();
    let with = |shards: &[&str]| {
        let samples = shards
            .iter()
            .map(|shard| sample("queue", &[("shard", *shard)], 1.0));
        family("queue", "gauge", samples.collect())
    };
    mirror.update(with(&["a", "b"])).unwrap();
    mirror
        .update(family("other", "gauge", vec![sample("other", &[], 2.0)]))
        .unwrap();
    mirror.finish().unwrap();
    assert_eq!(
        lines(&mirror, Format::Text),
        [r#"queue{shard="a"} 1"#, r#"queue{shard="b"} 1"#, "other 2"]
    );
    mirror.update(with(&["b"])).unwrap();
    mirror.finish().unwrap();
    assert_eq!(lines(&mirror, Format::Text), [r#"queue{shard="b"} 1"#]);
}

#[test]
fn labels_that_a_series_lacks_are_empty() {
    let mut mirror = Mirror::new();
    let samples = vec![
        sample("jobs_total", &[("queue", "a")], 1.0),
        sample("jobs_total", &[("user", "u"), ("queue", "b")], 2.5),
    ];
    mirror.update(family("jobs", "counter", samples)).unwrap();
    assert_eq!(
        lines(&mirror, Format::Text),
        [
            r#"jobs_total{queue="a",user=""} 1"#,
            r#"jobs_total{queue="b",user="u"} 2.5"#
        ]
    );
}

#[test]
fn created_timestamps_and_exemplars_are_those_of_the_other_library() {
    let mut mirror = Mirror::new();
    let mut inf = sample("size_bucket", &[("le", "+Inf")], 3.0);
    let mut exemplar = Exemplar::default();
    let labels = ExemplarLabels::new([("trace", "x")]).unwrap();
    (exemplar.value, exemplar.timestamp, exemplar.labels) = (7.0, 1_700_000_000.5, labels);
    inf.exemplar = Some(Box::new(exemplar));
    let samples = vec![
        sample("size_bucket", &[("le", "1.0")], 1.0),
        inf,
        sample("size_count", &[], 3.0),
        sample("size_sum", &[], 9.5),
        sample("size_created", &[], 1_600_000_000.25),
    ];
    mirror.update(family("size", "histogram", samples)).unwrap();
    assert_eq!(
        lines(&mirror, Format::OpenMetrics),
        [
            r#"size_bucket{le="1.0"} 1"#,
            r#"size_bucket{le="+Inf"} 3 # {trace="x"} 7 1700000000.5"#,
            "size_sum 9.5",
            "size_count 3",
            "size_created 1600000000.25",
        ]
    );
}

#[test]
fn a_family_with_samples_of_another_type_is_shown_as_unknown() {
    let mut mirror = Mirror::new();
    let samples = vec![
        sample("odd_bucket", &[("le", "1.0")], 1.0),
        sample("odd_gcount", &[], 1.0),
        sample("odd_gsum", &[], 0.5),
    ];
    mirror
        .update(family("odd", "gaugehistogram", samples))
        .unwrap();
    assert_eq!(
        lines(&mirror, Format::Text),
        [r#"odd_bucket{le="1.0"} 1"#, "odd_gcount 1", "odd_gsum 0.5"]
    );
}

#[test]
fn a_name_that_comes_twice_with_other_types_is_refused_once() {
    let mut mirror = Mirror::new();
    for _ in 0..2 {
        mirror
            .update(family("a", "gauge", vec![sample("a", &[], 1.0)]))
            .unwrap();
        let again = family("a", "unknown", vec![sample("a", &[], 2.0)]);
        assert!(mirror.update(again).is_err());
        mirror.finish().unwrap();
        assert_eq!(lines(&mirror, Format::Text), ["a 1"]);
    }
}

#[test]
fn readings_are_never_torn() {
    let mut mirror = Mirror::new();
    let histogram = |count: f64| {
        let bucket = |le: &'static str| sample("h_bucket", &[("le", le)], count);
        let buckets = ["1.0", "2.0", "3.0", "4.0", "+Inf"].map(bucket);
        let sum = sample("h_sum", &[], count);
        family("h", "histogram", buckets.into_iter().chain([sum]).collect())
    };
    mirror.update(histogram(0.0)).unwrap();
    mirror.finish().unwrap();
    let mut scraper = mirror.registry().scraper();
    std::thread::scope(|threads| {
        let reader = threads.spawn(move || {
            for _ in 0..3000 {
                let page = scraper.scrape(Format::Text);
                let page = std::str::from_utf8(page).unwrap();
                let of_h = page.lines().filter(|line| line.starts_with("h_"));
                let mut values: Vec<&str> =
                    of_h.map(|line| line.rsplit(' ').next().unwrap()).collect();
                values.dedup();
                assert_eq!(values.len(), 1, "{page}");
            }
        });
        let mut count = 0.0;
        while !reader.is_finished() {
            count += 1.0;
            mirror.update(histogram(count)).unwrap();
            mirror.finish().unwrap();
        }
    });
}
