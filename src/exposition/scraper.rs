//! The scraper: owns the layouts, each with its page and the values last shown.

use super::format::{ContentType, Escaping, Format};
#[cfg(feature = "gzip")]
use super::gzip;
use super::layout::Layout;
use super::protobuf;
use super::template::{Dialect, Version};
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
    /// One for each dialect that was asked for recently: mostly one in all.
    layouts: Vec<Layout>,
    protobuf: protobuf::ProtobufPages,
    utf8_names: bool,
    rows: Vec<u64>,
    is_lean: bool,
    /// The page that a lean scraper has returned.
    lean_page: Vec<u8>,
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
            layouts: Vec::new(),
            protobuf: protobuf::ProtobufPages::default(),
            utf8_names: false,
            rows: Vec::new(),
            is_lean: false,
            lean_page: Vec::new(),
        }
    }
}

impl Scraper {
    /// Sets whether the scraper keeps nothing from one scrape to the next. It keeps the
    /// text of the lines unless set.
    ///
    /// A lean scraper takes as much memory as any during a scrape, and none afterwards:
    /// the buffer of the caller, or the page that [`scrape`](Self::scrape) has returned,
    /// is all that is left. It renders every line at every scrape, which allocates, and
    /// takes four to five times as long, plain or compressed.
    ///
    /// ```
    /// # use stethoscope::{Registry, exposition::Format};
    /// let registry = Registry::new();
    /// registry.counter("requests_total", "Requests answered.")?.inc();
    ///
    /// let mut page = Vec::new();
    /// registry.scraper().lean(true).scrape_into(Format::Text, &mut page);
    /// assert!(page.ends_with(b"requests_total 1\n"));
    /// # Ok::<(), stethoscope::RegisterError>(())
    /// ```
    #[must_use]
    pub fn lean(mut self, lean: bool) -> Self {
        self.is_lean = lean;
        self
    }

    /// Runs the hooks and writes a page of all families. The page is valid until
    /// the next scrape.
    pub fn scrape(&mut self, content_type: impl Into<ContentType>) -> &[u8] {
        let content_type = content_type.into();
        if self.is_lean {
            self.lean_page = Vec::new();
            self.lean_page = self.scrape_lean(content_type);
            return &self.lean_page;
        }
        if content_type.format == Format::Protobuf {
            return self.scrape_protobuf(content_type);
        }
        self.write(content_type, &mut |_| true).0.page()
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
        let content_type = content_type.into();
        if content_type.format == Format::Protobuf {
            self.write_protobuf(content_type, &mut wanted, page);
            self.forget_if_lean();
            return;
        }
        let is_lean = self.is_lean;
        let (layout, all) = self.write(content_type, &mut wanted);
        match all {
            // Without a second page, not even for a moment.
            true if is_lean && page.capacity() == 0 => *page = layout.take_page(),
            true => page.extend_from_slice(layout.page()),
            false => layout.push_wanted(page),
        }
        self.forget_if_lean();
    }

    /// Runs the hooks and returns a page of all families, of which nothing is kept.
    fn scrape_lean(&mut self, content_type: ContentType) -> Vec<u8> {
        let mut page = Vec::new();
        self.scrape_into(content_type, &mut page);
        page
    }

    /// Gives back all memory of pages.
    fn forget_if_lean(&mut self) {
        if self.is_lean {
            self.layouts = Default::default();
            self.protobuf = protobuf::ProtobufPages::default();
            self.rows = Vec::new();
        }
    }

    /// Runs the hooks and brings those families of a text page up to date that are
    /// wanted. Returns the layout with the page, and true if they are all.
    fn write(
        &mut self,
        content_type: ContentType,
        wanted: &mut dyn FnMut(&str) -> bool,
    ) -> (&mut Layout, bool) {
        let escaping = self.begin(content_type);
        let dialect = Dialect {
            version: match content_type.format {
                Format::OpenMetrics => Version::OpenMetrics1,
                Format::OpenMetrics2 => Version::OpenMetrics2,
                Format::Text | Format::Text1 | Format::Protobuf => Version::Text,
            },
            escaping,
        };
        let known = { self.layouts.iter() }.position(|layout| layout.dialect() == dialect);
        let index = known.unwrap_or(self.layouts.len());
        if known.is_none() {
            self.layouts.push(Layout::new(dialect));
        }
        let layout = &mut self.layouts[index];
        layout.idle = 0;
        layout.refresh(self.generation, &self.contents.families);
        let all = layout.write(wanted, &mut self.rows);
        (layout, all)
    }

