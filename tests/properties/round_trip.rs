//! Whatever a registry holds comes back from its page, in every format; and a
//! page that is read and written again says the same.

use super::choices::{CHARACTERS, Choices, float};
use arbitrary::Unstructured;
use std::time::Duration;
use stethoscope::MetricType;
use stethoscope::Registry;
use stethoscope::cell::{
    Buckets, Counter, FloatCounter, FloatGauge, Gauge, Histogram, Number, Quantile,
    QuantileOptions, StateSet, StripedCounter, Window, WindowMax,
};
use stethoscope::exposition::number::format_bound;
use stethoscope::exposition::parser::{Event, Options, Sample, parse};
use stethoscope::exposition::rewrite::rewrite;
use stethoscope::exposition::validate::validate;
use stethoscope::exposition::{ContentType, Escaping, Format};
use stethoscope::family::{Family, Metric};

const FORMATS: [Format; 4] = [
    Format::Text,
    Format::Text1,
    Format::OpenMetrics,
    Format::OpenMetrics2,
];

/// The page of a registry that the bytes stand for.
pub fn a_registry_comes_back(bytes: &[u8]) {
    let mut bytes = Unstructured::new(bytes);
    let mut choices = Choices::with_alphabet(&mut bytes, CHARACTERS);
    let utf8 = choices.below(2) == 1;
    let registry = match utf8 {
        true => Registry::new().with_utf8_names(),
        false => Registry::new(),
    };
    let mut expected = Vec::new();
    for _ in 0..1 + choices.below(4) {
        expected.extend(register(&registry, utf8, &mut choices));
    }
    let mut scraper = registry.scraper();
    for format in FORMATS {
        for escaping in [
            Escaping::Underscores,
            Escaping::AllowUtf8,
            Escaping::Dots,
            Escaping::Values,
        ] {
            // Text 0.0.4 has no names in quotes.
            if format == Format::Text && escaping == Escaping::AllowUtf8 {
                continue;
            }
            let content_type = ContentType::new(format, escaping);
            let page = scraper.scrape(content_type).to_vec();
            if let Err(error) = validate(&page, content_type) {
                panic!("{content_type:?}: {}", error.display_in(&page));
            }
            if !utf8 || escaping == Escaping::AllowUtf8 {
                says(&page, content_type, &expected);
            } else {
                says_the_values_of(&page, content_type, &expected);
            }
            let rewritten = rewrite(&page, content_type).expect("a good page");
            assert_eq!(
                String::from_utf8_lossy(&rewritten),
                String::from_utf8_lossy(&page),
                "what we write is as we would rewrite it"
            );
        }
    }
}

/// A page that is accepted says the same when it is rewritten, and stays as it
/// is when it is rewritten again.
pub fn a_page_is_rewritten(page: &[u8]) {
    for format in FORMATS {
        for mut options in [Options::strict(format), Options::lenient(format)] {
            // A name that lenient readers took in quotes needs them.
            options.quoted_names = true;
            let Ok(rewritten) = rewrite(page, options) else {
                continue;
            };
            let shown = String::from_utf8_lossy(&rewritten);
            let again = match rewrite(&rewritten, options) {
                Ok(again) => again,
                Err(error) => panic!("{options:?}: {}", error.display_in(&rewritten)),
            };
            assert_eq!(String::from_utf8_lossy(&again), shown);
            let events = |page| parse(page, options).map(|event| event.expect("accepted"));
            assert!(
                events(page).eq(events(&rewritten[..])),
                "{options:?} {shown} {}",
                String::from_utf8_lossy(page)
            );
            if validate(page, options).is_ok() {
                assert_eq!(validate(&rewritten, options), Ok(()), "{shown}");
            }
        }
    }
}

/// A family as it was registered.
struct Expected {
    /// The name in OpenMetrics, which the samples' names begin with.
    name: String,
    help: String,
    kind: MetricType,
    samples: Vec<Wanted>,
}

/// The name of a sample, its labels, the bits of its value and what they mean.
type Wanted = (String, Vec<(String, String)>, Number, u64);

