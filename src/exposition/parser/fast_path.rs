//! The fast path for the lines that programs write: `name{a="b",c="d"} 1`, and the
//! HELP and TYPE lines before them.
//!
//! It accepts a line if it has single blanks, ASCII only, no escapes, no quoted
//! names, and at most eight labels with distinct names. Every format and mode
//! accepts such a line, so no [`Rules`](super::lexer::Rules) are checked. For any
//! other line it returns `None`, and the general path reads the line from its
//! beginning. Whatever the fast path accepts, the general path reads the same; the
//! property tests below check it.
//!
//! # Comparing with the previous sample
//!
//! A program writes series after series, and most lines begin like the one before:
//!
//! ```text
//! latency_bucket{method="GET",route="/jobs",le="0.5"} 60
//! latency_bucket{method="GET",route="/jobs",le="1.0"} 92
//! └──────────────── common prefix ─────────────┘
//! ```
//!
//! The common prefix is found by comparing sixteen bytes at a time. Tokens of the
//! previous sample that lie within it need not be read again: their ends, the
//! validity of their bytes, and that their names are distinct are known.
//!
//! ```text
//! series_and_value(text, previous):
//!     common = length of the common prefix of text and previous
//!     if the name ends in the common prefix: keep its end
//!     else: scan the name from `common` on
//!     keep the ends of all labels that lie within the common prefix
//!     for each further label, at `at`:
//!         if its name and opening quote equal the previous sample's label here:
//!             keep the end of the name; scan the value from the first difference
//!         else: scan name and value
//!         compare the next label with the next one of the previous sample
//!     if a name was scanned: check that all names are distinct
//!     read the value as a number
//! ```
//!
//! # What it is worth
//!
//! On 3,500 lines in strict mode, `cargo bench --bench parse` took 208 to 241 us
//! with the fast path and 734 to 1,040 us without. It shares no steps with the
//! general path, because it is fast by the checks that it does not make.

use super::event::Sample;
use super::labels::{LabelEnd, LabelSpans, Span};
use crate::MetricType;
use crate::exposition::number;
use crate::exposition::scan;
use crate::name::begins_metric_name;

/// Reads the name, labels and value of a sample and returns the position after the
/// value. `text` must begin with a byte that can begin a name, or with a brace.
///
/// On entry `sample` holds the previous sample if the fast path read it; otherwise
/// its `prev_text` is empty.
#[inline]
pub(super) fn series_and_value<'a>(text: &'a [u8], sample: &mut Sample<'a>) -> Option<usize> {
    let previous = sample.prev_text;
    let common = scan::common_prefix_len(text, previous, sample.value_text.start());
    if common <= sample.name.end() {
        let name_end = scan::metric_name_end_in_blocks(text, common)?;
        sample.name = Span::new(0, name_end, false);
        sample.label_spans.known = 0;
    }
    let name_end = sample.name.end();
    let mut at = name_end;
    sample.labels = 0;
    if *text.get(at)? == b'{' {
        at += 1;
        sample.labels = at as u32;
        at = labels(text, at, previous, common, &mut sample.label_spans)?;
    }
    if name_end == 0 || *text.get(at)? != b' ' {
        return None;
    }
    at += 1;
    sample.label_spans.all = true;
    sample.prev_text = text;
    let (value, len) = number::parse_prefix(&text[at..])?;
    let end = at + len;
    sample.value_text = Span::new(at, end, false);
    sample.value = value;
    Some(end)
}

