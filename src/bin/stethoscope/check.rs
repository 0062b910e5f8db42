//! `stethoscope check`: is this page what its format says it must be?
//!
//! ```text
//! file, URL, - ──> Source ──> pieces ──> Chunks ──> events ──> Validator
//!                                          │          └──> JSON
//!                                          └── error with its line ──> standard error
//! ```
//!
//! A page of any length is read in bounded memory: one line at a time, and what
//! validation must remember.

use super::duration::duration;
use super::failure::FetchError;
use super::source::Source;
use super::{REFUSED, UsageError, json, output};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, BufWriter, Read, Write};
use std::process::ExitCode;
use std::time::Duration;
use stethoscope::exposition::parser::{
    Chunks, Error, ErrorKind, Event, EventRef, Line, Mode, Options,
};
use stethoscope::exposition::validate::{Linter, Validator, Warning};
use stethoscope::exposition::{ContentType, Escaping, Format};

/// Reads a page and says whether, and where, it breaks its format.
///
/// Exit code 0: accepted. 1: refused. 2: it could not be read, or the report not
/// be written.
#[derive(Args)]
pub(super) struct Check {
    /// The page: a file, an http:// URL, or - for standard input.
    page: String,
    /// Its format. Auto goes by its Content-Type or its lines.
    #[arg(long, value_enum, default_value_t)]
    format: FormatName,
    /// Accept what the Prometheus server accepts.
    #[arg(long)]
    lenient: bool,
    /// Also say what is accepted and yet worth a word.
    #[arg(long)]
    lint: bool,
    /// How long a server may take, from the connection to the page's last byte;
    /// what is done with the page meanwhile counts.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    timeout: Duration,
    /// Print each sample as a line of JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Default, PartialEq, ValueEnum)]
enum FormatName {
    /// Text 0.0.4.
    #[value(alias = "prom0.0.4")]
    Prometheus,
    /// Text 1.0.0.
    #[value(alias = "prom1.0.0")]
    Prometheus1,
    /// OpenMetrics 1.0.
    #[value(alias = "openmetrics1.0")]
    Openmetrics,
    /// Whichever it seems to be.
    #[default]
    Auto,
}

impl FormatName {
    fn format(self) -> Option<Format> {
        match self {
            Self::Prometheus => Some(Format::Text),
            Self::Prometheus1 => Some(Format::Text1),
            Self::Openmetrics => Some(Format::OpenMetrics),
            Self::Auto => None,
        }
    }
}

impl Check {
    pub(super) fn run(self) -> Result<ExitCode, UsageError> {
        let mut source = Source::open(&self.page, &self.accept(), self.timeout)?;
        let name = source.name.clone();
        let broken = |error: io::Error| {
            let failure = FetchError::of_reading(error, self.timeout);
            UsageError(format!("{name}: {failure}"))
        };
        let mut options = match self.format.format() {
            Some(format) => Options::strict(format),
            None => source.guess().map_err(broken)?,
        };
        if self.lenient {
            options = options.with_mode(Mode::Lenient);
        }
        let mut out = BufWriter::new(io::stdout().lock());
        let refused = self.read(&mut source, options, &mut out).map_err(broken)?;
        out.flush()
            .unwrap_or_else(|error| output::exit_on_write_error(&error));
        if let Some(reason) = refused {
            output::eprintln(format_args!("{name}: {reason}"));
            return Ok(ExitCode::from(REFUSED));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What a server is asked for.
    fn accept(&self) -> String {
        let asked = |format| ContentType::new(format, Escaping::AllowUtf8);
        match self.format.format() {
            Some(format) => asked(format).header().to_owned(),
            None => format!("{}, text/plain;q=0.5", asked(Format::OpenMetrics).header()),
        }
    }

    /// Reads the page to its end or its first error, which is given back as the
    /// text that shows it.
    fn read(
        &self,
        source: &mut Source,
        options: Options,
        out: &mut impl Write,
    ) -> io::Result<Option<String>> {
        let name = source.name.clone();
        let bar = progress(source.len);
        let mut chunks = Chunks::new(options);
        let mut validator = Validator::new(options);
        let mut linter = self.lint.then(|| Linter::new(options));
        let mut samples = 0u64;
        let mut bytes = 0;
        let mut piece = vec![0; 256 << 10];
        let mut each = |line: Line<'_>, event: EventRef<'_, '_>| {
            validator.visit(line, &event)?;
            if let Some(linter) = &mut linter {
                let warn = |warning: Warning| {
                    let shown = warning.display_in(line);
                    bar.suspend(|| output::eprintln(format_args!("{name}: warning: {shown}")));
                };
                linter.visit(line, &event, warn);
            }
            let Event::Sample(sample) = event else {
                return Ok(());
            };
            samples += 1;
            if self.json {
                json::write(sample, out).unwrap_or_else(|error| {
                    bar.finish_and_clear();
                    output::exit_on_write_error(&error)
                });
            }
            Ok::<_, Error>(())
        };
        let read = loop {
            let len = match source.read(&mut piece) {
                Ok(0) => break chunks.finish(&mut each),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            bytes += len;
            if let Err(error) = chunks.push(&piece[..len], &mut each) {
                break Err(error);
            }
            bar.inc(len as u64);
        };
        let read = read.and_then(|()| validator.end());
        bar.finish_and_clear();
        // The standard of text allows it; but then something else is broken.
        if bytes == 0 {
            return Ok(Some("there is nothing on this page, not a byte".to_owned()));
        }
        let Err(error) = read else {
            if samples == 0 {
                let warning = "warning: there is no sample on this page";
                output::eprintln(format_args!("{name}: {warning}"));
            }
            return Ok(None);
        };
        let excerpt = (validator.excerpt(&error)).or_else(|| chunks.excerpt(&error));
        let mut shown = excerpt.map_or(error.to_string(), |excerpt| excerpt.to_string());
        if error.kind() == ErrorKind::LineTooLong {
            shown += &format!("\n  (the limit is {} bytes)", options.max_line);
        }
        Ok(Some(shown))
    }
}

/// A bar on a terminal; elsewhere nothing.
fn progress(len: Option<u64>) -> ProgressBar {
    let (bar, template) = match len {
        Some(len) => (
            ProgressBar::new(len),
            "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        ),
        None => (
            ProgressBar::no_length(),
            "{spinner} {bytes}, {bytes_per_sec}",
        ),
    };
    bar.with_style(ProgressStyle::with_template(template).expect("a template of known keys"))
}
