//! `stethoscope check`: checks whether a page follows its format.
//!
//! ```text
//! file, URL, - ──> PageSource ──> pieces ──> Chunks ──> events ──> Validator, Linter
//!                                              │          └──> JSON
//!                                              └── error with its line ──> standard error
//! ```
//!
//! A page of any length is read in bounded memory: one line at a time, and what
//! validation must remember, which `--max-memory` bounds.

use super::fetch_error::FetchError;
use super::findings::Findings;
use super::http::Head;
use super::server::Server;
use super::source::{PageRequest, PageSource};
use super::units::{bytes, duration, size};
use super::{REFUSED, UsageError, content_type, json, output, protobuf};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, BufWriter, Read, Write};
use std::process::ExitCode;
use std::time::Duration;
use stethoscope::exposition::parser::{
    Chunks, Error, ErrorKind, Event, EventRef, Excerpt, Line, Mode, Options,
};
use stethoscope::exposition::validate::{Lint, Linter, Validator, Warning};
use stethoscope::exposition::{ContentType, Escaping, Format};

/// Checks whether a metrics page follows its format, and shows where it does not.
///
/// A URL is requested as the Prometheus server does: with its Accept header and with
/// gzip.
///
/// Exit codes: 0, the page is accepted. 1, it is refused, or is empty. 2, it could
/// not be read, or the report could not be written.
#[derive(Args)]
pub(super) struct Check {
    /// The page: a file, an http:// URL, or - for standard input.
    page: String,
    /// The format of the page. The default follows its Content-Type or its lines.
    #[arg(long, value_enum, default_value_t)]
    format: InputFormat,
    /// Accept what the Prometheus server accepts.
    #[arg(long)]
    lenient: bool,
    /// Accept what this version of the Prometheus server accepts, and ask a URL as
    /// it does.
    #[arg(long = "as", value_enum, value_name = "VERSION")]
    server: Option<Server>,
    /// Also print warnings about valid but questionable lines, grouped and counted.
    #[arg(long)]
    lint: bool,
    /// Print each warning with its line.
    #[arg(long, requires = "lint")]
    all: bool,
    /// Ask a URL for a page that is not compressed.
    #[arg(long)]
    plain: bool,
    /// The time that a server has for its response, from the connection to the last
    /// byte; reading the page counts.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    timeout: Duration,
    /// The longest line [default: 1MiB, or --max-memory with --lenient or --as, as
    /// the server has no limit].
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max_line: Option<u64>,
    /// The memory for remembering series and families.
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = size)]
    max_memory: u64,
    /// Print each sample as a line of JSON. Values are strings, as JSON has neither NaN nor
    /// infinities: each is a float of 64 bits, as servers store it, in the shortest form
    /// that reads back as the same float.
    #[arg(long)]
    json: bool,
}

/// Returns true for lints about pages that a server reads otherwise than the format
/// says.
fn is_about_servers(lint: Lint) -> bool {
    matches!(
        lint,
        Lint::SignedTimestamp | Lint::BlanksAroundType | Lint::LeadingBlank | Lint::NulInComment
    )
}

#[derive(Clone, Copy, Default, PartialEq, ValueEnum)]
enum InputFormat {
    /// Text 0.0.4.
    #[value(alias = "prom0.0.4")]
    Prometheus,
    /// Text 1.0.0.
    #[value(alias = "prom1.0.0")]
    Prometheus1,
    /// OpenMetrics 1.0.
    #[value(alias = "openmetrics1.0")]
    Openmetrics,
    /// OpenMetrics 1.0 with quoted UTF-8 names (escaping=allow-utf-8).
    #[value(name = "openmetrics-utf8")]
    OpenmetricsUtf8,
    /// OpenMetrics 2.0, as in the release candidate 2.0.0-rc0.
    #[value(name = "openmetrics2", alias = "openmetrics2.0")]
    Openmetrics2,
    /// Delimited MetricFamily messages.
    Protobuf,
    /// The format that the Content-Type or the lines indicate.
    #[default]
    Auto,
}

