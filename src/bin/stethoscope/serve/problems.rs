//! The log of problems, on standard error.

use super::super::output;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The most problems that are logged in a `PERIOD`, so that both the log and the memory
/// for it are bounded.
const MAX_LOGGED: usize = 1000;
const PERIOD: Duration = Duration::from_secs(3600);
/// The longest line, in characters: names of families may be long.
const MAX_LINE: usize = 400;

/// Logs each problem once.
pub(super) struct ProblemLog {
    logged: BTreeSet<String>,
    began: Instant,
}

impl ProblemLog {
    pub(super) fn new() -> Self {
        Self {
            logged: BTreeSet::new(),
            began: Instant::now(),
        }
    }

    /// Logs a problem, unless it was logged before.
    pub(super) fn report(&mut self, problem: &str) {
        if let Some(line) = self.line(problem, Instant::now()) {
            output::log(line);
        }
    }

    /// Returns the line for a problem, if it is to be logged.
    fn line(&mut self, problem: &str, now: Instant) -> Option<String> {
        let mut line: String = problem.chars().take(MAX_LINE).collect();
        if self.logged.contains(&line) {
            return None;
        }
        if self.logged.len() >= MAX_LOGGED {
            if now.saturating_duration_since(self.began) < PERIOD {
                return None;
            }
            self.logged.clear();
        }
        if self.logged.is_empty() {
            self.began = now;
        }
        self.logged.insert(line.clone());
        if self.logged.len() == MAX_LOGGED {
            line += " (further problems are logged after an hour)";
        }
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_logged_once_and_their_number_is_bounded() {
        let mut log = ProblemLog::new();
        let start = Instant::now();
        assert_eq!(log.line("a", start).as_deref(), Some("a"));
        assert_eq!(log.line("a", start), None);
        let long = log.line(&"\u{e4}".repeat(1000), start).unwrap();
        assert_eq!(long.chars().count(), MAX_LINE);
        let others = 0..2 * MAX_LOGGED;
        let logged = others.filter_map(|n| log.line(&n.to_string(), start));
        let logged: Vec<String> = logged.collect();
        assert_eq!(logged.len(), MAX_LOGGED - 2);
        assert!(logged.last().unwrap().contains("after an hour"));
        assert!(!logged[0].contains("after an hour"));
        assert_eq!(log.line("b", start), None);
        assert_eq!(log.line("b", start + PERIOD).as_deref(), Some("b"));
        assert_eq!(log.logged.len(), 1);
    }
}