/// Reads the labels from after the opening brace, at `first`, to after the closing
/// one. `spans` are the previous sample's until they are overwritten; the two texts
/// have the first `common` bytes in common.
#[inline]
fn labels(
    text: &[u8],
    first: usize,
    previous: &[u8],
    common: usize,
    spans: &mut LabelSpans,
) -> Option<usize> {
    let (mut known, mut at) = common_labels(first, common, spans);
    if known > 0 && text[at - 1] == b'}' {
        spans.known = known as u8;
        return Some(at);
    }
    // The start of the previous sample's label with the same index as the next one,
    // and the length of the two labels' common prefix.
    let mut previous_at = at;
    let mut common = common.saturating_sub(at);
    let comparable = usize::from(spans.known);
    let mut are_names_known = true;
    loop {
        let end = spans.ends.get_mut(known)?;
        let (name_end, value_at) = if known < comparable && end.name() + 2 <= previous_at + common {
            let value_len = common.min(end.value() - previous_at);
            (at + (end.name() - previous_at), at + value_len)
        } else {
            are_names_known = false;
            let name_end = label_name(text, at)?;
            (name_end, name_end + 2)
        };
        let value_end = scan::quoted_end_in_blocks(text, value_at)?;
        let [b'"', after_quote] = *text.get(value_end..)?.first_chunk()? else {
            return None;
        };
        let previous_next = end.value() + 2;
        *end = LabelEnd::new(name_end, value_end)?;
        known += 1;
        at = value_end + 2;
        match after_quote {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
        if known < comparable {
            let previous_len = previous_next - previous_at;
            common = match common.checked_sub(previous_len) {
                Some(common) => common,
                None => scan::common_prefix_len(
                    &text[at..],
                    previous.get(previous_next..)?,
                    COMPARED_LEN,
                ),
            };
            previous_at = previous_next;
        }
    }
    spans.known = known as u8;
    (are_names_known || are_distinct(text, first, &spans.ends[..known])).then_some(at)
}

/// The bytes compared of a label after one that differs: one block.
const COMPARED_LEN: usize = 16;

/// Returns the number of the previous sample's labels that lie, with the byte after
/// them, within the common prefix, and the position after them.
#[inline]
fn common_labels(first: usize, common: usize, spans: &LabelSpans) -> (usize, usize) {
    let mut at = first;
    let ends = spans.ends.iter().take(usize::from(spans.known));
    for (index, end) in ends.map(|end| end.value() + 2).enumerate() {
        if end > common {
            return (index, at);
        }
        at = end;
    }
    (usize::from(spans.known), at)
}

/// Returns the end of a label name at `at` that is followed by `="`.
#[inline]
fn label_name(text: &[u8], at: usize) -> Option<usize> {
    let end = scan::label_name_end_in_blocks(text, at)?;
    let start = *text.get(at)?;
    // An empty name, a leading digit, or possibly two underscores.
    if end == at || start <= b'9' || start == b'_' {
        return None;
    }
    matches!(text.get(end..)?.first_chunk(), Some(b"=\"")).then_some(end)
}

/// Returns true if the label names that end at `ends` are all different.
#[inline]
fn are_distinct(text: &[u8], first: usize, ends: &[LabelEnd]) -> bool {
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

/// A HELP or TYPE line.
#[derive(Clone, Copy)]
pub(super) struct Metadata {
    pub(super) name_end: u32,
    /// The position of the newline.
    pub(super) end: u32,
    /// The type of a TYPE line; `None` for HELP, whose text begins after the name
    /// and a blank.
    pub(super) metric_type: Option<MetricType>,
}

impl Metadata {
    /// The position of the name.
    pub(super) const NAME: usize = "# HELP ".len();
}

/// Reads a HELP line, or a TYPE line with a type that every format has.
#[inline(never)]
pub(super) fn metadata(text: &[u8]) -> Option<Metadata> {
    let [keyword @ .., first] = text.first_chunk::<{ Metadata::NAME + 1 }>()?;
    let is_help = keyword == b"# HELP ";
    if !(is_help || keyword == b"# TYPE ") || !begins_metric_name(*first) {
        return None;
    }
    let name_end = scan::metric_name_end_in_blocks(text, Metadata::NAME)?;
    if *text.get(name_end)? != b' ' {
        return None;
    }
    let at = name_end + 1;
    let (metric_type, end) = if is_help {
        let end = scan::help_end_in_blocks(text, at)?;
        if *text.get(end)? != b'\n' {
            return None;
        }
        (None, end)
    } else {
        let (metric_type, len) = type_word(&text[at..])?;
        (Some(metric_type), at + len)
    };
    Some(Metadata {
        name_end: name_end as u32,
        end: end as u32,
        metric_type,
    })
}

/// Reads a type at the end of a line and returns it with the length of its word.
#[inline]
fn type_word(text: &[u8]) -> Option<(MetricType, usize)> {
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
    use crate::exposition::parser::lexer::{Lexer, LineKind};
    use crate::exposition::parser::lookahead::Lookahead;
    use crate::exposition::parser::{Event, Options};
    use proptest::prelude::*;

    /// Keeps every line away from the end of the text, where blocks end.
    const REST: &str = "\n                ";

    /// Asserts that the general path, in every format, reads the same as the fast
    /// path does after other samples. Returns the number of lines that the fast path
    /// accepted.
    fn both_paths<S: AsRef<str>>(lines: &[S]) -> usize {
        let text = lines.iter().map(|line| format!("{}\n", line.as_ref()));
        let text = text.collect::<String>() + REST;
        let mut fast = Sample::EMPTY;
        let mut start = 0;
        let mut taken = 0;
        for line in lines {
            let rest = &text[start..];
            start += line.as_ref().len() + 1;
            let Some(end) = series_and_value(rest.as_bytes(), &mut fast) else {
                fast = Sample::EMPTY;
                continue;
            };
            taken += 1;
            let line = &rest[..end];
            assert!(line.is_ascii());
            fast.line = line;
            // The next line is compared with this one.
            assert_eq!(fast.prev_text.as_ptr(), line.as_ptr());
            for format in [
                Format::Text,
                Format::Text1,
                Format::OpenMetrics,
                Format::OpenMetrics2,
            ] {
                for options in [Options::strict(format), Options::lenient(format)] {
                    let mut general = Sample::EMPTY;
                    let lexer = Lexer::new(&options);
                    let read = lexer.series_and_value(Lookahead(rest.as_bytes()), &mut general);
                    assert_eq!(read, Ok(end), "{line} in\n{text}");
                    general.line = line;
                    assert_eq!(fast, general, "{line} in\n{text}");
                    assert_eq!(fast.labels().count(), usize::from(fast.label_spans.known));
                    assert_eq!(fast.value_text(), general.value_text());
                    assert_eq!(fast.value().to_bits(), general.value().to_bits());
                }
            }
        }
        taken
    }

    #[test]
    fn both_paths_agree_on_single_samples() {
        assert_eq!(both_paths(&["a 1"]), 1);
        assert_eq!(both_paths(&["a{b=\"c\"} 1"]), 1);
        let three = "a:b{b=\"c\",dd=\"e f\",g=\"\"} -1.5e3";
        assert_eq!(both_paths(&[three]), 1);
        assert_eq!(both_paths(&["a NaN 15"]), 1);
        assert_eq!(both_paths(&["a{b=\"c\",b=\"d\"} 1"]), 0);
        assert_eq!(both_paths(&["a{_b=\"c\"} 1"]), 0);
        assert_eq!(both_paths(&["a{b=\"c\",} 1"]), 0);
        assert_eq!(both_paths(&["a{} 1"]), 0);
    }

    #[test]
    fn line_near_the_end_of_the_page_takes_the_general_path() {
        let mut sample = Sample::EMPTY;
        assert_eq!(series_and_value(b"jobs 1\n", &mut sample), None);
        assert!(metadata(b"# TYPE a counter\n").is_none());
    }

    /// Tries every way in which a sample can differ from the previous one, at every
    /// length around that of a block.
    #[test]
    fn both_paths_agree_after_any_previous_sample() {
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
                    assert_eq!(both_paths(&[first, second, first]), 3);
                }
            }
        }
    }

    #[test]
    fn difference_from_previous_sample_is_checked() {
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
            assert_eq!(both_paths(&[before, line, before]), 2, "{line}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        #[test]
        fn both_paths_agree_on_any_lines(lines in prop::collection::vec("[a-c:_]{1,20}(\\{([a-c_0]{1,18}=\"[a-c ,=}é\\\\]{0,18}\",?){0,10}\\})? ?[-+0-9.eNa]{1,10}", 1..4)) {
            both_paths(&lines);
        }

        /// Most lines have long common prefixes, as on a page.
        #[test]
        fn both_paths_agree_on_similar_lines(
            lines in prop::collection::vec("jobs(_total)?\\{(method=\"(GET|POST|[a-b]{14,18})\",?)?(route=\"/api/(jobs|hosts|a{12,17})\",?)?([m-n]{1,2}=\"[a-b]{0,2}\",?)?(le=\"[0-1]{1,2}\")?\\} [0-9]{1,3}", 2..6),
        ) {
            both_paths(&lines);
        }

        #[test]
        fn both_paths_agree_on_metadata(line in "# (HELP|TYPE) [a-b_:0]{1,20} ?(counter|gauge|histogram|summary|info|[a-b \\\\é]{0,40})") {
            let text = format!("{line}{REST}");
            let Some(found) = metadata(text.as_bytes()) else {
                return Ok(());
            };
            for format in [Format::Text, Format::Text1, Format::OpenMetrics] {
                for options in [Options::strict(format), Options::lenient(format)] {
                    let mut lexer = Lexer::new(&options);
                    let (mut at, mut general_at) = (0, 0);
                    let (mut none, mut none_either) = (Sample::EMPTY, Sample::EMPTY);
                    let fast = lexer.line::<()>(text.as_bytes(), &mut at, &mut none);
                    let general = lexer.other_at(text.as_bytes(), &mut general_at, &mut none_either);
                    prop_assert_eq!(at, found.end as usize + 1);
                    prop_assert_eq!(at, general_at);
                    let fast = fast.map(LineKind::event);
                    let is_metadata = matches!(fast, Ok(Some(Event::Help { .. } | Event::Type { .. })));
                    prop_assert!(is_metadata);
                    prop_assert_eq!(fast, general);
                }
            }
        }
    }
}
