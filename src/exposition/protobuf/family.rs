//! A family compiled to one message.

use super::super::format::Escaping;
use super::super::fresh::Readings;
use super::message::{self, counter, histogram, metric, summary};
use super::wire::*;
use crate::MetricType;
use crate::cell::{Exemplar, Number};
use crate::family::{Change, SeriesView, Shape, Source};
use crate::name::written_label_name;
use std::sync::Arc;

/// Series whose numbers are read in one go. They stay in the first-level cache until
/// they are compared.
const SERIES_PER_READ: usize = 512;

/// A family as it is laid out for scrapes.
pub(super) struct FamilyMessage {
    source: Arc<dyn Source>,
    escaping: Escaping,
    /// The name in the text format.
    full_name: String,
    series: Box<dyn SeriesView>,
    /// The labels that all series share.
    const_labels: Vec<u8>,
    content: MessageContent,
}

/// The bytes of a family that are ready.
enum MessageContent {
    /// Everything: a scrape patches the numbers.
    Patched(Patched),
    /// All but the values: with exemplars, and for native histograms.
    Fresh(Fresh),
}

impl FamilyMessage {
    /// A family without series.
    pub(super) fn new(source: Arc<dyn Source>, escaping: Escaping) -> Self {
        let mut const_labels = Vec::new();
        for (name, value) in &source.descriptor().const_labels {
            message::push_label(
                &written_label_name(name, escaping),
                value,
                &mut const_labels,
            );
        }
        // Only counters and histograms have a place for exemplars.
        let may_have_exemplars = match &source.descriptor().shape {
            Shape::Single(_) => source.descriptor().metric_type() == MetricType::Counter,
            Shape::Histogram { .. } => true,
            _ => false,
        };
        let is_native = matches!(source.descriptor().shape, Shape::NativeHistogram { .. });
        let content = match is_native || may_have_exemplars && source.exemplars() > 0 {
            true => MessageContent::Fresh(Fresh::new(source.as_ref(), escaping)),
            false => MessageContent::Patched(Patched::new(source.as_ref(), escaping)),
        };
        Self {
            full_name: source.descriptor().full_name(),
            series: Arc::clone(&source).view(),
            source,
            escaping,
            const_labels,
            content,
        }
    }

    pub(super) fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    pub(super) fn full_name(&self) -> &str {
        &self.full_name
    }

    /// Takes over what has changed in the family.
    pub(super) fn refresh(&mut self) {
        match self.series.refresh(&mut Vec::new()) {
            Change::None => return,
            Change::Appended => {}
            Change::Removed | Change::Rebuilt => match &mut self.content {
                MessageContent::Patched(patched) => patched.clear(),
                MessageContent::Fresh(fresh) => fresh.clear(),
            },
        }
        let known = match &self.content {
            MessageContent::Patched(patched) => patched.len(),
            MessageContent::Fresh(fresh) => fresh.len(),
        };
        let descriptor = self.source.descriptor();
        let mut labels = Vec::new();
        for series in known..self.series.len() {
            labels.clear();
            labels.extend_from_slice(&self.const_labels);
            let shown = descriptor.shown_labels(self.series.labels(series));
            for (name, value) in shown.skip(descriptor.const_labels.len()) {
                let name = written_label_name(&name, self.escaping);
                message::push_label(&name, value, &mut labels);
            }
            let created = descriptor.created.then(|| self.series.created(series));
            match &mut self.content {
                MessageContent::Patched(patched) => patched.push_series(&labels, created),
                MessageContent::Fresh(fresh) => fresh.push_series(&labels, created),
            }
        }
        if let MessageContent::Patched(patched) = &mut self.content {
            patched.finish();
        }
    }

    /// Returns true if the length of the message depends on the series only, so that
    /// it can be brought [up to date](Self::update) in a page.
    pub(super) fn is_patched(&self) -> bool {
        matches!(self.content, MessageContent::Patched(_))
    }

