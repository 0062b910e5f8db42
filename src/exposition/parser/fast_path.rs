//! The short way of what a machine writes: `name{a="b",c="d"} 1`, and the HELP
//! and TYPE before it.
//!
//! No blanks but those that must be, ASCII only, no escapes, no names in quotes,
//! at most eight labels of distinct names: no format and no mode has anything
//! against that, so no rule is asked. What is not so is not an error but
//! nothing: the long way reads it from the beginning. What is so, both ways read
//! alike, which a test holds them to.
//!
//! A machine writes series after series, and most begin as the one before:
//!
//! ```text
//! latency_bucket{method="GET",route="/jobs",le="0.5"} 60
//! latency_bucket{method="GET",route="/jobs",le="1.0"} 92
//! ---------------------------------------------^
//! ```
//!
//! The two are compared, sixteen bytes at a time. What the sample before is known
//! to have there, this one has, and it is not read again: where a token of it
//! ends, that the bytes in it are allowed, that no two names are the same.
//!
//! The two ways share no steps, because the short one is worth its lines only by
//! what it does not ask: it takes a third of the instructions.

use super::event::Sample;
use super::labels::{Ends, Piece, Places};
use super::lexer::begins_name;
use crate::MetricType;
use crate::exposition::number;
use crate::exposition::scan;

/// Reads all of a sample up to its value, which the place behind is given of.
/// `text` begins with a byte that may begin a name, or with a brace.
///
/// `sample` is the one before if that went the short way; else it knows of none.
#[inline]
pub(super) fn series_and_value<'a>(text: &'a [u8], sample: &mut Sample<'a>) -> Option<usize> {
    let before = sample.rest;
    let alike = scan::near_common(text, before, sample.value_text.start());
    if alike <= sample.name.end() {
        let name_end = scan::near_metric_name_end(text, alike)?;
        sample.name = Piece::new(0, name_end, false);
        sample.places.known = 0;
    }
    let name_end = sample.name.end();
    let mut at = name_end;
    sample.labels = 0;
    if *text.get(at)? == b'{' {
        at += 1;
        sample.labels = at as u32;
        at = labels(text, at, before, alike, &mut sample.places)?;
    }
    if name_end == 0 || *text.get(at)? != b' ' {
        return None;
    }
    at += 1;
    sample.places.all = true;
    sample.rest = text;
    let (value, len) = number::parse_prefix(&text[at..])?;
    let end = at + len;
    sample.value_text = Piece::new(at, end, false);
    sample.value = value;
    Some(end)
}

