//! Reading requests: first which server a request is for, from as few bytes as
//! tell it, then the whole head, strictly.
//!
//! ```text
//!   bytes received ─► recipient()      ours? theirs? not HTTP? not known yet?
//!                  ─► head_end()   the end of the head, looking at new bytes only
//!                  ─► Request::parse()   httparse, then the checks it leaves open
//! ```
//!
//! Anything that two readers of one connection could understand differently is
//! refused, not repaired: a line that ends in a bare LF, a folded header, a
//! length given twice, a body. The caller closes the connection after each
//! [`ErrorResponse`], and after a request whose method allows a body and that has
//! one, so that nothing after it is taken for a request.

use super::document::Document;
use crate::endpoint::error_response::ErrorResponse;
use crate::endpoint::paths::{METRICS_PATH, METRICS_PATH_SLASH, Method};

/// More headers than any scraper sends, and few enough for the stack.
const MAX_HEADERS: usize = 64;

/// The server that a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recipient {
    /// The bytes so far allow either.
    Undecided,
    /// `GET` or `HEAD` of `/metrics`, `/metrics/` or a document.
    Ours,
    /// Any other request, or a prefix that can only become another.
    Theirs,
    /// The bytes do not begin a request line.
    NotHttp,
}

/// Tells which server a request is for that begins with these bytes.
///
/// ```text
/// request-line = method SP request-target SP HTTP-version     RFC 9112, 3
/// method       = 1*tchar                                      RFC 9110, 9.1
/// ```
pub(super) fn recipient(bytes: &[u8], documents: &[Document]) -> Recipient {
    let line = &bytes[leading_newlines(bytes)..];
    let method_len = line.iter().position(|&byte| !is_tchar(byte));
    let (method, rest) = line.split_at(method_len.unwrap_or(line.len()));
    match rest.first() {
        None => {
            let may_be_ours = b"GET".starts_with(method) || b"HEAD".starts_with(method);
            return if may_be_ours {
                Recipient::Undecided
            } else {
                Recipient::Theirs
            };
        }
        Some(b' ') if !method.is_empty() => {}
        Some(b'\r') if line.len() == 1 => return Recipient::Undecided,
        Some(_) => return Recipient::NotHttp,
    }
    if method != b"GET" && method != b"HEAD" {
        return Recipient::Theirs;
    }
    let target = &rest[1..];
    let path_len = target.iter().position(|byte| b" ?".contains(byte));
    let mut ours = [METRICS_PATH, METRICS_PATH_SLASH]
        .into_iter()
        .chain(documents.iter().map(Document::path));
    match path_len {
        Some(len) if ours.any(|path| path.as_bytes() == &target[..len]) => Recipient::Ours,
        None if ours.any(|path| path.as_bytes().starts_with(target)) => Recipient::Undecided,
        _ => Recipient::Theirs,
    }
}

/// Finds the end of the head that begins these bytes. Returns `None` if the head
/// is not complete. The first `scanned` bytes were in an earlier call.
///
/// ```text
/// HTTP-message = start-line CRLF *( field-line CRLF ) CRLF    RFC 9112, 2.1
/// ```
pub(super) fn head_end(bytes: &[u8], scanned: usize) -> Result<Option<usize>, ErrorResponse> {
    let start = leading_newlines(bytes);
    for at in scanned.max(start)..bytes.len() {
        match bytes[at] {
            0 => return Err(ErrorResponse::NulByte),
            b'\n' if at == 0 || bytes[at - 1] != b'\r' => return Err(ErrorResponse::BareNewline),
            b'\n' if at >= start + 3 && bytes[at - 3..at] == *b"\r\n\r" => return Ok(Some(at + 1)),
            _ => {}
        }
    }
    Ok(None)
}

/// The length of the empty lines before a request, which a server should ignore
/// (RFC 9112, 2.2).
fn leading_newlines(bytes: &[u8]) -> usize {
    bytes
        .chunks_exact(2)
        .take_while(|pair| *pair == b"\r\n")
        .count()
        * 2
}

/// `tchar` of RFC 9110, 5.6.2.
fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Makes a later minor version of HTTP/1 read as HTTP/1.1, the latest that this
/// server knows (RFC 9110, 2.5).
pub(super) fn normalize_version(head: &mut [u8]) {
    let start = leading_newlines(head);
    let line_end = head[start..].iter().position(|&byte| byte == b'\r');
    let Some(line) = line_end.map(|len| &mut head[start..start + len]) else {
        return;
    };
    if let [
        ..,
        b' ',
        b'H',
        b'T',
        b'T',
        b'P',
        b'/',
        b'1',
        b'.',
        minor @ b'2'..=b'9',
    ] = line
    {
        *minor = b'1';
    }
}