    /// Brings the family up to date in a page that was written before with the same
    /// series. `rows` is scratch space.
    pub(super) fn update(&mut self, rows: &mut Vec<u64>, page: &mut [u8]) {
        if let MessageContent::Patched(patched) = &mut self.content {
            patched.update(self.series.as_ref(), rows, page);
        }
    }

    /// Appends the family to a page, or nothing if it has no series. `rows` is
    /// scratch space.
    pub(super) fn write(
        &mut self,
        readings: &mut Readings,
        rows: &mut Vec<u64>,
        page: &mut Vec<u8>,
    ) {
        if self.series.len() == 0 {
            return;
        }
        let series = self.series.as_ref();
        match &mut self.content {
            MessageContent::Patched(patched) => patched.write(series, rows, page),
            MessageContent::Fresh(fresh) => fresh.write(series, readings, rows, page),
        }
    }
}

/// A message whose numbers have fixed places.
struct Patched {
    form: Form,
    /// Numbers in the row of a series.
    width: usize,
    /// The message, with its length.
    bytes: Vec<u8>,
    /// The byte of the page written last at which the message begins.
    at: usize,
    /// The bytes before the first metric.
    head_len: usize,
    /// For each metric, the byte at which its value begins.
    values: Vec<usize>,
    /// The numbers in the message, in rows.
    last: Vec<u64>,
}

/// The metrics of a series.
struct Form {
    /// Labels of each metric beside those of the series: one for each state, or none.
    extra_labels: Vec<Vec<u8>>,
    /// The value of a metric, with all numbers 0.
    value: Vec<u8>,
    /// The places of numbers in a value.
    places: Vec<NumberPlace>,
    /// The numbers of a row that a metric is ahead of the one before: 1 if there is
    /// one for each state.
    stride: usize,
    /// The field in which a value says when the series was made: the last of it.
    created: Option<u8>,
}

/// The place of a number in the bytes of a value.
#[derive(Clone, Copy)]
struct NumberPlace {
    /// The position of the number in the row of a series.
    index: usize,
    offset: usize,
    kind: Kind,
}

/// The encoding of a number.
#[derive(Clone, Copy)]
enum Kind {
    /// As a double, whatever it is in the row.
    Double(Number),
    /// As a varint in the fixed width.
    Count,
}

impl Form {
    fn new(source: &dyn Source, escaping: Escaping) -> Self {
        let descriptor = source.descriptor();
        let metric_type = descriptor.metric_type();
        let mut extra_labels = vec![Vec::new()];
        let mut stride = 0;
        if let Shape::StateSet { states } = &descriptor.shape {
            stride = 1;
            let label = |state: &String| {
                let mut label = Vec::new();
                message::push_state_label(source, escaping, state, &mut label);
                label
            };
            extra_labels = states.iter().map(label).collect();
        }
        let created = created_field(metric_type).filter(|_| descriptor.created);
        let mut value = ValueTemplate::default();
        value.message(value_field(metric_type), |value| {
            value.push_shape(&descriptor.shape);
            if let Some(field) = created {
                message::push_timestamp(field, 0.0, &mut value.bytes);
            }
        });
        Self {
            extra_labels,
            value: value.bytes,
            places: value.places,
            stride,
            created,
        }
    }

    /// Appends a value, which says that the series was made then.
    fn push_value(&self, created: Option<f64>, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.value);
        if let (Some(field), Some(created)) = (self.created, created) {
            into.truncate(into.len() - message::TIMESTAMP_LEN);
            message::push_timestamp(field, created, into);
        }
    }
}

/// Returns the field of a value in which it says when the series was made.
fn created_field(metric_type: MetricType) -> Option<u8> {
    match metric_type {
        MetricType::Counter => Some(counter::CREATED),
        MetricType::Summary => Some(summary::CREATED),
        MetricType::Histogram => Some(histogram::CREATED),
        _ => None,
    }
}