fn register(registry: &Registry, utf8: bool, choices: &mut Choices<'_, '_>) -> Option<Expected> {
    // Many of these are in each other's way, at least in some escaping.
    const NAMES: [&str; 9] = [
        "a",
        "b_seconds",
        "c_total",
        "a:b",
        "_x",
        "a_info",
        "a_created",
        "a_bucket",
        "a_created_total",
    ];
    const UTF8_NAMES: [&str; 10] = [
        "a",
        "a.b",
        "größe",
        "x{y=\"z\"} \\ \n#",
        "1 2",
        "a_b",
        "a_dot_b",
        "U__a_2e_b",
        "a.b_created",
        "a_b_created",
    ];
    let name = match utf8 {
        true => choices.of(&UTF8_NAMES),
        false => choices.of(&NAMES),
    };
    let help = choices.text();
    let stem = name.strip_suffix("_total").unwrap_or(name).to_owned();
    let expected = |kind, samples| Expected {
        name: match kind {
            MetricType::Counter => stem.clone(),
            _ => name.to_owned(),
        },
        help: help.clone(),
        kind,
        samples,
    };
    Some(match choices.below(10) {
        0 => {
            let rows = fill::<Counter>(registry, name, &help, (), choices, |cell, choices| {
                cell.inc_by(choices.bits());
            })?;
            expected(
                MetricType::Counter,
                single(&format!("{stem}_total"), rows, Number::U64),
            )
        }
        1 => {
            let rows =
                fill::<StripedCounter>(registry, name, &help, (), choices, |cell, choices| {
                    cell.inc_by(choices.bits() >> 8);
                })?;
            expected(
                MetricType::Counter,
                single(&format!("{stem}_total"), rows, Number::U64),
            )
        }
        2 => {
            let rows =
                fill::<FloatCounter>(registry, name, &help, (), choices, |cell, choices| {
                    cell.inc_by(float(choices).abs());
                })?;
            expected(
                MetricType::Counter,
                single(&format!("{stem}_total"), rows, Number::F64),
            )
        }
        3 => {
            let rows = fill::<Gauge>(registry, name, &help, (), choices, |cell, choices| {
                cell.set(choices.bits() as i64);
            })?;
            expected(MetricType::Gauge, single(name, rows, Number::I64))
        }
        4 | 5 => {
            let rows = fill::<FloatGauge>(registry, name, &help, (), choices, |cell, choices| {
                cell.set(float(choices));
            })?;
            expected(MetricType::Gauge, single(name, rows, Number::F64))
        }
        6 => {
            let window = Window::new(Duration::from_secs(3600), 6).expect("a good window");
            let rows =
                fill::<WindowMax>(registry, name, &help, window, choices, |cell, choices| {
                    cell.observe(float(choices));
                })?;
            expected(MetricType::Gauge, single(name, rows, Number::F64))
        }
        7 => {
            let bounds = choices.of(&[&[1.0][..], &[0.1, 0.5, 1e6], &[], &[1e-7, 3.0]]);
            let buckets = Buckets::new(bounds.iter().copied()).expect("good bounds");
            let rows =
                fill::<Histogram>(registry, name, &help, buckets, choices, |cell, choices| {
                    for _ in 0..choices.below(4) {
                        // The sum of OpenMetrics can't go down.
                        cell.observe(float(choices).abs());
                    }
                })?;
            let mut samples = Vec::new();
            for (labels, row) in rows {
                let all = bounds.iter().copied().chain([f64::INFINITY]);
                for (at, bound) in all.enumerate() {
                    let le = match bound {
                        1e6 => "1e+06".to_owned(),
                        1e-7 => "1e-07".to_owned(),
                        f64::INFINITY => "+Inf".to_owned(),
                        bound => format!("{bound:?}"),
                    };
                    let labels = [&labels[..], &[("le".to_owned(), le)]].concat();
                    samples.push((format!("{name}_bucket"), labels, Number::U64, row[at]));
                }
                let count = row[bounds.len()];
                samples.push((
                    format!("{name}_sum"),
                    labels.clone(),
                    Number::F64,
                    row[bounds.len() + 1],
                ));
                samples.push((format!("{name}_count"), labels, Number::U64, count));
            }
            expected(MetricType::Histogram, samples)
        }
        8 => {
            let window = Window::new(Duration::from_secs(3600), 6).expect("a good window");
            let options = QuantileOptions::builder([0.5, 0.99])
                .window(window)
                .build()
                .expect("good quantiles");
            let rows =
                fill::<Quantile>(registry, name, &help, options, choices, |cell, choices| {
                    for _ in 0..choices.below(4) {
                        cell.observe(float(choices).abs());
                    }
                })?;
            let mut samples = Vec::new();
            for (labels, row) in rows {
                for (at, quantile) in ["0.5", "0.99"].into_iter().enumerate() {
                    let quantile = ("quantile".to_owned(), quantile.to_owned());
                    let labels = [&labels[..], &[quantile]].concat();
                    samples.push((name.to_owned(), labels, Number::F64, row[at]));
                }
                samples.push((format!("{name}_sum"), labels.clone(), Number::F64, row[2]));
                samples.push((format!("{name}_count"), labels, Number::U64, row[3]));
            }
            expected(MetricType::Summary, samples)
        }
        _ => {
            let states = ["on", "half \"on\"\n", "off"];
            let label = choices.of(&[&[][..], &["a_b"], &["x.y"]]);
            let family = registry.family::<StateSet>(name, &help).states(states);
            let family = family.labels(label.iter().copied()).register().ok()?;
            let value = choices.text();
            let values: Vec<&str> = label.iter().map(|_| &*value).collect();
            let set = family.with(&values[..]).expect("as many values as labels");
            let on = choices.below(3);
            set.select(on);
            let mut samples = Vec::new();
            for (at, state) in states.into_iter().enumerate() {
                let state = (name, state);
                let labels = label.iter().copied().zip(values.iter().copied());
                let labels = labels.chain([state]);
                let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
                let is_on = u64::from(at == on);
                samples.push((name.to_owned(), labels.collect(), Number::U64, is_on));
            }
            expected(MetricType::StateSet, samples)
        }
    })
}

