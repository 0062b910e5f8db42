//! Content negotiation: the format that an `Accept` header asks for, and the one
//! that a `Content-Type` header names.
//!
//! [`ContentType::acceptable`] takes a header entry by entry: it splits a media
//! range from its parameters, reads its weight (`q`), and compares it with each
//! format on offer. The most specific range decides a format's weight, the
//! greatest weight wins, and of equals the more specific, then the one named
//! first. Nothing is allocated.
//!
//! Differences from the negotiation of Go's client library:
//!
//! - OpenMetrics 0.0.1 is not on offer, and 2.0 only where the user has [switched it
//!   on](Offer::with_openmetrics2), to readers that name its version. A reader that asks
//!   only for what is not on offer gets text 0.0.4; OpenMetrics without a version is 1.0.
//! - Protobuf is sent only to readers that name it, with the message and the delimited
//!   encoding: nobody who asks for anything expects it.
//! - A range of wildcards only gets text 0.0.4, which every reader understands.
//! - Text 0.0.4 cannot quote names, so it is never `escaping=allow-utf-8`.
//! - The most specific range weighs a format, as RFC 9110 requires; in Go the
//!   first that matches does.

use super::format::{ContentType, Escaping, Format};
use std::cmp::Reverse;

/// The formats that readers are offered.
///
/// ```
/// use stethoscope::exposition::{Format, Offer};
///
/// let asked = "application/openmetrics-text;version=2.0.0,\
///              application/openmetrics-text;version=1.0.0;q=0.9,*/*;q=0.1";
/// let offer = Offer::new();
/// assert_eq!(offer.negotiate(asked).format, Format::OpenMetrics);
/// let offer = offer.with_openmetrics2(true);
/// assert_eq!(offer.negotiate(asked).format, Format::OpenMetrics2);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offer {
    /// OpenMetrics 2.0, to readers that ask for `version=2.0.0`. Its standard is a
    /// release candidate, so it is not offered unless it is switched on.
    pub openmetrics2: bool,
}

impl Offer {
    /// Every format but OpenMetrics 2.0.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            openmetrics2: false,
        }
    }

    /// Offers OpenMetrics 2.0 as well, or not.
    #[must_use]
    pub const fn with_openmetrics2(self, openmetrics2: bool) -> Self {
        Self { openmetrics2 }
    }

    /// Chooses the answer to an `Accept` header: the best that it accepts, or text
    /// 0.0.4, which every reader understands, if it names none of these formats.
    ///
    /// Several `Accept` headers count as one, joined by commas.
    #[must_use]
    pub fn negotiate(self, accept: &str) -> ContentType {
        self.acceptable(accept).unwrap_or_default()
    }

    /// Like [`negotiate`](Self::negotiate), but returns `None` if the header refuses
    /// (`q=0`) every format: the one case for a `406`.
    ///
    /// ```
    /// use stethoscope::exposition::Offer;
    /// assert_eq!(Offer::new().acceptable("*/*;q=0"), None);
    /// ```
    #[must_use]
    pub fn acceptable(self, accept: &str) -> Option<ContentType> {
        self.acceptable_in([accept])
    }

    /// Like [`acceptable`](Self::acceptable), for headers that came one by one.
    pub(crate) fn acceptable_in<'a>(
        self,
        headers: impl IntoIterator<Item = &'a str>,
    ) -> Option<ContentType> {
        let mut offers = Format::OFFERED.map(Candidate::new);
        let offers = match self.openmetrics2 {
            true => &mut offers[..],
            false => {
                let [rest @ .., Candidate { content_type, .. }] = &mut offers;
                debug_assert_eq!(content_type.format, Format::OpenMetrics2);
                rest
            }
        };
        for (place, range) in media_ranges(headers).enumerate() {
            for offer in &mut *offers {
                offer.consider(&range, place);
            }
        }
        let mut best = &offers[0];
        for offer in &offers[1..] {
            if offer.found > best.found {
                best = offer;
            }
        }
        let refused = |offer: &Candidate| offer.found.is_some_and(|found| found.weight == 0);
        if best.found.is_some() && !refused(best) {
            return Some(best.content_type);
        }
        // Text is the answer to a header that names none of our formats, but not
        // to one that refuses it.
        (!refused(&offers[0])).then(ContentType::default)
    }
}

