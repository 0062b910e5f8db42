//! Facts about processes, from `/proc`.

use std::fs;

/// Fields of `/proc/PID/stat`.
pub(super) struct ProcessStat {
    /// The letter of the scheduler's state.
    pub(super) state: u8,
    pub(super) parent: u32,
    /// Clock ticks since boot.
    pub(super) start_time: u64,
}

impl ProcessStat {
    /// Reads the fields of a process. `None` if there is no such process.
    pub(super) fn of(pid: &str) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(line: &[u8]) -> Option<Self> {
        // The name, in parentheses, may contain anything. It is cut at 15 bytes, which may be within a character.
        let text = String::from_utf8_lossy(line);
        let (_, fields) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        Some(Self {
            state: *fields.first()?.as_bytes().first()?,
            parent: fields.get(1)?.parse().ok()?,
            start_time: fields.get(19)?.parse().ok()?,
        })
    }
}

/// Returns the identifier of this boot of the machine.
pub(super) fn boot_id() -> Option<[u64; 2]> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let half = |range| u64::from_str_radix(digits.get(range)?, 16).ok();
    Some([half(0..16)?, half(16..32)?])
}

/// Returns the number of this process' namespace of process ids, or 0.
pub(super) fn pid_namespace() -> u64 {
    rustix::fs::stat("/proc/self/ns/pid").map_or(0, |stat| stat.st_ino)
}

/// Returns true if this process has a single thread.
pub(super) fn has_one_thread() -> bool {
    fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
}

/// Returns the command line of this process.
pub(super) fn command_line() -> String {
    let bytes = fs::read("/proc/self/cmdline").unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.trim_end_matches('\0').replace('\0', " ")
}

#[cfg(test)]
mod tests {
    use super::ProcessStat;

    #[test]
    fn name_of_a_process_may_be_anything() {
        let fields = "S 1 5 5 0 -1 4 9 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        for name in ["a", ") R 9 (", "a b) ", "caf\u{e9}"] {
            let line = [b"42 (", name.as_bytes(), b") ", fields.as_bytes()].concat();
            let stat = ProcessStat::parse(&line).expect(name);
            assert_eq!((stat.state, stat.parent, stat.start_time), (b'S', 1, 4711));
        }
        let cut = [b"42 (fifteen bytes \xc3) ", fields.as_bytes()].concat();
        assert!(ProcessStat::parse(&cut).is_some());
    }
}
