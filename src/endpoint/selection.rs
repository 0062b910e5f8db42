//! Which families a scrape is of: all, or those that `name[]` parameters name.

use std::collections::HashSet;

/// What the samples of a family may have behind its name.
const SAMPLE_SUFFIXES: [&str; 6] = ["_total", "_info", "_bucket", "_sum", "_count", "_created"];
/// What a family's name in the text format may have that OpenMetrics leaves out.
const FAMILY_SUFFIXES: [&str; 2] = ["_total", "_info"];

/// See the module. Making and asking one that is of all does not allocate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// Full names in the text format; `None`: all.
    families: Option<HashSet<String>>,
}

impl Selection {
    /// Reads the query of a request. Whoever names a sample of a family
    /// (`x_bucket`) means the family; parameters of other names mean nothing.
    pub(super) fn of_query(query: &str) -> Self {
        let mut selection = Self::default();
        for parameter in query.split('&') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if name == "name[]" || (name.contains('%') && decode(name) == "name[]") {
                selection.add(decode(value));
            }
        }
        selection
    }

    fn add(&mut self, asked: String) {
        let families = self.families.get_or_insert_default();
        families.extend(FAMILY_SUFFIXES.map(|suffix| format!("{asked}{suffix}")));
        let stems = SAMPLE_SUFFIXES
            .iter()
            .filter_map(|suffix| asked.strip_suffix(suffix));
        families.extend(stems.map(str::to_owned));
        families.insert(asked);
    }

    pub(super) fn is_all(&self) -> bool {
        self.families.is_none()
    }

    /// Whether the family of that full name is wanted.
    pub(super) fn has(&self, full_name: &str) -> bool {
        self.families
            .as_ref()
            .is_none_or(|families| families.contains(full_name))
    }
}

/// Undoes percent-encoding, as forms do it. What is not encoded properly stands
/// for itself.
fn decode(text: &str) -> String {
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
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_name_all_families_are_wanted() {
        for query in ["", "x=1", "name=a", "&&", "Name[]=a"] {
            assert_eq!(Selection::of_query(query), Selection::default(), "{query}");
        }
        assert!(Selection::default().has("anything"));
    }

    #[test]
    fn a_family_is_found_by_each_name_that_a_page_has_for_it() {
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
            let selection = Selection::of_query(&format!("x&name[]=other&name[]={asked}"));
            assert!(selection.has(family), "{asked} is in {family}");
            assert!(!selection.has("requests_failed_total"));
        }
    }

    #[test]
    fn names_may_be_percent_encoded() {
        let selection = Selection::of_query("name%5b%5D=a%2Eb+c&name[]=%zz%4");
        assert!(selection.has("a.b c"));
        assert!(
            selection.has("%zz%4"),
            "what is not encoded stands for itself"
        );
    }
}
