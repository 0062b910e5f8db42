//! Escaping: what is escaped comes back, and looks like nothing else on a page.

use std::borrow::Cow;
use stethoscope::exposition::escape::{
    Quotes, escape_help, escape_label, quote, unescape_help, unescape_label,
};
use stethoscope::exposition::parser::{Event, Options, parse};
use stethoscope::exposition::{ContentType, Escaping, Format};
use stethoscope::name::{
    escape_label_name, escape_name, is_classic_label_name, is_classic_metric_name, unescape_name,
};

pub fn hold(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    escaped_text_comes_back(&text);
    a_page_gives_back(&text);
    names_become_classic(&text);
}

fn escaped_text_comes_back(text: &str) {
    // Appended to what is there already.
    let mut label = b"before".to_vec();
    escape_label(text, &mut label);
    let label = std::str::from_utf8(&label).expect("still UTF-8");
    let label = label
        .strip_prefix("before")
        .expect("nothing is overwritten");
    assert_eq!(unescape_label(label), text);
    assert!(!label.contains('\n'));
    assert!(!label.replace("\\\\", "").replace("\\\"", "").contains('"'));
    if !text.contains(['\\', '"', '\n']) {
        assert_eq!(label, text);
        assert!(matches!(unescape_label(label), Cow::Borrowed(_)));
    }
    for quotes in [Quotes::Literal, Quotes::Escaped] {
        let mut help = Vec::new();
        escape_help(text, quotes, &mut help);
        let help = std::str::from_utf8(&help).expect("still UTF-8");
        assert_eq!(unescape_help(help, quotes), text);
        assert!(!help.contains('\n'));
        // What nobody escaped is unescaped into something, too.
        assert!(unescape_help(text, quotes).len() <= text.len());
    }
    assert!(unescape_label(text).len() <= text.len());
}

fn a_page_gives_back(text: &str) {
    for format in [Format::Text, Format::Text1, Format::OpenMetrics] {
        let mut page = b"# HELP a ".to_vec();
        let quotes = match format {
            Format::OpenMetrics => Quotes::Escaped,
            _ => Quotes::Literal,
        };
        escape_help(text, quotes, &mut page);
        page.extend_from_slice(b"\n");
        let named = format != Format::Text && !text.is_empty();
        if named {
            page.push(b'{');
            quote(text, &mut page);
            page.extend_from_slice(b"} 1\n");
        }
        page.extend_from_slice(b"a{b=");
        quote(text, &mut page);
        page.extend_from_slice(b",c=\"d\"} 1\n# EOF\n");
        let content_type = ContentType::new(format, Escaping::AllowUtf8);
        let options = Options::from(content_type).with_max_line(usize::MAX);
        let mut events = parse(&page, options).map(|event| event.expect("a good page"));
        match events.next() {
            Some(Event::Help { text: help, .. }) => assert_eq!(help, text),
            other => panic!("{other:?}"),
        }
        if named {
            match events.next() {
                Some(Event::Sample(sample)) => assert_eq!(sample.name(), text),
                other => panic!("{other:?}"),
            }
        }
        match events.next() {
            Some(Event::Sample(sample)) => {
                assert_eq!(sample.label("b").as_deref(), Some(text));
                assert_eq!(sample.label("c").as_deref(), Some("d"));
            }
            other => panic!("{other:?}"),
        }
    }
}

fn names_become_classic(text: &str) {
    if text.is_empty() {
        return;
    }
    for escaping in [Escaping::Underscores, Escaping::Dots, Escaping::Values] {
        let name = escape_name(text, escaping);
        assert!(is_classic_metric_name(&name), "{text:?} became {name:?}");
        let label = escape_label_name(text, escaping);
        assert!(is_classic_label_name(&label), "{text:?} became {label:?}");
        // Whatever a name is, there is a way back that does not panic.
        let _ = unescape_name(text, escaping);
    }
    // A classic name is left as it is, even one that looks escaped.
    if !text.starts_with("U__") || !is_classic_metric_name(text) {
        let escaped = escape_name(text, Escaping::Values);
        assert_eq!(unescape_name(&escaped, Escaping::Values), text);
    }
    assert_eq!(escape_name(text, Escaping::AllowUtf8), text);
}
