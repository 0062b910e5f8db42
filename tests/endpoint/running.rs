//! Where it listens, what it survives, and how it ends.

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::client::{Client, PAGE, PATIENCE, registry, serve, wide_registry};
use stethoscope::endpoint::{self, Address, Builder, Limits};

#[test]
fn several_addresses_serve_the_same_page() {
    let directory = TempDir::new("several");
    let path = directory.0.join("metrics.sock");
    let endpoint = Builder::new(&registry())
        .listen("127.0.0.1:0")
        .unwrap()
        .listen("[::1]:0")
        .unwrap()
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
fn one_ipv6_address_takes_both_and_two_are_kept_apart() {
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
        .unwrap()
        .listen(&*v4)
        .unwrap()
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
fn a_name_stands_for_all_its_addresses() {
    let endpoint = endpoint::serve(&registry(), "localhost:0").unwrap();
    for address in endpoint.local_addrs() {
        let Address::Tcp(address) = address else {
            panic!("{address:?}")
        };
        assert_eq!(Client::connect(*address).get("/metrics").body, PAGE);
    }
}

#[test]
fn a_socket_file_that_nobody_listens_at_is_replaced_and_nothing_else_is() {
    let directory = TempDir::new("stale");
    let path = directory.0.join("metrics.sock");
    // A listener that went without removing its file.
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
    assert_eq!(refused.kind(), std::io::ErrorKind::AddrInUse);
    assert!(refused.to_string().contains("metrics.sock"), "{refused}");
    assert_eq!(
        Client::over(UnixStream::connect(&path).unwrap())
            .get("/metrics")
            .code,
        200
    );
    drop(endpoint);

    std::fs::write(&path, "a file of somebody's").unwrap();
    assert!(
        Builder::new(&registry())
            .listen_unix(&path)
            .spawn()
            .is_err()
    );
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        "a file of somebody's"
    );
}

#[test]
fn what_can_not_be_listened_at_is_said() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = endpoint::serve(&registry(), address).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&address.to_string()), "{error}");

    let error = Builder::new(&registry()).spawn().unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");

    let connected = TcpStream::connect(address).unwrap();
    let error = Builder::new(&registry())
        .listener_fd(connected.into())
        .spawn()
        .unwrap_err();
    assert!(error.to_string().contains("not listening"), "{error}");
}

#[test]
fn what_an_endpoint_counts_of_itself_is_there_as_long_as_it_is() {
    let registry = registry();
    let spawn = || {
        let builder = Builder::new(&registry).listen("127.0.0.1:0").unwrap();
        builder.metrics(true).spawn()
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
    // Nothing is left of one that did not come to be, but what was there before.
    registry
        .gauge("stethoscope_http_page_seconds", "Mine.")
        .unwrap();
    spawn().unwrap_err();
    assert!(!registry.contains("stethoscope_http_connections"));
    assert!(registry.contains("stethoscope_http_page_seconds"));
}

#[test]
fn limits_that_would_serve_nobody_are_refused_and_no_limit_is_one() {
    let with = |limits| {
        Builder::new(&registry())
            .listen("127.0.0.1:0")
            .unwrap()
            .limits(limits)
            .spawn()
    };
    for (limits, named) in [
        (
            Limits {
                connections: 0,
                ..Limits::default()
            },
            "connections",
        ),
        (
            Limits {
                header_bytes: 0,
                ..Limits::default()
            },
            "header_bytes",
        ),
        (
            Limits {
                pages: 0,
                ..Limits::default()
            },
            "pages",
        ),
    ] {
        let error = with(limits).unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
    }
    let for_ever = Duration::MAX;
    let limits = Limits {
        header_time: for_ever,
        write_time: for_ever,
        idle_time: for_ever,
        ..Limits::default()
    };
    let endpoint = with(limits).unwrap();
    let mut client = Client::of(&endpoint);
    for _ in 0..2 {
        assert_eq!(client.get("/metrics").body, PAGE);
    }
}

#[test]
fn a_listener_taken_over_serves_also_who_had_connected_before() {
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
fn a_listener_that_was_lent_goes_on_with_its_owner() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let endpoint = Builder::new(&registry())
        .lent_listener(&listener)
        .unwrap()
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
fn a_port_is_free_again_when_the_endpoint_has_ended() {
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
fn a_shutdown_lets_a_client_that_is_reading_finish() {
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
fn a_shutdown_does_not_wait_for_a_client_that_does_not_read() {
    let registry = wide_registry();
    let endpoint = serve(&registry);
    let mut client = Client::of(&endpoint);
    client.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head();
    endpoint.shutdown();
    endpoint.join().unwrap();
}

#[test]
fn a_hook_that_panics_costs_one_answer_and_not_the_endpoint() {
    let registry = registry();
    let armed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let in_hook = armed.clone();
    registry.on_scrape(move || {
        if in_hook.load(std::sync::atomic::Ordering::Relaxed) {
            panic!("a hook of the host's, in a test");
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
fn an_endpoint_ends_on_its_own_thread_when_it_is_dropped() {
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

/// A directory that goes with the test.
struct TempDir(PathBuf);

impl TempDir {
    fn new(name: &str) -> Self {
        let name = format!("stethoscope-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
