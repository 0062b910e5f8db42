//! What is left in the hands of whoever started an endpoint.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use super::listener::Address;
use crate::sync::{AtomicBool, AtomicU64, Ordering};

/// What the handle, the notifiers and the loop share.
pub(super) struct Shared {
    pub(super) waker: mio::Waker,
    /// Set once, when the loop is to end.
    pub(super) closing: AtomicBool,
    /// The number of the latest request for fresh values that was answered.
    pub(super) fresh: AtomicU64,
}

impl Shared {
    /// Gets the loop to look at the two flags.
    pub(super) fn wake(&self) {
        // It fails only where the loop is gone, or has as many wakes before it
        // as a counter of 64 bits holds.
        let _ = self.waker.wake();
    }
}

/// A running endpoint. Dropping it shuts it down and waits until it is gone.
///
/// ```
/// # use std::io::{Read, Write};
/// # use stethoscope::{Registry, endpoint};
/// let registry = Registry::new();
/// registry.gauge("answer", "To everything.")?.set(42);
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
#[must_use = "an endpoint that is dropped is shut down: keep it, or join() it"]
pub struct Endpoint {
    shared: Arc<Shared>,
    addresses: Vec<Address>,
    thread: Option<JoinHandle<io::Result<()>>>,
    /// The process that has the thread.
    process: u32,
}

impl Endpoint {
    pub(super) fn new(
        shared: Arc<Shared>,
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

    /// Where it listens, in the order in which it was told to.
    pub fn local_addrs(&self) -> &[Address] {
        &self.addresses
    }

    /// The first TCP address that it listens at, with the port that was found
    /// where 0 was asked for.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.addresses.iter().find_map(|address| match address {
            Address::Tcp(address) => Some(*address),
            Address::Unix(_) => None,
        })
    }

    /// Tells it to end, and returns at once: it stops listening, closes what is
    /// idle, and gives clients that are reading an answer a second to finish.
    /// Socket addresses of its own are free again when [`join`](Self::join)
    /// returns; a listener that it was lent stays with its owner.
    pub fn shutdown(&self) {
        if self.is_here() {
            // Release: pairs with the Acquire of the loop, which sees what
            // went before the shutdown.
            self.shared.closing.store(true, Ordering::Release);
            self.shared.wake();
        }
    }

    /// Waits until it has ended, by [`shutdown`](Self::shutdown) or because its
    /// poll loop failed, which is the error.
    pub fn join(mut self) -> io::Result<()> {
        self.wait()
    }

    /// Lets it run for as long as the process does.
    pub fn detach(mut self) {
        self.thread = None;
    }

    fn wait(&mut self) -> io::Result<()> {
        match self.thread.take() {
            Some(thread) if self.is_here() => thread
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("the endpoint's thread panicked"))),
            // In a forked child there is no such thread to wait for.
            Some(thread) => {
                std::mem::forget(thread);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whether this is the process that has the thread, not a forked child,
    /// which would reach the thread of its parent through the shared waker.
    fn is_here(&self) -> bool {
        self.process == std::process::id()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.shutdown();
            // There is nobody to tell how it ended.
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
