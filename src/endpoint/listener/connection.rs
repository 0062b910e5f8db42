//! One client's connection: its phase, the bytes it has received, and the
//! response it is sending.
//!
//! ```text
//!            first byte          whole head          page made
//!   Idle ──────────────► Reading ──────────► Waiting ─────────► Writing
//!    ▲                      │ error                                │
//!    │                      ├──────────────────────────────────────┤
//!    └──────────────── kept alive ─────────────────────────────────┤
//!                           │ theirs          gone ◄── Lingering ◄─┘ error
//!                           └───► HandingOver ──► the host
//! ```

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, sockopt};

use super::document::Document;
use super::input::Input;
use super::page_pool::{PageId, PagePool};
use super::request::{Recipient, recipient};
use super::response::Disposition;
use crate::endpoint::error_response::ErrorResponse;

/// A kernel's buffer with this much room has its window open even if a part of a
/// segment of loopback's size (64 KiB) stays in it.
const RECEIVE_BUFFER: usize = 256 * 1024;

/// The activity of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No byte of the next request has come.
    Idle,
    /// A part of the next request has come.
    Reading,
    /// Its request waits for a page.
    Waiting,
    /// A response is being sent.
    Writing,
    /// It was sent its last response, and what it still sends is thrown away for
    /// a moment: to close at once would take the response from a client that is
    /// still sending (RFC 9112, 9.6).
    Lingering,
    /// Its request is for the host, whose handler cannot take it yet.
    HandingOver,
}

/// The outcome of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// The rest of the response, of this many bytes.
    All(usize),
    /// This many bytes, and there may be room for more.
    Some(usize),
    /// Nothing: the client has to read first.
    Blocked,
}

/// The outcome of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadOutcome {
    /// A whole head of this many bytes is at the front of the input.
    Head(usize),
    /// More of the head has to come. `begun` is true if there is a part of it.
    Incomplete { begun: bool },
    /// The next request is for the host.
    Theirs,
    /// The client has closed the connection.
    Closed,
    /// A signal came between: try again.
    Interrupted,
}

/// A connection of a client.
pub(super) struct Connection {
    socket: OwnedFd,
    phase: Phase,
    /// The beginning of the phase or, while writing, the latest progress.
    since: Instant,
    deadline: Option<Instant>,
    /// True if a request has been answered.
    answered: bool,
    input: Input,
    /// True if the kernel may have more bytes for `input`.
    input_pending: bool,
    /// True if the client will send nothing more.
    peer_finished: bool,
    /// True if the kernel's receive buffer was made larger.
    has_large_buffer: bool,
    /// True if it is in the list of connections to resume.
    pub(super) will_resume: bool,
    response: Response,
}

/// A response, from its request on.
struct Response {
    requested: Instant,
    begun: Instant,
    disposition: Disposition,
    /// The head, and the body of an error response.
    head: Vec<u8>,
    /// The body of any other response. The connection is its reader.
    page: Option<PageId>,
    /// Bytes of head and body that are sent.
    sent: usize,
}

/// Buffers that a connection leaves to the next one.
#[derive(Default)]
pub(super) struct Buffers {
    input: Input,
    head: Vec<u8>,
}

