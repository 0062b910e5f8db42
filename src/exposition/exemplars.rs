//! Lines with exemplars, as OpenMetrics shows them: `value # {labels} value
//! time` after a counter or a bucket.
//!
//! Not the hot loop: with exemplars switched on, each value is formatted at each
//! scrape, between the texts that the layout has ready.

use super::body::Body;
use super::escape::escape_label;
use super::number::{BUF_LEN, format_f64};
use super::template::Template;
use super::writer::format_value;
use crate::cell::{Exemplar, Number};
use crate::family::SeriesView;

/// Appends the lines of a family, and replaces `extents` by the lengths of their
/// values with exemplars. `rows` is scratch space.
pub(super) fn write(
    body: &Body,
    series: &dyn SeriesView,
    templates: &[Template],
    rows: &mut Vec<u64>,
    extents: &mut Vec<u32>,
    page: &mut Vec<u8>,
) {
    extents.clear();
    let mut exemplar = Exemplar::default();
    let width = body.width();
    for block in body.blocks() {
        let first = block.first_series;
        rows.clear();
        rows.resize(block.series * width, 0);
        series.read(first..first + block.series, rows);

        let mut text = block.text;
        let lines = block.lines.chunks(templates.len());
        for (offset, (row, lines)) in rows.chunks_exact(width).zip(lines).enumerate() {
            for (line, template) in lines.iter().zip(templates) {
                let (prefix, value) = (line.prefix_len as usize, line.value_len as usize);
                page.extend_from_slice(&text[..prefix]);
                text = &text[prefix + value..];
                let index = template.index();
                let start = page.len();
                push_number(template.number(), row[index], page);
                if template.has_exemplar() && series.exemplar(first + offset, index, &mut exemplar)
                {
                    push_exemplar(&exemplar, page);
                }
                // Exemplars are limited to some hundred bytes.
                extents.push((page.len() - start) as u32);
            }
        }
        page.extend_from_slice(text);
    }
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
