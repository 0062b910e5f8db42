//! The contents of the scraped page, parsed once before and once after the scrapes.

use super::super::protobuf;
use std::time::{Duration, Instant};
use stethoscope::exposition::parser::{Event, Options, parse};
use stethoscope::exposition::{ContentType, Format};

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
    pub(super) is_protobuf: bool,
}

impl Page {
    /// Parses a page as the Prometheus server would. The error shows the line.
    pub(super) fn parse(text: &[u8], content_type: &str) -> Result<Self, String> {
        let format = ContentType::from_header(content_type).format;
        if format == Format::Protobuf {
            return Self::parse_protobuf(text);
        }
        let options = Options::lenient(format);
        let mut page = Self {
            bytes: text.len(),
            families: 0,
            samples: 0,
            cpu: None,
            parse: Duration::ZERO,
            is_protobuf: false,
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
        page.parse = median(|| {
            let mut parser = parse(text, options);
            while let Some(event) = parser.next_ref() {
                std::hint::black_box(&event).as_ref().ok();
            }
        });
        Ok(page)
    }

    fn parse_protobuf(page: &[u8]) -> Result<Self, String> {
        let contents = protobuf::read(page, |_| ())?;
        Ok(Self {
            bytes: page.len(),
            families: contents.families,
            samples: contents.samples,
            cpu: contents.cpu,
            parse: median(|| {
                std::hint::black_box(protobuf::read(page, |family| {
                    std::hint::black_box(family);
                }))
                .ok();
            }),
            is_protobuf: true,
        })
    }
}

/// The median time of a function.
fn median(f: impl Fn()) -> Duration {
    let mut times = [(); PARSES].map(|()| {
        let begun = Instant::now();
        f();
        begun.elapsed()
    });
    times.sort();
    times[PARSES / 2]
}
