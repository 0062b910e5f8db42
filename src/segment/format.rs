//! The words of a segment: header, records, encodings. FORMAT.md describes them.
//!
//! Records are encoded and decoded here and nowhere else. The decoder trusts
//! nothing: it works on a private copy, checks every length before it allocates,
//! and returns `None` for what it cannot read.

use crate::MetricType;
pub(super) use crate::cell::Encoding;
use crate::family::{Descriptor, Shape};

/// The first word of a segment, stored last. Its bytes are the same in any byte order.
pub(super) const MAGIC: u64 = u64::from_ne_bytes(*b"stethseg");
/// A word that shows the byte order of the writer.
pub(super) const BYTE_ORDER: u64 = 0x0102_0304_0506_0708;
/// The version of the format that this crate writes: major in the upper half.
pub(super) const VERSION: u64 = 2 << 32;

/// Returns true if this crate reads the major version: in version 1, no family has
/// parts.
pub(super) fn is_readable(major: u64) -> bool {
    (1..=VERSION >> 32).contains(&major)
}

/// The number of words of the header. Loom tracks each word, so it gets few.
pub(super) const HEADER: usize = if cfg!(loom) { 8 } else { 512 };

/// Offsets of the header's words.
pub(super) mod header {
    pub(in crate::segment) const MAGIC: usize = 0;
    pub(in crate::segment) const BYTE_ORDER: usize = 1;
    pub(in crate::segment) const VERSION: usize = 2;
    /// The number of compactions, and the offset of the first log chunk.
    pub(in crate::segment) const ROOT: usize = 3;
    /// Milliseconds since 1970 (UTC).
    pub(in crate::segment) const HEARTBEAT: usize = 4;
    pub(in crate::segment) const STATE: usize = 5;
    /// The number of series that were made outside of the segment.
    pub(in crate::segment) const UNPLACED: usize = 6;
    pub(in crate::segment) const PID: usize = 7;
    /// Clock ticks since boot, as in `/proc/PID/stat`.
    pub(in crate::segment) const START_TIME: usize = 8;
    pub(in crate::segment) const PID_NAMESPACE: usize = 9;
    /// Two words.
    pub(in crate::segment) const BOOT_ID: usize = 10;
    /// Milliseconds since 1970 (UTC).
    pub(in crate::segment) const CREATED: usize = 12;
    pub(in crate::segment) const PARENT_PID: usize = 13;
    /// The number of compactions after the newest log that was freed, for forked
    /// children. Loom's header is short.
    pub(in crate::segment) const FREED: usize = if cfg!(loom) { 7 } else { 14 };
    /// 1 in the file of a forked child that has registered, removed and beaten nothing
    /// since the fork, else 0.
    pub(in crate::segment) const UNTOUCHED: usize = 15;
    /// The length of the process' name in bytes.
    pub(in crate::segment) const NAME_LENGTH: usize = 16;
    pub(in crate::segment) const NAME: usize = 17;
    /// The longest name, in bytes.
    pub(in crate::segment) const MAX_NAME: usize = 1024;
}

/// Values of the header's `STATE`.
pub(super) mod state {
    pub(in crate::segment) const RUNNING: u64 = 1;
    pub(in crate::segment) const ENDED: u64 = 2;
}

/// The number of bits of `ROOT` that hold the offset.
const ROOT_OFFSET_BITS: u32 = 40;

/// The largest offset of a word, plus one.
pub(super) const MAX_WORDS: usize = 1 << ROOT_OFFSET_BITS;

/// Makes the header's `ROOT`.
pub(super) fn root(compactions: u64, offset: usize) -> u64 {
    compactions << ROOT_OFFSET_BITS | offset as u64
}

/// Returns the offset of the first chunk.
pub(super) fn root_offset(root: u64) -> usize {
    (root & (MAX_WORDS as u64 - 1)) as usize
}

/// Offsets of the words at the beginning of a log chunk.
pub(super) mod chunk {
    pub(in crate::segment) const TAG: usize = 0;
    /// The length of the chunk in words, its header included.
    pub(in crate::segment) const LENGTH: usize = 1;
    /// The number of words in use, the header included.
    pub(in crate::segment) const COMMITTED: usize = 2;
    /// The number of words of a chunk's header: a cache line.
    pub(in crate::segment) const HEADER: usize = 8;
}

/// The first word of a log chunk.
pub(super) const CHUNK_TAG: u64 = u64::from_ne_bytes(*b"logchunk");

/// The kinds of records.
mod kind {
    pub(super) const FAMILY: u64 = 1;
    pub(super) const SLAB: u64 = 2;
    pub(super) const SERIES: u64 = 3;
    pub(super) const REMOVE_SERIES: u64 = 4;
    pub(super) const REMOVE_FAMILY: u64 = 5;
    pub(super) const NEXT_CHUNK: u64 = 6;
}