impl ContentType {
    /// Chooses the answer to an `Accept` header, like [`Offer::negotiate`], without
    /// OpenMetrics 2.0: the best that it accepts, or text 0.0.4, which every reader
    /// understands, if it names none of our formats.
    ///
    /// Several `Accept` headers count as one, joined by commas.
    ///
    /// ```
    /// use stethoscope::exposition::{ContentType, Escaping, Format};
    /// let asked = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
    ///              text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    /// let answer = ContentType::negotiate(asked);
    /// assert_eq!(answer.format, Format::OpenMetrics);
    /// assert_eq!(answer.escaping, Escaping::AllowUtf8);
    /// assert_eq!(ContentType::negotiate("image/png").format, Format::Text);
    /// ```
    pub fn negotiate(accept: &str) -> Self {
        Offer::new().negotiate(accept)
    }

    /// Like [`negotiate`](Self::negotiate), but returns `None` if the header refuses
    /// (`q=0`) every format: the one case for a `406`.
    ///
    /// ```
    /// use stethoscope::exposition::ContentType;
    /// assert_eq!(ContentType::acceptable("*/*;q=0"), None);
    /// assert_eq!(ContentType::acceptable("image/png"), Some(ContentType::default()));
    /// ```
    pub fn acceptable(accept: &str) -> Option<Self> {
        Offer::new().acceptable(accept)
    }

    /// Reads a `Content-Type` header. One that names none of our formats means text
    /// 0.0.4, as it does to the oldest readers.
    ///
    /// ```
    /// use stethoscope::exposition::{ContentType, Format};
    /// let header = ContentType::from(Format::OpenMetrics).header();
    /// assert_eq!(ContentType::from_header(header).format, Format::OpenMetrics);
    /// assert_eq!(ContentType::from_header("text/plain").format, Format::Text);
    /// ```
    pub fn from_header(header: &str) -> Self {
        let named = MediaRange::parse(header);
        let openmetrics = named.media_type.eq_ignore_ascii_case("application")
            && named.subtype.eq_ignore_ascii_case("openmetrics-text");
        Self {
            format: match named.version {
                Some("2.0.0") if openmetrics => Format::OpenMetrics2,
                _ if openmetrics => Format::OpenMetrics,
                _ if named.is_protobuf() => Format::Protobuf,
                Some("1.0.0") => Format::Text1,
                _ => Format::Text,
            },
            escaping: named.escaping,
        }
    }
}

/// A format on offer, and the range that decides its weight.
struct Candidate {
    content_type: ContentType,
    found: Option<ClauseMatch>,
}

/// The rank of an offer. The order of the fields is the order of comparison.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ClauseMatch {
    weight: u16,
    specificity: Specificity,
    place: Reverse<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Specificity {
    Anything,
    AnySubtype,
    AnyVersion,
    Exact,
}

impl Candidate {
    fn new(format: Format) -> Self {
        Self {
            content_type: format.into(),
            found: None,
        }
    }

    fn consider(&mut self, range: &MediaRange<'_>, place: usize) {
        let Some(specificity) = range.specificity(self.content_type.format) else {
            return;
        };
        let found = ClauseMatch {
            weight: range.weight,
            specificity,
            place: Reverse(place),
        };
        // The most specific range decides; of the same range twice, the better.
        if self
            .found
            .is_none_or(|before| (specificity, found) > (before.specificity, before))
        {
            self.found = Some(found);
            self.content_type.escaping = range.escaping;
        }
    }
}

/// Returns true if these `Accept` headers are a browser's: they name `text/html`,
/// and none of our formats by name with as great a weight.
#[cfg(any(feature = "responder", test))]
pub(crate) fn prefers_html<'a>(headers: impl IntoIterator<Item = &'a str>) -> bool {
    let (mut html, mut ours) = (0, 0);
    for range in media_ranges(headers) {
        let by_name = |format: &Format| range.specificity(*format) >= Some(Specificity::AnyVersion);
        if range.media_type.eq_ignore_ascii_case("text")
            && range.subtype.eq_ignore_ascii_case("html")
        {
            html = html.max(range.weight);
        } else if Format::OFFERED.iter().any(by_name) {
            ours = ours.max(range.weight);
        }
    }
    html > ours
}

fn media_ranges<'a>(
    headers: impl IntoIterator<Item = &'a str>,
) -> impl Iterator<Item = MediaRange<'a>> {
    let entries = headers
        .into_iter()
        .flat_map(|header| split_unquoted(header, ','));
    entries.map(MediaRange::parse)
}

/// One entry of an `Accept` header, or a `Content-Type`: the parts that matter here.
struct MediaRange<'a> {
    media_type: &'a str,
    subtype: &'a str,
    version: Option<&'a str>,
    /// The type of the messages of protobuf.
    proto: &'a str,
    encoding: &'a str,
    escaping: Escaping,
    weight: u16,
}

