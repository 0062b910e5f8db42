//! `stethoscope bench`: measures what a scrape of an endpoint costs.
//!
//! ```text
//! URL ──> probe: plain and compressed, parsed ──┐
//!         scrapes, in turn if there are two ────┼──> report: text, JSON, SVG
//!         probe again, for what changed ────────┘        └── verdict against a baseline
//! ```
//!
//! While scrapes are timed, only the response's head is looked at.

mod baseline;
mod page;
mod plot;
mod report;

use super::check::protobuf_accept;
use super::fetch_error::{FetchError, unusable_response};
use super::http::{Client, Deadline, Head, Url};
use super::server::Server;
use super::source::{self, PageRequest};
use super::units::{duration, size};
use super::{REFUSED, UsageError, output};
use baseline::{Comparison, Run};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use page::Page;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Scrapes an endpoint for a while and reports what a scrape costs.
///
/// Scrapes follow one another over one connection, if the server keeps it.
///
/// Exit codes: 0, every scrape was answered. 1, some were not, or the cost is above
/// --fail-above. 2, the endpoint can't be scraped, or a file can't be read or
/// written.
#[derive(Args)]
pub(super) struct Bench {
    /// The endpoint: http://host:port/path. The default path is /metrics.
    url: String,
    /// Another endpoint, scraped in turn with the first, to compare.
    #[arg(long, value_name = "URL")]
    against: Option<String>,
    /// Scrapes per second of each endpoint. Without it, each scrape begins when the
    /// previous one ends.
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// How long to scrape: 10s, 500ms, 2m.
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = duration)]
    how_long: Duration,
    /// How long one scrape may take.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// The largest page, compressed or not.
    #[arg(long, value_name = "SIZE", default_value = "512MiB", value_parser = size)]
    max_page: u64,
    /// Ask for compressed pages.
    #[arg(long)]
    gzip: bool,
    /// Ask for protobuf pages.
    #[arg(long)]
    protobuf: bool,
    /// Save the run to a file, for --baseline.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Compare with a run that was saved. The interval of the ratio covers the noise
    /// of both runs and the difference of the machine's speed.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Exit with 1 if the median is surely more than this above the baseline's, for
    /// example 10%.
    #[arg(long, value_name = "PERCENT", requires = "baseline", value_parser = percent)]
    fail_above: Option<f64>,
    /// Draw the distributions of the latencies to an SVG file.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// The pause after a scrape without an answer, at first and at most. It doubles each
/// time, so that a server that is down is left in peace.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

const EMPTY_PAGE: &str = "the page is empty";

/// An endpoint, and its measurements.
struct Target {
    url: Url,
    client: Client,
    /// The largest page.
    max_page: u64,
    /// The body of the last response.
    body: Vec<u8>,
    page: Page,
    first: Head,
    /// The bytes of the compressed page; `None` if the server does not compress.
    compressed: Option<usize>,
    scrapes: Vec<TimedScrape>,
    /// The failures, each with its count.
    failures: Vec<(String, usize)>,
    /// The pause if the next scrape fails too.
    pause: Duration,
    /// The time spent on scrapes.
    elapsed: Duration,
    /// The server's processor time in seconds, from the first probe to the last.
    cpu: Option<f64>,
    /// The samples on the page at the end.
    samples_at_end: usize,
}

/// A scrape that was answered.
#[derive(Clone, Copy)]
struct TimedScrape {
    /// The latency, from when the scrape was due.
    whole: Duration,
    /// The part of it that was waiting for the first byte.
    first_byte: Duration,
    bytes: usize,
}

