//! Protobuf pages: delimited messages `io.prometheus.client.MetricFamily`.
//!
//! A page is made of messages whose fields are chosen first and encoded last, so that
//! a fault can be put into one of them. The encoding uses what the wire format allows:
//! fields in another order, numbers with more bytes than they need, packed lists,
//! unknown fields.

use super::Fault;
use super::choices::Choices;

/// A message: its fields by their numbers. Those of a repeated field are in order.
#[derive(Clone, Default)]
struct Message(Vec<(u32, FieldValue)>);

#[derive(Clone)]
enum FieldValue {
    Varint(u64),
    Double(f64),
    /// A text, which a fault may have made invalid.
    Bytes(Vec<u8>),
    Message(Message),
    Packed(Vec<u64>),
}

/// Fields of a family.
mod family {
    pub(super) const NAME: u32 = 1;
    pub(super) const HELP: u32 = 2;
    pub(super) const TYPE: u32 = 3;
    pub(super) const METRIC: u32 = 4;
    pub(super) const UNIT: u32 = 5;
}

/// Fields of a metric.
mod metric {
    pub(super) const LABEL: u32 = 1;
    pub(super) const TIMESTAMP: u32 = 6;
    pub(super) const HISTOGRAM: u32 = 7;
    /// The field of the value, by the number of the type.
    pub(super) const VALUE: [u32; 6] = [3, 2, 4, 5, HISTOGRAM, HISTOGRAM];
}

/// Fields of a histogram.
mod histogram {
    pub(super) const COUNT: u32 = 1;
    pub(super) const SUM: u32 = 2;
    pub(super) const BUCKET: u32 = 3;
    pub(super) const SCHEMA: u32 = 5;
    pub(super) const ZERO_THRESHOLD: u32 = 6;
    pub(super) const ZERO_COUNT: u32 = 7;
    pub(super) const POSITIVE: [u32; 2] = [12, 13];
    pub(super) const NEGATIVE: [u32; 2] = [9, 10];
    pub(super) const CREATED: u32 = 15;
}

const COUNTER: usize = 0;
const SUMMARY: usize = 2;
const HISTOGRAM: usize = 4;
const GAUGE_HISTOGRAM: usize = 5;

/// Faults that a protobuf page can have. The last one fits into every page.
pub(super) const FAULTS: [Fault; 12] = [
    Fault::MissingValue,
    Fault::DuplicateLabel,
    Fault::InvalidUtf8,
    Fault::UnknownType,
    Fault::DuplicateSample,
    Fault::DuplicateFamily,
    Fault::UnitNotInName,
    Fault::NativeCountMismatch,
    Fault::NativeSchema,
    Fault::NativeSpans,
    Fault::NegativeBucket,
    Fault::CutOff,
];

/// Generates a valid page.
pub(super) fn page(choices: &mut Choices<'_, '_>) -> Vec<u8> {
    let families = families(choices);
    encode(&families, choices)
}

/// Generates a page with one fault, and tells the fault.
pub(super) fn faulty_page(choices: &mut Choices<'_, '_>) -> (Vec<u8>, Fault) {
    let valid = families(choices);
    let start = choices.below(FAULTS.len());
    let faults = FAULTS.iter().cycle().skip(start).take(FAULTS.len());
    for &fault in faults {
        let mut families = valid.clone();
        if apply(fault, &mut families, choices).is_some() {
            let mut page = encode(&families, choices);
            if fault == Fault::CutOff {
                page.pop();
            }
            return (page, fault);
        }
    }
    unreachable!("every page can be cut off");
}

fn families(choices: &mut Choices<'_, '_>) -> Vec<Message> {
    let count = 1 + choices.below(5);
    (0..count).map(|index| family(index, choices)).collect()
}

/// Generates a family. Its number in the name keeps it apart from the others.
fn family(index: usize, choices: &mut Choices<'_, '_>) -> Message {
    const WORDS: [&str; 5] = ["a", "requests", "_x", "http_server", "A9"];
    let family_type = choices.below(metric::VALUE.len());
    let mut name = format!("{}_{index}", choices.of(&WORDS));
    let mut message = Message::default();
    if family_type != COUNTER && choices.rarely(3) {
        name.push_str("_seconds");
        message.push(family::UNIT, FieldValue::text("seconds"));
    }
    if family_type == COUNTER {
        name.push_str("_total");
    }
    message.push(family::NAME, FieldValue::text(&name));
    let help = choices.text();
    if !help.is_empty() || choices.below(2) == 1 {
        message.push(family::HELP, FieldValue::text(&help));
    }
    if family_type != COUNTER || choices.below(2) == 1 {
        message.push(family::TYPE, FieldValue::Varint(family_type as u64));
    }
    let is_native = choices.below(2) == 1;
    let labels = choices.below(3);
    for series in 0..1 + choices.below(3) {
        let metric = metric(series, labels, family_type, is_native, choices);
        message.push(family::METRIC, FieldValue::Message(metric));
    }
    message
}