impl Connection {
    pub(super) fn new(socket: OwnedFd, buffers: Buffers, now: Instant) -> Self {
        Self {
            socket,
            phase: Phase::Idle,
            since: now,
            deadline: None,
            answered: false,
            input: buffers.input,
            input_pending: false,
            peer_finished: false,
            has_large_buffer: false,
            will_resume: false,
            response: Response {
                requested: now,
                begun: now,
                disposition: Disposition::Close,
                head: buffers.head,
                page: None,
                sent: 0,
            },
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

    pub(super) fn was_answered(&self) -> bool {
        self.answered
    }

    /// Notes an event of the connection.
    pub(super) fn note_event(&mut self, is_readable: bool, is_read_closed: bool) {
        self.input_pending |= is_readable;
        self.peer_finished |= is_read_closed;
    }

    /// Returns true if reading may find another request without a further event.
    pub(super) fn has_more(&self) -> bool {
        !self.input.is_empty() || self.input_pending || self.peer_finished
    }

    /// Enters a phase. Called by `Connections`, which keeps the deadlines.
    pub(super) fn enter(&mut self, phase: Phase, now: Instant, deadline: Option<Instant>) {
        self.phase = phase;
        self.since = now;
        self.deadline = deadline;
    }

    /// Moves the deadline forward if it is later.
    pub(super) fn cap_deadline(&mut self, deadline: Instant) {
        self.deadline = Some(self.deadline.map_or(deadline, |set| set.min(deadline)));
    }

    /// Receives bytes and looks for a whole head. With a handler, bytes of
    /// requests that are not ours stay in the kernel.
    ///
    /// # Errors
    /// The response to give before the connection is closed.
    pub(super) fn read(
        &mut self,
        scratch: &mut [u8],
        documents: &[Document],
        has_handler: bool,
    ) -> Result<ReadOutcome, ErrorResponse> {
        if let Some(end) = self.find_head(documents)? {
            return Ok(ReadOutcome::Head(end));
        }
        if let Some(outcome) = self.fill(scratch, documents, has_handler)? {
            return Ok(outcome);
        }
        match self.find_head(documents)? {
            Some(end) => Ok(ReadOutcome::Head(end)),
            None if self.input.len() == scratch.len() => Err(self.too_long()),
            None if self.peer_finished && !self.input_pending => Err(ErrorResponse::Truncated),
            None => Ok(ReadOutcome::Incomplete { begun: true }),
        }
    }

    /// Receives bytes into the input. Returns an outcome if there are none to look
    /// for a head in.
    fn fill(
        &mut self,
        scratch: &mut [u8],
        documents: &[Document],
        has_handler: bool,
    ) -> Result<Option<ReadOutcome>, ErrorResponse> {
        let limit = scratch.len();
        let room = &mut scratch[..limit - self.input.len()];
        let received = if has_handler {
            self.receive_ours(room, documents)
        } else {
            self.receive(room).map(|received| (received, received))
        };
        let (received, taken) = match received {
            Ok(received) => received,
            Err(error) => return Ok(Some(self.outcome_of(&error))),
        };
        self.input_pending = taken < received || received == room.len();
        if received == 0 && !self.input.is_empty() {
            return Err(ErrorResponse::Truncated);
        }
        if received == 0 {
            return Ok(Some(ReadOutcome::Closed));
        }
        if taken > 0 {
            self.input.push(&room[..taken]);
            return Ok(None);
        }
        match recipient(&room[..received], documents) {
            Recipient::Theirs => Ok(Some(ReadOutcome::Theirs)),
            Recipient::NotHttp => Err(ErrorResponse::NotHttp),
            _ if received == limit => Err(ErrorResponse::TargetTooLong),
            _ if self.peer_finished => Err(ErrorResponse::Truncated),
            _ => {
                // An event tells when the rest has come.
                self.input_pending = false;
                Ok(Some(ReadOutcome::Incomplete { begun: true }))
            }
        }
    }

    /// The outcome of receiving that failed.
    fn outcome_of(&mut self, error: &io::Error) -> ReadOutcome {
        match error.kind() {
            io::ErrorKind::Interrupted => ReadOutcome::Interrupted,
            io::ErrorKind::WouldBlock => {
                self.input_pending = false;
                let begun = !self.input.is_empty();
                ReadOutcome::Incomplete { begun }
            }
            _ => ReadOutcome::Closed,
        }
    }

    fn find_head(&mut self, documents: &[Document]) -> Result<Option<usize>, ErrorResponse> {
        if recipient(self.input.bytes(), documents) == Recipient::NotHttp {
            return Err(ErrorResponse::NotHttp);
        }
        self.input.head_end()
    }

    /// The error for an input that is full and has no whole head.
    fn too_long(&self) -> ErrorResponse {
        if self.input.bytes().trim_ascii_start().contains(&b'\n') {
            ErrorResponse::HeadTooLong
        } else {
            ErrorResponse::TargetTooLong
        }
    }

    /// Receives bytes of requests that are ours. Returns the number of bytes that
    /// have come, all of which are in `into`, and of those that are received.
    fn receive_ours(
        &mut self,
        into: &mut [u8],
        documents: &[Document],
    ) -> io::Result<(usize, usize)> {
        let (peeked, _) = rustix::net::recv(&self.socket, &mut *into, RecvFlags::PEEK)?;
        let ours = self.input.ours_in(&into[..peeked], documents);
        if ours == 0 {
            return Ok((peeked, 0));
        }
        if recipient(&into[ours..peeked], documents) == Recipient::Undecided && ours < peeked {
            self.enlarge_receive_buffer();
        }
        match self.receive(&mut into[..ours])? {
            received if received == ours => Ok((peeked, ours)),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Makes room for the rest of a request of which some bytes stay in the
    /// kernel, which would otherwise have the window closed for good.
    fn enlarge_receive_buffer(&mut self) {
        if !std::mem::replace(&mut self.has_large_buffer, true) {
            // If it fails, the client is timed out at worst.
            let _ = sockopt::set_socket_recv_buffer_size(&self.socket, RECEIVE_BUFFER);
        }
    }

    /// Receives bytes. Returns 0 at the end of the stream.
    pub(super) fn receive(&self, into: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::net::recv(&self.socket, into, RecvFlags::empty())?.0)
    }

    /// The first head of the input, which is this long.
    pub(super) fn head_mut(&mut self, len: usize) -> &mut [u8] {
        self.input.head_mut(len)
    }

    /// Takes up the request whose head is this long.
    pub(super) fn accept_request(&mut self, head: usize, disposition: Disposition, now: Instant) {
        self.input.consume(head);
        self.response.disposition = disposition;
        self.response.requested = now;
    }

    /// Makes the next response the last one.
    pub(super) fn close_after_response(&mut self) {
        self.response.disposition = Disposition::Close;
    }

    pub(super) fn disposition(&self) -> Disposition {
        self.response.disposition
    }

    /// The empty buffer for the response's head.
    pub(super) fn head_buffer(&mut self) -> &mut Vec<u8> {
        self.response.head.clear();
        &mut self.response.head
    }

    /// Sets the body of the response whose head is in the buffer. The connection
    /// becomes a reader of the page.
    pub(super) fn begin_response(&mut self, page: Option<PageId>, now: Instant) {
        self.response.page = page;
        self.response.sent = 0;
        self.response.begun = now;
    }

    pub(super) fn page(&self) -> Option<PageId> {
        self.response.page
    }

    /// Bytes a second that the client has read since its response began.
    pub(super) fn read_rate(&self, now: Instant) -> f64 {
        self.response.sent as f64 / self.response_age(now).as_secs_f64().max(1e-9)
    }

    /// The time since the response began to be sent.
    pub(super) fn response_age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.response.begun)
    }

    /// Sends as much of the response as there is room for.
    pub(super) fn flush(&mut self, pool: &PagePool, now: Instant) -> io::Result<Sent> {
        let Response {
            head, page, sent, ..
        } = &mut self.response;
        let body = page.map_or(&[][..], |page| pool.bytes(page));
        let head_sent = (*sent).min(head.len());
        let rest = [
            IoSlice::new(&head[head_sent..]),
            IoSlice::new(&body[*sent - head_sent..]),
        ];
        let left: usize = rest.iter().map(|part| part.len()).sum();
        // No SIGPIPE: the host application may not ignore it.
        let result = rustix::net::sendmsg(
            &self.socket,
            &rest,
            &mut SendAncillaryBuffer::default(),
            SendFlags::NOSIGNAL,
        );
        match result.map_err(io::Error::from) {
            Ok(now_sent) => {
                *sent += now_sent;
                self.since = now;
                Ok(if now_sent == left {
                    Sent::All(now_sent)
                } else {
                    Sent::Some(now_sent)
                })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Sent::Blocked),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Sent::Some(0)),
            Err(error) => Err(error),
        }
    }

