//! All connections, and their deadlines.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use slab::Slab;

use super::connection::{Buffers, Connection, Phase};
use super::page_pool::PageId;

/// The bits of a token that hold the index.
const INDEX_BITS: u32 = usize::BITS / 2;
/// The time without progress after which a reader may lose its connection.
const STALLED: Duration = Duration::from_secs(1);
/// The time after which a reader may lose its connection although it progresses.
const READ_TIME: Duration = Duration::from_secs(5);
/// The number of unused buffers that are kept for new connections.
const SPARE_BUFFERS: usize = 64;

/// Identifies a connection. It is not reused, so that an event for a connection
/// that is gone does not reach another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectionId {
    index: usize,
    /// At least 1: tokens below `1 << INDEX_BITS` are not connections'.
    serial: usize,
}

impl ConnectionId {
    pub(super) fn token(self) -> mio::Token {
        mio::Token(self.serial << INDEX_BITS | self.index)
    }

    /// Returns `None` for the token of something else.
    pub(super) fn from_token(token: mio::Token) -> Option<Self> {
        let serial = token.0 >> INDEX_BITS;
        let index = token.0 & ((1 << INDEX_BITS) - 1);
        (serial > 0).then_some(Self { index, serial })
    }
}

/// The decision on a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Serve it, after this many evictions.
    Serve { evictions: usize },
    /// Leave it in the kernel: new connections are served first, and can be evicted
    /// afterwards.
    Later,
    /// Send it status 503, after this many evictions.
    Refuse { evictions: usize },
}

/// The open connections.
#[derive(Default)]
pub(super) struct Connections {
    slab: Slab<(usize, Connection)>,
    last_serial: usize,
    spare: Vec<Buffers>,
    /// No deadline is earlier than this.
    next_deadline: Option<Instant>,
    /// Connections to resume, those that wait longest first.
    to_resume: VecDeque<ConnectionId>,
}

impl Connections {
    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(super) fn insert(&mut self, socket: OwnedFd, now: Instant) -> ConnectionId {
        // Half the bits of a token: a serial comes again after 2^32 connections.
        self.last_serial = (self.last_serial % ((1 << INDEX_BITS) - 1)) + 1;
        let buffers = self.spare.pop().unwrap_or_default();
        let connection = Connection::new(socket, buffers, now);
        ConnectionId {
            index: self.slab.insert((self.last_serial, connection)),
            serial: self.last_serial,
        }
    }

