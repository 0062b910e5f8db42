//! A control group with little memory, whose processes the kernel kills.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// A control group below or beside that of this process, of version 1 or 2. It holds the
/// processes that a test puts there, and is removed when it is dropped.
pub(crate) struct MemoryGroup {
    path: PathBuf,
    files: &'static Files,
}

/// The names of the files of a version.
struct Files {
    limit: &'static str,
    limit_with_swap: &'static str,
    events: &'static str,
}

const VERSION_1: Files = Files {
    limit: "memory.limit_in_bytes",
    limit_with_swap: "memory.memsw.limit_in_bytes",
    events: "memory.oom_control",
};
const VERSION_2: Files = Files {
    limit: "memory.max",
    limit_with_swap: "memory.swap.max",
    events: "memory.events",
};

impl MemoryGroup {
    /// Makes a group that may use so many bytes.
    ///
    /// # Errors
    /// If this process may not: the reason.
    pub(crate) fn with_limit(bytes: u64) -> Result<Self, String> {
        let groups = fs::read_to_string("/proc/self/cgroup").map_err(|error| error.to_string())?;
        let mut reasons = Vec::new();
        for line in groups.lines() {
            let (controllers, own) = match line.splitn(3, ':').collect::<Vec<_>>()[..] {
                [_, controllers, own] => (controllers, own.trim_start_matches('/')),
                _ => continue,
            };
            let (root, files) = match controllers {
                "memory" => (Path::new("/sys/fs/cgroup/memory"), &VERSION_1),
                "" => (Path::new("/sys/fs/cgroup"), &VERSION_2),
                _ => continue,
            };
            let own = root.join(own);
            // In version 2 a group that has processes has no groups with limits.
            let parents = own
                .ancestors()
                .take(2)
                .filter(|path| path.starts_with(root));
            for parent in parents {
                match Self::below(parent, files, bytes) {
                    Ok(group) => return Ok(group),
                    Err(error) => reasons.push(format!("{}: {error}", parent.display())),
                }
            }
        }
        Err(reasons.join("; "))
    }

    fn below(parent: &Path, files: &'static Files, bytes: u64) -> std::io::Result<Self> {
        let path = parent.join(format!("stethoscope-test-{}", std::process::id()));
        fs::create_dir(&path)?;
        let group = Self { path, files };
        let set = |name: &str, value: u64| {
            let file = group.path.join(name);
            fs::OpenOptions::new().write(true).open(&file)?;
            fs::write(file, value.to_string())
        };
        set(files.limit, bytes)?;
        // Where there is no swap, there may be no such file.
        let with_swap = if files.limit == VERSION_1.limit {
            bytes
        } else {
            0
        };
        let _ = set(files.limit_with_swap, with_swap);
        Ok(group)
    }

    /// Opens the list of its processes. A process that writes "0" there is one of them.
    pub(crate) fn members(&self) -> File {
        let members = self.path.join("cgroup.procs");
        let members = fs::OpenOptions::new().write(true).open(members);
        members.expect("the group's own file")
    }

    /// Returns how many of its processes the kernel has killed for want of memory.
    pub(crate) fn kills(&self) -> u64 {
        let events = fs::read_to_string(self.path.join(self.files.events)).unwrap();
        let kills = events
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "));
        kills.map_or(0, |kills| kills.parse().unwrap())
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.path);
    }
}
