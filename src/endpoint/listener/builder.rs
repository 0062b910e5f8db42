//! Building an endpoint.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use super::document::Document;
use super::error::{SpawnError, SpawnErrorKind};
use super::event_loop::{self, EventLoop};
use super::hand_over::HandOver;
use super::handle::{Endpoint, HandleState};
use super::handlers::{ConnectionHandler, Pages, Refresh};
use super::limits::Limits;
use super::listening_socket::{ListeningSocket, bind_all};
use super::scrapes::ScrapeQueue;
use super::self_metrics::SelfMetrics;
use super::signals::BlockedSignals;
use crate::Registry;
use crate::endpoint::gzip::Compressor;
use crate::exposition::Offer;
use crate::sync::{AtomicBool, AtomicU64};

/// Serves a registry's metrics at `/metrics` of an address, on a thread of its
/// own: `"0.0.0.0:9000"`, `"[::]:9000"` (IPv4 too), `"localhost:9000"` (every
/// address of the name). A [`Builder`] has more options.
///
/// # Errors
/// See [`Builder::spawn`].
pub fn serve(registry: &Registry, address: impl ToSocketAddrs) -> Result<Endpoint, SpawnError> {
    Builder::new(registry).listen(address).spawn()
}

/// Configures and starts an endpoint.
///
/// Setters cannot fail: [`spawn`](Self::spawn) reports what is wrong with their
/// arguments.
#[must_use = "it does nothing until it is spawned"]
pub struct Builder {
    registry: Registry,
    addresses: Vec<io::Result<Vec<SocketAddr>>>,
    unix: Vec<PathBuf>,
    sockets: Vec<io::Result<(OwnedFd, IsLent)>>,
    limits: Limits,
    is_self_metric_shown: Box<dyn Fn(&str) -> bool + Send>,
    gzip: bool,
    offer: Offer,
    refresh: Option<Box<dyn Refresh>>,
    handler: Option<Box<dyn ConnectionHandler>>,
    documents: Vec<Document>,
    pages: Option<Box<dyn Pages>>,
}

/// Whether a socket stays with its owner.
type IsLent = bool;

impl Builder {
    /// An endpoint without an address.
    pub fn new(registry: &Registry) -> Self {
        Self {
            registry: registry.clone(),
            addresses: Vec::new(),
            unix: Vec::new(),
            sockets: Vec::new(),
            limits: Limits::default(),
            is_self_metric_shown: Box::new(|_| false),
            gzip: true,
            offer: Offer::new(),
            refresh: None,
            handler: None,
            documents: Vec::new(),
            pages: None,
        }
    }

    /// Adds a TCP address to listen at; every address of a name. `[::]` accepts
    /// IPv4 connections as well, unless `0.0.0.0` is added with the same port.
    /// Port 0 chooses a free one. A name is resolved by this call.
    pub fn listen(mut self, address: impl ToSocketAddrs) -> Self {
        self.addresses
            .push(address.to_socket_addrs().map(Iterator::collect));
        self
    }

    /// Adds a Unix socket to listen at. A socket file without a listener is
    /// replaced, and the file is removed at the end.
    pub fn listen_unix(mut self, path: impl Into<PathBuf>) -> Self {
        self.unix.push(path.into());
        self
    }

    /// Adds a listening TCP socket, which is closed with the endpoint.
    pub fn listener(self, listener: TcpListener) -> Self {
        self.listener_fd(listener.into())
    }

    /// Adds a listening TCP or Unix socket, which is closed with the endpoint.
    pub fn listener_fd(mut self, listener: OwnedFd) -> Self {
        self.sockets.push(Ok((listener, false)));
        self
    }

    /// Adds a listening socket that stays with its owner: the endpoint uses a
    /// duplicate of the descriptor. The owner should not accept meanwhile. The
    /// socket is made non-blocking; its owner can use it again when the endpoint
    /// has ended.
    pub fn lent_listener(mut self, listener: impl AsFd) -> Self {
        let duplicate = listener.as_fd().try_clone_to_owned();
        self.sockets.push(duplicate.map(|socket| (socket, true)));
        self
    }

    /// Sets the bounds.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets whether the endpoint's own metrics are on the page. They are not
    /// unless set.
    ///
    /// The families begin with `stethoscope_http_`: open, accepted, handed over
    /// and dropped connections (by `reason`, named like the [`Limits`]); responses
    /// by `code`, and their bytes; the time to make a page, and from a request to
    /// the end of its response. A registry can have those of one endpoint.
    ///
    /// They change with each scrape, so that no compressed page can be sent a
    /// second time.
    pub fn self_metrics(self, on_the_page: bool) -> Self {
        self.self_metrics_filter(move |_| on_the_page)
    }

    /// Sets which of the endpoint's own metrics are on the page: those for whose
    /// family name the filter returns true.
    pub fn self_metrics_filter(mut self, filter: impl Fn(&str) -> bool + Send + 'static) -> Self {
        self.is_self_metric_shown = Box::new(filter);
        self
    }

