//! Listening sockets: bound here, or passed in by the host application.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::net::{self, AddressFamily, Shutdown, SocketFlags, SocketType, sockopt};

use super::error::{SpawnError, SpawnErrorKind};

/// The number of connections that may wait to be accepted. The kernel reduces it
/// to its own limit (`net.core.somaxconn`).
const BACKLOG: i32 = 1024;

/// An address that an endpoint listens at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A Unix socket's path; `None` where it has no name in the file system.
    Unix(Option<PathBuf>),
}

/// A listening, non-blocking socket.
pub(super) struct ListeningSocket {
    socket: OwnedFd,
    address: Address,
    /// The socket file to remove with the listener.
    file: Option<PathBuf>,
    /// Whether the socket belongs to somebody else, who goes on using it.
    is_lent: bool,
}

impl ListeningSocket {
    /// Listens at a TCP address. `only_v6` decides whether an IPv6 address
    /// accepts IPv4 connections as well.
    fn bind(address: SocketAddr, only_v6: bool) -> io::Result<Self> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let socket = net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // A port is free even if connections of an earlier listener linger.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, only_v6)?;
        }
        net::bind(&socket, &address)?;
        net::listen(&socket, BACKLOG)?;
        Self::from_listening(socket)
    }

    /// Listens at a path. A socket file without a listener is replaced; any other
    /// file is left alone.
    pub(super) fn bind_unix(path: &Path) -> Result<Self, SpawnError> {
        let listen = || {
            let mut listener = Self::from_listening(bind_unix(path)?.into())?;
            listener.file = Some(path.to_owned());
            Ok(listener)
        };
        listen().map_err(|error| listen_error(path.display(), error))
    }

    /// Takes over a socket that is listening already. `is_lent` says that it
    /// stays with its owner.
    pub(super) fn adopt(socket: OwnedFd, is_lent: bool) -> Result<Self, SpawnError> {
        if !sockopt::socket_acceptconn(&socket)? {
            return Err(SpawnError::new(SpawnErrorKind::NotListening));
        }
        let mut listener = Self::from_listening(socket)?;
        listener.is_lent = is_lent;
        Ok(listener)
    }

    fn from_listening(socket: OwnedFd) -> io::Result<Self> {
        let address = match sockopt::socket_domain(&socket)? {
            AddressFamily::UNIX => Address::Unix(unix_path(socket.as_fd())?),
            _ => Address::Tcp(net::getsockname(&socket)?.try_into()?),
        };
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self {
            socket,
            address,
            file: None,
            is_lent: false,
        })
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Accepts the next connection, non-blocking and closed on exec.
    pub(super) fn accept(&self) -> io::Result<OwnedFd> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = net::accept_with(&self.socket, flags)?;
        if matches!(self.address, Address::Tcp(_)) {
            // The last packet of a page should not wait for an acknowledgement.
            sockopt::set_tcp_nodelay(&socket, true)?;
        }
        Ok(socket)
    }
}

impl AsFd for ListeningSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for ListeningSocket {
    fn drop(&mut self) {
        if !self.is_lent {
            // Frees the port even if a forked child holds the socket too. It
            // fails only if the socket does not listen any more.
            let _ = net::shutdown(&self.socket, Shutdown::Both);
        }
        if let Some(file) = &self.file {
            // It fails only if the file has been removed already.
            let _ = std::fs::remove_file(file);
        }
    }
}

fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_abandoned(path) => {
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        bound => bound,
    }
}

/// Whether the path is a socket file without a listener.
fn is_abandoned(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let is_socket = path
        .symlink_metadata()
        .is_ok_and(|file| file.file_type().is_socket());
    let refuses = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    is_socket && std::os::unix::net::UnixStream::connect(path).is_err_and(refuses)
}

fn unix_path(socket: BorrowedFd<'_>) -> io::Result<Option<PathBuf>> {
    use std::os::unix::ffi::OsStrExt;
    let name = net::SocketAddrUnix::try_from(net::getsockname(socket)?)?;
    let path = name
        .path_bytes()
        .map(|bytes| PathBuf::from(std::ffi::OsStr::from_bytes(bytes)));
    Ok(path.filter(|path| !path.as_os_str().is_empty()))
}

/// Listens at the addresses of each name in `names`. A name may have an address
/// that this machine lacks (`::1` without IPv6): one that works is enough.
pub(super) fn bind_all(names: &[Vec<SocketAddr>]) -> Result<Vec<ListeningSocket>, SpawnError> {
    let mut listeners = Vec::new();
    for addresses in names {
        let mut missing = None;
        let before = listeners.len();
        for &address in addresses {
            // `[::]` accepts IPv4 too, unless that has an address of its own.
            let only_v6 = names.iter().flatten().any(|other| {
                other.is_ipv4() && other.ip().is_unspecified() && other.port() == address.port()
            });
            match ListeningSocket::bind(address, only_v6) {
                Ok(listener) => listeners.push(listener),
                Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                    missing = Some(listen_error(address, error));
                }
                Err(error) => return Err(listen_error(address, error)),
            }
        }
        if listeners.len() == before {
            return Err(missing.unwrap_or_else(|| {
                let error = io::Error::from(io::ErrorKind::NotFound);
                SpawnError::new(SpawnErrorKind::Resolve(error))
            }));
        }
    }
    Ok(listeners)
}

fn listen_error(address: impl Display, error: io::Error) -> SpawnError {
    let address = address.to_string();
    SpawnError::new(SpawnErrorKind::Listen { address, error })
}
