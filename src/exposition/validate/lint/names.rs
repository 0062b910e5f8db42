//! Naming conventions.

use super::Lint;
use crate::MetricType;
use crate::exposition::parser::Label;

/// Checks the suffix and the spelling of a family's name as a whole.
pub(super) fn suffixes(
    name: &str,
    metric_type: MetricType,
    is_bare: bool,
    mut warn: impl FnMut(Lint),
) {
    let ends = |suffix| name.ends_with(suffix);
    let is_counter = metric_type == MetricType::Counter;
    if is_counter && !is_bare && !ends("_total") {
        warn(Lint::CounterWithoutTotal);
    }
    // Nothing is known of a family without a type.
    if metric_type != MetricType::Unknown {
        if !is_counter && ends("_total") {
            warn(Lint::TotalWithoutCounter);
        }
        if ends("_bucket") {
            warn(Lint::BucketWithoutHistogram);
        }
        if ends("_count") || ends("_sum") {
            warn(Lint::SumWithoutHistogram);
        }
    }
    if name.contains(':') {
        warn(Lint::ColonInName);
    }
    if is_camel_case(name) {
        warn(Lint::CamelCase);
    }
}

/// Checks the words of a family's name. Each lint is reported for one word only.
pub(super) fn words(name: &str, metric_type: MetricType, mut warn: impl FnMut(Lint, &str)) {
    let words = || name.split('_');
    let own_type = metric_type.type_word(true);
    if let Some(word) = words().skip(1).find(|word| *word == own_type) {
        warn(Lint::TypeInName, word);
    }
    let is_abbreviation = |word: &&str| ABBREVIATIONS.contains(word);
    if let Some(word) = words().skip(1).find(is_abbreviation) {
        warn(Lint::AbbreviatedUnit, word);
    }
    if let Some(word) = words().find(|word| is_foreign_unit(word)) {
        warn(Lint::ForeignUnit, word);
    }
}

/// Checks the name of a label.
pub(super) fn lint_label(metric_type: MetricType, label: &Label<'_>) -> Option<Lint> {
    let is_histogram = matches!(
        metric_type,
        MetricType::Histogram | MetricType::GaugeHistogram
    );
    let is_typed = metric_type != MetricType::Unknown;
    match &*label.name {
        "le" if is_typed && !is_histogram => Some(Lint::BoundWithoutHistogram),
        "quantile" if is_typed && metric_type != MetricType::Summary => {
            Some(Lint::QuantileWithoutSummary)
        }
        name if is_camel_case(name) => Some(Lint::CamelCase),
        _ => None,
    }
}

fn is_camel_case(name: &str) -> bool {
    let mut pairs = name.as_bytes().windows(2);
    pairs.any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}

/// Abbreviated units. `min` is not among them: it usually means a minimum.
const ABBREVIATIONS: [&str; 14] = [
    "s", "ms", "us", "ns", "sec", "b", "kb", "mb", "gb", "tb", "pb", "m", "h", "d",
];

/// Returns true if a word is a unit that should be converted to a base unit.
fn is_foreign_unit(word: &str) -> bool {
    const PREFIXES: [&str; 17] = [
        "yotta", "zetta", "exa", "peta", "tera", "giga", "mega", "kilo", "milli", "micro", "nano",
        "pico", "kibi", "mebi", "gibi", "tebi", "pebi",
    ];
    const BASE: [&str; 9] = [
        "seconds", "bytes", "meters", "grams", "celsius", "joules", "volts", "amperes", "kelvin",
    ];
    const OTHER: [&str; 13] = [
        "minutes",
        "hours",
        "days",
        "weeks",
        "bits",
        "inches",
        "yards",
        "miles",
        "pounds",
        "ounces",
        "fahrenheit",
        "kelvins",
        "percent",
    ];
    let is_scaled = |base: &str| {
        let prefix = word.strip_suffix(base);
        prefix.is_some_and(|prefix| PREFIXES.contains(&prefix))
    };
    OTHER.contains(&word) || BASE.into_iter().any(is_scaled) || is_scaled("bits")
}
