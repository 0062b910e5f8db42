//! The report of `check --lint`: warnings, grouped by kind and counted.

use super::output;
use indicatif::ProgressBar;
use stethoscope::exposition::parser::Line;
use stethoscope::exposition::validate::{Lint, Warning};

/// The subjects shown of each kind of warning.
const SHOWN: usize = 5;

/// Warnings in groups, in the order in which their kinds were met.
pub(super) struct Findings {
    name: String,
    /// True if each warning is printed at once instead.
    all: bool,
    groups: Vec<WarningGroup>,
}

struct WarningGroup {
    lint: Lint,
    message: String,
    count: u64,
    /// The first warning as it is printed if it is the only one.
    first: String,
    /// The first different subjects, each with its line if the page has lines.
    subjects: Vec<(String, Option<usize>)>,
}

impl Findings {
    /// `name` is the page's; `all` prints every warning with its line at once.
    pub(super) fn new(name: &str, all: bool) -> Self {
        Self {
            name: name.to_owned(),
            all,
            groups: Vec::new(),
        }
    }

    /// Adds a warning about a line of a text page.
    pub(super) fn add(&mut self, warning: &Warning, line: Option<Line<'_>>, bar: &ProgressBar) {
        let shown = || warning.display_in(line).to_string();
        if self.all {
            bar.suspend(|| self.print_one(&shown()));
            return;
        }
        let message = || warning.lint().to_string();
        self.add_to_group(warning, Some(warning.line()), message, shown);
    }

    /// Adds a warning about a page without lines.
    pub(super) fn add_without_line(&mut self, warning: &Warning, message: &str) {
        let shown = || format!("{message}: {}", warning.short_subject());
        if self.all {
            self.print_one(&shown());
            return;
        }
        self.add_to_group(warning, None, || message.to_owned(), shown);
    }

    fn add_to_group(
        &mut self,
        warning: &Warning,
        line: Option<usize>,
        message: impl FnOnce() -> String,
        shown: impl FnOnce() -> String,
    ) {
        let known = (self.groups.iter_mut()).find(|group| group.lint == warning.lint());
        let group = match known {
            Some(group) => group,
            None => {
                self.groups.push(WarningGroup {
                    lint: warning.lint(),
                    message: message(),
                    count: 0,
                    first: shown(),
                    subjects: Vec::new(),
                });
                self.groups.last_mut().expect("just pushed")
            }
        };
        group.count += 1;
        let is_new = || (group.subjects.iter()).all(|(known, _)| *known != warning.short_subject());
        if group.subjects.len() < SHOWN && is_new() {
            let subject = warning.short_subject().into_owned();
            group.subjects.push((subject, line));
        }
    }

    fn print_one(&self, shown: &str) {
        let name = &self.name;
        output::eprint_lines(format_args!("{name}: warning: {shown}"));
    }

    /// Prints the groups.
    pub(super) fn print(&self) {
        let name = &self.name;
        for group in &self.groups {
            if group.count == 1 {
                self.print_one(&group.first);
                continue;
            }
            let WarningGroup { message, count, .. } = group;
            let mut text = format!("{name}: warning, {count} times: {message}");
            for (subject, line) in &group.subjects {
                text += &match line {
                    Some(line) => format!("\n  line {line}: {subject}"),
                    None => format!("\n  {subject}"),
                };
            }
            if *count > group.subjects.len() as u64 {
                text += "\n  … (--all shows each line)";
            }
            output::eprint_lines(text);
        }
    }
}