/// Returns the field of a metric that holds its value.
fn value_field(metric_type: MetricType) -> u8 {
    match metric_type {
        MetricType::Counter => metric::COUNTER,
        MetricType::Gauge | MetricType::Info | MetricType::StateSet => metric::GAUGE,
        MetricType::Summary => metric::SUMMARY,
        MetricType::Unknown => metric::UNTYPED,
        MetricType::Histogram | MetricType::GaugeHistogram => metric::HISTOGRAM,
    }
}

/// Bytes with places for numbers.
#[derive(Default)]
struct ValueTemplate {
    bytes: Vec<u8>,
    places: Vec<NumberPlace>,
}

impl ValueTemplate {
    /// Appends the fields of a series of this shape.
    fn push_shape(&mut self, shape: &Shape) {
        match shape {
            Shape::Single(number) => self.double(counter::VALUE, 0, *number),
            Shape::StateSet { .. } => self.double(counter::VALUE, 0, Number::U64),
            Shape::Summary { quantiles, .. } => {
                self.count(summary::COUNT, quantiles.len() + 1);
                self.double(summary::SUM, quantiles.len(), Number::F64);
                for (index, quantile) in quantiles.iter().enumerate() {
                    self.message(summary::QUANTILE, |value| {
                        push_field_double(summary::quantile::QUANTILE, *quantile, &mut value.bytes);
                        value.double(summary::quantile::VALUE, index, Number::F64);
                    });
                }
            }
            Shape::Histogram { bounds } | Shape::NativeHistogram { bounds, .. } => {
                self.count(histogram::COUNT, bounds.len());
                self.double(histogram::SUM, bounds.len() + 1, Number::F64);
                let bounds = bounds.iter().copied().chain([f64::INFINITY]);
                for (index, bound) in bounds.enumerate() {
                    self.message(histogram::BUCKET, |value| {
                        value.count(histogram::bucket::CUMULATIVE_COUNT, index);
                        let bytes = &mut value.bytes;
                        push_field_double(histogram::bucket::UPPER_BOUND, bound, bytes);
                    });
                }
            }
        }
    }

    fn double(&mut self, field: u8, index: usize, number: Number) {
        Key::double(field).push(&mut self.bytes);
        self.place(index, Kind::Double(number));
        self.bytes.extend_from_slice(&0f64.to_le_bytes());
    }

    fn count(&mut self, field: u8, index: usize) {
        Key::varint(field).push(&mut self.bytes);
        self.place(index, Kind::Count);
        self.bytes.extend_from_slice(&count_bytes(0));
    }

    fn place(&mut self, index: usize, kind: Kind) {
        self.places.push(NumberPlace {
            index,
            offset: self.bytes.len(),
            kind,
        });
    }

    fn message(&mut self, field: u8, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        push_field_bytes(field, &inner.bytes, &mut self.bytes);
        let start = self.bytes.len() - inner.bytes.len();
        self.places
            .extend(inner.places.iter().map(|place| NumberPlace {
                offset: start + place.offset,
                ..*place
            }));
    }
}

impl Patched {
    fn new(source: &dyn Source, escaping: Escaping) -> Self {
        let mut bytes = Vec::new();
        begin_delimited(&mut bytes);
        message::push_head(source, escaping, &mut bytes);
        Self {
            form: Form::new(source, escaping),
            width: source.width(),
            at: 0,
            head_len: bytes.len(),
            bytes,
            values: Vec::new(),
            last: Vec::new(),
        }
    }

    /// The number of series.
    fn len(&self) -> usize {
        self.last.len() / self.width
    }

    /// Removes all series.
    fn clear(&mut self) {
        self.bytes.truncate(self.head_len);
        self.values.clear();
        self.last.clear();
    }

