//! Metrics that outlive a freeze or a crash: cells in a file that other processes
//! read.
//!
//! A [`Segment`] is a file in memory (tmpfs), written by one process. The cells of
//! a registry [in a segment](crate::Registry::in_segment) are words of that file.
//! An update costs what it costs elsewhere: one atomic operation. A [`Reader`] in
//! another process, or `stethoscope read` on the command line, shows the page of
//! the process while it runs, while it is stopped, and after it was killed, exact
//! to the last update.
//!
//! ```
//! use stethoscope::{Registry, segment::Segment};
//!
//! # let directory = format!("/dev/shm/stethoscope-module-{}", std::process::id());
//! let segment = Segment::in_dir(&directory)?;
//! let registry = Registry::in_segment(&segment);
//! let jobs = registry.counter_family("jobs_total", "Jobs done.", ["queue"])?;
//! jobs.with(["mail"])?.inc();
//! assert_eq!(segment.unplaced(), 0);
//! # std::fs::remove_dir_all(&directory)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Heartbeats
//!
//! Readers see when the process has last shown that it makes progress:
//! `stethoscope_heartbeat_age_seconds`. Making and removing series does so; counting does
//! not, because it would cost. Call [`Segment::beat`] from the loop that must not stand
//! still, for example once a second. Otherwise a process that is well looks as if it hung.
//!
//! # What is in a segment
//!
//! Counters, gauges, histograms, state sets and infos, with integers or floats,
//! [`StripedCounter`](crate::cell::StripedCounter) and
//! [`ShardedHistogram`](crate::cell::ShardedHistogram). All of them are exact to the
//! last update.
//!
//! Other cells work as ever, but only this process sees them: single-writer cells,
//! native histograms, summaries, window maxima, cells with exemplars, cells that existed
//! before, cells of your own, and mixed families. A reader could not follow their
//! updates from outside: they change several words at once, or depend on the time of the
//! reading, or are in memory that is not the segment's. For a black box, choose a plain
//! counter or histogram beside them. What does not fit is in memory that only the
//! process sees, too: a full file system is never an error to the code that counts.
//! [`Segment::unplaced`] counts both.
//!
//! Series stay in the file until they are removed or their family is unregistered,
//! also after the registry was dropped: a process that ends leaves its last values.
//! The file itself is left behind, too; delete it when it was read.
//!
//! # Groups
//!
//! A [`Group`] makes one page of the segments of a directory, for servers that answer
//! with several processes: counters and histograms are summed, gauges merged by a
//! [`GaugeRule`]. What processes that have died had counted stays in the sums.
//!
//! # Forks
//!
//! A forked child moves to a file of its own before `fork` returns there, with the
//! same families and series at 0. Handles that it has inherited count in that file,
//! and nothing is checked per update. If there is no room for the file, or less than a
//! quarter of the file system is free, the child counts in memory that nobody else sees.
//!
//! The file of a child that has died and counted nothing is removed: by the child, if it
//! exits in an orderly way, else by its parent, at one of the next forks and when that
//! exits, or by [`remove_unused`]. Children that have counted leave their files, which a
//! [`Group`] or `stethoscope serve` removes.
//!
//! # Security
//!
//! Files have mode 0600, in a directory that only this user may write to. A reader
//! copies what it looks at and checks all of it: a damaged file is shown up to the
//! first fault.
//!
//! The format is a contract, described in `FORMAT.md` beside this module.

mod arena;
mod chain;
mod format;
mod log;
mod view;

#[cfg(not(loom))]
mod builder;
#[cfg(not(loom))]
mod directory;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
mod exit;
#[cfg(not(loom))]
mod file;
#[cfg(not(loom))]
mod group;
#[cfg(not(loom))]
mod mirror;
#[cfg(not(loom))]
mod owner;
#[cfg(not(loom))]
mod proc;
#[cfg(not(loom))]
mod process_state;
#[cfg(not(loom))]
mod reader;
#[cfg(not(loom))]
mod segment_file;
#[cfg(not(loom))]
mod unused;

#[cfg(test)]
mod heap;
#[cfg(all(loom, test))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;

#[cfg(not(loom))]
pub use directory::{default_directory, list};
#[cfg(not(loom))]
pub use error::{SegmentError, SegmentErrorKind};
#[cfg(not(loom))]
pub use file::DirectoryLock;
#[cfg(not(loom))]
pub use group::{GaugeRule, GaugeRuleError, Group, GroupInfo, GroupOptions};
#[cfg(not(loom))]
pub use owner::Segment;
#[cfg(not(loom))]
pub(crate) use owner::{Place, PlacedFamily};
#[cfg(not(loom))]
pub use process_state::ProcessState;
#[cfg(not(loom))]
pub use reader::{Reader, SegmentInfo};
#[cfg(not(loom))]
pub use unused::remove_unused;
