//! What a client said: whose the request is, by as few bytes as tell it, and
//! then the whole head, read strictly.
//!
//! ```text
//!   bytes peeked ─► whose()     ours? theirs? no HTTP at all? not yet known
//!                ─► head_end()  where the head ends, looking at new bytes only
//!                ─► Request::parse()   httparse, then what it leaves open
//! ```
//!
//! Whatever two readers of one connection could understand differently is
//! refused, not repaired: a line that ends in a bare LF, a folded header, a
//! length given twice, a body. The caller closes the connection after each
//! [`Refusal`], so that nothing behind it is taken for a request.

use super::document::Document;
use super::response::Refusal;

/// More headers than any scraper sends; as many as fit on the stack.
const MAX_HEADERS: usize = 64;

/// Whose a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The bytes so far allow both.
    Undecided,
    /// `GET` or `HEAD` of `/metrics`, `/metrics/` or a document.
    Ours,
    /// Any other request, or a prefix that can only become another.
    Theirs,
    /// No request line begins like this.
    NotHttp,
}

/// Tells whose a request is that begins with these bytes.
///
/// ```text
/// request-line = method SP request-target SP HTTP-version     RFC 9112, 3
/// method       = 1*tchar                                      RFC 9110, 9.1
/// ```
pub(super) fn whose(bytes: &[u8], documents: &[Document]) -> Whose {
    let line = &bytes[leading_newlines(bytes)..];
    let method_len = line.iter().position(|&byte| !is_tchar(byte));
    let (method, rest) = line.split_at(method_len.unwrap_or(line.len()));
    match rest.first() {
        None => {
            let may_be_ours = b"GET".starts_with(method) || b"HEAD".starts_with(method);
            return if may_be_ours {
                Whose::Undecided
            } else {
                Whose::Theirs
            };
        }
        Some(b' ') if !method.is_empty() => {}
        Some(b'\r') if line.len() == 1 => return Whose::Undecided,
        Some(_) => return Whose::NotHttp,
    }
    if method != b"GET" && method != b"HEAD" {
        return Whose::Theirs;
    }
    let target = &rest[1..];
    let path_len = target.iter().position(|byte| b" ?".contains(byte));
    let mut ours = [METRICS_PATH, METRICS_PATH_TOO]
        .into_iter()
        .chain(documents.iter().map(Document::path));
    match path_len {
        Some(len) if ours.any(|path| path.as_bytes() == &target[..len]) => Whose::Ours,
        None if ours.any(|path| path.as_bytes().starts_with(target)) => Whose::Undecided,
        _ => Whose::Theirs,
    }
}

/// Where the metrics are.
pub(super) const METRICS_PATH: &str = "/metrics";
/// Where they are for those who end every path in a slash.
const METRICS_PATH_TOO: &str = "/metrics/";

/// Where the head ends that begins these bytes, `None` while it does not.
/// The first `looked_at` bytes have been looked at before.
///
/// ```text
/// HTTP-message = start-line CRLF *( field-line CRLF ) CRLF    RFC 9112, 2.1
/// ```
pub(super) fn head_end(bytes: &[u8], looked_at: usize) -> Result<Option<usize>, Refusal> {
    let start = leading_newlines(bytes);
    for at in looked_at.max(start)..bytes.len() {
        match bytes[at] {
            0 => return Err(Refusal::NulByte),
            b'\n' if at == 0 || bytes[at - 1] != b'\r' => return Err(Refusal::BareNewline),
            b'\n' if at >= start + 3 && bytes[at - 3..at] == *b"\r\n\r" => return Ok(Some(at + 1)),
            _ => {}
        }
    }
    Ok(None)
}

/// Empty lines before a request, which a server should overlook (RFC 9112, 2.2).
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

/// The methods that are answered with more than a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// The page.
    Get,
    /// The page's head.
    Head,
    /// Anything else.
    Other,
}

impl Method {
    pub(super) fn of(name: &str) -> Self {
        match name {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            _ => Method::Other,
        }
    }
}