    /// Appends a series, each number as 0.
    fn push_series(&mut self, labels: &[u8], created: Option<f64>) {
        for extra in &self.form.extra_labels {
            let len = labels.len() + extra.len() + self.form.value.len();
            Key::bytes(message::family::METRIC).push(&mut self.bytes);
            push_varint(len as u64, &mut self.bytes);
            self.bytes.extend_from_slice(labels);
            self.bytes.extend_from_slice(extra);
            self.values.push(self.bytes.len());
            self.form.push_value(created, &mut self.bytes);
        }
        // All bits 0 is the number 0 of each type.
        self.last.resize(self.last.len() + self.width, 0);
    }

    /// Writes the length of the message, after series were appended.
    fn finish(&mut self) {
        finish_delimited(PADDED, &mut self.bytes);
        self.bytes.shrink_to_fit();
    }

    /// Appends the message to a page, with the numbers that the cells have now.
    fn write(&mut self, series: &dyn SeriesView, rows: &mut Vec<u64>, page: &mut Vec<u8>) {
        self.read(series, rows, None);
        self.at = page.len();
        page.extend_from_slice(&self.bytes);
    }

    /// Patches the message, and its copy in the page written last.
    fn update(&mut self, series: &dyn SeriesView, rows: &mut Vec<u64>, page: &mut [u8]) {
        if self.len() > 0 {
            let copy = &mut page[self.at..][..self.bytes.len()];
            self.read(series, rows, Some(copy));
        }
    }

    /// Patches the message, and a copy of it, with the numbers that the cells have
    /// now.
    fn read(&mut self, series: &dyn SeriesView, rows: &mut Vec<u64>, mut copy: Option<&mut [u8]>) {
        let (width, len) = (self.width, self.len());
        let per_read = SERIES_PER_READ.min(len);
        if rows.len() < per_read * width {
            rows.resize(per_read * width, 0);
        }
        for first in (0..len).step_by(per_read) {
            let end = len.min(first + per_read);
            let current = &mut rows[..(end - first) * width];
            series.read(first..end, current);
            self.patch(first, current, copy.as_deref_mut());
        }
    }

    /// Patches the numbers of the series from `first` on.
    fn patch(&mut self, first: usize, current: &[u64], mut copy: Option<&mut [u8]>) {
        let bytes = &mut self.bytes;
        let mut patch = |kind: Kind, bits: u64, at: usize| {
            kind.patch(bits, &mut bytes[at..]);
            if let Some(copy) = &mut copy {
                kind.patch(bits, &mut copy[at..]);
            }
        };
        let Form {
            extra_labels,
            places,
            stride,
            ..
        } = &self.form;
        let metrics = extra_labels.len();
        let values = &self.values[first * metrics..];
        let last = &mut self.last[first * self.width..][..current.len()];
        if let ([place], 1, 1) = (&places[..], metrics, self.width) {
            for ((&current, last), &value) in current.iter().zip(last).zip(values) {
                if current != *last {
                    *last = current;
                    patch(place.kind, current, value + place.offset);
                }
            }
            return;
        }
        let rows = current.chunks_exact(self.width);
        let last_rows = last.chunks_exact_mut(self.width);
        for ((current, last), values) in rows.zip(last_rows).zip(values.chunks(metrics)) {
            if current == last {
                continue;
            }
            for (metric, value) in values.iter().enumerate() {
                for place in places {
                    let index = place.index + metric * stride;
                    if current[index] != last[index] {
                        patch(place.kind, current[index], value + place.offset);
                    }
                }
            }
            last.copy_from_slice(current);
        }
    }
}

impl Kind {
    /// Writes a number over the one at the front of `bytes`.
    #[inline]
    fn patch(self, bits: u64, bytes: &mut [u8]) {
        let double = match self {
            Self::Count => {
                bytes[..COUNT_LEN].copy_from_slice(&count_bytes(bits));
                return;
            }
            Self::Double(Number::U64) => bits as f64,
            Self::Double(Number::I64) => bits.cast_signed() as f64,
            Self::Double(Number::F64) => f64::from_bits(bits),
        };
        bytes[..size_of::<f64>()].copy_from_slice(&double_bytes(double));
    }
}

