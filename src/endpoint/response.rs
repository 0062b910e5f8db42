//! What a client is told: the heads of responses, and refusals in words.
//!
//! Everything is appended to a buffer that its connection keeps, so that a
//! response in the usual way allocates nothing.

use std::time::{SystemTime, UNIX_EPOCH};

/// Why a request is not answered with a page, or a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NotHttp,
    BadRequestLine,
    BadHeader,
    BadTarget,
    BadHost,
    BareNewline,
    NulByte,
    Truncated,
    Body,
    Version,
    Expectation,
    TargetTooLong,
    HeadTooLong,
    TooManyHeaders,
    TooSlow,
    NotFound,
    Method,
    NotAcceptable,
    Panicked,
    Busy,
    HandOff,
}

impl Refusal {
    /// The status line's code and reason.
    pub(super) fn status(self) -> Status {
        match self {
            Refusal::NotHttp
            | Refusal::BadRequestLine
            | Refusal::BadHeader
            | Refusal::BadTarget
            | Refusal::BadHost
            | Refusal::BareNewline
            | Refusal::NulByte
            | Refusal::Truncated
            | Refusal::Body => Status(400, "Bad Request"),
            Refusal::NotFound => Status(404, "Not Found"),
            Refusal::Method => Status(405, "Method Not Allowed"),
            Refusal::NotAcceptable => Status(406, "Not Acceptable"),
            Refusal::TooSlow => Status(408, "Request Timeout"),
            Refusal::TargetTooLong => Status(414, "URI Too Long"),
            Refusal::Expectation => Status(417, "Expectation Failed"),
            Refusal::HeadTooLong | Refusal::TooManyHeaders => {
                Status(431, "Request Header Fields Too Large")
            }
            Refusal::Panicked => Status(500, "Internal Server Error"),
            Refusal::Busy | Refusal::HandOff => Status(503, "Service Unavailable"),
            Refusal::Version => Status(505, "HTTP Version Not Supported"),
        }
    }

    /// The headers of the answer, `Content-Length` apart.
    pub(super) fn headers(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let allow = (self == Refusal::Method).then_some(("Allow", "GET, HEAD"));
        [("Content-Type", "text/plain; charset=utf-8")]
            .into_iter()
            .chain(allow)
    }

    /// What a person who reads the answer should know.
    pub(super) fn words(self) -> &'static str {
        match self {
            Refusal::NotHttp => "This is not an HTTP request.",
            Refusal::BadRequestLine => "The request line is malformed.",
            Refusal::BadHeader => "A header is malformed.",
            Refusal::BadTarget => "The request target is malformed.",
            Refusal::BadHost => "There must be exactly one Host header, naming a host.",
            Refusal::BareNewline => "Lines must end in CRLF, not in a bare LF.",
            Refusal::NulByte => "There is a NUL byte in the request.",
            Refusal::Truncated => "The request ended before its head did.",
            Refusal::Body => {
                "A scrape has no body: send no Content-Length and no Transfer-Encoding."
            }
            Refusal::Version => "This server speaks HTTP/1.0 and HTTP/1.1.",
            Refusal::Expectation => "The only expectation that can be met is 100-continue.",
            Refusal::TargetTooLong => "The request target is longer than this server takes.",
            Refusal::HeadTooLong => "The request's headers are longer than this server takes.",
            Refusal::TooManyHeaders => "The request has more headers than this server takes.",
            Refusal::TooSlow => "The request took too long to arrive.",
            Refusal::NotFound => "There is nothing here. The metrics are at /metrics.",
            Refusal::Method => "Metrics can be read with GET and HEAD only.",
            Refusal::NotAcceptable => {
                "The Accept header refuses every format there is: text/plain (version 0.0.4 and \
                 1.0.0) and application/openmetrics-text (version 1.0.0)."
            }
            Refusal::Panicked => "Reading the metrics failed. The process's log says why.",
            Refusal::Busy => "Too many connections. Try again.",
            Refusal::HandOff => "The server behind this port takes no connection now. Try again.",
        }
    }
}

impl From<httparse::Error> for Refusal {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::HeaderName | httparse::Error::HeaderValue => Refusal::BadHeader,
            httparse::Error::TooManyHeaders => Refusal::TooManyHeaders,
            httparse::Error::Version => Refusal::Version,
            _ => Refusal::BadRequestLine,
        }
    }
}

/// A status code and its reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status(pub(super) u16, pub(super) &'static str);

impl Status {
    pub(super) const OK: Status = Status(200, "OK");
}

/// What becomes of the connection after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It waits for the next request; an HTTP/1.0 client has to be told so.
    KeepAlive { is_http_1_0: bool },
    /// It is closed.
    Close,
}

/// A response's head while it is written.
pub(super) struct HeadWriter<'a> {
    into: &'a mut Vec<u8>,
}

impl<'a> HeadWriter<'a> {
    /// Begins with the status line and what every response has.
    pub(super) fn begin(into: &'a mut Vec<u8>, status: Status, date: &Date, after: After) -> Self {
        let mut head = Self { into };
        head.put(b"HTTP/1.1 ");
        head.put(itoa::Buffer::new().format(status.0).as_bytes());
        head.put(b" ");
        head.put(status.1.as_bytes());
        head.put(b"\r\n");
        head.field("Date", date.as_str());
        match after {
            After::KeepAlive { is_http_1_0: false } => {}
            After::KeepAlive { is_http_1_0: true } => head.field("Connection", "keep-alive"),
            After::Close => head.field("Connection", "close"),
        }
        head
    }

