//! Error responses: each with its status, headers and a sentence for people.

use crate::exposition::Offer;

/// The reason for which a request gets no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(feature = "http"),
    allow(dead_code, reason = "most of them are the listener's")
)]
pub(super) enum ErrorResponse {
    NotHttp,
    BadRequestLine,
    BadHeader,
    BadTarget,
    BadHost,
    BareNewline,
    NulByte,
    Truncated,
    Body,
    TooManyNames,
    Version,
    Expectation,
    TargetTooLong,
    HeadTooLong,
    TooManyHeaders,
    TooSlow,
    NotFound,
    Method,
    /// None of the formats on offer is accepted.
    NotAcceptable(Offer),
    Panicked,
    Busy,
    HandlerBusy,
}

impl ErrorResponse {
    pub(super) fn status(self) -> Status {
        match self {
            ErrorResponse::NotHttp
            | ErrorResponse::BadRequestLine
            | ErrorResponse::BadHeader
            | ErrorResponse::BadTarget
            | ErrorResponse::BadHost
            | ErrorResponse::BareNewline
            | ErrorResponse::NulByte
            | ErrorResponse::Truncated
            | ErrorResponse::Body
            | ErrorResponse::TooManyNames => Status(400, "Bad Request"),
            ErrorResponse::NotFound => Status(404, "Not Found"),
            ErrorResponse::Method => Status(405, "Method Not Allowed"),
            ErrorResponse::NotAcceptable(_) => Status(406, "Not Acceptable"),
            ErrorResponse::TooSlow => Status(408, "Request Timeout"),
            ErrorResponse::TargetTooLong => Status(414, "URI Too Long"),
            ErrorResponse::Expectation => Status(417, "Expectation Failed"),
            ErrorResponse::HeadTooLong | ErrorResponse::TooManyHeaders => {
                Status(431, "Request Header Fields Too Large")
            }
            ErrorResponse::Panicked => Status(500, "Internal Server Error"),
            ErrorResponse::Busy | ErrorResponse::HandlerBusy => Status(503, "Service Unavailable"),
            ErrorResponse::Version => Status(505, "HTTP Version Not Supported"),
        }
    }

    /// The response's headers, without `Content-Length`.
    pub(super) fn headers(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let allow = (self == ErrorResponse::Method).then_some(("Allow", "GET, HEAD"));
        [("Content-Type", "text/plain; charset=utf-8")]
            .into_iter()
            .chain(allow)
    }

    /// The response's body: a sentence, without a line feed.
    pub(super) fn message(self) -> &'static str {
        match self {
            ErrorResponse::NotHttp => "This is not an HTTP request.",
            ErrorResponse::BadRequestLine => "The request line is malformed.",
            ErrorResponse::BadHeader => "A header is malformed.",
            ErrorResponse::BadTarget => "The request target is malformed.",
            ErrorResponse::BadHost => "Expected exactly one Host header that names a host.",
            ErrorResponse::BareNewline => "Lines must end in CRLF, not in a bare LF.",
            ErrorResponse::NulByte => "The request contains a NUL byte.",
            ErrorResponse::Truncated => "The connection ended in the middle of the request's head.",
            ErrorResponse::Body => {
                "A scrape has no body: send no Content-Length and no Transfer-Encoding."
            }
            ErrorResponse::TooManyNames => {
                "A request can name at most 256 families: send fewer name[] parameters."
            }
            ErrorResponse::Version => "Expected HTTP/1.0 or HTTP/1.1.",
            ErrorResponse::Expectation => "The only supported expectation is 100-continue.",
            ErrorResponse::TargetTooLong => "The request target exceeds this server's limit.",
            ErrorResponse::HeadTooLong => "The request's headers exceed this server's limit.",
            ErrorResponse::TooManyHeaders => "A request can have at most 64 headers.",
            ErrorResponse::TooSlow => "The request took too long to arrive.",
            ErrorResponse::NotFound => "Not found. The metrics are at /metrics.",
            ErrorResponse::Method => "Metrics can be read with GET and HEAD only.",
            ErrorResponse::NotAcceptable(Offer {
                openmetrics2: false,
            }) => {
                "The Accept header refuses every available format: text/plain (versions 0.0.4 and \
                 1.0.0), application/openmetrics-text (version 1.0.0) and \
                 application/vnd.google.protobuf (delimited io.prometheus.client.MetricFamily)."
            }
            ErrorResponse::NotAcceptable(Offer { openmetrics2: true }) => {
                "The Accept header refuses every available format: text/plain (versions 0.0.4 and \
                 1.0.0), application/openmetrics-text (versions 1.0.0 and 2.0.0) and \
                 application/vnd.google.protobuf (delimited io.prometheus.client.MetricFamily)."
            }
            ErrorResponse::Panicked => {
                "Reading the metrics failed. The log of the process has the reason."
            }
            ErrorResponse::Busy => "Too many connections. Try again later.",
            ErrorResponse::HandlerBusy => {
                "The server of this port takes no more connections now. Try again later."
            }
        }
    }
}

/// A status code and its reason phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status(
    pub(super) u16,
    #[cfg_attr(
        not(feature = "http"),
        allow(dead_code, reason = "other servers have their own phrases")
    )]
    pub(super) &'static str,
);

impl Status {
    pub(super) const OK: Status = Status(200, "OK");

    /// The status of a response that this module did not make. The phrase may be empty.
    pub(super) fn of(code: u16) -> Self {
        let phrase = match code {
            200 => "OK",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            406 => "Not Acceptable",
            500 => "Internal Server Error",
            503 => "Service Unavailable",
            _ => "",
        };
        Self(code, phrase)
    }
}
