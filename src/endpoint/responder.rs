//! Answers to scrapes for those who run an HTTP server already.

use super::gzip::Compressor;
use super::request::{METRICS_PATH, Method};
use super::response::Refusal;
use super::route::Wanted;
use crate::{Registry, Scraper};
use smallvec::SmallVec;

/// Turns what a scraper's request says into what its response is, and leaves
/// the HTTP to you: for hyper, axum, actix and every other server.
///
/// It negotiates, compresses and selects as [`serve`](super::serve) does. Once
/// its buffers have grown, a plain or compressed response allocates nothing but
/// what your server needs. It serves one request at a time: put it behind a
/// mutex, or keep one for each thread.
///
/// With the types of the `http` crate, which hyper and axum share:
///
/// ```
/// use http::{Request, Response};
/// use std::sync::Mutex;
/// use stethoscope::Registry;
/// use stethoscope::endpoint::{Responder, ScrapeRequest};
///
/// fn metrics(responder: &Mutex<Responder>, request: &Request<()>) -> Response<Vec<u8>> {
///     let header = |name| {
///         let value = request.headers().get(name);
///         value.and_then(|value| value.to_str().ok()).unwrap_or_default()
///     };
///     let mut responder = responder.lock().unwrap();
///     let scrape = responder.respond(&ScrapeRequest {
///         method: request.method().as_str(),
///         query: request.uri().query().unwrap_or_default(),
///         accept: header("accept"),
///         accept_encoding: header("accept-encoding"),
///     });
///     let mut response = Response::builder().status(scrape.status);
///     for (name, value) in &scrape.headers {
///         response = response.header(*name, *value);
///     }
///     response.body(scrape.body.to_vec()).expect("status and headers are sound")
/// }
///
/// let registry = Registry::new();
/// registry.gauge("answer", "To everything.")?.set(42);
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
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Responder {
    scraper: Scraper,
    compressor: Option<Compressor>,
    plain: Vec<u8>,
    gzip: Vec<u8>,
    /// What `gzip` is made of.
    compressed: Vec<u8>,
    scratch: Vec<u8>,
}

/// What a request for the metrics says. A header that is missing is empty, one
/// that comes several times is joined by commas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrapeRequest<'a> {
    /// The method, as it came.
    pub method: &'a str,
    /// What follows the `?`: `name[]` parameters choose families.
    pub query: &'a str,
    /// The `Accept` header.
    pub accept: &'a str,
    /// The `Accept-Encoding` header.
    pub accept_encoding: &'a str,
}

/// What to answer. A server adds `Content-Length` by itself, and leaves the body
/// out where the method is `HEAD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrapeResponse<'a> {
    /// 200; 405 for a method that does not read; 406 for an `Accept` that
    /// refuses every format.
    pub status: u16,
    /// Names and values.
    pub headers: SmallVec<[(&'static str, &'static str); 6]>,
    /// The body.
    pub body: &'a [u8],
}

impl Responder {
    /// A responder for a registry's metrics.
    pub fn new(registry: &Registry) -> Self {
        Self {
            scraper: registry.scraper(),
            compressor: Compressor::new(),
            plain: Vec::new(),
            gzip: Vec::new(),
            compressed: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Whether pages are compressed for clients that ask for it, as with
    /// [`Builder::gzip`](super::Builder::gzip).
    pub fn gzip(mut self, compress: bool) -> Self {
        self.compressor = if compress { Compressor::new() } else { None };
        self
    }

    /// The answer to a request.
    pub fn respond(&mut self, request: &ScrapeRequest<'_>) -> ScrapeResponse<'_> {
        let wanted = Wanted::of(
            Method::of(request.method),
            METRICS_PATH,
            request.query,
            [request.accept].into_iter(),
            [request.accept_encoding].into_iter(),
        );
        let wanted = match wanted {
            Ok(wanted) => wanted,
            Err(refusal) => return refused(refusal),
        };
        self.plain.clear();
        wanted.write(&mut self.scraper, &mut self.scratch, &mut self.plain);
        let may_gzip = self.compressor.is_some();
        let (body, gzipped) = match &mut self.compressor {
            Some(compressor) if wanted.is_worth_gzip(&self.plain) => {
                // The same page is not compressed again.
                if self.compressed != self.plain {
                    compressor.compress(&self.plain, &mut self.gzip);
                    std::mem::swap(&mut self.compressed, &mut self.plain);
                }
                (&self.gzip, true)
            }
            _ => (&self.plain, false),
        };
        ScrapeResponse {
            status: 200,
            headers: wanted.headers(gzipped, may_gzip).collect(),
            body,
        }
    }
}

fn refused(refusal: Refusal) -> ScrapeResponse<'static> {
    ScrapeResponse {
        status: refusal.status().0,
        headers: refusal.headers().collect(),
        body: refusal.words().as_bytes(),
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
        response
            .headers
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| *value)
    }

    #[test]
    fn a_request_is_answered_as_the_endpoint_would() {
        let registry = registry();
        let mut responder = Responder::new(&registry);
        let get = ScrapeRequest {
            method: "GET",
            accept: "application/openmetrics-text",
            ..Default::default()
        };
        let response = responder.respond(&get);
        assert_eq!(response.status, 200);
        assert!(response.body.ends_with(b"# EOF\n"));
        let head = ScrapeRequest {
            method: "HEAD",
            ..get
        };
        assert_eq!(responder.respond(&head).status, 200);

        let browser = ScrapeRequest {
            accept: "text/html",
            ..get
        };
        let response = responder.respond(&browser);
        assert_eq!(
            header(&response, "Content-Type"),
            Some("text/html; charset=utf-8")
        );
        assert!(response.body.starts_with(b"<!DOCTYPE html>"));

        let post = ScrapeRequest {
            method: "POST",
            ..get
        };
        let response = responder.respond(&post);
        assert_eq!(
            (response.status, header(&response, "Allow")),
            (405, Some("GET, HEAD"))
        );
        let picky = ScrapeRequest {
            accept: "*/*;q=0",
            ..get
        };
        assert_eq!(responder.respond(&picky).status, 406);
    }

    #[cfg(feature = "gzip")]
    #[test]
    fn a_compressed_page_is_of_this_moment() {
        let registry = registry();
        let gauge = registry.gauge("last", "Changes.").unwrap();
        let mut responder = Responder::new(&registry);
        let request = ScrapeRequest {
            method: "GET",
            accept_encoding: "gzip",
            ..Default::default()
        };
        for turn in [0, 0, 1, 1, 0] {
            gauge.set(turn);
            let response = responder.respond(&request);
            assert_eq!(header(&response, "Content-Encoding"), Some("gzip"));
            let mut page = vec![0; 1 << 20];
            let mut decompressor = libdeflater::Decompressor::new();
            let len = decompressor
                .gzip_decompress(response.body, &mut page)
                .unwrap();
            assert_eq!(
                &page[..len],
                registry.scraper().scrape(crate::exposition::Format::Text)
            );
        }
        let plain = ScrapeRequest {
            accept_encoding: "gzip;q=0",
            ..request
        };
        let response = responder.respond(&plain);
        assert_eq!(header(&response, "Content-Encoding"), None);
        assert_eq!(
            response.body,
            registry.scraper().scrape(crate::exposition::Format::Text)
        );
        let mut off = Responder::new(&registry).gzip(false);
        let response = off.respond(&request);
        assert_eq!(header(&response, "Vary"), Some("Accept"));
        assert_eq!(header(&response, "Content-Encoding"), None);
    }
}
