//! Paths and methods that the endpoint knows.

/// The path of the metrics.
pub(super) const METRICS_PATH: &str = "/metrics";
/// The same path for clients that end every path in a slash.
#[cfg(all(feature = "http", target_os = "linux"))]
pub(super) const METRICS_PATH_SLASH: &str = "/metrics/";

/// Whether this is the path of the metrics, in either spelling.
pub(super) fn is_metrics_path(path: &str) -> bool {
    path.strip_suffix('/').unwrap_or(path) == METRICS_PATH
}

/// A request's method, as far as the endpoint tells methods apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// `GET`: headers and body.
    Get,
    /// `HEAD`: headers only.
    Head,
    /// Any other method.
    Other,
}

impl Method {
    pub(super) fn from_name(name: &str) -> Self {
        match name {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            _ => Method::Other,
        }
    }
}
