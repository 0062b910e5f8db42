//! The characters of names, defined once for all readers and writers of names.
//!
//! ```text
//! metric name   [a-zA-Z_:][a-zA-Z0-9_:]*
//! label name    [a-zA-Z_][a-zA-Z0-9_]*
//! unit          [a-zA-Z0-9_:]+
//! ```

/// Returns true for `[a-zA-Z_]`.
#[inline]
pub(crate) const fn begins_label_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

/// Returns true for `[a-zA-Z0-9_]`.
#[inline]
pub(crate) const fn is_in_label_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Returns true for `[a-zA-Z_:]`.
#[inline]
pub(crate) const fn begins_metric_name(byte: u8) -> bool {
    begins_label_name(byte) || byte == b':'
}

/// Returns true for `[a-zA-Z0-9_:]`.
#[inline]
pub(crate) const fn is_in_metric_name(byte: u8) -> bool {
    is_in_label_name(byte) || byte == b':'
}

/// Returns true if OpenMetrics allows `unit` as a unit.
pub(crate) fn is_unit(unit: &str) -> bool {
    !unit.is_empty() && unit.bytes().all(is_in_metric_name)
}

/// The alphabet of a classic name.
#[derive(Clone, Copy)]
pub(super) enum Alphabet {
    Metric,
    Label,
}

impl Alphabet {
    /// Returns true if the character may stand in a classic name, at its beginning
    /// or after it.
    pub(super) fn contains(self, character: char, at_beginning: bool) -> bool {
        let Ok(byte) = u8::try_from(character) else {
            return false;
        };
        match (self, at_beginning) {
            (Self::Metric, true) => begins_metric_name(byte),
            (Self::Metric, false) => is_in_metric_name(byte),
            (Self::Label, true) => begins_label_name(byte),
            (Self::Label, false) => is_in_label_name(byte),
        }
    }
}
