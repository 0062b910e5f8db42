//! The scrapes of a well-behaved client while others behave badly.
//!
//! 10,000 scrapes over 100 connections that are kept alive, four at a time,
//! from another process than the endpoint's: first alone, then beside 1,000
//! idle connections, 200 clients that send a byte a second and 200 that never
//! read a page larger than their buffers. Then the endpoint is shut down while
//! clients are served. In a second table, 400 clients ask for a page of different
//! families each, as fast as they can.
//!
//! `cargo bench --features gzip --bench load`. The processes share the machine
//! and loopback: client time is in every figure, and with fewer than six cores
//! they wait for each other.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, sockopt};
use stethoscope::Registry;
use stethoscope::cell::{Buckets, Histogram};
use stethoscope::endpoint::{Builder, Limits};

const SCRAPES: usize = 10_000;
const CONNECTIONS: usize = 100;
const AT_A_TIME: usize = 4;
const IDLE: usize = 1_000;
const SLOW_WRITERS: usize = 200;
const NEVER_READERS: usize = 200;
const TOO_LONG: Duration = Duration::from_millis(50);
/// Clients that ask for different families, and the size of the page beside them.
const CROWD: usize = 400;
const CROWD_FAMILIES: usize = 200;
const CROWD_SCRAPES: usize = 20;

const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: bench\r\nAccept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n\r\n";
const ROLE: &str = "STETHOSCOPE_LOAD";

fn main() {
    match std::env::var(ROLE).as_deref() {
        Ok("server") => serve(&registry()),
        Ok("server of many families") => serve(&many_families()),
        Ok(_) => {
            measure();
            measure_beside_selections();
        }
        Err(_) => {
            let mut client = again("client").spawn().expect("a shell");
            std::process::exit(client.wait().expect("a child").code().unwrap_or(1));
        }
    }
}

/// This program in another role, with the highest limit on file descriptors.
fn again(role: &str) -> Command {
    let mut command = Command::new("sh");
    let program = std::env::current_exe().expect("a path");
    command
        .args(["-c", "ulimit -n $(ulimit -Hn); exec \"$0\""])
        .arg(program)
        .env(ROLE, role);
    command
}

