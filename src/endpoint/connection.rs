//! One client's connection: what it waits for, and what is still to be sent.
//!
//! ```text
//!            first byte          whole head          page made
//!   Idle ──────────────► Reading ──────────► Waiting ─────────► Writing
//!    ▲                      │ refused                              │
//!    │                      └──────────────────────────────────────┤
//!    └──────────────── kept alive ─────────────────────────────────┤
//!                              gone ◄── Lingering ◄──── refused ───┘
//! ```
//!
//! A connection has no buffer for what comes in: a request stays in the
//! kernel's until its head is whole and known to be ours, and is then taken
//! from there to the byte.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, sockopt};

use super::page_pool::{PageId, PagePool};
use super::response::After;
use super::route::Wanted;

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing of a next request is here.
    Idle,
    /// A part of one is.
    Reading,
    /// It waits for a page.
    Waiting,
    /// It has an answer to send.
    Writing,
    /// It was refused, and what it still sends is thrown away for a moment: to
    /// close at once would take the refusal from a client that is still
    /// sending (RFC 9112, 9.6).
    Lingering,
}

/// How far sending has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// Everything is on its way: this many bytes more.
    All(usize),
    /// This many are, and there may be room for more.
    Some(usize),
    /// The client has to read first.
    Blocked,
}

pub(super) struct Connection {
    socket: OwnedFd,
    phase: Phase,
    /// When the phase began or, while writing, when it last came forward.
    since: Instant,
    deadline: Option<Instant>,
    /// Whether a request has been answered.
    pub(super) answered: bool,
    /// Bytes of the coming head that have been looked at.
    pub(super) looked_at: usize,
    /// Whether more may have come since the last look.
    pub(super) input_pending: bool,
    /// Whether it is to be taken up in the next turn.
    pub(super) in_next_turn: bool,
    /// Whether the client will send nothing more.
    pub(super) peer_finished: bool,
    /// What the request under way wants.
    pub(super) wanted: Option<Wanted>,
    /// When that request was whole.
    pub(super) asked: Instant,
    /// What comes after the answer.
    pub(super) after: After,
    /// The answer's head, a refusal's body with it.
    pub(super) head: Vec<u8>,
    /// The answer's body.
    page: Option<PageId>,
    /// Bytes of head and body that are sent.
    sent: usize,
}

impl Connection {
    /// `head` is an empty buffer to use.
    pub(super) fn new(socket: OwnedFd, head: Vec<u8>, now: Instant, deadline: Instant) -> Self {
        Self {
            socket,
            phase: Phase::Idle,
            since: now,
            deadline: Some(deadline),
            answered: false,
            looked_at: 0,
            input_pending: false,
            in_next_turn: false,
            peer_finished: false,
            wanted: None,
            asked: now,
            after: After::Close,
            head,
            page: None,
            sent: 0,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    pub(super) fn since(&self) -> Instant {
        self.since
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(super) fn page(&self) -> Option<PageId> {
        self.page
    }

    pub(super) fn enter(&mut self, phase: Phase, now: Instant, deadline: Option<Instant>) {
        self.phase = phase;
        self.since = now;
        self.deadline = deadline;
    }

    /// Moves the deadline nearer.
    pub(super) fn hurry(&mut self, deadline: Instant) {
        self.deadline = Some(self.deadline.map_or(deadline, |set| set.min(deadline)));
    }

    /// Begins to send `head` and then the page, of which it is a holder.
    pub(super) fn send(&mut self, page: Option<PageId>, now: Instant, deadline: Instant) {
        self.page = page;
        self.sent = 0;
        self.enter(Phase::Writing, now, Some(deadline));
    }

    /// Ends an answer. The page is to be released.
    pub(super) fn finish(&mut self, now: Instant, idle_time: Duration) -> Option<PageId> {
        self.answered = true;
        self.looked_at = 0;
        self.head.clear();
        self.enter(Phase::Idle, now, Some(now + idle_time));
        self.page.take()
    }

    /// The bytes that have come, left where they are. 0 is the end.
    pub(super) fn peek(&self, into: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::net::recv(&self.socket, into, RecvFlags::PEEK)?.0)
    }

    /// Takes bytes, at most as many as `into` has room for. 0 is the end.
    pub(super) fn receive(&self, into: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::net::recv(&self.socket, into, RecvFlags::empty())?.0)
    }

    /// Sends what there is room for.
    pub(super) fn flush(&mut self, pool: &PagePool, now: Instant) -> io::Result<Sent> {
        let body = self.page.map_or(&[][..], |page| pool.bytes(page));
        let head_sent = self.sent.min(self.head.len());
        let rest = [
            IoSlice::new(&self.head[head_sent..]),
            IoSlice::new(&body[self.sent - head_sent..]),
        ];
        let left: usize = rest.iter().map(|part| part.len()).sum();
        // No signal: the process is our host's, who may not ignore SIGPIPE.
        let flags = SendFlags::NOSIGNAL;
        let sent = rustix::net::sendmsg(
            &self.socket,
            &rest,
            &mut SendAncillaryBuffer::default(),
            flags,
        );
        match sent.map_err(io::Error::from) {
            Ok(sent) => {
                self.sent += sent;
                self.since = now;
                Ok(if sent == left {
                    Sent::All(sent)
                } else {
                    Sent::Some(sent)
                })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Sent::Blocked),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Sent::Some(0)),
            Err(error) => Err(error),
        }
    }

    /// Tells the client that nothing more will come.
    pub(super) fn finish_sending(&self) {
        // It fails only where the client has gone.
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Write);
    }

    /// Has the kernel drop what it still holds for the client, at closing.
    pub(super) fn cut(&self) {
        if self.phase != Phase::Writing {
            return;
        }
        // It fails only where the client has gone.
        let _ = sockopt::set_socket_linger(&self.socket, Some(Duration::ZERO));
    }

    pub(super) fn register(&self, to: &mio::Registry, token: mio::Token) -> io::Result<()> {
        let interest = mio::Interest::READABLE | mio::Interest::WRITABLE;
        to.register(&mut SourceFd(&self.socket.as_raw_fd()), token, interest)
    }

    /// Gives the socket away, or lets it be closed. A child that was forked may
    /// hold it too, and with it our registration, which closing would not end.
    pub(super) fn deregister(self, from: &mio::Registry) -> (OwnedFd, Vec<u8>) {
        // It fails only where it was not registered.
        let _ = from.deregister(&mut SourceFd(&self.socket.as_raw_fd()));
        (self.socket, self.head)
    }
}
