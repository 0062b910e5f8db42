//! `stethoscope read`: shows the metrics of a process from its segment.
//!
//! The process may run, be stopped, or be dead: it takes no part in it.

use super::output;
use super::units::duration;
use super::{REFUSED, UsageError};
use clap::{Args, ValueEnum};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use stethoscope::exposition::{ContentType, Escaping, Format};
use stethoscope::segment::{self, Reader, SegmentError, SegmentErrorKind};

/// Shows the metrics of a process that keeps them in a segment, also when it is
/// stopped or dead.
///
/// A segment that belongs to another user, or that others can write to, is shown with a
/// warning: root may look at a process of anybody, but what such a file says is up to
/// whoever writes it. The tool only copies it, and shows newlines and the
/// characters that a terminal obeys in another form.
///
/// Exit codes: 0, all of it is shown. 1, a part of a segment is damaged or was left
/// out, or one of a directory could not be read: standard error names the file. 2, there
/// is no such segment, none in the directory, or it could not be read.
#[derive(Args)]
pub(super) struct Read {
    /// A segment's file, a directory of them, or the id of a process. The default is
    /// the directory of --dir.
    target: Option<PathBuf>,
    /// The directory to look for processes in [default: STETHOSCOPE_SEGMENT_DIR, or
    /// /dev/shm/stethoscope-UID].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The form of the output. A page also says the state of the process.
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
    /// Show it again and again, until the process is dead.
    #[arg(long)]
    watch: bool,
    /// The time between two readings.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration, requires = "watch")]
    interval: Duration,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, ValueEnum)]
enum OutputFormat {
    /// A table for people.
    #[default]
    Table,
    /// A page in text 0.0.4.
    Prometheus,
    /// A page in text 1.0.0.
    Prometheus1,
    /// A page in OpenMetrics 1.0.
    Openmetrics,
    /// A page in OpenMetrics 1.0 with quoted UTF-8 names.
    OpenmetricsUtf8,
    /// A page in OpenMetrics 2.0, as in the release candidate 2.0.0-rc0.
    #[value(name = "openmetrics2")]
    Openmetrics2,
}

impl OutputFormat {
    /// Returns the format of the page, if it is one.
    fn page(self) -> Option<ContentType> {
        let (format, escaping) = match self {
            Self::Table => return None,
            Self::Prometheus => (Format::Text, Escaping::Underscores),
            Self::Prometheus1 => (Format::Text1, Escaping::AllowUtf8),
            Self::Openmetrics => (Format::OpenMetrics, Escaping::Underscores),
            Self::OpenmetricsUtf8 => (Format::OpenMetrics, Escaping::AllowUtf8),
            Self::Openmetrics2 => (Format::OpenMetrics2, Escaping::AllowUtf8),
        };
        Some(ContentType::new(format, escaping))
    }
}

/// One or all processes of a directory.
enum ReadTarget {
    Process(Box<Reader>),
    Directory(PathBuf),
}

impl Read {
    pub(super) fn run(self) -> Result<ExitCode, UsageError> {
        let mut target = self.find()?;
        loop {
            let (is_whole, is_alive) = match &mut target {
                ReadTarget::Process(reader) => self.show_process(reader)?,
                ReadTarget::Directory(directory) => self.show_directory(directory)?,
            };
            if !self.watch || !is_alive {
                return Ok(match is_whole {
                    true => ExitCode::SUCCESS,
                    false => ExitCode::from(REFUSED),
                });
            }
            std::thread::sleep(self.interval);
            if io::stdout().is_terminal() {
                print!("\x1b[2J\x1b[H");
            }
        }
    }

    /// Finds what the arguments name.
    fn find(&self) -> Result<ReadTarget, UsageError> {
        let directory = self.dir.clone().unwrap_or_else(segment::default_directory);
        let Some(target) = &self.target else {
            return directory_of_segments(directory);
        };
        if target.is_dir() {
            return directory_of_segments(target.clone());
        }
        let pid = target.to_str().and_then(|text| text.parse().ok());
        let reader = match pid {
            Some(pid) if !target.exists() => newest_of(pid, &directory)?,
            _ => Opened::new(target).map_err(unreadable)?.with_warning(),
        };
        Ok(ReadTarget::Process(Box::new(reader)))
    }

    /// Shows one process. Returns whether all of its segment was shown, and whether it
    /// is alive.
    fn show_process(&self, reader: &mut Reader) -> Result<(bool, bool), UsageError> {
        reader.refresh().map_err(unreadable)?;
        let state = reader.state();
        match self.format.page() {
            Some(format) => write_page(reader.page().scraper().scrape(format)),
            None => print_process(reader),
        }
        Ok((tell_whether_whole(reader), state.is_alive()))
    }

    /// Lists the processes of a directory. Returns whether all of them could be read,
    /// and whether one is alive.
    fn show_directory(&self, directory: &Path) -> Result<(bool, bool), UsageError> {
        if self.format != OutputFormat::Table {
            return Err(UsageError::new(
                "a directory is shown as a table: name a file or a process for its page".to_owned(),
            ));
        }
        let paths = segment::list(directory).map_err(unreadable)?;
        let mut is_whole = true;
        let mut is_alive = false;
        let mut foreign = 0;
        let heading = ["PID", "STATE", "HEARTBEAT", "SERIES", "FILE", "COMMAND"];
        let mut rows = vec![heading.map(str::to_owned)];
        for path in paths {
            let opened = Opened::new(&path).and_then(|mut opened| {
                opened.reader.refresh()?;
                Ok(opened)
            });
            match opened {
                Ok(Opened { reader, is_private }) => {
                    foreign += u32::from(!is_private);
                    let info = reader.info();
                    is_whole &= tell_whether_whole(&reader);
                    is_alive |= reader.state().is_alive();
                    rows.push([
                        info.pid.to_string(),
                        reader.state().word().to_owned(),
                        format!("{} ago", age(info.heartbeat_age())),
                        info.series.to_string(),
                        file_name(&path),
                        info.command.clone(),
                    ]);
                }
                Err(error) => {
                    is_whole = false;
                    output::eprintln(format_args!("stethoscope: {error}"));
                }
            }
        }
        if foreign > 0 {
            output::eprintln(format_args!(
                "stethoscope: warning: {foreign} of these segments belong to another user, or others \
                 can write to them: what they say may be made up"
            ));
        }
        print_table(&rows);
        Ok((is_whole, is_alive))
    }
}

