//! Handing connections over to the host's own server.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use super::connections::ConnectionId;
use super::handlers::ConnectionHandler;
use super::limits::{RETRY, max_descriptors};

/// The host's handler, and the connections that wait for it.
pub(super) struct HandOver {
    handler: Box<dyn ConnectionHandler>,
    waiting: VecDeque<ConnectionId>,
    /// The time to look at the handler again, if connections wait.
    retry: Option<Instant>,
}

/// The outcome of handing over.
pub(super) enum HandedOver {
    /// The host has the connection.
    Taken,
    /// The host does not take it.
    Refused(OwnedFd),
    /// The handler panicked, and lost it.
    Lost,
}

impl HandOver {
    pub(super) fn new(handler: Box<dyn ConnectionHandler>) -> Self {
        Self {
            handler,
            waiting: VecDeque::new(),
            retry: None,
        }
    }

    /// Whether as many connections wait for the host as may: a quarter of the
    /// process's file descriptors.
    pub(super) fn is_full(&mut self) -> bool {
        // A handler that panics here takes connections as it always does.
        let waiting = catch_unwind(AssertUnwindSafe(|| self.handler.waiting()));
        waiting.unwrap_or(0) >= max_descriptors().max(1)
    }

    pub(super) fn hand_over(&mut self, connection: OwnedFd) -> HandedOver {
        match catch_unwind(AssertUnwindSafe(|| self.handler.handle(connection))) {
            Ok(Ok(())) => HandedOver::Taken,
            Ok(Err(connection)) => HandedOver::Refused(connection),
            Err(_) => HandedOver::Lost,
        }
    }

    /// Has a connection wait for the host.
    pub(super) fn wait(&mut self, id: ConnectionId, retry: Instant) {
        self.waiting.push_back(id);
        self.retry.get_or_insert(retry);
    }

    /// Returns a connection that waited and can be handed over.
    pub(super) fn next_waiting(&mut self, now: Instant) -> Option<ConnectionId> {
        if self.waiting.is_empty() || self.retry.is_some_and(|retry| retry > now) {
            return None;
        }
        if self.is_full() {
            self.retry = Some(now + RETRY);
            return None;
        }
        let next = self.waiting.pop_front();
        if self.waiting.is_empty() {
            self.retry = None;
        }
        next
    }

    /// The time at which connections that wait can be tried again.
    pub(super) fn next_time(&self) -> Option<Instant> {
        self.retry
    }
}
