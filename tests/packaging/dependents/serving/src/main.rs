//! Depends on the crate with features.

fn main() {
    let registry = stethoscope::Registry::new();
    let endpoint = stethoscope::endpoint::serve(&registry, "127.0.0.1:0").unwrap();
    endpoint.shutdown();
    endpoint.join().unwrap();
}
