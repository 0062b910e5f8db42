//! The native thread of one server, and its link to the server's event loop.
//!
//! The thread sends events to the loop through a bounded channel, and wakes it by
//! an eventfd; the loop answers through the endpoint's notifier. While a refresh is
//! pending no scrape waits for another, and for a while after one the values count
//! as fresh.

#![allow(unsafe_code)]

use pyo3::prelude::*;
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use stethoscope::endpoint::{Builder, ConnectionHandler, Endpoint, Refresh, RefreshDone};

/// Events that may wait for a blocked loop. One connection more is refused.
const BACKLOG: usize = 1024;

/// The share of the loop's time that samples for scrapes may take.
const SCRAPE_SHARE: f64 = 0.05;

/// The least time between two samples that scrapes ask for.
const LEAST_REST: Duration = Duration::from_millis(10);

/// The time for which the last sample counts as fresh, so that a client which scrapes
/// without pause takes little of the event loop.
pub(super) struct Rest {
    origin: Instant,
    /// The end of the rest, in nanoseconds since the origin.
    until: AtomicU64,
}

impl Rest {
    pub(super) fn new() -> Self {
        Self {
            origin: Instant::now(),
            until: AtomicU64::new(0),
        }
    }

    /// Begins after a sample that took so many seconds of the loop's time.
    pub(super) fn begin(&self, seconds: f64) {
        let proportional = Duration::try_from_secs_f64(seconds / SCRAPE_SHARE);
        let rest = proportional.unwrap_or_default().max(LEAST_REST);
        let until = (self.origin.elapsed() + rest).as_nanos();
        // Relaxed: it publishes nothing but itself.
        self.until
            .store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn is_over(&self) -> bool {
        // Relaxed: as above.
        self.origin.elapsed().as_nanos() >= u128::from(self.until.load(Ordering::Relaxed))
    }
}

/// A message of the thread to the loop.
enum Event {
    /// A scrape wants fresh values.
    Sample(RefreshDone),
    /// A connection whose request is not for the metrics.
    Connection(OwnedFd),
}

/// The thread's end of the link.
#[derive(Clone)]
struct ToLoop {
    events: SyncSender<Event>,
    wake: Arc<OwnedFd>,
    /// Whether the loop has been asked for values and has not brought them yet.
    refresh_pending: Arc<AtomicBool>,
    rest: Arc<Rest>,
    /// The connections that the loop has not taken yet.
    connections: Arc<AtomicUsize>,
    max_wait: Duration,
}

impl ToLoop {
    fn send(&self, event: Event) -> Result<(), Event> {
        self.events.try_send(event).map_err(|error| match error {
            TrySendError::Full(event) | TrySendError::Disconnected(event) => event,
        })?;
        // Fails only if the count is at its maximum: then the loop has been
        // woken often enough.
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
        Ok(())
    }
}

impl Refresh for ToLoop {
    fn refresh(&mut self, done: RefreshDone) -> Option<Duration> {
        if !self.rest.is_over() {
            return None;
        }
        // Acquire: pairs with the Release in `sampled`.
        if self.refresh_pending.swap(true, Ordering::Acquire) {
            return None;
        }
        match self.send(Event::Sample(done)) {
            Ok(()) => Some(self.max_wait),
            Err(_) => {
                // Relaxed: read by this thread only, or after the channel.
                self.refresh_pending.store(false, Ordering::Relaxed);
                None
            }
        }
    }
}

impl ConnectionHandler for ToLoop {
    fn handle(&mut self, connection: OwnedFd) -> Result<(), OwnedFd> {
        // Relaxed: a count, which orders nothing. Before the loop can take the
        // connection, so that the count never falls below zero.
        self.connections.fetch_add(1, Ordering::Relaxed);
        match self.send(Event::Connection(connection)) {
            Err(Event::Connection(connection)) => {
                self.connections.fetch_sub(1, Ordering::Relaxed);
                Err(connection)
            }
            _ => Ok(()),
        }
    }

