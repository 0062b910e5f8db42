//! Compressed pages.

use crate::client::{Client, PAGE, long_registry, registry, serve};
use stethoscope::endpoint::Builder;

#[test]
fn gzip_page_has_the_same_text_in_fewer_bytes() {
    let endpoint = serve(&long_registry());
    let mut client = Client::of(&endpoint);
    let plain = client.get("/metrics");
    for accept_encoding in ["gzip", "deflate, gzip;q=0.5, br", "*"] {
        let gzip = client.ask("/metrics", &format!("Accept-Encoding: {accept_encoding}"));
        assert_eq!(
            gzip.header("Content-Encoding"),
            Some("gzip"),
            "{accept_encoding}"
        );
        assert!(gzip.body == plain.body, "the pages differ");
        let len = |answer: &crate::client::Answer| -> usize {
            answer.header("Content-Length").unwrap().parse().unwrap()
        };
        assert!(len(&gzip) < len(&plain) / 4);
        assert_eq!(gzip.header("Vary"), Some("Accept, Accept-Encoding"));
        assert_eq!(gzip.header("Content-Type"), plain.header("Content-Type"));
    }
    for accept_encoding in ["gzip;q=0", "br", "identity, gzip;q=0.5"] {
        let answer = client.ask("/metrics", &format!("Accept-Encoding: {accept_encoding}"));
        assert_eq!(answer.header("Content-Encoding"), None, "{accept_encoding}");
    }
}

#[test]
fn gzip_page_has_the_present_values() {
    let registry = long_registry();
    let gauge = registry.gauge("turn", "Changes now and then.").unwrap();
    let endpoint = serve(&registry);
    let mut clients = [Client::of(&endpoint), Client::of(&endpoint)];
    for turn in [0, 0, 1, 1, 2, 0] {
        gauge.set(turn);
        for (client, accept) in clients
            .iter_mut()
            .zip(["text/plain", "application/openmetrics-text"])
        {
            let headers = format!("Accept-Encoding: gzip\r\nAccept: {accept}");
            let page = client.ask("/metrics", &headers).body;
            assert_eq!(crate::client::sample(&page, "turn"), turn as f64);
            assert_eq!(page.ends_with("# EOF\n"), accept != "text/plain");
        }
        let chosen = clients[0]
            .ask("/metrics?name[]=long", "Accept-Encoding: gzip")
            .body;
        assert!(
            !chosen.contains("turn"),
            "a selection was answered from the cache of the whole page"
        );
    }
}

#[test]
fn head_of_a_page_that_could_be_compressed_has_no_length() {
    let endpoint = serve(&long_registry());
    let mut client = Client::of(&endpoint);
    client.send("HEAD /metrics HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    let head = client.head();
    let whole = client.ask("/metrics", "Accept-Encoding: gzip");
    assert_eq!(head.header("Content-Length"), None);
    assert_eq!(head.header("Vary"), whole.header("Vary"));
}

#[test]
fn page_that_fits_in_a_packet_is_not_compressed() {
    let endpoint = serve(&registry());
    let answer = Client::of(&endpoint).ask("/metrics", "Accept-Encoding: gzip");
    assert_eq!(
        (answer.header("Content-Encoding"), answer.body.as_str()),
        (None, PAGE)
    );
}

#[test]
fn gzip_setting_turns_compression_off() {
    let builder = Builder::new(&long_registry()).listen("127.0.0.1:0");
    let endpoint = builder.gzip(false).spawn().unwrap();
    let answer = Client::of(&endpoint).ask("/metrics", "Accept-Encoding: gzip");
    assert_eq!(answer.header("Content-Encoding"), None);
    assert_eq!(answer.header("Vary"), Some("Accept"));
}

#[test]
fn concurrent_clients_each_get_the_page_they_asked_for() {
    let registry = long_registry();
    let endpoint = serve(&registry);
    let encodings = ["gzip", "identity"];
    let accepts = ["text/plain", "application/openmetrics-text", "text/html"];
    let mut clients = Vec::new();
    for n in 0..24 {
        let mut client = Client::of(&endpoint);
        let (encoding, accept) = (encodings[n % 2], accepts[n % 3]);
        client.send(format!(
            "GET /metrics?name[]=answer&name[]=long HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\nAccept-Encoding: {encoding}\r\n\r\n"
        ));
        clients.push((client, encoding, accept));
    }
    for (mut client, encoding, accept) in clients {
        let answer = client.answer();
        assert_eq!(
            answer.header("Content-Encoding").is_some(),
            encoding == "gzip"
        );
        assert!(answer.header("Content-Type").unwrap().starts_with(accept));
    }
}
