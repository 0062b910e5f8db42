//! The same client for every server: it keeps its connection where the server
//! does, and connects again where it does not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Scrapes one server over one connection at a time.
pub struct Client {
    address: SocketAddr,
    request: String,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

/// A response, valid until the next scrape.
pub struct Answer<'c> {
    pub body: &'c [u8],
    pub gzip: bool,
    /// From the request, or from connecting where that was needed, to the last
    /// byte.
    pub time: Duration,
}

impl Client {
    pub fn new(address: SocketAddr, gzip: bool) -> Self {
        let encoding = if gzip { "gzip" } else { "identity" };
        Self {
            address,
            request: format!(
                "GET /metrics HTTP/1.1\r\nHost: {address}\r\nAccept: text/plain;version=0.0.4\r\n\
                 Accept-Encoding: {encoding}\r\n\r\n"
            ),
            stream: None,
            buffer: vec![0; 4 << 20],
        }
    }

    pub fn scrape(&mut self) -> Answer<'_> {
        let begun = Instant::now();
        let mut stream = self.stream.take().unwrap_or_else(|| {
            let stream = TcpStream::connect(self.address).expect("a connection");
            stream.set_nodelay(true).expect("TCP");
            stream
        });
        stream
            .write_all(self.request.as_bytes())
            .expect("a request is small");
        let mut read = 0;
        let head = loop {
            read += receive(&mut stream, &mut self.buffer[read..]);
            if let Some(end) = self.buffer[..read]
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
            {
                break Head::new(&self.buffer[..end + 4]);
            }
            assert!(read > 0, "closed without an answer");
        };
        match head.content_length {
            Some(length) => {
                while read < head.len + length {
                    let more = receive(&mut stream, &mut self.buffer[read..]);
                    assert!(more > 0, "closed in the middle of a page");
                    read += more;
                }
            }
            None => loop {
                match receive(&mut stream, &mut self.buffer[read..]) {
                    0 => break,
                    more => read += more,
                }
            },
        }
        let time = begun.elapsed();
        if head.keep_alive {
            self.stream = Some(stream);
        }
        Answer {
            body: &self.buffer[head.len..read],
            gzip: head.gzip,
            time,
        }
    }

    /// Whether the server let the connection be used again.
    pub fn is_kept_alive(&self) -> bool {
        self.stream.is_some()
    }
}

fn receive(stream: &mut TcpStream, into: &mut [u8]) -> usize {
    stream.read(into).expect("an answer")
}

struct Head {
    len: usize,
    content_length: Option<usize>,
    gzip: bool,
    keep_alive: bool,
}

impl Head {
    fn new(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes)
            .expect("a head is ASCII")
            .to_ascii_lowercase();
        assert!(text[8..].starts_with(" 200 "), "{text}");
        let value = |name: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
        };
        assert_eq!(
            value("transfer-encoding"),
            None,
            "nobody here has a page of unknown length"
        );
        let content_length =
            value("content-length").map(|digits| digits.parse().expect("a number"));
        Self {
            len: bytes.len(),
            content_length,
            gzip: value("content-encoding") == Some("gzip"),
            keep_alive: content_length.is_some()
                && text.starts_with("http/1.1")
                && value("connection") != Some("close"),
        }
    }
}
