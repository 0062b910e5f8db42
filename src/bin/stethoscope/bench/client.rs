//! A scraper's HTTP: one connection, kept where the server keeps it, every step
//! of an answer timed.

use super::super::UsageError;
use super::super::failure::FetchError;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// A larger page is refused: it would not be scraped either.
const LARGEST_PAGE: usize = 1 << 29;
const MAX_HEADERS: usize = 100;
/// What gzip can do at best: a byte becomes 1,032.
const MAX_EXPANSION: usize = 1032;

/// Where to scrape.
pub(super) struct Url {
    /// As it was given.
    pub(super) text: String,
    /// Host and port, as in the `Host` header.
    authority: String,
    target: String,
}

impl Url {
    pub(super) fn new(text: &str) -> Result<Self, UsageError> {
        let unusable = |why: &str| UsageError(format!("{text}: {why}"));
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => return Err(unusable("https is not spoken here, only http")),
            Some(_) => return Err(unusable("only http:// URLs can be scraped")),
            None => text,
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let authority = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        if authority.is_empty() || rest.contains([' ', '\r', '\n', '#']) {
            return Err(unusable(
                "this is no URL of metrics, like http://localhost:8787/metrics",
            ));
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

/// What came. The body is in the client, see [`Client::body`].
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) gzip: bool,
    /// Bytes of the body as they came.
    pub(super) bytes: usize,
    /// From the request (or from connecting, where that was needed) to the
    /// answer's first byte, and to its last.
    pub(super) first_byte: Duration,
    pub(super) whole: Duration,
}

pub(super) struct Client {
    addresses: Vec<SocketAddr>,
    request: [String; 2],
    timeout: Duration,
    stream: Option<TcpStream>,
    incoming: Vec<u8>,
    body: Vec<u8>,
}

impl Client {
    pub(super) fn new(url: &Url, accept: &str, timeout: Duration) -> Result<Self, FetchError> {
        let request = ["identity", "gzip"].map(|encoding| {
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
            request,
            timeout,
            stream: None,
            incoming: Vec::new(),
            body: Vec::new(),
        })
    }

    /// The body of the last answer, as it came.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// One scrape.
    pub(super) fn get(&mut self, gzip: bool) -> Result<Answer, FetchError> {
        let kept = self.stream.is_some();
        match self.try_once(gzip) {
            // The server has ended a connection that it had kept for long.
            Err(FetchError::Closed) if kept && self.incoming.is_empty() => self.try_once(gzip),
            answer => answer,
        }
    }

    fn try_once(&mut self, gzip: bool) -> Result<Answer, FetchError> {
        self.incoming.clear();
        self.body.clear();
        let begun = Instant::now();
        let mut wire = Wire {
            stream: match self.stream.take() {
                Some(stream) => stream,
                None => connect(&self.addresses, self.timeout)?,
            },
            deadline: begun + self.timeout,
            timeout: self.timeout,
        };
        wire.stream
            .write_all(self.request[usize::from(gzip)].as_bytes())?;

        let mut first_byte = None;
        let head = loop {
            if wire.receive(&mut self.incoming)? == 0 {
                return Err(FetchError::Closed);
            }
            first_byte.get_or_insert_with(|| begun.elapsed());
            if let Some(head) = Head::parse(&self.incoming)? {
                break head;
            }
        };
        let rest = head.len;
        match head.body {
            Body::Length(length) if length > LARGEST_PAGE => {
                return Err(FetchError::TooLarge(LARGEST_PAGE));
            }
            Body::Length(length) => {
                while self.incoming.len() < rest + length {
                    wire.receive_some(&mut self.incoming)?;
                }
                self.body
                    .extend_from_slice(&self.incoming[rest..rest + length]);
            }
            Body::ToTheEnd => {
                while wire.receive(&mut self.incoming)? > 0 {}
                self.body.extend_from_slice(&self.incoming[rest..]);
            }
            Body::Chunks => self.receive_chunks(&mut wire, rest)?,
        }
        let whole = begun.elapsed();
        if head.keep_alive {
            self.stream = Some(wire.stream);
        }
        Ok(Answer {
            status: head.status,
            content_type: head.content_type,
            gzip: head.gzip,
            bytes: self.body.len(),
            first_byte: first_byte.unwrap_or(whole),
            whole,
        })
    }