impl Bench {
    pub(super) fn run(self) -> Result<ExitCode, UsageError> {
        let earlier = (self.baseline.as_deref()).map(Run::load).transpose()?;
        for file in [&self.save, &self.plot].into_iter().flatten() {
            check_writable(file)?;
        }
        let mut targets = Vec::new();
        for text in [Some(&self.url), self.against.as_ref()]
            .into_iter()
            .flatten()
        {
            let url = Url::parse(text).map_err(|why| UsageError::new(format!("{text}: {why}")))?;
            targets.push(Target::probe(url, &self)?);
        }
        let calibration = baseline::calibrate();
        self.scrape(&mut targets);
        let calibration = calibration.min(baseline::calibrate());
        for target in &mut targets {
            target.probe_again();
        }
        let run = Run::of(&targets[0], self.gzip, calibration);
        let compared = (earlier.as_ref())
            .map(|earlier| Comparison::new(earlier, &run, self.fail_above))
            .transpose();
        let comparison = compared.as_ref().ok().and_then(Option::as_ref);
        // The report comes first: it took a while, and writing a file may fail.
        if self.json {
            output::println(report::json(&targets, self.gzip, comparison));
        } else {
            let text = report::text(&targets, self.gzip, self.rate, comparison);
            output::print_lines(text.strip_suffix('\n').unwrap_or(&text));
        }
        let saved = (self.save.as_deref()).map_or(Ok(()), |path| run.save(path));
        let drawn = (self.plot.as_deref())
            .map_or(Ok(()), |path| plot::draw(path, &targets, earlier.as_ref()));
        let comparison = compared?;
        saved.and(drawn)?;
        let has_failed = targets.iter().any(|target| !target.failures.is_empty())
            || comparison.is_some_and(|comparison| comparison.is_above());
        Ok(if has_failed {
            ExitCode::from(REFUSED)
        } else {
            ExitCode::SUCCESS
        })
    }

    /// Scrapes the targets in turn, until the time is over.
    fn scrape(&self, targets: &mut [Target]) {
        let bar = ProgressBar::new(self.how_long.as_millis() as u64);
        let style = ProgressStyle::with_template("{bar:40} {msg}");
        bar.set_style(style.expect("a template of known keys"));
        let begun = Instant::now();
        for turn in 0u32.. {
            let due = self.rate.map(|rate| f64::from(turn) / rate);
            if begun.elapsed() >= self.how_long
                || due.is_some_and(|due| due >= self.how_long.as_secs_f64())
            {
                break;
            }
            let due = due.map(|due| begun + Duration::from_secs_f64(due));
            if let Some(due) = due {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            // A scrape that begins late because earlier ones were slow is slow, too.
            // That the other target is scraped first does not count.
            let late = due.map_or(Duration::ZERO, |due| Instant::now() - due);
            for target in targets.iter_mut() {
                let pause = target.scrape(self.gzip, late);
                // With a rate, the rate paces them.
                if self.rate.is_none() {
                    let left = self.how_long.saturating_sub(begun.elapsed());
                    std::thread::sleep(pause.min(left));
                }
            }
            bar.set_position(begun.elapsed().as_millis() as u64);
            if turn % 16 == 0 {
                let done: usize = targets.iter().map(|target| target.scrapes.len()).sum();
                bar.set_message(format!("{done} scrapes"));
            }
        }
        bar.finish_and_clear();
    }
}

impl Target {
    /// Scrapes a plain and a compressed page, and parses the page.
    fn probe(url: Url, bench: &Bench) -> Result<Self, UsageError> {
        let text = url.text.clone();
        let request = PageRequest {
            accept: match bench.protobuf {
                true => protobuf_accept(),
                false => Server::V3.accept().to_owned(),
            },
            gzip: true,
            timeout: bench.timeout,
            protobuf: bench.protobuf,
            server: None,
        };
        let (url, mut client, compressed) = source::follow(&text, url, &request, None)?;
        if url.text != text {
            let there = &url.text;
            output::eprintln(format_args!(
                "{text}: warning: redirected to {there}: only that URL is measured, but the \
                 Prometheus server follows the redirect at each scrape"
            ));
        }
        let mut body = Vec::new();
        let unusable = |why: String| UsageError::new(format!("{}: {why}", url.text));
        let no_answer = |error: FetchError| unusable(error.to_string());
        if let Some(why) = compressed.encoding_fault() {
            return Err(unusable(why));
        }
        read_body(&mut client, &compressed, bench.max_page, &mut body).map_err(no_answer)?;
        let compressed_len = body.len();
        let plain = client.get(false).map_err(no_answer)?;
        read_body(&mut client, &plain, bench.max_page, &mut body).map_err(no_answer)?;
        let limits = (bench.max_page, client.deadline());
        let page = parse(&plain, &body, limits, bench.protobuf);
        let page = page.map_err(|why| match why.split_once('\n') {
            Some((why, excerpt)) => UsageError {
                excerpt: Some(excerpt.to_owned()),
                ..unusable(why.to_owned())
            },
            None => unusable(why),
        })?;
        if bench.protobuf && !page.is_protobuf {
            let found = plain.content_type.as_deref().unwrap_or_default();
            return Err(unusable(format!("asked for protobuf, got {found:?}")));
        }
        Ok(Self {
            compressed: compressed.is_gzip().then_some(compressed_len),
            first: if bench.gzip { compressed } else { plain },
            samples_at_end: page.samples,
            page,
            client,
            max_page: bench.max_page,
            body,
            scrapes: Vec::new(),
            failures: Vec::new(),
            pause: SHORTEST_PAUSE,
            elapsed: Duration::ZERO,
            cpu: None,
            url,
        })
    }