impl InputFormat {
    fn options(self) -> Option<Options> {
        match self {
            Self::Prometheus => Some(Options::strict(Format::Text)),
            Self::Prometheus1 => Some(Options::strict(Format::Text1)),
            Self::Openmetrics => Some(Options::strict(Format::OpenMetrics)),
            Self::OpenmetricsUtf8 => {
                Some(Options::strict(Format::OpenMetrics).with_quoted_names(true))
            }
            Self::Openmetrics2 => Some(Options::strict(Format::OpenMetrics2)),
            Self::Protobuf => Some(Options::strict(Format::Protobuf)),
            Self::Auto => None,
        }
    }
}

/// The options that a page is read with, and the reason for its format.
struct ChosenOptions {
    options: Options,
    reason: &'static str,
    /// True if the format was guessed from the lines.
    is_guess: bool,
    /// A hint for a page that was guessed to be text, though it has bytes that text does
    /// not have.
    binary: Option<&'static str>,
    /// The option that limits the length of lines.
    line_option: &'static str,
}

const MAX_LINE: &str = "--max-line";

const LIKE_OPENMETRICS: &str =
    "the page looks like OpenMetrics, but its last line is not # EOF: it was read as text";

/// Returns true for comments of text that are lines of OpenMetrics, or nearly. `text`
/// follows the hash.
fn is_openmetrics_comment(text: &[u8]) -> bool {
    text.trim_ascii().eq_ignore_ascii_case(b"EOF") || text.starts_with(b" UNIT ")
}

impl ChosenOptions {
    /// Describes the format for error messages.
    fn describe(&self) -> String {
        let format = match self.options.format {
            Format::Text1 => "text 1.0.0",
            Format::OpenMetrics if self.options.quoted_names => "OpenMetrics 1.0 with UTF-8 names",
            Format::OpenMetrics => "OpenMetrics 1.0",
            Format::OpenMetrics2 => "OpenMetrics 2.0",
            _ => "text 0.0.4",
        };
        let mode = match self.options.mode {
            Mode::Lenient => "leniently",
            _ => "strictly",
        };
        format!("(read {mode} as {format} {}; see --format)", self.reason)
    }
}

/// Returns true for errors of lines that another format could allow.
fn depends_on_format(kind: ErrorKind) -> bool {
    use ErrorKind::*;
    matches!(
        kind,
        UnexpectedBlank
            | Comment
            | ExpectedBlank
            | BadType
            | BadUnit
            | UnitNotInName
            | QuotedName
            | TrailingComma
            | UnknownEscape
            | ReservedLabel
            | BadTimestamp
            | ExemplarInText
            | ExemplarWithoutBraces
            | ExpectedEnd
            | MissingNewline
            | MissingEof
            | AfterEof
            | NameClash
            | UnexpectedSample
            | TotalInFamilyName
            | InterleavedMetric
            | CountNotInteger
            | BadCounterValue
            | SumWithoutCount
            | UnexpectedExemplar
    )
}

/// The reason why a check can't go on.
enum Stop {
    /// The page is refused.
    Refused(String),
    /// The page can't be read.
    Unreadable(String),
}

impl Stop {
    fn of_io(error: io::Error) -> Self {
        match FetchError::from_io(error) {
            error @ FetchError::BadGzip(_) => Self::Refused(error.to_string()),
            error => Self::Unreadable(error.to_string()),
        }
    }
}

