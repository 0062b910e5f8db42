//! The queue of scrapes: from requests for pages to pages.
//!
//! Scrapes wait here while values are refreshed. Then each turn of the event loop
//! makes a bounded number of pages, pages of all families first, and one page
//! serves every scrape that asks for the same at that moment. So a scraper of the
//! whole page does not wait for clients that ask for many different selections.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::connections::ConnectionId;
use super::handle::HandleState;
use super::handlers::{Refresh, RefreshDone};
use super::page_pool::{PageId, PagePool};
use crate::Scraper;
use crate::cell::Histogram;
use crate::endpoint::error_response::ErrorResponse;
use crate::endpoint::gzip::{Compressor, GzipBuffers};
use crate::endpoint::route::RequestedPage;
use crate::endpoint::selection::{Selection, escaped_names};
use crate::sync::Ordering;
use crate::{Handle, Registry};

/// The longest wait for fresh values, whatever the host asks for: a scrape that is
/// too late is lost, and a page with old values is not.
const MAX_REFRESH_TIME: Duration = Duration::from_secs(5);
/// Pages of all families that one turn makes: one for each format.
const WHOLE_PAGES_IN_A_TURN: usize = 3;
/// Pages of chosen families that one turn makes.
const SELECTED_PAGES_IN_A_TURN: usize = 1;
/// Turns for which pages wait while requests wait to be read. A page may take as
/// long as a thousand small requests: without this, a request that waits after
/// many others would wait for a page with each few of them.
const MAX_DEFERRED_TURNS: u32 = 32;

/// A request for a page.
struct Scrape {
    connection: ConnectionId,
    page: RequestedPage,
    /// The families that the selection has, when they were last looked up.
    selected: Option<SelectedFamilies>,
    /// True if the values are fresh enough for it.
    is_ready: bool,
}

/// A page, and the connections to send it to.
pub(super) struct Batch {
    pub(super) requested: RequestedPage,
    /// The caller is a holder of the page, and whether it is compressed.
    pub(super) page: Result<(PageId, bool), ErrorResponse>,
    /// To be given back with [`ScrapeQueue::recycle`].
    pub(super) connections: Vec<ConnectionId>,
}

/// The scrapes that wait for their pages.
pub(super) struct ScrapeQueue {
    queue: Vec<Scrape>,
    refresher: Refresher,
    renderer: Renderer,
    families: FamilyIndex,
    /// An empty list, for the next batch.
    spare: Vec<ConnectionId>,
    whole_pages_left: usize,
    selected_pages_left: usize,
    /// Turns since the last one that made pages.
    deferred_turns: u32,
}

impl ScrapeQueue {
    pub(super) fn new(
        registry: &Registry,
        refresh: Option<Box<dyn Refresh>>,
        shared: Arc<HandleState>,
        compressor: Option<Compressor>,
        page_seconds: Handle<Histogram>,
    ) -> Self {
        Self {
            queue: Vec::new(),
            refresher: Refresher::new(refresh, shared),
            renderer: Renderer::new(registry.scraper(), compressor, page_seconds),
            families: FamilyIndex::default(),
            spare: Vec::new(),
            whole_pages_left: 0,
            selected_pages_left: 0,
            deferred_turns: 0,
        }
    }

    /// Adds a scrape. Its connection is to be sent a page in a later turn.
    pub(super) fn push(&mut self, connection: ConnectionId, mut page: RequestedPage) {
        page.gzip &= self.may_gzip();
        self.queue.push(Scrape {
            connection,
            page,
            selected: None,
            is_ready: false,
        });
    }

    /// Removes the scrape of a connection that is gone.
    pub(super) fn cancel(&mut self, connection: ConnectionId) {
        self.queue.retain(|scrape| scrape.connection != connection);
    }

    /// Returns true if pages are compressed for clients that ask for it.
    pub(super) fn may_gzip(&self) -> bool {
        self.renderer.compressor.is_some()
    }

    pub(super) fn pool(&self) -> &PagePool {
        &self.renderer.pool
    }

    pub(super) fn pool_mut(&mut self) -> &mut PagePool {
        &mut self.renderer.pool
    }

    /// The end of the wait for fresh values.
    pub(super) fn refresh_deadline(&self) -> Option<Instant> {
        self.refresher.wait.as_ref().map(|wait| wait.until)
    }