    pub(super) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let (serial, connection) = self.slab.get_mut(id.index)?;
        (*serial == id.serial).then_some(connection)
    }

    /// Takes a connection out. Its page is to be released.
    pub(super) fn remove(
        &mut self,
        id: ConnectionId,
        poll: &mio::Registry,
    ) -> Option<(OwnedFd, Option<PageId>)> {
        self.get_mut(id)?;
        let (_, connection) = self.slab.remove(id.index);
        if connection.will_resume {
            self.to_resume.retain(|waiting| *waiting != id);
        }
        let page = connection.page();
        let (socket, buffers) = connection.into_parts(poll);
        if self.spare.len() < SPARE_BUFFERS {
            self.spare.push(buffers);
        }
        Some((socket, page))
    }

    fn iter(&self) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        self.slab.iter().map(|(index, (serial, connection))| {
            let serial = *serial;
            (ConnectionId { index, serial }, connection)
        })
    }

    /// The connections with their phases.
    pub(super) fn phases(&self) -> Vec<(ConnectionId, Phase)> {
        self.iter().map(|(id, c)| (id, c.phase())).collect()
    }

    /// Has a connection enter a phase that ends at the deadline, if there is one.
    pub(super) fn enter(
        &mut self,
        id: ConnectionId,
        phase: Phase,
        since: Instant,
        deadline: Option<Instant>,
    ) {
        if let Some(connection) = self.get_mut(id) {
            connection.enter(phase, since, deadline);
            self.note_deadline(deadline);
        }
    }

    /// Moves a connection's deadline forward if it is later.
    pub(super) fn cap_deadline(&mut self, id: ConnectionId, deadline: Instant) {
        if let Some(connection) = self.get_mut(id) {
            connection.cap_deadline(deadline);
            self.note_deadline(Some(deadline));
        }
    }

    fn note_deadline(&mut self, deadline: Option<Instant>) {
        self.next_deadline = [self.next_deadline, deadline].into_iter().flatten().min();
    }

    /// The time at which [`expired`](Self::expired) should be called.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.next_deadline
    }

    /// Collects the connections whose deadlines have passed.
    pub(super) fn expired(&mut self, now: Instant, into: &mut Vec<ConnectionId>) {
        if self.next_deadline.is_none_or(|next| next > now) {
            return;
        }
        let mut next_deadline = None;
        for (id, connection) in self.iter() {
            match connection.deadline() {
                Some(deadline) if deadline <= now => into.push(id),
                deadline => {
                    next_deadline = [next_deadline, deadline].into_iter().flatten().min();
                }
            }
        }
        self.next_deadline = next_deadline;
    }

    /// Has a connection resumed after all others that wait.
    pub(super) fn resume_later(&mut self, id: ConnectionId) {
        let connection = self.get_mut(id);
        if connection.is_some_and(|c| !std::mem::replace(&mut c.will_resume, true)) {
            self.to_resume.push_back(id);
        }
    }

    /// The number of connections to resume.
    pub(super) fn to_resume(&self) -> usize {
        self.to_resume.len()
    }

    /// Takes the next connection to resume.
    pub(super) fn next_to_resume(&mut self) -> Option<ConnectionId> {
        let id = self.to_resume.pop_front()?;
        if let Some(connection) = self.get_mut(id) {
            connection.will_resume = false;
        }
        Some(id)
    }

    /// Decides on a new connection. One that was refused stays open for a moment, so
    /// that its client can read the response: there can be one more connection than
    /// `limit`, and then two have to go before the next one is served.
    pub(super) fn admission(&self, limit: usize, now: Instant) -> Admission {
        let excess = (self.len() + 1).saturating_sub(limit);
        if excess == 0 {
            return Admission::Serve { evictions: 0 };
        }
        let evictable = self
            .iter()
            .filter(|(_, c)| Self::eviction_rank(c, now).is_some())
            .count();
        if evictable >= excess {
            Admission::Serve { evictions: excess }
        } else if self.has_new(now) {
            Admission::Later
        } else {
            Admission::Refuse {
                evictions: evictable,
            }
        }
    }

    /// The connection whose loss matters least, see
    /// [`Limits::connections`](super::Limits::connections).
    pub(super) fn eviction_candidate(&self, now: Instant) -> Option<ConnectionId> {
        self.iter()
            .filter_map(|(id, c)| Some((Self::eviction_rank(c, now)?, c.since(), id)))
            .min_by_key(|(rank, since, _)| (*rank, *since))
            .map(|(.., id)| id)
    }

    /// The place of a connection in the order of evictions; `None` if it is not to
    /// be evicted.
    fn eviction_rank(connection: &Connection, now: Instant) -> Option<u8> {
        match connection.phase() {
            Phase::Lingering => Some(0),
            Phase::Idle if connection.was_answered() => Some(1),
            // One that is new has had no chance to be served.
            Phase::Idle if Self::is_new(connection, now) => None,
            Phase::Idle | Phase::Reading => Some(2),
            Phase::Writing if connection.since() + STALLED < now => Some(3),
            Phase::Writing | Phase::Waiting | Phase::HandingOver => None,
        }
    }

    /// Returns true if a connection is to be served before others take its place.
    fn has_new(&self, now: Instant) -> bool {
        self.iter().any(|(_, c)| Self::is_new(c, now))
    }

    /// Returns true if a connection was accepted in this turn, or its first request
    /// waits to be read.
    fn is_new(connection: &Connection, now: Instant) -> bool {
        connection.phase() == Phase::Idle
            && !connection.was_answered()
            && (connection.since() == now || connection.will_resume)
    }

    /// Collects the readers of the page that is read most slowly, among the pages
    /// whose readers have all had a chance to read: they have stalled, or have had
    /// more than enough time.
    pub(super) fn slowest_readers(&self, now: Instant, into: &mut Vec<ConnectionId>) {
        let mut readers: Vec<(PageId, &Connection, ConnectionId)> = self
            .iter()
            .filter_map(|(id, connection)| Some((connection.page()?, connection, id)))
            .collect();
        readers.sort_by_key(|(page, ..)| *page);
        let slowest = readers
            .chunk_by(|(a, ..), (b, ..)| a == b)
            .filter(|readers| {
                let had_time =
                    |c: &Connection| c.since() + STALLED <= now || c.response_age(now) >= READ_TIME;
                readers.iter().all(|(_, c, _)| had_time(c))
            })
            .map(|readers| {
                let rates = readers.iter().map(|(_, c, _)| c.read_rate(now));
                (rates.fold(0.0, f64::max), readers)
            })
            .min_by(|(a, _), (b, _)| a.total_cmp(b));
        if let Some((_, readers)) = slowest {
            into.extend(readers.iter().map(|(.., id)| *id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn connections(
        count: usize,
        now: Instant,
    ) -> (Connections, Vec<ConnectionId>, Vec<UnixStream>) {
        let mut connections = Connections::default();
        let (mut ids, mut clients) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (ours, client) = UnixStream::pair().unwrap();
            ids.push(connections.insert(ours.into(), now));
            clients.push(client);
        }
        (connections, ids, clients)
    }

    #[test]
    fn id_of_a_removed_connection_is_not_reused() {
        let now = Instant::now();
        let (mut connections, ids, _clients) = connections(1, now);
        let poll = mio::Poll::new().unwrap();
        assert!(connections.remove(ids[0], poll.registry()).is_some());
        let (socket, _client) = UnixStream::pair().unwrap();
        let next = connections.insert(socket.into(), now);
        assert_eq!(next.index, ids[0].index);
        assert!(connections.get_mut(ids[0]).is_none());
        assert!(connections.remove(ids[0], poll.registry()).is_none());
        assert_eq!(ConnectionId::from_token(next.token()), Some(next));
        assert_eq!(ConnectionId::from_token(mio::Token(7)), None);
    }

    #[test]
    fn connection_expires_at_its_deadline() {
        let now = Instant::now();
        let (mut connections, ids, _clients) = connections(3, now);
        let after = |seconds| Some(now + Duration::from_secs(seconds));
        connections.enter(ids[0], Phase::Idle, now, after(5));
        connections.enter(ids[1], Phase::Idle, now, after(1));
        connections.enter(ids[2], Phase::Waiting, now, None);
        assert_eq!(connections.next_deadline(), after(1));
        let mut expired = Vec::new();
        connections.expired(now, &mut expired);
        assert_eq!(expired, []);
        connections.expired(after(2).unwrap(), &mut expired);
        assert_eq!(expired, [ids[1]]);
        connections.cap_deadline(ids[2], after(3).unwrap());
        assert_eq!(connections.next_deadline(), after(3));
    }

    #[test]
    fn connections_are_resumed_once_and_in_order() {
        let (mut connections, ids, _clients) = connections(2, Instant::now());
        for _ in 0..2 {
            for id in [ids[0], ids[1], ids[0]] {
                connections.resume_later(id);
            }
            assert_eq!(connections.to_resume(), 2);
            let resumed = std::iter::from_fn(|| connections.next_to_resume());
            assert_eq!(resumed.collect::<Vec<_>>(), ids);
        }
    }

    #[test]
    fn idle_connection_is_evicted_before_one_that_reads_a_page() {
        let now = Instant::now();
        let (mut connections, ids, _clients) = connections(4, now);
        connections.enter(ids[0], Phase::Waiting, now, None);
        connections.enter(ids[1], Phase::Writing, now, None);
        connections.enter(ids[2], Phase::Reading, now, None);
        connections.enter(ids[3], Phase::Lingering, now, None);
        let poll = mio::Poll::new().unwrap();
        for (id, at) in [(ids[3], now), (ids[2], now), (ids[1], now + 2 * STALLED)] {
            assert_eq!(connections.eviction_candidate(at), Some(id));
            connections.remove(id, poll.registry());
        }
        assert_eq!(connections.eviction_candidate(now + 2 * STALLED), None);
    }

    #[test]
    fn new_connection_is_served_if_enough_others_can_be_evicted() {
        let now = Instant::now();
        let later = now + Duration::from_millis(1);
        let (mut connections, ids, _clients) = connections(3, now);
        for &id in &ids {
            connections.enter(id, Phase::Waiting, now, None);
        }
        let serve = |evictions| Admission::Serve { evictions };
        let refuse = |evictions| Admission::Refuse { evictions };
        assert_eq!(connections.admission(4, later), serve(0));
        assert_eq!(connections.admission(3, later), refuse(0));
        // One was refused, and lingers above the limit of two.
        connections.enter(ids[0], Phase::Lingering, now, None);
        assert_eq!(connections.admission(3, later), serve(1));
        assert_eq!(connections.admission(2, later), refuse(1));
        // Another is new: it is idle once it is served.
        connections.enter(ids[1], Phase::Idle, later, None);
        assert_eq!(connections.admission(2, later), Admission::Later);
        connections.get_mut(ids[1]).unwrap().finish_response();
        assert_eq!(connections.admission(2, later), serve(2));
    }

    #[test]
    fn readers_of_the_slowest_page_lose_it_after_they_had_their_time() {
        let now = Instant::now();
        let (mut connections, ids, _clients) = connections(3, now);
        let mut pool = super::super::page_pool::PagePool::default();
        let pages = [pool.take(), pool.take()];
        // A reader of the first page has read something, the others have not.
        pool.bytes_mut(pages[0]).extend_from_slice(b"page");
        for (n, &id) in ids.iter().enumerate() {
            let connection = connections.get_mut(id).unwrap();
            connection.begin_response(Some(pages[n / 2]), now);
        }
        let first = connections.get_mut(ids[0]).unwrap();
        assert_eq!(first.flush(&pool, now).unwrap(), Sent::All(4));
        let mut slowest = Vec::new();
        connections.slowest_readers(now + STALLED / 2, &mut slowest);
        assert_eq!(slowest, []);
        connections.slowest_readers(now + STALLED, &mut slowest);
        assert_eq!(slowest, [ids[2]]);
        // One that progresses is given more time.
        let stalled = now + STALLED;
        connections.enter(ids[2], Phase::Writing, stalled, None);
        slowest.clear();
        connections.slowest_readers(stalled + STALLED / 2, &mut slowest);
        assert_eq!(slowest, [ids[0], ids[1]]);
    }

    use super::super::connection::Sent;
}
