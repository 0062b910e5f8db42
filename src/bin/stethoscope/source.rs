//! The page to check: from a file, a URL or standard input.

use super::fetch_error::{FetchError, unusable_response};
use super::http::{Client, Deadline, Head, Url};
use super::server::Server;
use super::{UsageError, output, protobuf};
use flate2::bufread::GzDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::time::Duration;
use stethoscope::exposition::Format;
use stethoscope::exposition::parser::Options;

/// The redirects followed at most.
const MAX_REDIRECTS: usize = 5;

/// The bytes of a page that are searched for its format.
const HEAD: usize = 1 << 20;

/// The request that a page is fetched with.
pub(super) struct PageRequest {
    pub(super) accept: String,
    pub(super) gzip: bool,
    /// `accept` asks for protobuf.
    pub(super) protobuf: bool,
    pub(super) timeout: Duration,
    /// The server that the request stands for.
    pub(super) server: Option<Server>,
}

/// A page that is read from its beginning.
pub(super) struct PageSource {
    /// The name of the page, without newlines.
    pub(super) name: String,
    reader: Box<dyn Read>,
    /// The bytes that were read to guess the format.
    head: Vec<u8>,
    /// The length in bytes, if it is known.
    pub(super) len: Option<u64>,
    /// The head of the server's response, if the page comes from a server.
    pub(super) response: Option<Head>,
    /// The last bytes, if it is a file.
    tail: Option<Vec<u8>>,
    /// The end of the time for reading it, if it comes from a server.
    deadline: Option<Deadline>,
}

impl PageSource {
    /// Opens `-`, an `http://` URL or a file.
    pub(super) fn open(name: &str, request: &PageRequest) -> Result<Self, UsageError> {
        match name {
            "-" => Ok(Self::new("standard input", Box::new(io::stdin().lock()))),
            _ if name.starts_with("http://") || name.starts_with("https://") => {
                Self::fetch(name, request)
            }
            _ => Self::open_file(name).map_err(|error| {
                let hint = if error.kind() == io::ErrorKind::NotFound && begins_with_a_port(name) {
                    format!("; for a URL, write http://{name}")
                } else {
                    String::new()
                };
                UsageError::new(format!("{name}: {error}{hint}"))
            }),
        }
    }

    fn new(name: &str, reader: Box<dyn Read>) -> Self {
        Self {
            name: output::one_line(name),
            reader,
            head: Vec::new(),
            len: None,
            response: None,
            tail: None,
            deadline: None,
        }
    }

    fn open_file(name: &str) -> io::Result<Self> {
        let mut file = File::open(name)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let mut tail = None;
        let mut len = None;
        if metadata.is_file() {
            let mut bytes = Vec::new();
            file.seek(SeekFrom::Start(metadata.len().saturating_sub(8)))?;
            file.read_to_end(&mut bytes)?;
            file.rewind()?;
            tail = Some(bytes);
            len = Some(metadata.len());
        }
        Ok(Self {
            tail,
            len,
            ..Self::new(name, Box::new(file))
        })
    }

    /// Requests a page and follows redirects.
    fn fetch(name: &str, request: &PageRequest) -> Result<Self, UsageError> {
        let deadline = Deadline::after(request.timeout);
        let url = Url::parse(name).map_err(|why| UsageError::new(format!("{name}: {why}")))?;
        let (_, client, head) = follow(name, url, request, Some(deadline))?;
        let is_gzip = head.is_gzip();
        let body: Box<dyn Read> = match is_gzip {
            true => Box::new(GzipBody::new(client)),
            false => Box::new(client),
        };
        Ok(Self {
            len: head.content_length.filter(|_| !is_gzip),
            response: Some(head),
            deadline: Some(deadline),
            ..Self::new(name, body)
        })
    }

    /// Guesses the format from the lines of the page, and returns the reason.
    pub(super) fn guess(&mut self) -> io::Result<(Options, &'static str)> {
        let (format, reason) = self.guess_format()?;
        let options = Options::strict(format);
        let mut lines = self.head.split(|&byte| byte == b'\n');
        Ok(match format {
            Format::OpenMetrics if lines.any(has_quoted_name) => (
                options.with_quoted_names(true),
                "because of its quoted names",
            ),
            _ => (options, reason),
        })
    }

