//! Which formats there are.

/// A text format of the exposition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// Prometheus text 0.0.4: what every reader takes.
    #[default]
    Text,
    /// Prometheus text 1.0.0: 0.0.4 with quoted UTF-8 names.
    Text1,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// What happens to a name that is not `[a-zA-Z_:][a-zA-Z0-9_:]*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Escaping {
    /// Every other character becomes an underscore.
    #[default]
    Underscores,
    /// Names are written as they are, quoted where they must be.
    AllowUtf8,
    /// `.` becomes `_dot_`, `_` becomes `__`, every other character `__`.
    Dots,
    /// Prefixed with `U__`, every other character as `_hex_`.
    Values,
}

/// A format together with the escaping of its names: all that a page's bytes
/// depend on beside the values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ContentType {
    /// The text format.
    pub format: Format,
    /// How names outside the classic alphabet are written.
    pub escaping: Escaping,
}

impl From<Format> for ContentType {
    fn from(format: Format) -> Self {
        Self {
            format,
            escaping: Escaping::Underscores,
        }
    }
}
