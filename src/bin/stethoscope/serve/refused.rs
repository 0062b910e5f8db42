//! Files of the directory that are not served, and the log of them.

use super::super::output;
use std::collections::BTreeMap;
use std::fmt::Display;

/// The most files that are remembered, so that their names take bounded memory. Further
/// ones are counted and not logged.
const MAX_REMEMBERED: usize = 4096;

/// The files that are not served. Each is logged once, at the second look: a process makes
/// its file some microseconds before it is a segment.
#[derive(Default)]
pub(super) struct RefusedFiles {
    files: BTreeMap<String, RefusedFile>,
    /// The number of files in this look.
    count: i64,
    look: u64,
}

struct RefusedFile {
    inode: u64,
    is_logged: bool,
    /// The look that has seen it last.
    seen: u64,
}

impl RefusedFiles {
    /// Begins a look at the directory.
    pub(super) fn begin(&mut self) {
        self.look += 1;
        self.count = 0;
    }

    /// Adds a file to this look.
    pub(super) fn add(&mut self, name: &str, inode: u64, reason: impl Display) {
        self.count += 1;
        let has_room = self.files.len() < MAX_REMEMBERED;
        match self.files.get_mut(name) {
            Some(file) if file.inode == inode => {
                file.seen = self.look;
                if !std::mem::replace(&mut file.is_logged, true) {
                    output::log(format_args!("{name} is not served: {reason}"));
                }
            }
            _ if has_room => {
                let file = RefusedFile {
                    inode,
                    is_logged: false,
                    seen: self.look,
                };
                self.files.insert(name.to_owned(), file);
            }
            _ => {}
        }
    }

    /// Ends the look: forgets the files that are gone. Returns the number of those that
    /// are there.
    pub(super) fn end(&mut self) -> i64 {
        self.files.retain(|_, file| file.seen == self.look);
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_remembered_while_they_are_there() {
        let mut refused = RefusedFiles::default();
        for look in 1..=3 {
            refused.begin();
            refused.add("a", 1, "x");
            refused.add("b", look, "x");
            assert_eq!(refused.end(), 2);
            assert_eq!(refused.files["a"].is_logged, look > 1);
            // Another file of the same name.
            assert!(!refused.files["b"].is_logged);
        }
        refused.begin();
        assert_eq!(refused.end(), 0);
        assert!(refused.files.is_empty());
    }

    #[test]
    fn memory_for_names_is_bounded() {
        let mut refused = RefusedFiles::default();
        refused.begin();
        for file in 0..5_000 {
            refused.add(&file.to_string(), 1, "x");
        }
        assert_eq!(refused.end(), 5_000);
        assert_eq!(refused.files.len(), MAX_REMEMBERED);
    }
}