    pub(super) fn field(&mut self, name: &str, value: &str) {
        self.put(name.as_bytes());
        self.put(b": ");
        self.put(value.as_bytes());
        self.put(b"\r\n");
    }

    /// Ends with the length of the body.
    pub(super) fn end(mut self, body_len: usize) {
        self.field("Content-Length", itoa::Buffer::new().format(body_len));
        self.put(b"\r\n");
    }

    fn put(&mut self, bytes: &[u8]) {
        self.into.extend_from_slice(bytes);
    }
}

/// Writes a whole refusal, its body too unless only the head was asked for.
pub(super) fn write_refusal(
    into: &mut Vec<u8>,
    refusal: Refusal,
    date: &Date,
    after: After,
    body: bool,
) {
    let mut head = HeadWriter::begin(into, refusal.status(), date, after);
    for (name, value) in refusal.headers() {
        head.field(name, value);
    }
    head.end(refusal.words().len() + 1);
    if body {
        into.extend_from_slice(refusal.words().as_bytes());
        into.push(b'\n');
    }
}

/// The time as HTTP writes it, `Thu, 01 Jan 1970 00:00:00 GMT` (RFC 9110,
/// 5.6.7), kept for the second that it holds.
pub(super) struct Date {
    text: [u8; 29],
    second: Option<u64>,
}

impl Date {
    pub(super) fn new() -> Self {
        Self {
            text: *b"Thu, 01 Jan 1970 00:00:00 GMT",
            second: None,
        }
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text).expect("only ASCII is written")
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
        let (days, of_day) = (second / 86_400, second % 86_400);
        let (year, month, day) = civil(days);
        self.text[..3].copy_from_slice(&WEEKDAYS[(days % 7) as usize]);
        self.text[8..11].copy_from_slice(&MONTHS[month as usize - 1]);
        for (at, number) in [
            (5, day),
            (12, year / 100),
            (14, year % 100),
            (17, of_day / 3600),
            (20, of_day / 60 % 60),
            (23, of_day % 60),
        ] {
            self.text[at] = b'0' + (number / 10 % 10) as u8;
            self.text[at + 1] = b'0' + (number % 10) as u8;
        }
    }
}

/// From the first day of the epoch on.
const WEEKDAYS: [[u8; 3]; 7] = [
    *b"Thu", *b"Fri", *b"Sat", *b"Sun", *b"Mon", *b"Tue", *b"Wed",
];
const MONTHS: [[u8; 3]; 12] = [
    *b"Jan", *b"Feb", *b"Mar", *b"Apr", *b"May", *b"Jun", *b"Jul", *b"Aug", *b"Sep", *b"Oct",
    *b"Nov", *b"Dec",
];

/// Year, month (1 to 12) and day of a number of days since 1970-01-01, by
/// counting years from March, so that a leap day is a year's last.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_IN_400_YEARS: u64 = 146_097;
    // 1970-01-01 is day 719,468 from 0000-03-01.
    let days = days + 719_468;
    let (era, of_era) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    // Months from March have 31, 30, 31, 30, 31 days, and again.
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let january_or_february = u64::from(month <= 2);
    (400 * era + year + january_or_february, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(second: u64) -> String {
        let mut date = Date::new();
        date.set(second);
        date.as_str().to_owned()
    }

    #[test]
    fn a_date_is_written_as_http_wants_it() {
        assert_eq!(date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(date(951_827_696), "Tue, 29 Feb 2000 12:34:56 GMT");
        assert_eq!(date(1_709_251_199), "Thu, 29 Feb 2024 23:59:59 GMT");
        assert_eq!(date(1_709_251_200), "Fri, 01 Mar 2024 00:00:00 GMT");
        assert_eq!(date(4_102_444_799), "Thu, 31 Dec 2099 23:59:59 GMT");
    }

    #[test]
    fn a_refusal_says_in_words_what_was_wrong() {
        let mut response = Vec::new();
        let mut date = Date::new();
        date.set(0);
        write_refusal(&mut response, Refusal::Method, &date, After::Close, true);
        let words = Refusal::Method.words();
        let expected = format!(
            "HTTP/1.1 405 Method Not Allowed\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
             Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\nAllow: GET, HEAD\r\n\
             Content-Length: {}\r\n\r\n{words}\n",
            words.len() + 1,
        );
        assert_eq!(String::from_utf8(response).unwrap(), expected);
    }

    #[test]
    fn a_refusal_of_a_head_request_has_the_length_but_not_the_body() {
        let (mut whole, mut head) = (Vec::new(), Vec::new());
        let after = After::KeepAlive { is_http_1_0: true };
        write_refusal(&mut whole, Refusal::NotFound, &Date::new(), after, true);
        write_refusal(&mut head, Refusal::NotFound, &Date::new(), after, false);
        assert!(whole.starts_with(&head));
        assert!(head.ends_with(b"\r\n\r\n"));
    }
}
