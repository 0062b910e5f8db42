//! The HTTP client of `check` and `bench`: one connection, kept where the server
//! keeps it, with a deadline for each request.
//!
//! ```text
//! Client::get ──> Head          at most MAX_HEAD bytes
//!    └── read ──> body          in pieces: by length, in chunks, or to the end
//! ```
//!
//! Nothing is buffered beyond a piece, so that a server can neither exhaust memory
//! nor, with its deadline, time.

use super::fetch_error::FetchError;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// The longest head of a response, and the longest line of a chunked body.
const MAX_HEAD: usize = 64 << 10;
const MAX_HEADERS: usize = 100;
/// The responses with a status 1xx before the final one at most, as in Go.
const MAX_INTERIM: usize = 5;
const BUFFER: usize = 256 << 10;

/// An `http://` URL.
#[derive(Clone, Debug)]
pub(super) struct Url {
    /// The URL in full.
    pub(super) text: String,
    /// Host and port, as in the `Host` header.
    authority: String,
    target: String,
}

impl Url {
    /// Parses a URL. Its scheme is http and its path `/metrics` if it has none.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => {
                return Err(
                    "https is not supported, only http: fetch the page with another \
                            tool and pipe it to stethoscope check -"
                        .to_owned(),
                );
            }
            Some(_) => return Err("unsupported scheme: expected http://".to_owned()),
            None => text,
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let authority = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        if authority.is_empty() || rest.contains([' ', '\r', '\n', '#']) {
            return Err("invalid URL: expected one like http://localhost:8787/metrics".to_owned());
        }
        let target = match target {
            "" => "/metrics".to_owned(),
            _ if target.starts_with('?') => format!("/{target}"),
            _ => target.to_owned(),
        };
        Ok(Self {
            text: format!("http://{authority}{target}"),
            authority: authority.to_owned(),
            target,
        })
    }

    /// Resolves the `Location` of a redirect from this URL.
    pub(super) fn redirect(&self, location: &str) -> Result<Self, String> {
        let absolute = location.contains("://");
        if !absolute && (!location.starts_with('/') || location.starts_with("//")) {
            return Err(format!(
                "unsupported redirect to {location}: give that URL in full"
            ));
        }
        let text = match absolute {
            true => location.to_owned(),
            false => format!("http://{}{location}", self.authority),
        };
        Self::parse(&text).map_err(|why| format!("redirect to {location}: {why}"))
    }

    fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let after_host = self.authority.rfind(']').map_or(0, |at| at + 1);
        let has_port = self.authority[after_host..].contains(':');
        let address = if has_port {
            self.authority.clone()
        } else {
            format!("{}:80", self.authority)
        };
        Ok(address.to_socket_addrs()?.collect())
    }
}

/// The head of a response. The body is read from the [`Client`].
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// `None` if there is no such header.
    pub(super) content_type: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_length: Option<u64>,
    pub(super) location: Option<String>,
    /// The time from the request (or from connecting, if that was needed) to the
    /// first byte of the response.
    pub(super) first_byte: Duration,
}

impl Head {
    /// Returns true if the body is one that the Prometheus server decompresses. The
    /// server compares the coding with its case, so `GZIP` is another one for it.
    pub(super) fn is_gzip(&self) -> bool {
        self.content_encoding.as_deref() == Some("gzip")
    }

    /// Returns the fault of a body with an encoding that the Prometheus server does not
    /// decode.
    pub(super) fn encoding_fault(&self) -> Option<String> {
        let coding = self.content_encoding.as_deref().unwrap_or_default();
        if self.is_gzip() || matches!(coding, "" | "identity") {
            return None;
        }
        let fault = match coding.eq_ignore_ascii_case("gzip") {
            true => "which is not spelled \"gzip\"",
            false => "which was not asked for",
        };
        Some(format!(
            "the body has the Content-Encoding {coding:?}, {fault}: the Prometheus server \
             decodes only gzip"
        ))
    }
}

/// The part of a body that is still to be read.
#[derive(Clone, Copy, Debug)]
enum RemainingBody {
    Length(u64),
    /// Bytes left in the current chunk.
    Chunk(u64),
    /// Before the size of a chunk; `first` if no chunk came before.
    ChunkSize {
        first: bool,
    },
    ToTheEnd,
    Done,
}

