//! The scraper: owns the layouts, with the values last shown, and the page.

use super::format::{ContentType, Escaping, Format};
use super::high_water::HighWater;
use super::layout::Layout;
use super::template::Dialect;
use crate::family::Source;
use crate::name;
use crate::registry::{Contents, Core, Registry, hooks};
use std::sync::Arc;

/// Turns a registry into pages, again and again.
///
/// Several scrapers of one registry do not disturb each other. While the registry
/// has the same series as at the previous scrape, a scrape takes no lock and,
/// once the buffers have grown, allocates nothing.
///
/// ```
/// # use stethoscope::{Registry, exposition::Format};
/// let registry = Registry::new();
/// let requests = registry.counter("requests_total", "Requests answered.")?;
/// requests.inc();
///
/// let mut scraper = registry.scraper();
/// let page = scraper.scrape(Format::OpenMetrics);
/// assert_eq!(
///     std::str::from_utf8(page).unwrap(),
///     "# TYPE requests counter\n# HELP requests Requests answered.\nrequests_total 1\n# EOF\n"
/// );
/// # Ok::<(), stethoscope::RegisterError>(())
/// ```
pub struct Scraper {
    core: Arc<Core>,
    contents: Contents,
    /// Counts how often `contents` was collected.
    generation: u64,
    /// By escaping, for text and for OpenMetrics. Made on first use: a registry
    /// that one server scrapes needs only one.
    layouts: [[Option<Layout>; 2]; 4],
    utf8_names: bool,
    /// The layout and the length of the page written last, if it was of all
    /// families.
    #[cfg(feature = "gzip")]
    last_page: Option<(Dialect, usize)>,
    rows: Vec<u64>,
    page: Vec<u8>,
    /// The latest lengths of `page`.
    page_lens: HighWater,
}

/// A layout is dropped after as many scrapes of others.
const MAX_IDLE: u32 = 16;

impl Registry {
    /// Makes a scraper of this registry.
    #[must_use]
    pub fn scraper(&self) -> Scraper {
        Scraper {
            core: Arc::clone(self.core()),
            contents: Contents::default(),
            generation: 0,
            layouts: [const { [const { None }; 2] }; 4],
            utf8_names: false,
            #[cfg(feature = "gzip")]
            last_page: None,
            rows: Vec::new(),
            page: Vec::new(),
            page_lens: HighWater::default(),
        }
    }
}

impl Scraper {
    /// Runs the hooks and writes a page of all families. The page is valid until
    /// the next scrape.
    pub fn scrape(&mut self, content_type: impl Into<ContentType>) -> &[u8] {
        let mut page = self.take_page();
        self.scrape_into(content_type, &mut page);
        self.page_lens.record(page.len());
        self.page = page;
        &self.page
    }

    /// Like [`scrape`](Self::scrape), but appends to a buffer of the caller, which
    /// need not be empty.
    pub fn scrape_into(&mut self, content_type: impl Into<ContentType>, page: &mut Vec<u8>) {
        self.scrape_only(content_type, |_| true, page);
    }

    /// Like [`scrape_into`](Self::scrape_into), but writes only the families for
    /// which `wanted` returns true, given their full names in the text format.
    pub fn scrape_only(
        &mut self,
        content_type: impl Into<ContentType>,
        mut wanted: impl FnMut(&str) -> bool,
        page: &mut Vec<u8>,
    ) {
        let ContentType { format, escaping } = content_type.into();
        #[cfg(feature = "gzip")]
        {
            self.last_page = None;
        }
        self.refresh();
        hooks::run(&self.contents.hooks);
        // A hook may have registered something.
        self.refresh();

        // Text 0.0.4 has no quotes around names.
        let escaping = match (self.utf8_names, format, escaping) {
            (false, _, _) | (_, Format::Text, Escaping::AllowUtf8) => Escaping::Underscores,
            (true, _, escaping) => escaping,
        };
        let dialect = Dialect {
            openmetrics: format == Format::OpenMetrics,
            escaping,
        };
        // A layout keeps series alive that the registry has removed since.
        for slot in self.layouts.as_flattened_mut() {
            if let Some(layout) = slot {
                layout.idle += 1;
                if layout.idle > MAX_IDLE {
                    *slot = None;
                }
            }
        }
        let slot = &mut self.layouts[escaping as usize][usize::from(dialect.openmetrics)];
        let layout = slot.get_or_insert_with(|| Layout::new(dialect));
        layout.idle = 0;
        layout.refresh(self.generation, &self.contents.families);
        let start = page.len();
        let mut whole = true;
        let mut wanted = |name: &str| {
            let wanted = wanted(name);
            whole &= wanted;
            wanted
        };
        layout.write(&mut wanted, &mut self.rows, page);
        #[cfg(feature = "gzip")]
        {
            self.last_page = whole.then_some((dialect, page.len() - start));
        }
        let _ = (whole, start);
    }

