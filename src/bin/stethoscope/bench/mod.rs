//! `stethoscope bench`: what does a scrape of this endpoint cost?
//!
//! ```text
//! URL ──> probe: plain and compressed, parsed ──┐
//!         scrapes, in turn where there are two ─┼──> report: words or JSON
//!         probe again: what has changed ────────┘
//! ```
//!
//! While scrapes are timed nothing but the answer's head is looked at.

mod client;
mod page;
mod report;

use super::duration::duration;
use super::failure::{FetchError, unfit};
use super::{REFUSED, UsageError, output};
use clap::Args;
use client::{Answer, Client, Url};
use indicatif::{ProgressBar, ProgressStyle};
use page::Page;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What a Prometheus server of today asks for.
const ACCEPT: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
    application/openmetrics-text;version=0.0.1;q=0.5,\
    text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

/// Scrapes an endpoint for a while and says what a scrape costs.
///
/// One scrape after the other, over one connection where the server keeps it.
/// Exit code 0: all were answered. 1: some were not. 2: it can't be scraped.
#[derive(Args)]
pub(super) struct Bench {
    /// Where the metrics are: http://host:port/path. The path is /metrics if none
    /// is given.
    url: String,
    /// Another endpoint, scraped in turn with the first, to compare.
    #[arg(long, value_name = "URL")]
    against: Option<String>,
    /// Scrapes a second of each endpoint. Without it the next scrape begins when
    /// the one before has ended.
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// How long: 10s, 500ms, 2m.
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = duration)]
    how_long: Duration,
    /// How long one scrape may take.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// Ask for compressed pages.
    #[arg(long)]
    gzip: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// How long to wait after a scrape without an answer: at first, and at most, if
/// there is none again and again. A server that has gone is not hammered at.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// An endpoint, and all that was seen of it.
struct Target {
    url: Url,
    client: Client,
    page: Page,
    first: Answer,
    /// Bytes of the compressed page; `None`: it does not compress.
    compressed: Option<usize>,
    answers: Vec<Timed>,
    /// What went wrong, and how often.
    failures: Vec<(String, usize)>,
    /// How long to wait if the next scrape has no answer either.
    pause: Duration,
    /// When nothing else happened on the clock: the time of the scrapes.
    elapsed: Duration,
    /// Seconds of the server's processor time, from the first probe to the last.
    cpu: Option<f64>,
    /// Samples on the page at the end.
    samples_at_end: usize,
}

/// A scrape that was answered.
#[derive(Clone, Copy)]
struct Timed {
    /// From when it was due.
    whole: Duration,
    /// The share of it that was waiting for the first byte.
    first_byte: Duration,
    bytes: usize,
}

impl Bench {
    pub(super) fn run(self) -> Result<ExitCode, UsageError> {
        let mut targets = Vec::new();
        for url in [Some(&self.url), self.against.as_ref()]
            .into_iter()
            .flatten()
        {
            targets.push(Target::probe(Url::new(url)?, self.gzip, self.timeout)?);
        }
        self.scrape(&mut targets);
        for target in &mut targets {
            target.probe_again();
        }
        if self.json {
            output::report(report::json(&targets, self.gzip));
        } else {
            let text = report::text(&targets, self.gzip, self.rate);
            output::report(text.strip_suffix('\n').unwrap_or(&text));
        }
        let failed = targets.iter().any(|target| !target.failures.is_empty());
        Ok(if failed {
            ExitCode::from(REFUSED)
        } else {
            ExitCode::SUCCESS
        })
    }

