//! How connections end: in time, or because theirs is over, or with the endpoint.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;

use super::connection::Phase;
use super::connections::Key;
use super::event_loop::EventLoop;
use super::response::Refusal;
use super::self_metrics::Dropped;

/// How long a client that is reading may go on after a shutdown.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

impl EventLoop {
    /// Ends what has had its time.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.rested.is_some_and(|until| until <= now) {
            self.rested = None;
            (0..self.listeners.len()).for_each(|at| self.accept_in_next_turn(at));
        }
        if self.next_deadline.is_none_or(|next| next > now) {
            return;
        }
        self.next_deadline = None;
        let mut late = std::mem::take(&mut self.late);
        for (key, connection) in self.slots.iter() {
            match connection.deadline() {
                Some(deadline) if deadline <= now => late.push((key, connection.phase())),
                Some(deadline) => self.next_deadline = earlier(self.next_deadline, deadline),
                None => {}
            }
        }
        for (key, phase) in late.drain(..) {
            self.end_late(key, phase, now);
        }
        self.late = late;
    }

    fn end_late(&mut self, key: Key, phase: Phase, now: Instant) {
        match phase {
            Phase::Lingering => self.close(key),
            Phase::Reading => {
                self.meters.dropped(Dropped::HeaderTime);
                self.refuse(key, Refusal::TooSlow, now);
            }
            Phase::Idle => {
                let answered = self.slots.get_mut(key).is_some_and(|c| c.answered);
                let why = if answered {
                    Dropped::IdleTime
                } else {
                    Dropped::HeaderTime
                };
                self.meters.dropped(why);
                self.close(key);
            }
            Phase::Writing | Phase::Waiting => {
                self.meters.dropped(Dropped::WriteTime);
                self.cut(key);
            }
        }
    }

    /// Stops listening, ends what is idle, and lets answers be read.
    pub(super) fn close_down(&mut self, now: Instant) {
        self.closing = true;
        for listener in self.listeners.drain(..) {
            // Whoever lent it, or a forked child, may have it open: closing
            // alone would leave it registered.
            let fd = listener.as_fd().as_raw_fd();
            let _ = self.poll.registry().deregister(&mut SourceFd(&fd));
        }
        self.scrapes.stop_waiting();
        let open: Vec<(Key, Phase)> = self.slots.iter().map(|(key, c)| (key, c.phase())).collect();
        for (key, phase) in open {
            match phase {
                Phase::Idle | Phase::Reading | Phase::Lingering => self.close(key),
                Phase::Waiting | Phase::Writing => {
                    if let Some(connection) = self.slots.get_mut(key) {
                        connection.hurry(now + SHUTDOWN_GRACE);
                    }
                    self.note_deadline(now + SHUTDOWN_GRACE);
                }
            }
        }
    }

    /// How long a client may take to read an answer that begins now.
    pub(super) fn write_time(&self) -> Duration {
        if self.closing {
            SHUTDOWN_GRACE
        } else {
            self.limits.write_time
        }
    }

    pub(super) fn note_deadline(&mut self, deadline: Instant) {
        self.next_deadline = earlier(self.next_deadline, deadline);
    }

    /// Ends a connection whose client is not to get the rest, if it is getting
    /// any: what is unsent is thrown away.
    pub(super) fn cut(&mut self, key: Key) {
        if let Some(connection) = self.slots.get_mut(key) {
            connection.cut();
            self.close(key);
        }
    }

    pub(super) fn close(&mut self, key: Key) {
        // Dropping the socket closes it.
        self.take(key);
    }

    /// Takes a connection out, and all that it holds but its socket.
    pub(super) fn take(&mut self, key: Key) -> Option<OwnedFd> {
        let connection = self.slots.remove(key)?;
        if let Some(page) = connection.page() {
            self.scrapes.release(page);
        }
        let (socket, buffer) = connection.deregister(self.poll.registry());
        self.slots.recycle(key, buffer);
        self.meters.connections.set(self.slots.len() as i64);
        Some(socket)
    }
}

fn earlier(next: Option<Instant>, deadline: Instant) -> Option<Instant> {
    Some(next.map_or(deadline, |next| next.min(deadline)))
}
