//! The report of `check --lint`: warnings, grouped by kind and counted.

use super::output;
use indicatif::ProgressBar;
use stethoscope::exposition::parser::{Excerpt, Line};
use stethoscope::exposition::validate::{Lint, Warning};

/// The subjects shown of each kind of warning.
const SHOWN: usize = 5;

/// Warnings in groups, in the order in which their kinds were met.
pub(super) struct Findings {
    name: String,
    /// Whether each warning is printed at once instead.
    all: bool,
    groups: Vec<Group>,
}

struct Group {
    lint: Lint,
    count: u64,
    first: Excerpt,
    /// The first different subjects, each with its line.
    subjects: Vec<(String, usize)>,
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

    pub(super) fn add(&mut self, warning: &Warning, line: Option<Line<'_>>, bar: &ProgressBar) {
        if self.all {
            let excerpt = warning.display_in(line);
            let name = &self.name;
            bar.suspend(|| output::eprintln(format_args!("{name}: warning: {excerpt}")));
            return;
        }
        let known = (self.groups.iter_mut()).find(|group| group.lint == warning.lint());
        let group = match known {
            Some(group) => group,
            None => {
                self.groups.push(Group {
                    lint: warning.lint(),
                    count: 0,
                    first: warning.display_in(line),
                    subjects: Vec::new(),
                });
                self.groups.last_mut().expect("just pushed")
            }
        };
        group.count += 1;
        let is_new = || (group.subjects.iter()).all(|(known, _)| *known != warning.short_subject());
        if group.subjects.len() < SHOWN && is_new() {
            let subject = warning.short_subject().into_owned();
            group.subjects.push((subject, warning.line()));
        }
    }

    /// Prints the groups.
    pub(super) fn print(&self) {
        let name = &self.name;
        for group in &self.groups {
            if group.count == 1 {
                output::eprintln(format_args!("{name}: warning: {}", group.first));
                continue;
            }
            let Group { lint, count, .. } = group;
            let mut text = format!("{name}: warning, {count} times: {lint}");
            for (subject, line) in &group.subjects {
                text += &format!("\n  line {line}: {subject}");
            }
            if *count > group.subjects.len() as u64 {
                text += "\n  … (--all shows each line)";
            }
            output::eprintln(text);
        }
    }
}