impl Check {
    pub(super) fn run(self) -> Result<ExitCode, UsageError> {
        let request = PageRequest {
            accept: self.accept(),
            gzip: !self.plain,
            protobuf: self.format == InputFormat::Protobuf,
            timeout: self.timeout,
            server: self.server,
        };
        let mut source = PageSource::open(&self.page, &request)?;
        let name = source.name.clone();
        let mut out = BufWriter::new(io::stdout().lock());
        let checked = (self.reading(&mut source))
            .and_then(|reading| self.read(&mut source, &reading, &mut out));
        out.flush()
            .unwrap_or_else(|error| output::exit_on_write_error(&error));
        match checked {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(Stop::Refused(reason)) => {
                output::eprint_lines(format_args!("{name}: {reason}"));
                Ok(ExitCode::from(REFUSED))
            }
            Err(Stop::Unreadable(reason)) => Err(UsageError::new(format!("{name}: {reason}"))),
        }
    }

    /// Returns the Accept header that a server is asked with.
    fn accept(&self) -> String {
        match (self.format.options(), self.server) {
            (Some(options), _) if options.format == Format::Protobuf => protobuf_accept(),
            (Some(options), _) => ContentType::new(options.format, Escaping::AllowUtf8)
                .header()
                .to_owned(),
            (None, server) => server.unwrap_or(Server::V3).accept().to_owned(),
        }
    }

    fn is_lenient(&self) -> bool {
        self.lenient || self.server.is_some()
    }

    /// Decides how the page is read. Refuses it if its head says that a server
    /// would.
    fn reading(&self, source: &mut PageSource) -> Result<ChosenOptions, Stop> {
        let mut reading = match (self.format.options(), &source.response) {
            (Some(options), _) => ChosenOptions {
                options,
                reason: "because of --format",
                is_guess: false,
                binary: None,
                line_option: MAX_LINE,
            },
            (None, Some(response)) => {
                let header = response.content_type.as_deref();
                let (options, fault) = content_type::judge(header, self.server);
                if let Some(fault) = fault {
                    if fault.is_fatal {
                        return Err(Stop::Refused(fault.message));
                    }
                    let name = &source.name;
                    output::eprintln(format_args!("{name}: warning: {}", fault.message));
                }
                ChosenOptions {
                    options,
                    reason: "because of its Content-Type",
                    is_guess: false,
                    binary: None,
                    line_option: MAX_LINE,
                }
            }
            (None, None) => {
                let (options, reason) = source.guess().map_err(Stop::of_io)?;
                ChosenOptions {
                    options,
                    reason,
                    is_guess: true,
                    binary: source.binary(),
                    line_option: MAX_LINE,
                }
            }
        };
        self.check_encoding(source)?;
        // Servers do not look at the version: they read every OpenMetrics as 1.0.
        if self.server.is_some() && reading.options.format == Format::OpenMetrics2 {
            reading.options.format = Format::OpenMetrics;
            reading.reason = "as Prometheus does";
        }
        let max_memory = usize::try_from(self.max_memory).unwrap_or(usize::MAX);
        let mut options = reading.options.with_max_memory(max_memory);
        if self.is_lenient() {
            options = options.with_mode(Mode::Lenient);
        }
        let max_line = self.max_line.and_then(|size| usize::try_from(size).ok());
        if max_line.is_none() && max_memory < options.max_line {
            reading.line_option = "--max-memory";
        }
        reading.options =
            options.with_max_line(max_line.unwrap_or(options.max_line.min(max_memory)));
        Ok(reading)
    }

    /// Checks that the body's encoding is one that the Prometheus server decodes. The
    /// server reads a body with another encoding as it is.
    fn check_encoding(&self, source: &PageSource) -> Result<(), Stop> {
        let Some(fault) = source.response.as_ref().and_then(Head::encoding_fault) else {
            return Ok(());
        };
        if self.server.is_none() {
            return Err(Stop::Refused(fault));
        }
        let name = &source.name;
        output::eprintln(format_args!(
            "{name}: warning: {fault}, and reads this body as it is"
        ));
        Ok(())
    }

