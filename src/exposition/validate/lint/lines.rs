//! The spelling of single lines.

use super::Lint;
use crate::MetricType;
use crate::exposition::parser::{Sample, Timestamp};

/// Seconds since the epoch, in the year 5138.
const FROM_YEAR_5000: f64 = 1e11;

/// Returns the beginning of a comment that was likely meant as metadata: `#HELP name`,
/// `#TYPE name gauge`, `# type name gauge`. `text` follows the hash.
pub(super) fn near_metadata(text: &[u8]) -> Option<String> {
    let mut words = text.split(|byte| byte.is_ascii_whitespace());
    let is_blank_missing = text.first().is_some_and(u8::is_ascii_alphabetic);
    let mut next = || words.find(|word| !word.is_empty());
    let (keyword, name) = (next()?, next()?);
    let is_type_word =
        |word: &[u8]| MetricType::from_type_word(&word.to_ascii_lowercase(), false).is_some();
    let is_help = keyword == b"HELP" && is_blank_missing;
    let is_type = keyword.eq_ignore_ascii_case(b"TYPE")
        && next().is_some_and(is_type_word)
        && next().is_none();
    (is_help || is_type).then(|| {
        let blank = if is_blank_missing { "" } else { " " };
        let [keyword, name] = [keyword, name].map(String::from_utf8_lossy);
        format!("#{blank}{keyword} {name}")
    })
}

/// Checks the spelling of a sample in text.
pub(super) fn text_sample(sample: &Sample<'_>, warn: &mut impl FnMut(usize, Lint, &str)) {
    if sample.offset_of_name() > 0 {
        warn(0, Lint::LeadingBlank, &sample.name());
    }
    if let Some(Timestamp::Millis(1_000_000_000..10_000_000_000)) = sample.timestamp() {
        let at = sample.offset_of_timestamp();
        warn(at, Lint::SecondsTimestamp, &sample.name());
    }
    let timestamp = sample.text_after_value().trim_ascii();
    if timestamp.starts_with(['+', '-']) {
        warn(
            sample.offset_of_timestamp(),
            Lint::SignedTimestamp,
            timestamp,
        );
    }
}

/// Checks the parts of a sample that only OpenMetrics has.
pub(super) fn openmetrics_sample(
    sample: &Sample<'_>,
    composite: bool,
    warn: &mut impl FnMut(usize, Lint, &str),
) {
    let name = sample.name();
    if let Some(Timestamp::Seconds(FROM_YEAR_5000..)) = sample.timestamp() {
        let at = sample.offset_of_timestamp();
        warn(at, Lint::MillisecondsTimestamp, &name);
    }
    let has_suffix = || name.ends_with("_total") || name.ends_with("_bucket");
    if !composite && sample.exemplar().is_some() && !has_suffix() {
        warn(
            sample.offset_of_exemplar(),
            Lint::UnsupportedExemplar,
            &name,
        );
    }
}

/// Finds the first quoted name of a sample's line, and in OpenMetrics the first comma
/// before a closing brace.
pub(super) fn labels_punctuation(
    line: &[u8],
    openmetrics: bool,
    mut warn: impl FnMut(usize, Lint),
) {
    let mut quoted_name = None;
    let mut comma = None;
    // The last byte before the current one that is not a blank, and its position.
    let mut last = (0, b' ');
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        match byte {
            b'"' => {
                if last.1 != b'=' {
                    quoted_name = quoted_name.or(Some(at));
                }
                at += 1;
                while line.get(at).is_some_and(|&byte| byte != b'"') {
                    at += if line[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'}' if openmetrics && last.1 == b',' => comma = comma.or(Some(last.0)),
            _ => {}
        }
        if !matches!(byte, b' ' | b'\t') {
            last = (at, byte);
        }
        at += 1;
    }
    if let Some(at) = quoted_name {
        warn(at, Lint::QuotedName);
    }
    if let Some(at) = comma {
        warn(at, Lint::TrailingComma);
    }
}

/// Returns the position of the name in a HELP, TYPE or UNIT line if it is quoted.
pub(super) fn quoted_metadata_name(line: &[u8]) -> Option<usize> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let word_from = |at: usize| Some(at + line.get(at..)?.iter().position(|byte| !is_blank(byte))?);
    let hash = word_from(0)?;
    let keyword = word_from(hash + 1)?;
    let keyword_end = keyword + line[keyword..].iter().position(is_blank)?;
    let name = word_from(keyword_end)?;
    (line[name] == b'"').then_some(name)
}

/// Returns the position of a blank in a TYPE line that the Prometheus server
/// refuses.
pub(super) fn odd_blank(line: &[u8]) -> Option<usize> {
    let line = line.split(|&byte| byte == b'\n').next()?;
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let word_end = line.iter().rposition(|byte| !is_blank(byte))? + 1;
    let blank = line[..word_end].iter().rposition(is_blank)?;
    match line.get(blank.checked_sub(1)?) {
        Some(byte) if is_blank(byte) => Some(blank),
        _ => (word_end < line.len()).then_some(word_end),
    }
}