fn metric(
    series: usize,
    labels: usize,
    family_type: usize,
    is_native: bool,
    choices: &mut Choices<'_, '_>,
) -> Message {
    let mut message = Message::default();
    if series > 0 || labels > 0 {
        message.push(metric::LABEL, label("n", &series.to_string()));
    }
    for name in &["code", "path"][..labels] {
        let value = choices.text();
        message.push(metric::LABEL, label(name, &value));
    }
    let value = match family_type {
        COUNTER => {
            let mut counter = single(choices.below(1000) as f64);
            if choices.rarely(3) {
                counter.push(2, FieldValue::Message(exemplar(1.0)));
            }
            if choices.rarely(3) {
                counter.push(3, timestamp());
            }
            counter
        }
        SUMMARY => summary(choices),
        HISTOGRAM | GAUGE_HISTOGRAM if is_native => native_histogram(choices),
        HISTOGRAM | GAUGE_HISTOGRAM => classic_histogram(choices),
        _ => single(f64::from_bits(choices.bits())),
    };
    message.push(metric::VALUE[family_type], FieldValue::Message(value));
    if choices.rarely(4) {
        message.push(metric::TIMESTAMP, FieldValue::Varint(1_700_000_000_123));
    }
    message
}

fn label(name: &str, value: &str) -> FieldValue {
    FieldValue::Message(Message(vec![
        (1, FieldValue::text(name)),
        (2, FieldValue::text(value)),
    ]))
}

fn single(value: f64) -> Message {
    Message(vec![(1, FieldValue::Double(value))])
}

fn exemplar(value: f64) -> Message {
    Message(vec![
        (1, label("trace_id", "0123456789abcdef")),
        (2, FieldValue::Double(value)),
        (3, timestamp()),
    ])
}

fn timestamp() -> FieldValue {
    FieldValue::Message(Message(vec![
        (1, FieldValue::Varint(1_700_000_000)),
        (2, FieldValue::Varint(500_000_000)),
    ]))
}

fn summary(choices: &mut Choices<'_, '_>) -> Message {
    let mut message = Message(vec![
        (1, FieldValue::Varint(choices.below(1000) as u64)),
        (2, FieldValue::Double(choices.below(1000) as f64 / 8.0)),
    ]);
    for quantile in &[0.5, 0.9, 0.99][..choices.below(4)] {
        let value = choices.of(&[0.25, 3.0, f64::NAN]);
        let pair = Message(vec![
            (1, FieldValue::Double(*quantile)),
            (2, FieldValue::Double(value)),
        ]);
        message.push(3, FieldValue::Message(pair));
    }
    message
}

fn classic_histogram(choices: &mut Choices<'_, '_>) -> Message {
    let mut message = Message::default();
    let mut count = 0;
    for bound in &[0.005, 0.1, 1.0, 2.5, 1e6][..choices.below(6)] {
        count += choices.below(1000) as u64;
        let mut bucket = bucket(count, *bound);
        if choices.rarely(3) {
            bucket.push(3, FieldValue::Message(exemplar(*bound)));
        }
        message.push(histogram::BUCKET, FieldValue::Message(bucket));
    }
    count += choices.below(1000) as u64;
    if choices.below(2) == 1 {
        let last = bucket(count, f64::INFINITY);
        message.push(histogram::BUCKET, FieldValue::Message(last));
    }
    message.push(histogram::COUNT, FieldValue::Varint(count));
    message.push(
        histogram::SUM,
        FieldValue::Double(choices.below(1000) as f64),
    );
    message
}

fn bucket(count: u64, bound: f64) -> Message {
    Message(vec![
        (1, FieldValue::Varint(count)),
        (2, FieldValue::Double(bound)),
    ])
}

