//! The event loop: poll, serve ready connections, make pages, expire timeouts.
//!
//! A turn waits for events, sends more of the responses that have room, reads a
//! bounded number of requests, accepts new connections, and then makes pages, so
//! that a page is always made after the last request that it answers. Work that
//! would go on for longer, like many requests of one client, or of many clients at
//! once, is interrupted and resumed in the next turn.
//!
//! The parts do the work: [`Acceptor`], [`Connections`], [`ScrapeQueue`] and
//! [`HandOver`]. The loop passes connections from one to the other.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use super::accept::{Accepted, Acceptor};
use super::answer::{Answer, answer};
use super::connection::{Phase, ReadOutcome, Sent};
use super::connections::{Admission, ConnectionId, Connections};
use super::document::Document;
use super::hand_over::{HandOver, HandedOver};
use super::handle::HandleState;
use super::handlers::Pages;
use super::limits::{Limits, RETRY, max_descriptors};
use super::listening_socket::ListeningSocket;
use super::page_pool::PageId;
use super::request::{self, HeaderSpace, Request};
use super::response::{self, Date, Disposition, HeadWriter};
use super::scrapes::{Batch, ScrapeQueue};
use super::self_metrics::{DropReason, SelfMetrics};
use crate::endpoint::error_response::{ErrorResponse, Status};
use crate::endpoint::gzip::known_len;
use crate::endpoint::paths::Method;
use crate::endpoint::route::RequestedPage;
use crate::exposition::Offer;
use crate::sync::Ordering;

pub(super) const WAKER: Token = Token(0);
const FIRST_LISTENER: usize = 1;

/// Events taken from the kernel in one turn.
const EVENTS: usize = 256;
/// Connections that are resumed in one turn. Small requests of many clients would
/// otherwise delay the large responses of others.
const RESUMED_IN_A_TURN: usize = 16;
/// Writes to one connection before others have their turn.
const WRITES_IN_A_TURN: usize = 16;
/// The time for which a client may go on sending after its last response.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_READS_IN_A_TURN: usize = 16;
/// The time that clients have to read their responses after a shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);
/// The pause in accepting when the process is short of file descriptors.
const DESCRIPTOR_PAUSE: Duration = Duration::from_millis(100);
/// Connections that are accepted however few file descriptors there may be.
const MIN_CONNECTIONS: usize = 16;

/// The event loop of an endpoint, and its parts.
pub(super) struct EventLoop {
    poll: Poll,
    shared: Arc<HandleState>,
    limits: Limits,
    metrics: SelfMetrics,
    acceptor: Acceptor,
    connections: Connections,
    scrapes: ScrapeQueue,
    documents: Vec<Document>,
    offer: Offer,
    pages: Option<Box<dyn Pages>>,
    hand_over: Option<HandOver>,
    date: Date,
    /// Bytes that are received; as long as a request's head may be.
    scratch: Vec<u8>,
    /// A list for connections that are ended together.
    ending: Vec<ConnectionId>,
    /// The time to make pages again, if readers hold as many as they may.
    pages_retry: Option<Instant>,
    is_closing: bool,
}

impl EventLoop {
    #[expect(clippy::too_many_arguments, reason = "one for each part")]
    pub(super) fn new(
        poll: Poll,
        shared: Arc<HandleState>,
        listeners: Vec<ListeningSocket>,
        limits: Limits,
        metrics: SelfMetrics,
        scrapes: ScrapeQueue,
        documents: Vec<Document>,
        pages: Option<Box<dyn Pages>>,
        hand_over: Option<HandOver>,
    ) -> io::Result<Self> {
        Ok(Self {
            acceptor: Acceptor::new(listeners, poll.registry(), FIRST_LISTENER)?,
            poll,
            shared,
            scratch: vec![0; limits.header_bytes],
            limits,
            metrics,
            connections: Connections::default(),
            scrapes,
            documents,
            offer: Offer::new(),
            pages,
            hand_over,
            date: Date::now(),
            ending: Vec::new(),
            pages_retry: None,
            is_closing: false,
        })
    }

