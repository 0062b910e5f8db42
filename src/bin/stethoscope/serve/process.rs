//! One process of the agent: alive, or dead and kept for its last page.

use rustix::process::Signal;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use stethoscope::cell::{FloatGauge, Info};
use stethoscope::endpoint::{Responder, ScrapeRequest, ScrapeResponse};
use stethoscope::segment::{ProcessState, Reader, SegmentError};
use stethoscope::{Family, Handle};

/// The bounds on dead processes.
pub(super) struct Retention {
    pub(super) at_least: Duration,
    pub(super) at_most: Duration,
    pub(super) processes: usize,
    pub(super) bytes: u64,
}

/// The scrapes after which the last page of a process has done its duty.
const SCRAPES: u32 = 2;

/// Returns true if a text can be a part of a path, and the name of a file.
pub(super) fn is_id(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(is_allowed) && !text.starts_with('.')
}

/// Returns the name of the program that a command line begins with.
fn program_of(command: &str) -> &str {
    let path = command.split_whitespace().next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

/// A process, by its segment.
pub(super) struct Process {
    reader: Reader,
    responder: Responder,
    pub(super) inode: u64,
    pub(super) state: ProcessState,
    pub(super) death: Option<Death>,
}

/// The end of a process.
pub(super) struct Death {
    /// The time at which the agent saw it.
    seen: Instant,
    /// The number of times that the last page was scraped.
    scrapes: u32,
    /// The length of the segment.
    pub(super) bytes: u64,
    /// True for a forked child that has counted nothing: its end tells nobody anything.
    pub(super) is_unused: bool,
    page: DeathPage,
    is_signal_known: bool,
}

/// The families of the last page that tell of the end.
struct DeathPage {
    exit: Family<Info>,
    time: Handle<FloatGauge>,
}

impl Process {
    pub(super) fn open(path: &Path, inode: u64) -> Result<Self, SegmentError> {
        let reader = Reader::open_untrusted(path)?;
        Ok(Self {
            responder: Responder::new(reader.page()),
            state: reader.state(),
            reader,
            inode,
            death: None,
        })
    }

    /// Returns the whole command line.
    pub(super) fn command(&self) -> &str {
        &self.reader.info().command
    }

    /// Returns the name of the program, without its directories and arguments.
    pub(super) fn program(&self) -> &str {
        program_of(self.command())
    }

    /// Returns true if the last reading has found that the segment is damaged.
    pub(super) fn is_damaged(&self) -> bool {
        self.reader.info().damaged
    }

    pub(super) fn pid(&self) -> u32 {
        self.reader.info().pid
    }

    /// Looks whether the process is alive. `is_first` tells that nobody has seen it
    /// alive: it may have died long ago.
    pub(super) fn look(&mut self, is_first: bool) {
        if self.death.is_some() {
            self.learn_exit();
            return;
        }
        self.state = self.reader.state();
        if self.state.is_alive() {
            return;
        }
        // The last reading. Without it, the page is that of an earlier one.
        let _ = self.reader.refresh();
        self.state = self.reader.state();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let time = match is_first {
            true => self.reader.info().heartbeat.min(now),
            false => now,
        };
        let metadata = std::fs::symlink_metadata(self.reader.path());
        // The page is the agent's own, on which nothing has these names yet.
        let Ok(page) = DeathPage::new(&self.reader) else {
            return;
        };
        page.time.set(time.as_secs_f64());
        self.death = Some(Death {
            seen: Instant::now(),
            scrapes: 0,
            bytes: metadata.map_or(0, |metadata| metadata.len()),
            is_unused: self.reader.is_unused(),
            page,
            is_signal_known: false,
        });
        self.learn_exit();
    }

    /// Shows how the process has ended, as far as it is known by now.
    fn learn_exit(&mut self) {
        let Some(death) = self.death.as_mut().filter(|death| !death.is_signal_known) else {
            return;
        };
        let status = self.reader.exit_status();
        death.is_signal_known = status.is_some();
        let text = |number: Option<i32>| number.map(|number| number.to_string());
        let code = text(status.and_then(|status| status.code())).unwrap_or_default();
        let signal = status.and_then(|status| status.signal());
        let signal = signal.map(signal_name).unwrap_or_default();
        // Only the latest knowledge.
        death.page.exit.retain(|_| false);
        // The number of values is that of the labels.
        let _ = death.page.exit.with([self.state.word(), &code, &signal]);
    }

    /// Returns labels for the list of targets: the state, and the exit signal and code,
    /// if they are known.
    pub(super) fn exit_labels(&self) -> Vec<(&'static str, String)> {
        let mut labels = vec![("__meta_stethoscope_state", self.state.word().to_owned())];
        if let Some(status) = self.reader.exit_status() {
            let signal = { status.signal() }
                .map(|signal| ("__meta_stethoscope_exit_signal", signal_name(signal)));
            let code =
                { status.code() }.map(|code| ("__meta_stethoscope_exit_code", code.to_string()));
            labels.extend(signal.into_iter().chain(code));
        }
        labels
    }

    /// Responds to a scrape of a process that is alive.
    pub(super) fn respond(&mut self, request: &ScrapeRequest<'_>) -> ScrapeResponse<'_> {
        match self.reader.refresh() {
            Ok(()) => self.responder.respond(request),
            Err(_) => error(503, "The segment of the process could not be read.\n"),
        }
    }

    /// Responds to a scrape of the last page.
    pub(super) fn respond_last(&mut self, request: &ScrapeRequest<'_>) -> ScrapeResponse<'_> {
        self.learn_exit();
        if let Some(death) = &mut self.death {
            death.scrapes = death.scrapes.saturating_add(1);
        }
        self.responder.respond(request)
    }
}

impl DeathPage {
    fn new(reader: &Reader) -> Result<Self, stethoscope::RegisterError> {
        Ok(Self {
            exit: reader.page().info_family(
                "stethoscope_process_exit",
                "How the process has ended: its state, exit code and signal, empty if they are \
                 not known.",
                ["state", "code", "signal"],
            )?,
            time: reader.page().float_gauge(
                "stethoscope_process_death_timestamp_seconds",
                "Time since 1970 at which the process was seen dead. Its last heartbeat, if it \
                 was dead when the agent was started.",
            )?,
        })
    }
}

impl Death {
    /// Returns true if the last page is no longer needed.
    pub(super) fn is_over(&self, retention: &Retention) -> bool {
        let age = self.seen.elapsed();
        let has_served = self.has_served() && age >= retention.at_least;
        has_served || age >= retention.at_most
    }

    /// Returns true if the last page was scraped often enough.
    pub(super) fn has_served(&self) -> bool {
        self.scrapes >= SCRAPES
    }

    pub(super) fn seen(&self) -> Instant {
        self.seen
    }
}

/// Returns the name of a signal, or its number if it has none.
fn signal_name(number: i32) -> String {
    let names = [
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL"),
        (Signal::USR1, "SIGUSR1"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::USR2, "SIGUSR2"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::ALARM, "SIGALRM"),
        (Signal::TERM, "SIGTERM"),
        (Signal::XCPU, "SIGXCPU"),
        (Signal::XFSZ, "SIGXFSZ"),
        (Signal::SYS, "SIGSYS"),
    ];
    let named = { names.iter() }.find(|(signal, _)| signal.as_raw() == number);
    named.map_or_else(|| number.to_string(), |(_, name)| (*name).to_owned())
}

/// A response for people.
pub(super) fn error(status: u16, text: &str) -> ScrapeResponse<'_> {
    ScrapeResponse::document(status, "text/plain; charset=utf-8", text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_has_neither_directories_nor_arguments() {
        for (command, program) in [
            ("/usr/bin/python3 -c secret", "python3"),
            ("gunicorn: worker [app]", "gunicorn:"),
            ("./a --password=b/c", "a"),
            ("a", "a"),
            ("/bin/ x", ""),
            ("", ""),
        ] {
            assert_eq!(program_of(command), program, "{command:?}");
        }
    }
}
