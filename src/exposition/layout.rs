//! The families of a page compiled to text for one dialect: everything but the
//! values is ready. What depends on names and labels is rendered and escaped
//! once, when a series joins.

use super::body::Body;
use super::exemplars;
use super::format::Escaping;
#[cfg(feature = "gzip")]
use super::gzip::{Family, FamilyCode, FamilyView, PageCompressor};
use super::number::BUF_LEN;
use super::template::{self, Dialect, Template};
use super::writer::push;
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
    /// Bytes that a page takes at most, exemplars aside.
    max_len: usize,
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

impl Layout {
    /// An empty layout.
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            generation: None,
            families: Vec::new(),
            #[cfg(feature = "gzip")]
            families_made: 0,
            max_len: 0,
            idle: 0,
            #[cfg(feature = "gzip")]
            compressor: None,
            #[cfg(feature = "gzip")]
            uncompressed: 0,
        }
    }

    /// Brings the layout up to date: `generation` counts the changes to the
    /// families and their members, which are `sources` now.
    pub(super) fn refresh(&mut self, generation: u64, sources: &[Arc<dyn Source>]) {
        if self.generation == Some(generation) {
            return;
        }
        let pairs = self.families.iter().zip(sources);
        let same = self.families.len() == sources.len() && { pairs }
            .all(|(family, source)| Arc::ptr_eq(&family.source, source));
        if !same {
            self.take_over(sources);
        }
        self.max_len = END.len();
        for family in &mut self.families {
            family.refresh();
            self.max_len += family.max_len();
        }
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

    /// Appends a page of the families that are wanted, given their full names.
    /// `rows` is scratch space.
    pub(super) fn write(
        &mut self,
        wanted: &mut dyn FnMut(&str) -> bool,
        rows: &mut Vec<u64>,
        page: &mut Vec<u8>,
    ) {
        #[cfg(feature = "gzip")]
        self.drop_idle_compressor();
        page.reserve(self.max_len + BUF_LEN);
        for family in &mut self.families {
            if wanted(&family.full_name) {
                family.write(rows, page);
            }
        }
        page.extend_from_slice(self.end());
    }

    /// Gives the memory of the compression back if no page has been compressed
    /// lately.
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
        if self.dialect.openmetrics { END } else { b"" }
    }

    /// Appends a page compressed, which must be the one written last, of all
    /// families. Returns false, and appends nothing, if it is not.
    #[cfg(feature = "gzip")]
    pub(super) fn compress(&mut self, page: &[u8], into: &mut Vec<u8>) -> bool {
        self.uncompressed = 0;
        let end = self.end();
        let compressor = self
            .compressor
            .get_or_insert_with(|| Box::new(PageCompressor::new()));
        compressor.compress(&mut self.families, end, page, into)
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
    /// The lines of a series end with `_created`.
    created: bool,
    /// Lines may have exemplars.
    exemplars: bool,
    /// The lengths of the values written last, with exemplars, if there may be
    /// some.
    extents: Vec<u32>,
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
            created: false,
            exemplars: false,
            extents: Vec::new(),
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

    /// Bytes of the page that the family takes at most, exemplars aside.
    fn max_len(&self) -> usize {
        self.head.len() + self.body.max_len()
    }

    /// Renders the metadata.
    fn set_head(&mut self, base_name: bool) {
        let head = template::head(self.source.as_ref(), self.dialect, base_name);
        #[cfg(feature = "gzip")]
        if self.head != head {
            self.head_version += 1;
        }
        self.head = head;
        // A counter that must be of unknown type may have neither exemplars nor
        // the time of its creation.
        let typed = self.dialect.openmetrics && base_name;
        self.exemplars = typed && self.source.exemplars() > 0;
        let descriptor = self.source.descriptor();
        let created = typed && descriptor.created && !self.dialect.shows_as_gauge(descriptor);
        if created != self.created {
            self.created = created;
            self.rebuild();
        }
    }

    /// Takes over what has changed in the family.
    fn refresh(&mut self) {
        match self.series.refresh() {
            Change::None => {}
            Change::Appended => self.append_new(),
            Change::Rebuilt => self.rebuild(),
        }
    }

    /// Lays out all series.
    #[cold]
    fn rebuild(&mut self) {
        #[cfg(feature = "gzip")]
        {
            self.code = FamilyCode::default();
        }
        self.body.clear();
        self.append_series();
        self.body.shrink();
        self.body.reserve();
    }

    /// Lays out the series that are new.
    fn append_new(&mut self) {
        self.append_series();
        self.body.reserve();
    }

    fn append_series(&mut self) {
        let mut labels = Vec::new();
        let mut created = Vec::new();
        self.body.begin_append();
        for series in self.body.len()..self.series.len() {
            labels.clear();
            labels.extend_from_slice(&self.const_labels);
            let source = self.source.as_ref();
            let values = self.series.labels(series);
            template::push_labels(source, &self.label_names, values, &mut labels);
            if self.created {
                created.clear();
                let time = self.series.created(series);
                let escaping = self.dialect.escaping;
                template::push_created(source, escaping, &labels, time, &mut created);
            }
            self.body.push_series(&self.templates, &labels, &created);
        }
        self.body.finish_append();
    }

    /// Appends the family to a page: its metadata and the lines of each series,
    /// or nothing if it has no series. `rows` is scratch space.
    fn write(&mut self, rows: &mut Vec<u64>, page: &mut Vec<u8>) {
        if self.series.len() == 0 {
            return;
        }
        if self.body.is_torn() {
            self.rebuild();
        }
        push(&self.head, page);
        let series = self.series.as_ref();
        match self.exemplars {
            false => self.body.write(series, &self.templates, rows, page),
            true => {
                let extents = &mut self.extents;
                exemplars::write(&self.body, series, &self.templates, rows, extents, page);
            }
        }
    }
}

#[cfg(feature = "gzip")]
impl Family for FamilyText {
    fn view(&mut self) -> Option<FamilyView<'_>> {
        (self.series.len() > 0).then_some(FamilyView {
            head: (self.id, self.head_version),
            head_len: self.head.len(),
            body: &mut self.body,
            extents: self.exemplars.then_some(&*self.extents),
            code: &mut self.code,
        })
    }
}
