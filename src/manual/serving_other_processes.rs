//! Serving the processes of a user: each alone, also stopped or dead, or several as one.
//!
//! Processes that keep their metrics in a [segment](crate::segment) need no port and no thread. `stethoscope serve`
//! answers for them; it is part of the command line tool with the features `cli`, `http` and `segment`:
//!
//! ```sh
//! cargo install --path . --features cli,gzip,http,segment
//! stethoscope serve --dir /run/metrics --listen 0.0.0.0:9464 --merge web
//! ```
//!
//! # What it serves
//!
//! | path | |
//! |---|---|
//! | `/process/ID` | the page of a process, with `stethoscope_process_state`, `stethoscope_process_alive` and `stethoscope_heartbeat_age_seconds`; status 503 once it is dead, so that `up` becomes 0 |
//! | `/postmortem/ID` | the last page of a process that has died, exact to its last update |
//! | `/group/NAME` | one page for all processes of a group |
//! | `/metrics/targets` | all of these, for `http_sd_configs` |
//! | `/metrics` | the agent itself |
//! | `/` | links to all of these, as on each page of status 404 |
//!
//! The `ID` is the name of the segment's file without extension: the process id, and the time at which it was started.
//! A process that is stopped, by a signal, a debugger or a frozen control group, is served like any other: it has
//! nothing to do itself.
//!
//! ```yaml
//! scrape_configs:
//!   - job_name: host
//!     http_sd_configs:
//!       - url: http://HOST:9464/metrics/targets
//!         refresh_interval: 15s
//!     relabel_configs:
//!       - source_labels: [__meta_stethoscope_command]
//!         target_label: command
//! ```
//!
//! Each target has an `instance` of its own. Other labels to choose from are `__meta_stethoscope_pid`, `_command`,
//! `_group`, and for the dead `_state`, `_exit_signal` and `_exit_code`. The command is the name of the program,
//! without its arguments, unless the agent is started with `--show-commands`.
//!
//! An agent serves one directory, of the user that it runs as. Start one for each user.
//!
//! The page of a segment that is damaged ends where the damage begins, and says `stethoscope_segment_damaged 1`. The
//! agent logs it in one line.
//!
//! # Heartbeats
//!
//! `stethoscope_heartbeat_age_seconds` tells a process that hangs from one that works, if the process says so: call
//! [`Segment::beat`](crate::segment::Segment::beat) from the loop that must not stand still, for example once a second.
//! Making and removing series counts as a heartbeat; updates do not, so without the call the age of a quiet process
//! grows. The Python package makes the call by itself.
//!
//! # The dead
//!
//! The last page is listed with the job `stethoscope-postmortem`, so that sums over your own jobs do not count a
//! process twice. It says `stethoscope_process_alive 0`, `stethoscope_process_death_timestamp_seconds`, and
//! `stethoscope_process_exit_info{state,code,signal}`: the state is `ended` after an orderly exit, else `dead`; the
//! code and signal (its name, `SIGKILL`) are empty unless the kernel tells them (Linux 6.15, a process of the same
//! namespace that was alive when the agent saw it).
//!
//! It is listed until it was scraped twice, for at least 5 minutes and at most an hour, and as long as there are not
//! more than 100 of them or 256 MiB. Then the file is removed. Options change each bound.
//!
//! # Forked children
//!
//! A forked child has a file from its first moment, because an update does not check whether the process has forked. If
//! it dies, in whatever way, and has counted, registered and removed nothing since the fork, its death is not listed,
//! and its file is removed:
//!
//! | by | when |
//! |---|---|
//! | the child | it exits in an orderly way, with one thread |
//! | its parent | at every 8th fork (in a directory of N > 32 files, at every N/4th), and when it exits in an orderly way |
//! | the agent | it sees the child dead |
//! | any program | it makes a segment in the directory, or calls [`remove_unused`](crate::segment::remove_unused) |
//!
//! A child that has counted leaves its file, exact to the last update, until an agent or a group removes it. So serve a
//! directory whose processes fork children that count, for example as a group. Served or not, children make
//! no files while less than a quarter of the file system is free (`/dev/shm` has 64 MB in Docker): they count in memory
//! that nobody else sees, and the rest is for other programs.
//!
//! # Groups
//!
//! Servers that fork their workers (gunicorn, uvicorn with workers, your own) are one service, and want one page. Let
//! the processes of a group keep their segments in a subdirectory, here `/run/metrics/web`, and name it with `--merge`.
//! Start the agent first, which makes the directories, or make them with mode 0700.
//!
//! - Counters and histograms are summed. Those of the dead stay in the sum, and their files are removed. The sum never
//!   falls, even if the agent is restarted or killed.
//! - Gauges are those of the living: a series for each process, with the label `process`, or by `--gauge sum`, `min`,
//!   `max` or `last` (that of the process that was started last). `--gauge NAME=RULE` is for one gauge.
//! - A state of a state set is on if it is on in one process. Infos are shown once.
//! - Families of one name must be alike in type, labels and buckets. Otherwise the oldest process that lives decides,
//!   and `stethoscope_group_left_out` tells. When the last process of an old version has ended, its family makes room
//!   for that of the new one. The totals of both are kept, each for its own.
//! - To start over, end all readers and processes of the group, and remove its directory. The file with the totals of
//!   the dead is `totals.accumulator`.
//! - A series that one process removes while others have it lowers the sum: remove it in all, or in none.
//!
//! If the directory of a group is removed, its sums go with it: the agent logs so and begins again with those of the
//! new one. If the directory of the agent is removed, it makes and locks it again, or ends if another agent has done
//! so.
//!
//! In a program, [`Group`](crate::segment::Group) does the same: one of the processes of a group can serve the page of
//! all. A group has one reader at a time that may remove files; it holds a lock on the directory.
//!
//! # Security
//!
//! The agent refuses a directory that is not in memory, belongs to another user, or is writable by others, and files
//! that are symbolic links, belong to others, are longer than 256 MiB, or are from another boot or kind of machine. It
//! copies what it reads and checks all of it, so whatever a process writes into its segment spoils no other page. It
//! serves plain HTTP: put it where only your scrapers reach it. Anyone who can connect to it can read the metrics,
//! process ids and program names. Arguments often hold passwords, so they are in the list of targets only with
//! `--show-commands`. The files of segments have the whole command line; only their user can read them.
//!
//! # The agent's log
//!
//! Standard error has one line for each new problem: a file that is refused, with the reason; a segment that is
//! damaged; a group that cannot be read, or that leaves out a file or a family; a rule for a gauge that no group has.
//! Each is logged once, and at most 1,000 are logged in an hour.
//!
//! # The agent's own metrics
//!
//! | metric | |
//! |---|---|
//! | `stethoscope_agent_processes{state}` | processes with a page of their own |
//! | `stethoscope_agent_files_refused` | files in the directory that are not served |
//! | `stethoscope_agent_files_damaged` | segments whose pages end where a damage begins |
//! | `stethoscope_agent_files_removed_total` | segments of the dead that were removed |
//! | `stethoscope_agent_postmortems_unseen_total` | those of them that were not scraped twice |
//! | `stethoscope_agent_group_errors_total{group}` | readings of a group that failed |
//! | `stethoscope_http_…` | connections and responses, as for [any endpoint](crate::endpoint::Builder::self_metrics) |
//!
//! The page of a group begins with `stethoscope_group_processes`, `stethoscope_group_files_refused`,
//! `stethoscope_group_files_damaged` and `stethoscope_group_left_out`, and counts the dead in
//! `stethoscope_group_folded_total`.