    /// Returns true if scrapes are left for the next turn.
    pub(super) fn has_ready(&self) -> bool {
        self.queue.iter().any(|scrape| scrape.is_ready)
    }

    /// Serves the scrapes that wait with the values at hand, and never refreshes
    /// again.
    pub(super) fn stop_refreshing(&mut self) {
        self.refresher.refresh = None;
        self.refresher.wait = None;
    }

    /// Begins a turn of the event loop. Returns whether there are pages to make
    /// now: if other requests wait to be read, pages are left for a later turn.
    pub(super) fn begin_turn(&mut self, now: Instant, requests_wait: bool) -> bool {
        self.whole_pages_left = WHOLE_PAGES_IN_A_TURN;
        self.selected_pages_left = SELECTED_PAGES_IN_A_TURN;
        if self.queue.iter().any(|scrape| !scrape.is_ready) && !self.refresher.is_waiting(now) {
            self.queue
                .iter_mut()
                .for_each(|scrape| scrape.is_ready = true);
        }
        if !self.has_ready() {
            return false;
        }
        if requests_wait && self.deferred_turns < MAX_DEFERRED_TURNS {
            self.deferred_turns += 1;
            return false;
        }
        self.deferred_turns = 0;
        true
    }

    /// Makes the next page of this turn, if one is left to make.
    pub(super) fn next_batch(&mut self) -> Option<Batch> {
        let next = self.next_to_serve()?;
        let is_whole = self.queue[next].page.selection.is_all();
        if is_whole {
            self.whole_pages_left -= 1;
        } else {
            self.selected_pages_left -= 1;
            self.look_up_families();
        }
        let first = self.queue.remove(next);
        let mut connections = std::mem::take(&mut self.spare);
        connections.push(first.connection);
        self.queue.retain(|scrape| {
            let shares = scrape.is_ready && scrape.has_same_page_as(&first);
            if shares {
                connections.push(scrape.connection);
            }
            !shares
        });
        Some(Batch {
            page: self.renderer.render(&first.page),
            requested: first.page,
            connections,
        })
    }

    /// The first scrape of a whole page, or else the first of chosen families.
    fn next_to_serve(&self) -> Option<usize> {
        let first = |is_whole: bool| {
            let scrapes = self.queue.iter();
            scrapes
                .enumerate()
                .find(|(_, s)| s.is_ready && s.page.selection.is_all() == is_whole)
                .map(|(at, _)| at)
        };
        let whole = first(true).filter(|_| self.whole_pages_left > 0);
        whole.or_else(|| first(false).filter(|_| self.selected_pages_left > 0))
    }

    fn look_up_families(&mut self) {
        self.families.refresh(&mut self.renderer.scraper);
        for scrape in &mut self.queue {
            let is_current =
                |selected: &SelectedFamilies| selected.generation == self.families.generation;
            let is_selection = scrape.is_ready && !scrape.page.selection.is_all();
            if is_selection && !scrape.selected.as_ref().is_some_and(is_current) {
                scrape.selected = Some(self.families.look_up(&scrape.page.selection));
            }
        }
    }

    /// Takes back the list of a batch.
    pub(super) fn recycle(&mut self, mut connections: Vec<ConnectionId>) {
        connections.clear();
        self.spare = connections;
    }
}

impl Scrape {
    fn has_same_page_as(&self, other: &Self) -> bool {
        let same_families = self.page.selection == other.page.selection
            || self.selected.is_some() && self.selected == other.selected;
        self.page.resource == other.page.resource
            && self.page.gzip == other.page.gzip
            && same_families
    }
}

/// The families of a selection, so that two selections can be compared by what
/// they have.
#[derive(Debug, PartialEq, Eq)]
struct SelectedFamilies {
    generation: u64,
    /// Places on the page, ascending.
    families: Vec<u32>,
}

/// The places of families on the page, by the full names that pages show.
#[derive(Default)]
struct FamilyIndex {
    /// The scraper's generation when the index was made.
    generation: u64,
    places: HashMap<String, SmallVec<[u32; 1]>>,
    name: String,
}

