//! From the requests of a turn to pages: waiting for fresh values, and one
//! page for all who ask for the same at the same moment.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::Phase;
use super::event_loop::EventLoop;
use super::hand_off::{Freshness, Notifier};
use super::meters::Dropped;
use super::page_pool::{PageId, PagePool};
use super::response::{HeadWriter, Refusal, Status};
use super::slots::Key;
use super::wanted::Wanted;
use crate::Scraper;
use crate::sync::Ordering;

/// The longest that scrapes wait for fresh values, whatever they are told: a
/// scrape that is late is lost, and its page is not.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Pages that are held for a moment while answers are made, beside those held
/// for clients that are behind.
const WORKING_PAGES: usize = 1;

pub(super) struct Scrapes {
    scraper: Scraper,
    pool: PagePool,
    freshness: Option<Arc<dyn Freshness>>,
    /// Who waits for a page, in the order in which they asked.
    wanting: Vec<Key>,
    wait: Option<Wait>,
    /// The number of the latest request for fresh values.
    requests: u64,
}

/// A wait for fresh values.
struct Wait {
    request: u64,
    until: Instant,
}

impl Scrapes {
    pub(super) fn new(
        scraper: Scraper,
        freshness: Option<Arc<dyn Freshness>>,
        pages: usize,
    ) -> Self {
        Self {
            scraper,
            pool: PagePool::new(pages.max(1) + WORKING_PAGES),
            freshness,
            wanting: Vec::new(),
            wait: None,
            requests: 0,
        }
    }

    pub(super) fn pool(&self) -> &PagePool {
        &self.pool
    }

    pub(super) fn release(&mut self, page: PageId) {
        self.pool.release(page);
    }

    pub(super) fn want(&mut self, key: Key) {
        self.wanting.push(key);
    }

    /// When the scrapes that wait for fresh values are served without.
    pub(super) fn waiting_until(&self) -> Option<Instant> {
        self.wait.as_ref().map(|wait| wait.until)
    }

    /// Serves what waits as it is, and asks for nothing fresh any more.
    pub(super) fn stop_waiting(&mut self) {
        self.wait = None;
        self.freshness = None;
    }
}

impl EventLoop {
    /// Makes the pages that are wanted, unless they are to wait.
    pub(super) fn serve(&mut self, now: Instant) {
        if self.scrapes.wanting.is_empty() || self.must_wait(now) {
            return;
        }
        self.date.refresh();
        let mut wanting = std::mem::take(&mut self.scrapes.wanting);
        for at in 0..wanting.len() {
            let Some(wanted) = self
                .slots
                .get_mut(wanting[at])
                .and_then(|c| c.wanted.clone())
            else {
                // It has had its page with an earlier one, or is gone.
                continue;
            };
            match self.make_page(&wanted) {
                Ok(page) => {
                    for &key in &wanting[at..] {
                        self.send_page(key, &wanted, page);
                    }
                    self.scrapes.release(page);
                }
                Err(refusal) => {
                    if let Some(connection) = self.slots.get_mut(wanting[at]) {
                        connection.wanted = None;
                        self.answer_no(wanting[at], refusal, !wanted.head_only, Instant::now());
                    }
                }
            }
        }
        wanting.clear();
        // Nobody was added meanwhile: requests are read before this only.
        self.scrapes.wanting = wanting;
    }

    /// Whether the scrapes are to wait (longer) for fresh values.
    fn must_wait(&mut self, now: Instant) -> bool {
        let scrapes = &mut self.scrapes;
        if scrapes.wait.is_none() {
            let Some(freshness) = &scrapes.freshness else {
                return false;
            };
            scrapes.requests += 1;
            let notifier = Notifier::new(&self.shared, scrapes.requests);
            let Some(longest) = freshness.request(notifier) else {
                return false;
            };
            scrapes.wait = Some(Wait {
                request: scrapes.requests,
                until: now + longest.min(LONGEST_WAIT),
            });
        }
        // Acquire: pairs with the Release of Notifier::ready.
        let fresh = self.shared.fresh.load(Ordering::Acquire);
        let waits = |wait: &Wait| fresh < wait.request && now < wait.until;
        if scrapes.wait.as_ref().is_some_and(waits) {
            return true;
        }
        scrapes.wait = None;
        false
    }

    /// A page, of which we are a holder.
    fn make_page(&mut self, wanted: &Wanted) -> Result<PageId, Refusal> {
        let page = match self.scrapes.pool.take() {
            Some(page) => page,
            None => self.free_page().ok_or(Refusal::Busy)?,
        };
        let Scrapes { scraper, pool, .. } = &mut self.scrapes;
        let into = pool.bytes_mut(page);
        // A hook of the host's may panic; that is no reason to go silent for
        // good. Half a page is thrown away, and a hook runs anew each time.
        let scraped = catch_unwind(AssertUnwindSafe(|| {
            scraper.scrape_only(
                wanted.content_type,
                |family| wanted.selection.has(family),
                into,
            );
        }));
        if scraped.is_err() {
            pool.release(page);
            return Err(Refusal::Panicked);
        }
        Ok(page)
    }

    /// Takes the page whose readers are behind for longest from them.
    fn free_page(&mut self) -> Option<PageId> {
        let readers = |slots: &super::slots::Slots| {
            slots
                .iter()
                .filter(|(_, connection)| connection.phase() == Phase::Writing)
                .filter_map(|(key, connection)| Some((connection.page()?, connection.since(), key)))
                .collect::<Vec<_>>()
        };
        let readers = readers(&self.slots);
        let last_progress = |page: PageId| {
            let its_readers = readers.iter().filter(|(other, ..)| *other == page);
            its_readers.map(|(_, since, _)| *since).max()
        };
        let (slowest, ..) = readers
            .iter()
            .min_by_key(|(page, ..)| last_progress(*page))?;
        for (page, _, key) in &readers {
            if page == slowest {
                self.meters.dropped(Dropped::Pages);
                self.cut(*key);
            }
        }
        self.scrapes.pool.take()
    }

    /// Sends the page to a connection that wants just this one.
    fn send_page(&mut self, key: Key, made_for: &Wanted, page: PageId) {
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        let head_only = match &connection.wanted {
            Some(wanted) if wanted.same_page(made_for) => wanted.head_only,
            _ => return,
        };
        connection.wanted = None;
        connection.head.clear();
        let after = connection.after;
        let mut head = HeadWriter::begin(&mut connection.head, Status::OK, &self.date, after);
        head.field("Content-Type", made_for.content_type.header());
        head.field("Cache-Control", "no-store");
        head.field("Vary", "Accept");
        head.end(self.scrapes.pool.bytes(page).len());

        let now = Instant::now();
        let body = (!head_only).then_some(page);
        if let Some(page) = body {
            self.scrapes.pool.hold(page);
        }
        connection.send(body, now, self.limits.write_time);
        self.meters.responded(Status::OK);
        self.note_deadline(now + self.limits.write_time);
        self.write(key, now);
    }
}