/// A request whose head is whole and sound.
#[derive(Debug)]
pub(super) struct Request<'h, 'b> {
    pub(super) method: Method,
    /// Without the query, and without the origin of an absolute form.
    pub(super) path: &'b str,
    /// What follows `?`, empty if nothing does.
    pub(super) query: &'b str,
    /// Whether the client is content to send its next request here.
    pub(super) keep_alive: bool,
    /// Whether the client speaks HTTP/1.0.
    pub(super) is_http_1_0: bool,
    headers: &'h [httparse::Header<'b>],
}

/// Room for the headers of one request.
pub(super) struct HeaderSpace<'b>([httparse::Header<'b>; MAX_HEADERS]);

impl HeaderSpace<'_> {
    pub(super) fn new() -> Self {
        Self([httparse::EMPTY_HEADER; MAX_HEADERS])
    }
}

impl<'h, 'b> Request<'h, 'b> {
    /// Reads a head that [`head_end`] has found whole.
    pub(super) fn parse(head: &'b [u8], space: &'h mut HeaderSpace<'b>) -> Result<Self, Refusal> {
        let mut parsed = httparse::Request::new(&mut space.0);
        match parsed.parse(head) {
            Ok(httparse::Status::Complete(_)) => {}
            Ok(httparse::Status::Partial) => return Err(Refusal::BadRequestLine),
            Err(error) => return Err(error.into()),
        }
        let (method, target) = (parsed.method.unwrap_or(""), parsed.path.unwrap_or(""));
        let (path, query) = split_target(target).ok_or(Refusal::BadTarget)?;
        let is_http_1_0 = parsed.version == Some(0);
        let request = Self {
            method: Method::of(method),
            path,
            query,
            keep_alive: false,
            is_http_1_0,
            headers: parsed.headers,
        };
        request.check_host()?;
        request.check_no_body()?;
        request.check_expectation()?;
        let keep_alive = request.wants_keep_alive();
        Ok(Self {
            keep_alive,
            ..request
        })
    }

    /// The values of a header, in the order they came. A value that is no
    /// UTF-8 is passed over: no header that is asked for here may have one.
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
    fn check_host(&self) -> Result<(), Refusal> {
        match self.count("Host") {
            0 if self.is_http_1_0 => Ok(()),
            1 if self.values("Host").all(is_host) && self.values("Host").count() == 1 => Ok(()),
            _ => Err(Refusal::BadHost),
        }
    }

    /// A scrape has no body. One that is announced is refused, since who reads
    /// its length differently sees another request in it (RFC 9110, 9.3.1).
    fn check_no_body(&self) -> Result<(), Refusal> {
        if self.count("Transfer-Encoding") > 0 {
            return Err(Refusal::Body);
        }
        match self.count("Content-Length") {
            0 => Ok(()),
            1 => {
                let no_body = self
                    .values("Content-Length")
                    .any(|value| !value.is_empty() && value.bytes().all(|digit| digit == b'0'));
                no_body.then_some(()).ok_or(Refusal::Body)
            }
            _ => Err(Refusal::Body),
        }
    }