/// The words of a `NEXT_CHUNK` record, for which each chunk keeps room.
pub(super) const NEXT_CHUNK_WORDS: usize = 2;

/// The longest record in words. Its label values would be a page of their own.
pub(super) const MAX_RECORD: usize = 1 << 20;

impl Encoding {
    /// Returns the word that is part of the cell, and not of its value.
    pub(super) fn constant_word(self) -> Option<usize> {
        (self == Self::StateSet).then_some(1)
    }

    fn code(self) -> u64 {
        match self {
            Self::U64 => 1,
            Self::I64 => 2,
            Self::F64 => 3,
            Self::Histogram => 4,
            Self::StateSet => 5,
            Self::One => 6,
        }
    }

    fn from_code(code: u64) -> Option<Self> {
        Some(match code {
            1 => Self::U64,
            2 => Self::I64,
            3 => Self::F64,
            4 => Self::Histogram,
            5 => Self::StateSet,
            6 => Self::One,
            _ => return None,
        })
    }

    /// Returns the number of words of a series with so many bucket bounds.
    pub(super) fn words(self, bounds: usize) -> usize {
        match self {
            Self::U64 | Self::I64 | Self::F64 => 1,
            Self::Histogram => bounds + 2,
            Self::StateSet => 2,
            Self::One => 0,
        }
    }
}

fn type_code(metric_type: MetricType) -> Option<u64> {
    Some(match metric_type {
        MetricType::Counter => 1,
        MetricType::Gauge => 2,
        MetricType::Histogram => 3,
        MetricType::StateSet => 4,
        MetricType::Info => 5,
        MetricType::Unknown => 6,
        MetricType::Summary | MetricType::GaugeHistogram => return None,
    })
}

fn type_from_code(code: u64) -> Option<MetricType> {
    Some(match code {
        1 => MetricType::Counter,
        2 => MetricType::Gauge,
        3 => MetricType::Histogram,
        4 => MetricType::StateSet,
        5 => MetricType::Info,
        6 => MetricType::Unknown,
        _ => return None,
    })
}

/// A record under construction.
pub(super) struct Record(Vec<u64>);

impl Record {
    fn new(kind: u64) -> Self {
        Self::in_memory(Vec::new(), kind)
    }

    /// Begins a record in the memory of another.
    fn in_memory(mut memory: Vec<u64>, kind: u64) -> Self {
        memory.clear();
        memory.push(kind << 32);
        Self(memory)
    }

    fn word(mut self, word: u64) -> Self {
        self.0.push(word);
        self
    }

    /// Adds the lengths of some strings, two in a word, then their bytes.
    fn strings(mut self, strings: &[&str]) -> Self {
        for pair in strings.chunks(2) {
            let length = |index: usize| pair.get(index).map_or(0, |text| text.len() as u64);
            self.0.push(length(0) | length(1) << 32);
        }
        let bytes = strings.iter().map(|text| text.len()).sum::<usize>();
        let start = self.0.len();
        self.0.resize(start + bytes.div_ceil(size_of::<u64>()), 0);
        let mut rest = bytes_of(&mut self.0[start..]);
        for text in strings {
            let (into, after) = rest.split_at_mut(text.len());
            into.copy_from_slice(text.as_bytes());
            rest = after;
        }
        self
    }

    /// Completes the first word. `None` if the record is too long.
    fn finish(mut self) -> Option<Vec<u64>> {
        self.0[0] |= self.0.len() as u64;
        (self.0.len() <= MAX_RECORD).then_some(self.0)
    }
}

/// Returns the bytes of some words, as they are in memory.
#[allow(unsafe_code)]
pub(super) fn bytes_of(words: &mut [u64]) -> &mut [u8] {
    let len = size_of_val(words);
    // SAFETY: the bytes of the same memory, borrowed as it is. Any bytes are words.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), len) }
}

/// Packs up to eight bytes into a word, the first in the lowest address.
pub(super) fn word_of_bytes(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_ne_bytes(word)
}

/// The words of a decoded record that have not been read yet.
struct RecordWords<'w>(&'w [u64]);

