//! JSON: text, and a sample as a line.

use std::io::{self, Write};
use stethoscope::exposition::number::format_go;
use stethoscope::exposition::parser::{Labels, Sample, Timestamp};

/// Writes `{"name":…,"labels":[[…,…]],"value":"…"}`, with `timestamp_ms` and
/// `exemplar` where there are such. Values are text: JSON has no NaN.
pub(super) fn write(sample: &Sample<'_>, into: &mut impl Write) -> io::Result<()> {
    write!(into, "{{\"name\":")?;
    string(&sample.name(), into)?;
    labels(sample.labels(), into)?;
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
        labels(exemplar.labels(), into)?;
        if let Some(seconds) = exemplar.timestamp() {
            let millis = Timestamp::Seconds(seconds).millis();
            write!(into, ",\"timestamp_ms\":{millis}")?;
        }
        write!(into, "}}")?;
    }
    writeln!(into, "}}")
}

fn labels(labels: Labels<'_, '_>, into: &mut impl Write) -> io::Result<()> {
    write!(into, ",\"labels\":[")?;
    for (index, label) in labels.enumerate() {
        write!(into, "{}", if index == 0 { "[" } else { ",[" })?;
        string(&label.name, into)?;
        write!(into, ",")?;
        string(&label.value, into)?;
        write!(into, "]")?;
    }
    write!(into, "]")
}

/// Writes text in quotes.
pub(super) fn string(text: &str, into: &mut impl Write) -> io::Result<()> {
    write!(into, "\"")?;
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        into.write_all(&text.as_bytes()[plain..at])?;
        match byte {
            b'"' | b'\\' => into.write_all(&[b'\\', byte])?,
            control => write!(into, "\\u{control:04x}")?,
        }
        plain = at + 1;
    }
    into.write_all(&text.as_bytes()[plain..])?;
    write!(into, "\"")
}
