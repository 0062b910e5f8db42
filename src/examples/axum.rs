//! An axum service that answers scrapes with a [`Responder`], on its own port and in its own runtime. A layer counts and
//! times its requests.
//!
//! ```sh
//! cargo run --example axum --features responder,tower,gzip
//! curl http://127.0.0.1:3000/hello/world
//! curl http://127.0.0.1:3000/metrics
//! ```

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Path, Request, State};
use axum::response::Response;
use axum::routing::get;
use std::sync::{Arc, Mutex, PoisonError};
use stethoscope::Registry;
use stethoscope::endpoint::{Responder, ScrapeRequest};
use stethoscope::tower::HttpMetrics;

/// Scrapes are rare and short: a mutex serves them one after another.
type Page = Arc<Mutex<Responder>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1);
    let registry = Registry::new();
    let requests = HttpMetrics::builder()
        // The route, not the path: paths are unbounded.
        .route(|_, extensions| extensions.get::<MatchedPath>().map(MatchedPath::as_str))
        .register(&registry)?;
    let page: Page = Arc::new(Mutex::new(Responder::new(&registry)));
    let router = Router::new()
        .route("/hello/{name}", get(hello))
        .route_layer(requests)
        .route("/metrics", get(metrics))
        .with_state(page);
    let address = address.as_deref().unwrap_or("127.0.0.1:3000");
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}/metrics", listener.local_addr()?);
    axum::serve(listener, router).await?;
    Ok(())
}

async fn hello(Path(name): Path<String>) -> String {
    format!("hello {name}\n")
}

async fn metrics(State(page): State<Page>, request: Request) -> Response {
    let mut responder = page.lock().unwrap_or_else(PoisonError::into_inner);
    let scrape = ScrapeRequest::new(request.method().as_str())
        .query(request.uri().query().unwrap_or_default())
        .headers(request.headers());
    let page = responder.respond(&scrape);
    let mut response = Response::builder().status(page.status());
    for (name, value) in page.headers() {
        response = response.header(name, value);
    }
    response
        .body(Body::from(page.body().to_vec()))
        .expect("valid status and headers")
}
