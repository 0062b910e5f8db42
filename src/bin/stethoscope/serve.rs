//! `stethoscope serve`: the metrics of all processes of a user that keep them in segments
//! of a directory, at one port.

mod agent;
mod agent_metrics;
mod index;
mod merged_page;
mod problems;
mod process;
mod refused;

use super::units::{duration, size};
use super::{UsageError, output};
use agent::{Agent, SharedAgent};
use agent_metrics::AgentMetrics;
use clap::Args;
use merged_page::RulesByName;
use process::Retention;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stethoscope::Registry;
use stethoscope::endpoint::{Address, Builder};
use stethoscope::segment::{self, GaugeRule};

/// The time between two looks at the directory.
const INTERVAL: Duration = Duration::from_secs(1);

/// The shortest time for which a dead process is listed, unless told.
const KEEP_AT_LEAST: Duration = Duration::from_secs(300);

/// Serves the metrics of the processes of this user that keep them in segments of a
/// directory, also of those that are stopped or dead.
///
/// Paths: /process/ID, the page of a process (503 once it is dead); /postmortem/ID, the
/// last page of one that has died; /group/NAME, one page for all processes of a group;
/// /metrics/targets, all of these for Prometheus' http_sd_configs; /metrics, the agent
/// itself. ID is the name of the segment's file without extension. / has links to all of
/// these, and so has each page of status 404.
///
/// Standard error names each file that is not served or is damaged, each group that cannot
/// be read and each family that a group leaves out, once, with the reason.
///
/// The list of targets names the program of each process, and not its arguments, which may
/// hold passwords: --show-commands adds them. Pages are served over plain HTTP to whoever
/// reaches the address.
///
/// The last page of a dead process is listed until it was scraped twice, for at least
/// five minutes and at most an hour. Then its file is removed.
#[derive(Args)]
pub(super) struct Serve {
    /// The directory of segments [default: STETHOSCOPE_SEGMENT_DIR, or
    /// /dev/shm/stethoscope-UID], of the user that runs the agent. It is made with mode 0700
    /// if it does not exist; the directory around it must exist.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The address to serve at, for example 127.0.0.1:9464 or 0.0.0.0:9464. Several are
    /// possible.
    #[arg(long, value_name = "HOST:PORT", value_parser = listen_address, required = true)]
    listen: Vec<String>,
    /// The host and port that targets have in the list [default: that of --listen, with
    /// the name of the host for an address like 0.0.0.0].
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    address: Option<String>,
    /// Serve one page for the processes whose segments are in the subdirectory GROUP of
    /// the directory: counters and histograms summed, those of the dead included, whose
    /// files are removed. Several are possible.
    #[arg(long, value_name = "GROUP", value_parser = group_name)]
    merge: Vec<String>,
    /// The rule for the gauges of groups, or for that of one name: per-process (a series
    /// for each, as without a rule), sum, min, max, or last (that of the process which
    /// has begun last). Several are possible.
    #[arg(long, value_name = "[NAME=]RULE", value_parser = gauge_rule, requires = "merge")]
    gauge: Vec<(Option<String>, GaugeRule)>,
    /// Show whole command lines in the list of targets, which anybody who reaches the
    /// address can read. Without it, __meta_stethoscope_command is the program's name.
    #[arg(long)]
    show_commands: bool,
    /// The shortest time for which a dead process is listed [default: 5m, or the longest
    /// if that is shorter].
    #[arg(long, value_name = "TIME", value_parser = duration)]
    keep_at_least: Option<Duration>,
    /// The longest time for which a dead process is listed.
    #[arg(long, value_name = "TIME", default_value = "60m", value_parser = duration)]
    keep_at_most: Duration,
    /// The most dead processes that are listed. The oldest go first.
    #[arg(long, value_name = "N", default_value_t = 100)]
    keep_processes: usize,
    /// The most bytes that the segments of dead processes may have.
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = size)]
    keep_size: u64,
}

/// Parses the rule of a gauge, or of all.
fn gauge_rule(text: &str) -> Result<(Option<String>, GaugeRule), String> {
    let (name, rule) = match text.rsplit_once('=') {
        Some(("", _)) => {
            return Err(format!(
                "no name in {text:?}: expected NAME=RULE, or RULE alone for all gauges"
            ));
        }
        Some((name, rule)) => (Some(name.to_owned()), rule),
        None => (None, text),
    };
    let rule = rule.parse::<GaugeRule>();
    rule.map(|rule| (name, rule))
        .map_err(|error| error.to_string())
}

/// Checks that a group's name is one part of a path.
fn group_name(text: &str) -> Result<String, String> {
    match process::is_id(text) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "invalid group {text:?}: expected up to 128 letters, digits, -, _ and ., the first \
             one not a dot"
        )),
    }
}

/// Splits an address at the colon before its port.
fn split_address(text: &str) -> Option<(&str, u16)> {
    let is_host = |host: &str| !host.is_empty() && !host.contains(['/', ' ', '@']);
    let (host, port) = text.rsplit_once(':')?;
    is_host(host).then_some((host, port.parse().ok()?))
}

/// Checks that an address to listen at has a host and a port.
fn listen_address(text: &str) -> Result<String, String> {
    match split_address(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err(format!(
            "invalid address {text:?}: expected HOST:PORT, for example \"127.0.0.1:9464\", or \
             \"0.0.0.0:9464\" for all interfaces"
        )),
    }
}

/// Resolves the addresses to listen at.
fn resolve(addresses: &[String]) -> Result<Vec<Vec<SocketAddr>>, UsageError> {
    let resolved = addresses.iter().map(|address| {
        let found = address.to_socket_addrs();
        found.map(Iterator::collect).map_err(|error| {
            UsageError::new(format!("cannot resolve the address {address:?}: {error}"))
        })
    });
    resolved.collect()
}

