//! Registries with any metrics.

use super::choices::Choices;
use crate::Registry;
use crate::cell::{Buckets, Counter, FloatGauge, Gauge, Histogram, Quantile, QuantileOptions};
use crate::registry::RegisterError;
use arbitrary::{Arbitrary, Result, Unstructured};

/// A registry with a few metrics of any type, labels and values, for tests and fuzzers.
/// Needs the feature `arbitrary`.
///
/// ```
/// use arbitrary::{Arbitrary, Unstructured};
/// use stethoscope::Registry;
/// use stethoscope::exposition::{Format, validate::validate};
///
/// let registry = Registry::arbitrary(&mut Unstructured::new(b"any bytes"))?;
/// let mut scraper = registry.scraper();
/// assert!(validate(scraper.scrape(Format::OpenMetrics), Format::OpenMetrics).is_ok());
/// # Ok::<(), arbitrary::Error>(())
/// ```
impl<'a> Arbitrary<'a> for Registry {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let mut choices = Choices::new(bytes);
        let any_names = choices.rarely(3);
        let registry = match any_names {
            true => Self::new().with_utf8_names(),
            false => Self::new(),
        };
        for index in 0..1 + choices.below(5) {
            // A name that clashes with another is one of the things that happen.
            let _ = register(&registry, index, any_names, &mut choices);
        }
        Ok(registry)
    }
}

fn register(
    registry: &Registry,
    index: usize,
    any_names: bool,
    choices: &mut Choices<'_, '_>,
) -> std::result::Result<(), RegisterError> {
    const WORDS: [&str; 5] = ["a", "requests", "_x", "a:b", "a_created"];
    const ANY_WORDS: [&str; 4] = ["größe", "a.b c", "{}", "x\"\\\n"];
    let word = match any_names && choices.below(2) == 1 {
        true => choices.of(&ANY_WORDS),
        false => choices.of(&WORDS),
    };
    let name = match choices.rarely(4) {
        true => word.to_owned(),
        false => format!("{word}_{index}"),
    };
    let help = choices.text();
    let registry = match choices.rarely(4) {
        true => registry.with_const_labels([("zone", choices.text())]),
        false => registry.clone(),
    };
    let labels = &["code", "path"][..choices.below(3)];
    let series = match labels.len() {
        0 => 1,
        _ => 1 + choices.below(3),
    };
    let values: Vec<Vec<String>> = (0..series)
        .map(|_| labels.iter().map(|_| choices.text()).collect())
        .collect();
    let labels = labels.iter().copied();
    match choices.below(7) {
        0 => {
            let family = registry.counter_family(&name, &help, labels)?;
            let count =
                |count: &Counter, choices: &mut Choices<'_, '_>| count.inc_by(choices.bits());
            each(&values, |values| {
                family.update(values, |cell| count(cell, choices))
            });
        }
        1 => {
            let family = registry.gauge_family(&name, &help, labels)?;
            let set = |gauge: &Gauge, choices: &mut Choices<'_, '_>| {
                gauge.set(choices.bits().cast_signed());
            };
            each(&values, |values| {
                family.update(values, |cell| set(cell, choices))
            });
        }
        2 => {
            let family = registry.float_gauge_family(&name, &help, labels)?;
            let set = |gauge: &FloatGauge, choices: &mut Choices<'_, '_>| {
                gauge.set(f64::from_bits(choices.bits()));
            };
            each(&values, |values| {
                family.update(values, |cell| set(cell, choices))
            });
        }
        3 => {
            let buckets = Buckets::new([0.1, 1.0, 10.0]).unwrap_or_default();
            let family = registry.histogram_family(&name, &help, labels, buckets)?;
            let observe = |cell: &Histogram, choices: &mut Choices<'_, '_>| {
                (0..choices.below(4)).for_each(|_| cell.observe(choices.below(200) as f64 / 10.0));
            };
            each(&values, |values| {
                family.update(values, |cell| observe(cell, choices))
            });
        }
        4 => {
            let options = QuantileOptions::new([0.5, 0.99]).unwrap_or_default();
            let family = registry.summary_family(&name, &help, labels, options)?;
            let observe = |cell: &Quantile, choices: &mut Choices<'_, '_>| {
                (0..choices.below(4)).for_each(|_| cell.observe(choices.below(200) as f64 / 10.0));
            };
            each(&values, |values| {
                family.update(values, |cell| observe(cell, choices))
            });
        }
        5 => {
            let family = registry.state_set_family(&name, &help, labels, ["on", "off"])?;
            each(&values, |values| {
                family.update(values, |cell| cell.select(choices.below(2)))
            });
        }
        _ => {
            let family = registry.info_family(&name, &help, labels)?;
            each(&values, |values| family.update(values, |_| ()));
        }
    }
    Ok(())
}

/// Updates a series for each set of label values.
fn each<R, E>(
    values: &[Vec<String>],
    mut update: impl FnMut(&[String]) -> std::result::Result<R, E>,
) {
    for values in values {
        let updated = update(values);
        debug_assert!(updated.is_ok(), "no limit");
    }
}
