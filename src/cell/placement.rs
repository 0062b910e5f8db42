//! Cells in words that they do not own: those of a segment.

/// The meaning of a cell's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// An unsigned integer.
    U64,
    /// A signed integer in two's complement.
    I64,
    /// An IEEE 754 double.
    F64,
    /// The sum, then the count of each bucket, the one above all bounds included.
    Histogram,
    /// A bit for each state, then a word that only the cell uses.
    StateSet,
    /// No word: the number is 1.
    One,
}

#[cfg(not(loom))]
pub use placing::Placement;
#[cfg(not(loom))]
pub(crate) use placing::{CellMemory, CellWords, Placed};

#[cfg(not(loom))]
#[allow(unsafe_code)]
mod placing {
    use super::Encoding;
    use crate::cell::Cell;
    use std::fmt;
    use std::ops::Deref;
    use std::ptr::NonNull;
    use std::sync::atomic::AtomicU64;

    /// How cells of a type live in words that they do not own. Only cells of this
    /// crate have one.
    pub struct Placement<C: Cell> {
        pub(crate) encoding: Encoding,
        /// The number of parts of a cell, whose sum is its value. Each begins a cache
        /// line. In one of several parts of an integer, the second word counts, too.
        pub(crate) parts: usize,
        /// Makes a cell at its initial value of words that are zero.
        ///
        /// # Safety
        /// There must be as many words as the encoding says; if there are several parts,
        /// whole cache lines for each. They must begin a cache line, belong to this
        /// cell, and be valid for as long as the cell is used.
        pub(crate) place: unsafe fn(&C::Options, &'static [AtomicU64]) -> Placed<C>,
    }

    impl<C: Cell> fmt::Debug for Placement<C> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("Placement")
                .field("encoding", &self.encoding)
                .finish_non_exhaustive()
        }
    }

    /// A cell in words that it does not own.
    pub(crate) enum Placed<C> {
        /// The words are the cell.
        Inside(NonNull<C>),
        /// The cell refers to the words.
        Beside(C),
    }

    impl<C: Cell> Placement<C> {
        /// The placement of a cell that is one word.
        ///
        /// # Safety
        /// The type must be transparent over a 64-bit atomic, for which 0 is the
        /// initial value.
        pub(in crate::cell) unsafe fn one_word(encoding: Encoding) -> Self {
            Self {
                encoding,
                parts: 1,
                place: |_, words| Placed::Inside(NonNull::from(&words[0]).cast()),
            }
        }
    }

    /// Words that are owned, or those of a segment.
    pub(crate) type CellWords = CellMemory<AtomicU64>;

    /// Atomics that are owned, or words of a segment.
    pub(crate) struct CellMemory<T> {
        /// INVARIANT: points to values that outlive `self`. If `owned`, they are those
        /// of a box.
        words: NonNull<[T]>,
        owned: bool,
    }

    // SAFETY: the values are reached by shared references only.
    unsafe impl<T: Send + Sync> Send for CellMemory<T> {}
    // SAFETY: as above.
    unsafe impl<T: Send + Sync> Sync for CellMemory<T> {}

    impl<T> CellMemory<T> {
        /// Refers to words that something else owns.
        ///
        /// # Safety
        /// They must be valid for as long as the result exists.
        pub(in crate::cell) unsafe fn borrowed(words: &'static [T]) -> Self {
            Self {
                words: NonNull::from(words),
                owned: false,
            }
        }
    }

    impl<T> FromIterator<T> for CellMemory<T> {
        fn from_iter<I: IntoIterator<Item = T>>(words: I) -> Self {
            let words: Box<[T]> = words.into_iter().collect();
            Self {
                words: NonNull::from(Box::leak(words)),
                owned: true,
            }
        }
    }

    impl<T> Deref for CellMemory<T> {
        type Target = [T];

        #[inline]
        fn deref(&self) -> &[T] {
            // SAFETY: the invariant of `words`.
            unsafe { self.words.as_ref() }
        }
    }

    impl<T> Drop for CellMemory<T> {
        fn drop(&mut self) {
            if self.owned {
                // SAFETY: it came from a box, which nothing else frees.
                drop(unsafe { Box::from_raw(self.words.as_ptr()) });
            }
        }
    }

    impl<T: fmt::Debug> fmt::Debug for CellMemory<T> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            (**self).fmt(f)
        }
    }
}