/// The end of the time for a response.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    end: Instant,
    /// The whole time, for messages.
    timeout: Duration,
}

impl Deadline {
    pub(super) fn after(timeout: Duration) -> Self {
        Self {
            end: Instant::now() + timeout,
            timeout,
        }
    }

    fn earlier(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if other.end < self.end => other,
            _ => self,
        }
    }

    /// Returns the time that is left.
    ///
    /// # Errors
    /// If none is left.
    pub(super) fn check(self) -> Result<Duration, FetchError> {
        let left = self.end.saturating_duration_since(Instant::now());
        match left.is_zero() {
            true => Err(FetchError::TimedOut(self.timeout)),
            false => Ok(left),
        }
    }
}

/// A client for one URL.
#[derive(Debug)]
pub(super) struct Client {
    addresses: Vec<SocketAddr>,
    requests: [String; 2],
    timeout: Duration,
    /// The end of the time for all requests together.
    not_after: Option<Deadline>,
    deadline: Deadline,
    stream: Option<TcpStream>,
    /// Bytes received and not used yet: `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    body: RemainingBody,
    keep_alive: bool,
}

impl Client {
    pub(super) fn new(url: &Url, accept: &str, timeout: Duration) -> Result<Self, FetchError> {
        let requests = ["identity", "gzip"].map(|encoding| {
            format!(
                "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: stethoscope/{}\r\nAccept: {accept}\r\n\
                 Accept-Encoding: {encoding}\r\n\r\n",
                url.target,
                url.authority,
                env!("CARGO_PKG_VERSION"),
            )
        });
        Ok(Self {
            addresses: url.addresses().map_err(FetchError::Connect)?,
            requests,
            timeout,
            not_after: None,
            deadline: Deadline::after(timeout),
            stream: None,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            body: RemainingBody::Done,
            keep_alive: false,
        })
    }

    /// Sets the end of the time for all requests together.
    pub(super) fn not_after(self, deadline: Deadline) -> Self {
        Self {
            not_after: Some(deadline),
            ..self
        }
    }

    /// Returns the deadline of the last request.
    pub(super) fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Sends a request and reads the head of its response.
    pub(super) fn get(&mut self, gzip: bool) -> Result<Head, FetchError> {
        let reusable = self.keep_alive && matches!(self.body, RemainingBody::Done);
        if !reusable {
            self.stream = None;
        }
        let is_kept = self.stream.is_some();
        match self.try_once(gzip) {
            // The server closed a connection that it had kept for long.
            Err(FetchError::Closed) if is_kept && self.end == 0 => {
                self.stream = None;
                self.try_once(gzip)
            }
            head => head,
        }
    }

    fn try_once(&mut self, gzip: bool) -> Result<Head, FetchError> {
        let begun = Instant::now();
        self.deadline = Deadline::after(self.timeout).earlier(self.not_after);
        (self.start, self.end) = (0, 0);
        self.body = RemainingBody::Done;
        self.keep_alive = false;
        if self.stream.is_none() {
            self.stream = Some(connect(&self.addresses, self.deadline)?);
        }
        let request = self.requests[usize::from(gzip)].as_bytes();
        self.stream
            .as_ref()
            .expect("connected above")
            .write_all(request)?;
        self.fill()?;
        let first_byte = begun.elapsed();
        let mut interim = 0;
        loop {
            let received = &self.buffer[self.start..self.end];
            match parse_head(received, first_byte)? {
                // 100 Continue, 103 Early Hints: the response follows, perhaps in the
                // bytes that were received already.
                Some(parsed) if matches!(parsed.head.status, 100 | 102..=199) => {
                    self.start += parsed.len;
                    interim += 1;
                    if interim > MAX_INTERIM {
                        return Err(FetchError::NotHttp);
                    }
                }
                Some(parsed) => {
                    self.start += parsed.len;
                    self.body = parsed.body;
                    self.keep_alive = parsed.keep_alive;
                    return Ok(parsed.head);
                }
                None if received.len() > MAX_HEAD => {
                    return Err(FetchError::HeadTooLarge(MAX_HEAD));
                }
                None => self.fill()?,
            }
        }
    }

