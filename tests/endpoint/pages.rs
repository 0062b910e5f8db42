//! Pages at paths that the host knows.

use crate::client::{Client, PAGE, registry};
use stethoscope::Registry;
use stethoscope::endpoint::{
    Builder, Endpoint, Limits, Pages, Responder, ScrapeRequest, ScrapeResponse,
};

/// A page at `/long`, one of its own for each format at `/page`, and a panic.
struct Host {
    responder: Responder,
    long: Vec<u8>,
}

impl Pages for Host {
    fn respond(&mut self, path: &str, request: &ScrapeRequest<'_>) -> Option<ScrapeResponse<'_>> {
        match path {
            "/page" => Some(self.responder.respond(request)),
            "/long" => Some(ScrapeResponse::document(200, "text/plain", &self.long)),
            "/gone" => Some(ScrapeResponse::document(503, "text/plain", b"gone")),
            "/panic" => panic!("a page that fails"),
            _ => None,
        }
    }
}

fn serve(limits: Limits) -> Endpoint {
    let other = Registry::new();
    other.gauge("other", "Another.").unwrap().set(1);
    let host = Host {
        responder: Responder::new(&other),
        long: vec![b'x'; 16 << 20],
    };
    let builder = Builder::new(&registry()).listen("127.0.0.1:0");
    builder.pages(host).limits(limits).spawn().unwrap()
}

#[test]
fn host_answers_at_other_paths() {
    let endpoint = serve(Limits::default());
    let mut client = Client::of(&endpoint);
    let answer = client.get("/page?name[]=other");
    assert_eq!(answer.code, 200);
    assert!(answer.body.ends_with("other 1\n"), "{}", answer.body);
    assert!(answer.header("Content-Type").unwrap().contains("0.0.4"));
    let answer = client
        .send("GET /page HTTP/1.1\r\nHost: a\r\nAccept: application/openmetrics-text\r\n\r\n")
        .answer();
    assert!(answer.body.ends_with("# EOF\n"), "{}", answer.body);
    let answer = client.send("HEAD /page HTTP/1.1\r\nHost: a\r\n\r\n").head();
    assert_eq!(answer.code, 200);
    assert_ne!(answer.header("Content-Length"), Some("0"));
    let answer = client.get("/gone");
    assert_eq!((answer.code, answer.body.as_str()), (503, "gone"));
    assert_eq!(client.get("/none").code, 404);
    // A panic costs this page only.
    assert_eq!(client.get("/panic").code, 500);
    assert_eq!(client.get("/metrics").body, PAGE);
    assert_eq!(client.get("/long").body.len(), 16 << 20);
}

#[test]
fn pages_that_nobody_reads_are_bounded() {
    let endpoint = serve(Limits::default().pages(2));
    let mut slow = Vec::new();
    let mut answer = || {
        let mut client = Client::of(&endpoint);
        client.send("GET /long HTTP/1.1\r\nHost: a\r\n\r\n");
        let code = client.head().code;
        slow.push(client);
        code
    };
    assert_eq!((answer(), answer()), (200, 200));
    // A page whose reader has stalled for long makes room for one more.
    let refused = (0..50).map(|_| answer()).find(|code| *code != 200);
    assert_eq!(refused, Some(503));
}
