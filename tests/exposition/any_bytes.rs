//! Generated pages and bytes for the properties of parsing, escaping and negotiation.

use crate::properties::{escaping, negotiation, parsing};
use proptest::prelude::*;

/// Pieces of pages: strung together at random they make good lines, and lines
/// that go wrong at every place where a line can.
pub(crate) fn scraps() -> impl Strategy<Value = Vec<u8>> {
    let scrap = prop_oneof![
        8 => prop::sample::select(vec![
            "a", "b_total", "a_bucket", "le", "{", "}", "\"", "=", "=\"", ",", " ", "\n", "\\", "\\n",
            "1", "-2.5", "1e3", "NaN", "+Inf", "# ", "# HELP a ", "# TYPE a ", "# UNIT a_s s", "# EOF\n",
            "counter", "histogram", "gauge", " # {", "} 1", "\t", "\0", "\r", "é", "{\"a.b\"", "__name__",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        4 => prop::sample::select(vec![
            "a 1\n", "a{b=\"c\"} 1\n", "a{b=\"c\",d=\"e\\n\"} 2.5 3\n", "# TYPE a counter\n",
            "a_total{x=\"y\"} 1 # {t=\"z\"} 0.5\n", "# HELP a some \\\\ help\n", "{\"a.b\",c=\"d\"} 1\n",
            "averyveryverylongmetricname{averyveryverylonglabelname=\"and its value\"} 123456789012\n",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        4 => prop::sample::select(vec![
            "a {", "{count:1,sum:1", ",bucket:[", "+Inf:1]", "}", ",quantile:[", "0.5:1", "]", " st@5",
            ",schema:0,zero_threshold:0,zero_count:1", ",positive_spans:[0:1]", ",positive_buckets:[1]",
            "a {count:2,sum:3,bucket:[1:1,+Inf:2]} st@1 # {b=\"c\"} 1 2 # {} 3 4\n",
            "a {gcount:1,gsum:0,schema:1,zero_threshold:0,zero_count:0,negative_spans:[-1:1,2:1],\
             negative_buckets:[1,0],bucket:[+Inf:1]}\n",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(scrap, 0..12).prop_map(|scraps| scraps.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn generated_page_reads_the_same_in_pieces(cut: u8, page in scraps()) {
        parsing::hold(&[&[cut], &page[..]].concat());
    }

    #[test]
    fn any_bytes_read_the_same_in_pieces(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        parsing::hold(&bytes);
    }

    #[test]
    fn escaped_bytes_round_trip(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        escaping::hold(&bytes);
    }

    #[test]
    fn special_characters_round_trip(text in "[ab\\\\\"\n{},=é\u{1f980}_:.0]{0,40}") {
        escaping::hold(text.as_bytes());
    }

    #[test]
    fn any_accept_header_gets_a_format(
        ranges in prop::collection::vec(
            prop::sample::select(vec![
                "text/plain", "application/openmetrics-text", "*/*", "text/*", ";version=0.0.4",
                ";version=1.0.0", ";version=2.0.0", ";q=0.5", ";q=0", ";q=2", ";escaping=allow-utf-8", ";escaping=dots",
                ",", ", ", ";", "=", "\"", " ", "x", ";charset=utf-8",
            ]),
            0..12,
        ),
    ) {
        negotiation::hold(ranges.concat().as_bytes());
    }
}