    /// Reads a piece of the body. 0 is its end.
    fn read_body(&mut self, into: &mut [u8]) -> Result<usize, FetchError> {
        loop {
            match self.body {
                RemainingBody::Done | RemainingBody::Length(0) => {
                    self.body = RemainingBody::Done;
                    return Ok(0);
                }
                RemainingBody::Length(left) => {
                    let len = self.receive(into, left)?;
                    self.body = RemainingBody::Length(left - len as u64);
                    return Ok(len);
                }
                RemainingBody::Chunk(left) if left > 0 => {
                    let len = self.receive(into, left)?;
                    self.body = RemainingBody::Chunk(left - len as u64);
                    return Ok(len);
                }
                RemainingBody::Chunk(_) => self.body = RemainingBody::ChunkSize { first: false },
                RemainingBody::ChunkSize { first } => self.next_chunk(first)?,
                RemainingBody::ToTheEnd => match self.receive(into, u64::MAX) {
                    Err(FetchError::Closed) => self.body = RemainingBody::Done,
                    received => return received,
                },
            }
        }
    }

    /// Reads the size of the next chunk and, after the last one, the trailers.
    ///
    /// ```text
    /// chunked-body = *chunk last-chunk trailer-section CRLF     RFC 9112, 7.1
    /// ```
    fn next_chunk(&mut self, first: bool) -> Result<(), FetchError> {
        if !first && !self.line()?.is_empty() {
            return Err(FetchError::NotHttp);
        }
        let line = self.line()?;
        let size = match httparse::parse_chunk_size(&[&line[..], b"\r\n"].concat()) {
            Ok(httparse::Status::Complete((_, size))) => size,
            _ => return Err(FetchError::NotHttp),
        };
        if size > 0 {
            self.body = RemainingBody::Chunk(size);
            return Ok(());
        }
        let mut trailers = 0;
        loop {
            let line = self.line()?;
            trailers += line.len();
            if line.is_empty() {
                self.body = RemainingBody::Done;
                return Ok(());
            }
            if trailers > MAX_HEAD {
                return Err(FetchError::HeadTooLarge(MAX_HEAD));
            }
        }
    }

    /// Reads a line and returns it without its end.
    fn line(&mut self) -> Result<Vec<u8>, FetchError> {
        let mut searched = 0;
        loop {
            let received = &self.buffer[self.start..self.end];
            let newline = received[searched..].iter().position(|&byte| byte == b'\n');
            if let Some(newline) = newline {
                let line = &received[..searched + newline];
                let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
                self.start += searched + newline + 1;
                return Ok(line);
            }
            searched = received.len();
            if searched > MAX_HEAD {
                return Err(FetchError::NotHttp);
            }
            self.fill()?;
        }
    }

    /// Copies received bytes, at most `limit`, receiving some if there are none.
    fn receive(&mut self, into: &mut [u8], limit: u64) -> Result<usize, FetchError> {
        if self.start == self.end {
            self.fill()?;
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let len = (self.end - self.start).min(into.len()).min(limit);
        into[..len].copy_from_slice(&self.buffer[self.start..self.start + len]);
        self.start += len;
        Ok(len)
    }

    /// Receives more bytes, at least one.
    fn fill(&mut self) -> Result<(), FetchError> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let left = self.deadline.check()?;
        let stream = self.stream.as_mut().ok_or(FetchError::Closed)?;
        stream.set_read_timeout(Some(left))?;
        loop {
            match stream.read(&mut self.buffer[self.end..]) {
                Ok(0) => {
                    self.stream = None;
                    return Err(FetchError::Closed);
                }
                Ok(len) => {
                    self.end += len;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(FetchError::TimedOut(self.timeout));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Reads the body of the last response.
impl Read for Client {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.read_body(into).map_err(FetchError::into_io)
    }
}

fn connect(addresses: &[SocketAddr], deadline: Deadline) -> Result<TcpStream, FetchError> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    for address in addresses {
        match TcpStream::connect_timeout(address, deadline.check()?) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(deadline.timeout))?;
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(FetchError::TimedOut(deadline.timeout));
            }
            Err(error) => last = error,
        }
    }
    Err(FetchError::Connect(last))
}