    /// Scrapes once. Returns how long to leave the server in peace afterwards.
    fn scrape(&mut self, gzip: bool, late: Duration) -> Duration {
        let begun = Instant::now();
        let response = self.get(gzip);
        let whole = begun.elapsed();
        self.elapsed += whole;
        let head = match response {
            Ok(head) => head,
            Err(error) => {
                self.failed(error.to_string());
                let longer = (2 * self.pause).min(LONGEST_PAUSE);
                return std::mem::replace(&mut self.pause, longer);
            }
        };
        self.pause = SHORTEST_PAUSE;
        match self.difference(&head) {
            Some(why) => self.failed(why),
            None => self.scrapes.push(TimedScrape {
                whole: late + whole,
                first_byte: late + head.first_byte,
                bytes: self.body.len(),
            }),
        }
        Duration::ZERO
    }

    /// Requests the page and reads its body.
    fn get(&mut self, gzip: bool) -> Result<Head, FetchError> {
        let head = self.client.get(gzip)?;
        read_body(&mut self.client, &head, self.max_page, &mut self.body)?;
        Ok(head)
    }

    /// Returns how a response differs from the first one.
    fn difference(&self, head: &Head) -> Option<String> {
        if head.status != 200 {
            return Some(format!("answered {}", head.status));
        }
        if self.body.is_empty() {
            return Some(EMPTY_PAGE.to_owned());
        }
        if head.content_type != self.first.content_type {
            let name = |head: &Head| head.content_type.clone().unwrap_or("none".to_owned());
            let (was, is) = (name(&self.first), name(head));
            return Some(format!("the Content-Type changed from {was} to {is}"));
        }
        if let Some(why) = head.encoding_fault() {
            return Some(why);
        }
        if head.is_gzip() != self.first.is_gzip() {
            let now = if head.is_gzip() {
                "compressed"
            } else {
                "plain"
            };
            return Some(format!("the encoding changed: the page came {now}"));
        }
        None
    }

    fn failed(&mut self, why: String) {
        match self.failures.iter_mut().find(|(known, _)| *known == why) {
            Some((_, times)) => *times += 1,
            None => self.failures.push((why, 1)),
        }
    }

