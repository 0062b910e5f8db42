//! Why a server gave no page of metrics, in words.

use std::fmt;
use std::io;
use std::time::Duration;

/// Why there was no answer.
#[derive(Debug)]
pub(super) enum FetchError {
    /// The host is not known, or nobody is there.
    Connect(io::Error),
    /// It did not come in time.
    Slow(Duration),
    /// The connection ended before it was whole.
    Closed,
    /// It is not HTTP.
    NotHttp,
    /// It is larger than so many bytes.
    TooLarge(usize),
    /// It is not what it says it is.
    BadGzip,
    Other(io::Error),
}

impl FetchError {
    /// Of a request that had so long.
    pub(super) fn of_request(error: ureq::Error, timeout: Duration) -> Self {
        match error {
            ureq::Error::Timeout(_) => Self::Slow(timeout),
            ureq::Error::Protocol(_) => Self::NotHttp,
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Self::Connect(error)
            }
            error => error.into_io().into(),
        }
    }

    /// Of reading a page, which had so long if it comes from a server.
    pub(super) fn of_reading(error: io::Error, timeout: Duration) -> Self {
        match error.downcast::<ureq::Error>() {
            Ok(error) => Self::of_request(error, timeout),
            Err(error) => error.into(),
        }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                f.write_str("nobody listens there (connection refused)")
            }
            Self::Connect(error) => write!(f, "can't connect: {error}"),
            Self::Slow(limit) => write!(f, "no whole answer within {limit:?} (see --timeout)"),
            Self::Closed => f.write_str("the connection was closed before the answer was whole"),
            Self::NotHttp => f.write_str("what answers there does not speak HTTP"),
            Self::TooLarge(limit) => write!(f, "the page is larger than {} MiB", limit >> 20),
            Self::BadGzip => f.write_str("the answer says that it is gzip, and is not"),
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

/// Why an answer can't be a page of metrics, where its head tells.
pub(super) fn unfit(status: u16, content_type: &str) -> Option<String> {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    match status {
        200 if essence.eq_ignore_ascii_case("text/html") => Some(
            "answered with text/html, which is no page of Prometheus metrics: are they at \
             another path?"
                .to_owned(),
        ),
        200 => None,
        404 => Some("answered 404: are the metrics at another path?".to_owned()),
        status => Some(format!("answered {status}, where a scrape needs 200")),
    }
}