impl FamilyIndex {
    fn refresh(&mut self, scraper: &mut Scraper) {
        let (generation, families) = scraper.families();
        if generation != self.generation {
            self.generation = generation;
            self.places.clear();
            for (full_name, place) in families.zip(0..) {
                for escaped in escaped_names(&full_name) {
                    self.places.entry(escaped).or_default().push(place);
                }
                self.places.entry(full_name).or_default().push(place);
            }
        }
    }

    fn look_up(&mut self, selection: &Selection) -> SelectedFamilies {
        let mut families = Vec::new();
        for (stem, suffix) in selection.candidates() {
            self.name.clear();
            self.name.push_str(stem);
            self.name.push_str(suffix);
            families.extend(self.places.get(&self.name).into_iter().flatten());
        }
        families.sort_unstable();
        families.dedup();
        SelectedFamilies {
            generation: self.generation,
            families,
        }
    }
}

/// Asks the host for fresh values, and waits for them.
struct Refresher {
    refresh: Option<Box<dyn Refresh>>,
    shared: Arc<HandleState>,
    wait: Option<PendingSample>,
    /// The number of the latest request.
    requests: u64,
}

/// A wait for fresh values.
struct PendingSample {
    request: u64,
    until: Instant,
}

impl Refresher {
    fn new(refresh: Option<Box<dyn Refresh>>, shared: Arc<HandleState>) -> Self {
        Self {
            refresh,
            shared,
            wait: None,
            requests: 0,
        }
    }

    /// Asks for fresh values, unless a request is under way. Returns whether
    /// scrapes have to wait.
    fn is_waiting(&mut self, now: Instant) -> bool {
        if self.wait.is_none() {
            self.wait = self.request(now);
        }
        // Acquire: pairs with the Release in `RefreshDone::notify`.
        let done = self.shared.fresh.load(Ordering::Acquire);
        self.wait
            .take_if(|wait| done >= wait.request || now >= wait.until);
        self.wait.is_some()
    }

    fn request(&mut self, now: Instant) -> Option<PendingSample> {
        let refresh = self.refresh.as_mut()?;
        self.requests += 1;
        let done = RefreshDone::new(&self.shared, self.requests);
        // A refresh that panics leaves the values as they are.
        let time = catch_unwind(AssertUnwindSafe(|| refresh.refresh(done))).ok()??;
        Some(PendingSample {
            request: self.requests,
            until: now + time.min(MAX_REFRESH_TIME),
        })
    }
}

/// Makes pages.
struct Renderer {
    scraper: Scraper,
    pool: PagePool,
    compressor: Option<Compressor>,
    scratch: GzipBuffers,
    page_seconds: Handle<Histogram>,
}

impl Renderer {
    fn new(
        scraper: Scraper,
        compressor: Option<Compressor>,
        page_seconds: Handle<Histogram>,
    ) -> Self {
        Self {
            scraper,
            pool: PagePool::default(),
            compressor,
            scratch: GzipBuffers::default(),
            page_seconds,
        }
    }

