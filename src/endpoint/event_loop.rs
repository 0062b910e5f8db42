//! The loop: who has something to say, one turn after another.
//!
//! A turn waits for readiness, looks at every connection that has some, takes
//! their requests, and then makes the pages that are wanted (`scrapes.rs`): a
//! page is always made after the last request that it answers. Who comes is let
//! in by `accept.rs`, who goes is seen off by `timeouts.rs`. What could go
//! on for longer, like a client that sends many requests at once, is broken
//! off and taken up in the next turn, so that nobody waits for it.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::connection::{Phase, Sent};
use super::connections::{Key, Slots};
use super::document::Document;
use super::hand_off::HandOff;
use super::handle::Shared;
use super::limits::Limits;
use super::listener::Listener;
use super::request::{self, HeaderSpace, Request, Whose};
use super::response::{self, After, Date, Refusal};
use super::route::Wanted;
use super::scrapes::Scrapes;
use super::self_metrics::{Dropped, Meters};
use crate::sync::Ordering;

pub(super) const WAKER: Token = Token(0);
const FIRST_LISTENER: usize = 1;

/// Events taken from the kernel in one turn.
const EVENTS: usize = 256;
/// Times that one connection is written to before others have their turn.
const WRITES_IN_A_TURN: usize = 16;
/// How long a refused client may go on sending, and how much.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_READS_IN_A_TURN: usize = 16;

/// Who answers requests that are not for the metrics.
pub(super) struct Others {
    /// We do, with what the host left.
    pub(super) documents: Vec<Document>,
    /// The host does, all the rest.
    pub(super) hand_off: Option<Box<dyn HandOff>>,
}

pub(super) struct EventLoop {
    pub(super) poll: Poll,
    pub(super) shared: Arc<Shared>,
    pub(super) limits: Limits,
    pub(super) meters: Meters,
    pub(super) slots: Slots,
    pub(super) scrapes: Scrapes,
    pub(super) date: Date,
    pub(super) listeners: Vec<Listener>,
    others: Others,
    /// What came in, looked at and forgotten.
    scratch: Vec<u8>,
    /// What is to be taken up again in the next turn.
    again: Vec<Key>,
    pub(super) accept_again: Vec<usize>,
    /// Whose time is up, while they are ended.
    pub(super) late: Vec<(Key, Phase)>,
    /// When listeners that rest are looked at again.
    pub(super) rested: Option<Instant>,
    /// No deadline of a connection is before this.
    pub(super) next_deadline: Option<Instant>,
    pub(super) closing: bool,
}

impl EventLoop {
    pub(super) fn new(
        poll: Poll,
        shared: Arc<Shared>,
        listeners: Vec<Listener>,
        limits: Limits,
        meters: Meters,
        scrapes: Scrapes,
        others: Others,
    ) -> io::Result<Self> {
        for (at, listener) in listeners.iter().enumerate() {
            let fd = listener.as_fd().as_raw_fd();
            let token = Token(FIRST_LISTENER + at);
            poll.registry()
                .register(&mut SourceFd(&fd), token, Interest::READABLE)?;
        }
        Ok(Self {
            poll,
            shared,
            scratch: vec![0; limits.header_bytes],
            limits,
            meters,
            slots: Slots::default(),
            scrapes,
            date: Date::new(),
            // A listener that was taken over may have connections waiting.
            accept_again: (0..listeners.len()).collect(),
            listeners,
            others,
            again: Vec::new(),
            late: Vec::new(),
            rested: None,
            next_deadline: None,
            closing: false,
        })
    }