impl<'w> RecordWords<'w> {
    fn next(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn index(&mut self) -> Option<usize> {
        usize::try_from(self.next()?).ok()
    }

    fn take(&mut self, count: usize) -> Option<&'w [u64]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// Reads what `Record::strings` has written.
    fn strings(&mut self, count: usize) -> Option<Vec<String>> {
        let lengths = self.take(count.div_ceil(2))?;
        let length =
            |index: usize| (lengths[index / 2] >> (32 * (index % 2)) & 0xffff_ffff) as usize;
        // Cannot overflow: the count is limited by the record's words.
        let total: usize = (0..count).map(length).sum();
        let bytes: Vec<u8> = self
            .take(total.div_ceil(8))?
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        let mut rest = &bytes[..total];
        (0..count)
            .map(|index| {
                let (text, after) = rest.split_at_checked(length(index))?;
                rest = after;
                std::str::from_utf8(text).ok().map(str::to_owned)
            })
            .collect()
    }
}

/// The description of a family, as a record has it.
#[derive(Clone, Debug)]
pub(super) struct FamilyRecord {
    pub(super) encoding: Encoding,
    /// The number of parts of a series, each for one thread or a few. Its value is
    /// their sum.
    pub(super) parts: usize,
    pub(super) descriptor: Descriptor,
}

/// The most parts of a series.
const MAX_PARTS: usize = 1 << 16;

/// Flags of a family.
const HAS_UNIT: u64 = 1;
const SHOWS_CREATED: u64 = 2;

impl FamilyRecord {
    /// Returns the number of words of a series' value.
    pub(super) fn words(&self) -> usize {
        self.encoding.words(self.bounds().len())
    }

    /// Returns the number of words from one part to the next: whole cache lines.
    pub(super) fn part_stride(&self) -> usize {
        self.words().next_multiple_of(LINE)
    }

    /// Returns the number of words from one series to the next.
    pub(super) fn stride(&self) -> usize {
        self.parts * self.part_stride()
    }

    /// Returns the number of words that the cell of a series may use.
    pub(super) fn words_of_cell(&self) -> usize {
        match self.parts {
            1 => self.words(),
            _ => self.stride(),
        }
    }

    pub(super) fn bounds(&self) -> &[f64] {
        match &self.descriptor.shape {
            Shape::Histogram { bounds } => bounds,
            _ => &[],
        }
    }

    /// Encodes the record of the family with this number. `None` if the format has
    /// no such family.
    pub(super) fn encode(&self, id: u64) -> Option<Vec<u64>> {
        let d = &self.descriptor;
        let states: &[String] = match &d.shape {
            Shape::StateSet { states } => states,
            _ => &[],
        };
        let bounds = self.bounds();
        let unit = d.unit.as_deref();
        let flags = u64::from(unit.is_some()) * HAS_UNIT + u64::from(d.created) * SHOWS_CREATED;
        let mut record = Record::new(kind::FAMILY)
            .word(id)
            .word(
                type_code(d.metric_type)?
                    | self.encoding.code() << 8
                    | flags << 16
                    | (self.parts as u64 - 1) << 32,
            )
            .word(d.label_names.len() as u64 | (d.const_labels.len() as u64) << 32)
            .word(bounds.len() as u64 | (states.len() as u64) << 32);
        for bound in bounds {
            record = record.word(bound.to_bits());
        }
        let mut strings = vec![d.name.as_str(), &d.help, unit.unwrap_or_default()];
        strings.extend(d.label_names.iter().map(String::as_str));
        for (name, value) in &d.const_labels {
            strings.extend([name.as_str(), value]);
        }
        strings.extend(states.iter().map(String::as_str));
        record.strings(&strings).finish()
    }