/// Serves until the standard input ends.
fn serve(registry: &Registry) {
    let limits = Limits::default()
        .connections(2 * (CONNECTIONS + IDLE + SLOW_WRITERS + NEVER_READERS))
        .header_time(Duration::from_secs(600))
        .write_time(Duration::from_secs(600))
        .pages(NEVER_READERS + 8);
    let builder = Builder::new(registry).listen("127.0.0.1:0");
    let endpoint = builder.limits(limits).spawn().expect("an endpoint");
    println!("{}", endpoint.local_addr().expect("a TCP address"));
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    let begun = Instant::now();
    endpoint.shutdown();
    endpoint.join().expect("a clean end");
    println!("{:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
}

/// A registry of 3,500 lines, of which a third changes with every scrape.
fn registry() -> Registry {
    let registry = Registry::new();
    let labels = |n: usize| {
        [
            format!("/api/v1/items/{}", n / 10),
            format!("{}", 200 + n % 10),
        ]
    };
    let counters = registry
        .counter_family("http_requests_total", "Requests.", ["path", "code"])
        .unwrap();
    let counters: Vec<_> = (0..1000)
        .map(|n| {
            counters
                .with(labels(n).each_ref().map(|l| l.as_str()))
                .unwrap()
        })
        .collect();
    let gauges = registry
        .float_gauge_family("load_ratio", "Load.", ["worker", "core"])
        .unwrap();
    for n in 0..1000 {
        let value = n as f64 / 997.0;
        gauges
            .with(labels(n).each_ref().map(|l| l.as_str()))
            .unwrap()
            .set(value);
    }
    let histograms = registry
        .family::<Histogram>("latency_seconds", "Latency.")
        .labels(["path", "code"]);
    let bounds = Buckets::new((1..=12).map(|n| f64::from(n) / 10.0)).unwrap();
    let histograms = histograms.options(bounds).register().unwrap();
    for n in 0..100 {
        let histogram = histograms
            .with(labels(n).each_ref().map(|l| l.as_str()))
            .unwrap();
        (0..n).for_each(|n| histogram.observe(n as f64 / 77.0));
    }
    registry.on_scrape(move || counters.iter().for_each(|counter| counter.inc_by(1)));
    registry
}

/// 60,000 lines of 6 MB in 200 families.
fn many_families() -> Registry {
    let registry = Registry::new();
    for n in 0..CROWD_FAMILIES {
        let family = registry.float_gauge_family(&format!("family{n}"), "Numbers.", ["item"]);
        let family = family.unwrap();
        for item in 0..300 {
            let label = format!("{item:080}");
            family.with([label.as_str()]).unwrap().set(item as f64);
        }
    }
    registry
}

struct Server {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<std::process::ChildStdout>,
    address: SocketAddr,
}

impl Server {
    fn start(role: &str) -> Self {
        let mut process = again(role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let input = process.stdin.take();
        let mut output = BufReader::new(process.stdout.take().expect("it is piped"));
        let address = line(&mut output).parse().expect("an address");
        Self {
            process,
            input,
            output,
            address,
        }
    }

    /// Resident kilobytes, and open descriptors.
    fn holds(&self) -> (u64, usize) {
        let process = format!("/proc/{}", self.process.id());
        let status = std::fs::read_to_string(format!("{process}/status")).expect("Linux");
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("it is running");
        let kilobytes = resident
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number");
        (
            kilobytes,
            std::fs::read_dir(format!("{process}/fd"))
                .expect("Linux")
                .count(),
        )
    }

    /// The processor time so far, in seconds.
    fn cpu(&self) -> f64 {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("Linux");
        let fields = stat
            .rsplit_once(") ")
            .expect("a name in brackets")
            .1
            .split(' ');
        // utime and stime, in hundredths: the kernel's USER_HZ.
        fields
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<f64>().expect("a number") / 100.0)
            .sum()
    }

    /// Shuts it down. Returns the time that it took.
    fn end(mut self) -> String {
        drop(self.input.take());
        let took = line(&mut self.output);
        let status = self.process.wait().expect("a child");
        assert!(status.success(), "the endpoint ended with {status}");
        took
    }
}

fn line(output: &mut impl BufRead) -> String {
    let mut line = String::new();
    output.read_line(&mut line).expect("a line");
    line.trim().to_owned()
}

fn measure() {
    let server = Server::start("server");
    println!(
        "{SCRAPES} scrapes of {} bytes over {CONNECTIONS} connections, {AT_A_TIME} at a time\n",
        page_len(server.address)
    );
    println!(
        "{:<14} {:>9} {:>9} {:>9} {:>9} {:>9} {:>11} {:>12} {:>10} {:>6}",
        "",
        "median",
        "99 %",
        "99.9 %",
        "worst",
        "> 50 ms",
        "a second",
        "cpu a scrape",
        "resident",
        "open"
    );
    // A first round to warm up.
    scrapes(&server, None);
    scrapes(&server, Some("alone"));

    let crowd = Crowd::gather(server.address);
    scrapes(&server, Some("in the crowd"));
    scrapes(&server, Some("and again"));
    drop(crowd);
    std::thread::sleep(Duration::from_millis(500));
    scrapes(&server, Some("alone again"));

    let crowd = Crowd::gather(server.address);
    let address = server.address;
    let scraping = std::thread::spawn(move || {
        while let Ok(mut stream) = TcpStream::connect(address) {
            let mut answer = Vec::new();
            let _ = stream
                .write_all(REQUEST)
                .and_then(|()| stream.read_to_end(&mut answer));
        }
    });
    std::thread::sleep(Duration::from_millis(200));
    let open = server.holds().1;
    let took = server.end();
    println!("\nshut down with {open} descriptors open: ended after {took}");
    scraping.join().expect("it ends with the endpoint");
    drop(crowd);
}

/// A scraper of a large page beside clients that make the endpoint work as hard as
/// they can: each asks for other families, again and again.
fn measure_beside_selections() {
    let server = Server::start("server of many families");
    let address = server.address;
    let scrape_each = || {
        let mut stream = TcpStream::connect(address).expect("a connection");
        let mut buffer = vec![0; 16 << 20];
        let mut times: Vec<Duration> = (0..CROWD_SCRAPES)
            .map(|_| {
                let begun = Instant::now();
                scrape(&mut stream, &mut buffer);
                begun.elapsed()
            })
            .collect();
        times.sort();
        times
    };
    println!(
        "\n{CROWD_SCRAPES} scrapes of {} bytes, one after the other\n\n{:<44} {:>10} {:>10} {:>7}",
        page_len(address),
        "",
        "median",
        "worst",
        "ratio"
    );
    let mut alone = None;
    let few = |family: &str, n: usize| {
        // More pairs than clients.
        let other = (n * 7 + n / CROWD_FAMILIES + 1) % CROWD_FAMILIES;
        format!(
            "name[]={family}{}&name[]={family}{other}",
            n % CROWD_FAMILIES
        )
    };
    let nearly_all = |n: usize| {
        let families = (0..CROWD_FAMILIES).filter(|family| *family != n % CROWD_FAMILIES);
        let names: Vec<String> = families.map(|n| format!("name[]=family{n}")).collect();
        names.join("&")
    };
    type Query<'a> = &'a dyn Fn(usize) -> String;
    let crowds: [(&str, &str, Query<'_>); 5] = [
        ("alone", "", &|_| String::new()),
        ("beside 400 HEAD, unknown families", "HEAD", &|n| {
            few("unknown", n)
        }),
        ("beside 400 GET, unknown families", "GET", &|n| {
            few("unknown", n)
        }),
        ("beside 400 GET, two families each", "GET", &|n| {
            few("family", n)
        }),
        ("beside 400 GET, all families but one", "GET", &nearly_all),
    ];
    for (title, method, query) in crowds {
        let crowd = (!method.is_empty()).then(|| Selections::gather(address, method, query));
        let times = scrape_each();
        drop(crowd);
        let median = times[times.len() / 2];
        let alone = *alone.get_or_insert(median);
        println!(
            "{title:<44} {:>10} {:>10} {:>7.2}",
            milliseconds(median),
            milliseconds(times[times.len() - 1]),
            median.as_secs_f64() / alone.as_secs_f64()
        );
    }
    server.end();
}

/// Clients that ask for pages of different families, until this is dropped.
struct Selections {
    is_over: std::sync::Arc<AtomicBool>,
    client: Option<std::thread::JoinHandle<()>>,
}

impl Selections {
    fn gather(address: SocketAddr, method: &str, query: impl Fn(usize) -> String) -> Self {
        let request = |n| {
            format!(
                "{method} /metrics?{} HTTP/1.1\r\nHost: bench\r\n\r\n",
                query(n)
            )
        };
        let requests: Vec<String> = (0..CROWD).map(request).collect();
        let is_over = std::sync::Arc::new(AtomicBool::new(false));
        let over = std::sync::Arc::clone(&is_over);
        let client = std::thread::spawn(move || {
            let connect = |_: &String| {
                let stream = TcpStream::connect(address).expect("a connection");
                stream.set_nonblocking(true).expect("a socket");
                (stream, true)
            };
            let mut streams: Vec<(TcpStream, bool)> = requests.iter().map(connect).collect();
            let mut buffer = vec![0; 1 << 20];
            while !over.load(Ordering::Relaxed) {
                let mut has_answers = false;
                for ((stream, may_ask), request) in streams.iter_mut().zip(&requests) {
                    while let Ok(1..) = stream.read(&mut buffer) {
                        *may_ask = true;
                        has_answers = true;
                    }
                    // It fails when the endpoint has closed the connection.
                    *may_ask = *may_ask && stream.write_all(request.as_bytes()).is_err();
                }
                if !has_answers {
                    // The processor is the server's and the scraper's meanwhile.
                    std::thread::sleep(Duration::from_micros(100));
                }
            }
        });
        std::thread::sleep(Duration::from_secs(1));
        Self {
            is_over,
            client: Some(client),
        }
    }
}

impl Drop for Selections {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(client) = self.client.take() {
            client.join().expect("a client");
        }
    }
}

fn page_len(address: SocketAddr) -> usize {
    let mut stream = TcpStream::connect(address).expect("a connection");
    let mut buffer = vec![0; 16 << 20];
    scrape(&mut stream, &mut buffer)
}

/// Scrapes, and prints a row about them.
fn scrapes(server: &Server, name: Option<&str>) {
    let cpu = server.cpu();
    let begun = Instant::now();
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let clients = [(); AT_A_TIME].map(|()| scope.spawn(|| client(server.address)));
        clients
            .into_iter()
            .flat_map(|client| client.join().expect("a client"))
            .collect()
    });
    let took = begun.elapsed().as_secs_f64();
    let Some(name) = name else { return };
    let cpu = (server.cpu() - cpu) / SCRAPES as f64;
    times.sort();
    let at = |share: f64| milliseconds(times[((times.len() - 1) as f64 * share) as usize]);
    let (resident, open) = server.holds();
    println!(
        "{name:<14} {:>9} {:>9} {:>9} {:>9} {:>9} {:>11.0} {:>9.0} us {resident:>7} kB {open:>6}",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        times.iter().filter(|time| **time > TOO_LONG).count(),
        SCRAPES as f64 / took,
        cpu * 1e6,
    );
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// Scrapes one page after the other, over a part of the connections.
fn client(address: SocketAddr) -> Vec<Duration> {
    let connect = |_| TcpStream::connect(address).expect("a connection");
    let mut streams: Vec<TcpStream> = (0..CONNECTIONS / AT_A_TIME).map(connect).collect();
    let mut buffer = vec![0; 4 << 20];
    let mut times = Vec::with_capacity(SCRAPES / AT_A_TIME);
    for n in 0..SCRAPES / AT_A_TIME {
        let stream = n % streams.len();
        let begun = Instant::now();
        scrape(&mut streams[stream], &mut buffer);
        times.push(begun.elapsed());
    }
    times
}