/// Labels from behind the opening brace, at `first`, to behind the closing one.
/// `places` are those of the sample before until they are overwritten, and as
/// many bytes of both are `alike`.
#[inline]
fn labels(
    text: &[u8],
    first: usize,
    before: &[u8],
    alike: usize,
    places: &mut Places,
) -> Option<usize> {
    let (mut known, mut at) = alike_labels(first, alike, places);
    if known > 0 && text[at - 1] == b'}' {
        places.known = known as u8;
        return Some(at);
    }
    // The label before that has the same number as the next, and how far both
    // are alike from where they begin.
    let mut at_before = at;
    let mut alike = alike.saturating_sub(at);
    let comparable = usize::from(places.known);
    let mut are_names_old = true;
    loop {
        let ends = places.ends.get_mut(known)?;
        let (name_end, value_at) = if known < comparable && ends.name() + 2 <= at_before + alike {
            let value_len = alike.min(ends.value() - at_before);
            (at + (ends.name() - at_before), at + value_len)
        } else {
            are_names_old = false;
            let name_end = label_name(text, at)?;
            (name_end, name_end + 2)
        };
        let value_end = scan::near_quoted_end(text, value_at)?;
        let [b'"', behind] = *text.get(value_end..)?.first_chunk()? else {
            return None;
        };
        let next_before = ends.value() + 2;
        *ends = Ends::new(name_end, value_end)?;
        known += 1;
        at = value_end + 2;
        match behind {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
        if known < comparable {
            let len_before = next_before - at_before;
            alike = match alike.checked_sub(len_before) {
                Some(alike) => alike,
                None => scan::near_common(&text[at..], before.get(next_before..)?, NEXT_LABEL),
            };
            at_before = next_before;
        }
    }
    places.known = known as u8;
    (are_names_old || are_distinct(text, first, &places.ends[..known])).then_some(at)
}

/// How much of a label is compared behind one that is not the same: a block.
const NEXT_LABEL: usize = 16;

/// How many labels before are whole within what is alike, with the byte behind
/// them, and the place behind that.
#[inline]
fn alike_labels(first: usize, alike: usize, places: &Places) -> (usize, usize) {
    let mut at = first;
    let ends = places.ends.iter().take(usize::from(places.known));
    for (index, end) in ends.map(|ends| ends.value() + 2).enumerate() {
        if end > alike {
            return (index, at);
        }
        at = end;
    }
    (usize::from(places.known), at)
}

/// The place behind a label's name at `at`, with `="` behind it.
#[inline]
fn label_name(text: &[u8], at: usize) -> Option<usize> {
    let end = scan::near_label_name_end(text, at)?;
    let start = *text.get(at)?;
    // None at all, a digit first, or perhaps two underscores.
    if end == at || start <= b'9' || start == b'_' {
        return None;
    }
    matches!(text.get(end..)?.first_chunk(), Some(b"=\"")).then_some(end)
}

/// Whether the names that end where `ends` says are all different.
#[inline]
fn are_distinct(text: &[u8], first: usize, ends: &[Ends]) -> bool {
    let name = |index: usize| {
        let start = match index {
            0 => first,
            _ => ends[index - 1].value() + 2,
        };
        &text[start..ends[index].name()]
    };
    (1..ends.len()).all(|index| {
        let this = name(index);
        (0..index).all(|earlier| name(earlier) != this)
    })
}

/// A line of metadata.
#[derive(Clone, Copy)]
pub(super) struct Metadata {
    pub(super) name_end: u32,
    /// Where the newline is.
    pub(super) end: u32,
    /// What a TYPE says; none of a HELP, whose text begins behind the name and a
    /// blank.
    pub(super) kind: Option<MetricType>,
}

impl Metadata {
    /// Where the name begins.
    pub(super) const NAME: usize = "# HELP ".len();
}

/// Reads a HELP, or a TYPE of those that every format has.
#[inline(never)]
pub(super) fn metadata(text: &[u8]) -> Option<Metadata> {
    let [keyword @ .., first] = text.first_chunk::<{ Metadata::NAME + 1 }>()?;
    let is_help = keyword == b"# HELP ";
    if !(is_help || keyword == b"# TYPE ") || !begins_name(*first) {
        return None;
    }
    let name_end = scan::near_metric_name_end(text, Metadata::NAME)?;
    if *text.get(name_end)? != b' ' {
        return None;
    }
    let at = name_end + 1;
    let (kind, end) = if is_help {
        let end = scan::near_help_end(text, at)?;
        if *text.get(end)? != b'\n' {
            return None;
        }
        (None, end)
    } else {
        let (kind, len) = kind(&text[at..])?;
        (Some(kind), at + len)
    };
    Some(Metadata {
        name_end: name_end as u32,
        end: end as u32,
        kind,
    })
}

/// The type that stands at the end of a line, and the length of its word.
#[inline]
fn kind(text: &[u8]) -> Option<(MetricType, usize)> {
    if text.starts_with(b"counter\n") {
        Some((MetricType::Counter, 7))
    } else if text.starts_with(b"gauge\n") {
        Some((MetricType::Gauge, 5))
    } else if text.starts_with(b"histogram\n") {
        Some((MetricType::Histogram, 9))
    } else if text.starts_with(b"summary\n") {
        Some((MetricType::Summary, 7))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::Format;
    use crate::exposition::parser::lexer::{Lexer, Seen, Window};
    use crate::exposition::parser::{Event, Options};
    use proptest::prelude::*;

    /// So that no line is near the end of the text.
    const REST: &str = "\n                ";

    /// What the short way reads, after other samples, the long way reads alike,
    /// in every format. Says how many samples were read.
    fn both_ways<S: AsRef<str>>(lines: &[S]) -> usize {
        let text = lines.iter().map(|line| format!("{}\n", line.as_ref()));
        let text = text.collect::<String>() + REST;
        let mut short = Sample::EMPTY;
        let mut start = 0;
        let mut taken = 0;
        for line in lines {
            let rest = &text[start..];
            start += line.as_ref().len() + 1;
            let Some(end) = series_and_value(rest.as_bytes(), &mut short) else {
                short = Sample::EMPTY;
                continue;
            };
            taken += 1;
            let line = &rest[..end];
            assert!(line.is_ascii());
            short.line = line;
            // For the next to be compared with.
            assert_eq!(short.rest.as_ptr(), line.as_ptr());
            for format in [Format::Text, Format::Text1, Format::OpenMetrics] {
                for options in [Options::strict(format), Options::lenient(format)] {
                    let mut long = Sample::EMPTY;
                    let lexer = Lexer::new(&options);
                    let read = lexer.series_and_value(Window(rest.as_bytes()), &mut long);
                    assert_eq!(read, Ok(end), "{line} in\n{text}");
                    long.line = line;
                    assert_eq!(short, long, "{line} in\n{text}");
                    assert_eq!(short.labels().count(), usize::from(short.places.known));
                    assert_eq!(short.value_text(), long.value_text());
                    assert_eq!(short.value().to_bits(), long.value().to_bits());
                }
            }
        }
        taken
    }

    #[test]
    fn a_sample_is_read_alike_both_ways() {
        assert_eq!(both_ways(&["a 1"]), 1);
        assert_eq!(both_ways(&["a{b=\"c\"} 1"]), 1);
        let three = "a:b{b=\"c\",dd=\"e f\",g=\"\"} -1.5e3";
        assert_eq!(both_ways(&[three]), 1);
        assert_eq!(both_ways(&["a NaN 15"]), 1);
        assert_eq!(both_ways(&["a{b=\"c\",b=\"d\"} 1"]), 0);
        assert_eq!(both_ways(&["a{_b=\"c\"} 1"]), 0);
        assert_eq!(both_ways(&["a{b=\"c\",} 1"]), 0);
        assert_eq!(both_ways(&["a{} 1"]), 0);
    }

    #[test]
    fn what_is_near_the_end_of_the_page_goes_the_long_way() {
        let mut sample = Sample::EMPTY;
        assert_eq!(series_and_value(b"jobs 1\n", &mut sample), None);
        assert!(metadata(b"# TYPE a counter\n").is_none());
    }

    /// Every way in which a sample differs from the one before, at every length
    /// around that of a block.
    #[test]
    fn a_sample_is_read_alike_after_any_other() {
        for len in 1..40 {
            let long = "x".repeat(len);
            let lines = [
                format!("{long} 1"),
                format!("{long}y 1"),
                format!("{long} 12"),
                format!("{long}{{a=\"b\"}} 1"),
                format!("{long}{{a=\"b\",c=\"d\"}} 1"),
                format!("{long}{{a=\"b\",c=\"de\"}} 1"),
                format!("{long}{{a=\"b\",cd=\"d\"}} 1"),
                format!("{long}{{a=\"b\",c=\"d\",e=\"f\"}} 1"),
                format!("{long}{{a=\"{long}\",c=\"{long}\",e=\"f\"}} 1"),
                format!("{long}{{a=\"{long}z\",c=\"{long}\",e=\"f\"}} 1"),
                format!("{long}{{a=\"z\",c=\"{long}\",e=\"g\"}} 1"),
                format!("{long}{{a=\"z\",e=\"{long}\",c=\"g\"}} 1"),
                format!("{long}{{{long}=\"z\",c=\"{long}\"}} 1"),
                format!("{long}{{{long}y=\"z\",c=\"{long}\"}} 1"),
                format!("x{{a=\"{long}\"}} 1"),
                format!("x{{a=\"{long}\",b=\"\"}} 1"),
            ];
            for first in &lines {
                for second in &lines {
                    assert_eq!(both_ways(&[first, second, first]), 3);
                }
            }
        }
    }

    #[test]
    fn what_was_fine_before_is_not_taken_for_fine_where_it_differs() {
        let before = "jobs{queue=\"a\",host=\"b\"} 1";
        for line in [
            "jobs{queue=\"a\",queue=\"b\"} 1",
            "jobs{queue=\"a\",host=\"\\\"} 1",
            "jobs{queue=\"a\",host=\"é\"} 1",
            "jobs{queue=\"a\",host=\"b\",} 1",
            "jobs{queue=\"a\",host=\"b\",host=\"c\"} 1",
            "jobs{queue=\"a\",host=\"b\"}1",
            "jobs{queue=\"a\" ,host=\"b\"} 1",
            "jobs{queue=\"a\",host=\"b\" 1",
            "jobs{queue=\"a\",host=\"b} 1",
            "jobs{queue=\"a\",h-st=\"b\"} 1",
            "jobs{queue=\"a\",host =\"b\"} 1",
            "jobs{queue=\"aa\",queue=\"b\"} 1",
            "jobs{queue=\"aa\",9=\"b\"} 1",
        ] {
            assert_eq!(both_ways(&[before, line, before]), 2, "{line}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        #[test]
        fn whatever_the_lines(lines in prop::collection::vec("[a-c:_]{1,20}(\\{([a-c_0]{1,18}=\"[a-c ,=}é\\\\]{0,18}\",?){0,10}\\})? ?[-+0-9.eNa]{1,10}", 1..4)) {
            both_ways(&lines);
        }

        /// Most are alike for long, as on a page.
        #[test]
        fn whatever_the_lines_that_are_much_alike(
            lines in prop::collection::vec("jobs(_total)?\\{(method=\"(GET|POST|[a-b]{14,18})\",?)?(route=\"/api/(jobs|hosts|a{12,17})\",?)?([m-n]{1,2}=\"[a-b]{0,2}\",?)?(le=\"[0-1]{1,2}\")?\\} [0-9]{1,3}", 2..6),
        ) {
            both_ways(&lines);
        }

        #[test]
        fn metadata_too(line in "# (HELP|TYPE) [a-b_:0]{1,20} ?(counter|gauge|histogram|summary|info|[a-b \\\\é]{0,40})") {
            let text = format!("{line}{REST}");
            let Some(found) = metadata(text.as_bytes()) else {
                return Ok(());
            };
            for format in [Format::Text, Format::Text1, Format::OpenMetrics] {
                for options in [Options::strict(format), Options::lenient(format)] {
                    let mut lexer = Lexer::new(&options);
                    let (mut at, mut long_at) = (0, 0);
                    let (mut none, mut none_either) = (Sample::EMPTY, Sample::EMPTY);
                    let short = lexer.line::<()>(text.as_bytes(), &mut at, &mut none);
                    let long = lexer.other_at(text.as_bytes(), &mut long_at, &mut none_either);
                    prop_assert_eq!(at, found.end as usize + 1);
                    prop_assert_eq!(at, long_at);
                    let short = short.map(Seen::event);
                    let is_metadata = matches!(short, Ok(Some(Event::Help { .. } | Event::Type { .. })));
                    prop_assert!(is_metadata);
                    prop_assert_eq!(short, long);
                }
            }
        }
    }
}
