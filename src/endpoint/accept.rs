//! Who is let in, and who has to go for it.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::connection::{Connection, Phase};
use super::event_loop::EventLoop;
use super::response::Refusal;
use super::self_metrics::Dropped;

/// Connections accepted from one listener before others have their turn.
const ACCEPTS_IN_A_TURN: usize = 64;
/// How long a listener rests when the process has no file descriptor left. The
/// kernel keeps the connections for us meanwhile.
const DESCRIPTOR_REST: Duration = Duration::from_millis(100);
/// How long a client has to have read nothing to lose its place to another.
const STALLED: Duration = Duration::from_secs(1);

impl EventLoop {
    /// Lets in who waits at a listener.
    pub(super) fn accept(&mut self, at: usize, now: Instant) {
        for _ in 0..ACCEPTS_IN_A_TURN {
            let Some(listener) = self.listeners.get(at) else {
                return;
            };
            let error = match listener.accept() {
                Ok(socket) => {
                    self.admit(socket, now);
                    continue;
                }
                Err(error) => error,
            };
            match error.kind() {
                io::ErrorKind::WouldBlock => return,
                // Its client gave up meanwhile; the next may be there.
                io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {}
                // No descriptor, or no memory, for one more. If no connection
                // can be spared, wait for the process to be better off: to try
                // again at once would take all of the processor for nothing.
                _ => {
                    if !self.evict(Dropped::Descriptors, now) {
                        self.rested = Some(now + DESCRIPTOR_REST);
                        return;
                    }
                }
            }
        }
        self.accept_in_next_turn(at);
    }

    fn admit(&mut self, socket: OwnedFd, now: Instant) {
        self.meters.accepted.inc();
        let mut full = self.slots.len() >= self.limits.connections;
        if full {
            self.evict(Dropped::Connections, now);
            // The one that has gone may have been one too many: who is refused
            // stays until it has read that.
            full = self.slots.len() >= self.limits.connections;
        }
        let deadline = now + self.limits.header_time;
        let key = self
            .slots
            .insert(|buffer| Connection::new(socket, buffer, now, deadline));
        self.meters.connections.set(self.slots.len() as i64);
        self.note_deadline(deadline);
        let connection = self.slots.get_mut(key).expect("it was just put in");
        if connection
            .register(self.poll.registry(), key.token())
            .is_err()
        {
            self.meters.dropped(Dropped::Descriptors);
            self.close(key);
        } else if full {
            self.meters.dropped(Dropped::Connections);
            self.refuse(key, Refusal::Busy, now);
        }
    }

    /// Ends the connection that is least missed, to make room.
    fn evict(&mut self, why: Dropped, now: Instant) -> bool {
        let rank = |connection: &Connection| match connection.phase() {
            Phase::Lingering => Some(0),
            Phase::Idle if connection.answered => Some(1),
            Phase::Idle | Phase::Reading => Some(2),
            Phase::Writing if connection.since() + STALLED < now => Some(3),
            Phase::Writing | Phase::Waiting => None,
        };
        let least_missed = self
            .slots
            .iter()
            .filter_map(|(key, connection)| Some((rank(connection)?, connection.since(), key)))
            .min_by_key(|(rank, since, _)| (*rank, *since));
        let Some((_, _, key)) = least_missed else {
            return false;
        };
        self.meters.dropped(why);
        self.cut(key);
        true
    }

    /// Looks at a listener in the next turn.
    pub(super) fn accept_in_next_turn(&mut self, at: usize) {
        if !self.accept_again.contains(&at) {
            self.accept_again.push(at);
        }
    }
}
