//! Documents that are served beside the metrics.

use std::fmt;
use std::sync::{Arc, PoisonError};

use crate::endpoint::paths::METRICS_PATH;
use crate::sync::Mutex;

/// A document at a path of its own, for example a list of scrape targets.
///
/// The host application replaces it as a whole whenever it has changed; requests
/// get the latest version. Clones are cheap, and refer to the same document.
///
/// ```
/// # use std::io::{Read, Write};
/// # use stethoscope::Registry;
/// # use stethoscope::endpoint::{Builder, Document};
/// let targets = Document::new("/targets", "application/json");
/// let endpoint = Builder::new(&Registry::new())
///     .document(&targets)
///     .listen("127.0.0.1:0")
///     .spawn()?;
/// targets.replace(*b"[]");
///
/// let mut client = std::net::TcpStream::connect(endpoint.local_addr().unwrap())?;
/// client.write_all(b"GET /targets HTTP/1.0\r\n\r\n")?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert!(answer.ends_with("\r\n\r\n[]"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Document(Arc<DocumentState>);

struct DocumentState {
    path: String,
    content_type: &'static str,
    bytes: Mutex<Arc<[u8]>>,
}

impl Document {
    /// An empty document. The path must begin with a slash and have no query,
    /// which [`Builder::spawn`](super::Builder::spawn) checks. The document `/` takes the
    /// place of the index page.
    #[must_use]
    pub fn new(path: impl Into<String>, content_type: &'static str) -> Self {
        Self(Arc::new(DocumentState {
            path: path.into(),
            content_type,
            bytes: Mutex::default(),
        }))
    }

    /// Replaces the contents. Responses that are being sent have the old ones.
    pub fn replace(&self, bytes: impl Into<Arc<[u8]>>) {
        let bytes = bytes.into();
        let old = {
            let mut place = self.0.bytes.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *place, bytes)
        };
        drop(old);
    }

    /// The present contents.
    #[must_use]
    pub fn bytes(&self) -> Arc<[u8]> {
        let place = self.0.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&place)
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.path
    }

    pub(in crate::endpoint) fn content_type(&self) -> &'static str {
        self.0.content_type
    }

    /// Whether requests can have that path, and mean the document by it.
    pub(super) fn has_valid_path(&self) -> bool {
        let path = self.path();
        let visible = |byte: u8| byte.is_ascii_graphic() && byte != b'?' && byte != b'#';
        let taken = path.trim_end_matches('/');
        let is_taken = path != "/" && matches!(taken, "" | METRICS_PATH);
        path.starts_with('/') && path.bytes().all(visible) && !is_taken
    }
}

impl PartialEq for Document {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Document {}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("path", &self.path())
            .field("bytes", &self.bytes().len())
            .finish()
    }
}