    /// Sets whether pages are compressed for clients that ask for it. They are
    /// unless set, if the crate's feature `gzip` is on. A page that fits in a
    /// packet is not compressed.
    pub fn gzip(mut self, compress: bool) -> Self {
        self.gzip = compress;
        self
    }

    /// Sets whether scrapers that ask for OpenMetrics 2.0 get it. They do not unless set:
    /// see [`Format::OpenMetrics2`](crate::exposition::Format::OpenMetrics2).
    pub fn openmetrics2(mut self, offered: bool) -> Self {
        self.offer = self.offer.with_openmetrics2(offered);
        self
    }

    /// Sets a callback that refreshes values before each page.
    pub fn refresh(mut self, refresh: impl Refresh + 'static) -> Self {
        self.refresh = Some(Box::new(refresh));
        self
    }

    /// Sets a callback that takes over connections whose request is not for the
    /// metrics.
    pub fn connection_handler(mut self, handler: impl ConnectionHandler + 'static) -> Self {
        self.handler = Some(Box::new(handler));
        self
    }

    /// Adds a document to serve. Values are refreshed before it as before the
    /// metrics, and requests for it are never handed over.
    pub fn document(mut self, document: &Document) -> Self {
        self.documents.push(document.clone());
        self
    }

    /// Sets a callback that answers requests for other paths. With a
    /// [`connection_handler`](Self::connection_handler), it is asked about nothing.
    pub fn pages(mut self, pages: impl Pages + 'static) -> Self {
        self.pages = Some(Box::new(pages));
        self
    }

    /// Listens, and starts the thread. The thread blocks all signals but those of
    /// faults, so that they reach the threads of the host application.
    ///
    /// # Errors
    /// A [`SpawnError`] whose [`kind`](SpawnError::kind) says which setting is
    /// wrong, which address cannot be listened at, or what the system lacks.
    pub fn spawn(self) -> Result<Endpoint, SpawnError> {
        let limits = self.limits.check()?;
        check_paths(&self.documents)?;
        let listeners = listen_all(self.addresses, &self.unix, self.sockets)?;
        let addresses = listeners
            .iter()
            .map(|listener| listener.address().clone())
            .collect();
        let poll = mio::Poll::new()?;
        let shared = Arc::new(HandleState {
            waker: mio::Waker::new(poll.registry(), event_loop::WAKER)?,
            closing: AtomicBool::new(false),
            fresh: AtomicU64::new(0),
        });
        let metrics = SelfMetrics::new(&self.registry, &self.is_self_metric_shown)
            .map_err(|error| SpawnError::new(SpawnErrorKind::SelfMetrics(error)))?;
        let compressor = if self.gzip { Compressor::new() } else { None };
        let scrapes = ScrapeQueue::new(
            &self.registry,
            self.refresh,
            Arc::clone(&shared),
            compressor,
            metrics.page_seconds.clone(),
        );
        let event_loop = EventLoop::new(
            poll,
            Arc::clone(&shared),
            listeners,
            limits,
            metrics,
            scrapes,
            self.documents,
            self.pages,
            self.handler.map(HandOver::new),
        )?
        .with_offer(self.offer);
        let signals = BlockedSignals::new();
        let thread = std::thread::Builder::new()
            .name("stethoscope".to_owned())
            .spawn(move || event_loop.run())?;
        drop(signals);
        Ok(Endpoint::new(shared, addresses, thread))
    }
}

/// Checks that requests can tell the documents from each other.
fn check_paths(documents: &[Document]) -> Result<(), SpawnError> {
    for (at, document) in documents.iter().enumerate() {
        let path = document.path();
        let is_taken = documents[..at].iter().any(|other| other.path() == path);
        if is_taken || !document.has_valid_path() {
            let kind = SpawnErrorKind::DocumentPath(path.to_owned());
            return Err(SpawnError::new(kind));
        }
    }
    Ok(())
}

fn listen_all(
    addresses: Vec<io::Result<Vec<SocketAddr>>>,
    unix: &[PathBuf],
    sockets: Vec<io::Result<(OwnedFd, IsLent)>>,
) -> Result<Vec<ListeningSocket>, SpawnError> {
    let addresses: Vec<Vec<SocketAddr>> = addresses
        .into_iter()
        .collect::<io::Result<_>>()
        .map_err(|error| SpawnError::new(SpawnErrorKind::Resolve(error)))?;
    let mut listeners = bind_all(&addresses)?;
    for path in unix {
        listeners.push(ListeningSocket::bind_unix(path)?);
    }
    for socket in sockets {
        let (socket, is_lent) = socket?;
        listeners.push(ListeningSocket::adopt(socket, is_lent)?);
    }
    if listeners.is_empty() {
        return Err(SpawnError::new(SpawnErrorKind::NoAddress));
    }
    Ok(listeners)
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