fn native_histogram(choices: &mut Choices<'_, '_>) -> Message {
    let schema = choices.below(13) as i64 - 4;
    let zero = choices.below(10) as u64;
    let mut message = Message(vec![
        (histogram::SCHEMA, FieldValue::Varint(zigzag(schema))),
        (
            histogram::ZERO_THRESHOLD,
            FieldValue::Double(2f64.powi(-128)),
        ),
        (histogram::ZERO_COUNT, FieldValue::Varint(zero)),
    ]);
    let mut count = zero;
    for side in [histogram::POSITIVE, histogram::NEGATIVE] {
        count += push_side(side, &mut message, choices);
    }
    if choices.rarely(3) {
        let last = bucket(count, f64::INFINITY);
        message.push(histogram::BUCKET, FieldValue::Message(last));
    }
    if choices.rarely(3) {
        message.push(histogram::CREATED, timestamp());
    }
    message.push(histogram::COUNT, FieldValue::Varint(count));
    message.push(
        histogram::SUM,
        FieldValue::Double(choices.below(1000) as f64),
    );
    message
}

/// Appends the buckets of a side. Returns the observations in them.
fn push_side(
    [spans, deltas]: [u32; 2],
    message: &mut Message,
    choices: &mut Choices<'_, '_>,
) -> u64 {
    let (mut total, mut before) = (0, 0);
    let mut list = Vec::new();
    for span in 0..choices.below(4) {
        let offset = match span {
            0 => choices.below(41) as i64 - 20,
            _ => choices.below(6) as i64,
        };
        let length = 1 + choices.below(4);
        for _ in 0..length {
            let count = choices.below(1000) as u64;
            list.push(zigzag(count.wrapping_sub(before).cast_signed()));
            before = count;
            total += count;
        }
        message.push(spans, span_of(offset, length as u64));
    }
    // Packed, in pieces or not at all.
    match choices.below(3) {
        0 => message.push(deltas, FieldValue::Packed(list)),
        1 => {
            for piece in list.chunks(3) {
                message.push(deltas, FieldValue::Packed(piece.to_vec()));
            }
        }
        _ => {
            for delta in list {
                message.push(deltas, FieldValue::Varint(delta));
            }
        }
    }
    total
}

