//! Where a page comes from: a file, a URL or standard input.

use super::Unusable;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::time::Duration;
use stethoscope::exposition::parser::Options;
use stethoscope::exposition::{ContentType, Format};

/// How long a server may take to answer, and then for each read of its page.
const PATIENCE: Duration = Duration::from_secs(30);

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
    /// Opens `-`, an `http://` URL or a file.
    pub(super) fn open(name: &str, accept: &str) -> Result<Self, Unusable> {
        match name {
            "-" => Ok(Self::new("standard input", Box::new(io::stdin().lock()))),
            _ if name.starts_with("https://") => Err(Unusable(format!(
                "{name}: https is not spoken here, only http://; fetch the page with another \
                 tool and pipe it in: stethoscope check -"
            ))),
            _ if name.starts_with("http://") => Self::fetch(name, accept),
            _ => Self::open_file(name).map_err(|error| Unusable(format!("{name}: {error}"))),
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

    fn fetch(url: &str, accept: &str) -> Result<Self, Unusable> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .build()
            .into();
        let response = agent.get(url).header("Accept", accept).call();
        let response = response.map_err(|error| Unusable(format!("{url}: {}", words(&error))))?;
        let content_type = response.headers().get("Content-Type");
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let content_type = content_type.map(str::to_owned);
        let body = response.into_body();
        let len = body.content_length();
        Ok(Self {
            content_type,
            len,
            ..Self::new(url, Box::new(body.into_reader()))
        })
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

/// Why a server did not give the page.
fn words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            "nobody listens there (connection refused)".to_owned()
        }
        ureq::Error::StatusCode(code) => {
            format!("answered {code}: are the metrics at another path?")
        }
        error => error.to_string(),
    }
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