    /// Ends the response that is sent. Returns its page, to be released, and the
    /// time since its request.
    pub(super) fn finish_response(&mut self) -> (Option<PageId>, Duration) {
        self.answered = true;
        self.response.head.clear();
        (self.response.page.take(), self.response.requested.elapsed())
    }

    /// Tells the client that nothing more will come.
    pub(super) fn finish_sending(&self) {
        // It fails only if the client has gone.
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Write);
    }

    /// Resets the connection: the kernel drops what it still holds for the client.
    pub(super) fn abort(&self) {
        // It fails for Unix sockets, which hold nothing after they are closed.
        let _ = rustix::net::connect_unspec(&self.socket);
    }

    pub(super) fn register(&self, poll: &mio::Registry, token: mio::Token) -> io::Result<()> {
        let interest = mio::Interest::READABLE | mio::Interest::WRITABLE;
        poll.register(&mut SourceFd(&self.socket.as_raw_fd()), token, interest)
    }

    /// Takes the connection apart. A forked child may hold the socket too, and
    /// with it its registration, which closing alone would not end.
    pub(super) fn into_parts(mut self, poll: &mio::Registry) -> (OwnedFd, Buffers) {
        // It fails only if the socket was not registered.
        let _ = poll.deregister(&mut SourceFd(&self.socket.as_fd().as_raw_fd()));
        self.input.reset();
        self.response.head.clear();
        let buffers = Buffers {
            input: self.input,
            head: self.response.head,
        };
        (self.socket, buffers)
    }
}
