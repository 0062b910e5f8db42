//! The listener: one thread, one poll loop, and the hand-off of what is not ours.
//!
//! ```text
//! client ──> kernel ──peek──> whose is it? ── another's ──> HandOff, untouched
//!                               │ ours, and whole
//!                               ▼
//!                  what does it want? ── nothing we have ──> 4xx, in words
//!                               │ format, families, gzip
//!                               ▼
//!            fresh values? ── not yet ──> parked, while others go on
//!                               │ yes, or waited long enough
//!                               ▼
//!        Scraper ──> page, one for all who ask for it now ──> gzip ──> client
//! ```
//!
//! A request stays in the kernel's buffer until its head is whole and known to
//! be ours: a connection costs no memory for what comes in, and one that is for
//! somebody else can be given away with every byte that it brought. A page is
//! held once, however many are sending it. Nothing that a client does or leaves
//! undone holds up another, and all that is held has a bound ([`Limits`]). On a
//! connection that is kept alive a request allocates nothing, compressed or not.
//!
//! What is there:
//!
//! | path | what |
//! |---|---|
//! | `/metrics`, `/metrics/` | the page, in the format that the `Accept` header asks for; tables for a browser |
//! | `/metrics?name[]=a&name[]=b` | of these families only |
//! | `/` | what is here, unless everything else is handed over |
//! | any other | a [`Document`] of the host's, if it has one there |
//!
//! HTTP/1.0 and 1.1, `GET` and `HEAD`, kept alive and pipelined. Requests that
//! two readers could take for different ones (bodies, lengths given twice, bare
//! line feeds, folded headers) are refused, and their connection is closed.
//!
//! ```
//! use std::time::Duration;
//! use stethoscope::Registry;
//! use stethoscope::endpoint::{Builder, Limits};
//!
//! let registry = Registry::new();
//! let endpoint = Builder::new(&registry)
//!     .listen("127.0.0.1:0")?
//!     .limits(Limits { connections: 64, ..Limits::default() })
//!     .metrics(true) // what it counts of itself, on the same page
//!     .spawn()?;
//! println!("http://{}/metrics", endpoint.local_addr().unwrap());
//! endpoint.shutdown();
//! endpoint.join()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Those who run an HTTP server already take a [`Responder`] instead.

mod accept;
mod connection;
mod connections;
mod document;
mod event_loop;
mod gzip;
mod hand_off;
mod handle;
mod html;
mod limits;
mod listener;
mod page_pool;
mod request;
mod responder;
mod response;
mod route;
mod scrapes;
mod selection;
pub mod self_metrics;
mod timeouts;

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

pub use document::Document;
pub use hand_off::{Freshness, HandOff, Notifier};
pub use handle::Endpoint;
pub use limits::Limits;
pub use listener::Address;
pub use responder::{Responder, ScrapeRequest, ScrapeResponse};

use crate::Registry;
use crate::sync::{AtomicBool, AtomicU64};
use event_loop::{EventLoop, Others};
use gzip::Compressor;
use handle::Shared;
use listener::Listener;
use scrapes::Scrapes;
use self_metrics::Meters;

/// Serves a registry's metrics at `/metrics` of an address, on a thread of its
/// own: `"0.0.0.0:9000"`, `"[::]:9000"` (IPv4 too), `"localhost:9000"` (all that
/// the name stands for). A [`Builder`] has more to say.
///
/// # Errors
/// As [`Builder::listen`] and [`Builder::spawn`].
pub fn serve(registry: &Registry, address: impl ToSocketAddrs) -> io::Result<Endpoint> {
    Builder::new(registry).listen(address)?.spawn()
}

/// What holds for the reading of any bytes as a request: the fuzz target's
/// property, which the tests check too.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn check_request_reading(bytes: &[u8]) {
    request::check_reading(bytes);
}

/// What an endpoint listens at, and how it behaves.
pub struct Builder {
    registry: Registry,
    addresses: Vec<Vec<SocketAddr>>,
    unix: Vec<PathBuf>,
    adopted: Vec<OwnedFd>,
    limits: Limits,
    /// Which of its own families are on the page, by name.
    metrics: Box<dyn Fn(&str) -> bool + Send>,
    gzip: bool,
    freshness: Option<Arc<dyn Freshness>>,
    hand_off: Option<Box<dyn HandOff>>,
    documents: Vec<Document>,
}

impl Builder {
    /// An endpoint that listens nowhere yet.
    pub fn new(registry: &Registry) -> Self {
        Self {
            registry: registry.clone(),
            addresses: Vec::new(),
            unix: Vec::new(),
            adopted: Vec::new(),
            limits: Limits::default(),
            metrics: Box::new(|_| false),
            gzip: true,
            freshness: None,
            hand_off: None,
            documents: Vec::new(),
        }
    }

    /// Listens at an address, beside the others: at all that a name stands for.
    /// `[::]` takes IPv4 as well, unless `0.0.0.0` is listened at with the same
    /// port; port 0 finds a free one.
    ///
    /// # Errors
    /// Where the name can't be resolved.
    pub fn listen(mut self, address: impl ToSocketAddrs) -> io::Result<Self> {
        self.addresses.push(address.to_socket_addrs()?.collect());
        Ok(self)
    }

