//! Escape and unescape, side by side.

/// Appends a label value, escaped, without its quotes.
pub fn escape_label(value: &str, into: &mut Vec<u8>) {
    for &byte in value.as_bytes() {
        match byte {
            b'\\' => into.extend_from_slice(b"\\\\"),
            b'"' => into.extend_from_slice(b"\\\""),
            b'\n' => into.extend_from_slice(b"\\n"),
            _ => into.push(byte),
        }
    }
}

/// Appends a HELP text, escaped: `\` and newline, and `"` in OpenMetrics.
pub fn escape_help(help: &str, quotes: bool, into: &mut Vec<u8>) {
    for &byte in help.as_bytes() {
        match byte {
            b'\\' => into.extend_from_slice(b"\\\\"),
            b'"' if quotes => into.extend_from_slice(b"\\\""),
            b'\n' => into.extend_from_slice(b"\\n"),
            _ => into.push(byte),
        }
    }
}
