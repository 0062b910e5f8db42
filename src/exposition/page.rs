//! The text of a page, brought up to date in place.
//!
//! Most values keep their length from one scrape to the next, so most of a page
//! stays where it is. From the first value with another length on, the rest of
//! the page moves. Each piece of old text is then put aside before new text
//! overwrites it:
//!
//! ```text
//! bytes   new text ......│ overwritten │ old text ............│ padding
//!                      write                               old_len
//! saved                  └ a copy of ──┘ old text from `read` on
//! ```
//!
//! A second copy of the page, which lines were copied from, took as long when
//! all values had changed, and longer when few had.

use super::number::BUF_LEN;

/// Bytes after the text that may be overwritten with anything.
const PADDING: usize = BUF_LEN;
/// Room for values that become longer, so that the scrapes of a page of usual size
/// allocate nothing from the second on.
const ROOM: usize = 4096;

/// A page, kept from one scrape to the next.
#[derive(Default)]
pub(super) struct KeptPage {
    /// The text, and at least [`PADDING`] bytes after it.
    bytes: Vec<u8>,
    /// Length of the text.
    len: usize,
    /// Scratch space of [`Editor`].
    saved: Vec<u8>,
}

impl KeptPage {
    /// Makes a page of `text`, which is expected to grow by so many bytes.
    pub(super) fn new(mut text: Vec<u8>, growth: usize) -> Self {
        let len = text.len();
        let room = len + growth.max(ROOM.min(len)) + PADDING;
        text.reserve_exact(room - len);
        text.resize(room, 0);
        text.shrink_to_fit();
        Self {
            bytes: text,
            len,
            saved: Vec::with_capacity(ROOM.min(len)),
        }
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The text as a vector, without room for more.
    pub(super) fn into_text(mut self) -> Vec<u8> {
        self.bytes.truncate(self.len);
        self.bytes.shrink_to_fit();
        self.bytes
    }

    /// Begins to edit the page from its beginning to its end. The text is not a
    /// page until [`Editor::finish`].
    pub(super) fn edit(&mut self) -> Editor<'_> {
        self.saved.clear();
        Editor {
            bytes: &mut self.bytes,
            len: &mut self.len,
            saved: &mut self.saved,
            used: 0,
            read: 0,
            write: 0,
            kept: 0,
        }
    }
}

/// Replaces the text of a page piece by piece, front to back.
pub(super) struct Editor<'a> {
    bytes: &'a mut Vec<u8>,
    /// Length of the old text.
    len: &'a mut usize,
    /// After its first `used` bytes, a copy of the old text from `read` on.
    ///
    /// INVARIANT: the old text after it is still in `bytes`. Empty if
    /// `write <= read`.
    saved: &'a mut Vec<u8>,
    used: usize,
    /// Length of the old text that has been edited.
    read: usize,
    /// Length of the new text.
    write: usize,
    /// Length of the text after both that is to be kept: pieces are moved together.
    kept: usize,
}

