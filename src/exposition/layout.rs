//! The families of a page compiled to text for one dialect: everything but the
//! values is ready. What depends on names and labels is rendered and escaped
//! once, when a series joins.

use super::body::{Body, SeriesText};
use super::format::Escaping;
use super::fresh::FreshValues;
#[cfg(feature = "gzip")]
use super::gzip::{FamilyCode, PageCompressor, PageFamily, PageFamilyView};
use super::page::{Editor, KeptPage};
use super::template::{self, Dialect, Template, ValueContent};
use crate::family::{Change, SeriesView, Source};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The last line of a page in OpenMetrics.
const END: &[u8] = b"# EOF\n";

/// A registry as it is laid out for scrapes in one dialect.
pub(super) struct Layout {
    dialect: Dialect,
    /// The scraper's generation when the layout was brought up to date.
    generation: Option<u64>,
    families: Vec<FamilyText>,
    /// Number of families laid out so far.
    #[cfg(feature = "gzip")]
    families_made: u64,
    page: KeptPage,
    /// False while the page is written, and if a cell has panicked meanwhile.
    is_whole: bool,
    /// Scrapes of other layouts since the last one of this.
    pub(super) idle: u32,
    #[cfg(feature = "gzip")]
    compressor: Option<Box<PageCompressor>>,
    /// Pages since the last one that was compressed.
    #[cfg(feature = "gzip")]
    uncompressed: u32,
}

/// The compression of a layout is dropped after as many pages without.
#[cfg(feature = "gzip")]
const MAX_UNCOMPRESSED: u32 = 16;

/// Bytes that a value is expected to grow by, from `0`.
const VALUE_GROWTH: usize = 4;

impl Layout {
    /// An empty layout.
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            generation: None,
            families: Vec::new(),
            #[cfg(feature = "gzip")]
            families_made: 0,
            page: KeptPage::default(),
            is_whole: false,
            idle: 0,
            #[cfg(feature = "gzip")]
            compressor: None,
            #[cfg(feature = "gzip")]
            uncompressed: 0,
        }
    }

    /// The dialect of the page.
    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Brings the layout up to date: `generation` counts the changes to the
    /// families and their members, which are `sources` now.
    pub(super) fn refresh(&mut self, generation: u64, sources: &[Arc<dyn Source>]) {
        if self.generation == Some(generation) && self.is_whole {
            return;
        }
        let pairs = self.families.iter().zip(sources);
        let same = self.families.len() == sources.len() && { pairs }
            .all(|(family, source)| Arc::ptr_eq(&family.source, source));
        if !same {
            self.take_over(sources);
        }
        // A cell's code may panic when it is dropped.
        let was_whole = std::mem::take(&mut self.is_whole);
        let mut changed = !same || !was_whole;
        for family in &mut self.families {
            if !was_whole {
                family.change = Change::Rebuilt;
            }
            family.refresh();
            changed |= family.change != Change::None;
        }
        if changed {
            self.lay_out();
        }
        self.is_whole = true;
        self.generation = Some(generation);
    }

    /// Lays out the families that are new, drops those that are gone, and keeps
    /// the rest.
    fn take_over(&mut self, sources: &[Arc<dyn Source>]) {
        let address = |source: &Arc<dyn Source>| Arc::as_ptr(source).cast::<()>();
        let old = std::mem::take(&mut self.families).into_iter();
        let mut old: HashMap<_, _> = old
            .map(|family| (address(&family.source), family))
            .collect();
        let base_names = base_names(sources, self.dialect.escaping);
        for (source, base_name) in sources.iter().zip(base_names) {
            let mut family = old
                .remove(&address(source))
                .unwrap_or_else(|| FamilyText::new(Arc::clone(source), self.dialect, base_name));
            family.set_head(base_name);
            #[cfg(feature = "gzip")]
            if family.id == 0 {
                self.families_made += 1;
                family.id = self.families_made;
            }
            self.families.push(family);
        }
    }

    /// Makes a new page: of the old text of families that are the same, and of
    /// the lines that are new, with each value as 0.
    fn lay_out(&mut self) {
        let old = std::mem::take(&mut self.page);
        let old = old.text();
        let mut text = Vec::with_capacity(old.len() + old.len() / 16);
        let mut new_lines = 0;
        for family in &mut self.families {
            new_lines += family.lay_out(old, &mut text);
        }
        text.extend_from_slice(self.end());
        self.page = KeptPage::new(text, new_lines * VALUE_GROWTH);
    }

    /// Brings those families on the page up to date that are wanted, given their
    /// full names. Returns true if they are all. `rows` is scratch space.
    pub(super) fn write(
        &mut self,
        wanted: &mut dyn FnMut(&str) -> bool,
        rows: &mut Vec<u64>,
    ) -> bool {
        #[cfg(feature = "gzip")]
        self.drop_idle_compressor();
        self.is_whole = false;
        let mut all = true;
        let end = self.end();
        let mut page = self.page.edit();
        for family in &mut self.families {
            family.is_wanted = wanted(&family.full_name);
            all &= family.is_wanted;
            family.write(rows, &mut page);
        }
        page.keep(end.len());
        page.finish();
        self.is_whole = true;
        all
    }

    /// The page as written last.
    pub(super) fn page(&self) -> &[u8] {
        self.page.text()
    }

    /// Gives up the page, without room for more.
    pub(super) fn take_page(&mut self) -> Vec<u8> {
        // All of it is written again if the layout is used again.
        self.generation = None;
        self.is_whole = false;
        self.families = Vec::new();
        std::mem::take(&mut self.page).into_text()
    }

    /// Appends the families that were wanted, and the end of the page.
    pub(super) fn push_wanted(&self, into: &mut Vec<u8>) {
        let page = self.page();
        for family in self.families.iter().filter(|family| family.is_wanted) {
            into.extend_from_slice(&page[family.start..][..family.len]);
        }
        into.extend_from_slice(self.end());
    }

    /// Gives the memory of the compression back if no recent page was
    /// compressed.
    #[cfg(feature = "gzip")]
    fn drop_idle_compressor(&mut self) {
        self.uncompressed += 1;
        if self.uncompressed > MAX_UNCOMPRESSED && self.compressor.take().is_some() {
            for family in &mut self.families {
                family.code = FamilyCode::default();
            }
        }
    }

    /// The end of a page.
    fn end(&self) -> &'static [u8] {
        if self.dialect.is_openmetrics() {
            END
        } else {
            b""
        }
    }

    /// Appends the page as written last, compressed. Returns false, and appends
    /// nothing, if it is larger than 4 GiB.
    #[cfg(feature = "gzip")]
    pub(super) fn compress(&mut self, into: &mut Vec<u8>) -> bool {
        self.uncompressed = 0;
        let end = self.end();
        let compressor = self
            .compressor
            .get_or_insert_with(|| Box::new(PageCompressor::new()));
        compressor.compress(&mut self.families, end, self.page.text(), into)
    }
}