    /// Reads the page to its end or its first error.
    fn read(
        &self,
        source: &mut PageSource,
        reading: &ChosenOptions,
        out: &mut impl Write,
    ) -> Result<(), Stop> {
        let options = reading.options;
        if options.format == Format::Protobuf {
            return self.read_protobuf(source, out);
        }
        let name = source.name.clone();
        let bar = progress(source.len);
        let mut chunks = Chunks::new(options);
        let mut validator = Validator::new(options);
        let lints = self.lint || self.is_lenient();
        let mut linter = lints.then(|| Linter::new(options));
        let mut findings = Findings::new(&name, self.all);
        let mut refusal = None;
        let mut samples = 0u64;
        let may_be_openmetrics = reading.is_guess && options.format != Format::OpenMetrics;
        let mut openmetrics_line = None;
        let mut warn = |warning: &Warning, line: Option<Line<'_>>| {
            if self
                .server
                .is_some_and(|server| server.refuses(warning.lint()))
            {
                refusal.get_or_insert_with(|| warning.display_in(line));
            } else if self.is_shown(warning.lint()) {
                findings.add(warning, line, &bar);
            }
        };
        let mut each = |line: Line<'_>, event: EventRef<'_, '_>| {
            validator.visit(line, &event)?;
            if let Some(linter) = &mut linter {
                linter.visit(line, &event, |warning| warn(&warning, Some(line)));
            }
            let Event::Sample(sample) = event else {
                if let Event::Comment { text } = event
                    && may_be_openmetrics
                    && is_openmetrics_comment(text)
                {
                    openmetrics_line.get_or_insert(line.number);
                }
                return Ok(());
            };
            samples += 1;
            if self.json {
                json::write_sample(sample, out).unwrap_or_else(|error| {
                    bar.finish_and_clear();
                    output::exit_on_write_error(&error)
                });
            }
            Ok::<_, Error>(())
        };
        let fed = feed(source, &mut chunks, &bar, &mut each);
        let (bytes, result) = fed.map_err(Stop::of_io)?;
        let result = result.and_then(|()| validator.end());
        if let Some(linter) = &mut linter {
            linter.end(|warning| warn(&warning, None));
        }
        bar.finish_and_clear();
        findings.print();
        // The standard of text allows an empty page, but an exporter with one is broken.
        if bytes == 0 {
            return Err(Stop::Refused("the page is empty".to_owned()));
        }
        if let Err(error) = result {
            let excerpt = (validator.excerpt(&error)).or_else(|| chunks.excerpt(&error));
            let like_openmetrics = may_be_openmetrics
                && (openmetrics_line.is_some() || error.kind() == ErrorKind::ExemplarInText);
            let shown = refusal_of(&error, excerpt, reading, like_openmetrics);
            return Err(Stop::Refused(shown));
        }
        if let (true, Some(line)) = (self.lint, openmetrics_line) {
            output::eprintln(format_args!(
                "{name}: warning: line {line}: {LIKE_OPENMETRICS}"
            ));
        }
        if let Some(refusal) = refusal {
            return Err(Stop::Refused(refusal.to_string()));
        }
        if samples == 0 {
            output::eprintln(format_args!(
                "{name}: warning: the page contains no samples"
            ));
        }
        Ok(())
    }

    /// Reads a protobuf page, which is kept in memory, to its end or its first error.
    fn read_protobuf(&self, source: &mut PageSource, out: &mut impl Write) -> Result<(), Stop> {
        let name = source.name.clone();
        let mut page = Vec::new();
        let limit = self.max_memory.saturating_add(1);
        source
            .take(limit)
            .read_to_end(&mut page)
            .map_err(Stop::of_io)?;
        if page.len() as u64 > self.max_memory {
            return Err(Stop::Unreadable(format!(
                "the page has more than {}; see --max-memory",
                bytes(self.max_memory)
            )));
        }
        let lints = self.lint || self.is_lenient();
        let mut linter = lints.then(protobuf::ProtobufLinter::new);
        let mut findings = Findings::new(&name, self.all);
        let mut refusal = None;
        let mut warn = |warning: &Warning| {
            let message = protobuf::message(warning.lint());
            if self
                .server
                .is_some_and(|server| server.refuses(warning.lint()))
            {
                refusal.get_or_insert_with(|| format!("{message}: {}", warning.short_subject()));
            } else if self.is_shown(warning.lint()) {
                findings.add_without_line(warning, &message);
            }
        };
        let read = protobuf::read(&page, |family| {
            if self.json {
                json::write_family(family, out)
                    .unwrap_or_else(|error| output::exit_on_write_error(&error));
            }
            if let Some(linter) = &mut linter {
                linter.visit(family, &mut warn);
            }
        });
        findings.print();
        let contents = read.map_err(Stop::Refused)?;
        if page.is_empty() {
            return Err(Stop::Refused("the page is empty".to_owned()));
        }
        if let Some(refusal) = refusal {
            return Err(Stop::Refused(refusal));
        }
        if contents.samples == 0 {
            output::eprintln(format_args!(
                "{name}: warning: the page contains no samples"
            ));
        }
        Ok(())
    }

    /// Returns true if warnings of a lint are printed.
    fn is_shown(&self, lint: Lint) -> bool {
        match lint {
            // Prometheus 3 normalises bounds.
            Lint::NonCanonicalBound
            // Prometheus 3 accepts these.
            | Lint::UnsupportedExemplar
            | Lint::QuotedName
            | Lint::TrailingComma => self.lint && self.server != Some(Server::V3),
            _ => self.lint || is_about_servers(lint),
        }
    }
}

