//! Metrics of an HTTP server, by a layer of the crate `tower`.

use crate::cell::{Buckets, Counter, Gauge, GaugeGuard, Histogram};
use crate::{Family, Handle, RegisterError, Registry};
use http::{Extensions, Method, Request, Response, Uri};
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

/// Counts and times the requests of an HTTP service. Needs the feature `tower`.
///
/// | metric | labels | value |
/// |---|---|---|
/// | `http_requests_total` | `method`, `route`, `status` | requests that have ended |
/// | `http_request_duration_seconds` | `method`, `route` | time until the service had a response, its body aside |
/// | `http_requests_in_flight` | | requests that have no response yet |
///
/// The status is that of the response. It is `error` if the service failed without a
/// response, and `cancelled` if it was dropped before it had one, because the client
/// closed the connection, a timeout passed or a handler panicked. Of cancelled requests
/// no time is observed. Methods that no standard defines are shown as `other`.
///
/// With axum, `Router::route_layer` leaves out requests that match no route, and
/// `Router::layer` after the routes counts them with an empty `route`. A router that is
/// merged or nested shares the layer: clone it rather than registering another.
///
/// A request allocates nothing, if its series exist.
///
/// ```
/// use stethoscope::{Registry, tower::HttpMetrics};
///
/// let registry = Registry::new();
/// let layer = HttpMetrics::builder()
///     .route(|_, extensions| {
///         // The route, not the path: paths are unbounded.
///         extensions.get::<axum::extract::MatchedPath>().map(|path| path.as_str())
///     })
///     .register(&registry.with_namespace("myapp"))?;
/// let router: axum::Router = axum::Router::new()
///     .route("/hello/{name}", axum::routing::get(|| async { "hello" }))
///     .route_layer(layer);
/// # drop(router);
/// # Ok::<(), stethoscope::RegisterError>(())
/// ```
#[derive(Clone)]
pub struct HttpMetrics(Arc<HttpFamilies>);

struct HttpFamilies {
    requests: Family<Counter>,
    seconds: Family<Histogram>,
    in_flight: Handle<Gauge>,
    route: Box<RouteOf>,
}

/// Returns the route of a request, if it has one.
type RouteOf = dyn for<'r> Fn(&'r Uri, &'r Extensions) -> Option<&'r str> + Send + Sync;

impl fmt::Debug for HttpMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpMetrics")
            .field("requests", &self.0.requests)
            .finish_non_exhaustive()
    }
}

impl HttpMetrics {
    /// Registers the metrics. The label `route` is empty.
    ///
    /// # Errors
    /// If one of the names is taken.
    pub fn register(registry: &Registry) -> Result<Self, RegisterError> {
        Self::builder().register(registry)
    }

    /// Describes a layer with routes or other buckets.
    pub fn builder() -> HttpMetricsBuilder {
        HttpMetricsBuilder {
            route: Box::new(|_, _| None),
            buckets: Buckets::default(),
        }
    }
}

/// Describes [`HttpMetrics`].
#[must_use = "a builder does nothing until `register`"]
pub struct HttpMetricsBuilder {
    route: Box<RouteOf>,
    buckets: Buckets,
}

impl fmt::Debug for HttpMetricsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpMetricsBuilder")
            .field("buckets", &self.buckets)
            .finish_non_exhaustive()
    }
}

impl HttpMetricsBuilder {
    /// Sets the function that finds a request's route: one of a small number of texts,
    /// such as the pattern that a router has matched. The path itself would make a
    /// series for each path that clients think of.
    pub fn route(
        mut self,
        route: impl for<'r> Fn(&'r Uri, &'r Extensions) -> Option<&'r str> + Send + Sync + 'static,
    ) -> Self {
        self.route = Box::new(route);
        self
    }

    /// Sets the buckets of the durations, in seconds.
    pub fn buckets(mut self, buckets: Buckets) -> Self {
        self.buckets = buckets;
        self
    }

