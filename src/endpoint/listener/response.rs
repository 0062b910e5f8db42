//! The heads of responses, and whole error responses.
//!
//! Everything is appended to a buffer that its connection keeps, so that the
//! usual response allocates nothing.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::endpoint::error_response::{ErrorResponse, Status};

impl From<httparse::Error> for ErrorResponse {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::HeaderName | httparse::Error::HeaderValue => ErrorResponse::BadHeader,
            httparse::Error::TooManyHeaders => ErrorResponse::TooManyHeaders,
            httparse::Error::Version => ErrorResponse::Version,
            _ => ErrorResponse::BadRequestLine,
        }
    }
}

/// The fate of a connection after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disposition {
    /// It waits for the next request; an HTTP/1.0 client has to be told.
    KeepAlive { is_http_1_0: bool },
    /// It is closed.
    Close,
}

/// Writes a response's head.
pub(super) struct HeadWriter<'a> {
    into: &'a mut Vec<u8>,
}

impl<'a> HeadWriter<'a> {
    /// Writes the status line and the headers that every response has.
    pub(super) fn begin(
        into: &'a mut Vec<u8>,
        status: Status,
        date: &Date,
        disposition: Disposition,
    ) -> Self {
        let mut head = Self { into };
        head.put(b"HTTP/1.1 ");
        head.put(itoa::Buffer::new().format(status.0).as_bytes());
        head.put(b" ");
        head.put(status.1.as_bytes());
        head.put(b"\r\n");
        head.field("Date", date.as_str());
        match disposition {
            Disposition::KeepAlive { is_http_1_0: false } => {}
            Disposition::KeepAlive { is_http_1_0: true } => head.field("Connection", "keep-alive"),
            Disposition::Close => head.field("Connection", "close"),
        }
        head
    }

    pub(super) fn field(&mut self, name: &str, value: &str) {
        self.put(name.as_bytes());
        self.put(b": ");
        self.put(value.as_bytes());
        self.put(b"\r\n");
    }

    /// Ends the head of a response with a body of this length.
    pub(super) fn end(mut self, body_len: usize) {
        self.field("Content-Length", itoa::Buffer::new().format(body_len));
        self.end_without_length();
    }

    /// Ends the head of a response to `HEAD`, which may leave out a length that
    /// only making the body would tell (RFC 9110, 9.3.2). A page of metrics runs
    /// hooks and refreshes, and has another length at the next `GET`.
    pub(super) fn end_without_length(mut self) {
        self.put(b"\r\n");
    }

    fn put(&mut self, bytes: &[u8]) {
        self.into.extend_from_slice(bytes);
    }
}

/// Writes an error response, with its body unless the request was `HEAD`.
pub(super) fn write_error(
    into: &mut Vec<u8>,
    error: ErrorResponse,
    date: &Date,
    disposition: Disposition,
    body: bool,
) {
    let mut head = HeadWriter::begin(into, error.status(), date, disposition);
    for (name, value) in error.headers() {
        head.field(name, value);
    }
    head.end(error.message().len() + 1);
    if body {
        into.extend_from_slice(error.message().as_bytes());
        into.push(b'\n');
    }
}

/// The `Date` header (RFC 9110, 5.6.7), formatted once a second.
pub(super) struct Date {
    text: String,
    second: Option<u64>,
}

impl Date {
    /// The present time.
    pub(super) fn now() -> Self {
        let mut date = Self {
            text: String::new(),
            second: None,
        };
        date.refresh();
        date
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Moves on to the present second.
    pub(super) fn refresh(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        self.set(now.map_or(0, |since| since.as_secs()));
    }

    fn set(&mut self, second: u64) {
        if self.second == Some(second) {
            return;
        }
        self.second = Some(second);
        self.text.clear();
        let date = httpdate::HttpDate::from(UNIX_EPOCH + Duration::from_secs(second));
        write!(self.text, "{date}").expect("a String takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch() -> Date {
        let mut date = Date::now();
        date.set(0);
        date
    }

    #[test]
    fn date_has_the_format_of_http() {
        let mut date = epoch();
        assert_eq!(date.as_str(), "Thu, 01 Jan 1970 00:00:00 GMT");
        date.set(951_827_696);
        assert_eq!(date.as_str(), "Tue, 29 Feb 2000 12:34:56 GMT");
    }

    #[test]
    fn error_response_has_a_sentence_as_its_body() {
        let mut response = Vec::new();
        let error = ErrorResponse::Method;
        write_error(&mut response, error, &epoch(), Disposition::Close, true);
        let message = error.message();
        let expected = format!(
            "HTTP/1.1 405 Method Not Allowed\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
             Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\nAllow: GET, HEAD\r\n\
             Content-Length: {}\r\n\r\n{message}\n",
            message.len() + 1,
        );
        assert_eq!(String::from_utf8(response).unwrap(), expected);
    }

    #[test]
    fn error_response_to_head_has_the_length_without_the_body() {
        let (mut whole, mut head) = (Vec::new(), Vec::new());
        let disposition = Disposition::KeepAlive { is_http_1_0: true };
        let error = ErrorResponse::NotFound;
        write_error(&mut whole, error, &epoch(), disposition, true);
        write_error(&mut head, error, &epoch(), disposition, false);
        assert!(whole.starts_with(&head));
        assert!(head.ends_with(b"\r\n\r\n"));
    }
}
