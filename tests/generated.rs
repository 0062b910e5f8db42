//! Generated pages and registries: the valid ones are valid, the others are not.

#[path = "support/seeds.rs"]
mod seeds;

use arbitrary::Arbitrary;
use seeds::bytes;
use std::collections::HashMap;
use std::process::{Command, Stdio};
use stethoscope::Registry;
use stethoscope::exposition::parser::Options;
use stethoscope::exposition::validate::validate;
use stethoscope::exposition::{ContentType, Escaping, Format};
use stethoscope::generate::{self, Fault, Unstructured};

const CONTENT_TYPES: [ContentType; 6] = [
    ContentType::new(Format::Text, Escaping::Underscores),
    ContentType::new(Format::Text1, Escaping::AllowUtf8),
    ContentType::new(Format::OpenMetrics, Escaping::Underscores),
    ContentType::new(Format::OpenMetrics, Escaping::AllowUtf8),
    ContentType::new(Format::OpenMetrics2, Escaping::Underscores),
    ContentType::new(Format::OpenMetrics2, Escaping::AllowUtf8),
];

const SEEDS: u64 = 400;

fn page(seed: u64, content_type: ContentType) -> Vec<u8> {
    generate::page(&mut Unstructured::new(&bytes(seed)), content_type)
}

#[test]
fn pages_are_valid() {
    for seed in 0..SEEDS {
        for content_type in CONTENT_TYPES {
            let page = page(seed, content_type);
            for options in [
                Options::from(content_type),
                Options::lenient(content_type.format),
            ] {
                if let Err(error) = validate(&page, options) {
                    panic!("seed {seed}, {content_type:?}: {}", error.display_in(&page));
                }
            }
        }
    }
}

#[test]
fn page_of_no_bytes_has_a_sample() {
    for content_type in CONTENT_TYPES {
        let page = generate::page(&mut Unstructured::new(b""), content_type);
        assert_eq!(validate(&page, content_type), Ok(()));
        let page = String::from_utf8(page).unwrap();
        assert!(page.lines().any(|line| !line.starts_with('#')), "{page}");
    }
}

#[test]
fn faulty_pages_are_refused_and_every_fault_occurs() {
    let mut seen: HashMap<Fault, u32> = HashMap::new();
    for seed in 0..SEEDS {
        for content_type in CONTENT_TYPES {
            let bytes = bytes(seed);
            let (page, fault) = generate::faulty_page(&mut Unstructured::new(&bytes), content_type);
            assert!(
                validate(&page, content_type).is_err(),
                "seed {seed}: {fault}"
            );
            *seen.entry(fault).or_default() += 1;
        }
    }
    // The others are those of protobuf pages, for which see cli_protobuf.rs.
    let [text @ .., _, _, _, schema, spans, _, _] = Fault::ALL else {
        panic!("{:?}", Fault::ALL);
    };
    for fault in text.iter().chain([schema, spans]) {
        assert!(
            seen.get(fault).is_some_and(|times| *times > 2),
            "{fault}: {seen:?}"
        );
    }
}

#[test]
fn pages_use_everything_that_their_format_has() {
    let shown = |content_type| -> String {
        let pages = (0..200).map(|seed| page(seed, content_type));
        pages.map(|page| String::from_utf8(page).unwrap()).collect()
    };
    let text = shown(CONTENT_TYPES[0]);
    for part in [
        "NaN",
        "+Inf",
        " 1700000000123\n",
        "# a comment\n",
        ",}",
        "\\\\",
        "\\n",
        "\\\"",
        "untyped",
    ] {
        assert!(text.contains(part), "{part:?}");
    }
    assert!(shown(CONTENT_TYPES[1]).contains("{\"größe_"));
    let openmetrics = shown(CONTENT_TYPES[2]);
    for part in [
        " # {",
        "trace_id",
        "_created",
        "# UNIT ",
        "stateset",
        "gaugehistogram",
        "info",
    ] {
        assert!(openmetrics.contains(part), "{part:?}");
    }
    let openmetrics2 = shown(CONTENT_TYPES[4]);
    for part in [
        " st@",
        "{count:",
        "{gcount:",
        "quantile:[]",
        "quantile:[0:",
        ",bucket:[-Inf:0,",
        "zero_count:",
        ",negative_spans:[",
        ",positive_buckets:[",
        "],bucket:[",
        " 1700000000.25 # {",
        "stateset",
        "_info{",
    ] {
        assert!(openmetrics2.contains(part), "{part:?}");
    }
}

#[test]
fn registries_show_valid_pages() {
    let mut lines = 0;
    for seed in 0..SEEDS {
        let registry = Registry::arbitrary(&mut Unstructured::new(&bytes(seed))).unwrap();
        let mut scraper = registry.scraper();
        for content_type in CONTENT_TYPES {
            let page = scraper.scrape(content_type);
            if let Err(error) = validate(page, content_type) {
                panic!("seed {seed}, {content_type:?}: {}", error.display_in(page));
            }
            lines += page.iter().filter(|byte| **byte == b'\n').count();
        }
    }
    assert!(lines > 5_000, "{lines}");
}

/// Prometheus' own tool reads valid pages of the text format. Its lints, which end in
/// another code, are not faults.
#[test]
fn promtool_accepts_valid_text_pages() {
    const LINTS: i32 = 3;
    for seed in 0..60 {
        let tool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut tool) = tool else {
            let message = "there is no promtool in the path: Debian's package prometheus has it";
            assert!(std::env::var_os("CI").is_none(), "{message}");
            eprintln!("NOT TESTED: {message}");
            return;
        };
        let page = page(seed, CONTENT_TYPES[0]);
        let mut input = tool.stdin.take().expect("a pipe");
        std::io::Write::write_all(&mut input, &page).expect("it reads");
        drop(input);
        let output = tool.wait_with_output().expect("it ends");
        assert!(
            matches!(output.status.code(), Some(0 | LINTS)),
            "seed {seed}: {}\n{}",
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&page)
        );
    }
}
