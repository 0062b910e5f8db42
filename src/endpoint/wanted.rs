//! What a sound request asks for, and what it gets instead.

use super::request::{METRICS_PATH, Method, Request};
use super::response::Refusal;
use super::selection::Selection;
use crate::exposition::ContentType;

/// A page that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) content_type: ContentType,
    pub(super) selection: Selection,
    /// Whether only its head is to be sent.
    pub(super) head_only: bool,
}

impl Wanted {
    pub(super) fn of(request: &Request<'_, '_>) -> Result<Self, Refusal> {
        let is_metrics = request.path.strip_suffix('/').unwrap_or(request.path) == METRICS_PATH;
        let head_only = match request.method {
            Method::Get => false,
            Method::Head => true,
            // The asterisk form asks about the server, whatever is served.
            Method::Other if is_metrics || request.path == "*" => return Err(Refusal::Method),
            Method::Other => return Err(Refusal::NotFound),
        };
        if !is_metrics {
            return Err(Refusal::NotFound);
        }
        Ok(Self {
            content_type: ContentType::acceptable_in(request.values("Accept"))
                .ok_or(Refusal::NotAcceptable)?,
            selection: Selection::of_query(request.query),
            head_only,
        })
    }

    /// Whether one page serves both.
    pub(super) fn same_page(&self, other: &Self) -> bool {
        self.content_type == other.content_type && self.selection == other.selection
    }
}
