//! What the endpoint holds at most, and how long it waits.

use std::io;
use std::time::Duration;

/// The bounds of an endpoint: whatever clients do, it holds no more than this.
///
/// What is refused or cut short by a bound is counted, see
/// [`Builder::metrics`](super::Builder::metrics).
///
/// ```
/// use std::time::Duration;
/// use stethoscope::endpoint::Limits;
/// let limits = Limits { idle_time: Duration::from_secs(30), ..Limits::default() };
/// assert_eq!(limits.connections, 512);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once, 512 unless set. One more takes the place of the
    /// connection that is least missed: one whose answer is given and whose
    /// client is only to hear of it, then the one idle for longest, then the
    /// one that has kept us waiting for a request for longest, then one whose
    /// client has read nothing for a second. If there is none of these, the
    /// newcomer is told `503` and closed. So neither idle nor silent clients
    /// can keep a scraper out.
    pub connections: usize,
    /// Bytes of a request's head, 16 KiB unless set. A longer one is refused
    /// with `414` or `431`.
    pub header_bytes: usize,
    /// Time for a request's head to arrive, from the connection or, on one
    /// that is kept alive, from its first byte on; 5 s unless set. After it, a
    /// client that has begun is told `408`.
    pub header_time: Duration,
    /// Time for a client to read a response, 30 s unless set. After it, the
    /// connection is cut.
    pub write_time: Duration,
    /// Time between two requests of one connection, 300 s unless set.
    pub idle_time: Duration,
    /// Pages held for clients that are behind in reading, 8 unless set.
    /// Clients that ask at the same moment share a page. Where one more would
    /// be held, the clients of the page whose reading has made no progress for
    /// longest are cut.
    pub pages: usize,
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

/// As good as for ever, and still a moment that a clock can name.
const A_YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// Fewer bytes have no room for a request line and a `Host`.
const LEAST_HEADER_BYTES: usize = 128;

impl Limits {
    /// The bounds as the loop can keep them, or what is wrong with them.
    pub(super) fn checked(self) -> io::Result<Self> {
        let wrong = if self.header_bytes < LEAST_HEADER_BYTES {
            "Limits::header_bytes leaves no room for a request: it must be at least 128"
        } else if self.connections == 0 {
            "Limits::connections lets nobody in: it must be at least 1"
        } else if self.pages == 0 {
            "Limits::pages holds no page for anybody: it must be at least 1"
        } else {
            return Ok(Self {
                header_time: self.header_time.min(A_YEAR),
                write_time: self.write_time.min(A_YEAR),
                idle_time: self.idle_time.min(A_YEAR),
                ..self
            });
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, wrong))
    }
}
