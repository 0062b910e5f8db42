//! A client that sends exactly the bytes it is given, and reads responses strictly.

#[path = "../support/eventually.rs"]
mod eventually;

pub(crate) use eventually::eventually;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use stethoscope::Registry;
use stethoscope::endpoint::{self, Endpoint};

/// Longer than any step of a test takes, so that a test that hangs fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
    unread: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let first = values.next();
        assert!(
            values.next().is_none(),
            "{name} comes twice in {:?}",
            self.headers
        );
        first.map(|(_, value)| value.as_str())
    }
}

impl Client {
    pub(crate) fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    pub(crate) fn of(endpoint: &Endpoint) -> Self {
        Self::connect(endpoint.local_addr().unwrap())
    }
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self {
            stream,
            unread: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self
    }

    pub(crate) fn get(&mut self, target: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"))
            .answer()
    }

    pub(crate) fn ask(&mut self, target: &str, header: &str) -> Answer {
        self.send(format!(
            "GET {target} HTTP/1.1\r\nHost: test\r\n{header}\r\n\r\n"
        ))
        .answer()
    }

    /// Reads the head of the next response, and nothing after it.
    pub(crate) fn head(&mut self) -> Answer {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.read_more() > 0, "closed after {:?}", self.excerpt());
        };
        let head: Vec<u8> = self.unread.drain(..end).collect();
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap();
        let code = status.strip_prefix("HTTP/1.1 ").expect(status)[..3]
            .parse()
            .unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").expect(line))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Answer {
            code,
            headers,
            body: String::new(),
        }
    }

    pub(crate) fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        let len: usize = answer
            .header("Content-Length")
            .expect("a length")
            .parse()
            .unwrap();
        while self.unread.len() < len {
            assert!(self.read_more() > 0, "closed after {:?}", self.excerpt());
        }
        let body: Vec<u8> = self.unread.drain(..len).collect();
        answer.body = match answer.header("Content-Encoding") {
            None => String::from_utf8(body).unwrap(),
            Some("gzip") => {
                let mut text = String::new();
                flate2::read::GzDecoder::new(&body[..])
                    .read_to_string(&mut text)
                    .unwrap();
                text
            }
            Some(other) => panic!("unexpected Content-Encoding {other}"),
        };
        answer
    }

    /// Asserts that the connection ends here, with nothing more in it.
    pub(crate) fn expect_end(&mut self) {
        let unread = self.read_to_end();
        assert_eq!(unread, "", "bytes after the last response");
    }

    /// Reads everything up to the end of the connection.
    pub(crate) fn read_to_end(&mut self) -> String {
        while self.read_more() > 0 {}
        let text = self.unread_text();
        self.unread.clear();
        text
    }

    /// Returns the number of bytes that arrive up to the end, at most this many.
    pub(crate) fn read_up_to(&mut self, most: usize) -> usize {
        while self.unread.len() < most && self.read_more() > 0 {}
        self.unread.len()
    }

    fn unread_text(&self) -> String {
        String::from_utf8_lossy(&self.unread).into_owned()
    }

    /// The beginning of the unread text, for the message of a failed test.
    fn excerpt(&self) -> String {
        self.unread_text().chars().take(200).collect()
    }

    fn read_more(&mut self) -> usize {
        let mut buffer = [0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(read) => {
                self.unread.extend_from_slice(&buffer[..read]);
                read
            }
            // The end, of a client that had not said everything yet.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("{error} after {:?}", self.excerpt()),
        }
    }
}

/// A registry with one gauge, `answer`, at 42.
pub(crate) fn registry() -> Registry {
    let registry = Registry::new();
    registry.gauge("answer", "To everything.").unwrap().set(42);
    registry
}

/// A registry whose page is worth compressing.
#[cfg(feature = "gzip")]
pub(crate) fn long_registry() -> Registry {
    let registry = registry();
    let family = registry.gauge_family("long", "Many lines.", ["n"]).unwrap();
    for n in 0..500 {
        family.with([format!("{n:080}").as_str()]).unwrap().set(n);
    }
    registry
}

/// A registry whose page is larger than the kernel's buffers for a client that does
/// not read.
pub(crate) fn wide_registry() -> Registry {
    let registry = registry();
    let family = registry.gauge_family("wide", "Many bytes.", ["n"]).unwrap();
    for n in 0..4000 {
        family.with([format!("{n:04000}").as_str()]).unwrap().set(n);
    }
    registry
}

pub(crate) const PAGE: &str = "# HELP answer To everything.\n# TYPE answer gauge\nanswer 42\n";

pub(crate) fn serve(registry: &Registry) -> Endpoint {
    endpoint::serve(registry, "127.0.0.1:0").unwrap()
}

/// The value of a series on the page.
pub(crate) fn sample(page: &str, series: &str) -> f64 {
    let line = page.lines().find(|line| {
        line.strip_prefix(series)
            .is_some_and(|rest| rest.starts_with(' '))
    });
    let line = line.unwrap_or_else(|| panic!("{series} is not on the page:\n{page:.2000}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}