impl<'a> MediaRange<'a> {
    /// Parses an entry. Of a parameter that comes twice the last counts; unknown
    /// parameters and unknown escaping schemes are ignored.
    fn parse(entry: &'a str) -> Self {
        let mut parts = split_unquoted(entry, ';');
        let range = parts.next().unwrap_or_default().trim();
        // Some clients send `*` for `*/*`.
        let (media_type, subtype) = match range {
            "*" => ("*", "*"),
            _ => range.split_once('/').unwrap_or((range, "")),
        };
        let mut parsed = Self {
            media_type,
            subtype,
            version: None,
            proto: "",
            encoding: "",
            escaping: Escaping::default(),
            weight: MAX_WEIGHT,
        };
        for parameter in parts {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let (name, value) = (name.trim(), value.trim().trim_matches('"'));
            if name.eq_ignore_ascii_case("q") {
                parsed.weight = parse_weight(value);
            } else if name.eq_ignore_ascii_case("version") {
                parsed.version = Some(value);
            } else if name.eq_ignore_ascii_case("proto") {
                parsed.proto = value;
            } else if name.eq_ignore_ascii_case("encoding") {
                parsed.encoding = value;
            } else if name.eq_ignore_ascii_case("escaping") {
                parsed.escaping = Escaping::from_parameter(value).unwrap_or_default();
            }
        }
        parsed
    }

    /// Returns true if the range names our form of protobuf.
    fn is_protobuf(&self) -> bool {
        let (media_type, subtype, _) = Format::Protobuf.media_type();
        self.media_type.eq_ignore_ascii_case(media_type)
            && self.subtype.eq_ignore_ascii_case(subtype)
            && self.proto == "io.prometheus.client.MetricFamily"
            && self.encoding.eq_ignore_ascii_case("delimited")
    }

    /// Returns how closely the range names a format, or `None` if it does not.
    fn specificity(&self, format: Format) -> Option<Specificity> {
        if format == Format::Protobuf {
            return self.is_protobuf().then_some(Specificity::Exact);
        }
        // For those who name it only.
        if format == Format::OpenMetrics2 && self.version.is_none() {
            return None;
        }
        let (media_type, subtype, version) = format.media_type();
        if self.media_type == "*" {
            return (self.subtype == "*").then_some(Specificity::Anything);
        }
        if !self.media_type.eq_ignore_ascii_case(media_type) {
            return None;
        }
        if self.subtype == "*" {
            return Some(Specificity::AnySubtype);
        }
        if !self.subtype.eq_ignore_ascii_case(subtype) {
            return None;
        }
        match self.version {
            None => Some(Specificity::AnyVersion),
            Some(asked) => (asked == version).then_some(Specificity::Exact),
        }
    }
}

/// A weight of 1, in thousandths.
const MAX_WEIGHT: u16 = 1000;

/// Parses a `q` into thousandths. An invalid weight (Prometheus 2.49.0 sent `q=2`
/// on its last resort) gets the lowest priority, but is not a refusal.
pub(crate) fn parse_weight(value: &str) -> u16 {
    match value.parse::<f64>() {
        Ok(0.0) => 0,
        Ok(weight) if weight > 0.0 && weight <= 1.0 => {
            ((weight * f64::from(MAX_WEIGHT)) as u16).max(1)
        }
        _ => 1,
    }
}