    /// Like [`scrape_into`](Self::scrape_into), but appends the page compressed: a
    /// complete gzip file of the size that zlib's level 6 makes.
    ///
    /// Compressing takes about as long as writing the page. What depends on names
    /// and labels is compressed once, when a series joins; the first compressed
    /// scrape of 100,000 lines takes some hundred milliseconds.
    ///
    /// ```
    /// # use stethoscope::{Registry, exposition::Format};
    /// let registry = Registry::new();
    /// registry.counter("requests_total", "Requests answered.")?.inc();
    ///
    /// let mut response = Vec::new();
    /// registry.scraper().scrape_gzip_into(Format::OpenMetrics, &mut response);
    /// assert!(response.starts_with(b"\x1f\x8b"));
    /// # Ok::<(), stethoscope::RegisterError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If the page is larger than 4 GiB.
    #[cfg(feature = "gzip")]
    pub fn scrape_gzip_into(&mut self, content_type: impl Into<ContentType>, into: &mut Vec<u8>) {
        let mut page = self.take_page();
        self.scrape_into(content_type, &mut page);
        self.page_lens.record(page.len());
        let compressed = self.compress_last_page(&page, into);
        self.page = page;
        assert!(compressed, "a page must be smaller than 4 GiB");
    }

    /// Appends the page written last, compressed. Returns false, and appends
    /// nothing, if `page` is not that page or not of all families.
    #[cfg(feature = "gzip")]
    pub(crate) fn compress_last_page(&mut self, page: &[u8], into: &mut Vec<u8>) -> bool {
        let Some((dialect, len)) = self.last_page else {
            return false;
        };
        let slot = &mut self.layouts[dialect.escaping as usize][usize::from(dialect.openmetrics)];
        match slot {
            Some(layout) if len == page.len() => layout.compress(page, into),
            _ => false,
        }
    }

    /// The full names of the families in the text format, and a number that
    /// changes when they do. No hook runs.
    #[cfg(all(feature = "http", target_os = "linux"))]
    pub(crate) fn families(&mut self) -> (u64, impl Iterator<Item = String>) {
        self.refresh();
        let sources = self.contents.families.iter();
        let names = sources.map(|source| source.descriptor().full_name());
        (self.generation, names)
    }

    /// Takes the page buffer, empty, unless it is much larger than the latest pages.
    fn take_page(&mut self) -> Vec<u8> {
        self.page_lens.trim(&mut self.page);
        let mut page = std::mem::take(&mut self.page);
        page.clear();
        page
    }

    /// Collects the families and hooks, if anything has changed.
    fn refresh(&mut self) {
        if self.contents.is_current() {
            return;
        }
        self.contents.collect(&self.core);
        self.utf8_names = self
            .contents
            .families
            .iter()
            .any(|source| !is_classic(source.as_ref()));
        self.generation += 1;
    }
}

/// Returns true if every reader understands every name of the family.
fn is_classic(source: &dyn Source) -> bool {
    let descriptor = source.descriptor();
    let consts = descriptor.const_labels.iter().map(|(label, _)| label);
    name::is_classic_metric_name(&descriptor.name)
        && consts
            .chain(&descriptor.label_names)
            .all(|label| name::is_classic_label_name(label))
}

impl std::fmt::Debug for Scraper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scraper")
            .field("families", &self.contents.families.len())
            .finish_non_exhaustive()
    }
}