/// Checks that a directory has segments.
fn directory_of_segments(directory: PathBuf) -> Result<ReadTarget, UsageError> {
    match segment::list(&directory).map_err(unreadable)?.is_empty() {
        true => Err(UsageError::new(format!(
            "no segments in {}: expected files whose names end in .segment",
            directory.display()
        ))),
        false => Ok(ReadTarget::Directory(directory)),
    }
}

/// Returns true if all of a segment is shown. If not, standard error says why.
fn tell_whether_whole(reader: &Reader) -> bool {
    let info = reader.info();
    let path = reader.path().display();
    if info.damaged {
        output::eprintln(format_args!(
            "stethoscope: {path}: the segment is damaged, its end is missing"
        ));
    }
    if info.left_out > 0 {
        output::eprintln(format_args!(
            "stethoscope: {path}: {} families and series are left out, because they would spoil the \
             page",
            info.left_out
        ));
    }
    !info.damaged && info.left_out == 0
}

/// Returns the last part of a path.
fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

fn unreadable(error: SegmentError) -> UsageError {
    UsageError::new(error.to_string())
}

/// A segment that was opened by hand.
struct Opened {
    reader: Reader,
    /// True if it belongs to this user, and nobody else can write to it.
    is_private: bool,
}

impl Opened {
    fn new(path: &Path) -> Result<Self, SegmentError> {
        let (reader, is_private) = match Reader::open_untrusted(path) {
            Err(error) if matches!(error.kind(), SegmentErrorKind::FileNotPrivate) => {
                (Reader::open(path)?, false)
            }
            opened => (opened?, true),
        };
        Ok(Self { reader, is_private })
    }

    /// Warns if others may have written the segment.
    fn with_warning(self) -> Reader {
        if !self.is_private {
            output::eprintln(format_args!(
                "stethoscope: warning: {} belongs to another user, or others can write to it: what \
                 it says may be made up",
                self.reader.path().display()
            ));
        }
        self.reader
    }
}

/// Finds the segment that a process has made last: one of this user's, if there is one.
fn newest_of(pid: u32, directory: &Path) -> Result<Reader, UsageError> {
    let paths = segment::list(directory).map_err(unreadable)?;
    let opened = paths.iter().filter_map(|path| {
        // Files of other boots and versions do not count, whatever they are called.
        let opened = Opened::new(path).ok()?;
        (opened.reader.info().pid == pid).then_some(opened)
    });
    opened
        .max_by_key(|Opened { reader, is_private }| {
            (
                *is_private,
                reader.state().is_alive(),
                reader.info().created,
            )
        })
        .map(Opened::with_warning)
        .ok_or_else(|| {
            UsageError::new(format!(
                "no segment of process {pid} in {}: it may use another directory (see --dir)",
                directory.display()
            ))
        })
}

/// Prints a process for people.
fn print_process(reader: &Reader) {
    let info = reader.info();
    let heartbeat = format!("{} ago", age(info.heartbeat_age()));
    let mut rows = vec![
        [
            "process",
            &format!("{} (child of {})", info.pid, info.parent_pid),
        ]
        .map(str::to_owned),
        ["command", &info.command].map(str::to_owned),
        ["state", reader.state().word()].map(str::to_owned),
        ["heartbeat", &heartbeat].map(str::to_owned),
        ["file", &reader.path().display().to_string()].map(str::to_owned),
    ];
    if info.unplaced > 0 {
        let unplaced = format!("{} series are not in the segment", info.unplaced);
        rows.push(["missing", &unplaced].map(str::to_owned));
    }
    print_table(&rows);
    output::println("");
    let mut scraper = reader.registry().scraper();
    let page = scraper.scrape(ContentType::new(Format::Text1, Escaping::AllowUtf8));
    let page = String::from_utf8_lossy(page);
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    let samples: Vec<[String; 2]> = samples
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(series, value)| [series.to_owned(), value.to_owned()])
        .collect();
    print_table(&samples);
}

/// Prints columns, of which the last is not padded.
fn print_table<const N: usize>(rows: &[[String; N]]) {
    let cells = |row: &[String; N]| row.each_ref().map(|cell| output::one_line(cell));
    let rows: Vec<[String; N]> = rows.iter().map(cells).collect();
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        output::println(line.trim_end());
    }
}

/// Returns an age in one unit.
fn age(age: Duration) -> String {
    match age.as_secs() {
        0..120 => format!("{:.1} s", age.as_secs_f64()),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Writes a page: as it is, except to a terminal, which might obey what it says.
fn write_page(page: &[u8]) {
    if io::stdout().is_terminal() {
        let page = String::from_utf8_lossy(page);
        output::print_lines(page.trim_end_matches('\n'));
        return;
    }
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(page)
        .and_then(|()| stdout.flush())
        .unwrap_or_else(|error| output::exit_on_write_error(&error));
}
