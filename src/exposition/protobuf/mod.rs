//! Pages of delimited `io.prometheus.client.MetricFamily` messages, the protobuf
//! format of Prometheus.
//!
//! A family is compiled to one message. Doubles have a fixed width, and the numbers
//! of buckets and observations are written in a fixed width as well, so a scrape
//! patches what has changed and copies the whole. Only families with exemplars, and
//! native histograms, have messages whose lengths change: labels and metadata are
//! ready there, and the rest is written at each scrape; that of a native histogram without
//! exemplars only if something was observed since.
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
use super::fresh::Readings;
#[cfg(feature = "gzip")]
use super::gzip;
use super::high_water::HighWater;
use crate::family::Source;
use family::FamilyMessage;
use std::collections::HashMap;
use std::sync::Arc;

/// The layouts of a scraper, by escaping, and the page written last.
#[derive(Default)]
pub(super) struct ProtobufPages {
    layouts: [Option<ProtobufLayout>; 4],
    page: Vec<u8>,
    /// The escaping of the layout that `page` shows as it was left. Such a page is
    /// brought up to date in place.
    shown: Option<Escaping>,
    /// The latest lengths of `page`.
    page_lens: HighWater,
    /// Made on first use.
    #[cfg(feature = "gzip")]
    compressor: Option<libdeflater::Compressor>,
}

impl ProtobufPages {
    /// Returns the layout of an escaping, up to date, and true if it has changed.
    fn layout<'l>(
        layouts: &'l mut [Option<ProtobufLayout>; 4],
        escaping: Escaping,
        registry: RegistryFamilies<'_>,
    ) -> (&'l mut ProtobufLayout, bool) {
        let slot = &mut layouts[escaping as usize];
        let layout = slot.get_or_insert_with(|| ProtobufLayout::new(escaping));
        layout.idle = 0;
        let changed = layout.refresh(registry.generation, registry.sources);
        (layout, changed)
    }

    /// Appends a page of the families that are wanted, given their full names.
    /// `rows` is scratch space.
    pub(super) fn write(
        &mut self,
        escaping: Escaping,
        registry: RegistryFamilies<'_>,
        wanted: &mut dyn FnMut(&str) -> bool,
        rows: &mut Vec<u64>,
        page: &mut Vec<u8>,
    ) {
        self.shown = None;
        let (layout, _) = Self::layout(&mut self.layouts, escaping, registry);
        layout.write(wanted, rows, page);
    }

    /// Writes a page of all families, which is kept.
    pub(super) fn scrape(
        &mut self,
        escaping: Escaping,
        registry: RegistryFamilies<'_>,
        rows: &mut Vec<u64>,
    ) -> &[u8] {
        // Set again once the page is whole: a cell may panic.
        let shown = self.shown.take();
        let (layout, changed) = Self::layout(&mut self.layouts, escaping, registry);
        if shown == Some(escaping) && !changed && layout.is_patched() {
            layout.update(rows, &mut self.page);
        } else {
            self.page_lens.trim(&mut self.page);
            self.page.clear();
            layout.write(&mut |_| true, rows, &mut self.page);
        }
        self.page_lens.record(self.page.len());
        self.shown = Some(escaping);
        &self.page
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

    /// Appends the page written last, compressed.
    #[cfg(feature = "gzip")]
    pub(super) fn compress(&mut self, into: &mut Vec<u8>) {
        gzip::compress_plainly(&mut self.compressor, &self.page, into);
    }
}

/// The families of a registry.
#[derive(Clone, Copy)]
pub(super) struct RegistryFamilies<'a> {
    /// Counts the changes to the families and their members.
    pub(super) generation: u64,
    pub(super) sources: &'a [Arc<dyn Source>],
}

/// A registry as it is laid out for scrapes in protobuf with one escaping.
struct ProtobufLayout {
    escaping: Escaping,
    /// The scraper's generation when the layout was brought up to date.
    generation: Option<u64>,
    families: Vec<FamilyMessage>,
    readings: Readings,
    /// Scrapes of other layouts since the last one of this.
    idle: u32,
}

impl ProtobufLayout {
    /// An empty layout.
    fn new(escaping: Escaping) -> Self {
        Self {
            escaping,
            generation: None,
            families: Vec::new(),
            readings: Readings::default(),
            idle: 0,
        }
    }

    /// Brings the layout up to date: `generation` counts the changes to the
    /// families and their members, which are `sources` now. Returns true if it was
    /// not.
    fn refresh(&mut self, generation: u64, sources: &[Arc<dyn Source>]) -> bool {
        if self.generation == Some(generation) {
            return false;
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
        true
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

    /// Returns true if all families can be brought up to date in a page.
    fn is_patched(&self) -> bool {
        self.families.iter().all(FamilyMessage::is_patched)
    }

    /// Brings the page up to date that was written last, of all families.
    fn update(&mut self, rows: &mut Vec<u64>, page: &mut [u8]) {
        for family in &mut self.families {
            family.update(rows, page);
        }
    }

    /// Appends a page of the families that are wanted.
    fn write(
        &mut self,
        wanted: &mut dyn FnMut(&str) -> bool,
        rows: &mut Vec<u64>,
        page: &mut Vec<u8>,
    ) {
        for family in &mut self.families {
            if wanted(family.full_name()) {
                family.write(&mut self.readings, rows, page);
            }
        }
    }
}