/// Returns, for each family, whether OpenMetrics may call it by its name without
/// `_total` or `_info`. It may not if another family has a name that this family
/// would reserve there.
fn base_names(sources: &[Arc<dyn Source>], escaping: Escaping) -> Vec<bool> {
    let descriptors = || sources.iter().map(|source| source.descriptor());
    let mut taken: HashSet<String> = descriptors()
        .flat_map(|descriptor| descriptor.required_names(escaping))
        .collect();
    descriptors()
        .map(|descriptor| descriptor.optional_names(escaping))
        .map(|reserved| {
            let reserved: Vec<String> = reserved.collect();
            let free = !reserved.iter().any(|name| taken.contains(name));
            if free {
                taken.extend(reserved);
            }
            free
        })
        .collect()
}

/// A family as it is laid out for scrapes.
struct FamilyText {
    source: Arc<dyn Source>,
    dialect: Dialect,
    /// The name in the text format.
    full_name: String,
    series: Box<dyn SeriesView>,
    /// Metadata.
    head: Vec<u8>,
    templates: Vec<Template>,
    /// The labels that all series share, rendered.
    const_labels: Vec<u8>,
    label_names: Vec<String>,
    body: Body,
    /// The place on the page; of length 0 without series.
    start: usize,
    len: usize,
    /// The change since the page was laid out.
    change: Change,
    /// The positions on the page of series that were removed since, in ascending order.
    gone: Vec<usize>,
    /// The family was on the page of the latest scrape.
    is_wanted: bool,
    /// The lines of a series show when it was created.
    created: bool,
    /// The values that are written at each scrape, if there may be some.
    fresh: Option<FreshValues>,
    /// Distinguishes the family from others of the layout.
    #[cfg(feature = "gzip")]
    id: u64,
    /// Counts the changes of the metadata.
    #[cfg(feature = "gzip")]
    head_version: u64,
    #[cfg(feature = "gzip")]
    code: FamilyCode,
}

impl FamilyText {
    /// An empty layout. `base_name` says that OpenMetrics may call the family by
    /// its name without suffix, because no other family has that name.
    fn new(source: Arc<dyn Source>, dialect: Dialect, base_name: bool) -> Self {
        let templates = template::templates(source.as_ref(), dialect);
        let mut family = Self {
            dialect,
            full_name: source.descriptor().full_name(),
            series: Arc::clone(&source).view(),
            head: Vec::new(),
            const_labels: template::const_labels(source.as_ref(), dialect.escaping),
            label_names: template::label_names(source.as_ref(), dialect.escaping),
            body: Body::new(source.width(), templates.len()),
            templates,
            start: 0,
            len: 0,
            change: Change::Rebuilt,
            gone: Vec::new(),
            is_wanted: true,
            created: false,
            fresh: None,
            #[cfg(feature = "gzip")]
            id: 0,
            #[cfg(feature = "gzip")]
            head_version: 0,
            #[cfg(feature = "gzip")]
            code: FamilyCode::default(),
            source,
        };
        family.set_head(base_name);
        family
    }

