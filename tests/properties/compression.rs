//! The compressed page is the plain page, byte for byte, by two independent
//! decompressors: for any registry, after any updates, additions and removals.

use std::io::Read;
use stethoscope::cell::{Buckets, Counter, ExemplarLabels, FloatGauge, Histogram, WithExemplars};
use stethoscope::exposition::{ContentType, Escaping, Format};
use stethoscope::family::Family;
use stethoscope::{Registry, Scraper};

/// Decompresses by zlib's algorithm, as flate2 has it.
pub(crate) fn by_flate2(compressed: &[u8]) -> Vec<u8> {
    let mut page = Vec::new();
    let mut decoder = flate2::bufread::GzDecoder::new(compressed);
    decoder.read_to_end(&mut page).expect("valid gzip");
    assert!(decoder.into_inner().is_empty(), "something follows");
    page
}

/// Decompresses a page of a known length by libdeflate.
pub(crate) fn by_libdeflate(compressed: &[u8], len: usize) -> Vec<u8> {
    let mut page = vec![0; len];
    let mut decompressor = libdeflater::Decompressor::new();
    let written = decompressor.gzip_decompress(compressed, &mut page);
    assert_eq!(written, Ok(len));
    page
}

/// Scrapes a compressed page and compares it with a plain one of another scraper.
pub(crate) fn assert_same_page(
    registry: &Registry,
    scraper: &mut Scraper,
    content_type: ContentType,
) {
    let plain = registry.scraper().scrape(content_type).to_vec();
    let mut compressed = b"before".to_vec();
    scraper.scrape_gzip_into(content_type, &mut compressed);
    let compressed = compressed.strip_prefix(b"before").expect("kept");
    assert!(by_flate2(compressed) == plain, "{content_type:?}");
    assert!(by_libdeflate(compressed, plain.len()) == plain);
}

/// Every content type that has pages of its own.
pub(crate) const CONTENT_TYPES: [ContentType; 7] = [
    ContentType::new(Format::Text, Escaping::Underscores),
    ContentType::new(Format::Text1, Escaping::AllowUtf8),
    ContentType::new(Format::OpenMetrics, Escaping::Underscores),
    ContentType::new(Format::OpenMetrics, Escaping::AllowUtf8),
    ContentType::new(Format::OpenMetrics, Escaping::Values),
    ContentType::new(Format::OpenMetrics2, Escaping::Underscores),
    ContentType::new(Format::OpenMetrics2, Escaping::AllowUtf8),
];

struct Subject {
    registry: Registry,
    counters: Family<Counter>,
    gauges: Vec<Family<FloatGauge>>,
    histograms: Family<Histogram>,
    exemplars: Family<WithExemplars<Counter>>,
}

impl Subject {
    fn new() -> Self {
        let registry = Registry::new().with_utf8_names();
        let counters = registry.family("requests", "Requests, by \"path\".\nAnd more.");
        let counters = counters.labels(["path", "größe"]).created_timestamps();
        let histograms = registry.family("seconds", "").labels(["path"]);
        let buckets = Buckets::new([0.1, 1.0, 10.0]).expect("ascending");
        Self {
            counters: counters.register().expect("new"),
            histograms: histograms.options(buckets).register().expect("new"),
            exemplars: registry
                .family("failures", "Failures.")
                .labels(["path"])
                .register()
                .expect("new"),
            gauges: Vec::new(),
            registry,
        }
    }

    /// Changes something, as the next bytes say; returns false at their end.
    fn change(&mut self, next: &mut impl FnMut() -> Option<u8>) -> bool {
        let (Some(what), Some(which), Some(value)) = (next(), next(), next()) else {
            return false;
        };
        let path = path(which);
        let path = path.as_str();
        let float = float(value);
        let trace = ExemplarLabels::new([("trace", "0af7651916cd43dd")]).expect("short");
        match what % 16 {
            0 => {
                let name = format!("g{}.{}", self.gauges.len(), path.len() % 7);
                let family = self.registry.family(&name, path).labels(["path"]);
                self.gauges.extend(family.register());
            }
            1 => {
                if !self.gauges.is_empty() {
                    let at = usize::from(which) % self.gauges.len();
                    let family = self.gauges.remove(at);
                    self.registry.unregister(&family.descriptor().full_name());
                }
            }
            2 | 3 => {
                for n in 0..u32::from(value % 48) {
                    let size = format!("{}", n * u32::from(which));
                    self.counters.with([path, &size]).expect("labels").inc();
                }
            }
            4 => {
                self.counters.remove([path, "0"]);
                self.histograms.remove([path]);
            }
            5 => {
                for n in 0..u64::from(value % 48) {
                    let size = format!("{}", n * u64::from(which));
                    let counter = self.counters.with([path, &size]).expect("labels");
                    counter.inc_by(n << (which % 50));
                }
            }
            6 | 7 => {
                let histogram = self.histograms.with([path]).expect("labels");
                (0..value % 48).for_each(|n| histogram.observe(f64::from(n) / 7.0));
            }
            8 => {
                let failures = self.exemplars.with([path]).expect("labels");
                failures.inc_by_with_exemplar(1, &trace);
            }
            9 => {
                self.exemplars.remove([path]);
            }
            _ => {
                for family in &self.gauges {
                    family.with([path]).expect("labels").set(float);
                    family.with(["same"]).expect("labels").set(float);
                }
            }
        }
        true
    }
}

fn path(byte: u8) -> String {
    match byte % 8 {
        0 => String::new(),
        1 => "\u{1f980}\"\\\n".repeat(usize::from(byte)),
        2 => "/a/b/".repeat(usize::from(byte)),
        3 => "x".repeat(usize::from(byte) * 40),
        _ => format!("/api/{byte}"),
    }
}

fn float(byte: u8) -> f64 {
    match byte % 8 {
        0 => 0.0,
        1 => f64::NAN,
        2 => f64::NEG_INFINITY,
        3 => -1.234_567_890_123_456_7e-300,
        4 => 1.0 / f64::from(byte),
        5 => 1e300 * f64::from(byte),
        _ => f64::from(byte),
    }
}

/// Makes and changes a registry as the bytes say, and compares its pages.
pub(crate) fn holds(bytes: &[u8]) {
    let mut subject = Subject::new();
    let mut scraper = subject.registry.scraper();
    let mut bytes = bytes.iter().copied();
    let mut next = || bytes.next();
    let mut page = Vec::new();
    while let Some(pace) = next() {
        for _ in 0..=pace % 4 {
            subject.change(&mut next);
        }
        let content_type = CONTENT_TYPES[usize::from(pace / 4) % CONTENT_TYPES.len()];
        match pace / 32 {
            // Some pages are not compressed, and some are not whole.
            0 => _ = scraper.scrape(content_type),
            1 => {
                page.clear();
                scraper.scrape_only(content_type, |name| name.len() % 2 == 0, &mut page);
            }
            _ => assert_same_page(&subject.registry, &mut scraper, content_type),
        }
    }
    for content_type in CONTENT_TYPES {
        assert_same_page(&subject.registry, &mut scraper, content_type);
    }
}