/// A request whose head is complete and valid.
#[derive(Debug)]
pub(super) struct Request<'h, 'b> {
    pub(super) method: Method,
    /// The path, without the query and the origin of an absolute form.
    pub(super) path: &'b str,
    /// The query without the `?`, empty if there is none.
    pub(super) query: &'b str,
    /// True if the client may send another request on this connection.
    pub(super) keep_alive: bool,
    /// True if the client speaks HTTP/1.0.
    pub(super) is_http_1_0: bool,
    headers: &'h [httparse::Header<'b>],
}

/// Storage for the headers of one request.
pub(super) struct HeaderSpace<'b>([httparse::Header<'b>; MAX_HEADERS]);

impl HeaderSpace<'_> {
    pub(super) fn new() -> Self {
        Self([httparse::EMPTY_HEADER; MAX_HEADERS])
    }
}

impl<'h, 'b> Request<'h, 'b> {
    /// Parses a head that [`head_end`] found complete.
    pub(super) fn parse(
        head: &'b [u8],
        space: &'h mut HeaderSpace<'b>,
    ) -> Result<Self, ErrorResponse> {
        let mut parsed = httparse::Request::new(&mut space.0);
        match parsed.parse(head) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(ErrorResponse::BadRequestLine),
            Err(error) => return Err(error.into()),
        }
        let (method, target) = (parsed.method.unwrap_or(""), parsed.path.unwrap_or(""));
        let (path, query) = split_target(target).ok_or(ErrorResponse::BadTarget)?;
        let is_http_1_0 = parsed.version == Some(0);
        let request = Self {
            method: Method::from_name(method),
            path,
            query,
            keep_alive: false,
            is_http_1_0,
            headers: parsed.headers,
        };
        request.check_host()?;
        let body = request.check_no_body();
        if request.method != Method::Other {
            body?;
        }
        request.check_expectation()?;
        let keep_alive = body.is_ok() && request.wants_keep_alive();
        Ok(Self {
            keep_alive,
            ..request
        })
    }

    /// The values of a header, in order. Values that are not UTF-8 are skipped:
    /// no header that the endpoint reads may have one.
    pub(super) fn values(&self, name: &'h str) -> impl Iterator<Item = &'b str> + Clone + 'h {
        self.headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .filter_map(|header| std::str::from_utf8(header.value).ok())
    }

    fn count(&self, name: &str) -> usize {
        self.headers
            .iter()
            .filter(|header| header.name.eq_ignore_ascii_case(name))
            .count()
    }

    /// RFC 9112, 3.2: exactly one in HTTP/1.1, at most one in HTTP/1.0.
    fn check_host(&self) -> Result<(), ErrorResponse> {
        match self.count("Host") {
            0 if self.is_http_1_0 => Ok(()),
            1 if self.values("Host").all(is_host) && self.values("Host").count() == 1 => Ok(()),
            _ => Err(ErrorResponse::BadHost),
        }
    }

    /// A scrape has no body. One that is announced is refused, since a reader that
    /// understands its length differently sees another request in it (RFC 9110,
    /// 9.3.1). Other methods are refused anyway, and their body is never read.
    fn check_no_body(&self) -> Result<(), ErrorResponse> {
        if self.count("Transfer-Encoding") > 0 {
            return Err(ErrorResponse::Body);
        }
        match self.count("Content-Length") {
            0 => Ok(()),
            1 => {
                let no_body = self
                    .values("Content-Length")
                    .any(|value| !value.is_empty() && value.bytes().all(|digit| digit == b'0'));
                no_body.then_some(()).ok_or(ErrorResponse::Body)
            }
            _ => Err(ErrorResponse::Body),
        }
    }

    /// RFC 9110, 10.1.1. A request without a body needs no `100` response.
    fn check_expectation(&self) -> Result<(), ErrorResponse> {
        let known = self
            .values("Expect")
            .all(|value| value.trim().eq_ignore_ascii_case("100-continue"));
        known.then_some(()).ok_or(ErrorResponse::Expectation)
    }

    /// RFC 9112, 9.3.
    fn wants_keep_alive(&self) -> bool {
        let says = |option: &str| {
            self.values("Connection")
                .flat_map(|value| value.split(','))
                .any(|said| said.trim().eq_ignore_ascii_case(option))
        };
        !says("close") && (!self.is_http_1_0 || says("keep-alive"))
    }
}

