//! Negotiation: any Accept header gets an answer, and the answer's own header
//! asks for nothing else.

use stethoscope::exposition::ContentType;

pub fn hold(bytes: &[u8]) {
    let accept = String::from_utf8_lossy(bytes);
    let answer = ContentType::negotiate(&accept);
    let header = answer.header();
    let again = ContentType::negotiate(header);
    assert_eq!(again.header(), header, "{accept:?}");
    for parameter in ["version=", "charset=", "escaping="] {
        assert_eq!(header.matches(parameter).count(), 1, "{header}");
    }
    match ContentType::acceptable(&accept) {
        Some(acceptable) => assert_eq!(acceptable, answer),
        None => assert_eq!(answer, ContentType::default()),
    }
    // What an empty element adds is nothing.
    assert_eq!(ContentType::negotiate(&format!(", ,{accept}")), answer);
}