/// A message whose length changes with the values.
struct Fresh {
    shape: Shape,
    metric_type: MetricType,
    /// Numbers in the row of a series.
    width: usize,
    /// The numbers, from the first of a row, that may have an exemplar.
    exemplars: usize,
    /// The metadata.
    head: Vec<u8>,
    /// The labels of all series, and after them when each was made.
    labels: Vec<u8>,
    /// The end of the labels of each series, and of what follows them.
    ends: Vec<(usize, usize)>,
    /// The metrics as written last, of native histograms without exemplars.
    kept: Option<KeptMetrics>,
}

/// The metrics of a family as they were written last. A metric is written again where its
/// row has changed.
///
/// The row is read before the native buckets. It has their total, which only grows: where
/// the row is the same as last time, nothing had been counted between the row and the
/// buckets then, and nothing since.
#[derive(Default)]
struct KeptMetrics {
    bytes: Vec<u8>,
    /// The end of each metric.
    ends: Vec<usize>,
    rows: Vec<u64>,
}

impl KeptMetrics {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.rows.clear();
    }

    /// Keeps the metrics that end the page, from `start` on, with room for a few more
    /// buckets.
    fn keep(&mut self, metrics: &[u8]) {
        self.bytes.clear();
        if self.bytes.capacity() < metrics.len() {
            self.bytes
                .reserve_exact(metrics.len() + metrics.len() / 4 + 256);
        }
        self.bytes.extend_from_slice(metrics);
    }
}

