//! Addresses, failures of the host, and the end of an endpoint.

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::client::{Client, PAGE, PATIENCE, registry, serve, wide_registry};
use crate::directory::Directory;
use stethoscope::endpoint::{self, Address, Builder, Limits};

#[test]
fn every_address_serves_the_page() {
    let directory = Directory::new("several");
    let path = directory.join("metrics.sock");
    let endpoint = Builder::new(&registry())
        .listen("127.0.0.1:0")
        .listen("[::1]:0")
        .listen_unix(&path)
        .spawn()
        .unwrap();
    let [
        Address::Tcp(v4),
        Address::Tcp(v6),
        Address::Unix(Some(unix)),
    ] = endpoint.local_addrs()
    else {
        panic!("{:?}", endpoint.local_addrs());
    };
    assert!(v4.is_ipv4() && v6.is_ipv6() && *unix == path);
    assert_eq!(Client::connect(*v4).get("/metrics").body, PAGE);
    assert_eq!(Client::connect(*v6).get("/metrics").body, PAGE);
    let mut client = Client::over(UnixStream::connect(&path).unwrap());
    for _ in 0..3 {
        assert_eq!(client.get("/metrics").body, PAGE);
    }
    drop(endpoint);
    client.expect_end();
    assert!(!path.exists(), "the socket file goes with the endpoint");
}

#[test]
fn ipv6_address_accepts_ipv4_unless_that_has_its_own() {
    let endpoint = endpoint::serve(&registry(), "[::]:0").unwrap();
    let port = endpoint.local_addr().unwrap().port();
    assert_eq!(
        Client::connect(([127, 0, 0, 1], port).into())
            .get("/metrics")
            .body,
        PAGE
    );
    drop(endpoint);

    let v4 = format!("0.0.0.0:{port}");
    let v6 = format!("[::]:{port}");
    let endpoint = Builder::new(&registry())
        .listen(&*v6)
        .listen(&*v4)
        .spawn()
        .unwrap();
    assert_eq!(
        Client::connect(([127, 0, 0, 1], port).into())
            .get("/metrics")
            .body,
        PAGE
    );
    assert_eq!(
        Client::connect(format!("[::1]:{port}").parse().unwrap())
            .get("/metrics")
            .body,
        PAGE
    );
    drop(endpoint);
}

#[test]
fn name_is_listened_at_with_all_its_addresses() {
    let endpoint = endpoint::serve(&registry(), "localhost:0").unwrap();
    for address in endpoint.local_addrs() {
        let Address::Tcp(address) = address else {
            panic!("{address:?}")
        };
        assert_eq!(Client::connect(*address).get("/metrics").body, PAGE);
    }
}

#[test]
fn abandoned_socket_file_is_replaced_and_no_other_file() {
    let directory = Directory::new("stale");
    let path = directory.join("metrics.sock");
    // A listener that was closed without removing its file.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let endpoint = Builder::new(&registry())
        .listen_unix(&path)
        .spawn()
        .unwrap();
    let refused = Builder::new(&registry())
        .listen_unix(&path)
        .spawn()
        .unwrap_err();
    let refused = std::io::Error::from(refused);
    assert_eq!(refused.kind(), std::io::ErrorKind::AddrInUse);
    assert!(refused.to_string().contains("metrics.sock"), "{refused}");
    assert_eq!(
        Client::over(UnixStream::connect(&path).unwrap())
            .get("/metrics")
            .code,
        200
    );
    drop(endpoint);

    std::fs::write(&path, "another file").unwrap();
    assert!(
        Builder::new(&registry())
            .listen_unix(&path)
            .spawn()
            .is_err()
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "another file");
}

#[test]
fn error_says_what_cannot_be_listened_at() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = endpoint::serve(&registry(), address).unwrap_err();
    let kind = error.io_error().map(std::io::Error::kind);
    assert_eq!(kind, Some(std::io::ErrorKind::AddrInUse));
    assert!(error.to_string().contains(&address.to_string()), "{error}");

    let error = Builder::new(&registry()).spawn().unwrap_err();
    assert!(error.to_string().contains("no listen address"), "{error}");

    let connected = TcpStream::connect(address).unwrap();
    let error = Builder::new(&registry())
        .listener_fd(connected.into())
        .spawn()
        .unwrap_err();
    assert!(error.to_string().contains("not listening"), "{error}");
}

#[test]
fn self_metrics_are_on_the_page_as_long_as_the_endpoint_runs() {
    let registry = registry();
    let spawn = || {
        let builder = Builder::new(&registry).listen("127.0.0.1:0");
        builder.self_metrics(true).spawn()
    };
    for _ in 0..2 {
        let endpoint = spawn().unwrap();
        assert!(registry.contains("stethoscope_http_connections"));
        let second = spawn().unwrap_err();
        assert!(second.to_string().contains("stethoscope_http_"), "{second}");
        assert_eq!(Client::of(&endpoint).get("/metrics").code, 200);
        endpoint.shutdown();
        endpoint.join().unwrap();
        assert!(!registry.contains("stethoscope_http_connections"));
    }
    // A failed start leaves nothing registered, and removes no other family.
    registry
        .gauge("stethoscope_http_page_seconds", "Mine.")
        .unwrap();
    spawn().unwrap_err();
    assert!(!registry.contains("stethoscope_http_connections"));
    assert!(registry.contains("stethoscope_http_page_seconds"));
}

