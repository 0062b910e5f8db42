//! Documents beside the metrics, served as their owner left them.

use std::fmt;
use std::sync::{Arc, PoisonError};

use super::request::METRICS_PATH;
use crate::sync::Mutex;

/// A document at a path of its own, which its owner replaces as a whole
/// whenever it has changed. A request reads the latest; it waits for nobody,
/// and holds nobody up.
///
/// Cheap to clone; clones are the same document.
///
/// ```
/// # use std::io::{Read, Write};
/// # use stethoscope::Registry;
/// # use stethoscope::endpoint::{Builder, Document};
/// let targets = Document::new("/targets", "application/json");
/// let endpoint = Builder::new(&Registry::new())
///     .document(&targets)
///     .listen("127.0.0.1:0")?
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
pub struct Document(Arc<Inner>);

struct Inner {
    path: String,
    content_type: &'static str,
    bytes: Mutex<Arc<[u8]>>,
}

impl Document {
    /// An empty document. The path begins with a slash, and has no query.
    pub fn new(path: impl Into<String>, content_type: &'static str) -> Self {
        Self(Arc::new(Inner {
            path: path.into(),
            content_type,
            bytes: Mutex::default(),
        }))
    }

    /// Takes the place of what was there. Requests that are being answered get
    /// the old one as a whole.
    pub fn replace(&self, bytes: impl Into<Arc<[u8]>>) {
        let bytes = bytes.into();
        let old = {
            let mut place = self.0.bytes.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *place, bytes)
        };
        drop(old);
    }

    /// What is there now.
    pub fn bytes(&self) -> Arc<[u8]> {
        let place = self.0.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&place)
    }

    /// Where it is.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    pub(super) fn content_type(&self) -> &'static str {
        self.0.content_type
    }

    /// Whether a request can ask for it, and for nothing else by the same path.
    pub(super) fn can_be_asked_for(&self) -> bool {
        let path = self.path();
        let visible = |byte: u8| byte.is_ascii_graphic() && byte != b'?' && byte != b'#';
        let taken = path.trim_end_matches('/');
        path.starts_with('/') && path.bytes().all(visible) && !matches!(taken, "" | METRICS_PATH)
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
