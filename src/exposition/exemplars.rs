//! Lines with exemplars, as OpenMetrics shows them: `value # {labels} value
//! time` after a counter or a bucket.
//!
//! Not the hot loop: with exemplars switched on, each value is formatted at each
//! scrape, between the texts that the layout has ready.

use super::body::Body;
use super::escape::escape_label;
use super::number::{BUF_LEN, format_f64};
use super::page::Editor;
use super::template::Template;
use super::writer::format_value;
use crate::cell::{Exemplar, Number};
use crate::family::SeriesView;

/// The values of a family whose lines may have exemplars.
#[derive(Default)]
pub(super) struct Exemplars {
    /// The length of each line's value on the page, with its exemplar.
    extents: Vec<u32>,
    /// Scratch space.
    text: Vec<u8>,
}

impl Exemplars {
    #[cfg(feature = "gzip")]
    pub(super) fn extents(&self) -> &[u32] {
        &self.extents
    }

    /// Takes over the lines that are new, whose value is `0`, or all of `body`
    /// after it was cleared.
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
        let mut exemplar = Exemplar::default();
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
                    let index = template.index();
                    let start = text.len();
                    push_number(template.number(), row[index], text);
                    if template.has_exemplar()
                        && series.exemplar(first + offset, index, &mut exemplar)
                    {
                        push_exemplar(&exemplar, text);
                    }
                    // Exemplars are limited to some hundred bytes.
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
