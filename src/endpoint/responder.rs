//! Answers scrapes for an HTTP server that you run already.

use std::panic::{AssertUnwindSafe, catch_unwind};

use smallvec::SmallVec;

use super::error_response::{ErrorResponse, Status};
use super::gzip::{Compressor, GzipBuffers};
use super::paths::{METRICS_PATH, Method};
use super::route::RequestedPage;
use crate::exposition::{HighWater, Offer};
use crate::{Registry, Scraper};

/// Computes the response to a scrape, and leaves HTTP to your server: hyper,
/// axum, actix or any other, on every platform.
///
/// It negotiates the format, selects families and compresses, as the listener
/// does. Once its buffers have grown, a response allocates nothing. It serves one
/// request at a time: put it behind a mutex, or keep one for each thread.
///
/// With the types of the `http` crate, which hyper and axum share:
///
/// ```
/// use http::{Request, Response};
/// use std::sync::{Mutex, PoisonError};
/// use stethoscope::Registry;
/// use stethoscope::endpoint::{Responder, ScrapeRequest};
///
/// fn metrics(responder: &Mutex<Responder>, request: &Request<()>) -> Response<Vec<u8>> {
///     let scrape = ScrapeRequest::new(request.method().as_str())
///         .query(request.uri().query().unwrap_or_default())
///         .headers(request.headers());
///     let mut responder = responder.lock().unwrap_or_else(PoisonError::into_inner);
///     let scraped = responder.respond(&scrape);
///     let mut response = Response::builder().status(scraped.status());
///     for (name, value) in scraped.headers() {
///         response = response.header(name, value);
///     }
///     response.body(scraped.body().to_vec()).expect("status and headers are valid")
/// }
///
/// let registry = Registry::new();
/// registry.gauge("answer", "The answer.")?.set(42);
/// let responder = Mutex::new(Responder::new(&registry));
///
/// let request = Request::get("/metrics?name[]=answer").header("accept", "text/plain").body(())?;
/// let response = metrics(&responder, &request);
/// assert_eq!(response.status(), 200);
/// assert_eq!(
///     response.headers()["content-type"],
///     "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
/// );
/// assert!(response.body().ends_with(b"answer 42\n"));
///
/// // A hook that panics costs this response only.
/// let hook = registry.on_scrape(|| panic!("a hook that fails"));
/// assert_eq!(metrics(&responder, &request).status(), 500);
/// registry.remove_hook(hook);
/// assert_eq!(metrics(&responder, &request).status(), 200);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Responder {
    scraper: Scraper,
    compressor: Option<Compressor>,
    offer: Offer,
    body: Vec<u8>,
    scratch: GzipBuffers,
    /// The latest lengths of bodies.
    lengths: HighWater,
}

/// A request for the metrics.
///
/// ```
/// use stethoscope::endpoint::ScrapeRequest;
/// let request = ScrapeRequest::new("GET").query("name[]=up").accept_encoding("gzip");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrapeRequest<'a> {
    method: &'a str,
    query: &'a str,
    /// The values of all `Accept` headers, in order.
    accept: SmallVec<[&'a str; 2]>,
    accept_encoding: SmallVec<[&'a str; 2]>,
}

impl<'a> ScrapeRequest<'a> {
    /// A request with this method and no headers.
    pub fn new(method: &'a str) -> Self {
        Self {
            method,
            query: "",
            accept: SmallVec::new(),
            accept_encoding: SmallVec::new(),
        }
    }

    /// Sets the query, without the `?`. Its `name[]` parameters choose families: by the
    /// names of families or samples, as any page shows them. More than 256 of them are
    /// answered with status 400.
    #[must_use]
    pub fn query(mut self, query: &'a str) -> Self {
        self.query = query;
        self
    }

    /// Adds all headers of the request, for example a `HeaderMap` of the crate `http`.
    /// The endpoint reads `Accept` and `Accept-Encoding`, each of which may come several
    /// times, and ignores all others.
    ///
    /// ```
    /// use stethoscope::endpoint::ScrapeRequest;
    /// let headers = [("accept", "text/plain;q=0.5"), ("Accept", "application/openmetrics-text")];
    /// let request = ScrapeRequest::new("GET").headers(headers);
    /// let [(_, first), (_, second)] = headers;
    /// assert_eq!(request, ScrapeRequest::new("GET").accept(first).accept(second));
    /// ```
    #[must_use]
    pub fn headers<N, V>(mut self, headers: impl IntoIterator<Item = (&'a N, &'a V)>) -> Self
    where
        N: AsRef<str> + ?Sized + 'a,
        V: AsRef<[u8]> + ?Sized + 'a,
    {
        for (name, value) in headers {
            let values = match name.as_ref() {
                name if name.eq_ignore_ascii_case("accept") => &mut self.accept,
                name if name.eq_ignore_ascii_case("accept-encoding") => &mut self.accept_encoding,
                _ => continue,
            };
            // A value that is not text names no format that there is.
            values.extend(std::str::from_utf8(value.as_ref()));
        }
        self
    }

    /// Adds an `Accept` header.
    #[must_use]
    pub fn accept(mut self, accept: &'a str) -> Self {
        self.accept.push(accept);
        self
    }

    /// Adds an `Accept-Encoding` header.
    #[must_use]
    pub fn accept_encoding(mut self, accept_encoding: &'a str) -> Self {
        self.accept_encoding.push(accept_encoding);
        self
    }
}

/// The response to a scrape.
///
/// Your server adds `Content-Length`, and leaves the body out if the method is
/// `HEAD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrapeResponse<'a> {
    status: u16,
    headers: [Option<(&'static str, &'static str)>; MAX_HEADERS],
    body: &'a [u8],
}

