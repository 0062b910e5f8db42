//! The agent: the processes and groups of a directory, and the pages that they have.

use super::agent_metrics::AgentMetrics;
use super::problems::ProblemLog;
use super::process::{self, Process, Retention, error};
use super::refused::RefusedFiles;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::os::unix::fs::DirEntryExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use stethoscope::endpoint::{Pages, Responder, ScrapeRequest, ScrapeResponse};
use stethoscope::segment::{DirectoryLock, Group, GroupOptions, SegmentError};

/// The most processes that have a page.
const MAX_PROCESSES: usize = 4096;
/// The job of the last pages of dead processes.
const POSTMORTEM_JOB: &str = "stethoscope-postmortem";

/// The paths that the agent serves, for people: the page at `/`, and of status 404.
pub(super) const PATHS: &str = "\
This agent serves:

/metrics/targets   the targets of this agent, for Prometheus' http_sd_configs
/metrics           the agent itself
/process/ID        the page of a process, status 503 once it is dead
/postmortem/ID     the last page of a process that has died
/group/NAME        one page for all processes of a group, with --merge NAME

ID is the name of a segment's file without extension.
";

pub(super) struct Agent {
    directory: PathBuf,
    lock: DirectoryLock,
    retention: Retention,
    metrics: AgentMetrics,
    /// By the name of the file, without extension.
    processes: BTreeMap<String, Process>,
    groups: BTreeMap<String, MergedPage>,
    /// The host and port of all targets.
    address: String,
    /// The list of targets.
    targets: Vec<u8>,
    refused: RefusedFiles,
    problems: ProblemLog,
    /// True if the list of targets has whole command lines.
    shows_commands: bool,
    has_looked: bool,
}

/// The page of a group.
struct MergedPage {
    group: Group,
    responder: Responder,
}

