//! The grammar of a line, point by point, in each format and mode.

use stethoscope::MetricType;
use stethoscope::exposition::Format::{self, OpenMetrics, Text, Text1};
use stethoscope::exposition::parser::{Error, ErrorKind, Event, Options, Sample, Timestamp, parse};

fn events(page: &str, options: Options) -> Result<Vec<Event<'_>>, Error> {
    parse(page, options).collect()
}

/// The page's only sample.
fn sample(page: &str, options: Options) -> Sample<'_> {
    let events = events(page, options).unwrap_or_else(|error| panic!("{}", error.display_in(page)));
    let mut samples = events.into_iter().filter_map(|event| match event {
        Event::Sample(sample) => Some(sample),
        _ => None,
    });
    let sample = samples.next().expect("a sample");
    assert!(samples.next().is_none(), "more than one sample");
    sample
}

fn labels(sample: &Sample<'_>) -> Vec<(String, String)> {
    let owned = |label: stethoscope::exposition::parser::Label<'_>| {
        (label.name.into_owned(), label.value.into_owned())
    };
    sample.labels().map(owned).collect()
}

/// A line as a page of the format.
fn page(line: &str, format: Format) -> String {
    match format {
        OpenMetrics => format!("{line}\n# EOF\n"),
        _ => format!("{line}\n"),
    }
}

const YES: Option<ErrorKind> = None;

/// Reads a line in both text formats and in OpenMetrics, strictly, then
/// leniently as text and as OpenMetrics.
fn line(line: &str, verdicts: [Option<ErrorKind>; 4]) {
    let [text, openmetrics, lenient_text, lenient_openmetrics] = verdicts;
    for (options, verdict) in [
        (Options::strict(Text), text),
        (Options::strict(Text1), text),
        (Options::strict(OpenMetrics), openmetrics),
        (Options::lenient(Text), lenient_text),
        (Options::lenient(Text1), lenient_text),
        (Options::lenient(OpenMetrics), lenient_openmetrics),
    ] {
        let page = page(line, options.format);
        let kind = events(&page, options).err().map(|error| error.kind());
        assert_eq!(kind, verdict, "{line:?} as {options:?}");
    }
}

fn everywhere(text: &str) {
    line(text, [YES; 4]);
}

fn nowhere(text: &str, kind: ErrorKind) {
    line(text, [Some(kind); 4]);
}

#[test]
fn a_page_is_read_line_by_line() -> Result<(), Error> {
    let page =
        "# HELP a Some \"help\" \\\\ \\n.\n# TYPE a gauge\n# a comment\n\na{b=\"c\"} 1.5 -7\n";
    let events = events(page, Options::strict(Text))?;
    let [help, kind, comment, Event::Sample(sample)] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(
        help,
        &Event::Help {
            name: "a".into(),
            text: "Some \"help\" \\ \n.".into()
        }
    );
    assert_eq!(
        kind,
        &Event::Type {
            name: "a".into(),
            metric_type: MetricType::Gauge
        }
    );
    assert_eq!(
        comment,
        &Event::Comment {
            text: b" a comment"
        }
    );
    assert_eq!(sample.name(), "a");
    assert_eq!(sample.label("b").as_deref(), Some("c"));
    assert_eq!(sample.label("c"), None);
    assert_eq!(sample.value(), 1.5);
    assert_eq!(sample.value_text(), "1.5");
    assert_eq!(sample.timestamp(), Some(Timestamp::Millis(-7)));
    assert!(sample.exemplar().is_none());
    Ok(())
}

#[test]
fn openmetrics_has_units_exemplars_and_an_end() -> Result<(), Error> {
    let page = "# TYPE a_s counter\n# UNIT a_s s\n# HELP a_s \n\
                a_s_total 9223372036854775809 1.25 # {t=\"x\",u=\"\\\"\"} 0.5 2\n# EOF\n";
    let events = events(page, Options::strict(OpenMetrics))?;
    let [_, unit, help, Event::Sample(sample), Event::Eof] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(
        unit,
        &Event::Unit {
            name: "a_s".into(),
            unit: "s"
        }
    );
    assert_eq!(
        help,
        &Event::Help {
            name: "a_s".into(),
            text: "".into()
        }
    );
    assert_eq!(sample.value_text(), "9223372036854775809");
    assert_eq!(sample.timestamp(), Some(Timestamp::Seconds(1.25)));
    assert_eq!(sample.timestamp().map(Timestamp::millis), Some(1250));
    let exemplar = sample.exemplar().expect("an exemplar");
    let labels: Vec<_> = exemplar.labels().map(|label| label.value).collect();
    assert_eq!(labels, ["x", "\""]);
    assert_eq!(exemplar.value(), 0.5);
    assert_eq!(exemplar.timestamp(), Some(2.0));
    Ok(())
}

