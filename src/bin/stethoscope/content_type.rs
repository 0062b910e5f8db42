//! Judges the `Content-Type` of a page as Prometheus servers do.
//!
//! Prometheus 3 fails a scrape whose header is missing, malformed or unknown, unless
//! `fallback_scrape_protocol` is configured. Prometheus 2 reads such a page as text.

use super::server::Server;
use stethoscope::exposition::parser::Options;
use stethoscope::exposition::{ContentType, Format};

/// A fault of the header, as a message, and whether the scrape fails by it.
#[derive(Debug, PartialEq)]
pub(super) struct HeaderFault {
    pub(super) message: String,
    pub(super) is_fatal: bool,
}

/// Returns the options that the header asks for, and its fault if it has one.
pub(super) fn judge(
    header: Option<&str>,
    server: Option<Server>,
) -> (Options, Option<HeaderFault>) {
    let Some(problem) = problem(header) else {
        let content_type = ContentType::from_header(header.unwrap_or_default());
        return (Options::from(content_type), None);
    };
    let fails = "fails the scrape unless fallback_scrape_protocol is configured";
    let (consequence, is_fatal) = match server {
        Some(Server::V2) => ("Prometheus 2 reads the page as text".to_owned(), false),
        Some(Server::V3) => (format!("Prometheus 3 {fails}"), true),
        None => (
            format!("Prometheus 3 {fails}; Prometheus 2 reads the page as text"),
            true,
        ),
    };
    let fault = HeaderFault {
        message: format!("{problem}: {consequence}"),
        is_fatal,
    };
    (Options::strict(Format::Text), Some(fault))
}

/// Returns the reason why Prometheus 3 would not accept a header.
fn problem(header: Option<&str>) -> Option<String> {
    let header = match header.map(str::trim) {
        None => return Some("the response has no Content-Type".to_owned()),
        Some("") => return Some("the response has an empty Content-Type".to_owned()),
        Some(header) => header,
    };
    let Some(essence) = essence(header) else {
        return Some(format!("the Content-Type {header:?} is malformed"));
    };
    match &*essence.to_ascii_lowercase() {
        "text/plain" | "application/openmetrics-text" | "application/vnd.google.protobuf" => None,
        _ => Some(format!(
            "the Content-Type {header:?} is not one of a metrics page"
        )),
    }
}

/// Parses `type/subtype (; name=value)*` and returns type and subtype, or `None` if
/// the header is malformed.
///
/// ```text
/// media-type = type "/" subtype *( OWS ";" OWS parameter )      RFC 9110, 8.3.1
/// parameter  = token "=" ( token / quoted-string )
/// ```
fn essence(header: &str) -> Option<&str> {
    let is_token = |text: &str| {
        let is_token_byte =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !text.is_empty() && text.bytes().all(is_token_byte)
    };
    let (essence, mut parameters) = header.split_once(';').unwrap_or((header, ""));
    let essence = essence.trim();
    let (kind, subtype) = essence.split_once('/')?;
    if !is_token(kind) || !is_token(subtype) {
        return None;
    }
    loop {
        parameters = parameters.trim_start();
        // Servers accept a semicolon at the end.
        if parameters.is_empty() {
            return Some(essence);
        }
        let (name, value) = parameters.split_once('=')?;
        if !is_token(name.trim()) {
            return None;
        }
        let rest = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?.1,
            None => {
                let end = value.find([';', ' ', '\t']).unwrap_or(value.len());
                if !is_token(&value[..end]) {
                    return None;
                }
                &value[end..]
            }
        };
        parameters = match rest.trim_start() {
            "" => "",
            rest => rest.strip_prefix(';')?,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted_headers_have_no_fault() {
        for (header, format) in [
            ("text/plain", Format::Text),
            ("text/plain; version=0.0.4; charset=utf-8;", Format::Text),
            ("Text/Plain;version=\"1.0.0\"", Format::Text1),
            (
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                Format::OpenMetrics,
            ),
        ] {
            let (options, fault) = judge(Some(header), None);
            assert_eq!((options.format, fault), (format, None), "{header}");
        }
    }

    #[test]
    fn other_headers_fail_a_scrape_of_prometheus_3_only() {
        for header in [
            None,
            Some(""),
            Some("text"),
            Some("text/plain, version=0.0.4"),
            Some("text/plain; version"),
            Some("text/plain; version=0.0.4 charset=utf-8"),
            Some("application/octet-stream"),
            Some("text/html"),
            Some("application/openmetrics-text; version"),
        ] {
            let fatal = |server| judge(header, server).1.expect("a fault").is_fatal;
            assert!(fatal(None) && fatal(Some(Server::V3)), "{header:?}");
            assert!(!fatal(Some(Server::V2)), "{header:?}");
            assert_eq!(judge(header, Some(Server::V2)).0.format, Format::Text);
        }
    }
}