    /// Renders the metadata.
    fn set_head(&mut self, base_name: bool) {
        let head = template::head(self.source.as_ref(), self.dialect, base_name);
        // A counter that must be of unknown type may have neither exemplars nor
        // the time of its creation.
        let typed = self.dialect.is_openmetrics() && (base_name || self.dialect.is_composite());
        let is_fresh = |template: &Template| !matches!(template.content(), ValueContent::Number);
        let fresh = typed && self.templates.iter().any(is_fresh);
        let descriptor = self.source.descriptor();
        let created = typed && descriptor.created && !self.dialect.shows_as_gauge(descriptor);
        if self.head == head && self.fresh.is_some() == fresh && self.created == created {
            return;
        }
        #[cfg(feature = "gzip")]
        {
            self.head_version += 1;
        }
        self.head = head;
        self.fresh = fresh.then(FreshValues::default);
        self.created = created;
        self.change = Change::Rebuilt;
    }

    /// Takes over what has changed in the family, for [`lay_out`](Self::lay_out).
    fn refresh(&mut self) {
        let change = self.series.refresh(&mut self.gone);
        if self.change != Change::Rebuilt && change != Change::None {
            // The lines of a series that was removed can be found by its position
            // where all have the same form.
            let uniform = !self.created && self.fresh.is_none() && self.series.len() > 0;
            self.change = match change {
                Change::Removed if !uniform => Change::Rebuilt,
                change => change,
            };
        }
    }

    /// Appends the family to a new page, taking what has not changed from the
    /// old one. Returns the number of lines that are new.
    fn lay_out(&mut self, old: &[u8], text: &mut Vec<u8>) -> usize {
        let change = std::mem::replace(&mut self.change, Change::None);
        let start = text.len();
        let gone = std::mem::take(&mut self.gone);
        let cleared = change == Change::Rebuilt;
        if cleared {
            self.body.clear();
            (self.start, self.len) = (0, 0);
        }
        #[cfg(feature = "gzip")]
        if cleared || change == Change::Removed {
            self.code = FamilyCode::default();
        }
        let old = &old[self.start..][..self.len];
        if self.len == 0 && self.series.len() > 0 {
            text.extend_from_slice(&self.head);
        } else if change == Change::Removed {
            let (head, lines) = old.split_at(self.head.len());
            text.extend_from_slice(head);
            self.body.remove(&gone, lines, text);
        } else {
            text.extend_from_slice(old);
        }
        let lines = self.body.lines();
        if change != Change::None {
            self.push_series(text);
            if change != Change::Appended {
                self.body.shrink();
            }
            if let Some(fresh) = &mut self.fresh {
                fresh.refresh(&self.body, cleared);
            }
        }
        (self.start, self.len) = (start, text.len() - start);
        self.body.lines() - lines
    }

    /// Lays out the series that are new.
    #[cold]
    fn push_series(&mut self, text: &mut Vec<u8>) {
        let mut labels = Vec::new();
        let (mut start_time, mut after) = (Vec::new(), Vec::new());
        let composite = self.dialect.is_composite();
        // The end of a line that has no exemplars.
        let ends = composite && self.templates.last().is_some_and(|last| !last.ends_line());
        let new = self.body.len()..self.series.len();
        self.body.reserve(new.len());
        let start = text.len();
        for series in new.clone() {
            labels.clear();
            labels.extend_from_slice(&self.const_labels);
            let source = self.source.as_ref();
            let values = self.series.labels(series);
            template::push_labels(source, &self.label_names, values, &mut labels);
            start_time.clear();
            after.clear();
            if self.created {
                let time = self.series.created(series);
                let escaping = self.dialect.escaping;
                match (composite, ends) {
                    (false, _) => {
                        template::push_created(source, escaping, &labels, time, &mut after);
                    }
                    (true, true) => template::push_start(time, &mut after),
                    (true, false) => template::push_start(time, &mut start_time),
                }
            }
            if ends {
                after.push(b'\n');
            }
            let series_text = SeriesText {
                labels: &labels,
                start: &start_time,
                after: &after,
            };
            self.body.push_series(&self.templates, series_text, text);
            if series == new.start {
                // The others will be about as long.
                text.reserve((text.len() - start + 8) * (new.len() - 1));
            }
        }
    }

    /// Brings the family on the page up to date if it is wanted. `rows` is scratch
    /// space.
    fn write(&mut self, rows: &mut Vec<u64>, page: &mut Editor<'_>) {
        let start = page.written();
        if self.is_wanted && self.len > 0 {
            page.keep(self.head.len());
            let series = self.series.as_ref();
            match &mut self.fresh {
                None => self.body.write(series, &self.templates, rows, page),
                Some(fresh) => fresh.write(&self.body, series, &self.templates, rows, page),
            }
        } else {
            page.keep(self.len);
        }
        (self.start, self.len) = (start, page.written() - start);
    }
}

#[cfg(feature = "gzip")]
impl PageFamily for FamilyText {
    fn view(&mut self) -> Option<PageFamilyView<'_>> {
        (self.len > 0).then_some(PageFamilyView {
            head: (self.id, self.head_version),
            head_len: self.head.len(),
            body: &mut self.body,
            extents: self.fresh.as_ref().map(FreshValues::extents),
            code: &mut self.code,
        })
    }
}
