//! Who scrapes: owns the layout, the value cache and the page.

use super::exemplars;
use super::format::{ContentType, Escaping, Format};
use super::layout::{Dialect, FamilyLines};
use super::number::SCRATCH;
use super::writer;
use crate::family::Source;
use crate::name;
use crate::registry::{Contents, Core, Hook, Registry};
use crate::sync::Ordering;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The last line of a page in OpenMetrics.
const END: &[u8] = b"# EOF\n";

/// Turns a registry into pages, again and again.
///
/// Owned by whoever serves; several scrapers of one registry do not disturb
/// each other. A scrape whose registry has the same series as at the scrape
/// before takes no lock and, once the buffers have grown, allocates nothing.
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
    /// By escaping, for text and for OpenMetrics. Made when first asked for: a
    /// registry that one server scrapes needs but one.
    layouts: [[Option<Layout>; 2]; 4],
    utf8_names: bool,
    rows: Vec<u64>,
    page: Vec<u8>,
}

struct Part {
    core: Arc<Core>,
    /// Of the registry, when its families and hooks were taken over.
    generation: u64,
}

#[derive(Default)]
struct Layout {
    /// Of the scraper, when the layout was brought up to date.
    generation: u64,
    families: Vec<FamilyLines>,
    /// Bytes that a page takes at most.
    room: usize,
}

impl Registry {
    /// A scraper of this registry.
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

    /// Like [`scrape`](Self::scrape), but appends to a buffer of the caller's,
    /// which need not be empty.
    pub fn scrape_into(&mut self, content_type: impl Into<ContentType>, page: &mut Vec<u8>) {
        self.scrape_only(content_type, |_| true, page);
    }

    /// Like [`scrape_into`](Self::scrape_into), but of the families for which
    /// `wanted` is true, asked with the full name in the text format.
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
        let openmetrics = format == Format::OpenMetrics;
        let layout =
            self.layouts[escaping as usize][usize::from(openmetrics)].get_or_insert_default();
        if layout.generation != self.generation {
            let dialect = Dialect {
                openmetrics,
                escaping,
            };
            layout.update(&self.sources, dialect);
            layout.generation = self.generation;
        }
        page.reserve(layout.room + SCRATCH);
        for family in &mut layout.families {
            if !wanted(&family.full_name) {
                continue;
            }
            match family.exemplars {
                false => writer::write_family(family, &mut self.rows, page),
                true => exemplars::write_family(family, &mut self.rows, page),
            }
        }
        if openmetrics {
            page.extend_from_slice(END);
        }
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
        // Acquire: pairs with the Release of whoever moved it, so that the
        // families' own generations are seen at least as new.
        self.core.shared.generation.load(Ordering::Acquire) == self.generation
    }

    /// What a registry holds, which is at least as new as the generation.
    fn take(core: Arc<Core>) -> (Self, Contents) {
        // Acquire: as above.
        let generation = core.shared.generation.load(Ordering::Acquire);
        let contents = core.contents();
        (Self { core, generation }, contents)
    }
}

/// Every name that these families need on a page.
fn claims(families: &[Arc<dyn Source>]) -> impl Iterator<Item = String> {
    families
        .iter()
        .flat_map(|family| family.descriptor().claims())
}

/// Whether every name of the family is one that each reader takes.
fn is_classic(source: &dyn Source) -> bool {
    let descriptor = source.descriptor();
    let consts = descriptor.const_labels.iter().map(|(label, _)| label);
    name::is_classic_metric_name(&descriptor.name)
        && consts
            .chain(&descriptor.label_names)
            .all(|label| name::is_classic_label_name(label))
}

impl Layout {
    /// Lays out what is new, drops what is gone, keeps the rest as it is.
    fn update(&mut self, sources: &[Arc<dyn Source>], dialect: Dialect) {
        let same = self.families.len() == sources.len()
            && self
                .families
                .iter()
                .zip(sources)
                .all(|(old, new)| Arc::ptr_eq(&old.source, new));
        if !same {
            let address = |source: &Arc<dyn Source>| Arc::as_ptr(source).cast::<()>();
            let old = std::mem::take(&mut self.families).into_iter();
            let mut old: HashMap<_, _> = old
                .map(|family| (address(&family.source), family))
                .collect();
            let bare = bare_names(sources, dialect.escaping);
            for (source, bare) in sources.iter().zip(bare) {
                let mut family = old
                    .remove(&address(source))
                    .unwrap_or_else(|| FamilyLines::new(Arc::clone(source), dialect, bare));
                family.set_head(bare);
                self.families.push(family);
            }
        }
        self.room = END.len();
        for family in &mut self.families {
            family.refresh();
            self.room += family.room();
        }
    }
}

/// For each family: whether OpenMetrics may call it by its name without
/// `_total` or `_info`. It may not where another family has a name that it
/// would keep there.
fn bare_names(sources: &[Arc<dyn Source>], escaping: Escaping) -> Vec<bool> {
    let names = |needed| {
        sources
            .iter()
            .map(move |source| source.descriptor().names(escaping, needed))
    };
    let mut taken: HashSet<String> = names(true).flatten().collect();
    names(false)
        .map(|kept| {
            let kept: Vec<String> = kept.collect();
            let free = !kept.iter().any(|name| taken.contains(name));
            if free {
                taken.extend(kept);
            }
            free
        })
        .collect()
}
