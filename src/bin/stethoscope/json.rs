//! JSON: strings, and a sample as a line.
//!
//! Written by hand, because strings must be safe to print: beyond what JSON
//! requires, characters that a terminal obeys or hides are escaped.

use std::io::{self, Write};
use stethoscope::exposition::number::format_go;
use stethoscope::exposition::parser::{Labels, Sample, Timestamp, is_unprintable};

/// Writes `{"name":…,"labels":[[…,…]],"value":"…"}`, with `timestamp_ms` and
/// `exemplar` if the sample has them. Values are strings: JSON has no NaN.
pub(super) fn write_sample(sample: &Sample<'_>, into: &mut impl Write) -> io::Result<()> {
    write!(into, "{{\"name\":")?;
    write_string(&sample.name(), into)?;
    write_labels(sample.labels(), into)?;
    write!(
        into,
        ",\"value\":\"{}\"",
        format_go(sample.value()).as_str()
    )?;
    if let Some(timestamp) = sample.timestamp() {
        write!(into, ",\"timestamp_ms\":{}", timestamp.millis())?;
    }
    if let Some(exemplar) = sample.exemplar() {
        write!(into, ",\"exemplar\":{{\"value\":\"")?;
        write!(into, "{}\"", format_go(exemplar.value()).as_str())?;
        write_labels(exemplar.labels(), into)?;
        if let Some(seconds) = exemplar.timestamp() {
            let millis = Timestamp::Seconds(seconds).millis();
            write!(into, ",\"timestamp_ms\":{millis}")?;
        }
        write!(into, "}}")?;
    }
    writeln!(into, "}}")
}

fn write_labels(labels: Labels<'_, '_>, into: &mut impl Write) -> io::Result<()> {
    write!(into, ",\"labels\":[")?;
    for (index, label) in labels.enumerate() {
        write!(into, "{}", if index == 0 { "[" } else { ",[" })?;
        write_string(&label.name, into)?;
        write!(into, ",")?;
        write_string(&label.value, into)?;
        write!(into, "]")?;
    }
    write!(into, "]")
}

/// Writes a JSON string.
fn write_string(text: &str, into: &mut impl Write) -> io::Result<()> {
    write!(into, "\"")?;
    let mut plain = 0;
    for (at, character) in text.char_indices() {
        if !matches!(character, '"' | '\\') && !is_unprintable(character) {
            continue;
        }
        into.write_all(&text.as_bytes()[plain..at])?;
        match character {
            '"' | '\\' => write!(into, "\\{character}")?,
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(into, "\\u{unit:04x}")?;
                }
            }
        }
        plain = at + character.len_utf8();
    }
    into.write_all(&text.as_bytes()[plain..])?;
    write!(into, "\"")
}

/// Returns a text as a JSON string.
pub(super) fn string(text: &str) -> String {
    let mut quoted = Vec::new();
    write_string(text, &mut quoted).expect("a Vec takes all writes");
    String::from_utf8(quoted).expect("the text was UTF-8")
}

/// Returns a number as JSON, which has neither NaN nor infinities.
pub(super) fn number(value: f64) -> String {
    if value.is_finite() {
        value.to_string()
    } else {
        "null".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_without_json_form_is_null() {
        assert_eq!(number(0.5), "0.5");
        assert_eq!(number(f64::NAN), "null");
        assert_eq!(number(f64::INFINITY), "null");
    }

    #[test]
    fn unprintable_characters_are_escaped() {
        assert_eq!(string("a\"b\\é"), "\"a\\\"b\\\\é\"");
        assert_eq!(
            string("\u{1b}\u{7f}\u{9b}\u{202e}\u{200b}\u{e0001}"),
            "\"\\u001b\\u007f\\u009b\\u202e\\u200b\\udb40\\udc01\""
        );
    }
}
