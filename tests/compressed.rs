//! Compressed pages: the plain ones, small, and free of allocations.

#[path = "properties/compression.rs"]
mod compression;
#[path = "support/counting.rs"]
mod counting;

use compression::{CONTENT_TYPES, assert_same_page};
use counting::allocations;
use proptest::prelude::*;
use stethoscope::Registry;
use stethoscope::cell::{Buckets, FloatGauge, Histogram};
use stethoscope::exposition::{ContentType, Format};
use stethoscope::family::{Family, Handle};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_page_is_the_plain_page(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        compression::holds(&bytes);
    }
}

#[test]
fn kept_inputs_of_the_fuzzer_hold() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    // A package has no corpus, which is part of another crate.
    if root.join(".cargo_vcs_info.json").exists() {
        return;
    }
    let inputs = std::fs::read_dir(root.join("fuzz/corpus/compression")).expect("a corpus");
    let mut count = 0;
    for input in inputs {
        compression::holds(&std::fs::read(input.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0);
}

/// Gauges in several blocks and families large and small.
struct Gauges {
    registry: Registry,
    families: Vec<Family<FloatGauge>>,
    handles: Vec<Handle<FloatGauge>>,
}

impl Gauges {
    fn new(sizes: &[usize]) -> Self {
        let registry = Registry::new();
        let mut families = Vec::new();
        let mut handles = Vec::new();
        for (index, &size) in sizes.iter().enumerate() {
            let name = format!("load_{index}");
            let family = registry.family(&name, "Load of a worker.");
            let family = family.labels(["worker", "state"]).register().unwrap();
            for n in 0..size {
                let worker = format!("tcp://10.0.{}.{}:40000", n / 256, n % 256);
                handles.push(family.with([worker.as_str(), "idle"]).unwrap());
            }
            families.push(family);
        }
        Self {
            registry,
            families,
            handles,
        }
    }

    fn set(&self, value: impl Fn(usize) -> f64) {
        for (index, handle) in self.handles.iter().enumerate() {
            handle.set(value(index));
        }
    }
}

#[test]
fn blocks_are_reused_only_while_their_distances_hold() {
    for sizes in [&[400][..], &[1, 1, 40, 2, 300, 1, 33], &[600, 600]] {
        let gauges = Gauges::new(sizes);
        let mut scraper = gauges.registry.scraper();
        let check = |scraper: &mut _| {
            assert_same_page(&gauges.registry, scraper, Format::Text.into());
        };
        gauges.set(|index| index as f64);
        for _ in 0..5 {
            check(&mut scraper);
        }
        for (index, handle) in gauges.handles.iter().enumerate().step_by(7) {
            // Of the same length, of another, and back.
            for value in [9.0 - index as f64 % 9.0, 1e15, index as f64] {
                handle.set(value);
                check(&mut scraper);
            }
        }
    }
}

#[test]
fn lean_page_is_empty_once_its_last_family_is_gone() {
    for content_type in [Format::Text, Format::OpenMetrics] {
        let registry = Registry::new();
        registry.counter("jobs_total", "Jobs.").unwrap();
        let mut lean = registry.scraper().lean(true);
        assert!(lean.scrape(content_type).starts_with(b"# "));
        registry.unregister("jobs_total");
        let expected = registry.scraper().scrape(content_type).to_vec();
        assert_eq!(lean.scrape(content_type), expected);
    }
}

#[test]
fn lean_pages_are_those_of_any_scraper() {
    let gauges = Gauges::new(&[3, 300]);
    let mut lean = gauges.registry.scraper().lean(true);
    for turn in 0..3 {
        gauges.set(|index| (turn * 1_000 + index) as f64);
        let protobuf = ContentType::from(Format::Protobuf);
        for content_type in CONTENT_TYPES.into_iter().chain([protobuf]) {
            let expected = gauges.registry.scraper().scrape(content_type).to_vec();
            assert!(lean.scrape(content_type) == expected, "{content_type:?}");
            for before in ["", "before"] {
                let mut page = before.as_bytes().to_vec();
                lean.scrape_into(content_type, &mut page);
                assert!(page.strip_prefix(before.as_bytes()) == Some(&expected));
            }
            let (mut some, mut expected) = (Vec::new(), Vec::new());
            let wanted = |name: &str| name == "load_1";
            lean.scrape_only(content_type, wanted, &mut some);
            let mut other = gauges.registry.scraper();
            other.scrape_only(content_type, wanted, &mut expected);
            assert!(some == expected, "{content_type:?}");
            assert_same_page(&gauges.registry, &mut lean, content_type);
        }
        gauges.families[0]
            .with([&*format!("new {turn}"), "idle"])
            .unwrap();
        gauges.families[1].remove(["tcp://10.0.0.1:40000", "idle"]);
    }
}

#[test]
fn members_of_a_run_come_and_go() {
    let gauges = Gauges::new(&[3, 300, 2, 2]);
    let mut scraper = gauges.registry.scraper();
    for turn in 0..60 {
        let family = &gauges.families[turn % 4];
        let name = format!("other {}", turn / 8);
        match turn % 8 < 5 {
            true => family
                .with([name.as_str(), "gone"])
                .unwrap()
                .set(turn as f64),
            false => drop(family.remove([name.as_str(), "gone"])),
        }
        assert_same_page(&gauges.registry, &mut scraper, Format::Text.into());
    }
}

#[test]
fn values_that_repeat_join_the_matches_around_them() {
    let gauges = Gauges::new(&[500]);
    let mut scraper = gauges.registry.scraper();
    for period in 1..6 {
        for value in [0.0, 7.0, 1234.0, 1.0 / 3.0, 1e300 / 3.0, f64::NAN] {
            gauges.set(|index| if index % period == 0 { value } else { 5.5 });
            assert_same_page(&gauges.registry, &mut scraper, Format::Text.into());
        }
    }
}

#[test]
fn values_repeated_by_another_block_may_change() {
    let registry = Registry::new();
    let gauges = registry.gauge_family("load", "Load.", ["prefix"]).unwrap();
    let names = ["read", "getitem", "sum", "mean", "merge", "store", "map"];
    let handles: Vec<_> = (0..300)
        .map(|n| {
            let prefix = format!("{}-chunk-{}", names[n % 7], n * 7919 % 1009);
            gauges.with([prefix.as_str()]).unwrap()
        })
        .collect();
    let mut scraper = registry.scraper();
    for (index, handle) in handles.iter().enumerate().step_by(5) {
        // Another value, perhaps of another length, while those that repeat it stay.
        for value in [5, 0, 1234] {
            handle.set(value);
            assert_same_page(&registry, &mut scraper, Format::Text.into());
        }
        handle.set(if index > 150 { 5 } else { 0 });
        assert_same_page(&registry, &mut scraper, Format::Text.into());
    }
}

#[test]
fn sources_beyond_the_window_become_literals() {
    let registry = Registry::new();
    let family = registry.gauge_family("g", "Gauges.", ["x"]).unwrap();
    let mut scraper = registry.scraper();
    for len in [100, 8_000, 16_000, 32_000, 40_000, 70_000] {
        for n in 0..4 {
            let value = format!("{n}{}{n}", "abc".repeat(len / 3));
            family.with([value.as_str()]).unwrap().set(n);
        }
        assert_same_page(&registry, &mut scraper, Format::OpenMetrics.into());
    }
}

#[test]
fn empty_registries_have_compressed_pages_too() {
    let registry = Registry::new();
    for content_type in CONTENT_TYPES {
        assert_same_page(&registry, &mut registry.scraper(), content_type);
    }
}

#[test]
fn warm_compressed_scrape_allocates_nothing() {
    let gauges = Gauges::new(&[1, 1, 2, 500, 3, 300]);
    let buckets = Buckets::exponential(0.001, 2.0, 12).unwrap();
    let histogram = gauges.registry.family::<Histogram>("seconds", "");
    let histogram = histogram.options(buckets).register_single().unwrap();
    let mut scraper = gauges.registry.scraper();
    let mut compressed = Vec::with_capacity(1 << 20);
    let longest = -1.234_567_890_123_456_7e-300;
    for _ in 0..3 {
        gauges.set(|index| longest * (index + 1) as f64);
        for content_type in CONTENT_TYPES {
            compressed.clear();
            scraper.scrape_gzip_into(content_type, &mut compressed);
        }
    }
    // The codes are made again among these.
    for turn in 0..150 {
        gauges.set(|index| [index as f64, 0.0, index as f64 / 7.0][turn / 40 % 3] + turn as f64);
        histogram.observe(turn as f64);
        for content_type in CONTENT_TYPES {
            compressed.clear();
            let asked = allocations(|| scraper.scrape_gzip_into(content_type, &mut compressed));
            assert_eq!(asked, 0, "{content_type:?}, turn {turn}");
        }
    }
}

#[test]
fn pages_are_as_small_as_those_of_zlib() {
    let registry = Registry::new();
    let labels = ["method", "route", "status"];
    let counters = registry.counter_family("requests_total", "Requests.", labels);
    let counters = counters.unwrap();
    for n in 0..1_000u64 {
        let route = format!("/api/v1/items/{}/parts", n / 20);
        let method = ["GET", "POST", "PUT", "DELETE"][n as usize % 4];
        let status = ["200", "302", "404", "429", "500"][n as usize / 4 % 5];
        let counter = counters.with([method, &route, status]).unwrap();
        counter.inc_by(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40);
    }
    let mut scraper = registry.scraper();
    let mut compressed = Vec::new();
    scraper.scrape_gzip_into(Format::Text, &mut compressed);
    let mut by_zlib = Vec::new();
    let level = flate2::Compression::new(6);
    let page = scraper.scrape(Format::Text);
    let mut encoder = flate2::bufread::GzEncoder::new(page, level);
    std::io::Read::read_to_end(&mut encoder, &mut by_zlib).unwrap();
    assert!(
        compressed.len() * 100 <= by_zlib.len() * 103,
        "{} bytes, zlib {}",
        compressed.len(),
        by_zlib.len()
    );
}