    /// Listens at a Unix socket, beside the others. A socket file that nobody
    /// listens at any more is replaced, and the file is removed at the end.
    pub fn listen_unix(mut self, path: impl Into<PathBuf>) -> Self {
        self.unix.push(path.into());
        self
    }

    /// Takes over a listening TCP socket, beside the others.
    pub fn listener(self, listener: TcpListener) -> Self {
        self.listener_fd(listener.into())
    }

    /// Takes over a listening socket, TCP or Unix.
    pub fn listener_fd(mut self, listener: OwnedFd) -> Self {
        self.adopted.push(listener);
        self
    }

    /// Accepts from a listening socket that stays with its owner, through a
    /// duplicate of the descriptor. Its owner should not accept meanwhile, and
    /// finds it non-blocking; when the endpoint has ended, it can go on.
    ///
    /// # Errors
    /// Where the process has no descriptor left for the duplicate.
    pub fn lent_listener(mut self, listener: impl AsFd) -> io::Result<Self> {
        self.adopted.push(listener.as_fd().try_clone_to_owned()?);
        Ok(self)
    }

    /// Sets the bounds.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Puts what the endpoint counts of itself on the page, as families whose
    /// names begin with `stethoscope_http_`: connections that are open, accepted,
    /// handed over, and dropped by a bound (by `reason`, named like the
    /// [`Limits`]); responses by `code`, and their bytes; the time to make a page,
    /// and from request to response. A registry can have those of one endpoint.
    ///
    /// They change with each scrape: a page that has them is never the same as
    /// before, and so is compressed anew for each.
    pub fn metrics(self, on_the_page: bool) -> Self {
        self.metrics_only(move |_| on_the_page)
    }

    /// The same, of those families alone for whose name `shown` says so.
    pub fn metrics_only(mut self, shown: impl Fn(&str) -> bool + Send + 'static) -> Self {
        self.metrics = Box::new(shown);
        self
    }

    /// Whether pages are compressed for clients that ask for it. They are unless
    /// set, where the crate's `gzip` feature is on. Pages that fit in a packet
    /// never are, and one that is the same as before is not compressed again.
    pub fn gzip(mut self, compress: bool) -> Self {
        self.gzip = compress;
        self
    }

    /// Asks for fresh values before each page.
    pub fn freshness(mut self, freshness: Arc<dyn Freshness>) -> Self {
        self.freshness = Some(freshness);
        self
    }

    /// Gives every connection away whose request is not for the metrics.
    pub fn hand_off(mut self, hand_off: Box<dyn HandOff>) -> Self {
        self.hand_off = Some(hand_off);
        self
    }

    /// Serves a document beside the metrics. Requests for it are asked fresh
    /// values for as those for the metrics are, and never handed over.
    pub fn document(mut self, document: &Document) -> Self {
        self.documents.push(document.clone());
        self
    }

    /// Listens, and starts the thread.
    ///
    /// # Errors
    /// Where a limit is 0; where it can't listen, or can't make a thread; where it is told to listen
    /// nowhere; where a document's path is none, or taken; where the registry has
    /// the metrics of an endpoint already.
    pub fn spawn(self) -> io::Result<Endpoint> {
        let limits = self.limits.checked()?;
        for (at, document) in self.documents.iter().enumerate() {
            let is_taken = |other: &Document| other.path() == document.path();
            if !document.can_be_asked_for() || self.documents[..at].iter().any(is_taken) {
                let words = format!(
                    "no document can be at {:?}: give it another path",
                    document.path()
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, words));
            }
        }
        let mut listeners = listener::bind_all(&self.addresses)?;
        for path in &self.unix {
            listeners.push(Listener::bind_unix(path).map_err(|error| {
                let path = path.display();
                io::Error::new(error.kind(), format!("can't listen at {path}: {error}"))
            })?);
        }
        for socket in self.adopted {
            listeners.push(Listener::adopt(socket)?);
        }
        if listeners.is_empty() {
            let words = "the endpoint is told to listen nowhere: give it an address or a listener";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, words));
        }
        let addresses = listeners
            .iter()
            .map(|listener| listener.address().clone())
            .collect();

        let poll = mio::Poll::new()?;
        let shared = Arc::new(Shared {
            waker: mio::Waker::new(poll.registry(), event_loop::WAKER)?,
            closing: AtomicBool::new(false),
            fresh: AtomicU64::new(0),
        });
        let meters = Meters::new(&self.registry, &self.metrics).map_err(io::Error::other)?;
        let compressor = if self.gzip { Compressor::new() } else { None };
        let scrapes = Scrapes::new(self.registry.scraper(), self.freshness, compressor);
        let others = Others {
            documents: self.documents,
            hand_off: self.hand_off,
        };
        let event_loop = EventLoop::new(
            poll,
            Arc::clone(&shared),
            listeners,
            limits,
            meters,
            scrapes,
            others,
        )?;
        let thread = std::thread::Builder::new()
            .name("stethoscope".to_owned())
            .spawn(move || event_loop.run())?;
        Ok(Endpoint::new(shared, addresses, thread))
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("addresses", &self.addresses)
            .field("unix", &self.unix)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