struct ParsedHead {
    head: Head,
    len: usize,
    body: RemainingBody,
    keep_alive: bool,
}

/// Parses a head. Returns `None` while it is incomplete.
fn parse_head(received: &[u8], first_byte: Duration) -> Result<Option<ParsedHead>, FetchError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let len = match response.parse(received) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(FetchError::NotHttp),
    };
    let value = |name: &str| {
        let header = response
            .headers
            .iter()
            .find(|h| h.name.eq_ignore_ascii_case(name));
        header.map(|header| String::from_utf8_lossy(header.value).trim().to_owned())
    };
    let is_chunked =
        value("Transfer-Encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
    let lengths = || {
        let headers = (response.headers.iter())
            .filter(|header| header.name.eq_ignore_ascii_case("Content-Length"));
        headers.map(|header| String::from_utf8_lossy(header.value).trim().to_owned())
    };
    let content_length = match is_chunked {
        true => None,
        false => content_length(lengths())?,
    };
    let status = response.code.unwrap_or(0);
    let body = match content_length {
        _ if matches!(status, 204 | 304) => RemainingBody::Done,
        _ if is_chunked => RemainingBody::ChunkSize { first: true },
        Some(length) => RemainingBody::Length(length),
        None => RemainingBody::ToTheEnd,
    };
    let connection = value("Connection").unwrap_or_default().to_ascii_lowercase();
    let keeps = if response.version == Some(1) {
        connection != "close"
    } else {
        connection == "keep-alive"
    };
    Ok(Some(ParsedHead {
        len,
        keep_alive: keeps && !matches!(body, RemainingBody::ToTheEnd),
        body,
        head: Head {
            status,
            content_type: value("Content-Type"),
            content_encoding: value("Content-Encoding"),
            content_length,
            location: value("Location"),
            first_byte,
        },
    }))
}

/// Returns the length that the `Content-Length` headers give.
///
/// ```text
/// Content-Length = 1*DIGIT                                   RFC 9110, 8.6
/// ```
fn content_length(mut headers: impl Iterator<Item = String>) -> Result<Option<u64>, FetchError> {
    let Some(first) = headers.next() else {
        return Ok(None);
    };
    if let Some(other) = headers.find(|other| *other != first) {
        return Err(FetchError::BadLength(format!(
            "the response has two Content-Length headers, {first:?} and {other:?}"
        )));
    }
    let is_digits = first.bytes().all(|byte| byte.is_ascii_digit());
    match first.parse() {
        Ok(length) if is_digits => Ok(Some(length)),
        _ => Err(FetchError::BadLength(format!(
            "the Content-Length {first:?} is not a number"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_gets_default_scheme_and_path() {
        for (given, meant) in [
            ("localhost:9000", "http://localhost:9000/metrics"),
            ("http://[::1]:80", "http://[::1]:80/metrics"),
            ("http://user@host/x?y=z", "http://host/x?y=z"),
            ("host?name[]=up", "http://host/?name[]=up"),
        ] {
            assert_eq!(Url::parse(given).map(|url| url.text).unwrap(), meant);
        }
        for wrong in [
            "https://host/metrics",
            "ftp://host/",
            "http://",
            "http://a b/",
            "",
        ] {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
        let ports = |text: &str| Url::parse(text).unwrap().addresses().unwrap()[0].port();
        assert_eq!(
            (ports("127.0.0.1"), ports("[::1]"), ports("[::1]:9")),
            (80, 80, 9)
        );
    }

    #[test]
    fn redirects_resolve_against_the_url() {
        let url = Url::parse("http://host:1/a/b?c").unwrap();
        let to = |location: &str| url.redirect(location).map(|url| url.text);
        assert_eq!(to("/x").unwrap(), "http://host:1/x");
        assert_eq!(to("http://other/y").unwrap(), "http://other/y");
        for wrong in ["x", "//other/y", "https://host/"] {
            assert!(to(wrong).is_err(), "{wrong}");
        }
    }
}