/// The most headers that a response has.
pub(super) const MAX_HEADERS: usize = 6;

impl<'a> ScrapeResponse<'a> {
    fn new(
        status: Status,
        headers: impl Iterator<Item = (&'static str, &'static str)>,
        body: &'a [u8],
    ) -> Self {
        let mut fields = [None; MAX_HEADERS];
        for (field, header) in fields.iter_mut().zip(headers) {
            *field = Some(header);
        }
        Self {
            status: status.0,
            headers: fields,
            body,
        }
    }

    /// A response that is not a page: a document, or an error in a sentence.
    ///
    /// ```
    /// use stethoscope::endpoint::ScrapeResponse;
    /// let gone = ScrapeResponse::document(503, "text/plain", b"The process has died.\n");
    /// assert_eq!(gone.status(), 503);
    /// ```
    #[must_use]
    pub fn document(status: u16, content_type: &'static str, body: &'a [u8]) -> Self {
        let headers = [
            ("Content-Type", content_type),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
        ];
        Self::new(Status::of(status), headers.into_iter(), body)
    }

    /// Returns the same response with a body that lives longer, for example a copy that
    /// was made under a lock.
    ///
    /// ```
    /// # use stethoscope::endpoint::ScrapeResponse;
    /// let response = ScrapeResponse::document(200, "text/plain", b"short-lived");
    /// let body = response.body().to_vec();
    /// assert_eq!(response.with_body(&body), response);
    /// ```
    #[must_use]
    pub fn with_body<'b>(&self, body: &'b [u8]) -> ScrapeResponse<'b> {
        ScrapeResponse {
            status: self.status,
            headers: self.headers,
            body,
        }
    }

    fn error(error: ErrorResponse) -> ScrapeResponse<'static> {
        ScrapeResponse::new(error.status(), error.headers(), error.message().as_bytes())
    }

    /// The status code: 200; 400 for too many `name[]` parameters; 405 for a
    /// method other than `GET` and `HEAD`; 406 for an `Accept` header that
    /// refuses every format; 500 if a hook of the registry panicked.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The names and values of the headers.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &'static str)> + use<> {
        self.headers.into_iter().flatten()
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }
}

impl Responder {
    /// A responder for a registry's metrics.
    #[must_use]
    pub fn new(registry: &Registry) -> Self {
        Self {
            scraper: registry.scraper(),
            compressor: Compressor::new(),
            offer: Offer::new(),
            body: Vec::new(),
            scratch: GzipBuffers::default(),
            lengths: HighWater::default(),
        }
    }

    /// Sets whether pages are compressed for clients that ask for it. They are
    /// unless set, if the crate's feature `gzip` is on.
    #[must_use]
    pub fn gzip(mut self, compress: bool) -> Self {
        self.compressor = if compress { Compressor::new() } else { None };
        self
    }

