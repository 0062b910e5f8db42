//! Versions of the Prometheus server, as far as they differ.

use clap::ValueEnum;
use stethoscope::exposition::validate::Lint;

/// A version of the Prometheus server.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub(super) enum Server {
    /// Prometheus 2.42.
    #[value(name = "2.42", alias = "2")]
    V2,
    /// Prometheus 3.
    #[value(name = "3")]
    V3,
}

impl Server {
    /// Returns the server's Accept header.
    pub(super) fn accept(self) -> &'static str {
        match self {
            Self::V2 => {
                "application/openmetrics-text;version=1.0.0,\
                 application/openmetrics-text;version=0.0.1;q=0.75,\
                 text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
            }
            Self::V3 => {
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                 application/openmetrics-text;version=0.0.1;q=0.5,\
                 text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
                 text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
            }
        }
    }

    /// Returns true if the server refuses a page because of a lint.
    pub(super) fn refuses(self, lint: Lint) -> bool {
        match lint {
            Lint::SignedTimestamp | Lint::BlanksAroundType => true,
            Lint::LeadingBlank
            | Lint::UnsupportedExemplar
            | Lint::QuotedName
            | Lint::TrailingComma => self == Self::V2,
            _ => false,
        }
    }
}
