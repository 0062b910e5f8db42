//! Listening sockets: made here, or taken over from whoever made them.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

/// Connections that may wait to be accepted. The kernel cuts it to its own
/// bound (`net.core.somaxconn`).
const BACKLOG: i32 = 1024;

/// Where an endpoint listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A TCP port.
    Tcp(SocketAddr),
    /// A Unix socket's path; `None` where it has no name in the file system.
    Unix(Option<PathBuf>),
}

/// A listening, non-blocking socket.
pub(super) struct Listener {
    socket: OwnedFd,
    address: Address,
    /// A socket file that goes when the listener goes.
    file: Option<PathBuf>,
}

impl Listener {
    /// Listens at a TCP address. `only_v6` decides whether an IPv6 address
    /// takes IPv4 as well.
    pub(super) fn bind(address: SocketAddr, only_v6: bool) -> io::Result<Self> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let socket = net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // A port whose connections of before are still winding down is free.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, only_v6)?;
        }
        net::bind(&socket, &address)?;
        net::listen(&socket, BACKLOG)?;
        Self::adopt(socket)
    }

    /// Listens at a path. A socket file that nobody listens at any more is
    /// replaced; any other file is left alone.
    pub(super) fn bind_unix(path: &Path) -> io::Result<Self> {
        use std::os::unix::net::UnixListener;
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_left_over(path) => {
                std::fs::remove_file(path)?;
                UnixListener::bind(path)?
            }
            other => other?,
        };
        let mut listener = Self::adopt(listener.into())?;
        listener.file = Some(path.to_owned());
        Ok(listener)
    }

    /// Takes over a socket that is listening already.
    pub(super) fn adopt(socket: OwnedFd) -> io::Result<Self> {
        if !sockopt::socket_acceptconn(&socket)? {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the socket taken over is not listening: call listen() on it first",
            ));
        }
        let address = match sockopt::socket_domain(&socket)? {
            AddressFamily::UNIX => Address::Unix(unix_path(socket.as_fd())?),
            _ => Address::Tcp(net::getsockname(&socket)?.try_into()?),
        };
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self {
            socket,
            address,
            file: None,
        })
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// The next connection, non-blocking and closed on exec.
    pub(super) fn accept(&self) -> io::Result<OwnedFd> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = net::accept_with(&self.socket, flags)?;
        if matches!(self.address, Address::Tcp(_)) {
            // The last piece of a page shall not wait for an acknowledgement.
            sockopt::set_tcp_nodelay(&socket, true)?;
        }
        Ok(socket)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            // Nothing is lost where somebody else has removed it.
            let _ = std::fs::remove_file(file);
        }
    }
}

/// Whether it is a socket file whose listener is gone.
fn is_left_over(path: &Path) -> bool {
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

/// Listens wherever the names of `wanted` stand for. A name may stand for an
/// address that this machine has not (`::1` without IPv6): one is enough.
pub(super) fn bind_all(wanted: &[Vec<SocketAddr>]) -> io::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for addresses in wanted {
        let before = listeners.len();
        let mut missing = None;
        for &address in addresses {
            // `[::]` takes IPv4 too, unless that has an address of its own.
            let only_v6 = wanted.iter().flatten().any(|other| {
                other.is_ipv4() && other.ip().is_unspecified() && other.port() == address.port()
            });
            match Listener::bind(address, only_v6) {
                Ok(listener) => listeners.push(listener),
                Err(error) => {
                    let words = format!("can't listen at {address}: {error}");
                    let told = io::Error::new(error.kind(), words);
                    if error.kind() != io::ErrorKind::AddrNotAvailable {
                        return Err(told);
                    }
                    missing = Some(told);
                }
            }
        }
        if listeners.len() == before {
            return Err(missing.unwrap_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "the name stands for no address",
                )
            }));
        }
    }
    Ok(listeners)
}