    /// Returns a hint for a page that was guessed to be text, though it has bytes that text
    /// does not have: its likely format, and what to do.
    pub(super) fn binary(&self) -> Option<&'static str> {
        if self.head.starts_with(GZIP_MAGIC) {
            return Some(
                "the page is compressed: decompress it, and pipe it to stethoscope check -",
            );
        }
        // The error says that these begin UTF-16.
        let has_mark = [b"\xff\xfe", b"\xfe\xff"]
            .iter()
            .any(|mark| self.head.starts_with(*mark));
        (!has_mark && protobuf::looks_binary(&self.head)).then_some(
            "the page has bytes that text does not have: if it is protobuf, use --format protobuf",
        )
    }

    fn guess_format(&mut self) -> io::Result<(Format, &'static str)> {
        self.reader
            .by_ref()
            .take(HEAD as u64)
            .read_to_end(&mut self.head)?;
        if protobuf::is_page(&self.head) {
            return Ok((Format::Protobuf, "because of its first bytes"));
        }
        let has_openmetrics = || self.head.split(|&byte| byte == b'\n').any(only_openmetrics);
        if self
            .head
            .split(|&byte| byte == b'\n')
            .any(only_openmetrics2)
        {
            let reason = "because of a line that only OpenMetrics 2.0 has";
            return Ok((Format::OpenMetrics2, reason));
        }
        let (format, is_whole) = match &self.tail {
            Some(tail) => (Format::guess(tail), true),
            None => (Format::guess(&self.head), self.head.len() < HEAD),
        };
        Ok(match format {
            Format::OpenMetrics if is_whole => (format, "because it ends with # EOF"),
            _ if !is_whole && has_openmetrics() => (
                Format::OpenMetrics,
                "because of a line that only OpenMetrics has",
            ),
            _ if is_whole => (Format::Text1, "because it does not end with # EOF"),
            _ => (
                Format::Text1,
                "because its first lines are not only OpenMetrics",
            ),
        })
    }
}

/// Requests a URL and follows redirects. Returns the last URL, a client for it and the
/// head of its response, whose body is still to be read. `name` is the URL in errors.
pub(super) fn follow(
    name: &str,
    mut url: Url,
    request: &PageRequest,
    not_after: Option<Deadline>,
) -> Result<(Url, Client, Head), UsageError> {
    for redirects in 0..=MAX_REDIRECTS {
        let unusable = |why: String| {
            let from = match redirects {
                0 => String::new(),
                _ => format!(", redirected to {}", url.text),
            };
            UsageError::new(format!("{name}{from}: {why}"))
        };
        let fetch_error = |error: FetchError| unusable(error.to_string());
        let client = Client::new(&url, &request.accept, request.timeout);
        let mut client = client.map_err(fetch_error)?;
        if let Some(deadline) = not_after {
            client = client.not_after(deadline);
        }
        let head = client.get(request.gzip).map_err(fetch_error)?;
        if let (301..=303 | 307 | 308, Some(location)) = (head.status, &head.location) {
            url = url.redirect(location).map_err(unusable)?;
            continue;
        }
        let content_type = head.content_type.as_deref().unwrap_or_default();
        let (status, protobuf) = (head.status, request.protobuf);
        if let Some(why) = unusable_response(status, content_type, protobuf, request.server) {
            return Err(unusable(why));
        }
        return Ok((url, client, head));
    }
    Err(UsageError::new(format!(
        "{name}: more than {MAX_REDIRECTS} redirects"
    )))
}

impl Read for PageSource {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // A page of many bytes may come compressed in few, long before it is read.
        if let Some(deadline) = self.deadline {
            deadline.check().map_err(FetchError::into_io)?;
        }
        if self.head.is_empty() {
            return self.reader.read(into);
        }
        let len = into.len().min(self.head.len());
        into[..len].copy_from_slice(&self.head[..len]);
        self.head.drain(..len);
        Ok(len)
    }
}

/// The first bytes of gzip.
const GZIP_MAGIC: &[u8] = b"\x1f\x8b";

/// A gzip body, decompressed. Its errors are faults of the page, because the
/// Prometheus server decompresses it the same way.
enum GzipBody {
    /// Before the first byte.
    Start(BufReader<Client>),
    Decoding(GzDecoder<BufReader<Client>>),
    /// After the last byte, or an error.
    Done,
}

impl GzipBody {
    fn new(client: Client) -> Self {
        Self::Start(BufReader::new(client))
    }

