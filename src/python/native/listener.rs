//! The native thread of one server, and its link to the server's event loop.
//!
//! The thread speaks to the loop through a bounded channel and an eventfd that
//! wakes it; the loop answers through the endpoint's notifier. While the loop
//! owes an answer, nobody waits for it again.

#![allow(unsafe_code)]

use pyo3::prelude::*;
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use stethoscope::endpoint::{Builder, Endpoint, Freshness, HandOff, Notifier};

/// What may wait for a loop that does not run. One connection more is refused.
const BACKLOG: usize = 1024;

/// What the thread has for the loop.
enum Event {
    /// A scrape wishes for fresh values.
    Sample(Notifier),
    /// A connection that asks for something else than the metrics.
    Connection(OwnedFd),
}

/// The thread's end of the link.
#[derive(Clone)]
struct ToLoop {
    events: SyncSender<Event>,
    wake: Arc<OwnedFd>,
    /// Whether the loop has been asked for values and has not brought them yet.
    owed: Arc<AtomicBool>,
    patience: Duration,
}

impl ToLoop {
    fn send(&self, event: Event) -> Result<(), Event> {
        self.events.try_send(event).map_err(|error| match error {
            TrySendError::Full(event) | TrySendError::Disconnected(event) => event,
        })?;
        // Fails only where the count is at its maximum: then the loop has been
        // woken often enough.
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
        Ok(())
    }
}

impl Freshness for ToLoop {
    fn request(&self, notify: Notifier) -> Option<Duration> {
        // Acquire: pairs with the Release in `sampled`.
        if self.owed.swap(true, Ordering::Acquire) {
            return None;
        }
        match self.send(Event::Sample(notify)) {
            Ok(()) => Some(self.patience),
            Err(_) => {
                // Relaxed: read by this thread only, or behind the channel.
                self.owed.store(false, Ordering::Relaxed);
                None
            }
        }
    }
}

impl HandOff for ToLoop {
    fn hand_off(&mut self, connection: OwnedFd) -> Result<(), OwnedFd> {
        match self.send(Event::Connection(connection)) {
            Err(Event::Connection(connection)) => Err(connection),
            _ => Ok(()),
        }
    }
}

/// A thread that serves a page, seen from the event loop.
#[pyclass(frozen, module = "stethoscope._native")]
pub(super) struct Listener {
    inner: Mutex<Inner>,
    wake: Arc<OwnedFd>,
    owed: Arc<AtomicBool>,
    port: u16,
}

struct Inner {
    events: Receiver<Event>,
    /// Who waits for the sample that the loop is about to take.
    waiting: Option<Notifier>,
    endpoint: Option<Endpoint>,
}

impl Listener {
    /// Serves what `builder` has to serve at listening sockets of another server,
    /// which are open during this call, and gives that one what is not ours.
    pub(super) fn take_over(
        builder: Builder,
        sockets: &[RawFd],
        patience: Duration,
    ) -> io::Result<Self> {
        Self::start(patience, |to_loop| {
            let mut builder = builder.hand_off(Box::new(to_loop));
            for &socket in sockets {
                if socket < 0 {
                    return Err(io::Error::from(io::ErrorKind::InvalidInput));
                }
                // SAFETY: the descriptor is not -1, and its owner, the Python
                // socket, keeps it open during this call; the builder duplicates it.
                let socket = unsafe { BorrowedFd::borrow_raw(socket) };
                builder = builder.lent_listener(socket)?;
            }
            Ok(builder)
        })
    }

    /// Serves it at an address of its own, a free one where port is 0.
    pub(super) fn at(
        builder: Builder,
        (host, port): (&str, u16),
        patience: Duration,
    ) -> io::Result<Self> {
        Self::start(patience, |_| builder.listen((host, port)))
    }

    /// `listen` tells a builder where, and is given what leads to the loop.
    fn start(
        patience: Duration,
        listen: impl FnOnce(ToLoop) -> io::Result<Builder>,
    ) -> io::Result<Self> {
        let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
        let wake = Arc::new(eventfd(0, flags)?);
        let owed = Arc::new(AtomicBool::new(false));
        let (sender, events) = sync_channel(BACKLOG);
        let to_loop = ToLoop {
            events: sender,
            wake: Arc::clone(&wake),
            owed: Arc::clone(&owed),
            patience,
        };
        let builder = listen(to_loop.clone())?.freshness(Arc::new(to_loop));
        let endpoint = builder.spawn()?;
        Ok(Self {
            port: endpoint.local_addr().map_or(0, |address| address.port()),
            inner: Mutex::new(Inner {
                events,
                waiting: None,
                endpoint: Some(endpoint),
            }),
            wake,
            owed,
        })
    }

    /// Never held while the GIL is waited for.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Listener {
    /// Readable when there is something for the loop: watch it and call `woken`.
    #[getter]
    fn wake_fd(&self) -> RawFd {
        self.wake.as_raw_fd()
    }

    /// The first port that it listens at.
    #[getter]
    fn port(&self) -> u16 {
        self.port
    }

    /// Whether a sample is wished for, and the connections handed over, which
    /// are the caller's from now on.
    fn woken(&self) -> (bool, Vec<RawFd>) {
        // Before the channel is emptied: what comes later wakes again. It fails
        // where nothing has woken; then there is nothing to take either.
        let _ = rustix::io::read(&*self.wake, &mut [0; 8]);
        let mut connections = Vec::new();
        let mut inner = self.lock();
        while let Ok(event) = inner.events.try_recv() {
            match event {
                Event::Sample(notifier) => inner.waiting = Some(notifier),
                Event::Connection(connection) => connections.push(connection.into_raw_fd()),
            }
        }
        (inner.waiting.is_some(), connections)
    }

    /// Says that the sample is taken.
    fn sampled(&self) {
        let waiting = self.lock().waiting.take();
        if let Some(notifier) = waiting {
            // Release: pairs with the Acquire in `request`. First, so that the
            // scrape after the one that is let go may wait again.
            self.owed.store(false, Ordering::Release);
            notifier.ready();
        }
    }

    /// Stops the thread and waits for its end; the connections that it held,
    /// and those that nobody has taken over, are closed. Does nothing the second
    /// time, and in a forked child.
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