/// The labels of a series and the numbers that its cell reads.
type Row = (Vec<(String, String)>, Vec<u64>);

/// Registers a family, gives it some series and lets `update` change each.
fn fill<C: Metric>(
    registry: &Registry,
    name: &str,
    help: &str,
    options: C::Options,
    choices: &mut Choices<'_, '_>,
    mut update: impl FnMut(&C, &mut Choices<'_, '_>),
) -> Option<Vec<Row>>
where
    C::Options: Default,
{
    const LABELS: [&[&str]; 7] = [
        &[],
        &["x"],
        &["x", "y"],
        &["été", "東京 1"],
        &["x.y", "x_dot_y"],
        &["U__x_2e_y", "x.y"],
        &["a", "b", "c", "d", "e", "f", "g", "h", "i"],
    ];
    let labels = choices.of(&LABELS);
    let width = C::width(&options);
    let family: Family<C> = registry
        .family::<C>(name, help)
        .labels(labels.iter().copied())
        .options(options)
        .register()
        .ok()?;
    let mut rows: Vec<Row> = Vec::new();
    for _ in 0..choices.below(4) {
        let values: Vec<String> = labels.iter().map(|_| choices.text()).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let cell = family.with(&values[..]).expect("as many values as labels");
        update(&cell, choices);
        let owned = |(name, value): (&&str, &&str)| ((*name).to_owned(), (*value).to_owned());
        let series: Vec<_> = labels.iter().zip(&values).map(owned).collect();
        let mut row = vec![0; width];
        cell.read(&mut row);
        rows.retain(|(other, _)| *other != series);
        rows.push((series, row));
    }
    Some(rows)
}

fn single(name: &str, rows: Vec<Row>, number: Number) -> Vec<Wanted> {
    let sample = |(labels, row): Row| (name.to_owned(), labels, number, row[0]);
    rows.into_iter().map(sample).collect()
}

/// Each family that has a sample, its HELP and TYPE, its samples bit for bit.
fn says(page: &[u8], content_type: ContentType, expected: &[Expected]) {
    let mut helps = Vec::new();
    let mut types = Vec::new();
    let mut samples = Vec::new();
    for event in parse(page, content_type) {
        match event.expect("a good page") {
            Event::Help { text, .. } => helps.push(text.into_owned()),
            Event::Type { metric_type, .. } => types.push(metric_type),
            Event::Sample(sample) => samples.extend(owned(&sample)),
            Event::Comment { .. } => panic!("we write no comments"),
            _ => {}
        }
    }
    let shown = || expected.iter().filter(|family| !family.samples.is_empty());
    let wanted_helps: Vec<_> = shown()
        .map(|family| &family.help)
        .filter(|help| !help.is_empty())
        .collect();
    assert_same(helps.iter().collect(), wanted_helps);
    let first = content_type.format == Format::OpenMetrics;
    let openmetrics = first || content_type.format == Format::OpenMetrics2;
    let unknown = unknown_counters(expected);
    let kind = |family: &Expected| match family.kind {
        // Text has no state sets.
        MetricType::StateSet if !openmetrics => MetricType::Gauge,
        MetricType::Counter if first && unknown.contains(&&*family.name) => MetricType::Unknown,
        kind => kind,
    };
    let word = |kind: MetricType| format!("{kind:?}");
    assert_same(
        types.into_iter().map(word).collect(),
        shown().map(kind).map(word).collect(),
    );
    let all = shown().flat_map(|family| family.samples.iter().map(wanted));
    let spelled = |(name, mut labels, value): Owned| {
        // Text spells bounds as Go does: 3, where OpenMetrics has 3.0.
        for (_, le) in labels.iter_mut().filter(|(label, _)| label == "le") {
            if !openmetrics && let Some(integer) = le.strip_suffix(".0") {
                *le = integer.to_owned();
            }
        }
        (name, labels, value)
    };
    assert_same(samples, all.map(spelled).collect());
}