fn span_of(offset: i64, length: u64) -> FieldValue {
    FieldValue::Message(Message(vec![
        (1, FieldValue::Varint(zigzag(offset))),
        (2, FieldValue::Varint(length)),
    ]))
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

/// Puts a fault into a page. None if the page has no place for it.
fn apply(fault: Fault, families: &mut Vec<Message>, choices: &mut Choices<'_, '_>) -> Option<()> {
    let number = choices.below(families.len());
    match fault {
        Fault::CutOff => return Some(()),
        Fault::DuplicateFamily => {
            let again = families[number].clone();
            families.push(again);
            return Some(());
        }
        Fault::UnknownType => {
            let unknown = choices.of(&[6, 100]);
            families[number].set(family::TYPE, FieldValue::Varint(unknown));
            return Some(());
        }
        Fault::UnitNotInName => {
            families[number].set(family::UNIT, FieldValue::text("parsecs"));
            return Some(());
        }
        Fault::DuplicateSample => {
            let (_, again) = { families[number].0.iter() }.find(|(n, _)| *n == family::METRIC)?;
            let again = again.clone();
            families[number].push(family::METRIC, again);
            return Some(());
        }
        Fault::InvalidUtf8 => {
            let byte = choices.of(&[0xff, 0xc0, 0x80]);
            families[number].set(family::HELP, FieldValue::Bytes(vec![b'a', byte]));
            return Some(());
        }
        _ => {}
    }
    let mut metrics: Vec<_> = (families.iter_mut())
        .flat_map(|family| family.all(family::METRIC))
        .collect();
    if let Fault::MissingValue = fault {
        let chosen = choices.below(metrics.len());
        let is_value = |field: &u32| metric::VALUE.contains(field);
        metrics[chosen].0.retain(|(field, _)| !is_value(field));
        return Some(());
    }
    if let Fault::DuplicateLabel = fault {
        let mut labelled = metrics.into_iter().filter_map(|metric| {
            let label = metric.all(metric::LABEL).next()?.clone();
            Some((metric, label))
        });
        let (metric, label) = labelled.next()?;
        metric.push(metric::LABEL, FieldValue::Message(label));
        return Some(());
    }
    let natives = metrics.into_iter().flat_map(|m| m.all(metric::HISTOGRAM));
    let mut natives = natives.filter(|h| h.has(histogram::SCHEMA));
    let native = natives.next()?;
    let [spans, deltas] = histogram::POSITIVE;
    match fault {
        // More than any page has.
        Fault::NativeCountMismatch => native.set(histogram::COUNT, FieldValue::Varint(1 << 40)),
        Fault::NativeSchema => {
            let schema = choices.of(&[9, -5, 1000]);
            native.set(histogram::SCHEMA, FieldValue::Varint(zigzag(schema)));
        }
        Fault::NativeSpans => native.push(deltas, FieldValue::Varint(zigzag(0))),
        Fault::NegativeBucket => {
            native.push(spans, span_of(1, 1));
            native.push(deltas, FieldValue::Varint(zigzag(-1_000_000)));
        }
        other => unreachable!("{other:?} is of text pages"),
    }
    Some(())
}

impl FieldValue {
    fn text(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }
}

impl Message {
    fn push(&mut self, field: u32, value: FieldValue) {
        self.0.push((field, value));
    }

    /// Gives a field that is not repeated another value.
    fn set(&mut self, field: u32, value: FieldValue) {
        self.0.retain(|(other, _)| *other != field);
        self.push(field, value);
    }

    fn has(&self, field: u32) -> bool {
        self.0.iter().any(|(other, _)| *other == field)
    }

    /// Returns the messages in a field.
    fn all(&mut self, field: u32) -> impl Iterator<Item = &mut Message> {
        self.0
            .iter_mut()
            .filter_map(move |(other, value)| match value {
                FieldValue::Message(message) if *other == field => Some(message),
                _ => None,
            })
    }

    fn encode(&self, choices: &mut Choices<'_, '_>) -> Vec<u8> {
        let mut fields: Vec<_> = self.0.iter().collect();
        // Another order of the fields, though not within a repeated one.
        let shift = choices.below(4) as u32 * 5;
        fields.sort_by_key(|(field, _)| (field + shift) % 17);
        let mut bytes = Vec::new();
        if choices.rarely(16) {
            push_key(1000, 0, &mut bytes);
            push_varint(choices.bits(), 0, &mut bytes);
        }
        for (field, value) in fields {
            match value {
                FieldValue::Varint(number) => {
                    push_key(*field, 0, &mut bytes);
                    push_varint(*number, padding(choices), &mut bytes);
                }
                FieldValue::Double(number) => {
                    push_key(*field, 1, &mut bytes);
                    bytes.extend_from_slice(&number.to_le_bytes());
                }
                FieldValue::Bytes(text) => push_bytes(*field, text, choices, &mut bytes),
                FieldValue::Message(message) => {
                    let inner = message.encode(choices);
                    push_bytes(*field, &inner, choices, &mut bytes);
                }
                FieldValue::Packed(numbers) => {
                    let mut inner = Vec::new();
                    for number in numbers {
                        push_varint(*number, 0, &mut inner);
                    }
                    push_bytes(*field, &inner, choices, &mut bytes);
                }
            }
        }
        bytes
    }
}

fn encode(families: &[Message], choices: &mut Choices<'_, '_>) -> Vec<u8> {
    let mut page = Vec::new();
    for family in families {
        let message = family.encode(choices);
        push_varint(message.len() as u64, padding(choices), &mut page);
        page.extend_from_slice(&message);
    }
    page
}

/// Bytes that a number has at least: rarely more than it needs, and not more than all
/// decoders accept of a length.
fn padding(choices: &mut Choices<'_, '_>) -> usize {
    if choices.rarely(8) { 5 } else { 0 }
}

fn push_key(field: u32, wire_type: u32, into: &mut Vec<u8>) {
    push_varint(u64::from(field << 3 | wire_type), 0, into);
}

fn push_bytes(field: u32, bytes: &[u8], choices: &mut Choices<'_, '_>, into: &mut Vec<u8>) {
    push_key(field, 2, into);
    push_varint(bytes.len() as u64, padding(choices), into);
    into.extend_from_slice(bytes);
}

/// Appends a number in at least so many bytes.
fn push_varint(mut value: u64, at_least: usize, into: &mut Vec<u8>) {
    let start = into.len();
    while value >= 0x80 || into.len() + 1 < start + at_least {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}
