//! The layer for HTTP services, with futures that the tests drive themselves.

#[path = "support/counting.rs"]
mod counting;

use http::{Request, Response, StatusCode};
use std::future::{Future, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use stethoscope::Registry;
use stethoscope::cell::Buckets;
use stethoscope::exposition::Format;
use stethoscope::tower::HttpMetrics;
use tower_layer::Layer;
use tower_service::Service;

/// A service whose futures a function makes.
struct Handler<F>(F);

impl<F, Fut, E> Service<Request<()>> for Handler<F>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<Response<()>, E>>,
{
    type Response = Response<()>;
    type Error = E;
    type Future = Fut;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Fut {
        (self.0)()
    }
}

fn request(method: &str) -> Request<()> {
    Request::builder()
        .method(method)
        .uri("/users/1")
        .body(())
        .expect("a request")
}

fn response(status: u16) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// The samples of a page, without those of buckets and sums.
fn samples(registry: &Registry) -> Vec<String> {
    let page = registry.scraper().scrape(Format::Text).to_vec();
    let page = String::from_utf8(page).expect("UTF-8");
    page.lines()
        .filter(|line| !line.starts_with('#') && !line.contains("_bucket{"))
        .filter(|line| !line.contains("_sum{"))
        .map(|line| line.replace("http_request", "").replace("route=\"\",", ""))
        .collect()
}

#[test]
fn requests_are_counted_by_method_route_and_status() {
    let registry = Registry::new();
    let metrics = HttpMetrics::builder()
        .route(|uri, _| uri.path().starts_with("/users/").then_some("/users/{id}"))
        .buckets(Buckets::new([10.0]).unwrap())
        .register(&registry)
        .unwrap();
    let mut statuses = [200, 404, 200].into_iter();
    let mut service = metrics.layer(Handler(|| {
        ready(Ok::<_, ()>(response(statuses.next().expect("a status"))))
    }));
    for method in ["GET", "GET", "BREW"] {
        let mut future = pin!(service.call(request(method)));
        assert!(poll(future.as_mut()).is_ready());
    }
    assert_eq!(
        samples(&registry),
        [
            "s_total{method=\"GET\",route=\"/users/{id}\",status=\"200\"} 1",
            "s_total{method=\"GET\",route=\"/users/{id}\",status=\"404\"} 1",
            "s_total{method=\"other\",route=\"/users/{id}\",status=\"200\"} 1",
            "_duration_seconds_count{method=\"GET\",route=\"/users/{id}\"} 2",
            "_duration_seconds_count{method=\"other\",route=\"/users/{id}\"} 1",
            "s_in_flight 0",
        ]
    );
}

#[test]
fn request_is_in_flight_until_it_has_a_response() {
    let registry = Registry::new();
    let metrics = HttpMetrics::register(&registry).unwrap();
    let mut polls = 0;
    let mut service = metrics.layer(Handler(move || {
        poll_fn(move |_| {
            polls += 1;
            match polls {
                1 => Poll::Pending,
                _ => Poll::Ready(Ok::<_, ()>(response(204))),
            }
        })
    }));
    let in_flight = |registry| samples(registry).last().expect("samples").clone();
    let mut future = pin!(service.call(request("GET")));
    assert_eq!(in_flight(&registry), "s_in_flight 1");
    assert!(poll(future.as_mut()).is_pending());
    assert_eq!(in_flight(&registry), "s_in_flight 1");
    assert!(poll(future.as_mut()).is_ready());
    // The future is still there.
    assert_eq!(in_flight(&registry), "s_in_flight 0");
}

#[test]
fn dropped_request_is_counted_as_cancelled() {
    let registry = Registry::new();
    let metrics = HttpMetrics::register(&registry).unwrap();
    let never = || poll_fn(|_| Poll::<Result<Response<()>, ()>>::Pending);
    let mut service = metrics.layer(Handler(never));
    // Once before it was polled, once after.
    drop(service.call(request("PUT")));
    let mut future = Box::pin(service.call(request("PUT")));
    assert!(poll(future.as_mut()).is_pending());
    drop(future);
    assert_eq!(
        samples(&registry),
        [
            "s_total{method=\"PUT\",status=\"cancelled\"} 2",
            "_duration_seconds_count{method=\"PUT\",route=\"\"} 0",
            "s_in_flight 0",
        ]
    );
}

#[test]
fn panicking_handler_is_counted_as_cancelled() {
    let registry = Registry::new();
    let metrics = HttpMetrics::register(&registry).unwrap();
    let panics = || poll_fn(|_| -> Poll<Result<Response<()>, ()>> { panic!("a handler's fault") });
    let mut service = metrics.layer(Handler(panics));
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let mut future = pin!(service.call(request("GET")));
        poll(future.as_mut())
    }));
    assert!(caught.is_err());
    let samples = samples(&registry);
    assert_eq!(samples[0], "s_total{method=\"GET\",status=\"cancelled\"} 1");
    assert_eq!(samples.last().expect("samples"), "s_in_flight 0");
}

#[test]
fn failing_service_is_counted_as_error() {
    let registry = Registry::new();
    let metrics = HttpMetrics::register(&registry).unwrap();
    let mut service = metrics.layer(Handler(|| ready(Err::<Response<()>, _>("failed"))));
    let mut future = pin!(service.call(request("GET")));
    assert!(matches!(poll(future.as_mut()), Poll::Ready(Err("failed"))));
    let samples = samples(&registry);
    assert_eq!(samples[0], "s_total{method=\"GET\",status=\"error\"} 1");
    assert_eq!(
        samples[1],
        "_duration_seconds_count{method=\"GET\",route=\"\"} 1"
    );
}

#[test]
fn warm_request_allocates_nothing() {
    let registry = Registry::new();
    let metrics = HttpMetrics::register(&registry).unwrap();
    let mut service = metrics.layer(Handler(|| ready(Ok::<_, ()>(response(200)))));
    let mut serve = |request| {
        let mut future = pin!(service.call(request));
        assert!(poll(future.as_mut()).is_ready());
    };
    serve(request("GET"));
    let next = request("GET");
    assert_eq!(counting::allocations(|| serve(next)), 0);
}
