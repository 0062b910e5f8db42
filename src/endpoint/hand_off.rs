//! The two places where the endpoint asks its host: for values that are fresh,
//! and to take what is not ours.

use std::os::fd::OwnedFd;
use std::time::Duration;

use super::handle::Shared;
use crate::sync::Ordering;
use std::sync::Arc;

/// Takes connections whose next request is not for the metrics.
///
/// With a hand-off, the endpoint answers `GET` and `HEAD` of `/metrics` and
/// `/metrics/`, and every other connection goes to the host, also one that had
/// asked for the metrics before. Nothing has been read of the request that is
/// handed over, nor of anything behind it.
pub trait HandOff: Send {
    /// Takes the connection, which is non-blocking and closed on exec.
    ///
    /// Runs on the endpoint's thread: it must not block. A connection that
    /// comes back as an error is told `503` and closed.
    fn hand_off(&mut self, connection: OwnedFd) -> Result<(), OwnedFd>;
}

/// Is asked for fresh values before a page is made.
///
/// For hosts whose values live elsewhere, say in an interpreter that is busy:
/// the scrapes wait, parked, while connections of others go on.
pub trait Freshness: Send + Sync {
    /// Begins to refresh the values. `None`: they are fresh, or it is not worth
    /// waiting for them. `Some`: wait until [`Notifier::ready`], but no longer
    /// than that, then serve what is there.
    ///
    /// Runs on the endpoint's thread: it must not block. It is asked once for
    /// all scrapes that wait at the same time, and not again before their
    /// waiting is over.
    fn request(&self, notify: Notifier) -> Option<Duration>;
}

/// Ends the waiting that it was made for. Dropping it ends nothing.
#[derive(Clone)]
pub struct Notifier {
    shared: Arc<Shared>,
    request: u64,
}

impl Notifier {
    pub(super) fn new(shared: &Arc<Shared>, request: u64) -> Self {
        Self {
            shared: Arc::clone(shared),
            request,
        }
    }

    /// Says that the values are fresh. From any thread; too late or twice does
    /// nothing.
    pub fn ready(&self) {
        // Release: pairs with the Acquire of the loop that asks for it, so
        // that the values set before are on its page.
        self.shared.fresh.fetch_max(self.request, Ordering::Release);
        self.shared.wake();
    }
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notifier")
            .field("request", &self.request)
            .finish()
    }
}
