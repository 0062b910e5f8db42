//! Needs the crate while running.

fn main() {
    stethoscope::Registry::new().counter("ran_total", "").unwrap().inc();
}