/// The counters that are of unknown type in OpenMetrics: another family, or an
/// earlier counter, has one of the names that their type would keep there.
fn unknown_counters(expected: &[Expected]) -> Vec<&str> {
    let is_counter = |family: &&Expected| family.kind == MetricType::Counter;
    let (counters, others): (Vec<_>, Vec<_>) = expected.iter().partition(is_counter);
    let mut taken: Vec<String> = Vec::new();
    for family in others {
        let suffixes: &[&str] = match family.kind {
            MetricType::Histogram => &["", "_bucket", "_sum", "_count", "_created"],
            MetricType::Summary => &["", "_sum", "_count", "_created"],
            _ => &[""],
        };
        taken.extend(
            suffixes
                .iter()
                .map(|suffix| format!("{}{suffix}", family.name)),
        );
    }
    taken.extend(
        counters
            .iter()
            .map(|family| format!("{}_total", family.name)),
    );
    let mut unknown = Vec::new();
    for family in counters {
        let kept = [family.name.clone(), format!("{}_created", family.name)];
        match kept.iter().any(|name| taken.contains(name)) {
            true => unknown.push(&*family.name),
            false => taken.extend(kept),
        }
    }
    unknown
}

/// As many samples with the same values, whatever became of the names.
fn says_the_values_of(page: &[u8], content_type: ContentType, expected: &[Expected]) {
    let mut values = Vec::new();
    for event in parse(page, content_type) {
        if let Event::Sample(sample) = event.expect("a good page") {
            values.extend(owned(&sample).into_iter().map(|(_, _, value)| value));
        }
    }
    let samples = expected.iter().flat_map(|family| &family.samples);
    assert_same(values, samples.map(|sample| wanted(sample).2).collect());
}

fn assert_same<T: Ord + std::fmt::Debug>(mut found: Vec<T>, mut wanted: Vec<T>) {
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
}

type Owned = (String, Vec<(String, String)>, String);

/// A sample, or the samples that a composite value stands for in OpenMetrics 1.0.
fn owned(sample: &Sample<'_>) -> Vec<Owned> {
    let pair = |label: stethoscope::exposition::parser::Label<'_>| {
        (label.name.into_owned(), label.value.into_owned())
    };
    let mut labels: Vec<_> = sample.labels().map(pair).collect();
    labels.sort();
    // An integer is told by its text, a float by its bits.
    let text = sample.value_text();
    let value = match text.parse::<i128>() {
        Ok(integer) if text != "-0" => integer.to_string(),
        _ => bits(sample.value()),
    };
    let name = sample.name().into_owned();
    let Some(composite) = sample.composite() else {
        return vec![(name, labels, value)];
    };
    let number = |value: f64| match value.fract() == 0.0 && value.abs() < 1e16 {
        true if value.to_bits() != (-0.0f64).to_bits() => (value as i64).to_string(),
        _ => bits(value),
    };
    let mut samples = vec![
        (
            format!("{name}_count"),
            labels.clone(),
            composite.count_text().to_owned(),
        ),
        (
            format!("{name}_sum"),
            labels.clone(),
            number(composite.sum()),
        ),
    ];
    let mut push = |suffix: &str, label: &str, bound: f64, value: f64| {
        let bound = format_bound(bound).as_str().to_owned();
        let mut labels = labels.clone();
        labels.push((label.to_owned(), bound));
        labels.sort();
        samples.push((format!("{name}{suffix}"), labels, number(value)));
    };
    for (bound, count) in composite.classic_buckets() {
        push("_bucket", "le", bound, count);
    }
    for (quantile, value) in composite.quantiles() {
        push("", "quantile", quantile, value);
    }
    samples
}

fn wanted((name, labels, number, bits_of): &Wanted) -> Owned {
    let mut labels = labels.clone();
    labels.sort();
    let value = match number {
        Number::U64 => bits_of.to_string(),
        Number::I64 => (*bits_of as i64).to_string(),
        _ => {
            let value = f64::from_bits(*bits_of);
            // Written without an exponent.
            let integral = value.abs() < 1e16 && value.fract() == 0.0;
            match integral && value.to_bits() != (-0.0f64).to_bits() {
                true => (value as i64).to_string(),
                false => bits(value),
            }
        }
    };
    (name.clone(), labels, value)
}

fn bits(value: f64) -> String {
    match value.is_nan() {
        true => "NaN".into(),
        false => format!("{:016x}", value.to_bits()),
    }
}
