//! Pages and registries for tests and fuzzers, from the bytes of an
//! [`Unstructured`]. Needs the feature `arbitrary`.
//!
//! The same bytes give the same page. See [`manual::fuzzing`](crate::manual::fuzzing).

mod choices;
mod fault;
mod page;
mod protobuf;
mod registry;

pub use arbitrary::Unstructured;
pub use fault::Fault;

use crate::exposition::validate::validate;
use crate::exposition::{ContentType, Format};
use choices::Choices;

/// Generates a valid page: one that the parser accepts strictly.
///
/// It uses all of its format, not only what this crate writes: blanks, comments,
/// timestamps, exemplars, escapes, numbers in every spelling, names in quotes if the
/// content type allows them. [`Format::Protobuf`] gives delimited messages, with native
/// histograms, packed lists and fields in any order: `stethoscope check` accepts those.
///
/// ```
/// use stethoscope::exposition::{Format, validate::validate};
/// use stethoscope::generate::{self, Unstructured};
///
/// let mut bytes = Unstructured::new(b"any bytes, from a fuzzer for example");
/// let page = generate::page(&mut bytes, Format::OpenMetrics);
/// assert!(page.ends_with(b"# EOF\n"));
/// assert!(validate(&page, Format::OpenMetrics).is_ok());
/// ```
pub fn page(bytes: &mut Unstructured<'_>, content_type: impl Into<ContentType>) -> Vec<u8> {
    let content_type = content_type.into();
    let mut choices = Choices::new(bytes);
    if content_type.format == Format::Protobuf {
        return protobuf::page(&mut choices);
    }
    page::generate(&mut choices, content_type).into_bytes()
}

/// Generates a page that is valid but for one fault, and tells the fault.
///
/// The parser refuses the page if it reads strictly, and `stethoscope check` refuses
/// it if it is protobuf. Other readers may accept it: not every parser checks
/// everything.
///
/// ```
/// use stethoscope::exposition::{Format, validate::validate};
/// use stethoscope::generate::{self, Unstructured};
///
/// let mut bytes = Unstructured::new(b"any bytes, from a fuzzer for example");
/// let (page, fault) = generate::faulty_page(&mut bytes, Format::Text);
/// assert!(validate(&page, Format::Text).is_err(), "{fault}");
/// ```
#[allow(
    clippy::missing_panics_doc,
    reason = "an invalid value is always refused"
)]
pub fn faulty_page(
    bytes: &mut Unstructured<'_>,
    content_type: impl Into<ContentType>,
) -> (Vec<u8>, Fault) {
    let content_type = content_type.into();
    let mut choices = Choices::new(bytes);
    if content_type.format == Format::Protobuf {
        return protobuf::faulty_page(&mut choices);
    }
    let page = page::generate(&mut choices, content_type);
    let all = match content_type.format {
        Format::OpenMetrics2 => Fault::OPENMETRICS2,
        _ => Fault::TEXT,
    };
    let start = choices.below(all.len());
    // Not every page has room for every fault.
    let faults = (all.iter().cycle().skip(start)).take(all.len());
    faults
        .filter_map(|fault| Some((fault.apply(&page, &mut choices)?, *fault)))
        .find(|(page, _)| validate(page, content_type).is_err())
        .expect("every page has a sample, whose value can be made invalid")
}
