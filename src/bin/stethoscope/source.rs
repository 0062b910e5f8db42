//! Where a page comes from: a file, a URL or standard input.

use super::UsageError;
use super::failure::{FetchError, unfit};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::time::{Duration, Instant};
use stethoscope::exposition::parser::Options;
use stethoscope::exposition::{ContentType, Format};

/// How often a server may send on to another URL.
const MOST_REDIRECTS: usize = 5;

const NO_TLS: &str = "https is not spoken here, only http://; fetch the page with another tool \
                      and pipe it in: stethoscope check -";

/// How much of a page is looked at to guess its format.
const HEAD: usize = 1 << 20;

/// A page to be read from its beginning.
pub(super) struct Source {
    pub(super) name: String,
    reader: Box<dyn Read>,
    /// What was read of it to guess its format.
    head: Vec<u8>,
    /// Its length in bytes, where that is known.
    pub(super) len: Option<u64>,
    /// What its server says that it is.
    content_type: Option<String>,
    /// Its last bytes, where they could be looked at.
    tail: Option<Vec<u8>>,
}

impl Source {
    /// Opens `-`, an `http://` URL or a file. A server has until `timeout` from
    /// now to send all of its page, however it is read.
    pub(super) fn open(name: &str, accept: &str, timeout: Duration) -> Result<Self, UsageError> {
        match name {
            "-" => Ok(Self::new("standard input", Box::new(io::stdin().lock()))),
            _ if name.starts_with("https://") => Err(UsageError(format!("{name}: {NO_TLS}"))),
            _ if name.starts_with("http://") => Self::fetch(name, accept, timeout),
            _ => Self::open_file(name).map_err(|error| {
                let hint = if error.kind() == io::ErrorKind::NotFound && begins_with_a_port(name) {
                    format!("; if it is a URL, say http://{name}")
                } else {
                    String::new()
                };
                UsageError(format!("{name}: {error}{hint}"))
            }),
        }
    }

    fn new(name: &str, reader: Box<dyn Read>) -> Self {
        Self {
            name: name.to_owned(),
            reader,
            head: Vec::new(),
            len: None,
            content_type: None,
            tail: None,
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

    fn fetch(url: &str, accept: &str, timeout: Duration) -> Result<Self, UsageError> {
        let begun = Instant::now();
        let mut at = url.to_owned();
        for _ in 0..=MOST_REDIRECTS {
            let unusable = |why: &dyn std::fmt::Display| {
                let sent_on = if at == url {
                    String::new()
                } else {
                    format!(", which sends on to {at}")
                };
                UsageError(format!("{url}{sent_on}: {why}"))
            };
            let agent: ureq::Agent = ureq::Agent::config_builder()
                .timeout_global(Some(timeout.saturating_sub(begun.elapsed())))
                .http_status_as_error(false)
                .max_redirects(0)
                .build()
                .into();
            let response = agent.get(&at).header("Accept", accept).call();
            let response =
                response.map_err(|error| unusable(&FetchError::of_request(error, timeout)))?;
            let header = |name: &str| {
                let value = response.headers().get(name)?.to_str();
                value.ok().map(str::to_owned)
            };
            if let (301..=303 | 307 | 308, Some(location)) =
                (response.status().as_u16(), header("Location"))
            {
                at = redirected(&at, &location).map_err(|why| unusable(&why))?;
                continue;
            }
            let content_type = header("Content-Type");
            let status = response.status().as_u16();
            if let Some(why) = unfit(status, content_type.as_deref().unwrap_or_default()) {
                return Err(unusable(&why));
            }
            let body = response.into_body();
            let len = body.content_length();
            return Ok(Self {
                content_type,
                len,
                ..Self::new(url, Box::new(body.into_reader()))
            });
        }
        Err(UsageError(format!(
            "{url}: sends on from URL to URL, more than {MOST_REDIRECTS} times"
        )))
    }

    /// What the page seems to be: what its server says, else what its lines say
    /// that only OpenMetrics has.
    pub(super) fn guess(&mut self) -> io::Result<Options> {
        if let Some(content_type) = &self.content_type {
            return Ok(ContentType::from_header(content_type).into());
        }
        self.reader
            .by_ref()
            .take(HEAD as u64)
            .read_to_end(&mut self.head)?;
        let has_openmetrics = || self.head.split(|&byte| byte == b'\n').any(only_openmetrics);
        Ok(Options::strict(match &self.tail {
            Some(tail) => Format::guess(tail),
            None if self.head.len() == HEAD && has_openmetrics() => Format::OpenMetrics,
            None => Format::guess(&self.head),
        }))
    }
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.head.is_empty() {
            return self.reader.read(into);
        }
        let len = into.len().min(self.head.len());
        into[..len].copy_from_slice(&self.head[..len]);
        self.head.drain(..len);
        Ok(len)
    }
}

/// Where a server sends on to from a URL.
fn redirected(from: &str, location: &str) -> Result<String, String> {
    if location.starts_with("http://") {
        return Ok(location.to_owned());
    }
    if location.starts_with("https://") {
        return Err(format!("sends on to {location}: {NO_TLS}"));
    }
    if !location.starts_with('/') || location.starts_with("//") {
        return Err(format!("sends on to {location}: give that URL in full"));
    }
    let host = "http://".len();
    let path = from[host..].find(['/', '?', '#']);
    let origin = path.map_or(from, |path| &from[..host + path]);
    Ok(format!("{origin}{location}"))
}

/// Whether a name is like `localhost:8787/metrics`.
fn begins_with_a_port(name: &str) -> bool {
    let authority = name.split('/').next().unwrap_or_default();
    let parts = authority.rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// Whether no other format has such a line.
fn only_openmetrics(line: &[u8]) -> bool {
    let ends = |word: &[u8]| line.ends_with(word);
    line.starts_with(b"# UNIT ")
        || (line.starts_with(b"# TYPE ")
            && (ends(b" unknown")
                || ends(b" info")
                || ends(b" stateset")
                || ends(b" gaugehistogram")))
}