#[test]
fn limit_of_zero_is_refused_and_an_endless_time_is_not() {
    let with = |limits| {
        Builder::new(&registry())
            .listen("127.0.0.1:0")
            .limits(limits)
            .spawn()
    };
    for (limits, named) in [
        (Limits::default().connections(0), "connections"),
        (Limits::default().header_bytes(0), "header_bytes"),
        (Limits::default().pages(0), "pages"),
    ] {
        let error = with(limits).unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
    }
    let for_ever = Duration::MAX;
    let limits = Limits::default()
        .header_time(for_ever)
        .write_time(for_ever)
        .idle_time(for_ever);
    let endpoint = with(limits).unwrap();
    let mut client = Client::of(&endpoint);
    for _ in 0..2 {
        assert_eq!(client.get("/metrics").body, PAGE);
    }
}

#[test]
fn adopted_listener_serves_clients_that_connected_before() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut early = Client::connect(listener.local_addr().unwrap());
    early.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    let endpoint = Builder::new(&registry())
        .listener(listener)
        .spawn()
        .unwrap();
    assert_eq!(early.answer().body, PAGE);
    drop(endpoint);
}

#[test]
fn lent_listener_goes_on_with_its_owner() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint = Builder::new(&registry())
        .lent_listener(&listener)
        .spawn()
        .unwrap();
    let mut client = Client::connect(address);
    assert_eq!(client.get("/metrics").body, PAGE);
    endpoint.shutdown();
    endpoint.join().unwrap();
    client.expect_end();

    let _next = TcpStream::connect(address).unwrap();
    listener.set_nonblocking(false).unwrap();
    assert!(listener.accept().is_ok(), "the owner accepts again");
}

#[test]
fn port_is_free_when_the_endpoint_has_ended() {
    let endpoint = serve(&registry());
    let address = endpoint.local_addr().unwrap();
    let mut clients: Vec<Client> = (0..20).map(|_| Client::of(&endpoint)).collect();
    for client in &mut clients {
        assert_eq!(client.get("/metrics").code, 200);
    }
    clients[0].send("GET /metrics");
    endpoint.shutdown();
    endpoint.join().unwrap();
    for client in &mut clients {
        client.expect_end();
    }
    let endpoint = endpoint::serve(&registry(), address).unwrap();
    assert_eq!(Client::of(&endpoint).get("/metrics").body, PAGE);
}

#[test]
fn detached_endpoint_goes_on_and_dropped_one_ends() {
    let dropped = serve(&registry());
    let mut client = Client::of(&dropped);
    assert_eq!(client.get("/metrics").body, PAGE);
    drop(dropped);
    client.expect_end();
    let detached = serve(&registry());
    let address = detached.local_addr().unwrap();
    detached.detach();
    for _ in 0..2 {
        let mut client = Client::connect(address);
        assert_eq!(client.get("/metrics").body, PAGE);
        assert_eq!(client.get("/metrics").body, PAGE);
    }
}

#[test]
fn shutdown_lets_a_reading_client_finish() {
    let registry = wide_registry();
    let endpoint = serve(&registry);
    let mut client = Client::of(&endpoint);
    client.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = client.head();
    endpoint.shutdown();
    let rest = client.read_to_end();
    let length: usize = head.header("Content-Length").unwrap().parse().unwrap();
    assert_eq!(rest.len(), length);
    endpoint.join().unwrap();
}

#[test]
fn shutdown_does_not_wait_for_a_client_that_does_not_read() {
    let registry = wide_registry();
    let endpoint = serve(&registry);
    let mut client = Client::of(&endpoint);
    client.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head();
    endpoint.shutdown();
    endpoint.join().unwrap();
}

#[test]
fn hook_that_panics_costs_one_response() {
    let registry = registry();
    let armed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let in_hook = armed.clone();
    registry.on_scrape(move || {
        if in_hook.load(std::sync::atomic::Ordering::Relaxed) {
            panic!("a hook that fails, in a test");
        }
    });
    let endpoint = serve(&registry);
    let mut client = Client::of(&endpoint);
    for _ in 0..3 {
        armed.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(client.get("/metrics").code, 500);
        armed.store(false, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(client.get("/metrics").body, PAGE);
    }
}

#[test]
fn endpoint_cannot_be_joined_by_its_own_hook() {
    let registry = registry();
    let slot = std::sync::Arc::new(std::sync::Mutex::new(None::<endpoint::Endpoint>));
    let (sent, joined) = std::sync::mpsc::channel();
    let in_hook = slot.clone();
    registry.on_scrape(move || {
        if let Some(endpoint) = in_hook.lock().unwrap().take() {
            sent.send(endpoint.join().unwrap_err().to_string()).unwrap();
        }
    });
    let endpoint = serve(&registry);
    let mut client = Client::of(&endpoint);
    *slot.lock().unwrap() = Some(endpoint);
    assert_eq!(client.get("/metrics").code, 200);
    let error = joined.recv_timeout(PATIENCE).unwrap();
    assert!(error.contains("call shutdown instead"), "{error}");
}

#[test]
fn dropped_endpoint_ends() {
    let (sent, ended) = std::sync::mpsc::channel();
    let endpoint = serve(&registry());
    let address = endpoint.local_addr().unwrap();
    std::thread::spawn(move || {
        drop(endpoint);
        sent.send(()).unwrap();
    });
    ended.recv_timeout(PATIENCE).unwrap();
    assert!(TcpStream::connect(address).is_err());
}
