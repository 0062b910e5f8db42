//! An axum service that answers scrapes with a [`Responder`], on its own port and in its own runtime.
//!
//! ```sh
//! cargo run --example axum --features gzip
//! curl http://127.0.0.1:3000/hello/world
//! curl http://127.0.0.1:3000/metrics
//! ```

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Path, Request, State};
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, ACCEPT_ENCODING, HeaderName};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use stethoscope::cell::{Buckets, Counter, Histogram};
use stethoscope::endpoint::{Responder, ScrapeRequest};
use stethoscope::{Family, RegisterError, Registry};

/// Everything that handlers share.
struct App {
    requests: Family<Counter>,
    seconds: Family<Histogram>,
    /// Scrapes are rare and short: a mutex serves them one after another.
    responder: Mutex<Responder>,
}

impl App {
    fn new(registry: &Registry) -> Result<Self, RegisterError> {
        Ok(Self {
            requests: registry.counter_family(
                "http_requests_total",
                "Requests answered.",
                ["method", "route", "status"],
            )?,
            seconds: registry.histogram_family(
                "http_request_seconds",
                "Time to answer a request.",
                ["route"],
                Buckets::default(),
            )?,
            responder: Mutex::new(Responder::new(registry)),
        })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1);
    let app = Arc::new(App::new(&Registry::new())?);
    let router = Router::new()
        .route("/hello/{name}", get(hello))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&app), measure))
        .route("/metrics", get(metrics))
        .with_state(app);
    let address = address.as_deref().unwrap_or("127.0.0.1:3000");
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}/metrics", listener.local_addr()?);
    axum::serve(listener, router).await?;
    Ok(())
}

async fn hello(Path(name): Path<String>) -> String {
    format!("hello {name}\n")
}

/// Counts and times the requests of each route. The label is the route, not the path: paths are unbounded.
async fn measure(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let start = Instant::now();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let status = response.status();
    let labels = [method.as_str(), route, status.as_str()];
    // `update` looks up and counts in one step, and does not allocate if the series exists.
    let counted = app.requests.update(labels, Counter::inc);
    let elapsed = start.elapsed().as_secs_f64();
    let timed = app
        .seconds
        .update([route], |seconds| seconds.observe(elapsed));
    if counted.is_err() || timed.is_err() {
        eprintln!("a metric has reached its limit of series");
    }
    response
}

async fn metrics(State(app): State<Arc<App>>, request: Request) -> Response {
    let mut responder = app.responder.lock().unwrap_or_else(PoisonError::into_inner);
    let scrape = ScrapeRequest::new(request.method().as_str())
        .query(request.uri().query().unwrap_or_default())
        .accept(header(request.headers(), ACCEPT))
        .accept_encoding(header(request.headers(), ACCEPT_ENCODING));
    let page = responder.respond(&scrape);
    let mut response = Response::builder().status(page.status());
    for (name, value) in page.headers() {
        response = response.header(name, value);
    }
    response
        .body(Body::from(page.body().to_vec()))
        .expect("valid status and headers")
}

/// The value of a header; empty if it is missing or not text.
fn header(headers: &HeaderMap, name: HeaderName) -> &str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}
