//! Pushing to Debian's `prometheus-pushgateway`, and to servers that misbehave.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use stethoscope::Registry;
use stethoscope::batch::{PushError, Pushgateway};

const PATIENCE: Duration = Duration::from_secs(30);

/// A gateway on a port of its own, until this is dropped.
struct Gateway {
    process: Child,
    address: String,
}

impl Gateway {
    /// Starts a gateway. None if there is no program, which CI does not accept.
    fn start() -> Option<Self> {
        // Free a moment ago.
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("an address").to_string();
        drop(free);
        let process = Command::new("prometheus-pushgateway")
            .arg(format!("--web.listen-address={address}"))
            // Debian's default is one file for all.
            .arg("--persistence.file=")
            .stderr(Stdio::null())
            .spawn();
        let Ok(process) = process else {
            let message = "there is no prometheus-pushgateway in the path: Debian's package has it";
            assert!(std::env::var_os("CI").is_none(), "{message}");
            eprintln!("NOT TESTED: {message}");
            return None;
        };
        let gateway = Self { process, address };
        let start = Instant::now();
        while TcpStream::connect(&gateway.address).is_err() {
            assert!(start.elapsed() < PATIENCE, "the gateway does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        Some(gateway)
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The samples that the gateway shows of the family `name`, sorted.
    fn samples(&self, name: &str) -> Vec<String> {
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        let request = "GET /metrics HTTP/1.0\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("a request");
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("a response");
        let is_sample = |line: &&str| line.strip_prefix(name).is_some_and(|l| l.starts_with('{'));
        let mut samples: Vec<String> = response
            .lines()
            .filter(is_sample)
            .map(str::to_owned)
            .collect();
        samples.sort();
        samples
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn registry(name: &str, value: i64) -> Registry {
    let registry = Registry::new();
    registry.gauge(name, "Help \"quoted\".").unwrap().set(value);
    registry
}

#[test]
fn gateway_replaces_adds_and_deletes() {
    let Some(gateway) = Gateway::start() else {
        return;
    };
    let group = Pushgateway::new(&gateway.url(), "backup");
    group.push(&registry("one", 1)).unwrap();
    group.add(&registry("two", 2)).unwrap();
    group.add(&registry("one", 3)).unwrap();
    let one = ["one{instance=\"\",job=\"backup\"} 3"];
    assert_eq!(gateway.samples("one"), one);
    assert_eq!(
        gateway.samples("two"),
        ["two{instance=\"\",job=\"backup\"} 2"]
    );
    group.push(&registry("two", 4)).unwrap();
    assert!(gateway.samples("one").is_empty());
    assert_eq!(
        gateway.samples("two"),
        ["two{instance=\"\",job=\"backup\"} 4"]
    );
    group.delete().unwrap();
    assert!(gateway.samples("two").is_empty());
    // Nothing is there any more, and it is not asked for.
    group.delete().unwrap();
    group.push(&Registry::new()).unwrap();
}

#[test]
fn grouping_keys_may_have_any_value() {
    let Some(gateway) = Gateway::start() else {
        return;
    };
    for value in [
        "plain-1",
        "with space",
        "/a/b/",
        "",
        ".",
        "..",
        "100%",
        "größe?x=1#y",
        "+",
        "~",
        "a\\\"b",
    ] {
        let group = Pushgateway::new(&gateway.url(), value)
            .grouping("instance", value)
            .grouping("zone", "z");
        if value.is_empty() {
            assert!(matches!(
                group.push(&registry("g", 1)),
                Err(PushError::EmptyJob)
            ));
            continue;
        }
        group.push(&registry("g", 1)).unwrap();
        let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
        let line = format!("g{{instance=\"{escaped}\",job=\"{escaped}\",zone=\"z\"}} 1");
        assert_eq!(gateway.samples("g"), [line]);
        group.delete().unwrap();
        assert!(gateway.samples("g").is_empty(), "{value:?}");
    }
    let empty = Pushgateway::new(&gateway.url(), "a").grouping("zone", "");
    empty.push(&registry("g", 1)).unwrap();
    assert_eq!(
        gateway.samples("g"),
        ["g{instance=\"\",job=\"a\",zone=\"\"} 1"]
    );
    empty.delete().unwrap();
    assert!(gateway.samples("g").is_empty());
}

#[test]
fn gateway_says_why_it_refuses() {
    let Some(gateway) = Gateway::start() else {
        return;
    };
    Pushgateway::new(&gateway.url(), "a")
        .push(&registry("taken", 1))
        .unwrap();
    // Of another type than in the other group.
    let other = Registry::new();
    let buckets = stethoscope::cell::Buckets::default();
    other.histogram("taken", "Help.", buckets).unwrap();
    let error = Pushgateway::new(&gateway.url(), "b")
        .push(&other)
        .unwrap_err();
    assert!(
        matches!(error, PushError::Refused { status: 400, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("taken"), "{error}");
    let path = format!("{}unknown", gateway.url());
    let error = Pushgateway::new(&path, "a")
        .push(&registry("g", 1))
        .unwrap_err();
    assert!(
        matches!(error, PushError::Refused { status: 404, .. }),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .starts_with("the Pushgateway answered 404: "),
        "{error}"
    );
}

#[test]
fn invalid_grouping_labels_are_refused() {
    let group = Pushgateway::new("http://127.0.0.1:9", "a");
    let error = |group: Pushgateway| group.push(&Registry::new()).unwrap_err();
    for label in ["9", "", "__a", "a/b"] {
        let error = error(group.clone().grouping(label, "x"));
        assert!(matches!(error, PushError::Label { .. }), "{error}");
    }
    for labels in [["a", "a"], ["job", "b"]] {
        let [one, other] = labels;
        let error = error(group.clone().grouping(one, "x").grouping(other, "y"));
        assert!(matches!(error, PushError::DuplicateLabel { .. }), "{error}");
    }
}

/// Serves one request with this response; returns the request.
fn serve(response: &str) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let response = response.to_owned();
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut request = Vec::new();
        let mut byte = [0];
        while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("a head") == 1 {
            request.push(byte[0]);
        }
        let head = String::from_utf8(request).expect("UTF-8");
        let length = head.lines().find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        });
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).expect("a body");
        stream.write_all(response.as_bytes()).expect("a response");
        head + std::str::from_utf8(&body).expect("UTF-8")
    });
    (url, served)
}

#[test]
fn request_has_the_page_and_the_credentials() {
    let (url, served) = serve("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
    Pushgateway::new(&url, "nightly")
        .grouping("instance", "a/b")
        .basic_auth("Aladdin", "open sesame")
        .add(&registry("g", 1))
        .unwrap();
    let request = served.join().unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    assert_eq!(
        lines.next(),
        Some("POST /metrics/job/nightly/instance@base64/YS9i HTTP/1.1")
    );
    let headers: Vec<String> = lines.map(str::to_ascii_lowercase).collect();
    let authorization = "authorization: basic qwxhzgrpbjpvcgvuihnlc2ftzq==".to_owned();
    assert!(headers.contains(&authorization), "{headers:?}");
    let content_type =
        "content-type: text/plain; version=0.0.4; charset=utf-8; escaping=underscores".to_owned();
    assert!(headers.contains(&content_type), "{headers:?}");
    assert_eq!(body, "# HELP g Help \"quoted\".\n# TYPE g gauge\ng 1\n");
}

#[test]
fn refusal_has_the_beginning_of_the_body() {
    let (url, served) =
        serve("HTTP/1.1 401 Unauthorized\r\nContent-Length: 13\r\n\r\nUnauthorized\n");
    let error = Pushgateway::new(&url, "a").delete().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the Pushgateway answered 401: Unauthorized (are user name and password of basic_auth \
         right?)"
    );
    assert!(
        served
            .join()
            .unwrap()
            .starts_with("DELETE /metrics/job/a HTTP/1.1\r\n")
    );
}

#[test]
fn silent_server_ends_in_a_timeout() {
    // Accepts connections by its queue, and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let error = Pushgateway::new(&url, "a")
        .timeout(Duration::from_millis(50))
        .push(&registry("g", 1))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the Pushgateway did not answer within 50ms: check that it runs, or give it more time with \
         timeout"
    );
}

