//! Pages of delimited `io.prometheus.client.MetricFamily` messages, the protobuf
//! format of Prometheus.
//!
//! A family is compiled to one message. Doubles have a fixed width, and the numbers
//! of buckets and observations are written in a fixed width as well, so a scrape
//! patches what has changed and copies the whole. Only families with exemplars, and
//! native histograms, have messages whose lengths change: labels and metadata are
//! ready there, and the rest is written at each scrape.
//!
//! One invalid message costs a server the page, or its life. Therefore:
//!
//! - A value that is 0 is written: some servers take an omitted one for that of the
//!   series before.
//! - The unit is written only where the name ends in it.
//! - A native histogram has a zero threshold above 0, by which all servers tell it
//!   from a classic one, and a count that is the sum of its buckets. A family's
//!   series are all native or all classic, since they have one type of cell.
//! - Spans and deltas are written by one loop over the same buckets.

mod family;
mod message;
mod wire;

use super::format::Escaping;
use super::high_water::HighWater;
use crate::cell::{Exemplar, NativeReading};
use crate::family::Source;
use family::FamilyMessage;
use std::collections::HashMap;
use std::sync::Arc;

/// The layouts of a scraper, by escaping, and the page written last.
#[derive(Default)]
pub(super) struct Pages {
    layouts: [Option<Layout>; 4],
    page: Vec<u8>,
    /// The latest lengths of `page`.
    page_lens: HighWater,
    /// Made on first use.
    #[cfg(feature = "gzip")]
    compressor: Option<libdeflater::Compressor>,
}

impl Pages {
    /// Returns the layout of an escaping, which is made if it does not exist.
    pub(super) fn layout(&mut self, escaping: Escaping) -> &mut Layout {
        let slot = &mut self.layouts[escaping as usize];
        let layout = slot.get_or_insert_with(|| Layout::new(escaping));
        layout.idle = 0;
        layout
    }

    /// Drops layouts that were not used for so many scrapes.
    pub(super) fn drop_idle(&mut self, max_idle: u32) {
        for slot in &mut self.layouts {
            slot.take_if(|layout| {
                layout.idle += 1;
                layout.idle > max_idle
            });
        }
    }

    /// Takes the page buffer, empty, unless it is much larger than the latest pages.
    pub(super) fn take_page(&mut self) -> Vec<u8> {
        self.page_lens.trim(&mut self.page);
        let mut page = std::mem::take(&mut self.page);
        page.clear();
        page
    }

    /// Gives the page buffer back, with a page.
    pub(super) fn set_page(&mut self, page: Vec<u8>) -> &[u8] {
        self.page_lens.record(page.len());
        self.page = page;
        &self.page
    }

    /// Appends the page written last, compressed.
    #[cfg(feature = "gzip")]
    pub(super) fn compress(&mut self, into: &mut Vec<u8>) {
        let compressor = self.compressor.get_or_insert_with(|| {
            let level = libdeflater::CompressionLvl::new(1).expect("there is a level 1");
            libdeflater::Compressor::new(level)
        });
        let start = into.len();
        into.resize(start + compressor.gzip_compress_bound(self.page.len()), 0);
        let compressed = compressor.gzip_compress(&self.page, &mut into[start..]);
        let len = compressed.expect("there is room for the worst page of that length");
        into.truncate(start + len);
    }
}

/// A registry as it is laid out for scrapes in protobuf with one escaping.
pub(super) struct Layout {
    escaping: Escaping,
    /// The scraper's generation when the layout was brought up to date.
    generation: Option<u64>,
    families: Vec<FamilyMessage>,
    scratch: Scratch,
    /// Scrapes of other layouts since the last one of this.
    idle: u32,
}

/// Space for readings.
#[derive(Default)]
struct Scratch {
    exemplar: Exemplar,
    native: NativeReading,
}

impl Layout {
    /// An empty layout.
    pub(super) fn new(escaping: Escaping) -> Self {
        Self {
            escaping,
            generation: None,
            families: Vec::new(),
            scratch: Scratch::default(),
            idle: 0,
        }
    }

    /// Brings the layout up to date: `generation` counts the changes to the
    /// families and their members, which are `sources` now.
    pub(super) fn refresh(&mut self, generation: u64, sources: &[Arc<dyn Source>]) {
        if self.generation == Some(generation) {
            return;
        }
        let pairs = self.families.iter().zip(sources);
        let is_same = self.families.len() == sources.len() && { pairs }
            .all(|(family, source)| Arc::ptr_eq(family.source(), source));
        if !is_same {
            self.take_over(sources);
        }
        for family in &mut self.families {
            family.refresh();
        }
        self.generation = Some(generation);
    }

    /// Lays out the families that are new, drops those that are gone, and keeps
    /// the rest.
    fn take_over(&mut self, sources: &[Arc<dyn Source>]) {
        let address = |source: &Arc<dyn Source>| Arc::as_ptr(source).cast::<()>();
        let old = std::mem::take(&mut self.families).into_iter();
        let mut old: HashMap<_, _> = old
            .map(|family| (address(family.source()), family))
            .collect();
        let family = |source: &Arc<dyn Source>| {
            let known = old.remove(&address(source));
            known.unwrap_or_else(|| FamilyMessage::new(Arc::clone(source), self.escaping))
        };
        self.families = sources.iter().map(family).collect();
    }

    /// Appends a page of the families that are wanted, given their full names.
    /// `rows` is scratch space.
    pub(super) fn write(
        &mut self,
        wanted: &mut dyn FnMut(&str) -> bool,
        rows: &mut Vec<u64>,
        page: &mut Vec<u8>,
    ) {
        for family in &mut self.families {
            if wanted(family.full_name()) {
                family.write(&mut self.scratch, rows, page);
            }
        }
    }
}
