//! A hyper server that answers scrapes with a [`Responder`].
//!
//! ```sh
//! cargo run --example hyper --features gzip
//! curl http://127.0.0.1:3000/metrics
//! ```

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use stethoscope::Registry;
use stethoscope::cell::Counter;
use stethoscope::endpoint::{Responder, ScrapeRequest};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1);
    let registry = Registry::new();
    let requests = registry.counter("requests_total", "Requests that arrived.")?;
    let responder = Arc::new(Mutex::new(Responder::new(&registry)));

    let address = address.as_deref().unwrap_or("127.0.0.1:3000");
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("http://{}/metrics", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let (responder, requests) = (Arc::clone(&responder), requests.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| answer(&responder, &requests, request));
            let connection = hyper::server::conn::http1::Builder::new();
            if let Err(error) = connection
                .serve_connection(TokioIo::new(stream), service)
                .await
            {
                eprintln!("connection failed: {error}");
            }
        });
    }
}

async fn answer(
    responder: &Mutex<Responder>,
    requests: &Counter,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    requests.inc();
    Ok(match request.uri().path() {
        "/metrics" => metrics(responder, &request),
        _ => {
            let mut response = Response::new(Full::from("not found\n"));
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    })
}

fn metrics<B>(responder: &Mutex<Responder>, request: &Request<B>) -> Response<Full<Bytes>> {
    // A hook that panicked in an earlier scrape leaves the responder usable.
    let mut responder = responder.lock().unwrap_or_else(PoisonError::into_inner);
    let scrape = ScrapeRequest::new(request.method().as_str())
        .query(request.uri().query().unwrap_or_default())
        .headers(request.headers());
    let page = responder.respond(&scrape);
    let mut response = Response::builder().status(page.status());
    for (name, value) in page.headers() {
        response = response.header(name, value);
    }
    let body = Full::from(page.body().to_vec());
    response.body(body).expect("valid status and headers")
}
