//! The contents of the scraped page, parsed once before and once after the scrapes.

use std::time::{Duration, Instant};
use stethoscope::exposition::ContentType;
use stethoscope::exposition::parser::{Event, Options, parse};

/// The number of times that a page is parsed, for the median.
const PARSES: usize = 5;

pub(super) struct Page {
    pub(super) bytes: usize,
    pub(super) families: usize,
    pub(super) samples: usize,
    /// The server's `process_cpu_seconds_total`.
    pub(super) cpu: Option<f64>,
    /// The time that this tool takes to parse it.
    pub(super) parse: Duration,
}

impl Page {
    /// Parses a page as the Prometheus server would. The error shows the line.
    pub(super) fn parse(text: &[u8], content_type: &str) -> Result<Self, String> {
        let options = Options::lenient(ContentType::from_header(content_type).format);
        let mut page = Self {
            bytes: text.len(),
            families: 0,
            samples: 0,
            cpu: None,
            parse: Duration::ZERO,
        };
        for event in parse(text, options) {
            match event.map_err(|error| error.display_in(text).to_string())? {
                Event::Type { .. } => page.families += 1,
                Event::Sample(sample) => {
                    page.samples += 1;
                    if sample.name() == "process_cpu_seconds_total" {
                        page.cpu = Some(sample.value());
                    }
                }
                _ => {}
            }
        }
        let mut times = [(); PARSES].map(|()| {
            let begun = Instant::now();
            let mut parser = parse(text, options);
            while let Some(event) = parser.next_ref() {
                std::hint::black_box(&event).as_ref().ok();
            }
            begun.elapsed()
        });
        times.sort();
        page.parse = times[PARSES / 2];
        Ok(page)
    }
}
