//! Responses of the host's: pages that only it knows.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::handlers::Pages;
use super::page_pool::{PageId, PagePool};
use super::request::Request;
use crate::endpoint::error_response::{ErrorResponse, Status};
use crate::endpoint::paths::Method;
use crate::endpoint::responder::{MAX_HEADERS, ScrapeRequest};

/// A response of the host's.
pub(super) struct Answer {
    pub(super) status: Status,
    pub(super) headers: [Option<(&'static str, &'static str)>; MAX_HEADERS],
    /// Held by the receiver.
    pub(super) page: PageId,
}

/// Asks the host for a response.
pub(super) fn answer(
    pages: &mut dyn Pages,
    pool: &mut PagePool,
    request: &Request<'_, '_>,
) -> Result<Answer, ErrorResponse> {
    let method = match request.method {
        Method::Head => "HEAD",
        _ => "GET",
    };
    let scrape = ScrapeRequest::new(method).query(request.query);
    let scrape = request.values("Accept").fold(scrape, ScrapeRequest::accept);
    let scrape = request
        .values("Accept-Encoding")
        .fold(scrape, ScrapeRequest::accept_encoding);
    let page = pool.take();
    let body = pool.bytes_mut(page);
    let answered = catch_unwind(AssertUnwindSafe(|| {
        let response = pages.respond(request.path, &scrape)?;
        let mut headers = [None; MAX_HEADERS];
        for (field, header) in headers.iter_mut().zip(response.headers()) {
            *field = Some(header);
        }
        body.extend_from_slice(response.body());
        Some((Status::of(response.status()), headers))
    }));
    let answered = answered.map_err(|_| ErrorResponse::Panicked);
    match answered.and_then(|answered| answered.ok_or(ErrorResponse::NotFound)) {
        Ok((status, headers)) => Ok(Answer {
            status,
            headers,
            page,
        }),
        Err(error) => {
            pool.release(page);
            Err(error)
        }
    }
}
