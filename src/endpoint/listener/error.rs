//! The error of starting an endpoint.

use std::fmt;
use std::io;

use crate::RegisterError;

/// An endpoint that could not be started.
#[derive(Debug)]
pub struct SpawnError {
    kind: SpawnErrorKind,
}

/// The reason for which an endpoint could not be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum SpawnErrorKind {
    /// The builder was given no address and no listener.
    NoAddress,
    /// A limit is too small.
    Limit {
        /// The name of the setter in [`Limits`](super::Limits).
        name: &'static str,
        /// The smallest value that it may have.
        min: usize,
    },
    /// A document's path is not a path, is the path of the metrics, or is the
    /// path of another document.
    DocumentPath(String),
    /// The host name of an address could not be resolved.
    Resolve(io::Error),
    /// The endpoint cannot listen at an address or a path.
    Listen {
        /// The address or path.
        address: String,
        /// The reason.
        error: io::Error,
    },
    /// A socket that was passed to the builder is not a listening socket.
    NotListening,
    /// The registry has the self metrics of another endpoint, or other families
    /// of their names.
    SelfMetrics(RegisterError),
    /// The system lacks a resource: a file descriptor or a thread.
    System(io::Error),
}

impl SpawnError {
    pub(super) fn new(kind: SpawnErrorKind) -> Self {
        Self { kind }
    }

    /// The reason.
    #[must_use]
    pub fn kind(&self) -> &SpawnErrorKind {
        &self.kind
    }

    /// The operating system's error, if that is the reason.
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        match &self.kind {
            SpawnErrorKind::Resolve(error)
            | SpawnErrorKind::Listen { error, .. }
            | SpawnErrorKind::System(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            SpawnErrorKind::NoAddress => f.write_str(
                "no listen address: call `listen`, `listen_unix` or `listener` before `spawn`",
            ),
            SpawnErrorKind::Limit { name, min } => {
                write!(f, "Limits::{name} must be at least {min}")
            }
            SpawnErrorKind::DocumentPath(path) => write!(
                f,
                "invalid document path {path:?}: expected a path that begins with a slash, has no \
                 query, and is neither the metrics' nor another document's"
            ),
            SpawnErrorKind::Resolve(error) => write!(f, "cannot resolve the address: {error}"),
            SpawnErrorKind::Listen { address, error } => {
                write!(f, "cannot listen at {address}: {error}")
            }
            SpawnErrorKind::NotListening => {
                f.write_str("the socket is not listening: call listen() on it first")
            }
            SpawnErrorKind::SelfMetrics(error) => {
                write!(f, "cannot register the endpoint's self metrics: {error}")
            }
            SpawnErrorKind::System(error) => write!(f, "cannot start the endpoint: {error}"),
        }
    }
}

impl std::error::Error for SpawnError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            SpawnErrorKind::SelfMetrics(error) => Some(error),
            _ => self.io_error().map(|error| error as _),
        }
    }
}

impl From<io::Error> for SpawnError {
    fn from(error: io::Error) -> Self {
        Self::new(SpawnErrorKind::System(error))
    }
}

impl From<rustix::io::Errno> for SpawnError {
    fn from(error: rustix::io::Errno) -> Self {
        io::Error::from(error).into()
    }
}

/// Keeps the kind of the operating system's error, for callers whose functions
/// return [`io::Result`].
impl From<SpawnError> for io::Error {
    fn from(error: SpawnError) -> Self {
        let kind = error
            .io_error()
            .map_or(io::ErrorKind::InvalidInput, io::Error::kind);
        io::Error::new(kind, error)
    }
}