/// The Accept header of a server that wants nothing but protobuf. It quotes no names.
pub(super) fn protobuf_accept() -> String {
    ContentType::from(Format::Protobuf).header().to_owned()
}

/// Parses the page piece by piece. Returns its length so far and its first error.
fn feed(
    source: &mut PageSource,
    chunks: &mut Chunks,
    bar: &ProgressBar,
    mut each: impl FnMut(Line<'_>, EventRef<'_, '_>) -> Result<(), Error>,
) -> io::Result<(usize, Result<(), Error>)> {
    let mut bytes = 0;
    let mut piece = vec![0; 256 << 10];
    loop {
        let len = match source.read(&mut piece) {
            Ok(0) => return Ok((bytes, chunks.finish(each))),
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                bar.finish_and_clear();
                return Err(error);
            }
        };
        bytes += len;
        if let Err(error) = chunks.push(&piece[..len], &mut each) {
            return Ok((bytes, Err(error)));
        }
        bar.inc(len as u64);
    }
}

/// The error of a page, and hints at other formats that it may be in.
fn refusal_of(
    error: &Error,
    excerpt: Option<Excerpt>,
    reading: &ChosenOptions,
    like_openmetrics: bool,
) -> String {
    let mut shown = excerpt.map_or_else(|| error.to_string(), |excerpt| excerpt.to_string());
    shown += &hint(error.kind(), reading);
    if like_openmetrics {
        shown += &format!("\n  ({LIKE_OPENMETRICS})");
    }
    if let Some(hint) = reading.binary {
        shown += &format!("\n  ({hint})");
    }
    shown
}

/// Returns lines to add to an error: the limit that it is about, or the format.
fn hint(kind: ErrorKind, reading: &ChosenOptions) -> String {
    let options = &reading.options;
    match kind {
        ErrorKind::LineTooLong => {
            let (limit, option) = (bytes(options.max_line as u64), reading.line_option);
            format!("\n  (the limit is {limit}; see {option})")
        }
        ErrorKind::MemoryLimit => format!(
            "\n  (the limit is {}; see --max-memory)",
            bytes(options.max_memory as u64)
        ),
        kind if depends_on_format(kind) => format!("\n  {}", reading.describe()),
        _ => String::new(),
    }
}

/// Returns a progress bar, which is visible on a terminal only.
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
