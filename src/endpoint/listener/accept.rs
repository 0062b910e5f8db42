//! Accepting connections.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Token};

use super::listening_socket::ListeningSocket;

/// Connections accepted from one listener before others have their turn.
const ACCEPTS_IN_A_TURN: usize = 64;

/// The listening sockets, and the times to accept from them.
pub(super) struct Acceptor {
    listeners: Vec<Listener>,
    /// No listener accepts before this.
    paused_until: Option<Instant>,
}

struct Listener {
    socket: ListeningSocket,
    /// Whether connections may be waiting in the kernel.
    is_ready: bool,
    /// Connections that may still be accepted in this turn.
    left: usize,
}

/// The outcome of accepting.
pub(super) enum Accepted {
    /// A connection.
    Connection(OwnedFd),
    /// No listener has a connection in this turn.
    None,
    /// The process has no file descriptor, or no memory, for one more.
    Exhausted,
}

impl Acceptor {
    /// Registers the listeners with tokens from `first_token` on.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn new(
        sockets: Vec<ListeningSocket>,
        poll: &mio::Registry,
        first_token: usize,
    ) -> io::Result<Self> {
        for (at, socket) in sockets.iter().enumerate() {
            let fd = socket.as_fd().as_raw_fd();
            poll.register(
                &mut SourceFd(&fd),
                Token(first_token + at),
                Interest::READABLE,
            )?;
        }
        let listeners = sockets.into_iter().map(|socket| Listener {
            socket,
            // One that was passed in may have connections waiting.
            is_ready: true,
            left: 0,
        });
        Ok(Self {
            listeners: listeners.collect(),
            paused_until: None,
        })
    }

    /// Notes that connections wait at a listener.
    pub(super) fn note_event(&mut self, listener: usize) {
        if let Some(listener) = self.listeners.get_mut(listener) {
            listener.is_ready = true;
        }
    }

    /// Begins a turn of the event loop.
    pub(super) fn begin_turn(&mut self, now: Instant) {
        self.paused_until.take_if(|until| *until <= now);
        for listener in &mut self.listeners {
            listener.left = ACCEPTS_IN_A_TURN;
        }
    }

    /// Leaves connections in the kernel's queue for a while.
    pub(super) fn pause(&mut self, now: Instant, time: Duration) {
        self.paused_until = Some(now + time);
    }

    /// Accepts a connection, unless the turn's number is reached.
    pub(super) fn accept(&mut self) -> Accepted {
        if self.paused_until.is_some() {
            return Accepted::None;
        }
        for listener in &mut self.listeners {
            while listener.is_ready && listener.left > 0 {
                listener.left -= 1;
                let error = match listener.socket.accept() {
                    Ok(connection) => return Accepted::Connection(connection),
                    Err(error) => error,
                };
                match error.kind() {
                    io::ErrorKind::WouldBlock => listener.is_ready = false,
                    // Its client gave up; the next may be there.
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {}
                    _ => return Accepted::Exhausted,
                }
            }
        }
        Accepted::None
    }

    /// The time at which to accept again, if connections may be waiting.
    pub(super) fn next_time(&self, now: Instant) -> Option<Instant> {
        let is_ready = self.listeners.iter().any(|listener| listener.is_ready);
        is_ready.then_some(self.paused_until.unwrap_or(now))
    }

    /// Stops listening.
    pub(super) fn close(&mut self, poll: &mio::Registry) {
        for listener in self.listeners.drain(..) {
            // The owner of a lent socket, or a forked child, may hold it open:
            // closing alone would leave it registered.
            let fd = listener.socket.as_fd().as_raw_fd();
            let _ = poll.deregister(&mut SourceFd(&fd));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    fn acceptor() -> (Acceptor, std::net::SocketAddr, mio::Poll) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = ListeningSocket::adopt(listener.into(), false).unwrap();
        let poll = mio::Poll::new().unwrap();
        let acceptor = Acceptor::new(vec![socket], poll.registry(), 1).unwrap();
        (acceptor, address, poll)
    }

    #[test]
    fn paused_acceptor_leaves_connections_in_the_kernel() {
        let (mut acceptor, address, _poll) = acceptor();
        let _client = TcpStream::connect(address).unwrap();
        let now = Instant::now();
        let pause = Duration::from_secs(1);
        acceptor.begin_turn(now);
        acceptor.pause(now, pause);
        assert!(matches!(acceptor.accept(), Accepted::None));
        assert_eq!(acceptor.next_time(now), Some(now + pause));
        acceptor.begin_turn(now + pause);
        assert!(matches!(acceptor.accept(), Accepted::Connection(_)));
        assert!(matches!(acceptor.accept(), Accepted::None));
        assert_eq!(acceptor.next_time(now), None, "an event tells of the next");
    }

    #[test]
    fn turn_accepts_a_bounded_number_of_connections() {
        let (mut acceptor, address, _poll) = acceptor();
        let _clients: Vec<TcpStream> = (0..ACCEPTS_IN_A_TURN + 1)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        let now = Instant::now();
        for expected in [ACCEPTS_IN_A_TURN, 1] {
            acceptor.begin_turn(now);
            let accepted = std::iter::repeat_with(|| acceptor.accept())
                .take_while(|accepted| matches!(accepted, Accepted::Connection(_)))
                .count();
            assert_eq!(accepted, expected);
        }
    }
}
