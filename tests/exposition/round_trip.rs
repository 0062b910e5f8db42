//! What is written is read back as it was, and what is read can be written.

use crate::any_bytes::scraps;
use crate::properties::round_trip;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_registry_comes_back_from_its_pages(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        round_trip::a_registry_comes_back(&bytes);
    }

    #[test]
    fn any_page_says_the_same_when_it_is_rewritten(page in scraps()) {
        round_trip::a_page_is_rewritten(&page);
    }
}