    /// Registers the metrics, in a view with a namespace for example.
    ///
    /// # Errors
    /// If one of the names is taken.
    pub fn register(self, registry: &Registry) -> Result<HttpMetrics, RegisterError> {
        Ok(HttpMetrics(Arc::new(HttpFamilies {
            requests: registry.counter_family(
                "http_requests_total",
                "Requests that have ended.",
                ["method", "route", "status"],
            )?,
            seconds: registry
                .family::<Histogram>(
                    "http_request_duration_seconds",
                    "Time until a request had a response, its body aside.",
                )
                .labels(["method", "route"])
                .unit("seconds")
                .options(self.buckets)
                .register()?,
            in_flight: registry.gauge(
                "http_requests_in_flight",
                "Requests that have no response yet.",
            )?,
            route: self.route,
        })))
    }
}

impl<S> Layer<S> for HttpMetrics {
    type Service = HttpMetricsService<S>;

    fn layer(&self, inner: S) -> HttpMetricsService<S> {
        HttpMetricsService {
            inner,
            metrics: self.clone(),
        }
    }
}

/// A service that [`HttpMetrics`] counts and times.
#[derive(Clone, Debug)]
pub struct HttpMetricsService<S> {
    inner: S,
    metrics: HttpMetrics,
}

impl<S, B, R> Service<Request<B>> for HttpMetricsService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let measured = Measured::start(&self.metrics, &request);
        ResponseFuture {
            response: self.inner.call(request),
            measured,
        }
    }
}

pin_project! {
    /// The response of a [`HttpMetricsService`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        response: F,
        measured: Measured,
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Poll::Ready(result) = this.response.poll(context) else {
            return Poll::Pending;
        };
        match &result {
            Ok(response) => this.measured.end(response.status().as_str(), true),
            Err(_) => this.measured.end("error", true),
        }
        Poll::Ready(result)
    }
}

/// A request in flight, which is counted as cancelled if it is dropped.
struct Measured {
    metrics: HttpMetrics,
    start: Instant,
    /// The durations of its method and route; their labels are those of the request.
    seconds: Option<Handle<Histogram>>,
    /// None after the end.
    in_flight: Option<GaugeGuard<Handle<Gauge>>>,
}

impl fmt::Debug for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Measured")
            .field("series", &self.seconds)
            .field("has_ended", &self.in_flight.is_none())
            .finish_non_exhaustive()
    }
}

impl Measured {
    fn start<B>(metrics: &HttpMetrics, request: &Request<B>) -> Self {
        let route = (metrics.0.route)(request.uri(), request.extensions()).unwrap_or_default();
        Self {
            metrics: metrics.clone(),
            start: Instant::now(),
            // Fails for a route of more than 4 GiB only.
            seconds: metrics.0.seconds.with([method(request), route]).ok(),
            in_flight: Some(GaugeGuard::new(metrics.0.in_flight.clone())),
        }
    }

    /// Counts the request, once.
    fn end(&mut self, status: &str, timed: bool) {
        if self.in_flight.take().is_none() {
            return;
        }
        let Some(seconds) = &self.seconds else {
            return;
        };
        if timed {
            seconds.observe(self.start.elapsed().as_secs_f64());
        }
        let mut labels = seconds.label_values();
        if let (Some(method), Some(route)) = (labels.next(), labels.next()) {
            let counted =
                { &self.metrics.0.requests }.update([method, route, status], Counter::inc);
            debug_assert!(counted.is_ok(), "{counted:?}");
        }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        self.end("cancelled", false);
    }
}

/// Returns the method as a label: clients may make up others.
fn method<B>(request: &Request<B>) -> &'static str {
    const KNOWN: [(&Method, &str); 9] = [
        (&Method::GET, "GET"),
        (&Method::POST, "POST"),
        (&Method::PUT, "PUT"),
        (&Method::DELETE, "DELETE"),
        (&Method::HEAD, "HEAD"),
        (&Method::OPTIONS, "OPTIONS"),
        (&Method::PATCH, "PATCH"),
        (&Method::CONNECT, "CONNECT"),
        (&Method::TRACE, "TRACE"),
    ];
    let known = KNOWN.iter().find(|(method, _)| *method == request.method());
    known.map_or("other", |(_, label)| label)
}
