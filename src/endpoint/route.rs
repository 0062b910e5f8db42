//! Routing: maps a request to the page to serve, or to an error response.

#[cfg(all(feature = "http", target_os = "linux"))]
use super::Document;
use super::error_response::ErrorResponse;
use super::html;
use super::paths::{Method, is_metrics_path};
use super::selection::Selection;
use crate::Scraper;
use crate::exposition::negotiation::{parse_weight, prefers_html, split_unquoted};
use crate::exposition::{ContentType, Format, Offer};

/// A resource that the endpoint serves, in one of its representations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    /// The metrics as a scraper reads them.
    Metrics(ContentType),
    /// The metrics as tables, for a browser.
    Html,
    /// The index page, for a browser.
    Index,
    /// The index page as plain text.
    IndexText,
    /// A document of the host application.
    #[cfg(all(feature = "http", target_os = "linux"))]
    Document(Document),
}

/// A page that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestedPage {
    pub(super) resource: Resource,
    pub(super) selection: Selection,
    /// True if the client accepts gzip.
    pub(super) gzip: bool,
}

impl RequestedPage {
    /// Routes a request by its method, path and query, and the values of its
    /// `Accept` and `Accept-Encoding` headers. `offer` are the formats to choose from.
    ///
    /// # Errors
    /// The response to give instead.
    pub(super) fn route<'a>(
        method: Method,
        path: &str,
        query: &str,
        accept: impl Iterator<Item = &'a str> + Clone,
        accept_encoding: impl Iterator<Item = &'a str>,
        offer: Offer,
    ) -> Result<Self, ErrorResponse> {
        let is_metrics = is_metrics_path(path);
        if method == Method::Other {
            // The asterisk form asks about the server, whatever it serves.
            let exists = is_metrics || path == "/" || path == "*";
            return Err(if exists {
                ErrorResponse::Method
            } else {
                ErrorResponse::NotFound
            });
        }
        let html = prefers_html(accept.clone());
        let resource = match (is_metrics, path, html) {
            (true, _, true) => Resource::Html,
            (true, _, false) => Resource::Metrics(
                offer
                    .acceptable_in(accept)
                    .ok_or(ErrorResponse::NotAcceptable(offer))?,
            ),
            (false, "/", true) => Resource::Index,
            (false, "/", false) => Resource::IndexText,
            (false, ..) => return Err(ErrorResponse::NotFound),
        };
        let selection = if is_metrics {
            Selection::from_query(query)?
        } else {
            Selection::default()
        };
        Ok(Self {
            resource,
            selection,
            gzip: accepts_gzip(accept_encoding),
        })
    }

    /// Routes a request for a document.
    ///
    /// # Errors
    /// [`ErrorResponse::Method`] for a method that does not read.
    #[cfg(all(feature = "http", target_os = "linux"))]
    pub(super) fn document<'a>(
        document: &Document,
        method: Method,
        accept_encoding: impl Iterator<Item = &'a str>,
    ) -> Result<Self, ErrorResponse> {
        if method == Method::Other {
            return Err(ErrorResponse::Method);
        }
        Ok(Self {
            resource: Resource::Document(document.clone()),
            selection: Selection::default(),
            gzip: accepts_gzip(accept_encoding),
        })
    }

    /// Appends the page. `scratch` holds the text that HTML is made from.
    pub(super) fn write(&self, scraper: &mut Scraper, scratch: &mut Vec<u8>, page: &mut Vec<u8>) {
        let is_selected = |family: &str| self.selection.has(family);
        match &self.resource {
            Resource::Metrics(content_type) => {
                scraper.scrape_only(*content_type, is_selected, page);
            }
            Resource::Html => {
                scratch.clear();
                scraper.scrape_only(Format::Text, is_selected, scratch);
                html::render(scratch, page);
            }
            Resource::Index => page.extend_from_slice(html::INDEX.as_bytes()),
            Resource::IndexText => page.extend_from_slice(html::INDEX_TEXT.as_bytes()),
            #[cfg(all(feature = "http", target_os = "linux"))]
            Resource::Document(document) => page.extend_from_slice(&document.bytes()),
        }
    }

    /// The length of the page, uncompressed; `None` for a page that has to be made.
    #[cfg(all(feature = "http", target_os = "linux"))]
    pub(super) fn fixed_len(&self) -> Option<usize> {
        match &self.resource {
            Resource::Metrics(_) | Resource::Html => None,
            Resource::Index => Some(html::INDEX.len()),
            Resource::IndexText => Some(html::INDEX_TEXT.len()),
            Resource::Document(document) => Some(document.bytes().len()),
        }
    }

    /// The content type of a metrics page of all families; `None` for other pages.
    #[cfg(feature = "gzip")]
    pub(super) fn whole_page(&self) -> Option<ContentType> {
        match &self.resource {
            Resource::Metrics(content_type) if self.selection.is_all() => Some(*content_type),
            _ => None,
        }
    }

    /// The headers that describe the page, without `Content-Length`. `gzipped`
    /// says whether this page is compressed, `may_gzip` whether other requests
    /// could get a compressed one.
    pub(super) fn headers(
        &self,
        gzipped: bool,
        may_gzip: bool,
    ) -> impl Iterator<Item = (&'static str, &'static str)> + use<> {
        let html = matches!(self.resource, Resource::Html | Resource::Index);
        let content_type = match &self.resource {
            Resource::Metrics(content_type) => content_type.header(),
            Resource::Html | Resource::Index => "text/html; charset=utf-8",
            Resource::IndexText => "text/plain; charset=utf-8",
            #[cfg(all(feature = "http", target_os = "linux"))]
            Resource::Document(document) => document.content_type(),
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
}

/// Returns true if these `Accept-Encoding` headers ask for gzip, and prefer it to an
/// uncompressed response or are indifferent (RFC 9110, 12.5.3).
fn accepts_gzip<'a>(headers: impl Iterator<Item = &'a str>) -> bool {
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
    fn gzip_is_accepted_only_if_it_is_asked_for() {
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
            "two headers count as one"
        );
    }
}
