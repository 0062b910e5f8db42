//! Parsing: no bytes upset it, strict readers accept no more than lenient ones,
//! and a page reads the same wherever it is cut.

use stethoscope::exposition::Format;
use stethoscope::exposition::parser::{Chunks, Error, ErrorKind, EventRef, Line, Options, parse};
use stethoscope::exposition::validate::{Validator, validate};

/// The events of a page as text, each with the byte at which it begins, and the
/// error after them.
type Reading = (Vec<String>, Option<Error>);

/// The first byte says where the rest, a page, is cut.
pub fn hold(bytes: &[u8]) {
    let Some((&cut, page)) = bytes.split_first() else {
        return;
    };
    for format in [
        Format::Text,
        Format::Text1,
        Format::OpenMetrics,
        Format::OpenMetrics2,
    ] {
        let lenient = Options::lenient(format);
        let strict = Options::strict(format);
        let quoting = strict.with_quoted_names(true);
        let read_leniently = read(page, lenient);
        for options in [strict, quoting] {
            accepts_no_more_than(&read(page, options), &read_leniently, page);
        }
        accepts_no_more_than(&read(page, strict), &read(page, quoting), page);
        for options in [strict, lenient] {
            reads_the_same_in_pieces(page, usize::from(cut), options);
            let short = options.with_max_line(usize::from(cut));
            reads_the_same_in_pieces(page, usize::from(cut) / 2, short);
        }
    }
    let text = |format| read(page, Options::strict(format));
    accepts_no_more_than(&text(Format::Text), &text(Format::Text1), page);
}

fn read(page: &[u8], options: Options) -> Reading {
    let mut parser = parse(page, options);
    let mut events = Vec::new();
    while let Some(event) = parser.next() {
        match event {
            Ok(event) => events.push(format!("{} {event:?}", parser.offset())),
            Err(error) => {
                assert!(parser.next().is_none(), "nothing follows an error");
                assert!(error.offset() <= page.len());
                let shown = error.display_in(page).to_string();
                assert!(shown.starts_with(&error.position(page).to_string()));
                return (events, Some(error));
            }
        }
    }
    (events, None)
}

fn accepts_no_more_than(narrow: &Reading, wide: &Reading, page: &[u8]) {
    if narrow.1.is_none() {
        assert_eq!(narrow, wide, "{}", String::from_utf8_lossy(page));
    }
}

fn reads_the_same_in_pieces(page: &[u8], size: usize, options: Options) {
    validates_the_same_in_pieces(page, size, options);
    let whole = read(page, options);
    let mut events = Vec::new();
    let mut each = |line: Line<'_>, event: EventRef<'_, '_>| {
        events.push(format!("{} {event:?}", line.offset));
        Ok(())
    };
    let mut chunks = Chunks::new(options);
    let mut pieces = page.chunks(size.max(1));
    let pushed = pieces.try_for_each(|piece| chunks.push(piece, &mut each));
    let error = pushed.and_then(|()| chunks.finish(&mut each)).err();
    if let Some(error) = error {
        assert_eq!(chunks.push(b"a 1\n", &mut each), Err(error));
        let excerpt = chunks.excerpt(&error).expect("its line is at hand");
        assert_eq!(excerpt.position(), error.position(page));
    }
    assert_eq!(
        (events, error),
        whole,
        "{options:?} {size} {:?}",
        String::from_utf8_lossy(page)
    );
}

/// Nor does what validation finds depend on the cuts; it finds something only
/// in pages that parse, and nothing in what a lenient reader takes.
fn validates_the_same_in_pieces(page: &[u8], size: usize, options: Options) {
    let whole = validate(page, options).err();
    if let Some(unreadable) = read(page, options).1 {
        let found = whole.expect("an error, since there is one in the grammar");
        assert!(found == unreadable || found.offset() <= unreadable.offset());
    }
    let mut validator = Validator::new(options);
    let mut each = |line: Line<'_>, event: EventRef<'_, '_>| validator.visit(line, &event);
    let mut chunks = Chunks::new(options);
    let mut pieces = page.chunks(size.max(1));
    let pushed = pieces.try_for_each(|piece| chunks.push(piece, &mut each));
    let finished = pushed.and_then(|()| chunks.finish(&mut each));
    let error = finished.and_then(|()| validator.end()).err();
    assert_eq!(error, whole, "{:?}", String::from_utf8_lossy(page));
    // Of a line that is too long, a reader of pieces has not all.
    if let Some(error) = error.filter(|error| error.kind() != ErrorKind::LineTooLong) {
        if let Some(late) = validator.excerpt(&error) {
            assert_eq!(late.position(), error.position(page));
            assert!(late.message().starts_with(&error.kind().to_string()));
            return;
        }
        let excerpt = chunks.excerpt(&error).expect("its line is at hand");
        assert_eq!(
            excerpt.to_string(),
            error.display_in(page).to_string(),
            "{options:?} {size} {:?}",
            String::from_utf8_lossy(page)
        );
    }
}
