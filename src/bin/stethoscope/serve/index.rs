//! The agent's page for people: what it serves, with links.

use std::fmt::Write;

pub(super) const HTML: &str = "text/html; charset=utf-8";

/// The most processes that the page for people has links to.
const MAX_LISTED: usize = 500;

/// A link, and words about it.
pub(super) struct IndexEntry<'a> {
    pub(super) path: String,
    pub(super) state: &'a str,
    pub(super) program: &'a str,
}

/// Returns the page. It is readable as text, too.
pub(super) fn html<'a>(
    groups: impl Iterator<Item = &'a String>,
    processes: impl ExactSizeIterator<Item = IndexEntry<'a>>,
) -> String {
    let mut html = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <title>stethoscope</title></head><body><pre>\n\
         This agent serves:\n\n"
        .to_owned();
    let mut link = |path: &str, words: &str| {
        // Paths have no character that HTML gives a meaning: see `is_id`.
        let words = escaped(words);
        // Writing to a string does not fail.
        let _ = writeln!(html, "<a href=\"{path}\">{path}</a>  {words}");
    };
    link("/metrics", "the agent itself");
    let targets = "the list of all targets, for Prometheus' http_sd_configs";
    link("/metrics/targets", targets);
    for group in groups {
        let words = "one page for all processes of the group";
        link(&format!("/group/{group}"), words);
    }
    let left_out = processes.len().saturating_sub(MAX_LISTED);
    for entry in processes.take(MAX_LISTED) {
        link(&entry.path, &format!("{}  {}", entry.state, entry.program));
    }
    if left_out > 0 {
        let _ = writeln!(html, "\n{left_out} more are in the list of targets.");
    }
    html += "\nA process that lives is at /process/ID, the last page of a dead one at \
         /postmortem/ID,\na group at /group/NAME. ID is the name of a segment's file without \
         extension.\n</pre></body></html>\n";
    html
}

/// Replaces the characters that HTML gives a meaning.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_of_links_is_bounded_and_names_are_escaped() {
        let ids: Vec<usize> = (0..MAX_LISTED + 7).collect();
        let entries = ids.iter().map(|id| IndexEntry {
            path: format!("/process/{id}"),
            state: "running",
            program: "<b>&",
        });
        let html = html([].iter(), entries);
        assert_eq!(
            html.matches("<a href=\"/process/").count(),
            MAX_LISTED,
            "{html}"
        );
        assert!(html.contains("\n7 more are "), "{html}");
        assert!(html.contains("</a>  running  &lt;b&gt;&amp;\n"), "{html}");
    }
}