#[test]
fn any_number_of_labels_is_read() {
    for count in [0, 1, 7, 8, 9, 40] {
        let pairs: Vec<_> = (0..count)
            .map(|at| (format!("l{at}"), format!("v\u{e9}{at}")))
            .collect();
        let written: Vec<_> = pairs.iter().map(|(n, v)| format!("{n}=\"{v}\"")).collect();
        let page = format!("a{{{}}} 1\n", written.join(","));
        assert_eq!(labels(&sample(&page, Text.into())), pairs);
        if count > 1 {
            let page = format!("a{{{},l1=\"\"}} 1\n", written.join(","));
            let error = events(&page, Text.into()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::DuplicateLabel);
            assert_eq!(error.offset(), page.rfind("l1").unwrap());
        }
    }
}

#[test]
fn a_label_beyond_the_first_64_kilobytes_is_read() {
    let long = "x".repeat(70_000);
    let page = format!("a{{b=\"{long}\",c=\"d\"}} 1\n");
    assert_eq!(
        labels(&sample(&page, Text.into())),
        [("b".into(), long), ("c".into(), "d".into())]
    );
}

#[test]
fn values_follow_the_number_grammar() {
    for value in [
        "NaN", "nan", "+Inf", "-inf", "INFINITY", "+1", "01", "1.", ".5", "1E3", "-0",
    ] {
        everywhere(&format!("a {value}"));
    }
    for value in [
        "+NaN", "-NaN", "1e400", "0x1", "1_000", "1,5", "true", "--1", "1e", "+",
    ] {
        nowhere(&format!("a {value}"), ErrorKind::BadValue);
    }
    nowhere("a", ErrorKind::MissingValue);
    line("a ", [Some(ErrorKind::BadValue); 4]);
}

#[test]
fn a_timestamp_is_an_integer_in_text_and_finite_in_openmetrics() {
    for timestamp in ["0", "-1", "+1", "000"] {
        everywhere(&format!("a 1 {timestamp}"));
    }
    let bad = Some(ErrorKind::BadTimestamp);
    line("a 1 1.5", [bad, YES, bad, YES]);
    line("a 1 1e3", [bad, YES, bad, YES]);
    for timestamp in ["NaN", "Inf", "1_2", "z", "1e400"] {
        nowhere(&format!("a 1 {timestamp}"), ErrorKind::BadTimestamp);
    }
    nowhere("a 1 1 1", ErrorKind::ExpectedEnd);
}

#[test]
fn blanks_and_tabs_may_stand_between_the_tokens_of_text() {
    let blank = Some(ErrorKind::UnexpectedBlank);
    for text in [
        "a  1",
        "a \t1",
        "a{ b=\"c\"} 1",
        "a{b =\"c\"} 1",
        "a{b= \"c\"} 1",
        "a{b=\"c\" } 1",
        "a{b=\"c\", d=\"e\"} 1",
        " a 1",
        "\ta 1",
        "a 1  2",
        "",
        " ",
    ] {
        line(text, [YES, blank, YES, blank]);
    }
    line(
        "a{b=\"c\"}1",
        [
            YES,
            Some(ErrorKind::ExpectedBlank),
            YES,
            Some(ErrorKind::ExpectedBlank),
        ],
    );
    line(
        "a {b=\"c\"} 1",
        [
            YES,
            Some(ErrorKind::BadValue),
            YES,
            Some(ErrorKind::BadValue),
        ],
    );
    line("a\t1", [YES, blank, YES, blank]);
    for text in ["a 1 ", "a 1 2 "] {
        let [text_ends, openmetrics] = [YES, Some(ErrorKind::BadTimestamp)];
        let openmetrics = if text == "a 1 " {
            openmetrics
        } else {
            Some(ErrorKind::ExpectedEnd)
        };
        line(text, [text_ends, openmetrics, text_ends, openmetrics]);
    }
    line("a 1\t", [YES, blank, YES, blank]);
    let spaced = sample(" a\t{ b = \"c\" , d=\"e\" } 1 \n", Text.into());
    assert_eq!(
        labels(&spaced),
        [("b".into(), "c".into()), ("d".into(), "e".into())]
    );
}