    /// RFC 9110, 10.1.1. Without a body there is nothing to say `100` to.
    fn check_expectation(&self) -> Result<(), Refusal> {
        let known = self
            .values("Expect")
            .all(|value| value.trim().eq_ignore_ascii_case("100-continue"));
        known.then_some(()).ok_or(Refusal::Expectation)
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
/// The last two belong to CONNECT and OPTIONS, and no path is in them: they
/// come back as they are, and are found nowhere. `None`: nothing of the four.
fn split_target(target: &str) -> Option<(&str, &str)> {
    let origin_form = match target.as_bytes() {
        [b'/', ..] => target,
        _ => match strip_scheme(target) {
            Some(after) => match after.find(['/', '?']) {
                None => "/",
                Some(0) => return None,
                Some(at) if after.as_bytes()[at] == b'?' => return Some(("/", &after[at + 1..])),
                Some(at) => &after[at..],
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

/// `uri-host [ ":" port ]`, as far as it could be taken for something else.
fn is_host(host: &str) -> bool {
    host.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%:[]".contains(&byte))
}

/// What holds for any bytes whatever, and any way of cutting them in pieces.
#[cfg(any(test, fuzzing))]
pub(super) fn check_reading(bytes: &[u8]) {
    // Whose it is, once known, does not change with what follows.
    let mut known = Whose::Undecided;
    let documents = [Document::new("/metrics/targets", "application/json")];
    for len in 0..=bytes.len() {
        let now = whose(&bytes[..len], &documents);
        let stays = match known {
            Whose::Undecided => true,
            // A method that can't be ours may still turn out to be none.
            Whose::Theirs => now == Whose::Theirs || now == Whose::NotHttp,
            Whose::Ours | Whose::NotHttp => now == known,
        };
        assert!(
            stays,
            "{known:?} became {now:?} after {len} bytes of {bytes:?}"
        );
        known = now;
    }
    // The head ends at the same place, however it is looked at.
    let end = head_end(bytes, 0);
    let mut looked_at = 0;
    let mut in_pieces = Ok(None);
    for len in 1..=bytes.len() {
        in_pieces = head_end(&bytes[..len], looked_at);
        if in_pieces != Ok(None) {
            break;
        }
        looked_at = len;
    }
    assert_eq!(in_pieces, end, "in {bytes:?}");
    // A request that is accepted has its head to itself.
    let Ok(Some(end)) = end else { return };
    let mut space = HeaderSpace::new();
    if let Ok(request) = Request::parse(&bytes[..end], &mut space) {
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
            assert_eq!(known, Whose::Ours, "of {bytes:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_request_is_known_by_its_first_bytes() {
        for (bytes, answer) in [
            ("", Whose::Undecided),
            ("\r", Whose::Undecided),
            ("\r\n\r\nG", Whose::Undecided),
            ("GET", Whose::Undecided),
            ("HEAD /metr", Whose::Undecided),
            ("GET /metrics", Whose::Undecided),
            ("GET /metrics/", Whose::Undecided),
            ("GET /metrics ", Whose::Ours),
            ("\r\nHEAD /metrics/?x", Whose::Ours),
            ("X", Whose::Theirs),
            ("GETX", Whose::Theirs),
            ("GET /metrics\r", Whose::Theirs),
            ("GET /metrics/t", Whose::Theirs),
            ("GET http:", Whose::Theirs),
            ("\n", Whose::NotHttp),
            ("\rX", Whose::NotHttp),
            (" GET", Whose::NotHttp),
            ("GET\t", Whose::NotHttp),
            ("X{", Whose::NotHttp),
        ] {
            assert_eq!(whose(bytes.as_bytes(), &[]), answer, "{bytes:?}");
        }
    }

    #[test]
    fn documents_are_ours_too() {
        let documents =
            ["/metrics/targets", "/about"].map(|path| Document::new(path, "text/plain"));
        for (bytes, answer) in [
            ("GET /metrics", Whose::Undecided),
            ("GET /metrics/targets", Whose::Undecided),
            ("GET /abo", Whose::Undecided),
            ("GET /metrics ", Whose::Ours),
            ("GET /metrics/targets ", Whose::Ours),
            ("HEAD /about?x", Whose::Ours),
            ("GET /metrics/t ", Whose::Theirs),
            ("GET /metrics/targets/", Whose::Theirs),
            ("GET /abx", Whose::Theirs),
            ("POST /about ", Whose::Theirs),
        ] {
            assert_eq!(whose(bytes.as_bytes(), &documents), answer, "{bytes:?}");
        }
    }

    #[test]
    fn a_target_has_a_path_whatever_its_form() {
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

    /// Pieces of requests, sound and unsound, so that many become whole.
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
        fn any_bytes_are_read_the_same_in_one_piece_and_in_many(bytes in pieces()) {
            check_reading(&bytes);
        }

        #[test]
        fn what_follows_a_sound_line_is_read_so_too(rest in pieces()) {
            let mut bytes = b"GET /metrics HTTP/1.1\r\n".to_vec();
            bytes.extend(rest);
            check_reading(&bytes);
        }
    }

    #[test]
    fn what_a_fuzzer_came_up_with_still_reads_alike() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        // `cargo package` adds this file, and leaves out the corpus, which is part of another crate.
        if root.join(".cargo_vcs_info.json").exists() {
            return;
        }
        let inputs = std::fs::read_dir(root.join("fuzz/corpus/request")).expect("a corpus is kept");
        let mut replayed = 0;
        for input in inputs {
            let path = input.expect("a readable directory").path();
            check_reading(&std::fs::read(path).expect("a readable input"));
            replayed += 1;
        }
        assert!(replayed > 0, "nothing in the corpus");
    }
}
