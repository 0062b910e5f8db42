//! Protobuf pages, as an independent decoder reads them.

#[path = "properties/choices.rs"]
mod choices;
#[path = "support/protobuf.rs"]
mod protobuf;

use arbitrary::Unstructured;
use choices::{CHARACTERS, Choices, float};
use proptest::prelude::*;
use protobuf::{MetricFamily, MetricType, Sample, buckets, decode, exemplars, samples};
use stethoscope::Registry;
use stethoscope::cell::*;
use stethoscope::exposition::parser::{Event, parse};
use stethoscope::exposition::{ContentType, Escaping, Format};
use stethoscope::family::{Family, Metric, Shape};

fn scrape(registry: &Registry) -> Vec<MetricFamily> {
    decode(registry.scraper().scrape(Format::Protobuf))
}

fn family<'a>(families: &'a [MetricFamily], name: &str) -> &'a MetricFamily {
    let mut found = families.iter().filter(|family| family.name() == name);
    found.next().unwrap_or_else(|| panic!("no family {name}"))
}

/// The samples of a text page, sorted, as [`samples`] spells them.
fn text_samples(page: &[u8], content_type: ContentType) -> Vec<Sample> {
    let mut samples = Vec::new();
    for event in parse(page, content_type) {
        if let Event::Sample(sample) = event.unwrap() {
            let labels = sample.labels().map(|label| {
                let value = match &*label.name {
                    // Labels of this crate; a user's are not numbers here.
                    "le" | "quantile" => match label.value.parse::<f64>() {
                        Ok(number) => format!("{number:?}"),
                        Err(_) => label.value.into_owned(),
                    },
                    _ => label.value.into_owned(),
                };
                (label.name.into_owned(), value)
            });
            let mut labels: Vec<_> = labels.collect();
            labels.sort();
            samples.push((sample.name().into_owned(), labels, sample.value().to_bits()));
        }
    }
    samples.sort();
    samples
}