    /// Sets whether scrapers that ask for OpenMetrics 2.0 get it. They do not unless set:
    /// see [`Format::OpenMetrics2`](crate::exposition::Format::OpenMetrics2).
    ///
    /// ```
    /// # use stethoscope::Registry;
    /// # use stethoscope::endpoint::{Responder, ScrapeRequest};
    /// let registry = Registry::new();
    /// let mut responder = Responder::new(&registry).openmetrics2(true);
    /// let accept = "application/openmetrics-text;version=2.0.0";
    /// let response = responder.respond(&ScrapeRequest::new("GET").accept(accept));
    /// let (_, content_type) = response.headers().next().unwrap();
    /// assert!(content_type.starts_with("application/openmetrics-text; version=2.0.0"));
    /// ```
    #[must_use]
    pub fn openmetrics2(mut self, offered: bool) -> Self {
        self.offer = self.offer.with_openmetrics2(offered);
        self
    }

    /// Sets whether the responder keeps nothing of the metrics from one page to the next
    /// but the page: see [`Scraper::lean`].
    ///
    /// ```
    /// # use stethoscope::Registry;
    /// # use stethoscope::endpoint::{Responder, ScrapeRequest};
    /// let registry = Registry::new();
    /// let mut responder = Responder::new(&registry).lean(true);
    /// assert_eq!(responder.respond(&ScrapeRequest::new("GET")).status(), 200);
    /// ```
    #[must_use]
    pub fn lean(mut self, lean: bool) -> Self {
        self.scraper = self.scraper.lean(lean);
        self
    }