/// Checks that an address has a host and a port, as the list of targets needs them.
fn host_and_port(text: &str) -> Result<String, String> {
    match split_address(text) {
        Some((_, 1..)) => Ok(text.to_owned()),
        _ => Err(format!(
            "invalid address {text:?}: expected a host and a port, for example \"node-7:9100\""
        )),
    }
}

impl Serve {
    pub(super) fn run(self) -> Result<ExitCode, UsageError> {
        let default = KEEP_AT_LEAST.min(self.keep_at_most);
        let keep_at_least = self.keep_at_least.unwrap_or(default);
        if keep_at_least > self.keep_at_most {
            return Err(UsageError::new(
                "--keep-at-least is longer than --keep-at-most: expected at most as long"
                    .to_owned(),
            ));
        }
        self.refuse_repetitions()?;
        let addresses = resolve(&self.listen)?;
        // A descriptor for each process, another to learn of its exit, and connections.
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: limit.maximum,
            ..limit
        };
        // A host with few processes does not need it.
        let _ = setrlimit(Resource::Nofile, raised);
        let registry = Registry::new();
        let metrics = AgentMetrics::new(&registry).map_err(usage)?;
        let directory = self.dir.clone().unwrap_or_else(segment::default_directory);
        let retention = Retention {
            at_least: keep_at_least,
            at_most: self.keep_at_most,
            processes: self.keep_processes,
            bytes: self.keep_size,
        };
        let exists = directory.exists();
        let rules = RulesByName(self.gauge.clone());
        let mut agent = Agent::new(directory.clone(), retention, rules, metrics).map_err(usage)?;
        if !exists {
            output::log(format_args!(
                "made {}, which did not exist: processes are served once they keep their \
                 segments there",
                directory.display()
            ));
        }
        for group in &self.merge {
            agent.add_group(group).map_err(usage)?;
        }
        if self.show_commands {
            agent.show_commands();
        }
        agent.look().map_err(usage)?;
        let agent = Arc::new(Mutex::new(agent));
        let index = agent::lock(&agent).index().clone();
        let mut builder = Builder::new(&registry)
            .self_metrics(true)
            .document(&index)
            .pages(SharedAgent::new(&agent));
        for address in &addresses {
            builder = builder.listen(&address[..]);
        }
        let endpoint = builder.spawn().map_err(usage)?;
        let address = match (&self.address, endpoint.local_addr()) {
            (Some(address), _) => address.clone(),
            (None, Some(address)) if address.ip().is_unspecified() => {
                let host = std::fs::read_to_string("/proc/sys/kernel/hostname");
                let host = host.unwrap_or_default();
                format!("{}:{}", host.trim(), address.port())
            }
            (None, Some(address)) => address.to_string(),
            (None, None) => String::new(),
        };
        agent::lock(&agent).set_address(&address);
        for address in endpoint.local_addrs() {
            if let Address::Tcp(address) = address {
                output::log(format_args!("serving at http://{address}/"));
            }
        }
        loop {
            std::thread::sleep(INTERVAL);
            agent::lock(&agent).look().map_err(usage)?;
        }
    }

    /// Refuses a group or a gauge that is named twice.
    fn refuse_repetitions(&self) -> Result<(), UsageError> {
        let twice = |what: String| {
            Err(UsageError::new(format!(
                "{what} is given twice: expected once"
            )))
        };
        for (at, group) in self.merge.iter().enumerate() {
            if self.merge[..at].contains(group) {
                return twice(format!("--merge {group}"));
            }
        }
        for (at, (name, _)) in self.gauge.iter().enumerate() {
            if self.gauge[..at].iter().any(|(other, _)| other == name) {
                return twice(match name {
                    Some(name) => format!("--gauge {name}=RULE"),
                    None => "--gauge RULE".to_owned(),
                });
            }
        }
        Ok(())
    }
}

fn usage(error: impl std::fmt::Display) -> UsageError {
    UsageError::new(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauge_rules_have_a_name_or_none() {
        assert_eq!(gauge_rule("sum"), Ok((None, GaugeRule::Sum)));
        let named = Some("a=b".to_owned());
        let rule = gauge_rule("a=b=per-process");
        assert_eq!(rule, Ok((named, GaugeRule::PerProcess)));
        assert!(gauge_rule("=sum").unwrap_err().contains("no name in"));
        assert!(gauge_rule("a=mean").unwrap_err().contains("expected"));
    }

    #[test]
    fn address_has_a_host_and_a_port() {
        for text in ["node-7:9100", "10.0.0.1:80", "[::1]:9100"] {
            assert_eq!(host_and_port(text), Ok(text.to_owned()));
        }
        for text in [
            "garbage",
            "node-7:",
            ":9100",
            "node:0",
            "http://node:80",
            "a b:80",
        ] {
            assert!(host_and_port(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn address_to_listen_at_has_a_host_and_a_port() {
        for text in ["0.0.0.0:0", "[::]:9464", "localhost:1"] {
            assert_eq!(listen_address(text), Ok(text.to_owned()));
        }
        for text in ["foo", "9464", ":19464", "a:b", "a:70000", ""] {
            let error = listen_address(text).expect_err(text);
            assert!(error.contains(&format!("{text:?}: expected HOST:PORT")));
        }
    }

    #[test]
    fn group_is_one_part_of_a_path() {
        assert!(group_name("web-1.a_b").is_ok());
        for text in ["", ".", "..", ".a", "a/b", "a b", "\u{e4}"] {
            assert!(group_name(text).is_err(), "{text:?}");
        }
    }
}
