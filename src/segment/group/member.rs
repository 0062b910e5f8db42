//! The processes of a group.

use crate::segment::format::header;
use crate::segment::segment_file::SegmentFile;
use crate::segment::view::{Values, View};

/// A process of a group.
pub(super) struct Member {
    pub(super) file: SegmentFile,
    pub(super) id: FileId,
    pub(super) view: View,
    /// The generation of the view that `families` is of, if it has all of its series.
    pub(super) generation: Option<u64>,
    pub(super) families: Vec<MemberFamily>,
    /// The families and series that are not on the page.
    pub(super) left_out: u64,
}

/// The series of a member's family.
pub(super) struct MemberFamily {
    /// The number in the member's segment.
    pub(super) id: u64,
    /// The number in the group.
    pub(super) merged: u64,
    /// Slot in the segment, and index in the group's family.
    pub(super) series: Vec<(usize, usize)>,
}

/// The identity of a file. A name may be used again, by another process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    pub(super) name: String,
    pub(super) inode: u64,
    pub(super) created: u64,
}

impl Member {
    /// A process whose segment was not read yet.
    pub(super) fn new(file: SegmentFile, id: FileId) -> Self {
        Self {
            file,
            id,
            view: View::default(),
            generation: None,
            families: Vec::new(),
            left_out: 0,
        }
    }

    /// Calls `each` with the merged family, the index and the words of each series that
    /// was read.
    pub(super) fn for_each_series(
        &self,
        values: &Values,
        mut each: impl FnMut(u64, usize, &[u64]),
    ) {
        for of in &self.families {
            let Some(from) = self.view.families.get(&of.id) else {
                continue;
            };
            let slabs = from.slabs(values);
            for &(slot, index) in &of.series {
                if let Some(words) = from.words(slot, &slabs) {
                    each(of.merged, index, words);
                }
            }
        }
    }
}

impl FileId {
    pub(super) fn of(file: &SegmentFile, name: &str) -> Option<Self> {
        Some(Self {
            name: name.to_owned(),
            inode: file.stat().ok()?.st_ino,
            created: file.header().ok()?[header::CREATED],
        })
    }

    pub(super) fn labels(&self) -> [String; 3] {
        [
            self.name.clone(),
            self.inode.to_string(),
            self.created.to_string(),
        ]
    }

    /// Parses the values that `labels` returns. `None` for the name of a file elsewhere.
    pub(super) fn from_labels(labels: &[String]) -> Option<Self> {
        let [name, inode, created] = labels else {
            return None;
        };
        let is_name = !name.as_bytes().contains(&b'/');
        is_name.then_some(())?;
        Some(Self {
            name: name.clone(),
            inode: inode.parse().ok()?,
            created: created.parse().ok()?,
        })
    }

    /// Returns the name without extension.
    pub(super) fn stem(&self) -> &str {
        self.name.strip_suffix(".segment").unwrap_or(&self.name)
    }
}
