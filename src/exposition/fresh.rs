//! Values that are more than a number: with exemplars, as OpenMetrics shows them
//! (`value # {labels} value time`), and native histograms in OpenMetrics 2.0.
//!
//! Not the hot loop: each such value is formatted at each scrape, between the texts
//! that the layout has ready.

use super::body::Body;
use super::escape::escape_label;
use super::number::{self, BUF_LEN, format_f64};
use super::page::Editor;
use super::template::{Template, ValueContent};
use super::writer::format_value;
use crate::cell::{Exemplar, NativeReading, Number};
use crate::family::SeriesView;

/// The values of a family of which some are more than a number.
#[derive(Default)]
pub(super) struct FreshValues {
    /// The length of each value on the page, with its exemplars.
    extents: Vec<u32>,
    readings: Readings,
    /// Scratch space.
    text: Vec<u8>,
}

/// Space to read what a value has beside its numbers.
#[derive(Default)]
pub(super) struct Readings {
    pub(super) exemplar: Exemplar,
    pub(super) native: NativeReading,
}

impl FreshValues {
    #[cfg(feature = "gzip")]
    pub(super) fn extents(&self) -> &[u32] {
        &self.extents
    }

    /// Takes over the values that are new, of one byte each, or all of `body` after it
    /// was cleared.
    pub(super) fn refresh(&mut self, body: &Body, cleared: bool) {
        if cleared {
            self.extents.clear();
        }
        self.extents.resize(body.lines(), 1);
    }

    /// Brings the lines of a family on the page up to date. `rows` is scratch space.
    pub(super) fn write(
        &mut self,
        body: &Body,
        series: &dyn SeriesView,
        templates: &[Template],
        rows: &mut Vec<u64>,
        page: &mut Editor<'_>,
    ) {
        let width = body.width();
        let mut extents = self.extents.iter_mut();
        for block in body.blocks() {
            let first = block.first_series;
            rows.clear();
            rows.resize(block.series * width, 0);
            series.read(first..first + block.series, rows);

            let old_len = extents.as_slice()[..block.lines.len()]
                .iter()
                .zip(block.lines)
                .map(|(extent, line)| (extent + line.prefix_len) as usize)
                .sum::<usize>()
                + block.tail;
            let (mut old, _) = page.rewrite(old_len, 0);
            let text = &mut self.text;
            text.clear();
            let lines = block.lines.chunks(templates.len());
            for (offset, (row, lines)) in rows.chunks_exact(width).zip(lines).enumerate() {
                for ((line, template), extent) in lines.iter().zip(templates).zip(&mut extents) {
                    let prefix;
                    (prefix, old) = old.split_at(line.prefix_len as usize);
                    text.extend_from_slice(prefix);
                    old = &old[*extent as usize..];
                    let start = text.len();
                    push_value(
                        template,
                        series,
                        first + offset,
                        row,
                        &mut self.readings,
                        text,
                    );
                    // Exemplars are limited to some hundred bytes, and native histograms
                    // to some kilobytes.
                    *extent = (text.len() - start) as u32;
                }
            }
            text.extend_from_slice(&old[..block.tail]);
            let (_, new) = page.rewrite(old_len, text.len());
            new[..text.len()].copy_from_slice(text);
            page.rewritten(old_len, text.len());
        }
    }
}

/// Appends the text of a value of the series at `index`, whose numbers are `row`.
fn push_value(
    template: &Template,
    series: &dyn SeriesView,
    index: usize,
    row: &[u64],
    readings: &mut Readings,
    text: &mut Vec<u8>,
) {
    let Readings { exemplar, native } = readings;
    let at = template.index();
    match template.content() {
        ValueContent::Number => push_number(template.number(), row[at], text),
        ValueContent::WithExemplar => {
            push_number(template.number(), row[at], text);
            if series.exemplar(index, at, exemplar) {
                push_exemplar(exemplar, text);
            }
        }
        ValueContent::Exemplars(numbers) => {
            for number in 0..*numbers {
                if series.exemplar(index, number, exemplar) {
                    push_exemplar(exemplar, text);
                }
            }
            text.push(b'\n');
        }
        ValueContent::Native(bounds) => {
            // After the row: no classic bucket is then ahead of the count.
            if !series.read_native(index, native) {
                // A cell of the user's, which is not what it says.
                native.clear();
            }
            push_native(native, bounds, row, text);
        }
    }
}

