//! `stethoscope generate`: prints pages for tests of parsers in other languages.

use super::{UsageError, output};
use clap::{Args, ValueEnum};
use std::io::{self, Write};
use std::process::ExitCode;
use stethoscope::exposition::{ContentType, Escaping, Format};
use stethoscope::generate::{self, Unstructured};

/// Prints a metrics page for tests of a parser: valid, or with one fault.
///
/// A seed always gives the same page of a version of this tool. The fault is told on
/// standard error.
#[derive(Args)]
pub(super) struct Generate {
    /// Chooses the page.
    #[arg(long)]
    seed: u64,
    /// The format of the page.
    #[arg(long, value_enum, default_value_t)]
    format: FormatName,
    /// Put one fault into the page.
    #[arg(long)]
    invalid: bool,
}

/// The names of `stethoscope check`.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum FormatName {
    /// Text 0.0.4.
    #[default]
    Prometheus,
    /// Text 1.0.0, with names in quotes.
    Prometheus1,
    /// OpenMetrics 1.0.
    Openmetrics,
    /// OpenMetrics 1.0 with quoted UTF-8 names (escaping=allow-utf-8).
    #[value(name = "openmetrics-utf8")]
    OpenmetricsUtf8,
    /// OpenMetrics 2.0, as in the release candidate 2.0.0-rc0.
    #[value(name = "openmetrics2")]
    Openmetrics2,
    /// Delimited MetricFamily messages.
    Protobuf,
}

impl FormatName {
    fn content_type(self) -> ContentType {
        match self {
            Self::Prometheus => Format::Text.into(),
            Self::Prometheus1 => ContentType::new(Format::Text1, Escaping::AllowUtf8),
            Self::Openmetrics => Format::OpenMetrics.into(),
            Self::OpenmetricsUtf8 => ContentType::new(Format::OpenMetrics, Escaping::AllowUtf8),
            Self::Openmetrics2 => ContentType::new(Format::OpenMetrics2, Escaping::AllowUtf8),
            Self::Protobuf => Format::Protobuf.into(),
        }
    }
}

impl Generate {
    pub(super) fn run(self) -> Result<ExitCode, UsageError> {
        let bytes = random_bytes(self.seed);
        let mut bytes = Unstructured::new(&bytes);
        let content_type = self.format.content_type();
        let page = match self.invalid {
            true => {
                let (page, fault) = generate::faulty_page(&mut bytes, content_type);
                output::eprintln(fault);
                page
            }
            false => generate::page(&mut bytes, content_type),
        };
        // The page itself, not a report: nothing is replaced in it.
        let mut out = io::stdout().lock();
        let written = out.write_all(&page);
        written
            .and_then(|()| out.flush())
            .unwrap_or_else(|error| output::exit_on_write_error(&error));
        Ok(ExitCode::SUCCESS)
    }
}

/// More bytes than any page uses.
const BYTES: usize = 64 * 1024;

/// Returns bytes by the generator SplitMix64, which is the same everywhere.
fn random_bytes(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    });
    words.flat_map(u64::to_le_bytes).take(BYTES).collect()
}