#[test]
fn comments_are_of_text_only() {
    let comment = Some(ErrorKind::Comment);
    for text in [
        "#",
        "# x",
        "#x",
        "# HELP",
        "#HELP a b",
        "# HELPa b",
        "# help a b",
        "# EOFx",
        "# UNIT a b",
        "# TYPE",
    ] {
        let om = match text {
            "# EOFx" => Some(ErrorKind::AfterEof),
            "# UNIT a b" => Some(ErrorKind::UnitNotInName),
            _ => comment,
        };
        line(text, [YES, om, YES, om]);
    }
    assert!(parse(b"# \xff\n", Text).all(|event| event.is_ok()));
}

#[test]
fn lines_end_in_one_newline() {
    nowhere("a 1\r", ErrorKind::BadValue);
    nowhere("\u{feff}a 1", ErrorKind::ExpectedName);
    nowhere("\0", ErrorKind::ExpectedName);
    nowhere("9a 1", ErrorKind::ExpectedName);
    nowhere("a\u{b}1", ErrorKind::BadNameCharacter);
}

#[test]
fn the_last_line_must_end_but_for_the_end_of_openmetrics() {
    let kind = |page: &str, options| events(page, options).err().map(|error| error.kind());
    for format in [Text, Text1] {
        for page in ["a 1", "# TYPE a gauge", "# x"] {
            let error = events(page, Options::strict(format)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::MissingNewline);
            assert_eq!(error.offset(), page.len());
            assert_eq!(kind(page, Options::lenient(format)), None);
        }
        for page in ["", "a 1\n \t", "\n"] {
            assert_eq!(kind(page, Options::strict(format)), None);
        }
    }
    for options in [Options::strict(OpenMetrics), Options::lenient(OpenMetrics)] {
        for page in ["# EOF", "# EOF\n", "a 1\n# EOF"] {
            assert_eq!(kind(page, options), None);
        }
        for page in ["", "a 1\n"] {
            let error = events(page, options).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::MissingEof);
            assert_eq!(error.offset(), page.len());
        }
        assert_eq!(kind("a 1", options), Some(ErrorKind::MissingNewline));
        for page in [
            "# EOF\n\n",
            "# EOF\na 1\n",
            "# EOF\n# EOF\n",
            "# EOF\n ",
            "# EOF\n\0",
            "# EOF ",
        ] {
            assert_eq!(kind(page, options), Some(ErrorKind::AfterEof), "{page:?}");
        }
    }
}

#[test]
fn types_are_words_of_the_format_in_lower_case() {
    for word in ["counter", "gauge", "histogram", "summary"] {
        everywhere(&format!("# TYPE a {word}"));
    }
    let bad = Some(ErrorKind::BadType);
    for word in ["unknown", "info", "stateset", "gaugehistogram"] {
        line(&format!("# TYPE a {word}"), [bad, YES, bad, YES]);
    }
    line("# TYPE a untyped", [YES, bad, YES, bad]);
    for word in ["COUNTER", "Gauge", "meh", "gauge_histogram", "gauge x"] {
        nowhere(&format!("# TYPE a {word}"), ErrorKind::BadType);
    }
    line("# TYPE a  gauge ", [YES, bad, YES, bad]);
    line(
        " #\tTYPE\ta\tgauge",
        [
            YES,
            Some(ErrorKind::UnexpectedBlank),
            YES,
            Some(ErrorKind::UnexpectedBlank),
        ],
    );
    line(
        "# TYPE a",
        [
            bad,
            Some(ErrorKind::ExpectedBlank),
            bad,
            Some(ErrorKind::ExpectedBlank),
        ],
    );
}

