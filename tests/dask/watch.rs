//! Scrapers that believe nothing: they read every page strictly and hold each
//! counter against the page before. A soak of a cluster is watched with them.
//!
//! ```text
//! standard input    whole list of targets, a line for each change: HOST:PORT HOST:PORT ...
//!                     └── N clients, each in its own thread at its own pace
//! standard output   a line of JSON for each fault, and one at the end of input
//! ```
//!
//! Run by `soak.py`: `watch CLIENTS SCRAPES_A_SECOND`. A target that refuses the
//! connection or breaks it off is not a fault as such, since workers are killed on
//! purpose; it is counted, and told with the target, for the caller to judge.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use stethoscope::MetricType;
use stethoscope::exposition::Format;
use stethoscope::exposition::parser::{Error, Event, parse};
use stethoscope::exposition::validate::validate;

/// No page takes so long while its process lives.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Shared {
    targets: Vec<String>,
    ended: bool,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    scrapes: u64,
    bytes: u64,
    faults: u64,
    unanswered: u64,
    seconds: Vec<f64>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, clients, rate] = &arguments[..] else {
        eprintln!("usage: watch CLIENTS SCRAPES_A_SECOND");
        std::process::exit(2);
    };
    let clients: usize = clients.parse().expect("a number of clients");
    let pause = Duration::from_secs_f64(1.0 / rate.parse::<f64>().expect("scrapes a second"));

    let shared = Arc::new(Mutex::new(Shared::default()));
    let threads: Vec<_> = (0..clients)
        .map(|number| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || Client::new(number).run(pause, &shared))
        })
        .collect();
    for line in io::stdin().lock().lines() {
        let line = line.expect("targets in UTF-8");
        shared.lock().expect("no client panics").targets =
            line.split_whitespace().map(str::to_owned).collect();
    }
    shared.lock().expect("no client panics").ended = true;
    for thread in threads {
        thread.join().expect("no client panics");
    }

    let mut shared = shared.lock().expect("no client panics");
    let tally = &mut shared.tally;
    tally.seconds.sort_by(f64::total_cmp);
    let quantile = |q: f64| {
        let at = (q * tally.seconds.len() as f64) as usize;
        let at = at.min(tally.seconds.len().saturating_sub(1));
        tally.seconds.get(at).copied().unwrap_or_default()
    };
    println!(
        "{{\"end\": true, \"scrapes\": {}, \"bytes\": {}, \"faults\": {}, \"unanswered\": {}, \
         \"median\": {}, \"p99\": {}, \"worst\": {}}}",
        tally.scrapes,
        tally.bytes,
        tally.faults,
        tally.unanswered,
        quantile(0.5),
        quantile(0.99),
        quantile(1.0)
    );
}

/// One scraper, as a Prometheus server would be one.
struct Client {
    number: usize,
    turn: usize,
    connections: HashMap<String, BufReader<TcpStream>>,
    /// By target, what the page before has shown.
    before: HashMap<String, Counters>,
    page: Vec<u8>,
}

/// The counters of a page, and which process it was.
#[derive(Default)]
struct Counters {
    process: f64,
    /// Series that stay as long as the process.
    values: HashMap<Box<[u8]>, f64>,
    /// Series of task prefixes. One may go, and then its count is in `other`.
    by_prefix: HashMap<Box<[u8]>, f64>,
    /// Their sums over the prefixes, which stay. A page that is made while a prefix
    /// is folded may lack its count or have it twice; the next page is right.
    sums: HashMap<String, f64>,
    /// The sums of the two pages before.
    earlier: [HashMap<String, f64>; 2],
}

/// The label whose series may be folded into one.
const PREFIX: &str = "task_prefix_name";
/// Sums of floats lose as much by rounding.
const ROUNDING: f64 = 1e-9;

impl Client {
    fn new(number: usize) -> Self {
        Self {
            number,
            turn: number,
            connections: HashMap::new(),
            before: HashMap::new(),
            page: Vec::new(),
        }
    }