    fn waiting(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// The native thread that serves a page, as the event loop sees it.
#[pyclass(frozen, module = "stethoscope._native")]
pub(super) struct Listener {
    inner: Mutex<Inner>,
    wake: Arc<OwnedFd>,
    refresh_pending: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
    port: u16,
}

struct Inner {
    events: Receiver<Event>,
    /// Ends the wait of a scrape for the sample that the loop is about to take.
    waiting: Option<RefreshDone>,
    endpoint: Option<Endpoint>,
}

impl Listener {
    /// Serves at listening sockets of another server, which are open during this
    /// call, and hands it the connections whose requests are not for the metrics.
    pub(super) fn take_over(
        builder: Builder,
        sockets: &[RawFd],
        (max_wait, rest): (Duration, Arc<Rest>),
    ) -> io::Result<Self> {
        Self::start((max_wait, rest), |to_loop| {
            let mut builder = builder.connection_handler(to_loop);
            for &socket in sockets {
                if socket < 0 {
                    return Err(io::Error::from(io::ErrorKind::InvalidInput));
                }
                // SAFETY: the descriptor is not -1, and its owner, the Python
                // socket, keeps it open during this call; the builder duplicates it.
                let socket = unsafe { BorrowedFd::borrow_raw(socket) };
                builder = builder.lent_listener(socket);
            }
            Ok(builder)
        })
    }

    /// Serves at a port of its own, a free one if `port` is 0.
    pub(super) fn at(
        builder: Builder,
        (host, port): (&str, u16),
        (max_wait, rest): (Duration, Arc<Rest>),
    ) -> io::Result<Self> {
        Self::start((max_wait, rest), |_| Ok(builder.listen((host, port))))
    }

    /// `listen` adds listeners to the builder. It is given the thread's end of the
    /// link.
    fn start(
        (max_wait, rest): (Duration, Arc<Rest>),
        listen: impl FnOnce(ToLoop) -> io::Result<Builder>,
    ) -> io::Result<Self> {
        let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
        let wake = Arc::new(eventfd(0, flags)?);
        let refresh_pending = Arc::new(AtomicBool::new(false));
        let connections = Arc::new(AtomicUsize::new(0));
        let (sender, events) = sync_channel(BACKLOG);
        let to_loop = ToLoop {
            events: sender,
            wake: Arc::clone(&wake),
            refresh_pending: Arc::clone(&refresh_pending),
            rest,
            connections: Arc::clone(&connections),
            max_wait,
        };
        let builder = listen(to_loop.clone())?.refresh(to_loop);
        let endpoint = builder.spawn()?;
        Ok(Self {
            port: endpoint.local_addr().map_or(0, |address| address.port()),
            inner: Mutex::new(Inner {
                events,
                waiting: None,
                endpoint: Some(endpoint),
            }),
            wake,
            refresh_pending,
            connections,
        })
    }

    /// Never held while the GIL is waited for.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Listener {
    /// A descriptor that is readable when there are events: then call `woken`.
    #[getter]
    fn wake_fd(&self) -> RawFd {
        self.wake.as_raw_fd()
    }

    /// The first port that the thread listens at.
    #[getter]
    fn port(&self) -> u16 {
        self.port
    }

    /// Return whether a scrape wants a sample, and the connections that are handed
    /// over; the caller owns their descriptors.
    fn woken(&self) -> (bool, Vec<RawFd>) {
        // Before the channel is emptied: an event that comes later wakes again. It
        // fails if there was no wake-up; then there are no events either.
        let _ = rustix::io::read(&*self.wake, &mut [0; 8]);
        let mut connections = Vec::new();
        let mut inner = self.lock();
        while let Ok(event) = inner.events.try_recv() {
            match event {
                Event::Sample(notifier) => inner.waiting = Some(notifier),
                Event::Connection(connection) => {
                    self.connections.fetch_sub(1, Ordering::Relaxed);
                    connections.push(connection.into_raw_fd());
                }
            }
        }
        (inner.waiting.is_some(), connections)
    }

    /// Tell the thread that the sample is on the page.
    fn sampled(&self) {
        let waiting = self.lock().waiting.take();
        if let Some(notifier) = waiting {
            // Release: pairs with the Acquire in `request`. Before the scrape is let
            // go, so that the next one may wait again.
            self.refresh_pending.store(false, Ordering::Release);
            notifier.notify();
        }
    }

    /// Stop the thread and wait for its end.
    ///
    /// Its connections are closed, and so are those that were not yet handed over.
    /// Does nothing the second time, and in a forked child.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let endpoint = self.lock().endpoint.take();
        let Some(endpoint) = endpoint else {
            return Ok(());
        };
        endpoint.shutdown();
        py.detach(|| endpoint.join())?;
        let inner = self.lock();
        while inner.events.try_recv().is_ok() {}
        Ok(())
    }
}