/// Appends the fields of a native histogram: of the native buckets, then of the classic
/// ones, whose cumulative counts are the first numbers of the row.
fn push_native(native: &NativeReading, bounds: &[Vec<u8>], row: &[u64], text: &mut Vec<u8>) {
    let count = native.count();
    text.extend_from_slice(b"count:");
    push_number(Number::U64, count, text);
    text.extend_from_slice(b",sum:");
    text.extend_from_slice(format_f64(native.sum()).as_bytes());
    text.extend_from_slice(b",schema:");
    push_integer(i64::from(native.schema()), text);
    text.extend_from_slice(b",zero_threshold:");
    text.extend_from_slice(format_f64(NativeReading::ZERO_THRESHOLD).as_bytes());
    text.extend_from_slice(b",zero_count:");
    push_number(Number::U64, native.zero_count(), text);
    push_side("negative", || native.negative(), text);
    push_side("positive", || native.positive(), text);
    let [finite @ .., infinity] = bounds else {
        return;
    };
    text.extend_from_slice(b",bucket:[");
    for (bound, cumulative) in finite.iter().zip(row) {
        text.extend_from_slice(bound);
        // Those of a user's cell may disagree with its native buckets.
        push_number(Number::U64, count.min(*cumulative), text);
        text.push(b',');
    }
    text.extend_from_slice(infinity);
    push_number(Number::U64, count, text);
    text.push(b']');
}

/// Empty buckets that are written rather than skipped by a new span, which takes more
/// bytes.
const MAX_GAP: i32 = 1;

/// Appends the buckets of a side, unless there are none: the spans of their indices, then
/// their counts.
fn push_side<B: Iterator<Item = (i32, u64)>>(
    side: &str,
    buckets: impl Fn() -> B,
    text: &mut Vec<u8>,
) {
    let Some((first, _)) = buckets().next() else {
        return;
    };
    let push_field = |field: &str, text: &mut Vec<u8>| {
        for part in [",", side, field] {
            text.extend_from_slice(part.as_bytes());
        }
    };
    push_field("_spans:[", text);
    push_integer(i64::from(first), text);
    let mut length = 0;
    for_each_gap(buckets(), |gap, _| {
        if gap > MAX_GAP {
            text.push(b':');
            push_integer(length, text);
            text.push(b',');
            push_integer(i64::from(gap), text);
            length = 0;
        } else {
            length += i64::from(gap);
        }
        length += 1;
    });
    text.push(b':');
    push_integer(length, text);
    text.push(b']');
    push_field("_buckets:[", text);
    let mut separator = "";
    for_each_gap(buckets(), |gap, count| {
        for _ in 0..if gap > MAX_GAP { 0 } else { gap } {
            text.extend_from_slice(separator.as_bytes());
            text.push(b'0');
            separator = ",";
        }
        text.extend_from_slice(separator.as_bytes());
        push_number(Number::U64, count, text);
        separator = ",";
    });
    text.push(b']');
}

/// Calls `visit` with the number of empty buckets before each bucket, and its count.
fn for_each_gap(buckets: impl Iterator<Item = (i32, u64)>, mut visit: impl FnMut(i32, u64)) {
    let mut end = None;
    for (index, count) in buckets {
        visit(end.map_or(0, |end| index - end), count);
        end = Some(index + 1);
    }
}

fn push_integer(integer: i64, text: &mut Vec<u8>) {
    text.extend_from_slice(number::format_i64(integer).as_bytes());
}

fn push_exemplar(exemplar: &Exemplar, page: &mut Vec<u8>) {
    page.extend_from_slice(b" # {");
    for (index, (name, value)) in exemplar.labels.iter().enumerate() {
        if index > 0 {
            page.push(b',');
        }
        page.extend_from_slice(name.as_bytes());
        page.extend_from_slice(b"=\"");
        escape_label(value, page);
        page.push(b'"');
    }
    page.extend_from_slice(b"} ");
    page.extend_from_slice(format_f64(exemplar.value).as_bytes());
    page.push(b' ');
    page.extend_from_slice(format_f64(exemplar.timestamp).as_bytes());
}

fn push_number(number: Number, bits: u64, page: &mut Vec<u8>) {
    let mut text = [0; BUF_LEN];
    let len = format_value(number, bits, &mut text);
    page.extend_from_slice(&text[..len]);
}