    /// Makes a page, of which the caller is a holder. Returns whether it is
    /// compressed.
    fn render(&mut self, requested: &RequestedPage) -> Result<(PageId, bool), ErrorResponse> {
        let begun = Instant::now();
        let Self {
            scraper,
            pool,
            compressor,
            scratch,
            ..
        } = self;
        let page = pool.take();
        let into = pool.bytes_mut(page);
        // A panic comes from a hook of the host's: it costs this page, not the
        // endpoint, and the scraper's state is brought up to date by the next
        // scrape.
        let written = catch_unwind(AssertUnwindSafe(|| match compressor {
            Some(compressor) if requested.gzip => {
                compressor.write(requested, scraper, scratch, into)
            }
            _ => {
                requested.write(scraper, &mut scratch.text, into);
                false
            }
        }));
        scratch.trim();
        let Ok(gzipped) = written else {
            pool.release(page);
            return Err(ErrorResponse::Panicked);
        };
        self.page_seconds.observe(begun.elapsed().as_secs_f64());
        Ok((page, gzipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::Buckets;
    use crate::endpoint::paths::{METRICS_PATH, Method};
    use crate::endpoint::route::Resource;
    use crate::exposition::{Format, Offer};
    use crate::sync::{AtomicBool, AtomicU64};

    struct Fixture {
        queue: ScrapeQueue,
        shared: Arc<HandleState>,
        /// The queue's waker is registered with it.
        _poll: mio::Poll,
        next_connection: usize,
    }

    /// A queue for families `f0` to `f99`.
    fn fixture(refresh: Option<Box<dyn Refresh>>) -> Fixture {
        let registry = Registry::new();
        for n in 0..100 {
            registry.gauge(&format!("f{n}"), "A family.").unwrap();
        }
        let seconds = Registry::new().histogram("h", "Seconds.", Buckets::default());
        let poll = mio::Poll::new().unwrap();
        let shared = Arc::new(HandleState {
            waker: mio::Waker::new(poll.registry(), mio::Token(0)).unwrap(),
            closing: AtomicBool::new(false),
            fresh: AtomicU64::new(0),
        });
        let queue = ScrapeQueue::new(
            &registry,
            refresh,
            Arc::clone(&shared),
            None,
            seconds.unwrap(),
        );
        Fixture {
            queue,
            shared,
            _poll: poll,
            next_connection: 0,
        }
    }

    impl Fixture {
        /// Adds a scrape, and returns its number.
        fn push(&mut self, query: &str) -> usize {
            let (accept, encoding) = (std::iter::once(""), std::iter::once(""));
            let offer = Offer::new();
            let page =
                RequestedPage::route(Method::Get, METRICS_PATH, query, accept, encoding, offer);
            let number = self.next_connection;
            self.next_connection += 1;
            let token = mio::Token(1 << (usize::BITS / 2) | number);
            let connection = ConnectionId::from_token(token).unwrap();
            self.queue.push(connection, page.unwrap());
            number
        }

        /// The numbers of the scrapes that a turn serves, page by page.
        fn turn(&mut self) -> Vec<Vec<usize>> {
            let mut pages = Vec::new();
            if self.queue.begin_turn(Instant::now(), false) {
                while let Some(batch) = self.queue.next_batch() {
                    let (page, _) = batch.page.unwrap();
                    self.queue.pool_mut().release(page);
                    let number = |id: &ConnectionId| id.token().0 & 0xffff;
                    pages.push(batch.connections.iter().map(number).collect());
                    self.queue.recycle(batch.connections);
                }
            }
            pages
        }
    }

    #[test]
    fn turn_makes_whole_pages_first_and_a_bounded_number() {
        let mut fixture = fixture(None);
        for n in 0..50 {
            fixture.push(&format!("name[]=f{n}"));
        }
        let whole = fixture.push("");
        assert_eq!(fixture.turn(), [vec![whole], vec![0]]);
        let whole = [fixture.push(""), fixture.push("")];
        assert_eq!(fixture.turn(), [whole.to_vec(), vec![1]]);
        for n in 2..50 {
            assert!(fixture.queue.has_ready());
            assert_eq!(fixture.turn(), [[n]]);
        }
        assert!(!fixture.queue.has_ready());
        assert_eq!(fixture.turn(), Vec::<Vec<usize>>::new());
    }

    #[test]
    fn selections_of_the_same_families_share_a_page() {
        let mut fixture = fixture(None);
        fixture.push("name[]=f1&name[]=f2");
        for n in 0..40 {
            // Names that do not exist select nothing.
            fixture.push(&format!("name[]=unknown{n}&name[]=f2&name[]=f1_sum"));
            fixture.push(&format!("name[]=unknown{n}"));
        }
        let turns = [fixture.turn(), fixture.turn()].concat();
        assert_eq!(turns.iter().map(Vec::len).collect::<Vec<_>>(), [41, 40]);
        assert!(!fixture.queue.has_ready());
    }

    #[test]
    fn selection_of_a_family_that_is_new_is_looked_up_again() {
        let mut fixture = fixture(None);
        let registry = Registry::new();
        fixture.queue.renderer.scraper = registry.scraper();
        for name in ["late", "other"] {
            fixture.push(&format!("name[]={name}"));
        }
        assert_eq!(fixture.turn(), [[0, 1]], "neither exists");
        registry.gauge("late", "Registered late.").unwrap();
        for name in ["late", "other"] {
            fixture.push(&format!("name[]={name}"));
        }
        assert_eq!(fixture.turn(), [[2]]);
        assert_eq!(fixture.turn(), [[3]]);
    }

    #[test]
    fn names_in_any_escaping_share_the_page_of_their_family() {
        let mut fixture = fixture(None);
        let registry = Registry::new().with_utf8_names();
        fixture.queue.renderer.scraper = registry.scraper();
        registry.counter("shop.items", "Items.").unwrap();
        registry.counter("shop.other", "Others.").unwrap();
        for name in [
            "shop.items_total",
            "shop_items_total",
            "shop_other_total",
            "shop_dot_items",
            "U__shop_2e_other_total",
        ] {
            fixture.push(&format!("name[]={name}"));
        }
        assert_eq!(fixture.turn(), [[0, 1, 3]]);
        assert_eq!(fixture.turn(), [[2, 4]]);
    }

    /// Has every scrape wait for its refresh.
    struct WaitForRefresh;

    impl Refresh for WaitForRefresh {
        fn refresh(&mut self, _: RefreshDone) -> Option<Duration> {
            Some(Duration::from_secs(3600))
        }
    }

    #[test]
    fn scrape_that_is_left_for_the_next_turn_does_not_wait_again() {
        let mut fixture = fixture(Some(Box::new(WaitForRefresh)));
        fixture.push("name[]=f1");
        fixture.push("name[]=f2");
        assert_eq!(fixture.turn(), Vec::<Vec<usize>>::new());
        RefreshDone::new(&fixture.shared, 1).notify();
        assert_eq!(fixture.turn(), [[0]]);
        fixture.push("name[]=f1");
        assert_eq!(fixture.turn(), [[1]], "the new one waits");
        assert!(fixture.queue.refresh_deadline().is_some() && !fixture.queue.has_ready());
        fixture.queue.stop_refreshing();
        assert_eq!(fixture.turn(), [[2]]);
    }

    #[test]
    fn memory_of_large_pages_is_given_back() {
        let mut fixture = fixture(None);
        let registry = Registry::new();
        fixture.queue.renderer.scraper = registry.scraper();
        let family = registry.gauge_family("large", "Gauges.", ["n"]).unwrap();
        for n in 0..1000 {
            family.with([format!("{n:02000}").as_str()]).unwrap();
        }
        let html = |fixture: &mut Fixture| {
            let page = RequestedPage {
                resource: Resource::Html,
                selection: Selection::default(),
                gzip: false,
            };
            let token = mio::Token(1 << (usize::BITS / 2));
            let connection = ConnectionId::from_token(token).unwrap();
            fixture.queue.push(connection, page);
            fixture.turn();
        };
        html(&mut fixture);
        registry.unregister("large");
        (0..100).for_each(|_| html(&mut fixture));
        assert!(fixture.queue.renderer.scratch.capacity() < 100_000);
        let page = fixture.queue.pool_mut().take();
        assert!(fixture.queue.pool_mut().bytes_mut(page).capacity() < 100_000);
    }

    #[test]
    fn pages_wait_for_requests_to_be_read_but_not_for_ever() {
        let mut fixture = fixture(None);
        fixture.push("");
        let now = Instant::now();
        for _ in 0..2 {
            for _ in 0..MAX_DEFERRED_TURNS {
                assert!(!fixture.queue.begin_turn(now, true));
            }
            assert!(fixture.queue.begin_turn(now, true));
        }
        assert!(fixture.queue.begin_turn(now, false));
    }

    #[test]
    fn cancelled_scrape_makes_no_page() {
        let mut fixture = fixture(None);
        fixture.push("name[]=f1");
        fixture.push("name[]=f2");
        let first = fixture.queue.queue[0].connection;
        fixture.queue.cancel(first);
        assert_eq!(fixture.turn(), [[1]]);
        assert!(fixture.queue.queue.is_empty());
    }

    #[test]
    fn format_is_part_of_the_page() {
        let mut fixture = fixture(None);
        for format in [
            Format::Text,
            Format::OpenMetrics,
            Format::Text,
            Format::Text1,
        ] {
            let page = RequestedPage {
                resource: Resource::Metrics(format.into()),
                selection: Selection::default(),
                gzip: false,
            };
            let token = mio::Token(1 << (usize::BITS / 2) | fixture.next_connection);
            fixture.next_connection += 1;
            let connection = ConnectionId::from_token(token).unwrap();
            fixture.queue.push(connection, page);
        }
        assert_eq!(fixture.turn(), [vec![0, 2], vec![1], vec![3]]);
    }
}
