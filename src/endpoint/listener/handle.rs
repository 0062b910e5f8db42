//! The handle to a running endpoint.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::listening_socket::Address;
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// State that the event loop shares with its handle and with refreshes.
pub(super) struct HandleState {
    pub(super) waker: mio::Waker,
    /// Set once, when the event loop is to end.
    pub(super) closing: AtomicBool,
    /// The number of the latest refresh that is done.
    pub(super) fresh: AtomicU64,
}

impl HandleState {
    /// Makes the event loop read `closing` and `fresh`.
    pub(super) fn wake(&self) {
        // It fails only if the loop has ended, or has as many wakes pending as a
        // counter of 64 bits holds.
        let _ = self.waker.wake();
    }
}

/// A running endpoint. Dropping it shuts it down and waits until it has ended: keep
/// it, or [`detach`](Self::detach) it.
///
/// ```
/// # use std::io::{Read, Write};
/// # use stethoscope::{Registry, endpoint};
/// let registry = Registry::new();
/// registry.gauge("answer", "The answer.")?.set(42);
/// let endpoint = endpoint::serve(&registry, "127.0.0.1:0")?;
///
/// let mut client = std::net::TcpStream::connect(endpoint.local_addr().unwrap())?;
/// client.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert!(answer.ends_with("answer 42\n"));
///
/// endpoint.shutdown();
/// endpoint.join()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "an endpoint that is dropped is shut down: keep it, or detach() it"]
pub struct Endpoint {
    shared: Arc<HandleState>,
    addresses: Vec<Address>,
    thread: Option<JoinHandle<io::Result<()>>>,
    /// The id of the process that has the thread.
    process: u32,
}

impl Endpoint {
    pub(super) fn new(
        shared: Arc<HandleState>,
        addresses: Vec<Address>,
        thread: JoinHandle<io::Result<()>>,
    ) -> Self {
        Self {
            shared,
            addresses,
            thread: Some(thread),
            process: std::process::id(),
        }
    }

    /// The addresses that it listens at, in the builder's order.
    #[must_use]
    pub fn local_addrs(&self) -> &[Address] {
        &self.addresses
    }

    /// The first TCP address that it listens at, with the port that the kernel
    /// chose if 0 was asked for.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.addresses.iter().find_map(|address| match address {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        })
    }

    /// Makes it end, and returns at once. The endpoint stops listening, closes
    /// idle connections, and gives clients that are reading a response a second
    /// to finish. Its addresses are free again when [`join`](Self::join) returns,
    /// even if a forked child is running; a listener that it was lent stays open.
    pub fn shutdown(&self) {
        if self.is_here() {
            // Release: pairs with the Acquire of the event loop, which sees
            // everything that happened before the shutdown.
            self.shared.closing.store(true, Ordering::Release);
            self.shared.wake();
        }
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// The error of its event loop, if that ended without a
    /// [`shutdown`](Self::shutdown). In a hook or a handler, which the endpoint's own
    /// thread runs: that it cannot wait for itself.
    pub fn join(mut self) -> io::Result<()> {
        self.wait()
    }

    /// Lets it run until the process ends.
    ///
    /// ```
    /// # use std::io::{Read, Write};
    /// # use stethoscope::{Registry, endpoint};
    /// let registry = Registry::new();
    /// let endpoint = endpoint::serve(&registry, "127.0.0.1:0")?;
    /// let address = endpoint.local_addr().unwrap();
    /// endpoint.detach();
    ///
    /// let mut client = std::net::TcpStream::connect(address)?;
    /// client.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    /// let mut answer = String::new();
    /// client.read_to_string(&mut answer)?;
    /// assert!(answer.starts_with("HTTP/1.1 200 OK"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn detach(mut self) {
        self.thread = None;
    }

    fn wait(&mut self) -> io::Result<()> {
        match self.thread.take() {
            Some(thread) if thread.thread().id() == std::thread::current().id() => {
                Err(io::Error::other(
                    "a hook runs in the endpoint's thread, which cannot wait for its own end: \
                     call shutdown instead",
                ))
            }
            Some(thread) if self.is_here() => thread
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the endpoint's thread panicked"))),
            // A forked child does not have the thread.
            Some(thread) => {
                std::mem::forget(thread);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Returns true if this process has the thread. A forked child does not, and would
    /// reach its parent's through the shared waker.
    fn is_here(&self) -> bool {
        self.process == std::process::id()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.shutdown();
            // A drop cannot report how it ended.
            let _ = self.wait();
        }
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}
