//! Errors of fetching a page from a server, as messages for people.

use super::server::Server;
use super::units::bytes;
use std::fmt;
use std::io;
use std::time::Duration;

const PROTOBUF: &str = "application/vnd.google.protobuf";

/// The reason why a server gave no page.
#[derive(Debug)]
pub(super) enum FetchError {
    /// The host is unknown or can't be reached.
    Connect(io::Error),
    /// The response was not complete in time.
    TimedOut(Duration),
    /// The connection ended before the response was complete.
    Closed,
    /// The response is not HTTP.
    NotHttp,
    /// The length of the body is unknown.
    BadLength(String),
    /// The head of the response has more than so many bytes.
    HeadTooLarge(usize),
    /// The page has more than so many bytes.
    PageTooLarge(u64),
    /// The body is labelled gzip, and can't be decompressed.
    BadGzip(String),
    Other(io::Error),
}

impl FetchError {
    /// Wraps the error so that a reader can return it.
    pub(super) fn into_io(self) -> io::Error {
        io::Error::other(self)
    }

    /// Returns the error that [`into_io`](Self::into_io) wrapped.
    pub(super) fn from_io(error: io::Error) -> Self {
        error.downcast::<Self>().unwrap_or_else(Self::from)
    }
}

impl std::error::Error for FetchError {}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                f.write_str("connection refused: no server listens at this address")
            }
            Self::Connect(error) => write!(f, "can't connect: {error}"),
            Self::TimedOut(limit) => write!(
                f,
                "timed out after {limit:?} waiting for the response (see --timeout)"
            ),
            Self::Closed => {
                f.write_str("the connection was closed before the response was complete")
            }
            Self::NotHttp => f.write_str("the server's response is not valid HTTP"),
            Self::BadLength(why) => {
                write!(f, "{why}: the Prometheus server fails this scrape")
            }
            Self::HeadTooLarge(limit) => write!(
                f,
                "the head of the server's response is larger than {}",
                bytes(*limit as u64)
            ),
            Self::PageTooLarge(limit) => write!(
                f,
                "the page is larger than {} (see --max-page)",
                bytes(*limit)
            ),
            Self::BadGzip(why) => write!(
                f,
                "{why}: the Prometheus server fails this scrape (stethoscope check --plain asks \
                 for a page that is not compressed)"
            ),
            Self::Other(error) => write!(f, "{error}"),
        }
    }
}

impl From<io::Error> for FetchError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Other(error),
        }
    }
}

/// Returns the reason why a response can't be a page of metrics, as far as its
/// head tells. `protobuf` says whether that was asked for. Prometheus 2 reads pages of
/// other types as text.
pub(super) fn unusable_response(
    status: u16,
    content_type: &str,
    protobuf: bool,
    server: Option<Server>,
) -> Option<String> {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    match (status, &*essence) {
        (200, other) if server == Some(Server::V2) && other != PROTOBUF => None,
        (200, "text/html") => Some(
            "the server answered with HTML (text/html), not with metrics: are they at another \
             path?"
                .to_owned(),
        ),
        (200, _) if essence.ends_with("/json") || essence.ends_with("+json") => Some(format!(
            "the server answered with JSON ({essence}), not with metrics: are they at another \
             path?"
        )),
        (200, PROTOBUF) if !protobuf => Some(
            "the server answered with protobuf, which was not asked for: the Prometheus server \
             reads it only if it asks for it"
                .to_owned(),
        ),
        (200, _) => None,
        (404, _) => Some("the server answered 404: are the metrics at another path?".to_owned()),
        (status, _) => Some(format!(
            "the server answered {status}, but a scrape needs 200"
        )),
    }
}
