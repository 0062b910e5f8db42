//! Requests leave nothing: no allocation, no memory, no file descriptor.
//!
//! One test at a time: others would be counted too.

#[path = "support/counting.rs"]
mod counting;
#[path = "support/eventually.rs"]
mod eventually;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use counting::counted;
use eventually::eventually;
use stethoscope::Registry;
use stethoscope::endpoint::{Builder, Endpoint, Limits};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn registry() -> Registry {
    let registry = Registry::new();
    let family = registry
        .counter_family("requests_total", "Requests.", ["path"])
        .unwrap();
    for n in 0..500 {
        family
            .with([format!("/path/{n}").as_str()])
            .unwrap()
            .inc_by(n);
    }
    registry
}

fn serve(registry: &Registry, limits: Limits) -> (Endpoint, SocketAddr) {
    let builder = Builder::new(registry).listen("127.0.0.1:0");
    let endpoint = builder.limits(limits).self_metrics(true).spawn().unwrap();
    let address = endpoint.local_addr().unwrap();
    (endpoint, address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

/// Sends a request and reads the response, without allocating. Returns its length.
fn ask(stream: &mut TcpStream, request: &[u8], buffer: &mut [u8]) -> usize {
    stream.write_all(request).unwrap();
    let mut read = 0;
    loop {
        read += stream.read(&mut buffer[read..]).unwrap();
        let text = &buffer[..read];
        let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        if request.starts_with(b"HEAD") {
            return read;
        }
        let name = b"Content-Length: ";
        let at = text
            .windows(name.len())
            .position(|part| part == name)
            .unwrap()
            + name.len();
        let digits = text[at..].iter().take_while(|byte| byte.is_ascii_digit());
        let len = digits.fold(0, |len, digit| len * 10 + usize::from(digit - b'0'));
        if read == end + 4 + len {
            return read;
        }
    }
}

#[test]
fn request_on_a_warm_connection_allocates_nothing() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let registry = registry();
    let counter = registry
        .counter("turns_total", "Changes the page.")
        .unwrap();
    let (_endpoint, address) = serve(&registry, Limits::default());
    let mut streams = [connect(address), connect(address), connect(address)];
    let mut buffer = vec![0; 1 << 20];
    let requests: [&[u8]; 6] = [
        b"GET /metrics HTTP/1.1\r\nHost: a\r\nUser-Agent: Prometheus/2.42.0\r\nX-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2\r\n\r\n",
        b"GET /metrics/?x=y HTTP/1.0\r\nConnection: keep-alive\r\nAccept: text/plain;version=1.0.0\r\n\r\n",
        // Compressed, where the feature is on.
        b"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n",
        b"HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    let mut round = || {
        for stream in &mut streams {
            for request in requests {
                counter.inc();
                assert!(ask(stream, request, &mut buffer) > 100);
            }
        }
    };
    // A number that is longer than ever may need a longer line.
    (0..100).for_each(|_| round());
    let before = counted().by_all;
    (0..200).for_each(|_| round());
    assert_eq!(
        counted().by_all - before,
        0,
        "allocations in 3,600 requests"
    );
}

/// The number of open file descriptors.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Every way in which a client can come and go.
fn crowd(address: SocketAddr, buffer: &mut [u8]) {
    let get = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";
    for n in 0..200 {
        let mut stream = connect(address);
        match n % 8 {
            0 => {}
            1 => stream.write_all(b"GET /metr").unwrap(),
            2 => stream.write_all(&get[..]).unwrap(),
            3 => assert!(ask(&mut stream, get, buffer) > 1000),
            4 => stream.write_all(&get.repeat(50)).unwrap(),
            5 => stream.write_all(b"\x16\x03\x01").unwrap(),
            6 => {
                stream.write_all(&get[..]).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
            }
            // The endpoint may have refused it before all of it is sent.
            _ => drop(stream.write_all(&vec![b'x'; 100_000])),
        }
    }
}

#[test]
fn clients_that_come_and_go_leave_no_descriptor_and_no_memory() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let registry = registry();
    let mut buffer = vec![0; 1 << 20];
    let at_first = descriptors();

    let (endpoint, address) = serve(&registry, Limits::default());
    let serving = descriptors();
    (0..3).for_each(|_| crowd(address, &mut buffer));
    eventually("connections stay open", || descriptors() == serving);
    let warm = counted().live_bytes;
    (0..5).for_each(|_| crowd(address, &mut buffer));
    eventually("connections stay open", || descriptors() == serving);
    let grown = counted().live_bytes - warm;
    assert!(
        grown < 64 * 1024,
        "{grown} bytes more after 1,000 more clients"
    );

    // A shutdown while clients come and go.
    std::thread::scope(|scope| {
        let crowding = scope.spawn(|| {
            let mut streams = Vec::new();
            while let Ok(mut stream) = TcpStream::connect(address) {
                let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
                streams.push(stream);
                streams.truncate(300);
            }
        });
        std::thread::sleep(Duration::from_millis(20));
        endpoint.shutdown();
        endpoint.join().unwrap();
        crowding.join().unwrap();
    });
    eventually("descriptors are left", || descriptors() == at_first);
}

#[test]
fn crowd_holds_no_more_memory_than_the_limits_allow() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let registry = registry();
    let limits = Limits::default().connections(100).pages(2);
    let (endpoint, address) = serve(&registry, limits);
    let mut buffer = vec![0; 1 << 20];
    crowd(address, &mut buffer);
    let warm = counted().live_bytes;
    let mut open = Vec::with_capacity(1000);
    for n in 0..1000 {
        let mut stream = connect(address);
        if n % 2 == 0 {
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nX: ");
        }
        open.push(stream);
    }
    assert!(
        ask(
            &mut connect(address),
            b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
            &mut buffer
        ) > 1000
    );
    let grown = counted().live_bytes - warm;
    assert!(
        grown < 256 * 1024,
        "{grown} bytes are held for 1,000 idle clients"
    );
    drop(endpoint);
}

#[test]
fn process_without_descriptors_goes_on_answering() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let registry = registry();
    let (endpoint, address) = serve(&registry, Limits::default());
    let mut buffer = vec![0; 1 << 20];
    let get = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n";

    let mut idle = [(); 10].map(|()| connect(address));
    for stream in &mut idle {
        assert!(ask(stream, get, &mut buffer) > 1000);
    }
    let allowed = getrlimit(Resource::Nofile);
    let few = Rlimit {
        // The count has one open itself, which is left for a new client.
        current: Some(descriptors() as u64),
        ..allowed
    };
    setrlimit(Resource::Nofile, few).unwrap();
    // The endpoint has to give up one that is idle for its end of this.
    let mut asking = connect(address);
    let answered = ask(&mut asking, get, &mut buffer);
    setrlimit(Resource::Nofile, allowed).unwrap();
    assert!(answered > 1000);

    let page_len = ask(&mut asking, get, &mut buffer);
    let page = std::str::from_utf8(&buffer[..page_len]).unwrap();
    let series = "stethoscope_http_connections_dropped_total{reason=\"descriptors\"} ";
    let (_, value) = page.split_once(series).unwrap();
    assert!(!value.starts_with('0'), "{series}{value}");
    drop(endpoint);
}
