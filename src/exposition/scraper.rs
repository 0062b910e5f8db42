//! The scraper: owns the layouts, with the values last shown, and the page.

use super::format::{ContentType, Escaping, Format};
use super::layout::Layout;
use super::template::Dialect;
use crate::family::Source;
use crate::name;
use crate::registry::{Contents, Core, Hook, Registry};
use crate::sync::Ordering;
use std::collections::HashSet;
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
    /// The registry, and those that it includes.
    parts: Vec<Part>,
    /// Counts how often `sources` and `hooks` were taken over from them.
    generation: u64,
    sources: Vec<Arc<dyn Source>>,
    hooks: Vec<Hook>,
    /// By escaping, for text and for OpenMetrics. Made on first use: a registry
    /// that one server scrapes needs only one.
    layouts: [[Option<Layout>; 2]; 4],
    utf8_names: bool,
    rows: Vec<u64>,
    page: Vec<u8>,
}

struct Part {
    core: Arc<Core>,
    /// The registry's generation when its families and hooks were taken over.
    generation: u64,
}

impl Registry {
    /// Makes a scraper of this registry.
    #[must_use]
    pub fn scraper(&self) -> Scraper {
        Scraper {
            // A generation that no registry has: the first scrape takes
            // everything over.
            parts: vec![Part {
                core: Arc::clone(self.core()),
                generation: u64::MAX,
            }],
            generation: 0,
            sources: Vec::new(),
            hooks: Vec::new(),
            layouts: [const { [const { None }; 2] }; 4],
            utf8_names: false,
            rows: Vec::new(),
            page: Vec::new(),
        }
    }
}

impl Scraper {
    /// Runs the hooks and writes a page of all families. The page is valid until
    /// the next scrape.
    pub fn scrape(&mut self, content_type: impl Into<ContentType>) -> &[u8] {
        let mut page = std::mem::take(&mut self.page);
        page.clear();
        self.scrape_into(content_type, &mut page);
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
        self.refresh();
        for hook in &self.hooks {
            hook();
        }
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
        let slot = &mut self.layouts[escaping as usize][usize::from(dialect.openmetrics)];
        let layout = slot.get_or_insert_with(|| Layout::new(dialect));
        layout.refresh(self.generation, &self.sources);
        layout.write(&mut wanted, &mut self.rows, page);
    }

    /// Takes over the families and hooks, if anything has moved.
    fn refresh(&mut self) {
        if self.parts.iter().all(Part::is_current) {
            return;
        }
        let (own, contents) = Part::take(Arc::clone(&self.parts[0].core));
        self.parts.clear();
        self.parts.push(own);
        self.sources = contents.families;
        self.hooks = contents.hooks;
        if !contents.included.is_empty() {
            let mut claimed: HashSet<String> = claims(&self.sources).collect();
            for core in contents.included {
                let (part, mut contents) = Part::take(core);
                contents.families.retain(|family| {
                    let claims = family.descriptor().claims();
                    let is_new = !claims.iter().any(|name| claimed.contains(name));
                    if is_new {
                        claimed.extend(claims);
                    }
                    is_new
                });
                self.parts.push(part);
                self.sources.append(&mut contents.families);
                self.hooks.append(&mut contents.hooks);
            }
        }
        self.utf8_names = self
            .sources
            .iter()
            .any(|source| !is_classic(source.as_ref()));
        self.generation += 1;
    }
}

impl Part {
    fn is_current(&self) -> bool {
        // Acquire: pairs with the Release of the thread that changed it, so that
        // the families' own generations are seen at least as new.
        self.core.shared.generation.load(Ordering::Acquire) == self.generation
    }

    /// Returns the contents of a registry, and the part that they belong to. They
    /// are at least as new as its generation.
    fn take(core: Arc<Core>) -> (Self, Contents) {
        // Acquire: as above.
        let generation = core.shared.generation.load(Ordering::Acquire);
        let contents = core.contents();
        (Self { core, generation }, contents)
    }
}

/// Returns every name that these families need on a page.
fn claims(families: &[Arc<dyn Source>]) -> impl Iterator<Item = String> {
    families
        .iter()
        .flat_map(|family| family.descriptor().claims())
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
            .field("families", &self.sources.len())
            .finish_non_exhaustive()
    }
}
