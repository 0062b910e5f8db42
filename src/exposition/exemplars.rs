//! Families with exemplars, as OpenMetrics shows them: `value # {labels} value
//! time` behind a counter or a bucket.
//!
//! Not the hot loop: whoever switches exemplars on has each value printed at
//! each scrape, between the texts that the layout has ready.

use super::escape::escape_label;
use super::layout::{FamilyLines, print};
use super::number::{SCRATCH, print_f64};
use crate::cell::{Exemplar, Number};

/// Appends a family: its metadata and, for each series, its lines.
pub(super) fn write_family(family: &mut FamilyLines, rows: &mut Vec<u64>, page: &mut Vec<u8>) {
    if family.column.len() == 0 {
        return;
    }
    if family.outgrown {
        // The hot loop left it so, before the family could have exemplars.
        family.start_over();
    }
    page.extend_from_slice(&family.head);
    let mut exemplar = Exemplar::default();
    let block_lines = family.per_block * family.templates.len();
    let blocks = family.blocks.iter().zip(family.lines.chunks(block_lines));
    for (index, (block, lines)) in blocks.enumerate() {
        let first = index * family.per_block;
        let series = lines.len() / family.templates.len();
        rows.clear();
        rows.resize(series * family.width, 0);
        family.column.read(first..first + series, rows);

        let mut text = &family.text[block.start..][..block.len];
        let lines = lines.chunks(family.templates.len());
        for (series, (row, lines)) in rows.chunks_exact(family.width).zip(lines).enumerate() {
            for (line, template) in lines.iter().zip(&family.templates) {
                page.extend_from_slice(&text[..line.gap as usize]);
                text = &text[line.gap as usize + line.value as usize..];
                push_number(template.number, row[template.index], page);
                if template.exemplar
                    && family
                        .column
                        .exemplar(first + series, template.index, &mut exemplar)
                {
                    push_exemplar(&exemplar, page);
                }
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
    page.extend_from_slice(print_f64(exemplar.value).as_bytes());
    page.push(b' ');
    page.extend_from_slice(print_f64(exemplar.timestamp).as_bytes());
}

fn push_number(number: Number, bits: u64, page: &mut Vec<u8>) {
    let mut text = [0; SCRATCH];
    let len = print(number, bits, &mut text);
    page.extend_from_slice(&text[..len]);
}