    /// Scrapes and parses the page once more, to see what changed.
    fn probe_again(&mut self) {
        let head = self.get(false).map_err(|error| error.to_string());
        let limits = (self.max_page, self.client.deadline());
        match head.and_then(|head| parse(&head, &self.body, limits, self.page.is_protobuf)) {
            Ok(page) => {
                self.samples_at_end = page.samples;
                self.cpu = page
                    .cpu
                    .zip(self.page.cpu)
                    .map(|(after, before)| after - before);
            }
            Err(why) => self.failed(format!("at the end: {why}")),
        }
    }
}

/// Checks that a file can be written, and leaves it as it is.
fn check_writable(path: &Path) -> Result<(), UsageError> {
    let mut options = File::options();
    let opened = match fs::metadata(path) {
        Ok(found) if found.is_file() || found.is_dir() => options.write(true).open(path).map(drop),
        // A pipe or a device, which opening may change.
        Ok(_) => Ok(()),
        // A link to a file that is to be made.
        Err(_) if path.is_symlink() => Ok(()),
        Err(_) => {
            let made = options.write(true).create_new(true).open(path);
            made.and_then(|_| fs::remove_file(path))
        }
    };
    opened.map_err(|error| UsageError::new(format!("{}: {error}", path.display())))
}

/// Reads the body of the last response, at most `max_page` bytes.
fn read_body(
    client: &mut Client,
    head: &Head,
    max_page: u64,
    body: &mut Vec<u8>,
) -> Result<(), FetchError> {
    body.clear();
    if head.content_length.is_some_and(|length| length > max_page) {
        return Err(FetchError::PageTooLarge(max_page));
    }
    let read = client.by_ref().take(max_page + 1).read_to_end(body);
    read.map_err(FetchError::from_io)?;
    if body.len() as u64 > max_page {
        return Err(FetchError::PageTooLarge(max_page));
    }
    Ok(())
}

/// Parses a page, or returns the reason why it is not one. `limits` are those of its
/// length and of the time to decompress it.
fn parse(
    head: &Head,
    body: &[u8],
    limits: (u64, Deadline),
    protobuf: bool,
) -> Result<Page, String> {
    let content_type = head.content_type.as_deref().unwrap_or_default();
    if let Some(why) = unusable_response(head.status, content_type, protobuf, None) {
        return Err(why);
    }
    if let Some(why) = head.encoding_fault() {
        return Err(why);
    }
    let decompressed;
    let text = if head.is_gzip() {
        decompressed = decompress(body, limits).map_err(|error| error.to_string())?;
        &decompressed[..]
    } else {
        body
    };
    if text.is_empty() {
        return Err(EMPTY_PAGE.to_owned());
    }
    Page::parse(text, content_type)
        .map_err(|error| format!("this is not a page of Prometheus metrics:\n{error}"))
}

/// Decompresses a body, to at most `max_page` bytes, until the deadline.
fn decompress(gzip: &[u8], (max_page, deadline): (u64, Deadline)) -> Result<Vec<u8>, FetchError> {
    /// The bytes from one look at the clock to the next.
    const PIECE: u64 = 1 << 20;
    let mut page = Vec::new();
    let mut decoder = flate2::bufread::MultiGzDecoder::new(gzip);
    loop {
        deadline.check()?;
        match decoder.by_ref().take(PIECE).read_to_end(&mut page) {
            Ok(0) => return Ok(page),
            Ok(_) if page.len() as u64 > max_page => {
                return Err(FetchError::PageTooLarge(max_page));
            }
            Ok(_) => {}
            Err(_) => {
                let why = "the body is labelled gzip, but can't be decompressed";
                return Err(FetchError::BadGzip(why.to_owned()));
            }
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        _ => Err("invalid rate: expected a number above 0".to_owned()),
    }
}

/// Parses `10%` or `10` and returns a share, 0.1.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    match number.trim().parse::<f64>() {
        Ok(percent) if percent >= 0.0 && percent.is_finite() => Ok(percent / 100.0),
        _ => Err("invalid share: expected a percentage, for example 10%".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn bodies_are_decompressed_within_their_limits() {
        let page = vec![b'\n'; 3 << 20];
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&page).unwrap();
        let gzip = encoder.finish().unwrap();
        let soon = Deadline::after(Duration::from_secs(3600));
        let decompress = |limits| decompress(&gzip, limits);
        assert_eq!(decompress((3 << 20, soon)).unwrap(), page);
        assert!(matches!(
            decompress(((3 << 20) - 1, soon)),
            Err(FetchError::PageTooLarge(_))
        ));
        assert!(matches!(
            decompress((3 << 20, Deadline::after(Duration::ZERO))),
            Err(FetchError::TimedOut(_))
        ));
    }
}
