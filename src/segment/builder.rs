//! Writes the words of a whole segment at once.

use super::format::{
    self, BYTE_ORDER, CHUNK_TAG, FamilyRecord, HEADER, LINE, MAGIC, VERSION, chunk, header, state,
};
use super::owner;
use super::proc::{self, ProcessStat};

/// A segment under construction: header and slabs, then one chunk of the log.
pub(super) struct SegmentBuilder {
    words: Vec<u64>,
    log: Vec<u64>,
    next_family: u64,
}

/// A series to write.
pub(super) struct SavedSeries<'s> {
    /// The time at which it was made.
    pub(super) created: f64,
    pub(super) labels: Vec<&'s str>,
    pub(super) words: &'s [u64],
}

impl SegmentBuilder {
    pub(super) fn new() -> Self {
        Self {
            words: vec![0; HEADER],
            log: vec![0; chunk::HEADER],
            next_family: 1,
        }
    }

    /// Adds a family and its series. Leaves out what is too long for a record.
    pub(super) fn add(&mut self, family: &FamilyRecord, series: &[SavedSeries<'_>]) {
        let id = self.next_family;
        let Some(record) = family.encode(id) else {
            return;
        };
        self.next_family += 1;
        self.log.extend(record);
        let stride = family.stride();
        if stride > 0 && !series.is_empty() {
            let offset = self.words.len();
            let slab = format::encode_slab(id, 0, series.len(), offset);
            self.log.extend(slab);
            for SavedSeries { words, .. } in series {
                let end = self.words.len() + stride;
                self.words.extend_from_slice(words);
                self.words.resize(end, 0);
            }
        }
        for (slot, series) in series.iter().enumerate() {
            let SavedSeries {
                created, labels, ..
            } = series;
            let record = format::encode_series(Vec::new(), id, slot, slot as u64, *created, labels);
            self.log.extend(record.unwrap_or_default());
        }
    }

    /// Returns the words, with a header that describes this process.
    pub(super) fn finish(self) -> Vec<u64> {
        let Self {
            mut words, mut log, ..
        } = self;
        let root = words.len();
        debug_assert!(root.is_multiple_of(LINE));
        log[chunk::TAG] = CHUNK_TAG;
        log[chunk::COMMITTED] = log.len() as u64;
        log.resize(log.len().next_multiple_of(LINE), 0);
        log[chunk::LENGTH] = log.len() as u64;
        words.extend(log);
        let [boot_high, boot_low] = proc::boot_id().unwrap_or_default();
        let stat = ProcessStat::of("self");
        let time = owner::now();
        words[header::MAGIC] = MAGIC;
        words[header::BYTE_ORDER] = BYTE_ORDER;
        words[header::VERSION] = VERSION;
        words[header::ROOT] = format::root(0, root);
        words[header::HEARTBEAT] = time;
        words[header::STATE] = state::ENDED;
        words[header::PID] = u64::from(std::process::id());
        words[header::START_TIME] = stat.as_ref().map_or(0, |stat| stat.start_time);
        words[header::PID_NAMESPACE] = proc::pid_namespace();
        words[header::BOOT_ID] = boot_high;
        words[header::BOOT_ID + 1] = boot_low;
        words[header::CREATED] = time;
        words[header::PARENT_PID] = stat.as_ref().map_or(0, |stat| u64::from(stat.parent));
        words
    }
}