    fn run(&mut self, pause: Duration, shared: &Mutex<Shared>) {
        let mut next = Instant::now();
        loop {
            let target = {
                let shared = shared.lock().expect("no client panics");
                if shared.ended {
                    return;
                }
                let listed = |target: &String| shared.targets.contains(target);
                self.connections.retain(|target, _| listed(target));
                self.before.retain(|target, _| listed(target));
                self.turn += 1;
                let at = self.turn.checked_rem(shared.targets.len());
                at.map(|at| shared.targets[at].clone())
            };
            if let Some(target) = target {
                self.scrape(&target, shared);
            }
            next += pause;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    fn scrape(&mut self, target: &str, shared: &Mutex<Shared>) {
        // Each format in turn, whatever the number of targets.
        let format = match (self.turn / 7) % 2 {
            0 => Format::Text,
            _ => Format::OpenMetrics,
        };
        let start = Instant::now();
        let answered = self.fetch(target, format);
        let seconds = start.elapsed().as_secs_f64();
        let faults = match answered {
            Ok(200) => self.faults(target, format),
            Ok(status) => vec![format!("status {status}")],
            Err(error) => {
                self.connections.remove(target);
                let mut shared = shared.lock().expect("no client panics");
                shared.tally.unanswered += 1;
                say(self.number, target, "unanswered", &error.to_string());
                return;
            }
        };
        for fault in &faults {
            say(self.number, target, "fault", fault);
        }
        let mut shared = shared.lock().expect("no client panics");
        shared.tally.scrapes += 1;
        shared.tally.bytes += self.page.len() as u64;
        shared.tally.faults += faults.len() as u64;
        shared.tally.seconds.push(seconds);
    }

    /// Gets the page into `self.page`, over a connection that is kept; its
    /// status.
    fn fetch(&mut self, target: &str, format: Format) -> io::Result<u16> {
        if !self.connections.contains_key(target) {
            let stream = TcpStream::connect(target)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_nodelay(true)?;
            self.connections
                .insert(target.to_owned(), BufReader::new(stream));
        }
        let connection = self.connections.get_mut(target).expect("it was just made");
        let accept = match format {
            Format::OpenMetrics => "application/openmetrics-text;version=1.0.0",
            _ => "text/plain;version=0.0.4",
        };
        let request =
            format!("GET /metrics HTTP/1.1\r\nHost: {target}\r\nAccept: {accept}\r\n\r\n");
        connection.get_mut().write_all(request.as_bytes())?;

        let unlike_http = || io::Error::other("this is no HTTP response");
        let (mut status, mut length, mut line) = (None, None, String::new());
        loop {
            line.clear();
            if connection.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            match line.split_once(": ") {
                Some(("Content-Length", value)) => length = value.parse().ok(),
                None => status = line.split(' ').nth(1).and_then(|code| code.parse().ok()),
                Some(_) => {}
            }
        }
        let length: usize = length.ok_or_else(unlike_http)?;
        self.page.resize(length, 0);
        connection.read_exact(&mut self.page)?;
        status.ok_or_else(unlike_http)
    }

    /// The faults of a page, by itself and compared with the previous one.
    fn faults(&mut self, target: &str, format: Format) -> Vec<String> {
        let mut faults = Vec::new();
        if let Err(error) = validate(&self.page, format) {
            let place = error.position(&self.page);
            faults.push(format!("malformed: {error}, at {place:?}"));
        }
        let mut now = match counters(&self.page, format) {
            Ok(now) => now,
            Err(_) => return faults,
        };
        if let Some(before) = self.before.get(target)
            && before.process == now.process
        {
            let text = |series: &[u8]| String::from_utf8_lossy(series).into_owned();
            for (name, value, was) in paired(&now.values, &before.values)
                .chain(paired(&now.by_prefix, &before.by_prefix))
                .map(|(series, value, was)| (text(series), value, was))
            {
                if value < was {
                    faults.push(format!("{name} fell from {was} to {value}"));
                }
            }
            for (name, value, last) in paired(&now.sums, &before.sums) {
                let earlier = before.earlier.each_ref().map(|sums| sums.get(name));
                let [Some(first), Some(second)] = earlier else {
                    continue;
                };
                let was = first.min(*second);
                if value.max(last) < was * (1.0 - ROUNDING) {
                    faults.push(format!("the sum of {name} fell from {was} to {value}"));
                }
            }
            let is_gone = |name: &&String| !now.sums.contains_key(*name);
            if let Some(name) = before.sums.keys().find(is_gone) {
                faults.push(format!("the sum of {name} is gone"));
            }
            if let Some(series) = before.values.keys().find(|series| is_lost(series, &now)) {
                faults.push(format!("{} is gone", String::from_utf8_lossy(series)));
            }
        }
        if let Some(before) = self.before.remove(target)
            && before.process == now.process
        {
            let [second, _] = before.earlier;
            now.earlier = [before.sums, second];
        }
        self.before.insert(target.to_owned(), now);
        faults
    }
}

/// The values of what is in both, the newer one first.
fn paired<'a, K: Eq + std::hash::Hash>(
    now: &'a HashMap<K, f64>,
    before: &'a HashMap<K, f64>,
) -> impl Iterator<Item = (&'a K, f64, f64)> {
    now.iter()
        .filter_map(|(series, &value)| Some((series, value, *before.get(series)?)))
}

/// Whether a counter has left the page that should stay as long as its process.
fn is_lost(series: &[u8], now: &Counters) -> bool {
    // A semaphore takes its counters with it when it is closed.
    !series.starts_with(b"dask_semaphore_") && !now.values.contains_key(series)
}

/// Everything on a page that must not fall, by series.
fn counters(page: &[u8], format: Format) -> Result<Counters, Error> {
    let mut counters = Counters::default();
    let mut kind = MetricType::Unknown;
    let mut parser = parse(page, format);
    while let Some(event) = parser.next_ref() {
        match event? {
            (
                _,
                Event::Type {
                    metric_type: of_family,
                    ..
                },
            ) => kind = of_family,
            (line, Event::Sample(sample)) => {
                let name = sample.name();
                if name == "process_start_time_seconds" {
                    counters.process = sample.value();
                }
                let counts = match kind {
                    MetricType::Counter => true,
                    // In OpenMetrics, a counter whose bare name a gauge has.
                    MetricType::Unknown => name.ends_with("_total"),
                    MetricType::Histogram | MetricType::Summary => ["_bucket", "_count", "_sum"]
                        .iter()
                        .any(|end| name.ends_with(end)),
                    _ => false,
                };
                if counts {
                    // The line up to its value is the series, written the same
                    // way on each page of a process.
                    let value = sample.value_text().as_ptr() as usize - page.as_ptr() as usize;
                    let series = page[line.offset..value].trim_ascii_end();
                    // But for whole bounds, which are 1 in text and 1.0 in OpenMetrics.
                    let series = series.strip_suffix(b".0\"}").unwrap_or(series);
                    let series = series.strip_suffix(b"\"}").unwrap_or(series);
                    if sample.label(PREFIX).is_none_or(|prefix| prefix.is_empty()) {
                        counters.values.insert(series.into(), sample.value());
                        continue;
                    }
                    counters.by_prefix.insert(series.into(), sample.value());
                    let mut name = name.into_owned();
                    for label in sample.labels().filter(|label| label.name != PREFIX) {
                        write!(name, " {}={:?}", label.name, label.value).expect("a String");
                    }
                    *counters.sums.entry(name).or_default() += sample.value();
                }
            }
            _ => {}
        }
    }
    Ok(counters)
}

/// A line of JSON.
fn say(client: usize, target: &str, what: &str, detail: &str) {
    let mut escaped = String::new();
    for character in detail.chars() {
        match character {
            '"' | '\\' => {
                escaped.push('\\');
                escaped.push(character);
            }
            control if control < ' ' => {
                let _ = write!(escaped, "\\u{:04x}", u32::from(control));
            }
            other => escaped.push(other),
        }
    }
    println!("{{\"{what}\": \"{escaped}\", \"target\": \"{target}\", \"client\": {client}}}");
}
