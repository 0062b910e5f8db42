//! Negotiation: any Accept header gets an answer, and the answer's own header
//! asks for nothing else.

use stethoscope::exposition::{ContentType, Format, Offer};

pub fn hold(bytes: &[u8]) {
    let accept = String::from_utf8_lossy(bytes);
    let [without, with] = [false, true].map(|openmetrics2| {
        let offer = Offer::new().with_openmetrics2(openmetrics2);
        hold_with(offer, &accept)
    });
    assert_eq!(ContentType::negotiate(&accept), without);
    // What is not on offer is not sent, and what is on offer in addition changes
    // nothing else.
    assert_ne!(without.format, Format::OpenMetrics2, "{accept:?}");
    if with.format != Format::OpenMetrics2 {
        assert_eq!(with, without, "{accept:?}");
    }
}

fn hold_with(offer: Offer, accept: &str) -> ContentType {
    let answer = offer.negotiate(accept);
    let header = answer.header();
    let again = offer.negotiate(header);
    assert_eq!(again.header(), header, "{accept:?}");
    for parameter in ["version=", "charset=", "escaping="] {
        let expected = match parameter {
            "escaping=" => 1,
            _ => usize::from(answer.format != Format::Protobuf),
        };
        assert_eq!(header.matches(parameter).count(), expected, "{header}");
    }
    match offer.acceptable(accept) {
        Some(acceptable) => assert_eq!(acceptable, answer),
        None => assert_eq!(answer, ContentType::default()),
    }
    // What an empty element adds is nothing.
    assert_eq!(offer.negotiate(&format!(", ,{accept}")), answer);
    answer
}