/// A client that follows it sends a GET to the other address, and has pushed nothing.
#[test]
fn redirect_is_an_error_that_names_the_other_address() {
    for status in ["301 Moved", "302 Found", "303 See Other", "307 T", "308 P"] {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n");
        let (url, served) = serve(&format!("{head}Location: http://u:p@other/login\r\n\r\n"));
        let error = Pushgateway::new(&url, "a").push(&registry("g", 1));
        assert_eq!(
            error.unwrap_err().to_string(),
            format!(
                "the answer {} is a redirect to \"http://other/login\", which is not followed: \
                 give the URL of the Pushgateway itself",
                &status[..3]
            )
        );
        assert!(served.join().unwrap().starts_with("PUT "));
        let (url, _) = serve(&format!("{head}\r\n"));
        let error = Pushgateway::new(&url, "a").delete().unwrap_err();
        assert!(
            matches!(error, PushError::Redirected { location: None, .. }),
            "{error}"
        );
    }
}

#[test]
fn url_that_is_not_one_of_a_gateway_is_refused() {
    for url in [
        "",
        "localhost:9091",
        "127.0.0.1:9091",
        "ftp://a",
        "http://",
        "http:///a",
    ]
    .into_iter()
    .chain(["http://a?b", "http://a/#c"])
    {
        let error = Pushgateway::new(url, "a").delete().unwrap_err();
        assert!(matches!(error, PushError::Url { .. }), "{url:?}: {error}");
        let example = "expected that of a Pushgateway, for example \"http://localhost:9091\"";
        assert!(error.to_string().ends_with(example), "{error}");
    }
}