    /// Runs until it is told to end, and the last connection has ended.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut turn_again = Vec::new();
        let mut turn_accept = Vec::new();
        loop {
            match self.poll.poll(&mut events, self.timeout(Instant::now())) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            let now = Instant::now();
            std::mem::swap(&mut self.again, &mut turn_again);
            std::mem::swap(&mut self.accept_again, &mut turn_accept);
            for event in &events {
                match Key::of(event.token()) {
                    Some(key) => {
                        if let Some(connection) = self.slots.get_mut(key) {
                            connection.input_pending |= event.is_readable();
                            connection.peer_finished |= event.is_read_closed();
                            self.advance(key, now);
                        }
                    }
                    None if event.token() == WAKER => {}
                    None => {
                        let at = event.token().0 - FIRST_LISTENER;
                        if !turn_accept.contains(&at) {
                            turn_accept.push(at);
                        }
                    }
                }
            }
            for key in turn_again.drain(..) {
                if let Some(connection) = self.slots.get_mut(key) {
                    connection.in_next_turn = false;
                    self.advance(key, now);
                }
            }
            for listener in turn_accept.drain(..) {
                self.accept(listener, now);
            }
            // Acquire: pairs with the Release of Endpoint::shutdown.
            if !self.closing && self.shared.closing.load(Ordering::Acquire) {
                self.close_down(now);
            }
            self.serve(now);
            self.expire(now);
            if self.closing && self.slots.len() == 0 {
                return Ok(());
            }
        }
    }

    /// How long the kernel may let us sleep.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        if !self.again.is_empty() || !self.accept_again.is_empty() {
            return Some(Duration::ZERO);
        }
        [
            self.next_deadline,
            self.rested,
            self.scrapes.waiting_until(),
        ]
        .into_iter()
        .flatten()
        .min()
        .map(|until| until.saturating_duration_since(now))
    }

    /// Takes a connection up again when the others have had their turn.
    pub(super) fn advance_in_next_turn(&mut self, key: Key) {
        let connection = self.slots.get_mut(key);
        if connection.is_some_and(|c| !std::mem::replace(&mut c.in_next_turn, true)) {
            self.again.push(key);
        }
    }

    /// Takes a connection as far as it goes now.
    fn advance(&mut self, key: Key, now: Instant) {
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        match connection.phase() {
            Phase::Idle | Phase::Reading => self.read(key, now),
            Phase::Writing => self.write(key, now),
            Phase::Lingering => self.linger(key),
            // What it sends meanwhile stays where it is until it is answered.
            Phase::Waiting => {}
        }
    }

    /// Looks at what has come, and takes a request that is whole and ours.
    fn read(&mut self, key: Key, now: Instant) {
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        connection.input_pending = false;
        let peeked = match connection.peek(&mut self.scratch) {
            Ok(0) => return self.close(key),
            Ok(peeked) => peeked,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                return self.advance_in_next_turn(key);
            }
            Err(_) => return self.close(key),
        };
        let bytes = &self.scratch[..peeked];
        match (
            request::whose(bytes, &self.others.documents),
            &self.others.hand_off,
        ) {
            (Whose::NotHttp, _) => return self.refuse(key, Refusal::NotHttp, now),
            (Whose::Theirs, Some(_)) => return self.hand_over(key),
            _ => {}
        }
        let end = match request::head_end(bytes, connection.looked_at) {
            Ok(Some(end)) => end,
            Ok(None) if peeked == self.scratch.len() => {
                let one_line = !bytes.trim_ascii_start().contains(&b'\n');
                let refusal = if one_line {
                    Refusal::TargetTooLong
                } else {
                    Refusal::HeadTooLong
                };
                return self.refuse(key, refusal, now);
            }
            Ok(None) if connection.peer_finished => {
                return self.refuse(key, Refusal::Truncated, now);
            }
            Ok(None) => {
                connection.looked_at = peeked;
                if connection.phase() == Phase::Idle {
                    // The first request's time runs from the connection on.
                    let begun = if connection.answered {
                        now
                    } else {
                        connection.since()
                    };
                    let deadline = begun + self.limits.header_time;
                    connection.enter(Phase::Reading, begun, Some(deadline));
                    self.note_deadline(deadline);
                }
                return;
            }
            Err(refusal) => return self.refuse(key, refusal, now),
        };

        let mut space = HeaderSpace::new();
        let request = match Request::parse(&bytes[..end], &mut space) {
            Ok(request) => request,
            Err(refusal) => return self.refuse(key, refusal, now),
        };
        connection.after = match request.keep_alive && !self.closing {
            true => After::KeepAlive {
                is_http_1_0: request.is_http_1_0,
            },
            false => After::Close,
        };
        let head_only = request.method == request::Method::Head;
        let document = self
            .others
            .documents
            .iter()
            .find(|d| d.path() == request.path);
        let wanted = match document {
            Some(document) => {
                Wanted::document(document, request.method, request.values("Accept-Encoding"))
            }
            None => Wanted::of(
                request.method,
                request.path,
                request.query,
                request.values("Accept"),
                request.values("Accept-Encoding"),
            ),
        };
        // There is more behind it, or there may be: what is full shows no more.
        connection.input_pending = peeked > end || peeked == self.scratch.len();
        match connection.receive(&mut self.scratch[..end]) {
            Ok(taken) if taken == end => {}
            _ => return self.close(key),
        }
        match wanted {
            Ok(wanted) => {
                connection.wanted = Some(wanted);
                connection.asked = now;
                connection.enter(Phase::Waiting, now, None);
                self.scrapes.want(key);
            }
            Err(refusal) => self.answer_no(key, refusal, !head_only, now),
        }
    }

    /// Gives the connection to the host, as it is.
    fn hand_over(&mut self, key: Key) {
        let Some((socket, Some(hand_off))) =
            self.take(key).zip(Some(self.others.hand_off.as_mut()))
        else {
            return;
        };
        // A host that panics has taken the connection, and lost it.
        let handed = catch_unwind(AssertUnwindSafe(|| hand_off.hand_off(socket)));
        match handed {
            Ok(Ok(())) => self.meters.handed_over.inc(),
            Err(_) => self.meters.dropped(Dropped::HandOff),
            Ok(Err(socket)) => {
                self.meters.dropped(Dropped::HandOff);
                self.meters.responded(Refusal::HandOff.status());
                let mut answer = Vec::new();
                self.date.refresh();
                let after = After::Close;
                response::write_refusal(&mut answer, Refusal::HandOff, &self.date, after, true);
                // An empty send buffer has room for it, or the client goes without.
                let flags = rustix::net::SendFlags::NOSIGNAL;
                let _ = rustix::net::send(&socket, &answer, flags);
            }
        }
    }

    /// Refuses what can't be understood: the connection ends with it.
    pub(super) fn refuse(&mut self, key: Key, refusal: Refusal, now: Instant) {
        if let Some(connection) = self.slots.get_mut(key) {
            connection.after = After::Close;
            self.answer_no(key, refusal, true, now);
        }
    }

    /// Answers with a refusal, which is all that is wrong with the request.
    pub(super) fn answer_no(&mut self, key: Key, refusal: Refusal, body: bool, now: Instant) {
        let write_time = self.write_time();
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        self.date.refresh();
        self.meters.responded(refusal.status());
        connection.head.clear();
        let after = connection.after;
        response::write_refusal(&mut connection.head, refusal, &self.date, after, body);
        connection.send(None, now, now + write_time);
        self.note_deadline(now + write_time);
        self.write(key, now);
    }

    /// Sends what there is room for.
    pub(super) fn write(&mut self, key: Key, now: Instant) {
        for _ in 0..WRITES_IN_A_TURN {
            let Some(connection) = self.slots.get_mut(key) else {
                return;
            };
            match connection.flush(self.scrapes.pool(), now) {
                Ok(Sent::All(sent)) => {
                    self.meters.sent.inc_by(sent as u64);
                    return self.finish(key, now);
                }
                Ok(Sent::Some(sent)) => self.meters.sent.inc_by(sent as u64),
                Ok(Sent::Blocked) => return,
                Err(_) => return self.close(key),
            }
        }
        self.advance_in_next_turn(key);
    }

    /// An answer is on its way as a whole.
    fn finish(&mut self, key: Key, now: Instant) {
        let Some(connection) = self.slots.get_mut(key) else {
            return;
        };
        let waited = connection.asked.elapsed();
        if let Some(page) = connection.finish(now, self.limits.idle_time) {
            self.meters.response_seconds.observe(waited.as_secs_f64());
            self.scrapes.release(page);
        }
        match connection.after {
            After::KeepAlive { .. } if !self.closing => {
                if connection.input_pending || connection.peer_finished {
                    self.advance_in_next_turn(key);
                }
                self.note_deadline(now + self.limits.idle_time);
            }
            _ => {
                connection.finish_sending();
                connection.enter(Phase::Lingering, now, Some(now + LINGER));
                self.note_deadline(now + LINGER);
                self.linger(key);
                if self.closing {
                    self.close(key);
                }
            }
        }
    }

    /// Throws away what still comes, until the client has heard of the end.
    fn linger(&mut self, key: Key) {
        for _ in 0..LINGER_READS_IN_A_TURN {
            let Some(connection) = self.slots.get_mut(key) else {
                return;
            };
            match connection.receive(&mut self.scratch) {
                Ok(0) => return self.close(key),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.close(key),
            }
        }
        self.advance_in_next_turn(key);
    }
}
