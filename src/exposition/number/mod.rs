//! Formatting and parsing of numbers: every value, bound and timestamp on a page
//! passes through here, in both directions.
//!
//! ```text
//! u64, i64, f64 ── format_* ──> text ── parse_* ──> the same bits
//! ```
//!
//! The output is canonical: one text for each value, whatever the format.
//!
//! | value | text |
//! |---|---|
//! | integral, below 2^53 | `3`, `-12`, `-0`, `1000000000` |
//! | any other float | shortest digits that read back: `0.1`, `1.5e+300`, `1e-05` |
//! | not finite | `NaN`, `+Inf`, `-Inf` |
//!
//! An exponent is written where Python writes one: below `1e-04`, and from
//! `1e+16` on.

mod digits;
mod format;
mod parse;

pub use format::{format_bound, format_f64, format_go, format_i64, format_u64};
pub(super) use format::{format_f64_into, format_i64_into, format_u64_into};
#[cfg(feature = "parse")]
pub(crate) use parse::parse_prefix;
pub use parse::{parse_f64, parse_millis, parse_seconds};

/// The maximum length of a number in bytes: `-1.7976931348623157e+308`.
pub const MAX_LEN: usize = 24;

/// The size of the buffer that a number is formatted into: more than
/// [`MAX_LEN`], so that a fixed number of bytes may be copied where a shorter
/// text is meant.
pub(super) const BUF_LEN: usize = 32;

const _: () = assert!("-1.7976931348623157e+308".len() <= MAX_LEN);
const _: () = assert!("-0.00012345678901234567".len() <= MAX_LEN);
const _: () = assert!("-9223372036854775808".len() <= MAX_LEN);
const _: () = assert!("18446744073709551615".len() <= MAX_LEN);
const _: () = assert!(MAX_LEN + 8 <= BUF_LEN);

/// The text of a number, on the stack.
///
/// ```
/// use stethoscope::exposition::number::{format_bound, format_f64};
///
/// assert_eq!(format_f64(0.25).as_str(), "0.25");
/// assert_eq!(format_f64(1e6).as_str(), "1000000");
/// assert_eq!(format_bound(1e6).as_str(), "1e+06");
/// ```
#[derive(Clone, Copy)]
pub struct FormattedNumber {
    bytes: [u8; BUF_LEN],
    len: usize,
}

impl FormattedNumber {
    fn new(format: impl FnOnce(&mut [u8; BUF_LEN]) -> usize) -> Self {
        let mut bytes = [0; BUF_LEN];
        let len = format(&mut bytes);
        Self { bytes, len }
    }

    /// The text as bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The text.
    #[allow(clippy::missing_panics_doc, reason = "numbers are ASCII")]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("numbers are ASCII")
    }
}

impl std::fmt::Debug for FormattedNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Display for FormattedNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
