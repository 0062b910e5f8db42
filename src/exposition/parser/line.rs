//! A line of a page.

/// The line that an event stands on.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Line<'a> {
    /// The offset of its first byte in the page.
    pub offset: usize,
    /// Its number, from 1.
    pub number: usize,
    /// The line, its newline included.
    pub text: &'a [u8],
}