#[test]
fn metadata_names_a_family() {
    nowhere("# HELP # x", ErrorKind::BadMetadataName);
    nowhere("# TYPE 9a gauge", ErrorKind::BadMetadataName);
    let no_blank = Some(ErrorKind::ExpectedBlank);
    nowhere("# TYPE a-b gauge", ErrorKind::BadNameCharacter);
    line("# HELP a", [YES, no_blank, YES, no_blank]);
    everywhere("# HELP a ");
}

#[test]
fn help_begins_after_one_blank() {
    let help = |page: &str, options| match events(page, options) {
        Ok(events) => match events.into_iter().next() {
            Some(Event::Help { text, .. }) => Ok(text.into_owned()),
            other => panic!("{other:?}"),
        },
        Err(error) => Err(error.kind()),
    };
    for options in [
        Options::strict(Text),
        Options::lenient(Text),
        Options::strict(OpenMetrics),
        Options::lenient(OpenMetrics),
    ] {
        for (written, text) in [
            ("two words", "two words"),
            ("  indented ", "  indented "),
            ("a \\\\ \\n b", "a \\ \n b"),
            ("a \"b\"", "a \"b\""),
            ("nul \0", "nul \0"),
            ("gr\u{f6}\u{df}e", "gr\u{f6}\u{df}e"),
        ] {
            let page = page(&format!("# HELP a {written}"), options.format);
            assert_eq!(help(&page, options), Ok(text.to_owned()), "{options:?}");
        }
        let open = help(&page("# HELP a x\\", options.format), options);
        let odd = help(&page("# HELP a \\q", options.format), options);
        let quote = help(&page("# HELP a \\\"", options.format), options);
        let lenient = options == Options::lenient(options.format);
        let refused = Err(ErrorKind::UnknownEscape);
        assert_eq!(
            open,
            if lenient {
                Ok("x\\".into())
            } else {
                refused.clone()
            }
        );
        match (options.format, lenient) {
            (OpenMetrics, _) => {
                assert_eq!(odd, Ok("\\q".into()));
                assert_eq!(quote, Ok("\"".into()));
            }
            (_, true) => {
                assert_eq!(odd, Ok("\\q".into()));
                assert_eq!(quote, Ok("\\\"".into()));
            }
            (_, false) => {
                assert_eq!(odd, refused);
                assert_eq!(quote, refused);
            }
        }
    }
}

#[test]
fn a_unit_ends_the_name_of_its_family() {
    let unit = |text: &str| {
        events(text, OpenMetrics.into())
            .err()
            .map(|error| error.kind())
    };
    assert_eq!(unit("# UNIT a_s s\n# EOF\n"), None);
    assert_eq!(unit("# UNIT a \n# EOF\n"), None);
    for text in ["# UNIT a s\n", "# UNIT as s\n", "# UNIT s s\n"] {
        assert_eq!(unit(text), Some(ErrorKind::UnitNotInName), "{text}");
    }
    assert_eq!(unit("# UNIT a_s s \n"), Some(ErrorKind::BadUnit));
    assert_eq!(unit("# UNIT a\n"), Some(ErrorKind::ExpectedBlank));
}