impl Fresh {
    fn new(source: &dyn Source, escaping: Escaping) -> Self {
        let descriptor = source.descriptor();
        let mut head = Vec::new();
        message::push_head(source, escaping, &mut head);
        Self {
            shape: descriptor.shape.clone(),
            metric_type: descriptor.metric_type(),
            width: source.width(),
            exemplars: source.exemplars(),
            head,
            labels: Vec::new(),
            ends: Vec::new(),
            // Exemplars may change without a row.
            kept: (source.exemplars() == 0).then(KeptMetrics::default),
        }
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn clear(&mut self) {
        self.labels.clear();
        self.ends.clear();
        if let Some(kept) = &mut self.kept {
            kept.clear();
        }
    }

    fn push_series(&mut self, labels: &[u8], created: Option<f64>) {
        self.labels.extend_from_slice(labels);
        let end = self.labels.len();
        if let (Some(field), Some(created)) = (created_field(self.metric_type), created) {
            message::push_timestamp(field, created, &mut self.labels);
        }
        self.ends.push((end, self.labels.len()));
    }

    /// Appends the message to a page. `readings` and `rows` are scratch space.
    fn write(
        &mut self,
        series: &dyn SeriesView,
        readings: &mut Readings,
        rows: &mut Vec<u64>,
        page: &mut Vec<u8>,
    ) {
        if rows.len() < self.width {
            rows.resize(self.width, 0);
        }
        let row = &mut rows[..self.width];
        let mut kept = self.kept.take();
        push_delimited(page, |page| {
            page.extend_from_slice(&self.head);
            let first = page.len();
            let mut is_same = true;
            // The ends of the labels and of the kept metric before the present one.
            let (mut start, mut kept_start) = (0, 0);
            for (index, &(labels_end, end)) in self.ends.iter().enumerate() {
                let labels = &self.labels[start..labels_end];
                let created = &self.labels[labels_end..end];
                start = end;
                // One by one: the buckets are then in the cache if they are needed.
                series.read(index..index + 1, row);
                let row = &*row;
                let known = kept.as_mut().and_then(|kept| {
                    let known = kept.rows.get_mut(index * self.width..)?;
                    let (last, end) = (known.get_mut(..self.width)?, kept.ends[index]);
                    let text = &kept.bytes[std::mem::replace(&mut kept_start, end)..end];
                    let is_known = last == row;
                    last.copy_from_slice(row);
                    is_known.then_some(text)
                });
                if let Some(metric) = known {
                    page.extend_from_slice(metric);
                } else {
                    is_same = false;
                    push_message(message::family::METRIC, page, |page| {
                        page.extend_from_slice(labels);
                        push_message(value_field(self.metric_type), page, |page| {
                            self.push_value(series, index, row, readings, page);
                            page.extend_from_slice(created);
                        });
                    });
                }
                if let Some(kept) = &mut kept {
                    let end = page.len() - first;
                    match kept.ends.get_mut(index) {
                        Some(known) => *known = end,
                        None => {
                            kept.ends.push(end);
                            kept.rows.extend_from_slice(row);
                        }
                    }
                }
            }
            if let Some(kept) = &mut kept
                && !is_same
            {
                kept.keep(&page[first..]);
            }
        });
        self.kept = kept;
    }

    /// Appends the fields of a series whose numbers are `row`.
    fn push_value(
        &self,
        series: &dyn SeriesView,
        index: usize,
        row: &[u64],
        readings: &mut Readings,
        page: &mut Vec<u8>,
    ) {
        let Readings { exemplar, native } = readings;
        let mut exemplar_of = |number: usize, push: &mut dyn FnMut(&Exemplar)| {
            if number < self.exemplars && series.exemplar(index, number, exemplar) {
                push(exemplar);
            }
        };
        match &self.shape {
            Shape::NativeHistogram { bounds, .. } => {
                // After the row: no classic bucket is then ahead of the count.
                if !series.read_native(index, native) {
                    // A cell of the user's, which is not what it says.
                    native.clear();
                }
                message::push_native(native, page);
                push_buckets(bounds.iter().copied(), row, &mut exemplar_of, page);
                for number in 0..=bounds.len() {
                    exemplar_of(number, &mut |exemplar| {
                        message::push_native_exemplar(exemplar, page);
                    });
                }
            }
            Shape::Histogram { bounds } => {
                push_field_varint(histogram::COUNT, row[bounds.len()], page);
                push_field_double(histogram::SUM, f64::from_bits(row[bounds.len() + 1]), page);
                let bounds = bounds.iter().copied().chain([f64::INFINITY]);
                push_buckets(bounds, row, &mut exemplar_of, page);
            }
            Shape::Single(number) => {
                Key::double(counter::VALUE).push(page);
                let start = page.len();
                page.extend_from_slice(&[0; size_of::<f64>()]);
                Kind::Double(*number).patch(row[0], &mut page[start..]);
                exemplar_of(0, &mut |exemplar| {
                    push_message(counter::EXEMPLAR, page, |page| {
                        message::push_exemplar(exemplar, page);
                    });
                });
            }
            Shape::Summary { .. } | Shape::StateSet { .. } => {
                unreachable!("a family without exemplars is patched")
            }
        }
    }
}

/// Appends the classic buckets with these bounds, which are the first numbers of the
/// row.
fn push_buckets(
    bounds: impl Iterator<Item = f64>,
    row: &[u64],
    exemplar_of: &mut impl FnMut(usize, &mut dyn FnMut(&Exemplar)),
    page: &mut Vec<u8>,
) {
    for (number, bound) in bounds.enumerate() {
        push_message(histogram::BUCKET, page, |page| {
            push_field_varint(histogram::bucket::CUMULATIVE_COUNT, row[number], page);
            push_field_double(histogram::bucket::UPPER_BOUND, bound, page);
            exemplar_of(number, &mut |exemplar| {
                push_message(histogram::bucket::EXEMPLAR, page, |page| {
                    message::push_exemplar(exemplar, page);
                });
            });
        });
    }
}