    /// ```text
    /// chunked-body = *chunk last-chunk trailer-section CRLF     RFC 9112, 7.1
    /// ```
    fn receive_chunks(&mut self, wire: &mut Wire, mut at: usize) -> Result<(), FetchError> {
        loop {
            match httparse::parse_chunk_size(&self.incoming[at..]) {
                Ok(httparse::Status::Complete((line, 0))) => {
                    at += line;
                    // Trailers, or none, up to an empty line.
                    while !self.incoming[at - 2..]
                        .windows(4)
                        .any(|four| four == b"\r\n\r\n")
                    {
                        wire.receive_some(&mut self.incoming)?;
                    }
                    return Ok(());
                }
                Ok(httparse::Status::Complete((line, size))) => {
                    let size = usize::try_from(size).unwrap_or(usize::MAX);
                    if size > LARGEST_PAGE - self.body.len() {
                        return Err(FetchError::TooLarge(LARGEST_PAGE));
                    }
                    at += line;
                    while self.incoming.len() < at + size + 2 {
                        wire.receive_some(&mut self.incoming)?;
                    }
                    self.body.extend_from_slice(&self.incoming[at..at + size]);
                    at += size + 2;
                }
                Ok(httparse::Status::Partial) => wire.receive_some(&mut self.incoming)?,
                Err(_) => return Err(FetchError::NotHttp),
            }
        }
    }
}

fn connect(addresses: &[SocketAddr], timeout: Duration) -> Result<TcpStream, FetchError> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name stands for no address");
    for address in addresses {
        match TcpStream::connect_timeout(address, timeout) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(timeout))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(FetchError::Connect(last))
}

/// A connection that is read up to a moment.
struct Wire {
    stream: TcpStream,
    deadline: Instant,
    timeout: Duration,
}

impl Wire {
    /// Appends what comes. 0 is the end.
    fn receive(&mut self, into: &mut Vec<u8>) -> Result<usize, FetchError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(FetchError::Slow(self.timeout));
        }
        if into.len() > 2 * LARGEST_PAGE {
            return Err(FetchError::TooLarge(LARGEST_PAGE));
        }
        self.stream.set_read_timeout(Some(left))?;
        let had = into.len();
        into.resize(had + (256 << 10), 0);
        let read = loop {
            match self.stream.read(&mut into[had..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        into.truncate(had + *read.as_ref().unwrap_or(&0));
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(FetchError::Slow(self.timeout))
            }
            read => Ok(read?),
        }
    }

    /// As [`receive`](Self::receive), where the end would come too early.
    fn receive_some(&mut self, into: &mut Vec<u8>) -> Result<(), FetchError> {
        match self.receive(into)? {
            0 => Err(FetchError::Closed),
            _ => Ok(()),
        }
    }
}

enum Body {
    Length(usize),
    Chunks,
    ToTheEnd,
}

struct Head {
    len: usize,
    status: u16,
    content_type: String,
    gzip: bool,
    body: Body,
    keep_alive: bool,
}

impl Head {
    /// `None` while it is not whole.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, FetchError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let len = match response.parse(bytes) {
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
        let chunked =
            value("Transfer-Encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
        let body = match value("Content-Length") {
            _ if chunked => Body::Chunks,
            Some(length) => Body::Length(length.parse().map_err(|_| FetchError::NotHttp)?),
            None => Body::ToTheEnd,
        };
        let connection = value("Connection").unwrap_or_default().to_ascii_lowercase();
        let keeps = if response.version == Some(1) {
            connection != "close"
        } else {
            connection == "keep-alive"
        };
        Ok(Some(Self {
            len,
            status: response.code.unwrap_or(0),
            content_type: value("Content-Type").unwrap_or_default(),
            gzip: value("Content-Encoding")
                .is_some_and(|coding| coding.eq_ignore_ascii_case("gzip")),
            keep_alive: keeps && !matches!(body, Body::ToTheEnd),
            body,
        }))
    }
}

/// What was compressed, as a whole.
pub(super) fn decompress(gzip: &[u8]) -> Result<Vec<u8>, FetchError> {
    // The last four bytes are the length, modulo 2^32 (RFC 1952, 2.3.1).
    let length = gzip.last_chunk().ok_or(FetchError::BadGzip)?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > gzip.len().saturating_mul(MAX_EXPANSION) {
        return Err(FetchError::BadGzip);
    }
    if length > LARGEST_PAGE {
        return Err(FetchError::TooLarge(LARGEST_PAGE));
    }
    let mut page = vec![0; length];
    let read = libdeflater::Decompressor::new().gzip_decompress(gzip, &mut page);
    if read.map_err(|_| FetchError::BadGzip)? != length {
        return Err(FetchError::BadGzip);
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_may_leave_out_what_goes_without_saying() {
        for (given, meant) in [
            ("localhost:9000", "http://localhost:9000/metrics"),
            ("http://[::1]:80", "http://[::1]:80/metrics"),
            ("http://user@host/x?y=z", "http://host/x?y=z"),
            ("host?name[]=up", "http://host/?name[]=up"),
        ] {
            assert_eq!(Url::new(given).map(|url| url.text).unwrap(), meant);
        }
        for wrong in [
            "https://host/metrics",
            "ftp://host/",
            "http://",
            "http://a b/",
            "",
        ] {
            assert!(Url::new(wrong).is_err(), "{wrong}");
        }
        let ports = |text: &str| Url::new(text).unwrap().addresses().unwrap()[0].port();
        assert_eq!(
            (ports("127.0.0.1"), ports("[::1]"), ports("[::1]:9")),
            (80, 80, 9)
        );
    }
}