#[test]
fn escapes_in_a_label_are_kept_if_they_are_unknown() {
    for options in [
        Options::strict(OpenMetrics),
        Options::lenient(Text),
        Options::lenient(OpenMetrics),
    ] {
        let page = page(r#"a{b="\q\\\"\n\é"} 1"#, options.format);
        assert_eq!(
            labels(&sample(&page, options)),
            [("b".into(), "\\q\\\"\n\\é".into())]
        );
    }
    line(
        r#"a{b="\q"} 1"#,
        [Some(ErrorKind::UnknownEscape), YES, YES, YES],
    );
    let known = sample("a{b=\"x\\\\y\\\"z\\n\",c=\"d\"} 1\n", Text.into());
    assert_eq!(
        labels(&known),
        [("b".into(), "x\\y\"z\n".into()), ("c".into(), "d".into())]
    );
}

#[test]
fn a_label_value_is_utf8_in_quotes_on_one_line() {
    everywhere("a{b=\"\"} 1");
    everywhere("a{b=\"} # { , \\\\\"} 1");
    everywhere("a{b=\"\0\"} 1");
    everywhere("a{b=\"gr\u{f6}\u{df}e\"} 1");
    nowhere("a{b=\"c", ErrorKind::UnclosedQuote);
    nowhere("a{b=\"c\nd\"} 1", ErrorKind::UnclosedQuote);
    nowhere("a{b=\"c\\\"} 1", ErrorKind::UnclosedQuote);
    nowhere("a{b=c} 1", ErrorKind::ExpectedQuote);
    nowhere("a{b='c'} 1", ErrorKind::ExpectedQuote);
    nowhere("a{b} 1", ErrorKind::ExpectedEquals);
    nowhere("a{b\0=\"c\"} 1", ErrorKind::BadNameCharacter);
    nowhere("a{=\"c\"} 1", ErrorKind::BadLabelName);
    nowhere("a{1=\"c\"} 1", ErrorKind::BadLabelName);
    nowhere("a{b:c=\"d\"} 1", ErrorKind::BadNameCharacter);
    nowhere("a{\u{f6}=\"d\"} 1", ErrorKind::BadNameCharacter);
    for options in [Options::strict(Text), Options::lenient(Text)] {
        let bytes = b"a{b=\"x\xffy\"} 1\n";
        let error = parse(bytes, options)
            .find_map(Result::err)
            .expect("an error");
        assert_eq!((error.kind(), error.offset()), (ErrorKind::InvalidUtf8, 6));
        let bytes = b"# HELP a x\xc3\n";
        let error = parse(bytes, options)
            .find_map(Result::err)
            .expect("an error");
        assert_eq!((error.kind(), error.offset()), (ErrorKind::InvalidUtf8, 10));
        // An escape must not hide the byte after it.
        let bytes = b"a{b=\"\\\xff\"} 1\n";
        assert!(parse(bytes, options).any(|event| event.is_err()));
    }
}

#[test]
fn commas_separate_labels() {
    let comma = Some(ErrorKind::TrailingComma);
    line("a{b=\"c\",} 1", [YES, comma, YES, YES]);
    nowhere("a{b=\"c\",,} 1", ErrorKind::TrailingComma);
    nowhere("a{,} 1", ErrorKind::TrailingComma);
    nowhere("a{,b=\"c\"} 1", ErrorKind::TrailingComma);
    let missing = Some(ErrorKind::ExpectedComma);
    line("a{b=\"c\"d=\"e\"} 1", [missing, missing, YES, missing]);
    everywhere("a{} 1");
}

#[test]
fn label_names_are_distinct_and_none_is_the_name() {
    nowhere("a{b=\"1\",b=\"2\"} 1", ErrorKind::DuplicateLabel);
    nowhere("a{b=\"1\",c=\"\\n\",b=\"2\"} 1", ErrorKind::DuplicateLabel);
    nowhere("a{__name__=\"b\"} 1", ErrorKind::ReservedLabel);
    line(
        "a{__x=\"b\"} 1",
        [YES, Some(ErrorKind::ReservedLabel), YES, YES],
    );
    everywhere("a{_x=\"b\"} 1");
}

#[test]
fn names_in_quotes_are_of_text_1_and_of_lenient_readers() {
    let kind = |text: &str, options: Options| {
        let page = page(text, options.format);
        events(&page, options).err().map(|error| error.kind())
    };
    let mut asked = Options::strict(OpenMetrics);
    asked.quoted_names = true;
    let takers = [Options::strict(Text1), asked];
    let lenient = [Text, Text1, OpenMetrics].map(Options::lenient);
    let refusers = [Options::strict(Text), Options::strict(OpenMetrics)];
    for text in [
        "{\"a.b\"} 1",
        "{\"a.b\",c=\"d\"} 1",
        "{\"a\\\\b\\\"\\n\",\"c d\"=\"e\"} 1",
        "a{\"b.c\"=\"d\",e=\"f\"} 1",
        "# TYPE \"a.b\" gauge",
        "# HELP \"a.b\" help",
    ] {
        for options in takers.into_iter().chain(lenient) {
            assert_eq!(kind(text, options), None, "{text} {options:?}");
        }
        for options in refusers {
            let refused = kind(text, options).expect("an error");
            assert_eq!(refused, ErrorKind::QuotedName, "{text}");
        }
    }
    for options in takers.into_iter().chain(lenient) {
        for (text, error) in [
            ("{\"\"} 1", ErrorKind::EmptyName),
            ("{\"a\",\"\"=\"b\"} 1", ErrorKind::EmptyName),
            ("{b=\"c\"} 1", ErrorKind::NoName),
            ("{} 1", ErrorKind::NoName),
            ("{\"a\",\"b\"} 1", ErrorKind::SecondName),
            ("a{\"b\"} 1", ErrorKind::SecondName),
            ("{\"a\",b} 1", ErrorKind::ExpectedEquals),
            ("{b} 1", ErrorKind::ExpectedEquals),
            ("{\"a\" \"b\"=\"c\"} 1", ErrorKind::ExpectedEquals),
            ("{\"a\nb\"} 1", ErrorKind::UnclosedQuote),
            ("{\"a\",\"b\"=\"1\",b=\"2\"} 1", ErrorKind::DuplicateLabel),
            (
                "{\"a\",\"b\\n\"=\"1\",\"b\\n\"=\"2\"} 1",
                ErrorKind::DuplicateLabel,
            ),
            ("{\"a\",\"__name__\"=\"1\"} 1", ErrorKind::ReservedLabel),
        ] {
            let found = kind(text, options);
            // OpenMetrics stumbles over the blank first.
            let blank = text.contains(' ') && found == Some(ErrorKind::UnexpectedBlank);
            assert!(
                found == Some(error) || blank,
                "{text} {options:?} {found:?}"
            );
        }
    }
    // The name may stand anywhere for a lenient reader.
    for options in lenient {
        let page = page("{b=\"c\",\"a.b\",d=\"e\"} 1", options.format);
        let sample = sample(&page, options);
        assert_eq!(sample.name(), "a.b");
        assert_eq!(
            labels(&sample),
            [("b".into(), "c".into()), ("d".into(), "e".into())]
        );
    }
    for options in takers {
        assert_eq!(
            kind("{b=\"c\",\"a.b\"} 1", options),
            Some(ErrorKind::QuotedName)
        );
    }
    let named = sample("{\"a\\\\\\\"\\n\", \"b\\n\"=\"c\"} 1\n", Text1.into());
    assert_eq!(named.name(), "a\\\"\n");
    assert_eq!(labels(&named), [("b\n".into(), "c".into())]);
}

#[test]
fn an_exemplar_has_a_hash_labels_and_a_value() {
    let openmetrics = |text: &str, verdict| {
        for options in [Options::strict(OpenMetrics), Options::lenient(OpenMetrics)] {
            let page = page(text, OpenMetrics);
            let kind = events(&page, options).err().map(|error| error.kind());
            assert_eq!(kind, verdict, "{text}");
        }
    };
    for text in [
        "a 1 # {} 1",
        "a 1 # {b=\"c\"} 1",
        "a 1 2 # {b=\"c\"} 1 2",
        "a 1 # {b=\" # \"} NaN -2.5",
    ] {
        openmetrics(text, None);
        for options in [Options::strict(Text), Options::lenient(Text)] {
            assert!(events(&page(text, Text), options).is_err(), "{text}");
        }
    }
    openmetrics("a 1 #", Some(ErrorKind::ExemplarWithoutBraces));
    openmetrics("a 1 # 0.5", Some(ErrorKind::ExemplarWithoutBraces));
    openmetrics("a 1# {} 1", Some(ErrorKind::BadValue));
    openmetrics("a 1 #{} 1", Some(ErrorKind::ExpectedBlank));
    openmetrics("a 1 # {}1", Some(ErrorKind::ExpectedBlank));
    openmetrics("a 1 # {}", Some(ErrorKind::MissingValue));
    openmetrics("a 1 # {} ", Some(ErrorKind::BadValue));
    openmetrics("a 1 # {} 1 ", Some(ErrorKind::BadTimestamp));
    openmetrics("a 1 # {} 1 1 ", Some(ErrorKind::ExpectedEnd));
    openmetrics("a 1 # {} 1 NaN", Some(ErrorKind::BadTimestamp));
    openmetrics("a 1 # {} 0x1", Some(ErrorKind::BadValue));
    openmetrics("a 1 # x", Some(ErrorKind::ExemplarWithoutBraces));
}

#[test]
fn parser_after_an_error_can_be_inspected() {
    let page = "a 1\nlonger{than=\"the line before\"} 1 refused\n# and not the last\n";
    let mut parser = parse(page, Text);
    assert!(parser.next().expect("a line").is_ok());
    assert!(parser.next().expect("a line").is_err());
    assert!(!format!("{parser:?}").contains("than"));
    assert!(parser.clone().next().is_none());
}

#[test]
fn error_of_a_line_does_not_depend_on_later_lines() {
    let line = b"a{b=\"c\"} 1 \xdf\n".as_slice();
    let page = [line, b"# a line that is long enough to be read by blocks\n"].concat();
    let errors = [line, &page].map(|page| parse(page, Text).find_map(Result::err).unwrap());
    assert_eq!(errors[0].kind(), ErrorKind::BadTimestamp);
    assert_eq!(errors[0], errors[1]);
}

#[test]
fn a_line_has_a_longest_length() {
    let mut options = Options::strict(Text);
    options.max_line = 10;
    for (page, error) in [
        ("abcdefgh 1\n", None),
        ("abcdefghi 1\n", Some((ErrorKind::LineTooLong, 0))),
        ("a 1\n#1234567890\n", Some((ErrorKind::LineTooLong, 4))),
        ("a 1\n!1234567890\n", Some((ErrorKind::LineTooLong, 4))),
        ("a 1\n!123456789\n", Some((ErrorKind::ExpectedName, 4))),
        ("          \n", None),
        ("           \n", Some((ErrorKind::LineTooLong, 0))),
    ] {
        let found = events(page, options).err();
        assert_eq!(found.map(|e| (e.kind(), e.offset())), error, "{page:?}");
    }
}

#[test]
fn character_outside_the_name_alphabet_is_reported_at_its_position() {
    for (text, at) in [
        ("a-b 1", "-b 1"),
        ("a.b{c=\"d\"} 1", ".b{"),
        ("a{b-c=\"d\"} 1", "-c="),
        ("a{b=\"c\",d.e=\"f\"} 1", ".e="),
        ("a{-b=\"c\"} 1", "-b="),
        ("# TYPE a.b counter", ".b counter"),
        ("# HELP a.b x", ".b x"),
    ] {
        for format in [Text, Text1, OpenMetrics] {
            let page = page(text, format);
            let error = events(&page, Options::strict(format)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadNameCharacter, "{text}");
            assert!(page[error.offset()..].starts_with(at), "{text}");
        }
    }
}

#[test]
fn exemplar_in_text_is_reported_as_such() {
    for text in [
        "a 1 # {b=\"c\"} 1",
        "a 1 5 # {} 1",
        "a_bucket{le=\"1\"} 1 # {} 1 2",
    ] {
        for options in [Options::strict(Text), Options::lenient(Text1)] {
            let error = events(&page(text, Text), options).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ExemplarInText, "{text}");
        }
    }
}

#[test]
fn utf16_is_recognised() {
    let utf16 = |text: &str, big_endian: bool| -> Vec<u8> {
        let bytes = |unit: u16| match big_endian {
            true => unit.to_be_bytes(),
            false => unit.to_le_bytes(),
        };
        text.encode_utf16().flat_map(bytes).collect()
    };
    for text in ["\u{feff}up 1\n", "up 1\n", "# TYPE up gauge\n"] {
        for big_endian in [true, false] {
            let page = utf16(text, big_endian);
            for options in [
                Options::strict(Text),
                Options::strict(OpenMetrics),
                Options::lenient(Text1),
            ] {
                let error = parse(&page, options).find_map(Result::err).unwrap();
                let shown = error.display_in(&page).to_string();
                assert!(shown.contains("this is UTF-16"), "{text:?} {shown}");
            }
        }
    }
}