    /// Checks that the body is compressed, and begins to decompress it.
    fn start(mut body: BufReader<Client>) -> io::Result<GzDecoder<BufReader<Client>>> {
        let first = body.fill_buf().map_err(gzip_error)?;
        if !is_gzip(first) {
            let why = "the body is labelled gzip (Content-Encoding), but is not compressed";
            return Err(FetchError::BadGzip(why.to_owned()).into_io());
        }
        Ok(GzDecoder::new(body))
    }

    /// Continues after a compressed part, which only another one may follow.
    fn after(mut body: BufReader<Client>) -> io::Result<Self> {
        let rest = body.fill_buf().map_err(gzip_error)?;
        if rest.is_empty() {
            return Ok(Self::Done);
        }
        if !is_gzip(rest) {
            let why = "bytes that are not gzip follow the compressed body";
            return Err(FetchError::BadGzip(why.to_owned()).into_io());
        }
        Ok(Self::Decoding(GzDecoder::new(body)))
    }
}

impl Read for GzipBody {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            let len = match std::mem::replace(self, Self::Done) {
                Self::Done => return Ok(0),
                Self::Start(body) => {
                    let mut decoder = Self::start(body)?;
                    let len = decoder.read(into).map_err(gzip_error)?;
                    *self = Self::Decoding(decoder);
                    if into[..len].starts_with(GZIP_MAGIC) {
                        let why = "the body is compressed twice, but labelled gzip once";
                        return Err(FetchError::BadGzip(why.to_owned()).into_io());
                    }
                    len
                }
                Self::Decoding(mut decoder) => {
                    let len = decoder.read(into).map_err(gzip_error)?;
                    match len {
                        0 => *self = Self::after(decoder.into_inner())?,
                        _ => *self = Self::Decoding(decoder),
                    }
                    len
                }
            };
            if len > 0 {
                return Ok(len);
            }
        }
    }
}

/// Returns true if the beginning of a body is that of gzip.
fn is_gzip(first: &[u8]) -> bool {
    let known = first.len().min(GZIP_MAGIC.len());
    !first.is_empty() && first[..known] == GZIP_MAGIC[..known]
}

/// Converts an error of the decoder, or of the client below it.
fn gzip_error(error: io::Error) -> io::Error {
    let why = match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            "the compressed body is cut short: is its Content-Length that of another encoding?"
                .to_owned()
        }
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            format!("the compressed body is corrupt ({error})")
        }
        _ => match FetchError::from_io(error) {
            FetchError::Closed => "the connection was closed before the compressed body was \
                                   complete: is its Content-Length that of another encoding?"
                .to_owned(),
            error => return error.into_io(),
        },
    };
    FetchError::BadGzip(why).into_io()
}

/// Returns true for names like `localhost:8787/metrics`.
fn begins_with_a_port(name: &str) -> bool {
    let authority = name.split('/').next().unwrap_or_default();
    let parts = authority.rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// Returns true for samples with a composite value or a start time, outside of quotes.
fn only_openmetrics2(line: &[u8]) -> bool {
    if line.starts_with(b"#") {
        return false;
    }
    let (mut is_quoted, mut is_escaped) = (false, false);
    line.iter().enumerate().any(|(at, byte)| {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b' ' if !is_quoted => {
                let rest = &line[at + 1..];
                return [b"{count:".as_slice(), b"{gcount:", b"st@"]
                    .iter()
                    .any(|begin| rest.starts_with(begin));
            }
            _ => {}
        }
        false
    })
}

/// Returns true for lines with a metric or label name in quotes.
fn has_quoted_name(line: &[u8]) -> bool {
    if let Some(comment) = line.strip_prefix(b"# ") {
        let words = [b"HELP \"".as_slice(), b"TYPE \"", b"UNIT \""];
        return words.iter().any(|words| comment.starts_with(words));
    }
    let (mut is_quoted, mut is_escaped, mut before) = (false, false, b' ');
    for &byte in line {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' if !is_quoted && matches!(before, b'{' | b',') => return true,
            b'"' => is_quoted = !is_quoted,
            _ => {}
        }
        before = byte;
    }
    false
}

/// Returns true for lines that no other format has.
fn only_openmetrics(line: &[u8]) -> bool {
    let ends = |word: &[u8]| line.ends_with(word);
    line.starts_with(b"# UNIT ")
        || (line.starts_with(b"# TYPE ")
            && (ends(b" unknown")
                || ends(b" info")
                || ends(b" stateset")
                || ends(b" gaugehistogram")))
}
