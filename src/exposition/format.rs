//! Which formats there are, and what each is called on the wire. Which of them a
//! reader's `Accept` header asks for is `negotiation`'s business.

pub use crate::name::scheme::Escaping;

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

impl Format {
    /// Every format; of those a header wants equally (`*/*`), the first is sent.
    pub(super) const OFFERED: [Format; 3] = [Format::Text, Format::OpenMetrics, Format::Text1];

    /// What a page without a Content-Type seems to be: OpenMetrics if its last
    /// line is `# EOF`, else text 1.0.0, which is 0.0.4 with more names.
    ///
    /// ```
    /// use stethoscope::exposition::Format;
    /// assert_eq!(Format::guess(b"up 1\n# EOF\n"), Format::OpenMetrics);
    /// assert_eq!(Format::guess(b"up 1\n"), Format::Text1);
    /// ```
    pub fn guess(page: &[u8]) -> Self {
        match page.ends_with(b"# EOF\n") || page.ends_with(b"# EOF") {
            true => Self::OpenMetrics,
            false => Self::Text1,
        }
    }

    /// Type, subtype and version.
    pub(super) fn media_type(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Format::Text => ("text", "plain", "0.0.4"),
            Format::Text1 => ("text", "plain", "1.0.0"),
            Format::OpenMetrics => ("application", "openmetrics-text", "1.0.0"),
        }
    }
}

impl Escaping {
    /// The scheme of that name in an `Accept` header.
    pub(super) fn from_parameter(value: &str) -> Option<Self> {
        match value {
            "underscores" => Some(Escaping::Underscores),
            "allow-utf-8" => Some(Escaping::AllowUtf8),
            "dots" => Some(Escaping::Dots),
            "values" => Some(Escaping::Values),
            _ => None,
        }
    }
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

impl ContentType {
    /// The value of the `Content-Type` header.
    ///
    /// ```
    /// use stethoscope::exposition::{ContentType, Format};
    /// assert_eq!(
    ///     ContentType::from(Format::Text).header(),
    ///     "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
    /// );
    /// ```
    pub const fn header(self) -> &'static str {
        // Text 0.0.4 has no quotes that such a name could stand in.
        let escaping = match (self.format, self.escaping) {
            (Format::Text, Escaping::AllowUtf8) => Escaping::Underscores,
            (_, escaping) => escaping,
        };
        macro_rules! headers {
            ($media_type:literal) => {
                match escaping {
                    Escaping::Underscores => {
                        concat!($media_type, "; charset=utf-8; escaping=underscores")
                    }
                    Escaping::AllowUtf8 => {
                        concat!($media_type, "; charset=utf-8; escaping=allow-utf-8")
                    }
                    Escaping::Dots => concat!($media_type, "; charset=utf-8; escaping=dots"),
                    Escaping::Values => concat!($media_type, "; charset=utf-8; escaping=values"),
                }
            };
        }
        match self.format {
            Format::Text => headers!("text/plain; version=0.0.4"),
            Format::Text1 => headers!("text/plain; version=1.0.0"),
            Format::OpenMetrics => headers!("application/openmetrics-text; version=1.0.0"),
        }
    }
}