    /// Computes the response to a request.
    pub fn respond(&mut self, request: &ScrapeRequest<'_>) -> ScrapeResponse<'_> {
        let page = RequestedPage::route(
            Method::from_name(request.method),
            METRICS_PATH,
            request.query,
            request.accept.iter().copied(),
            request.accept_encoding.iter().copied(),
            self.offer,
        );
        let page = match page {
            Ok(page) => page,
            Err(error) => return ScrapeResponse::error(error),
        };
        let Self {
            scraper,
            compressor,
            body,
            scratch,
            lengths,
            ..
        } = self;
        let may_gzip = compressor.is_some();
        lengths.trim(body);
        body.clear();
        // A panic comes from a hook: the scraper's own state is rebuilt by each
        // scrape, and the half-written page is dropped.
        let written = catch_unwind(AssertUnwindSafe(|| match compressor {
            Some(compressor) if page.gzip => compressor.write(&page, scraper, scratch, body),
            _ => {
                page.write(scraper, &mut scratch.text, body);
                false
            }
        }));
        scratch.trim();
        lengths.record(body.len());
        let Ok(gzipped) = written else {
            return ScrapeResponse::error(ErrorResponse::Panicked);
        };
        ScrapeResponse::new(Status::OK, page.headers(gzipped, may_gzip), body)
    }
}

impl std::fmt::Debug for Responder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Responder")
            .field("gzip", &self.compressor.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> Registry {
        let registry = Registry::new();
        let family = registry.gauge_family("g", "Gauges.", ["n"]).unwrap();
        for n in 0..200 {
            family.with([n.to_string().as_str()]).unwrap().set(n);
        }
        registry
    }

    fn header(response: &ScrapeResponse<'_>, name: &str) -> Option<&'static str> {
        let mut headers = response.headers();
        headers.find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    #[test]
    fn request_gets_status_headers_and_body_of_its_kind() {
        let registry = registry();
        let mut responder = Responder::new(&registry);
        let get = ScrapeRequest::new("GET");
        let openmetrics = get.clone().accept("application/openmetrics-text");
        let response = responder.respond(&openmetrics);
        assert_eq!(response.status(), 200);
        assert!(response.body().ends_with(b"# EOF\n"));
        let head = ScrapeRequest::new("HEAD");
        assert_eq!(responder.respond(&head).status(), 200);

        let protobuf = crate::exposition::ContentType::from(crate::exposition::Format::Protobuf);
        let response = responder.respond(&get.clone().accept(protobuf.header()));
        assert_eq!(header(&response, "Content-Type"), Some(protobuf.header()));
        assert_eq!(response.body(), registry.scraper().scrape(protobuf));

        let response = responder.respond(&get.clone().accept("text/html"));
        assert_eq!(
            header(&response, "Content-Type"),
            Some("text/html; charset=utf-8")
        );
        assert!(response.body().starts_with(b"<!DOCTYPE html>"));

        let response = responder.respond(&ScrapeRequest::new("POST"));
        assert_eq!(
            (response.status(), header(&response, "Allow")),
            (405, Some("GET, HEAD"))
        );
        assert_eq!(responder.respond(&get.accept("*/*;q=0")).status(), 406);
    }

    #[test]
    fn every_accept_header_counts() {
        let registry = registry();
        let mut responder = Responder::new(&registry);
        let headers = [
            ("Host", "a"),
            ("accept", "text/plain;q=0.5"),
            ("accept", "application/openmetrics-text"),
            ("accept-encoding", "br"),
            ("Accept-Encoding", "gzip"),
        ];
        let request = ScrapeRequest::new("GET").headers(headers);
        let response = responder.respond(&request);
        let content_type = header(&response, "Content-Type").unwrap();
        assert!(content_type.starts_with("application/openmetrics-text"));
        let gzip = cfg!(feature = "gzip").then_some("gzip");
        assert_eq!(header(&response, "Content-Encoding"), gzip);
    }

    #[test]
    fn name_as_the_page_shows_it_selects_its_family() {
        let registry = registry().with_utf8_names();
        registry.counter("shop.crème.total", "Crème.").unwrap();
        let mut responder = Responder::new(&registry);
        let request = ScrapeRequest::new("GET").query("name[]=shop_cr_me_total_total");
        let page = responder.respond(&request).body();
        assert!(page.ends_with(b"\nshop_cr_me_total_total 0\n"));
        assert!(!page.windows(7).any(|text| text == b"Gauges."));
    }

    #[test]
    fn hook_that_panics_costs_one_response() {
        let registry = registry();
        let hook = registry.on_scrape(|| panic!("a hook in a test"));
        let mut responder = Responder::new(&registry);
        let get = ScrapeRequest::new("GET");
        let response = responder.respond(&get);
        assert_eq!(response.status(), 500);
        assert!(!response.body().is_empty());
        registry.remove_hook(hook);
        let response = responder.respond(&get);
        assert_eq!(
            (response.status(), response.body()),
            (
                200,
                registry.scraper().scrape(crate::exposition::Format::Text)
            )
        );
    }

    #[test]
    fn buffers_shrink_when_pages_have_become_small() {
        let registry = registry();
        let family = registry.gauge_family("large", "Gauges.", ["n"]).unwrap();
        for n in 0..1000 {
            family.with([format!("{n:02000}").as_str()]).unwrap();
        }
        let mut responder = Responder::new(&registry);
        let request = ScrapeRequest::new("GET").accept_encoding("gzip");
        assert!(responder.respond(&request).status() == 200);
        registry.unregister("large");
        for _ in 0..100 {
            responder.respond(&request);
        }
        let held = responder.body.capacity() + responder.scratch.capacity();
        assert!(held < 1_000_000, "{held} bytes are held");
    }

    #[cfg(feature = "gzip")]
    #[test]
    fn compressed_page_has_the_present_values() {
        use std::io::Read as _;

        let registry = registry();
        let gauge = registry.gauge("last", "Changes.").unwrap();
        let mut responder = Responder::new(&registry);
        let get = ScrapeRequest::new("GET");
        let request = get.clone().accept_encoding("gzip");
        let text = |registry: &Registry| {
            let mut scraper = registry.scraper();
            scraper.scrape(crate::exposition::Format::Text).to_vec()
        };
        for turn in [0, 0, 1, 1, 0] {
            gauge.set(turn);
            let response = responder.respond(&request);
            assert_eq!(header(&response, "Content-Encoding"), Some("gzip"));
            let mut page = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(response.body());
            decoder.read_to_end(&mut page).unwrap();
            assert_eq!(page, text(&registry));
        }
        let response = responder.respond(&get.accept_encoding("gzip;q=0"));
        assert_eq!(header(&response, "Content-Encoding"), None);
        assert_eq!(response.body(), text(&registry));
        let mut off = Responder::new(&registry).gzip(false);
        let response = off.respond(&request);
        assert_eq!(header(&response, "Vary"), Some("Accept"));
        assert_eq!(header(&response, "Content-Encoding"), None);
    }
}