    /// Runs the hooks and appends a protobuf page of the families that are wanted.
    fn write_protobuf(
        &mut self,
        content_type: ContentType,
        wanted: &mut dyn FnMut(&str) -> bool,
        page: &mut Vec<u8>,
    ) {
        let escaping = self.begin(content_type);
        let registry = protobuf::RegistryFamilies {
            generation: self.generation,
            sources: &self.contents.families,
        };
        let rows = &mut self.rows;
        self.protobuf.write(escaping, registry, wanted, rows, page);
    }

    /// Runs the hooks and writes a protobuf page of all families.
    fn scrape_protobuf(&mut self, content_type: ContentType) -> &[u8] {
        let escaping = self.begin(content_type);
        let registry = protobuf::RegistryFamilies {
            generation: self.generation,
            sources: &self.contents.families,
        };
        self.protobuf.scrape(escaping, registry, &mut self.rows)
    }

    /// Runs the hooks, collects the families, and drops layouts that are no longer
    /// used. Returns the escaping that the page has.
    fn begin(&mut self, content_type: ContentType) -> Escaping {
        self.refresh();
        hooks::run(&self.contents.hooks);
        // A hook may have registered something.
        self.refresh();
        // A layout keeps series alive that the registry has removed since.
        self.layouts.retain_mut(|layout| !is_old(&mut layout.idle));
        self.protobuf.drop_idle(MAX_IDLE);
        // Text 0.0.4 has no quotes around names.
        match (self.utf8_names, content_type.format, content_type.escaping) {
            (false, _, _) | (_, Format::Text, Escaping::AllowUtf8) => Escaping::Underscores,
            (true, _, escaping) => escaping,
        }
    }

    /// Like [`scrape_into`](Self::scrape_into), but appends the page compressed: a
    /// complete gzip file. That of a text page has the size that zlib's level 6 makes;
    /// protobuf is compressed by libdeflate's cheapest level.
    ///
    /// Compressing takes about as long as writing a text page. What depends on names
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
    /// If a text page is larger than 4 GiB.
    #[cfg(feature = "gzip")]
    pub fn scrape_gzip_into(&mut self, content_type: impl Into<ContentType>, into: &mut Vec<u8>) {
        let content_type = content_type.into();
        if content_type.format == Format::Protobuf {
            self.scrape_protobuf(content_type);
            self.protobuf.compress(into);
            self.forget_if_lean();
            return;
        }
        if self.is_lean {
            let page = self.scrape_lean(content_type);
            // Lines that are coded one by one pay only if their codes are used again.
            gzip::compress_plainly(&mut None, &page, into);
            return;
        }
        let (layout, _) = self.write(content_type, &mut |_| true);
        let compressed = layout.compress(into);
        assert!(compressed, "a page must be smaller than 4 GiB");
    }

    /// Like [`scrape_gzip_into`](Self::scrape_gzip_into), but leaves a page of up to
    /// `len` bytes, or of more than 4 GiB, uncompressed. Returns true if it is
    /// compressed.
    #[cfg(feature = "gzip")]
    pub(crate) fn scrape_gzip_above(
        &mut self,
        len: usize,
        content_type: ContentType,
        into: &mut Vec<u8>,
    ) -> bool {
        if content_type.format == Format::Protobuf {
            let page = self.scrape_protobuf(content_type);
            let compressed = page.len() > len;
            match compressed {
                true => self.protobuf.compress(into),
                false => into.extend_from_slice(page),
            }
            self.forget_if_lean();
            return compressed;
        }
        if self.is_lean {
            let page = self.scrape_lean(content_type);
            let compressed = page.len() > len;
            match compressed {
                true => gzip::compress_plainly(&mut None, &page, into),
                false => into.extend_from_slice(&page),
            }
            return compressed;
        }
        let (layout, _) = self.write(content_type, &mut |_| true);
        let compressed = layout.page().len() > len && layout.compress(into);
        if !compressed {
            into.extend_from_slice(layout.page());
        }
        compressed
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

/// Counts a scrape of another layout; returns true if there were too many.
fn is_old(idle: &mut u32) -> bool {
    *idle += 1;
    *idle > MAX_IDLE
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