/// Reads a whole page. Returns the length of its body.
fn scrape(stream: &mut TcpStream, buffer: &mut [u8]) -> usize {
    stream.write_all(REQUEST).expect("a request is small");
    let (mut read, mut whole) = (0, None);
    while whole != Some(read) {
        let more = stream.read(&mut buffer[read..]).expect("an answer");
        assert!(more > 0, "closed in the middle of a page");
        read += more;
        let end = || {
            buffer[..read]
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
        };
        if let (None, Some(end)) = (whole, end()) {
            let head = std::str::from_utf8(&buffer[..end]).expect("ASCII");
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            let length = head.split("Content-Length: ").nth(1).expect("a length");
            let length: usize = length
                .split('\r')
                .next()
                .expect("a line")
                .parse()
                .expect("a number");
            whole = Some(end + 4 + length);
        }
    }
    assert!(buffer[..read].ends_with(b"# EOF\n"));
    read - buffer[..read]
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .expect("a head")
        - 4
}

/// Clients that behave badly until this is dropped.
struct Crowd {
    _open: Vec<TcpStream>,
    gone: std::sync::Arc<AtomicBool>,
    writing: Option<std::thread::JoinHandle<()>>,
}

impl Crowd {
    fn gather(address: SocketAddr) -> Self {
        let connect = |_| TcpStream::connect(address).expect("a connection");
        let mut open: Vec<TcpStream> = (0..IDLE).map(connect).collect();
        for _ in 0..NEVER_READERS {
            let mut stream = connect_with_small_buffer(address);
            stream.write_all(REQUEST).expect("a request is small");
            open.push(stream);
        }
        let mut writers: Vec<TcpStream> = (0..SLOW_WRITERS).map(connect).collect();
        let gone = std::sync::Arc::new(AtomicBool::new(false));
        let over = std::sync::Arc::clone(&gone);
        let writing = std::thread::spawn(move || {
            for byte in REQUEST[..REQUEST.len() - 1].iter().cycle() {
                for writer in &mut writers {
                    // It fails when the endpoint has refused the request.
                    let _ = writer.write_all(&[*byte]);
                }
                for _ in 0..20 {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        });
        std::thread::sleep(Duration::from_secs(1));
        Self {
            _open: open,
            gone,
            writing: Some(writing),
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
        if let Some(writing) = self.writing.take() {
            writing.join().expect("a writer");
        }
    }
}

/// A client whose kernel buffers little of a page.
fn connect_with_small_buffer(address: SocketAddr) -> TcpStream {
    let socket =
        rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    sockopt::set_socket_recv_buffer_size(&socket, 4096).expect("a smaller buffer");
    rustix::net::connect(&socket, &address).expect("a connection");
    socket.into()
}
