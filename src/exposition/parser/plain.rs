//! The short way of a sample: what a machine writes, `name{a="b",c="d"} 1`.
//!
//! No blanks but the one before the value, ASCII only, no escapes, no names in
//! quotes, at most eight labels of distinct names: no format and no mode has
//! anything against that, so no rule is asked. What is not so is not an error
//! but nothing: the long way reads it from the beginning. What is so, both ways
//! read alike, which a test holds them to.
//!
//! The two share no steps, because the short way is worth its lines only by
//! what it does not ask: it takes a third of the instructions.

use super::event::Sample;
use super::labels::{Ends, Piece, Places};
use crate::exposition::number;
use crate::exposition::scan;

/// Reads all up to the value, which the place behind is given of. `text` begins
/// with a byte that may begin a name.
#[inline]
pub(super) fn series_and_value(text: &[u8], sample: &mut Sample<'_>) -> Option<usize> {
    let name_end = scan::near_metric_name_end(text, 0)?;
    let mut at = name_end;
    sample.labels = 0;
    sample.places.known = 0;
    if *text.get(at)? == b'{' {
        sample.labels = at as u32 + 1;
        at = labels(text, at + 1, &mut sample.places)?;
    }
    if name_end == 0 || *text.get(at)? != b' ' {
        return None;
    }
    at += 1;
    sample.places.all = true;
    sample.name = Piece::new(0, name_end, false);
    let (value, len) = number::parse_prefix(&text[at..])?;
    let end = at + len;
    sample.value_text = Piece::new(at, end, false);
    sample.value = value;
    Some(end)
}

/// Labels from behind the opening brace to behind the closing one.
#[inline]
fn labels(text: &[u8], first: usize, places: &mut Places) -> Option<usize> {
    let mut at = first;
    let mut known = 0;
    loop {
        let name_end = scan::near_label_name_end(text, at)?;
        let start = *text.get(at)?;
        // None at all, a digit first, or perhaps two underscores.
        if name_end == at || start <= b'9' || start == b'_' {
            return None;
        }
        let Some([b'=', b'"']) = text.get(name_end..)?.first_chunk() else {
            return None;
        };
        let value_end = scan::near_quoted_end(text, name_end + 2)?;
        let [b'"', behind] = *text.get(value_end..)?.first_chunk()? else {
            return None;
        };
        *places.ends.get_mut(known)? = Ends::new(name_end, value_end)?;
        known += 1;
        at = value_end + 2;
        match behind {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    places.known = known as u8;
    are_distinct(text, first, &places.ends[..known]).then_some(at)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::Format;
    use crate::exposition::parser::Options;
    use crate::exposition::parser::line::{Lexer, Window};
    use proptest::prelude::*;

    /// What the short way reads, the long way reads alike, in every format.
    fn both_ways(line: &str) {
        let text = line.as_bytes();
        let mut short = Sample::EMPTY;
        let Some(end) = series_and_value(text, &mut short) else {
            return;
        };
        let line = &line[..end];
        assert!(line.is_ascii());
        short.line = line;
        for format in [Format::Text, Format::Text1, Format::OpenMetrics] {
            for options in [Options::strict(format), Options::lenient(format)] {
                let mut long = Sample::EMPTY;
                let lexer = Lexer::new(&options);
                assert_eq!(
                    lexer.series_and_value(Window(text), &mut long),
                    Ok(end),
                    "{line}"
                );
                long.line = line;
                assert_eq!(short, long, "{line}");
                assert_eq!(short.value_text(), long.value_text());
                assert_eq!(short.value().to_bits(), long.value().to_bits());
            }
        }
    }

    #[test]
    fn what_is_read_both_ways_is_the_same() {
        for line in [
            "a 1\n                ",
            "a{b=\"c\"} 1\n                ",
            "a:b{b=\"c\",dd=\"e f\",g=\"\"} -1.5e3\n                ",
            "a{b=\"c\",b=\"d\"} 1\n                ",
            "a{_b=\"c\"} 1\n                ",
            "a NaN 15\n                ",
        ] {
            both_ways(line);
        }
    }

    #[test]
    fn most_samples_go_the_short_way() {
        let takes = |line: &str| {
            let mut sample = Sample::EMPTY;
            series_and_value(line.as_bytes(), &mut sample).is_some()
        };
        assert!(takes("jobs 12345\nand what follows"));
        assert!(takes(
            "jobs{queue=\"a b\",host=\"x:1\"} 0.25\nand what follows"
        ));
        // What is near the end of the page need not.
        assert!(!takes("jobs 1\n"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        #[test]
        fn whatever_the_line(line in "[a-c:_]{1,20}(\\{([a-c_0]{1,18}=\"[a-c ,=}é\\\\]{0,18}\",?){0,10}\\})? ?[-+0-9.eNa]{1,10}[ \n]{1,20}") {
            both_ways(&line);
        }
    }
}
