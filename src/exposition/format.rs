//! The formats of a page, and their names in HTTP headers.

pub(super) use crate::name::Escaping;

/// A format of the exposition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Prometheus text 0.0.4, which every reader understands.
    #[default]
    Text,
    /// Prometheus text 1.0.0: 0.0.4 with quoted UTF-8 names.
    Text1,
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// OpenMetrics 2.0, as in its first release candidate (2.0.0-rc0, of March 2026):
    /// one line for each metric, also for histograms and summaries, with the time of its
    /// creation on it, and native histograms.
    ///
    /// The standard may still change. Negotiation offers it only where
    /// [`Offer::with_openmetrics2`](super::Offer::with_openmetrics2) switches it on.
    OpenMetrics2,
    /// Delimited `io.prometheus.client.MetricFamily` messages: the only format in which
    /// today's servers read native histograms. The parser does not read it.
    Protobuf,
}

impl Format {
    /// Every format, the preferred one first: it is sent where an `Accept` header
    /// wants several equally (`*/*`).
    pub(super) const OFFERED: [Format; 5] = [
        Format::Text,
        Format::OpenMetrics,
        Format::Text1,
        Format::Protobuf,
        Format::OpenMetrics2,
    ];

    /// Returns true for both versions of OpenMetrics.
    #[cfg(feature = "parse")]
    pub(crate) fn is_openmetrics(self) -> bool {
        matches!(self, Self::OpenMetrics | Self::OpenMetrics2)
    }

    /// Guesses the format of a page that came without a Content-Type: OpenMetrics 1.0
    /// if its last line is `# EOF`, else text 1.0.0, which is 0.0.4 with more
    /// names. OpenMetrics 2.0 is never guessed.
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

    /// Type, subtype and version. Protobuf has parameters in place of a version.
    pub(super) fn media_type(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Format::Text => ("text", "plain", "0.0.4"),
            Format::Text1 => ("text", "plain", "1.0.0"),
            Format::OpenMetrics => ("application", "openmetrics-text", "1.0.0"),
            Format::OpenMetrics2 => ("application", "openmetrics-text", "2.0.0"),
            Format::Protobuf => ("application", "vnd.google.protobuf", ""),
        }
    }
}

impl Escaping {
    /// Returns the scheme of that name in an `Accept` header.
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

/// A format together with the escaping of its names: everything that the bytes
/// of a page depend on, apart from the registry.
///
/// ```
/// use stethoscope::exposition::{ContentType, Escaping, Format};
/// let content_type = ContentType::new(Format::OpenMetrics, Escaping::AllowUtf8);
/// assert_eq!(content_type.format, Format::OpenMetrics);
/// assert_eq!(ContentType::from(Format::Text).escaping, Escaping::Underscores);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ContentType {
    /// The format.
    pub format: Format,
    /// The escaping of names outside the classic alphabet.
    pub escaping: Escaping,
}

impl From<Format> for ContentType {
    fn from(format: Format) -> Self {
        Self::new(format, Escaping::Underscores)
    }
}

impl ContentType {
    /// A format with an escaping.
    pub const fn new(format: Format, escaping: Escaping) -> Self {
        Self { format, escaping }
    }

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
        // Text 0.0.4 cannot quote names.
        let escaping = match (self.format, self.escaping) {
            (Format::Text, Escaping::AllowUtf8) => Escaping::Underscores,
            (_, escaping) => escaping,
        };
        macro_rules! headers {
            ($media_type:literal) => {
                match escaping {
                    Escaping::Underscores => concat!($media_type, "; escaping=underscores"),
                    Escaping::AllowUtf8 => concat!($media_type, "; escaping=allow-utf-8"),
                    Escaping::Dots => concat!($media_type, "; escaping=dots"),
                    Escaping::Values => concat!($media_type, "; escaping=values"),
                }
            };
        }
        match self.format {
            Format::Text => headers!("text/plain; version=0.0.4; charset=utf-8"),
            Format::Text1 => headers!("text/plain; version=1.0.0; charset=utf-8"),
            Format::OpenMetrics => {
                headers!("application/openmetrics-text; version=1.0.0; charset=utf-8")
            }
            Format::OpenMetrics2 => {
                headers!("application/openmetrics-text; version=2.0.0; charset=utf-8")
            }
            Format::Protobuf => headers!(
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                 encoding=delimited"
            ),
        }
    }
}
