//! From the requests of a turn to pages: waiting for fresh values, and one
//! page for all who ask for the same at the same moment.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connections::Key;
use super::event_loop::EventLoop;
use super::gzip::{Compressor, Kept};
use super::hand_off::{Freshness, Notifier};
use super::page_pool::{PageId, PagePool};
use super::response::{HeadWriter, Refusal, Status};
use super::route::{Shown, Wanted};
use super::self_metrics::Dropped;
use crate::Scraper;
use crate::sync::Ordering;

/// The longest that scrapes wait for fresh values, whatever they are told: a
/// scrape that is late is lost, and its page is not.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

pub(super) struct Scrapes {
    scraper: Scraper,
    pool: PagePool,
    compressor: Option<Compressor>,
    kept: Kept,
    /// What HTML is made of.
    scratch: Vec<u8>,
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
        compressor: Option<Compressor>,
    ) -> Self {
        Self {
            scraper,
            pool: PagePool::default(),
            compressor,
            kept: Kept::default(),
            scratch: Vec::new(),
            freshness,
            wanting: Vec::new(),
            wait: None,
            requests: 0,
        }
    }

    pub(super) fn pool(&self) -> &PagePool {
        &self.pool
    }

    /// One reader of the page less.
    pub(super) fn release(&mut self, page: PageId) {
        self.pool.release_by_reader(page);
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
                Ok(plain) => self.send_all(&wanting[at..], &wanted, plain),
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
            // One that panics has nothing fresh.
            let asked = catch_unwind(AssertUnwindSafe(|| freshness.request(notifier)));
            let Some(longest) = asked.ok().flatten() else {
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

    /// A page as it is wanted, of which we are a holder.
    fn make_page(&mut self, wanted: &Wanted) -> Result<PageId, Refusal> {
        let Scrapes {
            scraper,
            pool,
            scratch,
            ..
        } = &mut self.scrapes;
        let page = pool.take();
        let begun = Instant::now();
        let into = pool.bytes_mut(page);
        // A hook of the host's may panic; that is no reason to go silent for
        // good. Half a page is thrown away, and a hook runs anew each time.
        let made = catch_unwind(AssertUnwindSafe(|| wanted.write(scraper, scratch, into)));
        if made.is_err() {
            pool.release(page);
            return Err(Refusal::Panicked);
        }
        self.meters
            .page_seconds
            .observe(begun.elapsed().as_secs_f64());
        Ok(page)
    }

    /// The page compressed, of which we are a holder. `None` where pages are not
    /// compressed.
    fn make_gzip(&mut self, wanted: &Wanted, plain: PageId) -> Option<PageId> {
        let Scrapes {
            pool,
            compressor,
            kept,
            ..
        } = &mut self.scrapes;
        let compressor = compressor.as_mut()?;
        let kept_for = match &wanted.shown {
            Shown::Metrics(content_type) if wanted.selection.is_all() => Some(*content_type),
            _ => None,
        };
        let unchanged = kept_for.and_then(|content_type| kept.find(content_type, plain, pool));
        if let Some(gzip) = unchanged {
            pool.hold(gzip);
            return Some(gzip);
        }
        let gzip = pool.take();
        let (from, into) = pool.read_and_write(plain, gzip);
        compressor.compress(from, into);
        if let Some(content_type) = kept_for {
            kept.keep(content_type, plain, gzip, pool);
        }
        Some(gzip)
    }

    /// Sends a page to each connection that wants just this one. We are its
    /// holder no more.
    fn send_all(&mut self, wanting: &[Key], made_for: &Wanted, plain: PageId) {
        let mut gzip = None;
        for &key in wanting {
            let connection = self.slots.get_mut(key);
            let Some(wanted) = connection.and_then(|c| c.wanted.take_if(|w| w.same_page(made_for)))
            else {
                continue;
            };
            let compress = self.scrapes.compressor.is_some()
                && wanted.is_worth_gzip(self.scrapes.pool.bytes(plain));
            if compress && gzip.is_none() {
                gzip = self.make_gzip(&wanted, plain);
            }
            let compressed = if compress { gzip } else { None };
            self.send_page(
                key,
                &wanted,
                compressed.unwrap_or(plain),
                compressed.is_some(),
            );
        }
        self.scrapes.pool.release(plain);
        if let Some(gzip) = gzip {
            self.scrapes.pool.release(gzip);
        }
    }

    fn send_page(&mut self, key: Key, wanted: &Wanted, page: PageId, gzipped: bool) {
        let write_time = self.write_time();
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        connection.head.clear();
        let after = connection.after;
        let mut head = HeadWriter::begin(&mut connection.head, Status::OK, &self.date, after);
        for (name, value) in wanted.headers(gzipped, self.scrapes.compressor.is_some()) {
            head.field(name, value);
        }
        head.end(self.scrapes.pool.bytes(page).len());

        let now = Instant::now();
        let body = (!wanted.head_only).then_some(page);
        if let Some(page) = body {
            self.scrapes.pool.hold_for_reader(page);
        }
        connection.send(body, now, now + write_time);
        self.meters.responded(Status::OK);
        self.note_deadline(now + write_time);
        self.write(key, now);
        while self.scrapes.pool.with_readers() > self.limits.pages {
            self.cut_slowest_readers();
        }
    }

    /// Ends the connections that send the page whose readers have made no
    /// progress for longest.
    fn cut_slowest_readers(&mut self) {
        let readers: Vec<(PageId, Instant, Key)> = self
            .slots
            .iter()
            .filter_map(|(key, connection)| Some((connection.page()?, connection.since(), key)))
            .collect();
        let last_progress = |page: PageId| {
            let its_readers = readers.iter().filter(|(other, ..)| *other == page);
            its_readers.map(|(_, since, _)| *since).max()
        };
        let slowest = readers
            .iter()
            .map(|(page, ..)| *page)
            .min_by_key(|page| last_progress(*page));
        for (page, _, key) in &readers {
            if Some(*page) == slowest {
                self.meters.dropped(Dropped::Pages);
                self.cut(*key);
            }
        }
    }
}
