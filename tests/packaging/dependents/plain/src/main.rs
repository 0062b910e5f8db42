//! Depends on the crate without features.

fn main() {
    stethoscope::Registry::new().counter("plain_total", "").unwrap().inc();
}