#[test]
fn single_numbers_are_counters_gauges_and_untyped() {
    let registry = Registry::new().with_const_labels([("job", "x")]);
    let requests = registry
        .counter_family("requests", "Help \\ \n.", ["code"])
        .unwrap();
    requests.with(["200"]).unwrap().inc_by(7);
    requests.with(["\0\"é"]).unwrap();
    registry.gauge("level", "").unwrap().set(-3);
    registry.float_gauge("ratio", "").unwrap().set(f64::NAN);
    registry.info("build", "", [("version", "1")]).unwrap();
    let families = scrape(&registry);
    let counter = family(&families, "requests_total");
    assert_eq!(
        (counter.r#type(), counter.help()),
        (MetricType::Counter, "Help \\ \n.")
    );
    let labels: Vec<_> = counter.metric[1]
        .label
        .iter()
        .map(|l| (l.name(), l.value()))
        .collect();
    assert_eq!(labels, [("job", "x"), ("code", "\0\"é")]);
    assert_eq!(counter.metric[0].counter.as_ref().unwrap().value, Some(7.0));
    assert_eq!(counter.metric[1].counter.as_ref().unwrap().value, Some(0.0));
    let value = |name| {
        family(&families, name).metric[0]
            .gauge
            .as_ref()
            .unwrap()
            .value()
    };
    assert_eq!(value("level"), -3.0);
    assert!(value("ratio").is_nan());
    assert_eq!(value("build_info"), 1.0);
}

#[test]
fn states_are_gauges() {
    let registry = Registry::new();
    let phases = registry
        .family::<StateSet>("phase", "")
        .states(["a", "b"])
        .labels(["x"]);
    let phases = phases.register().unwrap();
    phases.with(["1"]).unwrap().select(1);
    phases.with(["2"]).unwrap().select(0);
    let families = scrape(&registry);
    assert_eq!(families[0].r#type(), MetricType::Gauge);
    let expected = [
        ("1", "a", 0.0),
        ("1", "b", 1.0),
        ("2", "a", 1.0),
        ("2", "b", 0.0),
    ];
    for (metric, (x, phase, value)) in families[0].metric.iter().zip(expected) {
        let labels: Vec<_> = metric.label.iter().map(|l| (l.name(), l.value())).collect();
        assert_eq!(labels, [("x", x), ("phase", phase)]);
        assert_eq!(metric.gauge.as_ref().unwrap().value, Some(value));
    }
}

#[test]
fn unit_is_written_where_the_name_ends_in_it() {
    let registry = Registry::new();
    registry
        .family::<Gauge>("size_bytes", "")
        .unit("bytes")
        .register_single()
        .unwrap();
    registry
        .family::<Counter>("sent_bytes", "")
        .unit("bytes")
        .register_single()
        .unwrap();
    let families = scrape(&registry);
    assert_eq!(family(&families, "size_bytes").unit(), "bytes");
    assert_eq!(family(&families, "sent_bytes_total").unit, None);
}

#[test]
fn times_of_creation_are_in_the_value() {
    let registry = Registry::new();
    let before = std::time::SystemTime::now();
    let counter = registry.family::<Counter>("a", "").created_timestamps();
    counter.register_single().unwrap().inc();
    let summary = registry.family::<Quantile>("b", "").created_timestamps();
    summary.register_single().unwrap();
    let classic = registry.family::<Histogram>("c", "").created_timestamps();
    classic.register_single().unwrap().observe(1.0);
    let native = registry
        .family::<NativeHistogram>("d", "")
        .created_timestamps();
    native.register_single().unwrap().observe(1.0);
    let traced = registry
        .family::<WithExemplars<Counter>>("e", "")
        .created_timestamps();
    traced.register_single().unwrap().inc();
    let families = scrape(&registry);
    let since = before
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    for family in &families {
        let metric = &family.metric[0];
        let created = None
            .or_else(|| metric.counter.as_ref()?.created_timestamp)
            .or_else(|| metric.summary.as_ref()?.created_timestamp)
            .or_else(|| metric.histogram.as_ref()?.created_timestamp)
            .unwrap();
        assert!((0..1_000_000_000).contains(&created.nanos));
        let created = created.seconds as f64 + f64::from(created.nanos) / 1e9;
        assert!(
            (0.0..60.0).contains(&(created - since + 1e-3)),
            "{}",
            family.name()
        );
    }
    assert_eq!(
        families[0].metric[0].counter.as_ref().unwrap().value,
        Some(1.0)
    );
}

#[test]
fn exemplars_are_those_of_counters_and_buckets() {
    let registry = Registry::new();
    let labels = ExemplarLabels::new([("trace_id", "4b\"\n"), ("x", "")]).unwrap();
    let counter = registry
        .family::<WithExemplars<Counter>>("a", "")
        .register_single()
        .unwrap();
    let bounds = Buckets::new([1.0, 2.0]).unwrap();
    let classic = registry
        .family::<WithExemplars<Histogram>>("b", "")
        .options(bounds.clone());
    let classic = classic.register_single().unwrap();
    let options = NativeHistogramOptions::builder()
        .classic(bounds)
        .build()
        .unwrap();
    let native = registry
        .family::<WithExemplars<NativeHistogram>>("c", "")
        .options(options);
    let native = native.register_single().unwrap();
    assert!(exemplars(&scrape(&registry)[0].metric[0]).next().is_none());
    counter.inc_by_with_exemplar(5, &labels);
    classic.observe_with_exemplar(1.5, &labels);
    native.observe_with_exemplar(1.5, &labels);
    let families = scrape(&registry);
    let value = |name: &str| {
        let mut found = exemplars(&family(&families, name).metric[0]);
        let exemplar = found.next().unwrap();
        let labels: Vec<_> = exemplar
            .label
            .iter()
            .map(|l| (l.name(), l.value()))
            .collect();
        assert_eq!(labels, [("trace_id", "4b\"\n"), ("x", "")]);
        assert!(exemplar.timestamp.unwrap().seconds > 1_700_000_000);
        (exemplar.value(), found.count())
    };
    assert_eq!((value("a_total"), value("b")), ((5.0, 0), (1.5, 0)));
    assert_eq!(
        value("c"),
        (1.5, 1),
        "of the classic bucket, and of the histogram"
    );
    let histogram = family(&families, "c").metric[0].histogram.clone().unwrap();
    assert!(histogram.bucket[1].exemplar.is_some() && histogram.exemplars.len() == 1);
}

#[test]
fn native_histogram_has_the_buckets_of_its_reading() {
    let registry = Registry::new();
    let options = NativeHistogramOptions::builder()
        .negative_values()
        .build()
        .unwrap();
    let histogram = registry.native_histogram("h", "", options).unwrap();
    let check = || {
        let families = scrape(&registry);
        let message = families[0].metric[0].histogram.clone().unwrap();
        let mut reading = NativeReading::default();
        histogram.read_native(&mut reading);
        assert_eq!(message.schema, Some(reading.schema()));
        let sum = if reading.sum().is_nan() {
            f64::NAN
        } else {
            reading.sum()
        };
        assert_eq!(message.sample_sum().to_bits(), sum.to_bits());
        assert_eq!(message.zero_count, Some(reading.zero_count()));
        let populated = |spans, deltas| {
            let all = buckets(spans, deltas).into_iter();
            all.filter(|(_, count)| *count > 0).collect::<Vec<_>>()
        };
        let positive = populated(&message.positive_span, &message.positive_delta);
        assert!(reading.positive().eq(positive));
        let negative = populated(&message.negative_span, &message.negative_delta);
        assert!(reading.negative().eq(negative));
        message.positive_span.len()
    };
    assert_eq!(check(), 0);
    // Gaps of 0, 1, 2 and 3 buckets, then a schema that falls.
    let bound = |index: i32| 2f64.powf(f64::from(index) / 8.0) * 0.999;
    for index in [-9, -8, -6, -3] {
        histogram.observe(bound(index));
    }
    assert_eq!(check(), 1);
    histogram.observe(bound(1));
    assert_eq!(check(), 2);
    for value in [
        -1.0,
        -1e9,
        0.0,
        1e300,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MIN_POSITIVE,
    ] {
        histogram.observe(value);
        check();
    }
}

/// A cell that says it is a native histogram, and is not.
struct Impostor;

impl Cell for Impostor {
    type Options = ();
    fn from_options((): &()) -> Self {
        Self
    }
    fn width((): &()) -> usize {
        2
    }
    fn read(&self, into: &mut [u64]) {
        into.fill(u64::MAX);
    }
}

impl Metric for Impostor {
    const TYPE: stethoscope::MetricType = stethoscope::MetricType::Histogram;
    fn shape((): &()) -> Shape {
        NativeHistogram::shape(&NativeHistogramOptions::default())
    }
}

#[test]
fn cell_that_only_claims_to_be_native_is_an_empty_histogram() {
    let registry = Registry::new();
    registry
        .family::<Impostor>("x", "")
        .register_single()
        .unwrap();
    let families = scrape(&registry);
    assert_eq!(
        families[0].metric[0]
            .histogram
            .as_ref()
            .unwrap()
            .sample_count,
        Some(0)
    );
}

#[test]
fn families_without_series_are_left_out() {
    let registry = Registry::new();
    registry.counter_family("a", "", ["x"]).unwrap();
    assert_eq!(registry.scraper().scrape(Format::Protobuf), b"");
}

#[test]
fn only_wanted_families_are_written() {
    let registry = Registry::new();
    registry.gauge("a", "").unwrap();
    registry.gauge("b", "").unwrap();
    let mut page = Vec::new();
    registry
        .scraper()
        .scrape_only(Format::Protobuf, |name| name == "b", &mut page);
    let families = decode(&page);
    assert_eq!((families.len(), families[0].name()), (1, "b"));
}

#[cfg(feature = "gzip")]
#[test]
fn compressed_page_is_the_same_page() {
    use std::io::Read as _;

    let registry = Registry::new();
    let gauges = registry.gauge_family("g", "", ["n"]).unwrap();
    for n in 0..1000 {
        gauges.with([n.to_string()]).unwrap().set(n);
    }
    let mut scraper = registry.scraper();
    for _ in 0..2 {
        let mut compressed = b"before".to_vec();
        scraper.scrape_gzip_into(Format::Protobuf, &mut compressed);
        let mut page = Vec::new();
        flate2::read::GzDecoder::new(&compressed[6..])
            .read_to_end(&mut page)
            .unwrap();
        assert_eq!(page, scraper.scrape(Format::Protobuf));
        assert_eq!(decode(&page)[0].metric.len(), 1000);
    }
}

type Change = Box<dyn Fn(&mut Choices<'_, '_>)>;

/// A registry that changes by chance, with the means to change it again.
struct Changing {
    registry: Registry,
    changes: Vec<Change>,
}

impl Changing {
    fn new(choices: &mut Choices<'_, '_>) -> Self {
        let utf8 = choices.below(2) == 1;
        let registry = match utf8 {
            true => Registry::new().with_utf8_names(),
            false => Registry::new(),
        };
        let mut changing = Self {
            registry,
            changes: Vec::new(),
        };
        for _ in 0..1 + choices.below(4) {
            changing.add(choices);
        }
        changing
    }

    /// Changes, adds or removes a series of some family.
    fn change(&self, choices: &mut Choices<'_, '_>) {
        let change = choices.below(self.changes.len().max(1));
        if let Some(change) = self.changes.get(change) {
            change(choices);
        }
    }

    fn add(&mut self, choices: &mut Choices<'_, '_>) {
        let buckets = Buckets::new([-0.5, 1.0, 1e6]).unwrap();
        let mut options = NativeHistogramOptions::builder().schema(choices.below(13) as i32 - 4);
        if choices.below(2) == 1 {
            options = options.negative_values();
        }
        if choices.below(2) == 1 {
            options = options.classic(buckets.clone());
        }
        let native = options.max_buckets(73 + choices.below(40)).build().unwrap();
        let trace = ExemplarLabels::new([("trace_id", "1")]).unwrap();
        match choices.below(9) {
            0 => self.family::<Counter>(choices, (), |cell, choices| cell.inc_by(choices.bits())),
            1 => self.family::<FloatGauge>(choices, (), |cell, choices| cell.set(float(choices))),
            2 => self.family::<Gauge>(choices, (), |cell, choices| cell.set(choices.bits() as i64)),
            3 => self.family::<Quantile>(choices, QuantileOptions::default(), |cell, choices| {
                cell.observe(float(choices));
            }),
            4 => self.family::<Histogram>(choices, buckets, |cell, choices| {
                cell.observe(float(choices));
            }),
            5 => self.family::<NativeHistogram>(choices, native, |cell, choices| {
                cell.observe(float(choices));
            }),
            6 => self.family::<WithExemplars<ShardedNativeHistogram>>(
                choices,
                native,
                move |cell, choices| cell.observe_with_exemplar(float(choices), &trace),
            ),
            7 => self.family::<WithExemplars<Counter>>(choices, (), move |cell, choices| {
                cell.inc_by_with_exemplar(choices.bits() >> 8, &trace);
            }),
            _ => {
                let name = choices.of(&["state", "größe"]);
                let states = self
                    .registry
                    .family::<StateSet>(name, "")
                    .states(["a", "\"b\n"]);
                if let Ok(set) = states.register_single() {
                    self.changes
                        .push(Box::new(move |choices| set.select(choices.below(2))));
                }
            }
        }
    }

    fn family<C: Metric>(
        &mut self,
        choices: &mut Choices<'_, '_>,
        options: C::Options,
        update: impl Fn(&C, &mut Choices<'_, '_>) + 'static,
    ) where
        C::Options: Default,
    {
        let name = choices.of(&["a_seconds", "b", "a.b", "größe", "a_b", "x:y"]);
        let labels: &[&str] = choices.of(&[&[][..], &["x"], &["x", "y.z"]]);
        let family = self
            .registry
            .family::<C>(name, &choices.text())
            .options(options);
        let mut family = family.labels(labels.iter().copied());
        if choices.below(2) == 1 {
            family = family.created_timestamps();
        }
        if name == "a_seconds" {
            family = family.unit("seconds");
        }
        let Ok(family) = family.register() else {
            return;
        };
        self.changes.push(Box::new(move |choices| {
            let values: Vec<String> = labels.iter().map(|_| choices.text()).collect();
            let family: &Family<C> = &family;
            if choices.below(4) == 0 {
                family.remove(&values);
            } else {
                update(&*family.with(&values).unwrap(), choices);
            }
        }));
    }
}

#[test]
fn every_nan_is_written_alike() {
    // To Prometheus, a NaN of these bits ends the series.
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let registry = Registry::new();
    let gauge = registry.float_gauge("g", "").unwrap();
    gauge.set(stale);
    let families = decode(registry.scraper().scrape(Format::Protobuf));
    assert_eq!(samples(&families)[0].2, f64::NAN.to_bits());
}

proptest! {
    #[test]
    fn page_says_what_the_text_page_says(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut bytes = Unstructured::new(&bytes);
        let mut choices = Choices::with_alphabet(&mut bytes, CHARACTERS);
        let mut changing = Changing::new(&mut choices);
        let mut scraper = changing.registry.scraper();
        for turn in 0..6 {
            for escaping in [Escaping::Underscores, Escaping::Dots, Escaping::Values] {
                let protobuf = ContentType::new(Format::Protobuf, escaping);
                let families = decode(scraper.scrape(protobuf));
                let text = ContentType::new(Format::Text, escaping);
                let text = text_samples(scraper.scrape(text), text);
                // An escaped label is at times an empty text in both.
                prop_assert_eq!(samples(&families), text);
            }
            let utf8 = ContentType::new(Format::Protobuf, Escaping::AllowUtf8);
            let families = decode(scraper.scrape(utf8));
            let text = ContentType::new(Format::Text1, Escaping::AllowUtf8);
            prop_assert_eq!(samples(&families), text_samples(scraper.scrape(text), text));
            // Again in the same escaping, which may bring the page up to date in place,
            // also after a page of only some families.
            for _ in 0..3 {
                if choices.below(4) == 1 {
                    let mut some = Vec::new();
                    scraper.scrape_only(utf8, |name| name.len() > 1, &mut some);
                    decode(&some);
                }
                changing.change(&mut choices);
                let families = decode(scraper.scrape(utf8));
                let text = text_samples(changing.registry.scraper().scrape(text), text);
                prop_assert_eq!(samples(&families), text);
            }
            if turn == 3 {
                changing.add(&mut choices);
            }
            for _ in 0..choices.below(4) {
                changing.change(&mut choices);
            }
        }
    }
}

/// Metrics of native histograms are kept from page to page, and written again where
/// something was observed.
#[test]
fn kept_native_histograms_are_those_of_a_new_page() {
    let registry = Registry::new();
    let options = NativeHistogramOptions::builder().negative_values();
    let options = options
        .classic(Buckets::new([1.0]).unwrap())
        .max_buckets(80);
    let family = registry
        .family::<NativeHistogram>("waits", "")
        .labels(["n"]);
    let family = family.options(options.build().unwrap());
    let family = family.created_timestamps().register().unwrap();
    for n in 0..100 {
        family.with([&*n.to_string()]).unwrap().observe(1.0);
    }
    let mut scraper = registry.scraper();
    let mut state = 7u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (state >> 33) % below
    };
    for round in 0..25 {
        for _ in 0..random(4) {
            let name = random(100).to_string();
            match random(8) {
                0 => {
                    family.remove([&*name]);
                }
                1 => {
                    family.with([&*(100 + random(100)).to_string()]).unwrap();
                }
                _ => {
                    let value = 2f64.powi(random(200) as i32 - 100);
                    let value = if random(3) == 0 { -value } else { value };
                    family.with([&*name]).unwrap().observe(value);
                }
            }
        }
        let fresh = registry.scraper().scrape(Format::Protobuf).to_vec();
        assert!(scraper.scrape(Format::Protobuf) == fresh, "round {round}");
        if round % 5 == 0 {
            let mut page = Vec::new();
            scraper.scrape_only(Format::Protobuf, |_| false, &mut page);
            assert_eq!(page, b"");
            scraper.scrape_only(Format::Protobuf, |_| true, &mut page);
            assert!(page == fresh, "round {round}");
        }
    }
}