/// Splits at each separator outside quoted strings.
pub(crate) fn split_unquoted(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    text.split(move |character| {
        if escaped {
            escaped = false;
            return false;
        }
        match character {
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        character == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn negotiated(accept: &str) -> (Format, Escaping) {
        let answer = ContentType::negotiate(accept);
        (answer.format, answer.escaping)
    }

    #[test]
    fn each_prometheus_server_gets_the_best_it_can_read() {
        let utf8 = (Format::OpenMetrics, Escaping::AllowUtf8);
        let plain = (Format::OpenMetrics, Escaping::Underscores);
        for (server, accept, answer) in [
            (
                "2.42",
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                plain,
            ),
            (
                "2.49.0",
                "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=2",
                plain,
            ),
            (
                "2.55",
                "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                plain,
            ),
            (
                "3.0",
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                utf8,
            ),
            (
                "3.4",
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                utf8,
            ),
            (
                "3.4, text only",
                "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                (Format::Text1, Escaping::AllowUtf8),
            ),
            (
                "3.4, old text only",
                "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                (Format::Text, Escaping::Underscores),
            ),
        ] {
            assert_eq!(negotiated(accept), answer, "Prometheus {server}");
        }
    }

    #[test]
    fn servers_that_store_native_histograms_get_protobuf() {
        let plain = (Format::Protobuf, Escaping::Underscores);
        for (server, accept, answer) in [
            (
                "2.42",
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                plain,
            ),
            (
                "2.55",
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.5,application/openmetrics-text;version=1.0.0;q=0.4,application/openmetrics-text;version=0.0.1;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                plain,
            ),
            (
                "3.0",
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;escaping=allow-utf-8;q=0.2,*/*;q=0.1",
                (Format::Protobuf, Escaping::AllowUtf8),
            ),
            (
                "that prefers text",
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.2,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                (Format::Text, Escaping::Underscores),
            ),
        ] {
            assert_eq!(negotiated(accept), answer, "Prometheus {server}");
        }
        for accept in ["*/*", "application/*", "*"] {
            assert_ne!(negotiated(accept).0, Format::Protobuf, "{accept}");
        }
    }

    #[test]
    fn unknown_media_types_get_plain_text() {
        for accept in [
            "",
            " ",
            ",",
            ";",
            "*/*",
            "*",
            "text/*",
            "text/plain",
            "TEXT/PLAIN; VERSION=0.0.4",
            "image/png",
            "application/openmetrics-text;version=2.0.0",
            "application/openmetrics-text;version=0.0.1",
            "application/vnd.google.protobuf",
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
            "application/vnd.google.protobuf;proto=other.Message;encoding=delimited",
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
            "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
            "*/plain, openmetrics-text",
        ] {
            assert_eq!(
                ContentType::acceptable(accept),
                Some(ContentType::default()),
                "{accept:?}"
            );
        }
    }

    #[test]
    fn openmetrics2_is_for_those_who_name_it_where_it_is_switched_on() {
        const TWO: &str = "application/openmetrics-text;version=2.0.0";
        for (accept, off, on) in [
            (TWO, Format::Text, Format::OpenMetrics2),
            (
                "application/openmetrics-text;version=\"2.0.0\";escaping=allow-utf-8;q=0.6,\
                 application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.4",
                Format::OpenMetrics,
                Format::OpenMetrics2,
            ),
            (
                "application/openmetrics-text;version=2.0.0;q=0.4,\
                 application/openmetrics-text;version=1.0.0;q=0.5",
                Format::OpenMetrics,
                Format::OpenMetrics,
            ),
            (
                "application/openmetrics-text,application/openmetrics-text;version=2.0.0",
                Format::OpenMetrics,
                Format::OpenMetrics2,
            ),
            (
                "application/openmetrics-text",
                Format::OpenMetrics,
                Format::OpenMetrics,
            ),
            ("application/*", Format::OpenMetrics, Format::OpenMetrics),
            ("*/*", Format::Text, Format::Text),
            (
                "application/openmetrics-text;version=2.0.1",
                Format::Text,
                Format::Text,
            ),
            (
                "application/openmetrics-text;version=2.0.0;q=0,*/*",
                Format::Text,
                Format::Text,
            ),
        ] {
            assert_eq!(Offer::new().negotiate(accept).format, off, "{accept}");
            assert_eq!(ContentType::negotiate(accept).format, off, "{accept}");
            let offer = Offer::new().with_openmetrics2(true);
            assert_eq!(offer.negotiate(accept).format, on, "{accept}");
        }
        let refused = "application/openmetrics-text;version=2.0.0,*/*;q=0";
        let offer = Offer::new().with_openmetrics2(true);
        let escaped = offer.negotiate("application/openmetrics-text;version=2.0.0;escaping=dots");
        assert_eq!(
            escaped,
            ContentType::new(Format::OpenMetrics2, Escaping::Dots)
        );
        assert_eq!(Offer::new().acceptable(refused), None);
        assert_eq!(offer.acceptable(refused), Some(Format::OpenMetrics2.into()));
        assert_eq!(ContentType::from_header(TWO).format, Format::OpenMetrics2);
        let header = ContentType::from(Format::OpenMetrics2).header();
        assert_eq!(
            ContentType::from_header(header),
            Format::OpenMetrics2.into()
        );
    }

    #[test]
    fn the_most_specific_range_decides_the_weight_of_a_format() {
        let refuses =
            "application/openmetrics-text;version=1.0.0;q=0,application/*,text/plain;q=0.1";
        assert_eq!(negotiated(refuses).0, Format::Text);
        assert_eq!(
            negotiated("*/*, application/openmetrics-text").0,
            Format::OpenMetrics
        );
        assert_eq!(
            negotiated("*/*;q=0.9, application/openmetrics-text;q=0.8").0,
            Format::Text
        );
        assert_eq!(negotiated("application/*").0, Format::OpenMetrics);
        assert_eq!(
            negotiated("text/plain;version=0.0.4;q=0, text/plain").0,
            Format::Text1
        );
    }

    #[test]
    fn first_of_equal_ranges_wins() {
        assert_eq!(
            negotiated("text/plain, application/openmetrics-text").0,
            Format::Text
        );
        assert_eq!(
            negotiated("application/openmetrics-text, text/plain").0,
            Format::OpenMetrics
        );
        let twice = "text/plain;version=0.0.4;q=0.1, application/openmetrics-text;q=0.5, text/plain;version=0.0.4;q=0.7";
        assert_eq!(negotiated(twice).0, Format::Text);
    }

    #[test]
    fn invalid_q_value_has_lowest_priority() {
        for q in ["2", "-1", "abc", "", "NaN", "inf"] {
            let accept = format!("application/openmetrics-text;q={q}, text/plain;q=0.002");
            assert_eq!(negotiated(&accept).0, Format::Text, "q={q}");
            let alone = format!("application/openmetrics-text;q={q}, text/plain;q=0");
            assert_eq!(negotiated(&alone).0, Format::OpenMetrics, "q={q}");
        }
    }

    #[test]
    fn only_a_header_that_refuses_every_format_is_refused() {
        for accept in [
            "*/*;q=0",
            "text/plain;q=0",
            "text/plain;q=0.000, image/png",
            "text/*;q=0",
        ] {
            assert_eq!(ContentType::acceptable(accept), None, "{accept:?}");
        }
        assert!(ContentType::acceptable("application/openmetrics-text;q=0").is_some());
        assert!(ContentType::acceptable("*/*;q=0, application/openmetrics-text").is_some());
    }

    #[test]
    fn escaping_is_taken_from_the_winning_range() {
        let accept = "text/plain;version=0.0.4;escaping=dots;q=0.2, application/openmetrics-text; Escaping=\"values\" ;q=0.3";
        assert_eq!(negotiated(accept), (Format::OpenMetrics, Escaping::Values));
        assert_eq!(negotiated("text/plain;escaping=dots").1, Escaping::Dots);
        assert_eq!(
            negotiated("text/plain;escaping=unheard-of").1,
            Escaping::Underscores
        );
        assert_eq!(
            negotiated("text/plain;escaping=dots;escaping=values").1,
            Escaping::Values
        );
    }

    #[test]
    fn text_0_0_4_never_claims_quoted_names() {
        let asked = ContentType::negotiate("text/plain;version=0.0.4;escaping=allow-utf-8");
        assert_eq!(asked.header(), ContentType::from(Format::Text).header());
    }

    #[test]
    fn only_a_header_that_prefers_html_is_a_browser() {
        for browser in [
            "text/html",
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
            "text/plain;q=0.5,text/html;q=0.6",
        ] {
            assert!(prefers_html([browser]), "{browser}");
        }
        for scraper in [
            "",
            "*/*",
            "text/*",
            "text/plain,text/html",
            "text/html;q=0",
            "text/html;q=0.4,application/openmetrics-text;version=1.0.0;q=0.5,*/*",
        ] {
            assert!(!prefers_html([scraper]), "{scraper}");
        }
        assert!(
            !prefers_html(["text/html", "text/plain"]),
            "two headers count as one"
        );
    }

    #[test]
    fn separators_in_quotes_are_ignored() {
        let accept = "text/plain;x=\"a,b;version=9\\\",\";escaping=values, image/png";
        assert_eq!(negotiated(accept), (Format::Text, Escaping::Values));
    }

    #[test]
    fn content_type_header_as_accept_gives_that_content_type() {
        for format in Format::OFFERED {
            for escaping in ["underscores", "allow-utf-8", "dots", "values"] {
                let escaping = Escaping::from_parameter(escaping).unwrap();
                let content_type = ContentType { format, escaping };
                let offer = Offer::new().with_openmetrics2(true);
                let asked = offer.negotiate(content_type.header());
                assert_eq!(asked.header(), content_type.header());
                assert_eq!(asked.format, format);
            }
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(accept in "[a-z/*;,=q.0-9\"\\\\ ]{0,64}") {
            ContentType::negotiate(&accept);
            let _ = Offer::new().with_openmetrics2(true).negotiate(&accept);
        }
    }
}
