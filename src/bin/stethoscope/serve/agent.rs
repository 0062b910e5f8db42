//! The agent: the processes and groups of a directory, and the pages that they have.

use super::super::output;
use super::agent_metrics::AgentMetrics;
use super::index::{self, IndexEntry};
use super::merged_page::{MergedPage, RulesByName};
use super::problems::ProblemLog;
use super::process::{self, Process, Retention, error};
use super::refused::RefusedFiles;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::os::unix::fs::DirEntryExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use stethoscope::endpoint::{Document, Pages, ScrapeRequest, ScrapeResponse};
use stethoscope::segment::{DirectoryLock, SegmentError, SegmentErrorKind};

/// The most processes that have a page.
const MAX_PROCESSES: usize = 4096;
/// The job of the last pages of dead processes.
const POSTMORTEM_JOB: &str = "stethoscope-postmortem";

pub(super) struct Agent {
    directory: PathBuf,
    lock: DirectoryLock,
    retention: Retention,
    metrics: AgentMetrics,
    /// By the name of the file, without extension.
    processes: BTreeMap<String, Process>,
    groups: BTreeMap<String, MergedPage>,
    rules: RulesByName,
    /// The looks at which each group had a process that lives.
    looks_at_living: u32,
    /// The host and port of all targets.
    address: String,
    /// The list of targets.
    targets: Vec<u8>,
    /// The page for people, at `/` and of status 404.
    index: Document,
    index_html: String,
    /// The body of a response that is made for one request.
    body: String,
    refused: RefusedFiles,
    problems: ProblemLog,
    /// True if the list of targets has whole command lines.
    shows_commands: bool,
    has_looked: bool,
}

/// Locks the agent. A panic in a page leaves nothing half done that matters.
pub(super) fn lock(agent: &Mutex<Agent>) -> MutexGuard<'_, Agent> {
    agent.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Agent {
    pub(super) fn new(
        directory: PathBuf,
        retention: Retention,
        rules: RulesByName,
        metrics: AgentMetrics,
    ) -> Result<Self, SegmentError> {
        Ok(Self {
            lock: DirectoryLock::acquire(&directory)?,
            directory,
            retention,
            metrics,
            processes: BTreeMap::new(),
            groups: BTreeMap::new(),
            rules,
            looks_at_living: 0,
            address: String::new(),
            targets: Vec::new(),
            index: Document::new("/", index::HTML),
            index_html: String::new(),
            body: String::new(),
            refused: RefusedFiles::default(),
            problems: ProblemLog::new(),
            shows_commands: false,
            has_looked: false,
        })
    }

    pub(super) fn add_group(&mut self, name: &str) -> Result<(), SegmentError> {
        let page = MergedPage::open(self.directory.join(name), &self.rules)?;
        self.groups.insert(name.to_owned(), page);
        Ok(())
    }

    /// Shows whole command lines in the list of targets, arguments included.
    pub(super) fn show_commands(&mut self) {
        self.shows_commands = true;
    }

    /// Returns the page for people.
    pub(super) fn index(&self) -> &Document {
        &self.index
    }

    pub(super) fn set_address(&mut self, address: &str) {
        address.clone_into(&mut self.address);
        self.list_targets();
    }

    /// Looks for processes that have come or died, and removes the files of those that
    /// were kept for long enough.
    ///
    /// # Errors
    /// If the directory was removed or replaced, and cannot be locked again.
    pub(super) fn look(&mut self) -> Result<(), SegmentError> {
        self.renew_lock()?;
        self.find_processes();
        for process in self.processes.values_mut() {
            process.look(false);
        }
        self.report_damage();
        self.remove_old();
        for (name, page) in &mut self.groups {
            // So that files of the dead do not wait for a scrape.
            if let Err(error) = page.refresh_or_reopen() {
                self.metrics.count_group_error(name);
                self.problems.report(&error.to_string());
            }
            for problem in page.problems() {
                self.problems.report(&problem);
            }
        }
        self.report_unused_rules();
        let states = self.processes.values().map(|process| process.state);
        self.metrics.show(states);
        self.list_targets();
        self.list_links();
        self.has_looked = true;
        Ok(())
    }

    /// Logs the rules for gauges that no group has, once processes have had some time to
    /// make them. The name may be misspelled.
    fn report_unused_rules(&mut self) {
        /// The looks at living processes before that.
        const LOOKS: u32 = 5;
        if self.looks_at_living >= LOOKS || !self.groups.values().all(MergedPage::is_alive) {
            return;
        }
        self.looks_at_living += 1;
        if self.looks_at_living < LOOKS {
            return;
        }
        let gauges = self.groups.values().flat_map(MergedPage::gauges).collect();
        for name in self.rules.unused(&gauges) {
            self.problems.report(&format!(
                "--gauge {name}=RULE has no effect so far: no group has a gauge of this name"
            ));
        }
    }

    /// Locks the directory again if it was removed or replaced: the lock of the old one
    /// keeps no other agent away.
    fn renew_lock(&mut self) -> Result<(), SegmentError> {
        if self.lock.is_of(&self.directory) {
            return Ok(());
        }
        self.lock = DirectoryLock::acquire(&self.directory).inspect_err(|_| {
            output::log(format_args!(
                "{} was removed or replaced, and the new one cannot be locked",
                self.directory.display()
            ));
        })?;
        self.processes.clear();
        output::log(format_args!(
            "{} was removed or replaced: serving the new one",
            self.directory.display()
        ));
        Ok(())
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
            if death.is_unused {
                old.push((id.clone(), true));
            } else if death.is_over(&self.retention) || !has_room {
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

    /// Makes the page for people.
    fn list_links(&mut self) {
        let processes = self.processes.iter().map(|(id, process)| IndexEntry {
            path: match process.death {
                Some(_) => format!("/postmortem/{id}"),
                None => format!("/process/{id}"),
            },
            state: process.state.word(),
            program: process.program(),
        });
        let html = index::html(self.groups.keys(), processes);
        if html != self.index_html {
            self.index.replace(html.as_bytes());
            self.index_html = html;
        }
    }

    fn respond(&mut self, path: &str, request: &ScrapeRequest<'_>) -> Option<ScrapeResponse<'_>> {
        if path == "/metrics/targets" {
            let json = "application/json";
            return Some(ScrapeResponse::document(200, json, &self.targets));
        }
        if let Some(name) = path.strip_prefix("/group/") {
            let page = self.groups.get_mut(name)?;
            if let Err(failure) = page.refresh() {
                self.metrics.count_group_error(name);
                // The next look opens a directory that was replaced.
                if !matches!(failure.kind(), SegmentErrorKind::DirectoryReplaced) {
                    self.problems.report(&failure.to_string());
                }
                return Some(error(503, "The segments of the group could not be read.\n"));
            }
            return Some(page.respond(request));
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
            (false, true) => {
                self.body = format!("The process has died. Its last page is at /postmortem/{id}\n");
                Some(error(503, &self.body))
            }
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
        self.body.clear();
        if let Some(response) = agent.respond(path, request) {
            self.body.extend_from_slice(response.body());
            return Some(response.with_body(&self.body));
        }
        self.body.extend_from_slice(agent.index_html.as_bytes());
        Some(ScrapeResponse::document(404, index::HTML, &self.body))
    }
}