/// All that users may see of a group and its error.
fn shown(group: &Pushgateway, error: &PushError) -> String {
    format!("{error} {error:?} {group:?}")
}

/// The client would not send them.
#[test]
fn credentials_in_the_url_are_refused_and_not_shown() {
    for url in [
        "http://user:s3cret@a:9091",
        "https://s3cret@a",
        "s3cret@a:9091",
    ] {
        let group = Pushgateway::new(url, "a");
        let error = group.push(&Registry::new()).unwrap_err();
        assert!(error.to_string().contains("basic_auth"), "{error}");
        assert!(!shown(&group, &error).contains("s3cret"));
    }
    // An at sign elsewhere is none of that.
    let error = Pushgateway::new("http://127.0.0.1:1/a@b", "a").delete();
    let message = error.unwrap_err().to_string();
    let start = "cannot reach a Pushgateway at http://127.0.0.1:1/a@b: ";
    assert!(message.starts_with(start), "{message}");
}

#[test]
fn https_without_tls_says_what_to_add() {
    let (url, _) = serve("");
    let url = url.replace("http://", "https://");
    let error = Pushgateway::new(&url, "a").delete().unwrap_err();
    assert!(error.to_string().contains("feature rustls"), "{error}");
}

#[test]
fn password_with_a_slash_or_number_sign_is_not_shown() {
    for url in [
        "http://ci:pa/ss@gw",
        "http://ci:p#ss@gw",
        "http://ci:p?ss@gw/x",
    ] {
        let group = Pushgateway::new(url, "b");
        let error = group.push(&Registry::new()).unwrap_err();
        let shown = shown(&group, &error);
        assert!(!shown.contains("ss"), "{url}: {shown}");
    }
}

#[test]
fn debug_output_has_no_password() {
    let group = Pushgateway::new("http://a", "b").basic_auth("user", "secret");
    let debug = format!("{group:?}");
    assert!(
        !debug.contains("c2VjcmV0") && !debug.contains("secret"),
        "{debug}"
    );
    assert!(!debug.contains("Basic"), "{debug}");
}