/// Splits a request target into path and query.
///
/// ```text
/// request-target = origin-form / absolute-form / authority-form / asterisk-form
/// ```
///
/// The last two belong to CONNECT and OPTIONS and have no path: they are returned
/// as they are, and no resource has them. Returns `None` for anything else.
fn split_target(target: &str) -> Option<(&str, &str)> {
    let origin_form = match target.as_bytes() {
        [b'/', ..] => target,
        _ => match strip_scheme(target) {
            Some(authority) => match authority.find(['/', '?']) {
                None => "/",
                Some(0) => return None,
                Some(at) if authority.as_bytes()[at] == b'?' => {
                    return Some(("/", &authority[at + 1..]));
                }
                Some(at) => &authority[at..],
            },
            None => target,
        },
    };
    // A fragment is never sent.
    if origin_form.contains('#') || !origin_form.is_ascii() {
        return None;
    }
    Some(origin_form.split_once('?').unwrap_or((origin_form, "")))
}

fn strip_scheme(target: &str) -> Option<&str> {
    let (scheme, after) = target.split_once("://")?;
    (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")).then_some(after)
}

/// Checks the characters of `uri-host [ ":" port ]`.
fn is_host(host: &str) -> bool {
    host.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%:[]".contains(&byte))
}

/// Asserts what must hold for any bytes, however they are cut in pieces.
#[cfg(any(test, fuzzing))]
pub(super) fn check_reading(bytes: &[u8]) {
    // A recipient that is known does not change with what follows.
    let mut known = Recipient::Undecided;
    let documents = [Document::new("/metrics/targets", "application/json")];
    for len in 0..=bytes.len() {
        let now = recipient(&bytes[..len], &documents);
        let stays = match known {
            Recipient::Undecided => true,
            // A method that is not ours may still turn out to be invalid.
            Recipient::Theirs => now == Recipient::Theirs || now == Recipient::NotHttp,
            Recipient::Ours | Recipient::NotHttp => now == known,
        };
        assert!(
            stays,
            "{known:?} became {now:?} after {len} bytes of {bytes:?}"
        );
        known = now;
    }
    // The head ends at the same place, however it arrives.
    let end = head_end(bytes, 0);
    let mut scanned = 0;
    let mut in_pieces = Ok(None);
    for len in 1..=bytes.len() {
        in_pieces = head_end(&bytes[..len], scanned);
        if in_pieces != Ok(None) {
            break;
        }
        scanned = len;
    }
    assert_eq!(in_pieces, end, "in {bytes:?}");
    // A request that is accepted shares its head with no other.
    let Ok(Some(end)) = end else { return };
    let mut normalized = bytes[..end].to_vec();
    normalize_version(&mut normalized);
    let mut space = HeaderSpace::new();
    if let Ok(request) = Request::parse(&normalized, &mut space) {
        let head = &bytes[leading_newlines(bytes)..end];
        let lines: Vec<&[u8]> = head.split(|byte| *byte == b'\n').collect();
        assert!(
            lines
                .iter()
                .all(|line| line.is_empty() || line.ends_with(b"\r"))
        );
        assert!(!head.contains(&0) && request.path.is_ascii());
        let is_ours = request.path == METRICS_PATH || request.path == documents[0].path();
        if is_ours && head[..5] == *b"GET /" {
            assert_eq!(known, Recipient::Ours, "of {bytes:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn recipient_is_known_from_the_first_bytes() {
        for (bytes, answer) in [
            ("", Recipient::Undecided),
            ("\r", Recipient::Undecided),
            ("\r\n\r\nG", Recipient::Undecided),
            ("GET", Recipient::Undecided),
            ("HEAD /metr", Recipient::Undecided),
            ("GET /metrics", Recipient::Undecided),
            ("GET /metrics/", Recipient::Undecided),
            ("GET /metrics ", Recipient::Ours),
            ("\r\nHEAD /metrics/?x", Recipient::Ours),
            ("X", Recipient::Theirs),
            ("GETX", Recipient::Theirs),
            ("GET /metrics\r", Recipient::Theirs),
            ("GET /metrics/t", Recipient::Theirs),
            ("GET http:", Recipient::Theirs),
            ("\n", Recipient::NotHttp),
            ("\rX", Recipient::NotHttp),
            (" GET", Recipient::NotHttp),
            ("GET\t", Recipient::NotHttp),
            ("X{", Recipient::NotHttp),
        ] {
            assert_eq!(recipient(bytes.as_bytes(), &[]), answer, "{bytes:?}");
        }
    }

    #[test]
    fn document_paths_are_ours() {
        let documents =
            ["/metrics/targets", "/about"].map(|path| Document::new(path, "text/plain"));
        for (bytes, answer) in [
            ("GET /metrics", Recipient::Undecided),
            ("GET /metrics/targets", Recipient::Undecided),
            ("GET /abo", Recipient::Undecided),
            ("GET /metrics ", Recipient::Ours),
            ("GET /metrics/targets ", Recipient::Ours),
            ("HEAD /about?x", Recipient::Ours),
            ("GET /metrics/t ", Recipient::Theirs),
            ("GET /metrics/targets/", Recipient::Theirs),
            ("GET /abx", Recipient::Theirs),
            ("POST /about ", Recipient::Theirs),
        ] {
            assert_eq!(recipient(bytes.as_bytes(), &documents), answer, "{bytes:?}");
        }
    }

    #[test]
    fn later_minor_version_reads_as_http_1_1() {
        for (version, read) in [
            ("HTTP/1.2", "HTTP/1.1"),
            ("HTTP/1.9", "HTTP/1.1"),
            ("HTTP/1.0", "HTTP/1.0"),
            ("HTTP/1.12", "HTTP/1.12"),
            ("HTTP/2.2", "HTTP/2.2"),
        ] {
            let head = |version| format!("\r\nGET / {version}\r\nX: HTTP/1.2\r\n\r\n").into_bytes();
            let mut normalized = head(version);
            normalize_version(&mut normalized);
            assert_eq!(normalized, head(read));
        }
        normalize_version(&mut []);
        normalize_version(b"HTTP/1.2".to_vec().as_mut_slice());
    }

    #[test]
    fn target_of_each_form_is_split() {
        assert_eq!(split_target("/a?b?c"), Some(("/a", "b?c")));
        assert_eq!(split_target("http://host/a?b"), Some(("/a", "b")));
        assert_eq!(split_target("http://host"), Some(("/", "")));
        assert_eq!(split_target("http://host?b/c"), Some(("/", "b/c")));
        assert_eq!(
            split_target("/x?http://host/metrics"),
            Some(("/x", "http://host/metrics"))
        );
        assert_eq!(split_target("host:80"), Some(("host:80", "")));
        assert_eq!(split_target("*"), Some(("*", "")));
        assert_eq!(split_target("http:///a"), None);
        assert_eq!(split_target("/a#b"), None);
    }

    /// Pieces of valid and invalid requests, of which many sequences are complete.
    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            "GET ",
            "HEAD ",
            "POST ",
            "/metrics",
            "/targets",
            "/",
            "?name[]=a",
            " ",
            "HTTP/1.1",
            "HTTP/1.0",
            "\r\n",
            "\r\n\r\n",
            "\n",
            "\r",
            "Host: a",
            "Host:",
            "Content-Length: 0",
            "Content-Length: 1",
            "Transfer-Encoding: chunked",
            "Expect: 100-continue",
            "Connection: close",
            ": ",
            "\0",
            "\t",
            "\u{e9}",
            "http://a",
            "*",
            "#",
            "x",
        ]);
        prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn any_bytes_read_alike_in_one_piece_and_in_many(bytes in pieces()) {
            check_reading(&bytes);
        }

        #[test]
        fn any_bytes_after_a_valid_line_read_alike(rest in pieces()) {
            let mut bytes = b"GET /metrics HTTP/1.1\r\n".to_vec();
            bytes.extend(rest);
            check_reading(&bytes);
        }
    }

    #[test]
    fn corpus_of_the_fuzz_target_reads_alike() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        // `cargo package` adds this file, and leaves out the corpus, which is part of another crate.
        if root.join(".cargo_vcs_info.json").exists() {
            return;
        }
        let inputs =
            std::fs::read_dir(root.join("fuzz/corpus/request")).expect("the corpus exists");
        let mut replayed = 0;
        for input in inputs {
            let path = input.expect("a readable directory").path();
            check_reading(&std::fs::read(path).expect("a readable input"));
            replayed += 1;
        }
        assert!(replayed > 0, "the corpus is empty");
    }
}
