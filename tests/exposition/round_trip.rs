//! Round trips: a registry's pages are read back, and any page can be rewritten.

use crate::any_bytes::scraps;
use crate::properties::round_trip;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_registry_round_trips(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        round_trip::a_registry_comes_back(&bytes);
    }

    #[test]
    fn any_rewritten_page_has_the_same_content(page in scraps()) {
        round_trip::a_page_is_rewritten(&page);
    }
}