/// Locks the agent. A panic in a page leaves nothing half done that matters.
pub(super) fn lock(agent: &Mutex<Agent>) -> MutexGuard<'_, Agent> {
    agent.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Agent {
    pub(super) fn new(
        directory: PathBuf,
        retention: Retention,
        metrics: AgentMetrics,
    ) -> Result<Self, SegmentError> {
        Ok(Self {
            lock: DirectoryLock::acquire(&directory)?,
            directory,
            retention,
            metrics,
            processes: BTreeMap::new(),
            groups: BTreeMap::new(),
            address: String::new(),
            targets: Vec::new(),
            refused: RefusedFiles::default(),
            problems: ProblemLog::new(),
            shows_commands: false,
            has_looked: false,
        })
    }

    pub(super) fn add_group(
        &mut self,
        name: &str,
        options: GroupOptions,
    ) -> Result<(), SegmentError> {
        let group = Group::with_options(self.directory.join(name), options)?;
        let responder = Responder::new(group.page());
        self.groups
            .insert(name.to_owned(), MergedPage { group, responder });
        Ok(())
    }

    /// Shows whole command lines in the list of targets, arguments included.
    pub(super) fn show_commands(&mut self) {
        self.shows_commands = true;
    }

    pub(super) fn set_address(&mut self, address: &str) {
        address.clone_into(&mut self.address);
        self.list_targets();
    }

    /// Looks for processes that have come or died, and removes the files of those that
    /// were kept for long enough.
    pub(super) fn look(&mut self) {
        self.find_processes();
        for process in self.processes.values_mut() {
            process.look(false);
        }
        self.report_damage();
        self.remove_old();
        for (name, page) in &mut self.groups {
            // So that files of the dead do not wait for a scrape.
            if page.group.refresh().is_err()
                && let Ok(errors) = self.metrics.group_errors.with([name])
            {
                errors.inc();
            }
        }
        let states = self.processes.values().map(|process| process.state);
        self.metrics.show(states);
        self.list_targets();
        self.has_looked = true;
    }

    /// Opens the segments that have come, and forgets those that are gone.
    fn find_processes(&mut self) {
        let mut found = BTreeMap::new();
        self.refused.begin();
        for entry in std::fs::read_dir(&self.directory).into_iter().flatten() {
            let Ok(entry) = entry else { continue };
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            match name.strip_suffix(".segment") {
                Some(id) if process::is_id(id) => {
                    found.insert(id.to_owned(), entry.ino());
                }
                Some(_) => {
                    let reason = "expected a name of up to 128 letters, digits, -, _ and .";
                    self.refused.add(name, entry.ino(), reason);
                }
                None => {}
            }
        }
        self.processes
            .retain(|id, process| found.get(id) == Some(&process.inode));
        for (id, inode) in found {
            if self.processes.contains_key(&id) {
                continue;
            }
            let name = format!("{id}.segment");
            if self.processes.len() >= MAX_PROCESSES {
                let reason = format_args!("more than {MAX_PROCESSES} processes");
                self.refused.add(&name, inode, reason);
                continue;
            }
            let path = self.directory.join(&name);
            match Process::open(&path, inode) {
                Ok(mut process) => {
                    process.look(!self.has_looked);
                    self.processes.insert(id, process);
                }
                Err(error) if !self.lock.remove_unfinished(&name) => {
                    self.refused.add(&name, inode, error.kind());
                }
                Err(_) => {}
            }
        }
        self.metrics.refused.set(self.refused.end());
    }

    /// Logs the segments that are damaged, as far as their last readings tell, and counts
    /// them.
    fn report_damage(&mut self) {
        let damaged = self.processes.iter().filter(|(_, p)| p.is_damaged());
        let mut count = 0;
        for (id, _) in damaged {
            count += 1;
            self.problems.report(&format!(
                "{id}.segment is damaged: its page ends where the damage begins"
            ));
        }
        self.metrics.damaged.set(count);
    }

    /// Removes the files of dead processes that are no longer needed, or too many.
    fn remove_old(&mut self) {
        let mut dead: Vec<(&String, &process::Death)> = { self.processes.iter() }
            .filter_map(|(id, process)| Some((id, process.death.as_ref()?)))
            .collect();
        // The latest first, which are kept longest.
        dead.sort_by_key(|(_, death)| std::cmp::Reverse(death.seen()));
        let (mut kept, mut bytes) = (0, 0_u64);
        let mut old = Vec::new();
        for (id, death) in dead {
            let size = bytes.saturating_add(death.bytes);
            let has_room = kept < self.retention.processes && size <= self.retention.bytes;
            if death.is_over(&self.retention) || !has_room {
                old.push((id.clone(), death.has_served()));
            } else {
                kept += 1;
                bytes = size;
            }
        }
        for (id, has_served) in old {
            self.processes.remove(&id);
            if self.lock.remove(&format!("{id}.segment")) {
                self.metrics.removed.inc();
                self.metrics.unseen.inc_by(u64::from(!has_served));
            }
        }
    }

    /// Makes the list of targets, as <https://prometheus.io/docs/prometheus/latest/http_sd/> has it.
    fn list_targets(&mut self) {
        let address = &self.address;
        let target = |path: String, labels: Vec<(&str, String)>| {
            let mut all = Map::new();
            all.insert("__metrics_path__".to_owned(), Value::String(path));
            for (name, value) in labels {
                all.insert(name.to_owned(), Value::String(value));
            }
            json!({ "targets": [address], "labels": all })
        };
        let mut targets = Vec::new();
        for (id, process) in &self.processes {
            // All have the same address, so each needs an instance of its own.
            let instance = format!("{address}/{id}");
            let facts = || {
                let command = match self.shows_commands {
                    true => process.command(),
                    false => process.program(),
                };
                vec![
                    ("instance", instance.clone()),
                    ("__meta_stethoscope_pid", process.pid().to_string()),
                    ("__meta_stethoscope_command", command.to_owned()),
                ]
            };
            targets.push(target(format!("/process/{id}"), facts()));
            if process.death.is_some() {
                let mut labels = facts();
                labels.push(("job", POSTMORTEM_JOB.to_owned()));
                labels.extend(process.exit_labels());
                targets.push(target(format!("/postmortem/{id}"), labels));
            }
        }
        for name in self.groups.keys() {
            let labels = vec![
                ("instance", format!("{address}/{name}")),
                ("__meta_stethoscope_group", name.clone()),
            ];
            targets.push(target(format!("/group/{name}"), labels));
        }
        self.targets = Value::Array(targets).to_string().into_bytes();
    }

    fn respond(&mut self, path: &str, request: &ScrapeRequest<'_>) -> Option<ScrapeResponse<'_>> {
        if path == "/metrics/targets" {
            let json = "application/json";
            return Some(ScrapeResponse::document(200, json, &self.targets));
        }
        if let Some(name) = path.strip_prefix("/group/") {
            let page = self.groups.get_mut(name)?;
            if page.group.refresh().is_err()
                && let Ok(errors) = self.metrics.group_errors.with([name])
            {
                errors.inc();
                return Some(error(503, "The segments of the group could not be read.\n"));
            }
            return Some(page.responder.respond(request));
        }
        let (id, is_last) = match path.strip_prefix("/process/") {
            Some(id) => (id, false),
            None => (path.strip_prefix("/postmortem/")?, true),
        };
        if !self.processes.contains_key(id) {
            self.find_processes();
        }
        let process = self.processes.get_mut(id)?;
        process.look(false);
        match (is_last, process.death.is_some()) {
            (false, false) => Some(process.respond(request)),
            (false, true) => Some(error(
                503,
                "The process has died. Its last page is at /postmortem/, followed by its id.\n",
            )),
            (true, true) => Some(process.respond_last(request)),
            (true, false) => None,
        }
    }
}

/// The agent, as the endpoint asks it for pages.
pub(super) struct SharedAgent {
    agent: Arc<Mutex<Agent>>,
    /// The body of the last response, which outlives the lock.
    body: Vec<u8>,
}

impl SharedAgent {
    pub(super) fn new(agent: &Arc<Mutex<Agent>>) -> Self {
        Self {
            agent: Arc::clone(agent),
            body: Vec::new(),
        }
    }
}

impl Pages for SharedAgent {
    fn respond(&mut self, path: &str, request: &ScrapeRequest<'_>) -> Option<ScrapeResponse<'_>> {
        let mut agent = lock(&self.agent);
        let response = agent.respond(path, request);
        let response = response.unwrap_or_else(|| error(404, PATHS));
        self.body.clear();
        self.body.extend_from_slice(response.body());
        Some(response.with_body(&self.body))
    }
}