    /// Scrapes everyone in turn, until the time is over.
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
            // Scrapes that begin late because of those before them are slow all
            // the same; that the other endpoint is asked first counts for nothing.
            let late = due.map_or(Duration::ZERO, |due| Instant::now() - due);
            for target in targets.iter_mut() {
                let pause = target.scrape(self.gzip, late);
                // A rate paces them already.
                if self.rate.is_none() {
                    let left = self.how_long.saturating_sub(begun.elapsed());
                    std::thread::sleep(pause.min(left));
                }
            }
            bar.set_position(begun.elapsed().as_millis() as u64);
            if turn % 16 == 0 {
                let done: usize = targets.iter().map(|target| target.answers.len()).sum();
                bar.set_message(format!("{done} scrapes"));
            }
        }
        bar.finish_and_clear();
    }
}

impl Target {
    /// Scrapes both ways, and reads the page.
    fn probe(url: Url, gzip: bool, timeout: Duration) -> Result<Self, UsageError> {
        let unusable = |why: String| UsageError(format!("{}: {why}", url.text));
        let no_answer = |failure: FetchError| unusable(failure.to_string());
        let mut client = Client::new(&url, ACCEPT, timeout).map_err(no_answer)?;
        let compressed = client.get(true).map_err(no_answer)?;
        let plain = client.get(false).map_err(no_answer)?;
        let page = read(&client, &plain).map_err(unusable)?;
        Ok(Self {
            first: if gzip { compressed.clone() } else { plain },
            compressed: compressed.gzip.then_some(compressed.bytes),
            samples_at_end: page.samples,
            page,
            client,
            answers: Vec::new(),
            failures: Vec::new(),
            pause: SHORTEST_PAUSE,
            elapsed: Duration::ZERO,
            cpu: None,
            url,
        })
    }

    /// One scrape; gives back how long to leave the server in peace after it.
    fn scrape(&mut self, gzip: bool, late: Duration) -> Duration {
        let begun = Instant::now();
        let answer = self.client.get(gzip);
        self.elapsed += begun.elapsed();
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) => {
                self.failed(failure.to_string());
                let longer = (2 * self.pause).min(LONGEST_PAUSE);
                return std::mem::replace(&mut self.pause, longer);
            }
        };
        self.pause = SHORTEST_PAUSE;
        match self.differs(&answer) {
            Some(why) => self.failed(why),
            None => self.answers.push(Timed {
                whole: late + answer.whole,
                first_byte: late + answer.first_byte,
                bytes: answer.bytes,
            }),
        }
        Duration::ZERO
    }

    /// How an answer is not of the kind that the first one was.
    fn differs(&self, answer: &Answer) -> Option<String> {
        if answer.status != 200 {
            return Some(format!("answered {}", answer.status));
        }
        if answer.content_type != self.first.content_type {
            let (was, is) = (&self.first.content_type, &answer.content_type);
            return Some(format!("changed its mind: the page was {was} and is {is}"));
        }
        if answer.gzip != self.first.gzip {
            let now = if answer.gzip { "compressed" } else { "plain" };
            return Some(format!("changed its mind: the page came {now}"));
        }
        None
    }

    fn failed(&mut self, why: String) {
        match self.failures.iter_mut().find(|(known, _)| *known == why) {
            Some((_, times)) => *times += 1,
            None => self.failures.push((why, 1)),
        }
    }

    /// Looks at the page once more, for what has changed meanwhile.
    fn probe_again(&mut self) {
        let page = self
            .client
            .get(false)
            .map_err(|failure| failure.to_string());
        match page.and_then(|answer| read(&self.client, &answer)) {
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

/// Reads the page that the client has, or says why it is none.
fn read(client: &Client, answer: &Answer) -> Result<Page, String> {
    if let Some(why) = unfit(answer.status, &answer.content_type) {
        return Err(why);
    }
    let decompressed;
    let text = if answer.gzip {
        decompressed = client::decompress(client.body()).map_err(|failure| failure.to_string())?;
        &decompressed
    } else {
        client.body()
    };
    Page::read(text, &answer.content_type)
        .map_err(|error| format!("this is no page of Prometheus metrics:\n{error}"))
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        _ => Err("it must be a number above 0".to_owned()),
    }
}
