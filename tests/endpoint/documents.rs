//! Documents beside the metrics.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::client::{Client, PAGE, PATIENCE, registry};
use stethoscope::endpoint::{
    Builder, ConnectionHandler, Document, Endpoint, Refresh, RefreshDone, SpawnErrorKind,
};

const REQUEST: &str = "GET /metrics/targets HTTP/1.1\r\nHost: a\r\n\r\n";

fn targets() -> Document {
    Document::new("/metrics/targets", "application/json")
}

fn serve(document: &Document) -> Endpoint {
    let builder = Builder::new(&registry()).listen("127.0.0.1:0");
    builder.document(document).spawn().unwrap()
}

#[test]
fn request_gets_the_latest_document() {
    let targets = targets();
    let endpoint = serve(&targets);
    let mut client = Client::of(&endpoint);
    assert_eq!(client.get("/metrics/targets").body, "");
    for latest in ["[]", "[{\"targets\":[\"a:1\"]}]", "[]"] {
        targets.replace(latest.as_bytes());
        let answer = client.get("/metrics/targets?any");
        assert_eq!((answer.code, answer.body.as_str()), (200, latest));
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
        assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    }
    assert_eq!(client.get("/metrics").body, PAGE);
    assert_eq!(client.get("/metrics/target").code, 404);
}

#[test]
fn document_answers_head_and_refuses_post() {
    let targets = targets();
    targets.replace(*b"[]");
    let endpoint = serve(&targets);
    let mut client = Client::of(&endpoint);
    let answer = client
        .send("HEAD /metrics/targets HTTP/1.1\r\nHost: a\r\n\r\n")
        .head();
    assert_eq!(
        (answer.code, answer.header("Content-Length")),
        (200, Some("2"))
    );
    let answer = client
        .send("POST /metrics/targets HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        .answer();
    assert_eq!(
        (answer.code, answer.header("Allow")),
        (405, Some("GET, HEAD"))
    );
}

#[test]
#[cfg(feature = "gzip")]
fn long_document_is_compressed_if_accepted() {
    let targets = targets();
    let long = "[\"10.0.0.1:8787\"]\n".repeat(1000);
    targets.replace(long.as_bytes());
    let endpoint = serve(&targets);
    let answer = Client::of(&endpoint).ask("/metrics/targets", "Accept-Encoding: gzip");
    assert_eq!(answer.header("Content-Encoding"), Some("gzip"));
    assert_eq!(answer.body, long);
}

struct Fresh(Document);

impl Refresh for Fresh {
    fn refresh(&mut self, done: RefreshDone) -> Option<Duration> {
        self.0.replace(*b"fresh");
        done.notify();
        Some(PATIENCE)
    }
}

struct Count(Arc<AtomicUsize>);

impl ConnectionHandler for Count {
    fn handle(&mut self, connection: OwnedFd) -> Result<(), OwnedFd> {
        self.0.fetch_add(1, Ordering::Relaxed);
        drop(connection);
        Ok(())
    }
}

#[test]
fn document_is_refreshed_and_not_handed_over() {
    let targets = targets();
    let handed_over = Arc::new(AtomicUsize::new(0));
    let endpoint = Builder::new(&registry())
        .listen("127.0.0.1:0")
        .document(&targets)
        .refresh(Fresh(targets.clone()))
        .connection_handler(Count(Arc::clone(&handed_over)))
        .spawn()
        .unwrap();
    // Byte by byte it is told from what the host serves at other paths.
    let mut client = Client::of(&endpoint);
    for byte in REQUEST.bytes() {
        client.send([byte]);
    }
    assert_eq!(client.answer().body, "fresh");
    assert_eq!(handed_over.load(Ordering::Relaxed), 0);
    client.send("GET /metrics/targets/more HTTP/1.1\r\nHost: a\r\n\r\n");
    client.expect_end();
    assert_eq!(handed_over.load(Ordering::Relaxed), 1);
}

#[test]
fn replaced_document_is_never_mixed_with_the_new_one() {
    let targets = targets();
    targets.replace(vec![b'0'; 100_000]);
    let endpoint = serve(&targets);
    let (stop, stopped) = mpsc::channel::<()>();
    let replaced = targets.clone();
    let replacing = std::thread::spawn(move || {
        let mut digits = (b'0'..=b'9').cycle();
        while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
            replaced.replace(vec![digits.next().unwrap(); 100_000]);
        }
    });
    let mut client = Client::of(&endpoint);
    for _ in 0..100 {
        let body = client.get("/metrics/targets").body;
        assert_eq!(body.len(), 100_000);
        assert!(body.bytes().all(|byte| byte == body.as_bytes()[0]));
    }
    drop(stop);
    replacing.join().unwrap();
}

#[test]
fn document_at_the_root_takes_the_place_of_the_index() {
    let index = Document::new("/", "text/plain");
    index.replace(*b"All there is.\n");
    let endpoint = serve(&index);
    let mut client = Client::of(&endpoint);
    assert_eq!(client.get("/").body, "All there is.\n");
    assert_eq!(client.get("/metrics").body, PAGE);
}

#[test]
fn document_with_an_invalid_path_is_refused() {
    for path in [
        "",
        "//",
        "targets",
        "/metrics",
        "/metrics/",
        "/a?b",
        "/a b",
        "/a#b",
        "/ä",
    ] {
        let builder = Builder::new(&registry()).listen("127.0.0.1:0");
        let document = Document::new(path, "text/plain");
        let error = builder.document(&document).spawn().unwrap_err();
        assert!(
            matches!(error.kind(), SpawnErrorKind::DocumentPath(at) if at == path),
            "{error}"
        );
    }
    let builder = Builder::new(&registry()).listen("127.0.0.1:0");
    let twice = builder.document(&targets()).document(&targets());
    let error = twice.spawn().unwrap_err();
    assert!(
        matches!(error.kind(), SpawnErrorKind::DocumentPath(_)),
        "{error}"
    );
}
