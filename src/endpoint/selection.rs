//! The families that `name[]` parameters choose.

use std::borrow::Cow;

use super::error_response::ErrorResponse;
use crate::name::{Escaping, escape_name, is_classic_metric_name};

/// Suffixes that a family's samples may have in addition to the family's name.
const SAMPLE_SUFFIXES: [&str; 6] = ["_total", "_info", "_bucket", "_sum", "_count", "_created"];
/// Suffixes of a family's full name that OpenMetrics leaves out of it.
const FAMILY_SUFFIXES: [&str; 2] = ["_total", "_info"];
/// The number of names that one request may ask for.
const MAX_NAMES: usize = 256;

/// A choice of families: all, or those that are named. Making and asking a
/// selection of all families does not allocate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// The names as the request has them, sorted; `None` selects all families.
    names: Option<Vec<String>>,
}

impl Selection {
    /// Reads the query of a request. The name of a sample (`x_bucket`) selects
    /// its family, and so does a name as a page in any escaping shows it: no two
    /// families share one. Parameters other than `name[]` are ignored.
    ///
    /// # Errors
    /// [`ErrorResponse::TooManyNames`], since each name costs a look-up.
    pub(super) fn from_query(query: &str) -> Result<Self, ErrorResponse> {
        let mut names: Option<Vec<String>> = None;
        for parameter in query.split('&') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if name == "name[]" || (name.contains('%') && decode(name) == "name[]") {
                let names = names.get_or_insert_default();
                if names.len() == MAX_NAMES {
                    return Err(ErrorResponse::TooManyNames);
                }
                names.push(decode(value).into_owned());
            }
        }
        if let Some(names) = &mut names {
            names.sort_unstable();
            names.dedup();
        }
        Ok(Self { names })
    }

    #[cfg(any(feature = "gzip", all(feature = "http", target_os = "linux")))]
    pub(super) fn is_all(&self) -> bool {
        self.names.is_none()
    }

    /// Returns true if the selection has the family of that full name.
    pub(super) fn has(&self, full_name: &str) -> bool {
        let Some(names) = &self.names else {
            return true;
        };
        has_name(names, full_name) || escaped_names(full_name).any(|name| has_name(names, &name))
    }

    /// The full names, each in two parts, of the families that a selection by name
    /// has if they exist.
    #[cfg(all(feature = "http", target_os = "linux"))]
    pub(super) fn candidates(&self) -> impl Iterator<Item = (&str, &'static str)> {
        let names = self.names.as_deref().unwrap_or_default();
        names.iter().flat_map(|name| {
            let stems = SAMPLE_SUFFIXES
                .iter()
                .filter_map(move |suffix| name.strip_suffix(suffix));
            let full = FAMILY_SUFFIXES.iter().map(move |suffix| (&**name, *suffix));
            stems
                .map(|stem| (stem, ""))
                .chain(full)
                .chain([(&**name, "")])
        })
    }
}

/// Returns true if one of the sorted names is that of the family, or of one of its samples.
fn has_name(names: &[String], full_name: &str) -> bool {
    let is_asked = |stem: &str, suffix: &str| {
        let found = names.binary_search_by(|name| {
            let candidate = stem.bytes().chain(suffix.bytes());
            name.bytes().cmp(candidate)
        });
        found.is_ok()
    };
    let stems = FAMILY_SUFFIXES
        .iter()
        .filter_map(|suffix| full_name.strip_suffix(suffix));
    is_asked(full_name, "")
        || stems.into_iter().any(|stem| is_asked(stem, ""))
        || SAMPLE_SUFFIXES
            .iter()
            .any(|suffix| is_asked(full_name, suffix))
}

/// The full names that pages show for a family whose name is outside the classic
/// alphabet: the suffix of its type is not escaped. A full name alone does not tell
/// whether its end is such a suffix, so both forms are there.
pub(super) fn escaped_names(full_name: &str) -> impl Iterator<Item = String> {
    let is_classic = is_classic_metric_name(full_name);
    let escapings = Escaping::ALL.into_iter().filter(move |_| !is_classic);
    escapings.flat_map(move |escaping| {
        let suffixes = FAMILY_SUFFIXES.into_iter().chain([""]);
        suffixes.filter_map(move |suffix| {
            let stem = full_name.strip_suffix(suffix)?;
            Some(escape_name(stem, escaping).into_owned() + suffix)
        })
    })
}

/// Undoes percent-encoding, as HTML forms use it. Anything that is not encoded
/// correctly stays as it is.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', ..) => decoded.push(b' '),
            _ => decoded.push(byte),
        }
        at += 1;
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(query: &str) -> Selection {
        Selection::from_query(query).unwrap()
    }

    #[test]
    fn query_without_names_selects_all_families() {
        for query in ["", "x=1", "name=a", "&&", "Name[]=a"] {
            assert_eq!(selection(query), Selection::default(), "{query}");
        }
        assert!(Selection::default().has("anything"));
    }

    #[test]
    fn family_is_selected_by_each_name_that_a_page_has_for_it() {
        for (asked, family) in [
            ("up", "up"),
            ("requests_total", "requests_total"),
            ("requests", "requests_total"),
            ("requests_created", "requests"),
            ("build", "build_info"),
            ("latency_seconds_bucket", "latency_seconds"),
            ("latency_seconds_sum", "latency_seconds"),
            ("latency_seconds_count", "latency_seconds"),
        ] {
            let selection = selection(&format!("x&name[]=other&name[]={asked}"));
            assert!(selection.has(family), "{asked} is in {family}");
            assert!(!selection.has("requests_failed_total"));
        }
    }

    #[test]
    fn family_is_selected_by_its_name_in_each_escaping() {
        for asked in [
            "shop.crème.items_total",
            "shop_cr_me_items_total",
            "shop_cr_me_items",
            "shop_dot_cr__me_dot_items_total",
            "U__shop_2e_cr_e8_me_2e_items_total",
            "U__shop_2e_cr_e8_me_2e_items",
        ] {
            let selection = selection(&format!("name[]={asked}"));
            assert!(selection.has("shop.crème.items_total"), "{asked}");
            assert!(!selection.has("shop.crème.other_total"), "{asked}");
        }
        let selection = selection("name[]=wait_dot_seconds_bucket");
        assert!(selection.has("wait.seconds") && !selection.has("wait.second"));
    }

    #[cfg(all(feature = "http", target_os = "linux"))]
    #[test]
    fn candidates_are_the_names_that_the_selection_has() {
        let selection = selection("name[]=a&name[]=b_total&name[]=c_bucket&name[]=_sum");
        let candidates: Vec<String> = selection
            .candidates()
            .map(|(stem, suffix)| format!("{stem}{suffix}"))
            .collect();
        for name in [
            "a", "a_total", "a_info", "b", "b_total", "c", "c_bucket", "d", "b_sum", "", "_sum",
        ] {
            assert_eq!(
                selection.has(name),
                candidates.iter().any(|candidate| candidate == name),
                "{name:?}"
            );
        }
    }

    #[test]
    fn percent_encoded_names_are_decoded() {
        let selection = selection("name%5b%5D=a%2Eb+c&name[]=%zz%4");
        assert!(selection.has("a.b c"));
        assert!(selection.has("%zz%4"), "an invalid escape stays as it is");
    }

    #[test]
    fn more_names_than_allowed_are_refused() {
        let query = "name[]=a&".repeat(MAX_NAMES);
        assert!(Selection::from_query(&query).is_ok());
        assert_eq!(
            Selection::from_query(&(query + "name[]=a")),
            Err(ErrorResponse::TooManyNames)
        );
    }
}