impl Editor<'_> {
    /// Keeps the next `len` bytes of the text.
    #[inline]
    pub(super) fn keep(&mut self, len: usize) {
        self.kept += len;
    }

    /// Returns the next `len` bytes of the text, and some padding, if they are at
    /// their place: they may be edited as long as they keep their length, and be
    /// kept then.
    #[inline]
    pub(super) fn in_place(&mut self, len: usize) -> Option<&mut [u8]> {
        let start = self.read + self.kept;
        (self.write == self.read).then(|| &mut self.bytes[start..start + len + PADDING])
    }

    /// Returns the next `len` bytes of the text, and room for `most` bytes in their
    /// stead, each with some padding. To be followed by
    /// [`rewritten`](Self::rewritten).
    #[inline]
    pub(super) fn rewrite(&mut self, len: usize, most: usize) -> (&[u8], &mut [u8]) {
        self.move_kept();
        let room = self.write + most + PADDING;
        self.save(room.max(self.read + len + PADDING));
        self.make_room(room);
        (
            &self.saved[self.used..][..len + PADDING],
            &mut self.bytes[self.write..room],
        )
    }

    /// Goes on after text of which `old` bytes were replaced by `new` ones. Nothing
    /// was written beyond those and the padding.
    #[inline]
    pub(super) fn rewritten(&mut self, old: usize, new: usize) {
        self.used += old;
        self.read += old;
        self.write += new;
        let overwritten = self.write + PADDING;
        let needed = overwritten.min(*self.len).saturating_sub(self.read);
        self.saved.truncate(self.used + needed);
        if self.write <= self.read {
            let rest = &self.saved[self.used..];
            self.bytes[self.read..][..rest.len()].copy_from_slice(rest);
            self.saved.clear();
            self.used = 0;
        }
        self.forget_used();
    }

    /// Length of the new text so far.
    #[inline]
    pub(super) fn written(&self) -> usize {
        self.write + self.kept
    }

    /// Moves the text that is kept.
    #[inline]
    fn move_kept(&mut self) {
        let len = std::mem::take(&mut self.kept);
        if self.write != self.read {
            self.move_text(len);
        }
        self.read += len;
        self.write += len;
        self.forget_used();
    }

    fn move_text(&mut self, len: usize) {
        let (read, write) = (self.read, self.write);
        if write < read {
            self.bytes.copy_within(read..read + len, write);
            return;
        }
        self.make_room(write + len + PADDING);
        let saved = self.saved.len() - self.used;
        if saved < len {
            // The end moves within `bytes`, over the text after it.
            let next = read + len..(write + len).min(*self.len);
            self.saved.extend_from_slice(&self.bytes[next]);
            self.bytes
                .copy_within(read + saved..read + len, write + saved);
        } else {
            self.save(write + len);
        }
        let saved = &self.saved[self.used..][..saved.min(len)];
        self.bytes[write..][..saved.len()].copy_from_slice(saved);
        self.used += saved.len();
    }

    /// Puts the old text up to `end` aside, or all, and the padding.
    #[inline]
    fn save(&mut self, end: usize) {
        let saved = self.read + self.saved.len() - self.used;
        let end = end.min(*self.len + PADDING);
        if end > saved {
            self.saved.extend_from_slice(&self.bytes[saved..end]);
        }
    }

    #[inline]
    fn forget_used(&mut self) {
        if self.used > self.saved.len() / 2 {
            self.saved.drain(..self.used);
            self.used = 0;
        }
    }

    #[inline]
    fn make_room(&mut self, len: usize) {
        if self.bytes.len() < len {
            self.grow(len);
        }
    }

    #[cold]
    fn grow(&mut self, len: usize) {
        let more = len + (len / 64).max(ROOM.min(len)) - self.bytes.len();
        self.bytes.reserve_exact(more);
        self.bytes.resize(self.bytes.len() + more, 0);
    }

    /// Ends the edit, at the end of the old text.
    pub(super) fn finish(mut self) {
        self.move_kept();
        debug_assert_eq!(self.read, *self.len, "all of the page was edited");
        *self.len = self.write;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Each piece is kept, or replaced by one of another length.
        #[test]
        fn edited_page_consists_of_its_pieces(
            edits in proptest::collection::vec(
                (0usize..200, proptest::option::of(0usize..200)), 1..60),
            factor in prop::sample::select(vec![1usize, 100]),
            growth in 0usize..100,
            slack in 0usize..100,
        ) {
            let pattern = |seed: usize, len: usize| -> Vec<u8> {
                (0..len).map(|at| (at * 7 + seed * 31) as u8).collect()
            };
            let edits: Vec<(Vec<u8>, Option<Vec<u8>>)> = edits
                .into_iter()
                .enumerate()
                .map(|(seed, (old, new))| (
                    pattern(seed, old * factor),
                    new.map(|len| pattern(seed + 1000, len * factor)),
                ))
                .collect();
            let mut page = KeptPage::new(edits.iter().flat_map(|(old, _)| old.clone()).collect(), growth);
            let mut editor = page.edit();
            for (old, new) in &edits {
                let Some(new) = new else {
                    editor.keep(old.len());
                    continue;
                };
                if let Some(text) = editor.in_place(old.len()) {
                    prop_assert_eq!(&text[..old.len()], &old[..]);
                }
                let (before, room) = editor.rewrite(old.len(), new.len() + slack);
                prop_assert_eq!(&before[..old.len()], &old[..]);
                room[..new.len()].copy_from_slice(new);
                room[new.len()..][..PADDING].fill(b'#');
                editor.rewritten(old.len(), new.len());
            }
            editor.finish();
            let expected: Vec<u8> = edits
                .iter()
                .flat_map(|(old, new)| new.as_ref().unwrap_or(old).clone())
                .collect();
            prop_assert_eq!(page.text(), &expected[..]);
        }
    }
}