    fn decode(words: &mut RecordWords<'_>) -> Option<Self> {
        let low_high = |word: u64| ((word & 0xffff_ffff) as usize, (word >> 32) as usize);
        let codes = words.next()?;
        let metric_type = type_from_code(codes & 0xff)?;
        let encoding = Encoding::from_code(codes >> 8 & 0xff)?;
        // An info is always 1, so it has no word that could be another number.
        if (metric_type == MetricType::Info) != (encoding == Encoding::One) {
            return None;
        }
        let flags = codes >> 16 & 0xffff;
        let parts = (codes >> 32) as usize + 1;
        let has_parts = match metric_type {
            MetricType::Counter => encoding == Encoding::U64,
            MetricType::Histogram => encoding == Encoding::Histogram,
            _ => false,
        };
        if parts > MAX_PARTS || (parts > 1 && !has_parts) {
            return None;
        }
        let (labels, const_labels) = low_high(words.next()?);
        let (bounds, states) = low_high(words.next()?);
        let bounds: Vec<f64> = words
            .take(bounds)?
            .iter()
            .map(|&w| f64::from_bits(w))
            .collect();
        let mut strings = words
            .strings(3 + labels + 2 * const_labels + states)?
            .into_iter();
        let (name, help, unit) = (strings.next()?, strings.next()?, strings.next()?);
        let label_names = strings.by_ref().take(labels).collect();
        let const_labels = (0..const_labels)
            .map(|_| Some((strings.next()?, strings.next()?)))
            .collect::<Option<_>>()?;
        use crate::cell::Number;
        let shape = match encoding {
            Encoding::U64 | Encoding::One => Shape::Single(Number::U64),
            Encoding::I64 => Shape::Single(Number::I64),
            Encoding::F64 => Shape::Single(Number::F64),
            Encoding::Histogram => Shape::Histogram { bounds },
            Encoding::StateSet => Shape::StateSet {
                states: strings.collect(),
            },
        };
        Some(Self {
            encoding,
            parts,
            descriptor: Descriptor {
                name,
                help,
                unit: (flags & HAS_UNIT != 0).then_some(unit),
                metric_type,
                shape,
                label_names,
                const_labels,
                created: flags & SHOWS_CREATED != 0,
                mixed: false,
                permanent: false,
            },
        })
    }
}

/// The number of words in a cache line.
pub(super) const LINE: usize = 8;

/// Encodes the record of a slab: room for so many series of a family, the first of
/// which has the slot `first`.
pub(super) fn encode_slab(family: u64, first: usize, slots: usize, offset: usize) -> Vec<u64> {
    let record = Record::new(kind::SLAB)
        .word(family)
        .word(first as u64)
        .word(slots as u64)
        .word(offset as u64);
    record.finish().unwrap_or_default()
}

/// Encodes the record of a series, in the memory of another record. `None` if the
/// label values are too long.
pub(super) fn encode_series(
    memory: Vec<u64>,
    family: u64,
    slot: usize,
    ordinal: u64,
    created: f64,
    labels: &[&str],
) -> Option<Vec<u64>> {
    Record::in_memory(memory, kind::SERIES)
        .word(family)
        .word(slot as u64)
        .word(ordinal)
        .word(created.to_bits())
        .strings(labels)
        .finish()
}

pub(super) fn encode_remove_series(memory: Vec<u64>, family: u64, slot: usize) -> Vec<u64> {
    let record = Record::in_memory(memory, kind::REMOVE_SERIES).word(family);
    record.word(slot as u64).finish().unwrap_or_default()
}

pub(super) fn encode_remove_family(family: u64) -> Vec<u64> {
    let record = Record::new(kind::REMOVE_FAMILY).word(family);
    record.finish().unwrap_or_default()
}

pub(super) fn encode_next_chunk(offset: usize) -> Vec<u64> {
    let record = Record::new(kind::NEXT_CHUNK).word(offset as u64);
    record.finish().unwrap_or_default()
}

/// A decoded record.
#[derive(Debug)]
pub(super) enum Decoded<'w> {
    Family {
        id: u64,
        family: Box<FamilyRecord>,
    },
    Slab {
        family: u64,
        first: usize,
        slots: usize,
        offset: usize,
    },
    Series {
        family: u64,
        slot: usize,
        ordinal: u64,
        created: f64,
        /// To be read by [`labels`], which needs the number of the family's labels.
        labels: &'w [u64],
    },
    RemoveSeries {
        family: u64,
        slot: usize,
    },
    RemoveFamily {
        family: u64,
    },
    NextChunk {
        offset: usize,
    },
    /// A record of a later version.
    Unknown,
}

/// Decodes the first record of `words`. Returns it with its length, or `None` if it
/// is damaged.
pub(super) fn decode(words: &[u64]) -> Option<(Decoded<'_>, usize)> {
    let first = *words.first()?;
    let length = (first & 0xffff_ffff) as usize;
    let record = words.get(..length).filter(|record| !record.is_empty())?;
    let mut words = RecordWords(&record[1..]);
    let decoded = match first >> 32 {
        0 => return None,
        kind::FAMILY => Decoded::Family {
            id: words.next()?,
            family: Box::new(FamilyRecord::decode(&mut words)?),
        },
        kind::SLAB => Decoded::Slab {
            family: words.next()?,
            first: words.index()?,
            slots: words.index()?,
            offset: words.index()?,
        },
        kind::SERIES => Decoded::Series {
            family: words.next()?,
            slot: words.index()?,
            ordinal: words.next()?,
            created: f64::from_bits(words.next()?),
            labels: words.0,
        },
        kind::REMOVE_SERIES => Decoded::RemoveSeries {
            family: words.next()?,
            slot: words.index()?,
        },
        kind::REMOVE_FAMILY => Decoded::RemoveFamily {
            family: words.next()?,
        },
        kind::NEXT_CHUNK => Decoded::NextChunk {
            offset: words.index()?,
        },
        _ => Decoded::Unknown,
    };
    Some((decoded, length))
}

/// Decodes the label values of a series record.
pub(super) fn labels(words: &[u64], count: usize) -> Option<Vec<String>> {
    RecordWords(words).strings(count)
}
