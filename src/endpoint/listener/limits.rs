//! Bounds on what an endpoint holds, and on how long it waits.

use std::time::Duration;

use super::error::{SpawnError, SpawnErrorKind};

/// The bounds of an endpoint. Whatever clients do, it holds no more than this.
///
/// Connections that a bound ends early are counted, see
/// [`Builder::self_metrics`](super::Builder::self_metrics).
///
/// ```
/// use std::time::Duration;
/// use stethoscope::endpoint::Limits;
/// let limits = Limits::default().connections(64).idle_time(Duration::from_secs(30));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(super) connections: usize,
    pub(super) header_bytes: usize,
    pub(super) header_time: Duration,
    pub(super) write_time: Duration,
    pub(super) idle_time: Duration,
    pub(super) pages: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            header_bytes: 16 * 1024,
            header_time: Duration::from_secs(5),
            write_time: Duration::from_secs(30),
            idle_time: Duration::from_secs(300),
            pages: 8,
        }
    }
}

/// Long enough to count as unlimited, and short enough for a clock's range.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// Fewer bytes have no room for a request line and a `Host` header.
const MIN_HEADER_BYTES: usize = 128;

/// The time between two looks at a host that takes no connections, and at pages
/// that are not read.
pub(super) const RETRY: Duration = Duration::from_millis(20);

impl Limits {
    /// Sets the number of connections at once; 512 unless set. It is at most a
    /// quarter of the process's soft limit on file descriptors, so that the host
    /// application can open its own.
    ///
    /// At the limit a new connection evicts the first of these that exists: a
    /// connection whose response is sent and whose client has yet to close it,
    /// the one that has been idle the longest, the one that has kept the endpoint
    /// waiting for a request the longest, and one whose client has read nothing
    /// for a second. If none exists, the new connection is sent status 503, and
    /// stays open for at most a second beside the others. So neither idle nor silent
    /// clients can keep a scraper out.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// Sets the length of a request's head in bytes; 16 KiB unless set. A longer
    /// head is refused with status 414 or 431. A connection buffers at most this
    /// many bytes of requests.
    #[must_use]
    pub fn header_bytes(mut self, bytes: usize) -> Self {
        self.header_bytes = bytes;
        self
    }

    /// Sets the time for a request's head to arrive; 5 s unless set. It begins
    /// with the connection or, on a connection that is kept alive, with the
    /// request's first byte. A client that has sent a part by then is sent status
    /// 408.
    #[must_use]
    pub fn header_time(mut self, time: Duration) -> Self {
        self.header_time = time;
        self
    }

    /// Sets the time for a client to read a response; 30 s unless set. After it,
    /// the connection is reset.
    #[must_use]
    pub fn write_time(mut self, time: Duration) -> Self {
        self.write_time = time;
        self
    }

    /// Sets the time between two requests of a connection; 300 s unless set.
    #[must_use]
    pub fn idle_time(mut self, time: Duration) -> Self {
        self.idle_time = time;
        self
    }

    /// Sets the number of pages that are held for clients still reading them; 8
    /// unless set. Clients that ask at the same moment share a page.
    ///
    /// At the limit, scrapes wait until a page has been read, or until its readers
    /// have read nothing for a second or have been at it for five: the clients of
    /// the page that is read most slowly are then reset.
    #[must_use]
    pub fn pages(mut self, pages: usize) -> Self {
        self.pages = pages;
        self
    }

    /// Returns the limits as the event loop can keep them.
    pub(super) fn check(self) -> Result<Self, SpawnError> {
        for (name, value, min) in [
            ("header_bytes", self.header_bytes, MIN_HEADER_BYTES),
            ("connections", self.connections, 1),
            ("pages", self.pages, 1),
        ] {
            if value < min {
                return Err(SpawnError::new(SpawnErrorKind::Limit { name, min }));
            }
        }
        Ok(Self {
            header_time: self.header_time.min(A_YEAR),
            write_time: self.write_time.min(A_YEAR),
            idle_time: self.idle_time.min(A_YEAR),
            ..self
        })
    }
}

/// A quarter of the file descriptors that the process may have.
pub(super) fn max_descriptors() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let soft = limit.current.unwrap_or(u64::MAX);
    usize::try_from(soft / 4).unwrap_or(usize::MAX)
}
