//! What a sound request asks for, and what it gets instead.

use super::document::Document;
use super::gzip::Compressor;
use super::html;
use super::request::{METRICS_PATH, Method};
use super::response::Refusal;
use super::selection::Selection;
use crate::Scraper;
use crate::exposition::negotiation::{parse_weight, prefers_html, split_unquoted};
use crate::exposition::{ContentType, Format};

/// What there is to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// The metrics, for a scraper.
    Metrics(ContentType),
    /// The metrics, for a browser.
    Html,
    /// What is here, for a browser.
    Index,
    /// What is here, in plain words.
    IndexText,
    /// Something beside the metrics.
    Document(Document),
}

/// A page that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) shown: Shown,
    pub(super) selection: Selection,
    /// Whether the client takes it compressed.
    pub(super) gzip: bool,
    /// Whether only its head is to be sent.
    pub(super) head_only: bool,
}

impl Wanted {
    /// By method, path and query, and the values of `Accept` and
    /// `Accept-Encoding`.
    pub(super) fn of<'a>(
        method: Method,
        path: &str,
        query: &str,
        accept: impl Iterator<Item = &'a str> + Clone,
        accept_encoding: impl Iterator<Item = &'a str>,
    ) -> Result<Self, Refusal> {
        let is_metrics = path.strip_suffix('/').unwrap_or(path) == METRICS_PATH;
        // The asterisk form asks about the server, whatever is served.
        let is_ours = is_metrics || path == "/" || path == "*";
        let head_only = match method {
            Method::Get => false,
            Method::Head => true,
            Method::Other if is_ours => return Err(Refusal::Method),
            Method::Other => return Err(Refusal::NotFound),
        };
        let html = prefers_html(accept.clone());
        let shown = match (is_metrics, path, html) {
            (true, _, true) => Shown::Html,
            (true, _, false) => {
                Shown::Metrics(ContentType::acceptable_in(accept).ok_or(Refusal::NotAcceptable)?)
            }
            (false, "/", true) => Shown::Index,
            (false, "/", false) => Shown::IndexText,
            (false, ..) => return Err(Refusal::NotFound),
        };
        Ok(Self {
            shown,
            selection: Selection::of_query(query),
            gzip: accepts_gzip(accept_encoding),
            head_only,
        })
    }

    /// A document, by the method and the values of `Accept-Encoding`.
    pub(super) fn document<'a>(
        document: &Document,
        method: Method,
        accept_encoding: impl Iterator<Item = &'a str>,
    ) -> Result<Self, Refusal> {
        if method == Method::Other {
            return Err(Refusal::Method);
        }
        Ok(Self {
            shown: Shown::Document(document.clone()),
            selection: Selection::of_query(""),
            gzip: accepts_gzip(accept_encoding),
            head_only: method == Method::Head,
        })
    }

    /// Whether one page serves both.
    pub(super) fn same_page(&self, other: &Self) -> bool {
        self.shown == other.shown && self.selection == other.selection
    }

    /// Appends the page, made with `scratch` where it is made in two steps.
    pub(super) fn write(&self, scraper: &mut Scraper, scratch: &mut Vec<u8>, page: &mut Vec<u8>) {
        let wanted = |family: &str| self.selection.has(family);
        match &self.shown {
            Shown::Metrics(content_type) => scraper.scrape_only(*content_type, wanted, page),
            Shown::Html => {
                scratch.clear();
                scraper.scrape_only(Format::Text, wanted, scratch);
                html::render(scratch, page);
            }
            Shown::Index => page.extend_from_slice(html::INDEX.as_bytes()),
            Shown::IndexText => page.extend_from_slice(html::INDEX_TEXT.as_bytes()),
            Shown::Document(document) => page.extend_from_slice(&document.bytes()),
        }
    }

    /// The headers that describe the page, `Content-Length` apart. `gzipped`
    /// says whether it is compressed, `may_gzip` whether it could have been.
    pub(super) fn headers(
        &self,
        gzipped: bool,
        may_gzip: bool,
    ) -> impl Iterator<Item = (&'static str, &'static str)> {
        let html = matches!(self.shown, Shown::Html | Shown::Index);
        let content_type = match &self.shown {
            Shown::Metrics(content_type) => content_type.header(),
            Shown::Html | Shown::Index => "text/html; charset=utf-8",
            Shown::IndexText => "text/plain; charset=utf-8",
            Shown::Document(document) => document.content_type(),
        };
        let vary = if may_gzip {
            "Accept, Accept-Encoding"
        } else {
            "Accept"
        };
        [
            Some(("Content-Type", content_type)),
            gzipped.then_some(("Content-Encoding", "gzip")),
            Some(("Vary", vary)),
            Some(("Cache-Control", "no-store")),
            Some(("X-Content-Type-Options", "nosniff")),
            html.then_some(("Content-Security-Policy", html::SECURITY_POLICY)),
        ]
        .into_iter()
        .flatten()
    }

    /// Whether that page is to be compressed for this client.
    pub(super) fn is_worth_gzip(&self, page: &[u8]) -> bool {
        self.gzip && Compressor::is_worth_it(page)
    }
}

/// Whether these `Accept-Encoding` headers want gzip, and want it no less than
/// no encoding (RFC 9110, 12.5.3).
pub(super) fn accepts_gzip<'a>(headers: impl Iterator<Item = &'a str>) -> bool {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for entry in headers.flat_map(|header| header.split(',')) {
        let mut parts = split_unquoted(entry, ';');
        let coding = parts.next().unwrap_or_default().trim();
        let weight = parts
            .filter_map(|parameter| parameter.split_once('='))
            .filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
            .map(|(_, value)| parse_weight(value.trim()))
            .last()
            .unwrap_or(parse_weight("1"));
        if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
            gzip = gzip.max(Some(weight));
        } else if coding.eq_ignore_ascii_case("identity") {
            identity = identity.max(Some(weight));
        } else if coding == "*" {
            any = any.max(Some(weight));
        }
    }
    let gzip = gzip.or(any).unwrap_or(0);
    gzip > 0 && gzip >= identity.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_only_to_who_asks_for_it() {
        for (header, answer) in [
            ("gzip", true),
            ("GZIP", true),
            ("x-gzip", true),
            ("deflate, gzip;q=1.0, *;q=0.5", true),
            ("br;q=1, gzip;q=0.1", true),
            ("*", true),
            ("gzip, identity", true),
            ("", false),
            ("deflate, br", false),
            ("gzip;q=0", false),
            ("gzip; q=0.0, *", false),
            ("*;q=0", false),
            ("identity, gzip;q=0.5", false),
            ("gzipped", false),
        ] {
            assert_eq!(accepts_gzip([header].into_iter()), answer, "{header:?}");
        }
        assert!(!accepts_gzip(std::iter::empty()));
        assert!(
            accepts_gzip(["br", "gzip"].into_iter()),
            "two headers are one"
        );
    }
}