    /// Sets the formats that scrapers are offered.
    pub(super) fn with_offer(self, offer: Offer) -> Self {
        Self { offer, ..self }
    }

    /// Runs until it is shut down and the last connection has ended.
    ///
    /// # Errors
    /// The poll's.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            match self.poll.poll(&mut events, self.timeout(Instant::now())) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            let now = Instant::now();
            events.iter().for_each(|event| self.handle(event, now));
            // Those that are resumed again have to wait for the next turn.
            for _ in 0..self.connections.to_resume().min(RESUMED_IN_A_TURN) {
                if let Some(id) = self.connections.next_to_resume() {
                    self.advance(id, now);
                }
            }
            self.hand_over_waiting(now);
            self.accept(now);
            // Acquire: pairs with the Release in `Endpoint::shutdown`.
            if !self.is_closing && self.shared.closing.load(Ordering::Acquire) {
                self.close_down(now);
            }
            self.serve_scrapes(now);
            self.expire(now);
            if self.is_closing && self.connections.len() == 0 {
                return Ok(());
            }
        }
    }

    /// The longest time to wait for events.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        if self.connections.to_resume() > 0 {
            return Some(Duration::ZERO);
        }
        let pages = self
            .scrapes
            .has_ready()
            .then_some(self.pages_retry.unwrap_or(now));
        let hand_over = self.hand_over.as_ref().and_then(HandOver::next_time);
        [
            self.connections.next_deadline(),
            self.acceptor.next_time(now),
            self.scrapes.refresh_deadline(),
            pages,
            hand_over,
        ]
        .into_iter()
        .flatten()
        .min()
        .map(|until| until.saturating_duration_since(now))
    }

    fn handle(&mut self, event: &mio::event::Event, now: Instant) {
        let token = event.token();
        let Some(id) = ConnectionId::from_token(token) else {
            if token != WAKER {
                self.acceptor.note_event(token.0 - FIRST_LISTENER);
            }
            return;
        };
        if let Some(connection) = self.connections.get_mut(id) {
            connection.note_event(event.is_readable(), event.is_read_closed());
            match connection.phase() {
                // Its client is gone: it needs no page.
                Phase::Waiting if event.is_write_closed() => self.close(id),
                Phase::Writing => self.write(id, now),
                _ => self.connections.resume_later(id),
            }
        }
    }

    /// Takes a connection as far as it can go now.
    fn advance(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        match connection.phase() {
            Phase::Idle | Phase::Reading => self.read(id, now),
            Phase::Writing => self.write(id, now),
            Phase::Lingering => self.linger(id),
            // Its client may have sent more, which is read after the response.
            Phase::Waiting | Phase::HandingOver => {}
        }
    }

    fn read(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let has_handler = self.hand_over.is_some();
        let read = connection.read(&mut self.scratch, &self.documents, has_handler);
        match read {
            Ok(ReadOutcome::Head(len)) => self.accept_request(id, len, now),
            Ok(ReadOutcome::Incomplete { begun }) => self.wait_for_head(id, begun, now),
            Ok(ReadOutcome::Theirs) if has_handler => self.hand_over(id, now),
            Ok(ReadOutcome::Theirs | ReadOutcome::Closed) => self.close(id),
            Ok(ReadOutcome::Interrupted) => self.connections.resume_later(id),
            Err(error) => self.refuse(id, error, now),
        }
    }

    /// Starts the time for a request's head to arrive.
    fn wait_for_head(&mut self, id: ConnectionId, begun: bool, now: Instant) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if begun && connection.phase() == Phase::Idle {
            // The first request's time runs from the connection on.
            let since = match connection.was_answered() {
                true => now,
                false => connection.since(),
            };
            let deadline = Some(since + self.limits.header_time);
            self.connections.enter(id, Phase::Reading, since, deadline);
        }
    }

    /// Routes the request whose head is at the front of the input.
    fn accept_request(&mut self, id: ConnectionId, len: usize, now: Instant) {
        let has_room = self.pages.is_none() || self.has_room_for_a_page(now);
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let head = connection.head_mut(len);
        request::normalize_version(head);
        let mut space = HeaderSpace::new();
        let request = match Request::parse(head, &mut space) {
            Ok(request) => request,
            Err(error) => return self.refuse(id, error, now),
        };
        let disposition = match request.keep_alive && !self.is_closing {
            true => Disposition::KeepAlive {
                is_http_1_0: request.is_http_1_0,
            },
            false => Disposition::Close,
        };
        let method = request.method;
        let page = route(&request, &self.documents, self.offer);
        if let (Err(ErrorResponse::NotFound), Some(pages)) = (&page, &mut self.pages)
            && method != Method::Other
        {
            let answer = match has_room {
                true => answer(pages.as_mut(), self.scrapes.pool_mut(), &request),
                false => Err(ErrorResponse::Busy),
            };
            connection.accept_request(len, disposition, now);
            return match answer {
                Ok(answer) => self.send_answer(id, answer, method, now),
                Err(error) => self.send_error(id, error, method != Method::Head, now),
            };
        }
        connection.accept_request(len, disposition, now);
        match page {
            Ok(page) if method == Method::Head => self.send_headers(id, &page, now),
            Ok(page) => {
                self.connections.enter(id, Phase::Waiting, now, None);
                self.scrapes.push(id, page);
            }
            Err(error) => self.send_error(id, error, method != Method::Head, now),
        }
    }

    /// Hands a connection over to the host, or leaves it waiting.
    fn hand_over(&mut self, id: ConnectionId, now: Instant) {
        let Some(hand_over) = &mut self.hand_over else {
            return;
        };
        if hand_over.is_full() {
            hand_over.wait(id, now + RETRY);
            self.connections.enter(id, Phase::HandingOver, now, None);
            return;
        }
        let Some(socket) = self.take(id) else { return };
        let handed_over = match &mut self.hand_over {
            Some(hand_over) => hand_over.hand_over(socket),
            None => return,
        };
        match handed_over {
            HandedOver::Taken => self.metrics.handed_over.inc(),
            HandedOver::Lost => self.metrics.dropped(DropReason::HandOff),
            HandedOver::Refused(socket) => {
                self.metrics.dropped(DropReason::HandOff);
                self.send_last_error(&socket, ErrorResponse::HandlerBusy);
            }
        }
    }

    /// Sends an error on a connection that is closed afterwards. An empty send
    /// buffer has room for it; otherwise the client goes without.
    fn send_last_error(&mut self, socket: &OwnedFd, error: ErrorResponse) {
        self.date.refresh();
        self.metrics.responded(error.status());
        let mut response = Vec::new();
        response::write_error(&mut response, error, &self.date, Disposition::Close, true);
        let _ = rustix::net::send(socket, &response, rustix::net::SendFlags::NOSIGNAL);
    }

    /// Hands over connections that waited for the host.
    fn hand_over_waiting(&mut self, now: Instant) {
        while let Some(id) = self.hand_over.as_mut().and_then(|h| h.next_waiting(now)) {
            if self.connections.get_mut(id).is_some() {
                self.hand_over(id, now);
            }
        }
    }

    fn accept(&mut self, now: Instant) {
        self.acceptor.begin_turn(now);
        if self.acceptor.next_time(now).is_none() {
            return;
        }
        if self.hand_over.as_mut().is_some_and(HandOver::is_full) {
            self.acceptor.pause(now, RETRY);
        }
        loop {
            let (limit, reason) = self.connection_limit();
            let admission = self.connections.admission(limit, now);
            if admission == Admission::Later {
                return;
            }
            match self.acceptor.accept() {
                Accepted::Connection(socket) => self.admit(socket, admission, reason, now),
                Accepted::None => return,
                // To try again at once, if no connection can be spared, would take
                // the whole processor for nothing.
                Accepted::Exhausted => {
                    if !self.evict(DropReason::Descriptors, now) {
                        self.acceptor.pause(now, DESCRIPTOR_PAUSE);
                    }
                }
            }
        }
    }

    /// The number of connections at once, and the reason for ending others.
    fn connection_limit(&self) -> (usize, DropReason) {
        let descriptors = max_descriptors().max(MIN_CONNECTIONS);
        match descriptors < self.limits.connections {
            true => (descriptors, DropReason::Descriptors),
            false => (self.limits.connections, DropReason::Connections),
        }
    }

    /// Takes in a connection, to serve it or to refuse it. `reason` is the one for
    /// ending others.
    fn admit(&mut self, socket: OwnedFd, admission: Admission, reason: DropReason, now: Instant) {
        self.metrics.accepted.inc();
        if let Admission::Serve { evictions } | Admission::Refuse { evictions } = admission {
            for _ in 0..evictions {
                self.evict(reason, now);
            }
        }
        let id = self.connections.insert(socket, now);
        self.metrics.connections.set(self.connections.len() as i64);
        let deadline = Some(now + self.limits.header_time);
        self.connections.enter(id, Phase::Idle, now, deadline);
        let connection = self.connections.get_mut(id).expect("it was just inserted");
        if connection
            .register(self.poll.registry(), id.token())
            .is_err()
        {
            self.metrics.dropped(DropReason::Descriptors);
            self.close(id);
        } else if let Admission::Refuse { .. } = admission {
            self.metrics.dropped(reason);
            self.refuse(id, ErrorResponse::Busy, now);
        }
    }

    /// Ends the connection whose loss matters least. Returns false if there is
    /// none that may be ended.
    fn evict(&mut self, reason: DropReason, now: Instant) -> bool {
        let Some(id) = self.connections.eviction_candidate(now) else {
            return false;
        };
        self.metrics.dropped(reason);
        self.abort(id);
        true
    }

    /// Sends an error response after which the connection ends.
    fn refuse(&mut self, id: ConnectionId, error: ErrorResponse, now: Instant) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.close_after_response();
            self.send_error(id, error, true, now);
        }
    }

    fn send_error(&mut self, id: ConnectionId, error: ErrorResponse, body: bool, now: Instant) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        self.date.refresh();
        self.metrics.responded(error.status());
        let disposition = connection.disposition();
        let head = connection.head_buffer();
        response::write_error(head, error, &self.date, disposition, body);
        connection.begin_response(None, now);
        self.begin_writing(id, now);
    }

    /// Sends a page of the host's.
    fn send_answer(&mut self, id: ConnectionId, answer: Answer, method: Method, now: Instant) {
        self.date.refresh();
        let page = answer.page;
        let len = self.scrapes.pool().bytes(page).len();
        let body = (method != Method::Head).then_some(page);
        let headers = answer.headers.into_iter().flatten();
        self.respond(id, answer.status, headers, Some(len), body, now);
        self.scrapes.pool_mut().release(page);
    }

    /// Responds to a `HEAD` request, for which no page is made.
    fn send_headers(&mut self, id: ConnectionId, page: &RequestedPage, now: Instant) {
        self.date.refresh();
        let headers = page.headers(false, self.scrapes.may_gzip());
        self.respond(id, Status::OK, headers, known_len(page), None, now);
    }

    /// Begins a response. `len` is the length of its body, if it is known, and `body`
    /// the page that is sent, if any.
    fn respond(
        &mut self,
        id: ConnectionId,
        status: Status,
        headers: impl Iterator<Item = (&'static str, &'static str)>,
        len: Option<usize>,
        body: Option<PageId>,
        now: Instant,
    ) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let disposition = connection.disposition();
        let head = connection.head_buffer();
        let mut head = HeadWriter::begin(head, status, &self.date, disposition);
        for (name, value) in headers {
            head.field(name, value);
        }
        match len {
            Some(len) => head.end(len),
            None => head.end_without_length(),
        }
        connection.begin_response(body, now);
        if let Some(page) = body {
            self.scrapes.pool_mut().hold_for_reader(page);
        }
        self.metrics.responded(status);
        self.begin_writing(id, now);
    }

    /// Makes pages and sends them.
    fn serve_scrapes(&mut self, now: Instant) {
        self.pages_retry = None;
        let requests_wait = self.connections.to_resume() > 0;
        if !self.scrapes.begin_turn(now, requests_wait) {
            return;
        }
        self.date.refresh();
        loop {
            // Reading the clock again: making pages may have taken some time.
            let now = Instant::now();
            if !self.has_room_for_a_page(now) {
                self.pages_retry = Some(now + RETRY);
                return;
            }
            let Some(batch) = self.scrapes.next_batch() else {
                return;
            };
            self.send_batch(batch);
        }
    }

    /// Makes room for another page with readers, if need be by resetting those of the
    /// page that is read most slowly, once they had their time. Returns false if there is
    /// none.
    fn has_room_for_a_page(&mut self, now: Instant) -> bool {
        if self.scrapes.pool().pages_with_readers() < self.limits.pages {
            return true;
        }
        let mut slowest = std::mem::take(&mut self.ending);
        self.connections.slowest_readers(now, &mut slowest);
        let found = !slowest.is_empty();
        for id in slowest.drain(..) {
            self.metrics.dropped(DropReason::Pages);
            self.abort(id);
        }
        self.ending = slowest;
        found
    }

    /// Sends a page to each connection that asked for it.
    fn send_batch(&mut self, batch: Batch) {
        let now = Instant::now();
        for &id in &batch.connections {
            match batch.page {
                Ok((page, gzipped)) => {
                    let len = self.scrapes.pool().bytes(page).len();
                    let headers = batch.requested.headers(gzipped, self.scrapes.may_gzip());
                    self.respond(id, Status::OK, headers, Some(len), Some(page), now);
                }
                Err(error) => self.send_error(id, error, true, now),
            }
        }
        if let Ok((page, _)) = batch.page {
            self.scrapes.pool_mut().release(page);
        }
        self.scrapes.recycle(batch.connections);
    }

    fn begin_writing(&mut self, id: ConnectionId, now: Instant) {
        let write_time = match self.is_closing {
            true => SHUTDOWN_GRACE,
            false => self.limits.write_time,
        };
        let deadline = Some(now + write_time);
        self.connections.enter(id, Phase::Writing, now, deadline);
        self.write(id, now);
    }

    fn write(&mut self, id: ConnectionId, now: Instant) {
        for _ in 0..WRITES_IN_A_TURN {
            let Some(connection) = self.connections.get_mut(id) else {
                return;
            };
            match connection.flush(self.scrapes.pool(), now) {
                Ok(Sent::All(sent)) => {
                    self.metrics.sent.inc_by(sent as u64);
                    return self.finish_response(id, now);
                }
                Ok(Sent::Some(sent)) => self.metrics.sent.inc_by(sent as u64),
                Ok(Sent::Blocked) => return,
                Err(_) => return self.close(id),
            }
        }
        self.connections.resume_later(id);
    }

    /// Goes on after a response is sent.
    fn finish_response(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if let (Some(page), time) = connection.finish_response() {
            self.metrics.response_seconds.observe(time.as_secs_f64());
            self.scrapes.pool_mut().release_by_reader(page);
        }
        let is_kept = matches!(connection.disposition(), Disposition::KeepAlive { .. });
        if is_kept && !self.is_closing {
            let has_more = connection.has_more();
            let deadline = Some(now + self.limits.idle_time);
            self.connections.enter(id, Phase::Idle, now, deadline);
            if has_more {
                self.connections.resume_later(id);
            }
            return;
        }
        connection.finish_sending();
        let deadline = Some(now + LINGER);
        self.connections.enter(id, Phase::Lingering, now, deadline);
        self.linger(id);
        if self.is_closing {
            self.close(id);
        }
    }

    /// Throws away what still comes, until the client closes the connection.
    fn linger(&mut self, id: ConnectionId) {
        for _ in 0..LINGER_READS_IN_A_TURN {
            let Some(connection) = self.connections.get_mut(id) else {
                return;
            };
            match connection.receive(&mut self.scratch) {
                Ok(0) => return self.close(id),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.close(id),
            }
        }
        self.connections.resume_later(id);
    }

    /// Ends connections whose time is over.
    fn expire(&mut self, now: Instant) {
        let mut expired = std::mem::take(&mut self.ending);
        self.connections.expired(now, &mut expired);
        for id in expired.drain(..) {
            self.end_expired(id, now);
        }
        self.ending = expired;
    }

    fn end_expired(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        match connection.phase() {
            Phase::Lingering => self.close(id),
            Phase::Reading => {
                self.metrics.dropped(DropReason::HeaderTime);
                self.refuse(id, ErrorResponse::TooSlow, now);
            }
            Phase::Idle => {
                let reason = match connection.was_answered() {
                    true => DropReason::IdleTime,
                    false => DropReason::HeaderTime,
                };
                self.metrics.dropped(reason);
                self.close(id);
            }
            Phase::Writing | Phase::Waiting | Phase::HandingOver => {
                self.metrics.dropped(DropReason::WriteTime);
                self.abort(id);
            }
        }
    }

    /// Stops listening, ends idle connections, and limits the time of the others.
    fn close_down(&mut self, now: Instant) {
        self.is_closing = true;
        self.acceptor.close(self.poll.registry());
        self.scrapes.stop_refreshing();
        for (id, phase) in self.connections.phases() {
            match phase {
                Phase::Waiting | Phase::Writing => {
                    self.connections.cap_deadline(id, now + SHUTDOWN_GRACE);
                }
                Phase::Idle | Phase::Reading | Phase::Lingering | Phase::HandingOver => {
                    self.close(id);
                }
            }
        }
    }

    /// Resets a connection: what is unsent is thrown away.
    fn abort(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(id) {
            if connection.phase() == Phase::Writing {
                connection.abort();
            }
            self.close(id);
        }
    }

    /// Closes a connection, even if a forked child holds its socket.
    fn close(&mut self, id: ConnectionId) {
        if let Some(socket) = self.take(id) {
            // It fails only if the client has closed it already.
            let _ = rustix::net::shutdown(&socket, rustix::net::Shutdown::Both);
        }
    }

    /// Takes a connection's socket, and releases everything else that it holds.
    fn take(&mut self, id: ConnectionId) -> Option<OwnedFd> {
        if self.connections.get_mut(id)?.phase() == Phase::Waiting {
            self.scrapes.cancel(id);
        }
        let (socket, page) = self.connections.remove(id, self.poll.registry())?;
        if let Some(page) = page {
            self.scrapes.pool_mut().release_by_reader(page);
        }
        self.metrics.connections.set(self.connections.len() as i64);
        Some(socket)
    }
}

/// Routes a request to a document or to the metrics.
fn route(
    request: &Request<'_, '_>,
    documents: &[Document],
    offer: Offer,
) -> Result<RequestedPage, ErrorResponse> {
    let encodings = request.values("Accept-Encoding");
    match documents.iter().find(|d| d.path() == request.path) {
        Some(document) => RequestedPage::document(document, request.method, encodings),
        None => RequestedPage::route(
            request.method,
            request.path,
            request.query,
            request.values("Accept"),
            encodings,
            offer,
        ),
    }
}
