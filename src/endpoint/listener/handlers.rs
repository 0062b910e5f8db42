//! Callbacks that the host application implements: refreshing values before a
//! scrape, pages at other paths, and taking over connections that are not for the
//! metrics.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use super::handle::HandleState;
use crate::endpoint::{ScrapeRequest, ScrapeResponse};
use crate::sync::Ordering;

/// Takes over connections whose next request is not for the metrics.
///
/// With a handler, the endpoint answers `GET` and `HEAD` of `/metrics`,
/// `/metrics/` and its documents. Every other connection goes to the handler,
/// even if it asked for the metrics before. The endpoint has read nothing of the
/// request that it hands over, nor of anything after it.
pub trait ConnectionHandler: Send {
    /// Takes a connection over. It is non-blocking and closed on exec.
    ///
    /// Runs on the endpoint's thread: it must not block.
    ///
    /// # Errors
    /// Returns the connection if the handler cannot take it. Its client is sent
    /// status 503, and it is closed.
    fn handle(&mut self, connection: OwnedFd) -> Result<(), OwnedFd>;

    /// The number of connections that were handed over and that the host has not
    /// begun to serve, for example because its event loop is blocked.
    ///
    /// While it is a quarter of the process's limit on file descriptors, the
    /// endpoint hands over no more and accepts no new connection: they wait in
    /// the kernel, where they take no descriptor of the process.
    fn waiting(&self) -> usize {
        0
    }
}

/// Answers requests for paths that are known only when they are asked for, for
/// example the pages of other processes.
///
/// ```
/// # use std::io::{Read, Write};
/// # use stethoscope::Registry;
/// # use stethoscope::endpoint::{Builder, Pages, Responder, ScrapeRequest, ScrapeResponse};
/// struct Tenants(Vec<(String, Responder)>);
///
/// impl Pages for Tenants {
///     fn respond(&mut self, path: &str, request: &ScrapeRequest<'_>) -> Option<ScrapeResponse<'_>> {
///         let name = path.strip_prefix("/tenant/")?;
///         let (_, responder) = self.0.iter_mut().find(|(tenant, _)| tenant == name)?;
///         Some(responder.respond(request))
///     }
/// }
///
/// let tenant = Registry::new();
/// tenant.gauge("answer", "The answer.")?.set(42);
/// let tenants = Tenants(vec![("a".to_owned(), Responder::new(&tenant))]);
/// let endpoint = Builder::new(&Registry::new())
///     .pages(tenants)
///     .listen("127.0.0.1:0")
///     .spawn()?;
///
/// let mut client = std::net::TcpStream::connect(endpoint.local_addr().unwrap())?;
/// client.write_all(b"GET /tenant/a HTTP/1.0\r\n\r\n")?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert!(answer.ends_with("answer 42\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Pages: Send {
    /// Returns the response to a request of the method `GET` or `HEAD`, or `None` if
    /// there is nothing at the path: the client is then sent status 404.
    ///
    /// Runs on the endpoint's thread: other connections wait meanwhile. If it panics,
    /// the client is sent status 500.
    fn respond(&mut self, path: &str, request: &ScrapeRequest<'_>) -> Option<ScrapeResponse<'_>>;
}

/// Refreshes values before a page is made.
///
/// For hosts whose values live elsewhere, for example in an interpreter that may
/// be busy: the scrapes wait while other connections are served.
pub trait Refresh: Send {
    /// Begins to refresh the values. Returns the longest time to wait for
    /// [`RefreshDone::notify`], after which the page is made from the values at
    /// hand, or `None` if there is nothing to wait for.
    ///
    /// Runs on the endpoint's thread: it must not block. It is called once for
    /// all scrapes that wait at the same time, and not again while they wait.
    fn refresh(&mut self, done: RefreshDone) -> Option<Duration>;
}

/// Tells the endpoint that the values it asked for are fresh.
///
/// Dropping it has no effect: the scrapes then wait for as long as they were
/// told.
#[derive(Clone)]
#[must_use = "scrapes wait until it is notified"]
pub struct RefreshDone {
    shared: Arc<HandleState>,
    request: u64,
}

impl RefreshDone {
    pub(super) fn new(shared: &Arc<HandleState>, request: u64) -> Self {
        Self {
            shared: Arc::clone(shared),
            request,
        }
    }

    /// Ends the waiting. Callable from any thread; a call that is late, or the
    /// second one, has no effect.
    pub fn notify(&self) {
        // Release: pairs with the Acquire in `Refresher::is_waiting`, so that
        // the page has the values that were set before.
        self.shared.fresh.fetch_max(self.request, Ordering::Release);
        self.shared.wake();
    }
}

impl std::fmt::Debug for RefreshDone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RefreshDone")
            .field("request", &self.request)
            .finish()
    }
}
