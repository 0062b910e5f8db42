//! The cost of a scrape over HTTP: time, processor time of the server, and bytes on
//! the network. Every server has the same 3,500 lines and a process of its own; the
//! same client asks them, with and without `Accept-Encoding: gzip`; each page is
//! asserted before it is timed.
//!
//! Set `PYTHON` to an interpreter that has `prometheus_client`.

use std::io::Read;
use std::time::{Duration, Instant};
use stethoscope_rivals::client::Client;
use stethoscope_rivals::figures::record;
use stethoscope_rivals::page::{Model, assert_shows};
use stethoscope_rivals::round_robin::{median, readable};
use stethoscope_rivals::servers::{self, Server};

const UNFAIR: &str = "\
What is unfair, and to whom:
- The client is in every figure: it reads what the server writes, on the same machine.
- stethoscope updates its values during the scrape, which is in its time (`all` is 3,500
  lines); the others' stand still, which makes no difference to what they do.
- Clients of stethoscope that ask at the same moment share a page, which counts where
  requests a second and processor time are taken, with several clients.
- prometheus-client brings no server: hyper is around it, on one thread, with no compression;
  metrics-exporter-prometheus has its own, on hyper, on one thread, with no compression.
- Python's server makes a thread and takes a new connection for each scrape, and compresses
  at its library's level 9.
- `nothing changed` compressed is the page of the scrape before, sent again.
- Prometheus asks for gzip in every scrape. A server that does not compress sends it the
  plain page: the second table has what each server sends then.
";

/// The time of a server's turn in a round.
const TURN: Duration = Duration::from_millis(400);
const ROUNDS: usize = 6;
/// Clients at a time when requests a second are counted.
const CLIENTS: usize = 4;

struct Row {
    name: &'static str,
    /// Whether the client asks for gzip, and whether it gets it.
    asks_for_gzip: bool,
    gets_gzip: bool,
    server: Server,
    bytes: usize,
    kept_alive: bool,
    times: Vec<f64>,
    /// Scrapes, seconds and seconds of the server's processor time.
    together: (usize, f64, f64),
}

fn main() {
    servers::serve_if_told();
    println!("{UNFAIR}");
    let mut rows: Vec<Row> = Vec::new();
    for gzip in [false, true] {
        for name in servers::ALL {
            match checked(name, gzip) {
                Ok(row) => rows.push(row),
                Err(why) => println!("{name}{}: {why}", if gzip { ", gzip" } else { "" }),
            }
        }
    }
    for round in 0..ROUNDS {
        for place in 0..rows.len() {
            let index = (round + place) % rows.len();
            rows[index].turn();
        }
    }
    println!(
        "\n{:<40} {:>10} {:>10} {:>10} {:>10} {:>10} {:>12} {:>11}",
        "", "bytes", "median", "99 %", "worst", "a second", "cpu a scrape", "connection"
    );
    for row in &mut rows {
        row.print();
    }
    println!(
        "\na scrape that asks for gzip, as Prometheus does\n{:<40} {:>10} {:>12} {:>16}",
        "", "bytes", "cpu a scrape", "a day, each 15 s"
    );
    for row in rows.iter().filter(|row| row.asks_for_gzip) {
        row.print_network();
    }
}

/// The server, having shown that its page is right.
fn checked(name: &'static str, gzip: bool) -> Result<Row, &'static str> {
    let server =
        Server::start(name).ok_or("not measured: set PYTHON to an interpreter that has it")?;
    let mut client = Client::new(server.address, gzip);
    let answer = client.scrape();
    assert!(gzip || !answer.gzip, "{name} compresses unasked");
    let gets_gzip = answer.gzip;
    let bytes = answer.body.len();
    let mut page = Vec::new();
    if gets_gzip {
        flate2::read::GzDecoder::new(answer.body)
            .read_to_end(&mut page)
            .expect("gzip");
    } else {
        page.extend_from_slice(answer.body);
    }
    // Values that change with each scrape are asserted by `encode`.
    if !name.ends_with("% changed") && !name.ends_with("all changed") {
        let workload = servers::workload();
        let mut model = Model::new(&workload);
        model.apply(&workload.first_values());
        assert_shows(&page, &model, name);
    } else {
        assert!(page.len() > 200_000, "{name} has {} bytes", page.len());
    }
    let kept_alive = client.is_kept_alive();
    Ok(Row {
        name,
        asks_for_gzip: gzip,
        gets_gzip,
        server,
        bytes,
        kept_alive,
        times: Vec::new(),
        together: (0, 0.0, 0.0),
    })
}

impl Row {
    /// Measures one client for latency, then several for requests a second.
    fn turn(&mut self) {
        let (address, gzip) = (self.server.address, self.asks_for_gzip);
        let mut client = Client::new(address, gzip);
        // Connects, and warms up.
        for _ in 0..3 {
            client.scrape();
        }
        let begun = Instant::now();
        while begun.elapsed() < TURN {
            self.times.push(client.scrape().time.as_secs_f64() * 1e9);
        }
        let cpu = self.server.cpu();
        let begun = Instant::now();
        let scrapes: usize = std::thread::scope(|scope| {
            let clients = [(); CLIENTS].map(|()| {
                scope.spawn(|| {
                    let mut client = Client::new(address, gzip);
                    let mut scrapes = 0;
                    while begun.elapsed() < TURN {
                        client.scrape();
                        scrapes += 1;
                    }
                    scrapes
                })
            });
            clients
                .into_iter()
                .map(|client| client.join().expect("a client"))
                .sum()
        });
        self.together.0 += scrapes;
        self.together.1 += begun.elapsed().as_secs_f64();
        self.together.2 += self.server.cpu() - cpu;
    }

    fn title(&self) -> String {
        let encoding = match (self.asks_for_gzip, self.gets_gzip) {
            (false, _) => "",
            (true, true) => ", gzip",
            (true, false) => ", sends plain",
        };
        format!("{}{encoding}", self.name)
    }

    /// The server's processor time in nanoseconds.
    fn cpu_a_scrape(&self) -> f64 {
        let (scrapes, _, cpu) = self.together;
        cpu / scrapes as f64 * 1e9
    }

    fn print_network(&self) {
        let megabytes_a_day = self.bytes as f64 * 24.0 * 3600.0 / 15.0 / 1e6;
        println!(
            "{:<40} {:>10} {:>12} {megabytes_a_day:>13.0} MB",
            self.title(),
            self.bytes,
            readable(self.cpu_a_scrape()),
        );
    }

    fn print(&mut self) {
        self.times.sort_by(f64::total_cmp);
        let (scrapes, seconds, _) = self.together;
        let name = self.title();
        let cpu_a_scrape = self.cpu_a_scrape();
        record(
            "scrape over HTTP",
            &name,
            "median",
            median(&self.times),
            "ns",
        );
        record("scrape over HTTP", &name, "cpu", cpu_a_scrape, "ns");
        record("scrape over HTTP", &name, "bytes", self.bytes as f64, "B");
        println!(
            "{name:<40} {:>10} {:>10} {:>10} {:>10} {:>10.0} {:>12} {:>11}",
            self.bytes,
            readable(median(&self.times)),
            readable(self.times[self.times.len() * 99 / 100]),
            readable(self.times[self.times.len() - 1]),
            scrapes as f64 / seconds,
            readable(cpu_a_scrape),
            if self.kept_alive { "kept" } else { "new" },
        );
    }
}
